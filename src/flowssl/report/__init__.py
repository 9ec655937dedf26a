"""One self-contained HTML page that explains a fitted classifier to the people who will use it."""

from flowssl.report.page import write_report

__all__ = ["write_report"]
