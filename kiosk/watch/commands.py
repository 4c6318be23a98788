"""`kiosk watch`: on the machine that collects the journals."""

import argparse
from collections.abc import Callable
from pathlib import Path

_CONFIG = Path("/etc/kiosk-watch.toml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `kiosk watch`."""
    parser.add_argument(
        "--config", type=Path, default=_CONFIG, metavar="FILE", help=f"TOML settings ({_CONFIG})"
    )
    just = parser.add_mutually_exclusive_group()
    just.add_argument(
        "--check", action="store_true", help="check the settings and print the effective ones"
    )
    just.add_argument(
        "--test-alert", action="store_true", help="send one alert on every channel, then end"
    )


def run(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Watch, or what else was asked for; raises KioskError."""
    # Imported here: `kiosk status` on a Pi need not wait for it.
    from kiosk.ops import journal
    from kiosk.watch import trial_alert, watcher
    from kiosk.watch.channels import channels
    from kiosk.watch.settings import load_watch_settings, state_file
    from kiosk.watch.state import StateFile

    if not (args.check or args.test_alert):
        journal.setup("info")
    settings = load_watch_settings(args.config)
    if args.check:
        say(settings.model_dump_json(indent=2))
        return 0
    ways = channels(settings)
    if args.test_alert:
        return trial_alert.run(ways, say)
    return watcher.run(settings, StateFile(state_file(settings)), ways)
