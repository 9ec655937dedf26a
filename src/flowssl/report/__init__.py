"""A self-contained HTML page about a fitted classifier, for the people who will use it."""

from flowssl.report.page import write_report

__all__ = ["write_report"]
