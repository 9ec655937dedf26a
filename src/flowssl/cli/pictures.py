"""Pictures in place of a table: a folder or zip file, and a table with labels of some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from flowssl.cli.columns import labels, require_column
from flowssl.exceptions import DataError
from flowssl.pictures import Pictures, read_pictures
from flowssl.tables import read_table

if TYPE_CHECKING:
    import argparse

    import numpy as np
    import numpy.typing as npt

    from flowssl.bijections.images import Shape
    from flowssl.cli.console import Console
    from flowssl.estimators import Classifier


FILE = "file"
LABEL = "label"


def pictures_to_fit(
    arguments: argparse.Namespace, chosen: object, console: Console
) -> tuple[Pictures, Shape]:
    """Read the pictures of ``fit`` and say which were left out.

    Parameters
    ----------
    arguments : Namespace
        Of the command.
    chosen : list of float or None
        ``--image-shape``, to which pictures are converted and scaled.
    console : Console
        Where to say it.
    """
    shape: Shape | None = None
    if chosen is not None:
        sides = [int(side) for side in cast("list[float]", chosen)]
        if len(sides) != 3:
            raise DataError(f"--image-shape: channels, height and width are wanted, got {sides}.")
        shape = (sides[0], sides[1], sides[2])
    pictures = _read(arguments.data, arguments, shape, console)
    _, channels, height, width = pictures.images.shape
    return pictures, (channels, height, width)


def pictures_for(
    estimator: Classifier, path: str, arguments: argparse.Namespace, console: Console
) -> Pictures:
    """Read the pictures at a path as a fitted model wants them.

    Raises
    ------
    DataError
        If the model is of tables.
    """
    shape = estimator.image_shape
    if shape is None:
        raise DataError(f"{arguments.model} was fitted on a table, and {path} is none.")
    channels, height, width = shape
    return _read(path, arguments, (channels, height, width), console)


def labels_of(
    pictures: Pictures, path: str | None, target: str | None, option: str = "--labels"
) -> npt.NDArray[np.generic]:
    """Return the labels of the pictures; None for those that the table does not name.

    Parameters
    ----------
    pictures : Pictures
        The pictures.
    path : str or None
        A table with a column ``file``, paths or names of pictures, and a column of labels.
    target : str or None
        The column of labels, ``label`` by default.
    option : str
        What names the table on the command line.

    Raises
    ------
    DataError
        If there is no such table or column, or it names a picture that is not there or not alone
        of its name.
    """
    import numpy as np

    if path is None:
        raise DataError(f"pictures need {option} CSV, a table with the columns file and label.")
    table = read_table(path)
    target = target or LABEL
    require_column(table, FILE, option)
    require_column(table, target, "--target")
    places: dict[str, list[int]] = {}
    for place, name in enumerate(pictures.names):
        for key in {name, name.rpartition("/")[2]}:
            places.setdefault(key, []).append(place)
    y = np.full(len(pictures.names), None, dtype=object)
    for name, label in zip(table.column(FILE).to_pylist(), labels(table, target), strict=True):
        found = places.get(str(name), [])
        if len(found) > 1:
            raise DataError(f"{path}: {len(found)} pictures are called {name}; give their paths.")
        if found:
            y[found[0]] = label
        elif str(name) not in pictures.left_out:
            raise DataError(f"{path} names {name}, which is not among the pictures.")
    return y


def _read(
    path: str, arguments: argparse.Namespace, shape: Shape | None, console: Console
) -> Pictures:
    pictures = read_pictures(path, shape, bad=arguments.bad_pictures)
    for name, reason in pictures.left_out.items():
        console.remark(f"note: {name} is left out: {reason}")
    return pictures
