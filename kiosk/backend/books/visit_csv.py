"""Visits as CSV (RFC 4180), for a spreadsheet. Pure: no I/O, no SQL."""

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, fields

from kiosk.backend.books.history import VisitLine

# A spreadsheet would calculate what begins so: a provider's text, or a name.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = tuple(field.name for field in fields(VisitLine))


def write_csv(lines: Iterable[VisitLine], *, with_head: bool = True) -> str:
    """A row each, under the names of the columns unless they stand above already; times in UTC."""
    text = io.StringIO()
    rows = csv.writer(text)
    if with_head:
        rows.writerow(COLUMNS)
    rows.writerows([_cell(value) for value in astuple(line)] for line in lines)
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
