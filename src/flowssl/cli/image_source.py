"""Folders and zip files of images as the source of rows."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from flowssl._image_files import holds_images, read_images, write_images
from flowssl.cli.columns import require_column
from flowssl.cli.console import shortened
from flowssl.cli.image_labels import image_labels
from flowssl.cli.labels import labels
from flowssl.cli.options import chosen_options, option_of
from flowssl.cli.outputs import check_folder
from flowssl.cli.source import LABEL, LabeledRows, Rows, Source
from flowssl.exceptions import DataError
from flowssl.tables import read_table

if TYPE_CHECKING:
    import pyarrow as pa

    from flowssl._image_files import ImageFiles
    from flowssl.bijections.images import Shape
    from flowssl.cli.source import Labels
    from flowssl.estimators import Classifier
    from flowssl.preprocessing import ImageEncoder
    from flowssl.preprocessing.containers import TableLike

FILE = "file"
_NAMED = 20
"""How many of the images that are left out have a line of their own."""
_SAMPLE_NAME = r"\d{5,}_.*\.png"


class ImageSource(Source):
    """Images in a folder or zip file; their labels are in a table of their own."""

    noun = "images"
    data = "a folder or zip file of images (PNG, JPEG, WebP, BMP, GIF, TIFF or PPM)"
    parameter = "images"
    id_column = FILE

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser, *, fitting: bool) -> None:
        """Add ``--bad-images`` and ``--image-white``."""
        parser.add_argument(
            "--bad-images",
            choices=("refuse", "skip"),
            default="refuse",
            help="what to do with an image that cannot be read (default: refuse)",
        )
        parser.add_argument(
            "--image-white",
            type=_white,
            metavar="NUMBER",
            help="value of white in gray images of more than 8 bits, such as 4095 for 12 bits "
            "(default: what the file says; 65535 for 16 bits)",
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
        """Raise `DataError` if no folder is named, or it holds other files than samples."""
        if path is None:
            raise DataError("samples of images need -o FOLDER, where the PNG files go.")
        if self.arguments.safe_csv:
            raise DataError("--safe-csv is for CSV, and samples of images are PNG files.")
        check_folder(path, _SAMPLE_NAME)

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
        chosen = self.arguments
        files = read_images(path, shape, white=chosen.image_white, bad=chosen.bad_images)
        names = list(files.left_out)
        for name in names[:_NAMED]:
            self.console.remark(f"note: {name} is left out: {files.left_out[name]}")
        if len(names) > 1:
            more = names[_NAMED:]
            listed = f", {shortened(more)} among them" if more else ""
            total = len(names) + len(files.names)
            self.console.remark(f"note: {len(names):,} of {total:,} images are left out{listed}")
        return files

    def _files_for(self, estimator: Classifier, path: str) -> ImageFiles:
        return self._files(path, _encoder(estimator).shape)

    def _labels(self, files: ImageFiles, path: str | None, option: str) -> Labels:
        """Return the labels of the images, None for those that the table does not name.

        Raises
        ------
        DataError
            If there is no such table or column, or it does not say which label an image has.
        """
        if path is None:
            raise DataError(f"images need {option} TABLE, with the columns file and label.")
        table = read_table(path, as_text=(FILE, self.target))
        require_column(table, FILE, option)
        require_column(table, self.target, "--target")
        try:
            return image_labels(files, table[FILE].to_pylist(), labels(table, self.target))
        except DataError as error:
            raise DataError(f"{path}: {error}") from error


def _encoder(estimator: Classifier) -> ImageEncoder:
    return cast("ImageEncoder", estimator.encoder_)


def _as_column(files: ImageFiles) -> pa.Table:
    import pyarrow as pa

    return pa.table({FILE: files.names})


def _white(text: str) -> float:
    try:
        white = float(text)
    except ValueError:
        white = math.nan
    if not 0 < white < math.inf:
        raise argparse.ArgumentTypeError(f"it must be a number above 0, got {text!r}")
    return white
