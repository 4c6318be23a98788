"""The backend's commands, for the command line to hang in. Prints nothing; cheap to import.

Whatever the `[backend]` extra brings is imported only when a command runs.
"""

import argparse
import gc
import importlib.util
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from kiosk.backend.cli import (
    agent_commands,
    backup_commands,
    cost_command,
    fleet_commands,
    rule_commands,
)
from kiosk.base.names import RECORD_NAME
from kiosk.errors import UnavailableError

if TYPE_CHECKING:
    from kiosk.backend.books.history import VisitLine
    from kiosk.backend.cli.operations import At
    from kiosk.backend.settings import BackendSettings

Say = Callable[[str], None]

_EXTRA = (
    "aiosqlite",
    "alembic",
    "asyncpg",
    "fastapi",
    "jinja2",
    "prometheus_client",
    "sqlalchemy",
    "uvicorn",
)
# It stands in log lines and on the command line, so: no spaces, no surprises.
# Objects made and not yet gone. Python's own 700 is half a second's of a busy server.
_SEARCHED_AFTER = 5000
_FEW = 20  # visits


Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def add_commands(parser: argparse.ArgumentParser) -> tuple[Subparsers, argparse.ArgumentParser]:
    """Add `init`, `enroll` and the others; the choice is left in `backend_command`. Returns where
    more may be hung in, and the options that all of them have."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--database", metavar="URL", help="sqlite:///PATH or postgresql://USER@HOST/NAME"
    )
    common.add_argument("--tenant", metavar="NAME", type=read_name, help="whose kiosks (default)")
    commands = parser.add_subparsers(dest="backend_command", metavar="COMMAND", required=True)

    init = commands.add_parser("init", parents=[common], help="create or migrate the database")
    init.add_argument(
        "--serving-role", metavar="ROLE", help="the PostgreSQL role that `serve` will run as"
    )

    tenant = commands.add_parser("tenant", parents=[common], help="make a tenant")
    tenant.add_argument("name", metavar="NAME", type=read_name, help="the tenant's name")
    tenant.add_argument(
        "--database-role", metavar="ROLE", help="a PostgreSQL role that sees its rows only"
    )

    visits = commands.add_parser("visits", parents=[common], help="the latest visits")
    visits.add_argument("--kiosk", metavar="NAME", type=read_name, help="of this kiosk only")
    visits.add_argument("--site", metavar="NAME", type=read_name, help="of this site only")
    visits.add_argument("--since", metavar="TIME", type=_moment, help="begun then or later, in UTC")
    visits.add_argument("--until", metavar="TIME", type=_moment, help="begun before then, in UTC")
    visits.add_argument("--limit", metavar="N", type=_count, help="so many (20; of a range all)")
    form = visits.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--csv", action="store_true", help="for a spreadsheet")

    rule_commands.add_commands(commands, common, read_name)
    fleet_commands.add_commands(commands, common, read_name)
    agent_commands.add_agent_commands(commands, common)
    backup_commands.add_commands(commands, common)
    cost_command.add_command(commands, common)
    commands.add_parser("openapi", help="say the contract, as OpenAPI")

    serve = commands.add_parser("serve", parents=[common], help="answer kiosks until stopped")
    serve.add_argument("--host", help="address to listen on")
    serve.add_argument("--port", help="TCP port to listen on; 0 takes a free one")
    serve.add_argument("--provider-url", metavar="URL", help="where the ElevenLabs API is")
    serve.add_argument("--agent-id", metavar="ID", help="the agent visitors talk with")
    return commands, common


def run(args: argparse.Namespace, say: Say) -> int:
    """Run the chosen command, report by `say`, return the exit code; raises KioskError."""
    require_extra()
    word = args.backend_command
    if (change := _CHANGES.get(word)) is not None:
        change(args, _at(args), say)
    else:
        _COMMANDS[word](args, say)
    return 0


def _settings(args: argparse.Namespace) -> "BackendSettings":
    from kiosk.backend.settings import load_settings

    return load_settings({"database": args.database, "tenant": args.tenant})


def _at(args: argparse.Namespace) -> "At":
    from kiosk.backend.cli.operations import At

    settings = _settings(args)
    return At(settings.database_url, settings.tenant)


def _init(args: argparse.Namespace, say: Say) -> None:
    from kiosk.backend.books.database import shown
    from kiosk.backend.cli import operations

    at = _at(args)
    changed = operations.init(at, args.serving_role or _settings(args).serving_role)
    say(f"the database {shown(at.url)} is {'ready' if changed else 'up to date already'}")


def _tenant(args: argparse.Namespace, say: Say) -> None:
    from kiosk.backend.cli import operations

    added = operations.add_tenant(_at(args), args.name, args.database_role)
    say(f"the tenant {args.name} {'is made' if added else 'was there already'}")
    if args.database_role is not None:
        say(f"the role {args.database_role} sees its rows only")


def _visits(args: argparse.Namespace, say: Say) -> None:
    import dataclasses
    import json

    from kiosk.backend.books.history import VisitChoice, VisitLine
    from kiosk.backend.books.spreadsheet import write_csv
    from kiosk.backend.cli import operations

    has_head = False

    def tell(found: list[VisitLine]) -> None:
        nonlocal has_head
        if args.csv:
            if text := write_csv(found, with_head=not has_head).rstrip("\r\n"):
                say(text.replace("\r\n", "\n"))
            has_head = True
            return
        for visit in found:
            say(json.dumps(dataclasses.asdict(visit), default=str) if args.json else _told(visit))

    choice = VisitChoice(args.kiosk, args.site, args.since, args.until)
    in_range = args.since is not None or args.until is not None
    limit = args.limit or (None if in_range else _FEW)
    if not operations.tell_visits(_at(args), limit, choice, tell) and not args.json | args.csv:
        say("no such visits" if in_range else "no visits yet")


def _told(visit: "VisitLine") -> str:
    length = "" if visit.duration_s is None else f"{visit.duration_s:.0f} s"
    return (
        f"{visit.admitted_at:%Y-%m-%d %H:%M:%S}  {visit.kiosk:16} {visit.state:9}"
        f"{length:>6}  {visit.outcome or '':20} {visit.verdict or '':6} "
        f"{visit.spoilt_by or '':16} {visit.conversation_id or ''}"
    ).rstrip()


def _serve(args: argparse.Namespace, say: Say) -> None:
    from kiosk.backend import settings as of
    from kiosk.backend.books.migrate import (
        require_current,
        require_lasting_connections,
        require_serving_role,
    )
    from kiosk.backend.characters.files import load_characters
    from kiosk.backend.cli.operations import database_errors
    from kiosk.backend.server import Secrets, serve
    from kiosk.base import patience

    names = ("database", "tenant", "host", "port", "provider_url", "agent_id")
    settings = of.load_settings({name: getattr(args, name) for name in names})
    of.require_agent(settings)
    secrets = Secrets(
        of.read_api_key(settings),
        of.read_webhook_secrets(settings),
        of.read_llm_secrets(settings),
        of.read_model_key(settings),
    )
    characters = load_characters(settings.characters_dir) if settings.characters_dir else {}
    with database_errors(settings.database_url):
        require_current(settings.database_url)
        require_serving_role(settings.database_url)
        require_lasting_connections(settings.database_url)
    _log_to_stderr()

    def listening(url: str) -> None:
        _calm_the_collector()
        say(f"listening on {url}")

    patience.run(serve(settings, secrets, characters, listening))


def _calm_the_collector() -> None:
    """Take what the server is made of out of every later search for garbage: each would go through
    its 165,000 objects, and with 1000 conversations open nobody is answered for 0.3 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_SEARCHED_AFTER)


def _openapi(_args: argparse.Namespace, say: Say) -> None:
    import json

    from kiosk.backend.web.app import contract

    say(json.dumps(contract(), indent=2, sort_keys=True))


_CHANGES = rule_commands.COMMANDS | fleet_commands.COMMANDS
_COMMANDS: dict[str, Callable[[argparse.Namespace, Say], None]] = {
    **backup_commands.COMMANDS,
    "costs": cost_command.run_costs,
    "init": _init,
    "tenant": _tenant,
    "agent": agent_commands.run_agent,
    "openapi": _openapi,
    "visits": _visits,
    "serve": _serve,
}


def require_extra() -> None:
    """Raises UnavailableError if the `[backend]` extra is not installed."""
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(
            f"the backend needs {', '.join(missing)}: pip install 'voice-kiosk[backend]'"
        )


def _log_to_stderr() -> None:
    # Only if nobody has set up logging; the HTTP client's lines name URLs with their queries.
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)


def read_name(text: str) -> str:
    """The name of a kiosk, a site or a person; raises ArgumentTypeError."""
    if not RECORD_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a name: up to 64 letters, digits, dots, dashes or underscores"
        )
    return text


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: such as 2026-11-30, or 2026-11-30T18:00+01:00"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 10000")
    return int(text)
