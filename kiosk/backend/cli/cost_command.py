"""`kiosk backend costs`. Prints nothing; cheap to import."""

import argparse
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from kiosk.errors import ConfigError

if TYPE_CHECKING:
    from kiosk.backend.books.costs import CostReport

Say = Callable[[str], None]

_BY = ("day", "kiosk", "site")


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Add it."""
    costs = commands.add_parser("costs", parents=[common], help="what it costs, and this month")
    costs.add_argument("--by", choices=_BY, default=_BY[0], help="a line for each (day)")
    costs.add_argument(
        "--since", metavar="DATE", type=_date, help="from this day (this month's 1st)"
    )
    costs.add_argument("--until", metavar="DATE", type=_date, help="before this day (all)")
    form = costs.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object, as /v1/costs gives it")
    form.add_argument("--csv", action="store_true", help="the lines, for a spreadsheet")


def run_costs(args: argparse.Namespace, say: Say) -> None:
    """Say the costs; raises KioskError."""
    import json
    from dataclasses import asdict

    from kiosk.backend.books.costs import CostBy, Days, month_so_far
    from kiosk.backend.books.spreadsheet import write_costs_csv
    from kiosk.backend.cli import operations
    from kiosk.backend.settings import load_settings

    settings = load_settings({"database": args.database, "tenant": args.tenant})
    at = operations.At(settings.database_url, settings.tenant)
    today = datetime.now(UTC).date()
    usual = month_so_far(today)
    try:
        days = Days(args.since or usual.since, args.until or usual.until)
    except ValueError as error:
        raise ConfigError(f"{error}: change --since or --until") from None
    report = operations.costs(at, CostBy(args.by), days, today, settings.monthly_budget)
    if args.json:
        say(json.dumps(asdict(report), default=str))
    elif args.csv:
        say(write_costs_csv(report).rstrip("\r\n").replace("\r\n", "\n"))
    else:
        for line in _table(report):
            say(line)


def _table(report: "CostReport") -> Iterator[str]:
    rows = [
        (line.name, line.visits, line.seconds, line.cost, line.unpriced) for line in report.lines
    ]
    yield f"{report.by:20} {'visits':>8} {'seconds':>10} {report.unit:>12} {'unpriced':>9}"
    sums = [sum(column) for column in list(zip(*rows, strict=True))[1:]] or [0] * 4
    for name, *figures in (*rows, ("all", *sums)):
        visits, seconds, cost, unpriced = figures
        yield f"{name:20} {visits:>8} {seconds:>10.0f} {cost:>12.0f} {unpriced:>9}"
    month, unit = report.month, report.unit
    expected = "" if month.forecast is None else f", about {month.forecast:.0f} by its end"
    allowed = "" if report.budget is None else f", of {report.budget}"
    yield f"this month: {month.cost:.0f} {unit} so far{allowed}{expected}"


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date: such as 2026-11-30") from None
