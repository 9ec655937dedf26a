"""Folders and zip files of images as the source of rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from flowssl._image_files import holds_images, read_images, write_images
from flowssl.cli.columns import require_column
from flowssl.cli.labels import labels
from flowssl.cli.options import chosen_options, option_of
from flowssl.cli.source import LABEL, LabeledRows, Rows, Source
from flowssl.exceptions import DataError
from flowssl.tables import read_table

if TYPE_CHECKING:
    import argparse

    import pyarrow as pa

    from flowssl._image_files import ImageFiles
    from flowssl.bijections.images import Shape
    from flowssl.cli.source import Labels
    from flowssl.estimators import Classifier
    from flowssl.preprocessing import ImageEncoder
    from flowssl.preprocessing.containers import TableLike

FILE = "file"


class ImageSource(Source):
    """Images in a folder or zip file; their labels are in a table of their own."""

    noun = "images"
    data = "a folder or zip file of PNG, JPEG or WebP images"
    parameter = "images"
    id_column = FILE

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser, *, fitting: bool) -> None:
        """Add ``--bad-images``."""
        parser.add_argument(
            "--bad-images",
            choices=("refuse", "skip"),
            default="refuse",
            help="what to do with an image that cannot be read (default: refuse)",
        )

    @classmethod
    def holds(cls, path: str) -> bool:
        """Return whether a path is a folder or a zip file."""
        return holds_images(path)

    @classmethod
    def form(cls, record: Mapping[str, object]) -> tuple[str, str]:
        """Give the shape of the images."""
        shape = cast("list[int]", record["shape"])
        return "channels, height, width", " x ".join(map(str, shape))

    @property
    def target(self) -> str:
        """The column that ``--target`` names, ``label`` by default."""
        return str(self.arguments.target or LABEL)

    @property
    def example(self) -> str:
        """A folder."""
        return "NEW_IMAGES/"

    def _read_training(self) -> LabeledRows:
        """Read images, converted and scaled to ``--image-shape`` if it is given."""
        files = self._files(self.arguments.data, self._chosen_shape())
        y = self._labels(files, self.arguments.labels, "--labels")
        found: dict[str, object] = {"images": {"shape": files.images.shape[1:]}}
        return LabeledRows(files.images, _as_column(files), files.names, y=y, parameters=found)

    def _read(self, estimator: Classifier, path: str) -> Rows:
        """Read images, converted and scaled to the model's shape."""
        files = self._files_for(estimator, path)
        return Rows(files.images, _as_column(files), files.names)

    def _read_labeled(
        self, estimator: Classifier, path: str, label_table: str | None, option: str
    ) -> LabeledRows:
        """Read such images and the labels that a table has of some of them."""
        files = self._files_for(estimator, path)
        y = self._labels(files, label_table, option)
        return LabeledRows(files.images, _as_column(files), files.names, y=y)

    def check_sample_output(self, path: str | None) -> None:
        """Raise `DataError` if no folder is named."""
        if path is None:
            raise DataError("samples of images need -o FOLDER, where the PNG files go.")

    def write_samples(
        self, estimator: Classifier, X: TableLike, y: Labels, path: str | None
    ) -> None:
        """Write PNG files named after their number and class."""
        encoder = _encoder(estimator)
        pixels = encoder.transform(X).reshape(-1, *encoder.shape)
        classes = [re.sub(r"[^\w.-]", "_", str(label)) for label in y.tolist()]
        names = [f"{place:05d}_{label}" for place, label in enumerate(classes)]
        write_images(str(path), pixels, names)
        self.console.remark(f"{len(y):,} images written to {path}")

    def _chosen_shape(self) -> Shape | None:
        """Return the value of ``--image-shape``, None if it is not given.

        Raises
        ------
        DataError
            If it is not three integers.
        """
        chosen = chosen_options(self.arguments).get("images")
        if not isinstance(chosen, Mapping) or "shape" not in chosen:
            return None
        sides = cast("list[float]", chosen["shape"])
        if len(sides) != 3 or not all(float(side).is_integer() for side in sides):
            raise DataError(
                f"{option_of('images', 'shape')} must be three integers, channels, height and "
                f"width, such as 3,32,32; got {','.join(f'{side:g}' for side in sides)}."
            )
        channels, height, width = map(int, sides)
        return channels, height, width

    def _files(self, path: str, shape: Shape | None) -> ImageFiles:
        files = read_images(path, shape, bad=self.arguments.bad_images)
        for name, reason in files.left_out.items():
            self.console.remark(f"note: {name} is left out: {reason}")
        return files

    def _files_for(self, estimator: Classifier, path: str) -> ImageFiles:
        return self._files(path, _encoder(estimator).shape)

    def _labels(self, files: ImageFiles, path: str | None, option: str) -> Labels:
        """Return the labels of the images, None for those that the table does not name.

        Raises
        ------
        DataError
            If there is no such table or column, or it names a file that does not exist or whose
            name is not unique.
        """
        import numpy as np

        if path is None:
            raise DataError(f"images need {option} TABLE, with the columns file and label.")
        table = read_table(path, as_text=(FILE, self.target))
        require_column(table, FILE, option)
        require_column(table, self.target, "--target")
        places: dict[str, list[int]] = {}
        for place, name in enumerate(files.names):
            for key in {name, name.rpartition("/")[2]}:
                places.setdefault(key, []).append(place)
        y = np.full(len(files.names), None, dtype=object)
        given = zip(table.column(FILE).to_pylist(), labels(table, self.target), strict=True)
        for name, label in given:
            found = places.get(str(name), [])
            if len(found) > 1:
                raise DataError(f"{path}: {len(found)} images are called {name}; give their paths.")
            if found:
                y[found[0]] = label
            elif str(name) not in files.left_out:
                raise DataError(f"{path} names {name}, which is not among the images.")
        return y


def _encoder(estimator: Classifier) -> ImageEncoder:
    return cast("ImageEncoder", estimator.encoder_)


def _as_column(files: ImageFiles) -> pa.Table:
    import pyarrow as pa

    return pa.table({FILE: files.names})
