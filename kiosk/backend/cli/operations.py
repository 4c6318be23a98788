"""Operations on the database, for operators. Says nothing, serves nothing."""

import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from kiosk.backend.books.costs import CostBy, CostReport, Days
from kiosk.backend.books.database import DatabaseDownError, shown
from kiosk.backend.books.history import VisitChoice, VisitCursor, VisitLine
from kiosk.backend.books.liveness import KioskLine
from kiosk.backend.books.migrate import grant, require_current, upgrade
from kiosk.backend.books.operators import COMMAND_LINE, AuditLine, Role
from kiosk.backend.books.rules import Limit, Scope, Site
from kiosk.backend.books.store import Store, open_store
from kiosk.backend.tokens import DeviceToken, OperatorToken, new_code
from kiosk.base import patience
from kiosk.errors import KioskError, UnavailableError

T = TypeVar("T")

_PAGE = 1000
_LISTED_BY = {Scope.KIOSK: "kiosks", Scope.SITE: "site"}


class EnrolledAlreadyError(KioskError):
    """A live kiosk has that name."""


@dataclass(frozen=True, slots=True)
class At:
    """Which database, and whose rows in it."""

    url: sa.URL
    tenant: str


def init(at: At, serving_role: str = "") -> bool:
    """Create or migrate the database, and on PostgreSQL let the role serve from it; False if
    nothing was to do. Raises KioskError."""
    with database_errors(at.url):
        changed = upgrade(at.url)
        if serving_role:
            grant(at.url, serving_role)
    return changed


def add_tenant(at: At, name: str, role: str | None) -> bool:
    """Make a tenant; `role` is a PostgreSQL role that sees its rows only. False if it was there."""

    async def add(store: Store) -> bool:
        return await store.registry.add_tenant(name, role, datetime.now(UTC))

    return _with_store(at, add)


def enroll(at: At, name: str, site: str, token_file: Path | None) -> DeviceToken:
    """Let a kiosk in; its token also goes to `token_file`, if one is given. Raises KioskError."""
    token = DeviceToken.new()

    async def add(store: Store) -> bool:
        return await store.registry.enroll(at.tenant, name, site, token, datetime.now(UTC))

    # The file is written before the database and gets its name after it: a full disk enrolls
    # nobody, and a name that is taken overwrites no file.
    with _secret_file(token_file, token.reveal()) if token_file else nullcontext():
        if not _with_store(at, add, f"enrolled {name}"):
            raise _enrolled_already(name)
    return token


def enroll_many(at: At, kiosks: Iterable[tuple[str, str]], directory: Path) -> list[str]:
    """Enrol several, (name, site) each, with a file NAME.token in the directory for each; the
    names. One that is enrolled already is left as it is, so that a list may be given again.
    Raises KioskError."""
    added = []
    for name, site in kiosks:
        with contextlib.suppress(EnrolledAlreadyError):
            enroll(at, name, site, directory / f"{name}.token")
            added.append(name)
    return added


def invite(at: At, name: str, site: str) -> str:
    """A one-time code that lets a kiosk in; good for ten minutes. Raises KioskError."""
    code = new_code()

    async def add(store: Store) -> bool:
        return await store.registry.invite(at.tenant, name, site, code, datetime.now(UTC))

    if not _with_store(at, add, f"invited {name}"):
        raise _enrolled_already(name)
    return code


def kiosks(at: At) -> list[KioskLine]:
    """Every kiosk, and how it is. Raises KioskError."""
    return _with_store(at, lambda store: store.liveness.kiosks(at.tenant, datetime.now(UTC)))


def add_operator(at: At, name: str, role: Role) -> OperatorToken:
    """Let an operator in. Raises KioskError."""
    token = OperatorToken.new()

    async def add(store: Store) -> bool:
        return await store.operators.add(at.tenant, name, role, token, datetime.now(UTC))

    if not _with_store(at, add):
        raise KioskError(
            f"{name} is an operator already: choose another name, "
            f"or run `kiosk backend operator revoke {name}` first"
        )
    return token


def revoke_operator(at: At, name: str) -> None:
    """Shut an operator out, at once. Raises KioskError."""

    async def shut_out(store: Store) -> bool:
        return await store.operators.revoke(at.tenant, name, datetime.now(UTC))

    if not _with_store(at, shut_out):
        raise KioskError(f"no operator named {name} is in, or they are revoked already")


def audit(at: At, limit: int) -> list[AuditLine]:
    """Who changed what, the newest first. Raises KioskError."""
    return _with_store(at, lambda store: store.operators.audit(at.tenant, limit))


def set_fleet(at: At, changes: Mapping[str, str | None]) -> None:
    """Change what all kiosks are told. Raises KioskError."""
    told = ", ".join(f"{key}={value}" for key, value in changes.items())
    _with_store(at, lambda store: store.rules.set_fleet(at.tenant, changes), f"told fleet: {told}")


def assign(at: At, scope: Scope, name: str, character: str | None) -> None:
    """Choose whom visitors talk with there. Raises KioskError."""

    async def put(store: Store) -> None:
        await _require(store, at, scope, name)
        await store.rules.assign(at.tenant, scope, name, character)

    _with_store(at, put, f"assigned {scope} {name}: {character}")


def purge(at: At, days: int | None, conversation_id: str | None) -> int:
    """Forget transcripts, and how many. Raises KioskError."""
    before = None if days is None else datetime.now(UTC) - timedelta(days=days)

    async def forget(store: Store) -> int:
        return await store.confirmations.purge(
            at.tenant, before=before, conversation_id=conversation_id
        )

    return _with_store(at, forget, f"purged transcripts {conversation_id or ''}".rstrip())


def revoke(at: At, name: str) -> None:
    """Revoke a kiosk, at once. Raises KioskError if there is none of this name."""

    async def shut_out(store: Store) -> bool:
        return await store.registry.revoke(at.tenant, name, datetime.now(UTC))

    if not _with_store(at, shut_out, f"revoked {name}"):
        raise KioskError(f"no kiosk named {name} is enrolled, or it is revoked already")


def tell_visits(
    at: At, limit: int | None, choice: VisitChoice, tell: Callable[[list[VisitLine]], None]
) -> int:
    """Tell the newest visits of the choice that somebody pressed for, a page at a time, all of them
    without a limit; how many. Raises KioskError."""

    async def read(store: Store) -> int:
        for scope, name in ((Scope.KIOSK, choice.kiosk), (Scope.SITE, choice.site)):
            if name is not None and not await store.registry.knows(at.tenant, scope, name):
                raise KioskError(
                    f"no {scope} named {name} is known: see `kiosk backend {_LISTED_BY[scope]}`"
                )
        page, count = choice, 0
        while limit is None or count < limit:
            wanted = _PAGE if limit is None else min(_PAGE, limit - count)
            lines = await store.history.latest(at.tenant, wanted, page)
            tell(lines)
            count += len(lines)
            if len(lines) < wanted or (begun := lines[-1].admitted_at) is None:
                break
            page = replace(page, after=VisitCursor(begun, lines[-1].id))
        return count

    return _with_store(at, read)


def costs(at: At, by: CostBy, days: Days, today: date, budget: int) -> CostReport:
    """What days, kiosks or sites cost, and the month. Raises KioskError."""
    return _with_store(at, lambda store: store.costs.report(at.tenant, by, days, today, budget))


def pause(
    at: At, *, site: str | None = None, kiosk: str | None = None, ends_visits: bool = False
) -> str:
    """Let no visit begin, anywhere or there, and with `ends_visits` none go on; says what is
    paused. Raises KioskError."""
    scope, name = _scope(site, kiosk)

    async def put(store: Store) -> bool:
        await _require(store, at, scope, name)
        now = datetime.now(UTC)
        return await store.rules.pause(at.tenant, scope, name, now, ends_visits=ends_visits)

    if not _with_store(at, put, f"paused {scope} {name}".rstrip()):
        raise KioskError(f"{_named(scope, name)} is paused already: `kiosk backend resume` ends it")
    return _named(scope, name)


def resume(at: At, *, site: str | None = None, kiosk: str | None = None) -> str:
    """Undo `pause` there; says what goes on, and what does not. Raises KioskError."""
    scope, name = _scope(site, kiosk)

    async def lift(store: Store) -> bool:
        return await store.rules.resume(at.tenant, scope, name)

    lifted = _with_store(at, lift, f"resumed {scope} {name}".rstrip())
    left = _with_store(at, lambda store: store.rules.paused(at.tenant))
    still = "; paused still: " + ", ".join(_named(*pause) for pause in left) if left else ""
    if not lifted:
        raise KioskError(f"{_named(scope, name)} is not paused{still}")
    return _named(scope, name) + still


def limits(at: At) -> list[Limit]:
    """Every line of limits. Raises KioskError."""
    return _with_store(at, lambda store: store.rules.limits(at.tenant))


def set_limit(at: At, scope: Scope, name: str, changes: Mapping[str, int | None]) -> Limit:
    """Change a line of limits; the name "" is the fleet, or every site or kiosk without a line of
    its own. Raises KioskError."""

    async def put(store: Store) -> Limit:
        if name:
            await _require(store, at, scope, name)
        return await store.rules.set_limit(at.tenant, scope, name, changes)

    told = ", ".join(f"{key}={value}" for key, value in changes.items())
    return _with_store(at, put, f"limited {scope} {name}: {told}")


def sites(at: At) -> list[Site]:
    """Every site. Raises KioskError."""
    return _with_store(at, lambda store: store.rules.sites(at.tenant))


def set_site(at: At, name: str, changes: Mapping[str, str | None]) -> None:
    """Make a site, or change its time zone or hours. Raises KioskError."""
    told = ", ".join(f"{key}={value}" for key, value in changes.items())
    work = f"set site {name}: {told}"
    _with_store(at, lambda store: store.rules.set_site(at.tenant, name, changes), work)


async def _require(store: Store, at: At, scope: Scope, name: str) -> None:
    if not await store.registry.knows(at.tenant, scope, name):
        raise KioskError(f"no {scope} named {name}: `kiosk backend enroll` makes one")


def _enrolled_already(name: str) -> EnrolledAlreadyError:
    return EnrolledAlreadyError(
        f"{name} is enrolled already: choose another name, "
        f"or run `kiosk backend revoke {name}` first"
    )


def _scope(site: str | None, kiosk: str | None) -> tuple[Scope, str]:
    if kiosk is not None:
        return Scope.KIOSK, kiosk
    return (Scope.FLEET, "") if site is None else (Scope.SITE, site)


def _named(scope: Scope, name: str) -> str:
    return "the whole fleet" if scope is Scope.FLEET else f"the {scope} {name}"


def _with_store(at: At, work: Callable[[Store], Awaitable[T]], noted: str | None = None) -> T:
    """`noted` is what the audit log says if the work's result is true, or None."""

    async def run() -> T:
        async with open_store(at.url) as store:
            if not await store.registry.knows_tenant(at.tenant):
                raise KioskError(
                    f"no tenant named {at.tenant}: `kiosk backend tenant {at.tenant}` makes it"
                )
            done = await work(store)
            if noted is not None and done is not False:
                action, _, subject = noted.partition(" ")
                now = datetime.now(UTC)
                await store.operators.record(at.tenant, COMMAND_LINE, action, subject, now)
            return done

    with database_errors(at.url):
        require_current(at.url)
        return patience.run(run())


@contextmanager
def database_errors(url: sa.URL) -> Iterator[None]:
    """What the database refuses becomes an UnavailableError that names it."""
    try:
        yield
    except DBAPIError as error:
        raise UnavailableError(f"the database {shown(url)}: {error.orig}") from None
    except (DatabaseDownError, OSError, OverflowError) as error:
        raise UnavailableError(f"the database {shown(url)} does not answer: {error}") from None


@contextmanager
def _secret_file(path: Path, text: str) -> Iterator[None]:
    """`path` holds `text`, mode 0600, whole or not at all, once the block has succeeded."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with _write_errors(path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(temporary, flags, 0o600), "w") as new:
                new.write(text + "\n")
                new.flush()
                os.fsync(new.fileno())
        yield
        with _write_errors(path):
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"cannot write {path}: {error.strerror}") from None
