"""The commands about kiosks and those who operate them. Prints nothing; cheap to import."""

import argparse
import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kiosk.errors import ConfigError, KioskError

if TYPE_CHECKING:
    from kiosk.backend.books.liveness import KioskLine
    from kiosk.backend.cli.operations import At

Say = Callable[[str], None]

_POLICIES = ("warm", "open_hours", "on_press")
_ROLES = ("viewer", "operator", "admin")


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
    name: Callable[[str], str],
) -> None:
    """Add them; `name` reads the name of a kiosk, a site or a person."""
    enroll = commands.add_parser("enroll", parents=[common], help="let a kiosk in")
    enroll.add_argument("name", metavar="NAME", nargs="?", type=name, help="the kiosk's name")
    enroll.add_argument("--site", type=name, help="where it stands")
    how = enroll.add_mutually_exclusive_group()
    how.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        help="write the device token there (mode 0600) instead of saying it",
    )
    how.add_argument(
        "--code", action="store_true", help="say a one-time code instead, good for ten minutes"
    )
    how.add_argument(
        "--list",
        metavar="CSV",
        type=Path,
        help="let in all that are in it, a line `name,site` each; tokens go to --token-dir",
    )
    enroll.add_argument("--token-dir", metavar="DIR", type=Path, help="for --list")

    _add_fleet(commands, common, name)
    _add_people(commands, common, name)


def _add_fleet(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
    name: Callable[[str], str],
) -> None:
    revoke = commands.add_parser("revoke", parents=[common], help="shut a kiosk out, at once")
    revoke.add_argument("name", metavar="NAME", type=name, help="the kiosk's name")

    listing = commands.add_parser("kiosks", parents=[common], help="every kiosk, and how it is")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    listing.add_argument(
        "--differing",
        action="store_true",
        help="only those that run another version than they should; exit code 1 if any does",
    )

    fleet = commands.add_parser("fleet", parents=[common], help="what all kiosks are told")
    fleet.add_argument("--policy", choices=_POLICIES, help="when they ask for leases")
    fleet.add_argument(
        "--target-version",
        metavar="V",
        type=_version,
        help="the version they should run, or `none`; says which run another, and updates nobody",
    )
    fleet.add_argument("--time-zone", metavar="ZONE", help="of sites that have none of their own")

    character = commands.add_parser("character", parents=[common], help="whom visitors talk with")
    character.add_argument("character", metavar="CHARACTER", help="its name, or `none`")
    where = character.add_mutually_exclusive_group(required=True)
    where.add_argument("--site", metavar="NAME", type=name, help="at this site")
    where.add_argument("--kiosk", metavar="NAME", type=name, help="at this kiosk")


def _add_people(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
    name: Callable[[str], str],
) -> None:
    operator = commands.add_parser("operator", parents=[common], help="let an operator in, or out")
    operator.add_argument("what", choices=("add", "revoke"))
    operator.add_argument("name", metavar="NAME", type=name, help="the operator's name")
    operator.add_argument("--role", choices=_ROLES, default="viewer", help="(viewer)")

    audit = commands.add_parser("audit", parents=[common], help="who changed what")
    audit.add_argument("--limit", metavar="N", type=_up_to(10_000), default=20, help="so many (20)")

    purge = commands.add_parser("purge", parents=[common], help="forget transcripts")
    which = purge.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--older-than", metavar="DAYS", type=_up_to(36_500), help="those kept for longer"
    )
    which.add_argument("--conversation", metavar="ID", help="that of this conversation")


def _up_to(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or not 0 <= int(text[:9]) <= most or len(text) > 9:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number up to {most}")
        return int(text)

    return number


def _version(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.+_-]{1,32}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a version")
    return text


def _enroll(args: argparse.Namespace, at: "At", say: Say) -> None:
    from kiosk.backend.cli import operations

    if args.list is not None:
        if args.name is not None or args.token_dir is None:
            raise ConfigError("--list goes with --token-dir, and without a NAME")
        added = operations.enroll_many(at, _read_list(args.list), args.token_dir)
        say(f"enrolled {len(added)}; each device token is in {args.token_dir}/NAME.token")
        return
    if args.name is None:
        raise ConfigError("a NAME is missing, or --list")
    if args.code:
        say(f"{args.name} is let in by this one-time code, for ten minutes:")
        say(operations.invite(at, args.name, args.site or ""))
        return
    token = operations.enroll(at, args.name, args.site or "", args.token_file)
    if args.token_file is not None:
        say(f"enrolled {args.name}; its device token is in {args.token_file}")
        return
    say(f"enrolled {args.name}; its device token, which is not shown again:")
    say(token.reveal())  # alone on the last line, for scripts


def _read_list(path: Path) -> list[tuple[str, str]]:
    from kiosk.backend.cli.commands import read_name

    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    kiosks = []
    for number, line in enumerate(lines, 1):
        words = [word.strip() for word in line]
        if not any(words) or words[0].startswith("#"):
            continue
        if len(words) > 2:
            raise ConfigError(f"{path}, line {number}: name,site is all there is")
        try:
            kiosks.append((read_name(words[0]), read_name(words[1]) if words[1:] else ""))
        except argparse.ArgumentTypeError as error:
            raise ConfigError(f"{path}, line {number}: {error}") from None
    return kiosks


def _revoke(args: argparse.Namespace, at: "At", say: Say) -> None:
    from kiosk.backend.cli import operations

    operations.revoke(at, args.name)
    say(f"revoked {args.name}; its device token opens nothing any more")


def _kiosks(args: argparse.Namespace, at: "At", say: Say) -> None:
    import dataclasses
    import json

    from kiosk.backend.cli import operations

    lines = operations.kiosks(at)
    if args.differing:
        if lines and lines[0].target_version is None:
            raise ConfigError("differing from what: `kiosk backend fleet --target-version V`")
        count, lines = len(lines), [line for line in lines if line.differs]
    for line in lines:
        say(json.dumps(dataclasses.asdict(line), default=str) if args.json else _shown(line))
    if args.differing and lines:
        target = lines[0].target_version
        raise KioskError(f"{len(lines)} of {count} kiosks run another version than {target}")


def _shown(line: "KioskLine") -> str:
    seen = "" if line.seen_at is None else f"{line.seen_at:%Y-%m-%d %H:%M:%S}"
    cloned = "  two kiosks use its token" if line.cloned_at is not None else ""
    differs = f"  should run {line.target_version}" if line.differs else ""
    how = f"{line.state or ''} {line.cause or ''}"
    return (
        f"{line.name:16} {line.site:12} {line.presence:10} {seen:19} {line.version or '':8} "
        f"{how}{cloned}{differs}".rstrip()
    )


def _fleet(args: argparse.Namespace, at: "At", say: Say) -> None:
    from kiosk.backend.cli import operations
    from kiosk.backend.cli.rule_commands import require_time_zone

    changes = {
        "lease_policy": args.policy,
        "target_version": args.target_version,
        "time_zone": args.time_zone,
    }
    given = {key: value for key, value in changes.items() if value is not None}
    if not given:
        raise ConfigError("what to tell: --policy, --target-version or --time-zone")
    if args.time_zone is not None:
        require_time_zone(args.time_zone)
    target = given.get("target_version")
    operations.set_fleet(at, given | ({"target_version": None} if target == "none" else {}))
    say("kiosks are told with their next heartbeat")
    if target not in (None, "none"):
        lines = operations.kiosks(at)
        differing = [line for line in lines if line.differs]
        say(f"{len(differing)} of {len(lines)} kiosks run another version than {target}")
        for line in differing:
            say(_shown(line))


def _character(args: argparse.Namespace, at: "At", say: Say) -> None:
    from kiosk.backend.books.rules import Scope
    from kiosk.backend.cli import operations
    from kiosk.backend.settings import load_settings

    directory = load_settings().characters_dir
    chosen = None if args.character == "none" else args.character
    if chosen is not None and directory is not None:
        from kiosk.backend.characters.files import load_characters

        known = load_characters(directory)
        if chosen not in known:
            names = ", ".join(sorted(known)) or "none yet"
            raise ConfigError(f"no character named {chosen} in {directory}; there are: {names}")
    elif chosen is not None:
        raise ConfigError("no characters: set KIOSK_BACKEND_CHARACTERS_DIR to their directory")
    scope, name = (Scope.SITE, args.site) if args.site is not None else (Scope.KIOSK, args.kiosk)
    operations.assign(at, scope, name, chosen)
    say(f"from the next lease on, visitors at the {scope} {name} talk with {args.character}")


def _operator(args: argparse.Namespace, at: "At", say: Say) -> None:
    from kiosk.backend.books.operators import Role
    from kiosk.backend.cli import operations

    if args.what == "revoke":
        operations.revoke_operator(at, args.name)
        say(f"revoked {args.name}; their token opens nothing any more")
        return
    token = operations.add_operator(at, args.name, Role(args.role))
    say(f"{args.name} is in as {args.role}; their token, which is not shown again:")
    say(token.reveal())  # alone on the last line, for scripts


def _audit(args: argparse.Namespace, at: "At", say: Say) -> None:
    from kiosk.backend.cli import operations

    for line in operations.audit(at, args.limit):
        say(f"{line.at:%Y-%m-%d %H:%M:%S}  {line.who:16} {line.action:16} {line.subject}".rstrip())


def _purge(args: argparse.Namespace, at: "At", say: Say) -> None:
    from kiosk.backend.cli import operations

    count = operations.purge(at, args.older_than, args.conversation)
    say(f"forgot {count} transcript(s)")


COMMANDS: dict[str, Callable[[argparse.Namespace, "At", Say], None]] = {
    "enroll": _enroll,
    "revoke": _revoke,
    "kiosks": _kiosks,
    "fleet": _fleet,
    "character": _character,
    "operator": _operator,
    "audit": _audit,
    "purge": _purge,
}
