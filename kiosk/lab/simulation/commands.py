"""The command that plays a fleet against a backend. Prints nothing; cheap to import."""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kiosk.errors import ConfigError, KioskError

if TYPE_CHECKING:
    import sqlalchemy as sa

Say = Callable[[str], None]

# Up to here heartbeats come every minute and a lease is always at hand.
_SMALL = 2000
_WARM = 500


def add_simulate_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    """Add `simulate`, and return it."""
    simulate = commands.add_parser(
        "simulate",
        parents=[common],
        help="play a fleet against a server of its own",
        description="Plays a busy hour of so many kiosks against a real server, with a provider "
        "that is played too: it costs nothing. The kiosks are let in in the tenant `simulation`, "
        "in a database that has no others; without --database in one that is made for it.",
    )
    simulate.add_argument("--kiosks", metavar="N", type=_number, required=True, help="how many")
    simulate.add_argument(
        "--duration", metavar="S", type=_number, default=60, help="for so long (60)"
    )
    simulate.add_argument(
        "--heartbeat", metavar="S", type=_number, help=f"so often (60; 300 above {_SMALL} kiosks)"
    )
    simulate.add_argument(
        "--policy", choices=("warm", "on_press"), help=f"(warm; on_press above {_WARM} kiosks)"
    )
    simulate.add_argument(
        "--herd", action="store_true", help="instead, all come back after a power cut"
    )
    simulate.add_argument("--seed", metavar="N", type=int, default=1, help="chance (1)")
    simulate.add_argument(
        "--url", help="a server that runs already, with the same --database; see --i-know-it-mints"
    )
    simulate.add_argument(
        "--i-know-it-mints",
        action="store_true",
        help="the server at --url asks a provider for every press; what that costs is mine",
    )
    simulate.add_argument("--json", action="store_true", help="one JSON object")
    return simulate


def run_simulate(args: argparse.Namespace, say: Say) -> None:
    """Play it and say what came of it; raises KioskError, also if the figures are not the
    server's."""
    import asyncio

    from kiosk.backend.cli.operations import database_errors
    from kiosk.lab.simulation.arrivals import Run
    from kiosk.lab.simulation.population import TENANT
    from kiosk.lab.simulation.simulate import simulate

    if args.tenant not in (None, TENANT):
        raise ConfigError(f"--tenant: a simulation's kiosks are of the tenant {TENANT}")
    if args.url is not None and not (args.i_know_it_mints and args.database is not None):
        raise ConfigError(
            "--url: that server may ask a real provider, which costs money: give also its "
            "--database and --i-know-it-mints; without --url a server of its own is played with"
        )
    warm = args.kiosks <= _WARM if args.policy is None else args.policy == "warm"
    run = Run(
        kiosks=args.kiosks,
        duration_s=args.duration,
        heartbeat_s=args.heartbeat or (60 if args.kiosks <= _SMALL else 300),
        warm=warm,
        herd=args.herd,
        seed=args.seed,
    )
    with _database(args.database) as database, database_errors(database):
        report = asyncio.run(simulate(database, run, args.url))
    if args.json:
        say(json.dumps(report.as_json()))
    else:
        for line in report.lines():
            say(line)
    if not report.kept_up:
        raise KioskError("the simulator did not keep up: take fewer kiosks, or a faster machine")


@contextmanager
def _database(given: str | None) -> "Iterator[sa.URL]":
    """The one that is given, at the tables this version needs; else one for as long as the block.
    Never the one of the settings: a fleet may be in it."""
    import tempfile
    from pathlib import Path

    from kiosk.backend.books.database import parse_url
    from kiosk.backend.books.migrate import require_current, upgrade
    from kiosk.backend.cli.operations import database_errors
    from kiosk.backend.settings import load_settings

    if given is not None:
        url = load_settings({"database": given}).database_url
        with database_errors(url):
            require_current(url)
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="kiosk-simulation-") as directory:
        url = parse_url(f"sqlite:///{Path(directory) / 'kiosk.db'}")
        upgrade(url)
        yield url


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000000")
    return int(text)
