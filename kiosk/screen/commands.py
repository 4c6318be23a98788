"""`kiosk screen`: the page for a display beside the kiosk."""

import argparse
from collections.abc import Callable
from functools import cache

from kiosk.config import Settings
from kiosk.visit.languages import Language, load_language

_FEWEST_LINES = 4
_LINE_HEIGHT = 1.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `kiosk screen`."""
    parser.add_argument("--port", type=int, metavar="PORT", help="default: screen.port")


def run(args: argparse.Namespace, settings: Settings, say: Callable[[str], None]) -> int:
    """Serve it until stopped; raises KioskError."""
    from kiosk.base import patience
    from kiosk.ops import journal
    from kiosk.screen.server import ScreenServer
    from kiosk.screen.view import Screen, type_size_vh

    journal.setup("info")
    control, table = settings.control, settings.screen
    size_vh = type_size_vh(table.reading_distance_m, table.height_mm)
    lines = int(100 / size_vh / _LINE_HEIGHT)
    if lines < _FEWEST_LINES:
        say(
            f"screen.height_mm: to be read from {table.reading_distance_m:g} m the type is so "
            f"large that {lines} lines fit"
        )
    if not control.captions:
        say("control.captions is off: the page shows what the kiosk says itself, and no captions")
    screen = Screen(
        _languages(settings), settings.kiosk.language, held=settings.button.mode == "hold"
    )
    server = ScreenServer(control.read_socket or control.socket, screen, size_vh)
    port = table.port if args.port is None else args.port
    patience.run(server.run(port, say))
    return 0


def _languages(settings: Settings) -> Callable[[str], Language]:
    """By code; the site's own for one that nobody here knows."""

    @cache
    def language(code: str) -> Language:
        known = code if code in settings.languages else settings.kiosk.language
        return load_language(known, settings.kiosk.sentences_dir)

    return language
