"""The sections that every report has, a file each.

A file has a number ``PLACE`` and a function ``write`` from `Facts` to a `Section`; sections stand on
the page in the order of their places. What depends on the kind of rows stands between them, at the
places that `flowssl.report.page` gives it.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, cast

from flowssl.report.blocks import Section
from flowssl.report.facts import Facts


class SectionFile(Protocol):
    """What the file of a section has."""

    PLACE: int

    def write(self, facts: Facts) -> Section:
        """Write the section."""


def section_files() -> list[SectionFile]:
    """Return the files of this package."""
    names = (f"{__name__}.{module.name}" for module in iter_modules(__path__))
    return [cast(SectionFile, import_module(name)) for name in names]
