"""The commands that set rules: pause, resume, limit, site. Prints nothing; cheap to import."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from kiosk.errors import ConfigError

if TYPE_CHECKING:
    from kiosk.backend.books.rules import Limit, Scope
    from kiosk.backend.cli.operations import At

Say = Callable[[str], None]

_LIMITS = {
    "minutes_per_day": "minutes of conversation a day",
    "at_once": "visits at the same time",
    "presses_per_minute": "visits begun in a minute",
    "minutes_per_visit": "minutes that a visit may last",
}


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
    name: Callable[[str], str],
) -> None:
    """Add them; `name` reads the name of a site or kiosk."""
    for word, help_ in (("pause", "let no visit begin"), ("resume", "let visits begin again")):
        switch = commands.add_parser(word, parents=[common], help=f"{help_}; of the whole fleet")
        where = switch.add_mutually_exclusive_group()
        where.add_argument("--site", metavar="NAME", type=name, help="of this site only")
        where.add_argument("--kiosk", metavar="NAME", type=name, help="of this kiosk only")

        if word == "pause":
            switch.add_argument(
                "--now", action="store_true", help="visits under way end too, within seconds"
            )

    limit = commands.add_parser("limit", parents=[common], help="show the limits, or change some")
    whose = limit.add_mutually_exclusive_group()
    whose.add_argument("--fleet", action="store_true", help="of all kiosks together")
    whose.add_argument("--site", metavar="NAME", type=name, help="of this site")
    whose.add_argument("--kiosk", metavar="NAME", type=name, help="of this kiosk")
    whose.add_argument("--each-site", action="store_true", help="of any site without its own")
    whose.add_argument("--each-kiosk", action="store_true", help="of any kiosk without its own")
    for key, what in _LIMITS.items():
        option = f"--{key.replace('_', '-')}"
        limit.add_argument(option, metavar="N", type=_number, help=f"{what}, or none")

    site = commands.add_parser("site", parents=[common], help="show the sites, or set one up")
    site.add_argument("name", metavar="NAME", nargs="?", type=name, help="the site's name")
    site.add_argument("--time-zone", metavar="ZONE", help="such as Europe/Berlin")
    site.add_argument(
        "--hours", metavar="TEXT", help='such as "mon-fri 09:00-18:00; sat 10:00-16:00"'
    )


def _pause(args: argparse.Namespace, at: "At", say: Say) -> None:
    from kiosk.backend.cli import operations

    what = operations.pause(at, site=args.site, kiosk=args.kiosk, ends_visits=args.now)
    under_way = "end with their kiosk's next heartbeat" if args.now else "go on"
    say(f"paused {what}; visits under way {under_way}")


def _resume(args: argparse.Namespace, at: "At", say: Say) -> None:
    from kiosk.backend.cli import operations

    say(f"resumed {operations.resume(at, site=args.site, kiosk=args.kiosk)}")


def _limit(args: argparse.Namespace, at: "At", say: Say) -> None:
    from kiosk.backend.cli import operations

    given = {key: getattr(args, key) for key in _LIMITS if getattr(args, key) is not None}
    changes = {key: None if value < 0 else value for key, value in given.items()}
    scope_and_name = _whose(args)
    if scope_and_name is None:
        if changes:
            raise ConfigError("whose limit: --fleet, --site, --kiosk, --each-site or --each-kiosk")
        for line in operations.limits(at):
            say(_told(line))
        return
    if not changes:
        options = ", ".join(f"--{key.replace('_', '-')}" for key in _LIMITS)
        raise ConfigError(f"which limit: {options}")
    scope, name = scope_and_name
    _check_visit(changes.get("minutes_per_visit"))
    lines = operations.limits(at)
    mine = [each for each in lines if each.scope == scope and each.name in (name, "")]
    before = {} if not mine else {key: getattr(mine[-1], key) for key in _LIMITS}
    after = {**before, **changes}
    least = after.get("minutes_per_visit") or _usual_minutes()
    if 0 < (after.get("minutes_per_day") or 0) < least:
        raise ConfigError(
            f"--minutes-per-day: a visit begins when the longest it may last is left of the day, "
            f"so nothing from 1 to {least - 1} lets one begin; 0 lets none on purpose"
        )
    say(_told(operations.set_limit(at, scope, name, changes)))


def _site(args: argparse.Namespace, at: "At", say: Say) -> None:
    from kiosk.backend.cli import operations

    if args.name is None:
        for site in operations.sites(at):
            zone = site.time_zone or "the fleet's time zone"
            say(f"{site.name or '(no site)':16} {site.hours or 'always open'}, {zone}")
        return
    changes = {"time_zone": args.time_zone, "hours": args.hours}
    given = {key: value for key, value in changes.items() if value is not None}
    _check_site(given)
    operations.set_site(at, args.name, given)
    say(f"the site {args.name} is set up")


def _check_site(given: dict[str, str]) -> None:
    from kiosk.backend.books.hours import parse_hours

    if "time_zone" in given:
        require_time_zone(given["time_zone"])
    try:
        if "hours" in given:
            given["hours"] = str(parse_hours(given["hours"]))
    except ValueError as error:
        raise ConfigError(f"--{error}") from None


def require_time_zone(name: str) -> None:
    """Raises ConfigError unless there is such a time zone."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ConfigError(
            f"--time-zone: {name!r} is not one; right is, for example: Europe/Berlin"
        ) from None


def _whose(args: argparse.Namespace) -> "tuple[Scope, str] | None":
    from kiosk.backend.books.rules import Scope

    if args.site is not None or args.each_site:
        return Scope.SITE, args.site or ""
    if args.kiosk is not None or args.each_kiosk:
        return Scope.KIOSK, args.kiosk or ""
    return (Scope.FLEET, "") if args.fleet else None


def _told(line: "Limit") -> str:
    whose = f"{line.scope} {line.name}" if line.name else f"each {line.scope}"
    if line.scope == "fleet":
        whose = "fleet"
    numbers = {key: getattr(line, key) for key in _LIMITS}
    told = ", ".join(f"{n} {_LIMITS[key]}" for key, n in numbers.items() if n is not None)
    return f"{whose:16} {told or 'no limit'}"


def _check_visit(minutes: int | None) -> None:
    from kiosk.convai.agent_settings import LONGEST_S

    if minutes is not None and not 1 <= minutes <= LONGEST_S // 60:
        raise ConfigError(
            f"--minutes-per-visit: from 1 to {LONGEST_S // 60}, the longest conversation that the "
            "service allows; set the agent's max_duration_seconds to as much"
        )


def _usual_minutes() -> int:
    from kiosk.backend.books.admission import USUAL_VISIT_S

    return int(USUAL_VISIT_S // 60)


def _number(text: str) -> int:
    """-1 for none: None is what an option is that was not given."""
    if text == "none":
        return -1
    if not text.isdecimal() or int(text) > 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number up to 1000000, nor `none`")
    return int(text)


COMMANDS: dict[str, Callable[[argparse.Namespace, "At", Say], None]] = {
    "pause": _pause,
    "resume": _resume,
    "limit": _limit,
    "site": _site,
}
