"""The way to the server that opens conversations: its name, what stands between, its certificate,
its answer. With a public agent that server is the agent's own."""

import asyncio
import contextlib
import ipaddress
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

from kiosk.base import patience
from kiosk.base.hosts import is_loopback
from kiosk.config import Settings
from kiosk.contract import HEALTH_PATH
from kiosk.doctor.findings import Finding, Result, failed, passed, refused, skipped, warned
from kiosk.doctor.subject import Subject
from kiosk.errors import ProxyError
from kiosk.proxies import gets_through, proxied, proxy_mistake

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

# Each thing is asked once, and never what did not answer before it. Together less than the limit
# of the group: what hangs is told by its own check, with what to do.
NAME_S, HEALTH_S, CONNECTION_S = 3.0, 4.0, 3.5
PROVIDER_S = NAME_S + CONNECTION_S
# The client's own limit for each step closes what it opened; giving it up would leave that open.
_STEP_S = HEALTH_S - 0.25
_NEXT_ADDRESS_S = 0.25  # as the kiosk's own connections have it
_EXPIRES_SOON_DAYS = 14
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_PORTAL = "somebody else answers in its place, such as a captive portal: sign in, or let it pass"


@dataclass(frozen=True, slots=True)
class Server:
    """Whom the kiosk asks first. `base`: its address without a path; `ours`: it has a health
    address, and keeps the account."""

    what: str
    base: str
    host: str
    port: int
    secure: bool
    ours: bool


def server_of(settings: Settings) -> Server:
    """The backend; where the agent is public, the agent's host."""
    if settings.credentials.mode == "public":
        return _server("the agent's host", settings.agent.url, ours=False)
    url = settings.credentials.backend_url
    return _server("the backend", url, ours=urlsplit(url).path in ("", "/", "/v1/visits"))


def _server(what: str, url: str, *, ours: bool) -> Server:
    parts = urlsplit(url)
    secure = parts.scheme in ("https", "wss")
    port = parts.port or (443 if secure else 80)
    base = f"{'https' if secure else 'http'}://{parts.netloc}"
    return Server(what, base, parts.hostname or "", port, secure, ours)


def look(subject: Subject) -> Iterator[Finding]:
    server = server_of(subject.settings)
    named = _name(server)
    yield named
    if named.next_step is not None:
        yield _environment(usable=gets_through(server.host, http=server.ours))
        yield skipped("tls", f"{server.host} has no address")
        yield skipped("backend", f"{server.host} has no address")
        return
    usable = gets_through(server.host, http=server.ours)
    health = _tried(HEALTH_S, lambda: _health(server)) if server.ours and usable else None
    yield _between(server, health, _environment(usable=usable))
    silent = health is not None and health.silent
    needed = server.secure or not server.ours
    link = _tried(CONNECTION_S, lambda: _link(server)) if needed and not silent else None
    certified = _certificate(server, health if silent else link)
    yield certified
    if certified.result is Result.FAIL:
        yield skipped("backend", "its certificate comes first")
    elif not usable:
        yield skipped("backend", "the proxy comes first")
    elif health is not None:
        yield _answer(server, health)
    elif link is not None:
        yield _reachable(server, link)


def look_at_provider(subject: Subject) -> Iterator[Finding]:
    """Where conversations are held, unless the backend's signed URLs lead elsewhere."""
    check, settings = "provider", subject.settings
    if settings.credentials.mode == "public":
        yield skipped(check, "the same server as above")
        return
    server = _server("the agent's host", settings.agent.url, ours=False)
    link = _tried(PROVIDER_S, lambda: _link(server))
    if link.error is not None:
        step = f"let {server.host}:{server.port} pass, unless the backend's URLs lead elsewhere"
        yield warned(check, f"{server.host}: {link.why}", step)
        return
    yield passed(check, f"{server.host} answers in {link.taken_ms:.0f} ms")


# --- one check each -----------------------------------------------------------------------------


def _name(server: Server) -> Finding:
    check = "dns"
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(server.host)
        return passed(check, f"{server.host} is an address")
    found = _tried(NAME_S, lambda: _addresses(server))
    if found.error is not None or not found.value:
        return failed(check, f"{server.host}: {found.why}", _nameless(found.error))
    # The first of each family: they may go different ways.
    firsts = {each[0]: str(each[4][0]) for each in reversed(found.value)}
    value = f"{server.host} is {' and '.join(sorted(firsts.values()))}"
    return passed(check, f"{value}, in {found.taken_ms:.0f} ms")


def _nameless(error: Exception | None) -> str:
    again = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
    if not again and not isinstance(error, TimeoutError):
        return "is the network up (`ip address`), and does the name stand right in the settings?"
    servers = name_servers()
    if not servers:
        return "/etc/resolv.conf names no name server: is the network up (`ip address`)?"
    return (
        f"is the network up (`ip address`), do its name servers answer ({', '.join(servers)}), and "
        "is port 53 let through?"
    )


def name_servers(file: Path = Path("/etc/resolv.conf")) -> list[str]:
    """Whom the system asks for addresses."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [each[1] for each in words if each[:1] == ["nameserver"] and len(each) > 1]


def _environment(*, usable: bool) -> Finding:
    """Proxies that the environment names; a proxy may be meant."""
    check = "proxy"
    if (mistake := proxy_mistake()) is not None:
        if not usable:
            return refused(check, ProxyError(mistake), "unset it")
        what, _, step = mistake.partition("; ")
        return warned(check, f"{what}; nothing here goes through it", step)
    set_ = [name for name in (*_PROXIES, *map(str.upper, _PROXIES)) if os.environ.get(name)]
    if set_:
        step = f"unset {set_[0]}, unless the way really leads through it"
        return warned(check, f"the environment names a proxy: {', '.join(set_)}", step)
    return passed(check, "no proxy in this environment")


def _between(
    server: Server, health: "_Tried[httpx2.Response] | None", environment: Finding
) -> Finding:
    check = "proxy"
    answer = None if health is None else health.value
    if answer is None or environment.next_step is not None:
        return environment  # `tls` and `backend` tell why
    if answer.is_redirect:
        where = urlsplit(answer.headers.get("Location", "")).hostname or "elsewhere"
        return failed(check, f"{server.host} is redirected to {where}", _PORTAL)
    if answer.status_code == 200 and "html" in answer.headers.get("Content-Type", ""):
        return failed(check, f"{server.host} answers with a web page", _PORTAL)
    return environment


def _certificate(server: Server, tried: "_Tried[Any] | None") -> Finding:
    """`tried`: the connection; what was asked before, where that was not answered."""
    check = "tls"
    if not server.secure:
        if is_loopback(server.host):
            return skipped(check, "no TLS, on this machine")
        step = "put TLS in front of it, and write https:// (wss:// for an agent)"
        return warned(check, f"no TLS: {server.host} is asked in the clear", step)
    assert tried is not None
    if isinstance(error := tried.error, ssl.SSLCertVerificationError):
        return failed(check, f"{server.host}: {error.verify_message}", _trust(error.verify_message))
    if isinstance(error, ssl.SSLError):
        step = "does TLS answer there? The port may be that of plain HTTP"
        return failed(check, f"{server.host}:{server.port}: {error.reason or error}", step)
    if error is not None or tried.value is None:
        return skipped(check, f"{server.host}:{server.port}: {tried.why}")
    expires_s = ssl.cert_time_to_seconds(str(tried.value["notAfter"]))
    days = int((expires_s - time.time()) // 86_400)
    value = f"good for {days} days"
    if days < _EXPIRES_SOON_DAYS:
        return warned(check, value, f"renew the certificate of {server.host}")
    return passed(check, value)


def _trust(message: str) -> str:
    if "expired" in message or "not yet valid" in message:
        return "is the clock right (see clock)? Else renew the server's certificate"
    if "mismatch" in message or "not valid for" in message:
        return "write the name that stands in the server's certificate"
    return (
        "of an authority of your own: put its certificate into /usr/local/share/ca-certificates/ "
        "as NAME.crt, then `sudo update-ca-certificates` and start the kiosk again"
    )


def _answer(server: Server, health: "_Tried[httpx2.Response]") -> Finding:
    import httpx2

    check, answer = "backend", health.value
    if isinstance(health.error, httpx2.InvalidURL):
        return failed(check, "its address is none", "correct credentials.backend_url")
    if answer is None:
        step = f"does it run, and is {server.host}:{server.port} let through?"
        return failed(check, f"{server.base}: {health.why}", step)
    try:
        fine = answer.status_code == 200 and json.loads(answer.content).get("status") == "ok"
    except (ValueError, AttributeError, RecursionError):
        fine = False
    if fine:
        return passed(check, f"{server.base} answers in {health.taken_ms:.0f} ms")
    step = "is this a backend's address? See proxy, and the backend's own log"
    return failed(check, f"{server.base}{HEALTH_PATH}: HTTP {answer.status_code}", step)


def _reachable(server: Server, link: "_Tried[Mapping[str, object]]") -> Finding:
    """Nothing is asked of a stranger's server: an answer might cost something."""
    check = "backend"
    if link.error is not None:
        step = f"does it run, and is {server.host}:{server.port} let through?"
        return failed(check, f"{server.host}:{server.port}: {link.why}", step)
    value = f"{server.what} takes connections ({link.taken_ms:.0f} ms); no more was asked"
    return passed(check, value)


# --- the wire -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tried(Generic[T]):
    """What came of asking once; with an `error` there is no value."""

    limit_s: float
    taken_ms: float
    value: T | None = None
    error: Exception | None = None

    @property
    def silent(self) -> bool:
        return any(isinstance(each, TimeoutError) for each in _causes(self.error))

    @property
    def why(self) -> str:
        """What the system said, under the clients' wrapping."""
        if self.silent:
            return f"no answer in {self.limit_s:g} s"
        for each in _causes(self.error):
            if isinstance(each, socket.gaierror | ssl.SSLError) and each.strerror:
                return each.strerror
            # Of several addresses' failures only the text is left.
            if isinstance(each, OSError) and (found := re.search(r"Errno (\d+)", str(each))):
                return os.strerror(int(found[1]))
        return type(self.error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    pending = [error]
    while pending:
        if (each := pending.pop(0)) is not None:
            yield each
            pending += each.exceptions if isinstance(each, BaseExceptionGroup) else ()
            pending.append(each.__cause__ or each.__context__)


def _tried(limit_s: float, ask: Callable[[], Coroutine[Any, Any, T]]) -> _Tried[T]:
    """Ask, by the kiosk's own ways, within the limit."""
    import httpx2

    async def asked() -> T:
        async with asyncio.timeout(limit_s):
            return await ask()

    began_s = time.monotonic()
    value, error = None, None
    try:
        value = patience.run(asked())
    except (OSError, UnicodeError, httpx2.HTTPError, httpx2.InvalidURL) as why:
        error = why
    return _Tried(limit_s, (time.monotonic() - began_s) * 1000, value, error)


async def _addresses(server: Server) -> list[Any]:
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)


async def _health(server: Server) -> "httpx2.Response":
    import httpx2

    def build() -> httpx2.AsyncClient:
        return httpx2.AsyncClient(timeout=_STEP_S, follow_redirects=False)

    async with proxied(build) as client:
        return await client.get(server.base + HEALTH_PATH)


async def _link(server: Server) -> Mapping[str, object]:
    """A connection, with TLS as the kiosk's own requests have it; its certificate."""
    import httpx2

    context = httpx2.create_ssl_context() if server.secure else None
    transport, _ = await asyncio.get_running_loop().create_connection(
        asyncio.Protocol,
        server.host,
        server.port,
        ssl=context,
        happy_eyeballs_delay=_NEXT_ADDRESS_S,
    )
    transport.abort()
    certificate: Mapping[str, object] | None = transport.get_extra_info("peercert")
    return certificate or {}
