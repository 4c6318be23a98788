"""Visits and costs as CSV (RFC 4180), for a spreadsheet. Pure: no I/O, no SQL."""

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, fields

from kiosk.backend.books.costs import CostReport
from kiosk.backend.books.history import VisitLine

# A spreadsheet would calculate what begins so: a provider's text, or a name.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = tuple(field.name for field in fields(VisitLine))


def write_csv(lines: Iterable[VisitLine], *, with_head: bool = True) -> str:
    """A row each, under the names of the columns unless they stand above already; times in UTC."""
    return _written(COLUMNS if with_head else (), (astuple(line) for line in lines))


def write_costs_csv(report: CostReport) -> str:
    """A row for each day, kiosk or site, under the names of the columns."""
    head = (report.by, "visits", "seconds", report.unit, "unpriced")
    return _written(head, (astuple(line) for line in report.lines))


def _written(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    written = csv.writer(text)
    if head:
        written.writerow(head)
    written.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
