"""The kinds of rows, by what the encoder calls them: one file, and one line here, for each."""

from flowssl.report.kinds.base import RowKind
from flowssl.report.kinds.image_rows import IMAGE_ROWS
from flowssl.report.kinds.table_rows import TABLE_ROWS
from flowssl.report.kinds.text_rows import TEXT_ROWS

KINDS: dict[str, RowKind] = {"table": TABLE_ROWS, "image": IMAGE_ROWS, "text": TEXT_ROWS}
"""What a report says of a kind of rows, by ``estimator.encoder_.row_kind``."""
