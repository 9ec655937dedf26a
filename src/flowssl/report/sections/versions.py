"""Section "Versions": the software with which the report was written."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from flowssl.report.blocks import Section
from flowssl.report.facts import Facts
from flowssl.report.markup import table

PLACE = 110

PACKAGES = ("flowssl", "torch", "numpy", "scipy", "scikit-learn", "matplotlib")


def write(facts: Facts) -> Section:
    """List the versions of Python and of the packages that the figures depend on."""
    rows = [("Python", platform.python_version())]
    for package in PACKAGES:
        try:
            rows.append((package, version(package)))
        except PackageNotFoundError:  # run from a source tree that is not installed
            rows.append((package, "not installed"))
    body = table("Versions", ("package", "version"), rows, text_columns=(0, 1))
    return Section("versions", "Versions", body)
