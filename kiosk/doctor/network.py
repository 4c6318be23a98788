"""The way to the server that opens conversations: its name, what stands between, its certificate,
its answer. With a public agent that server is the agent's own."""

import contextlib
import ipaddress
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kiosk.config import Settings
from kiosk.contract import HEALTH_PATH
from kiosk.doctor.findings import Finding, failed, passed, refused, skipped, warned
from kiosk.doctor.subject import Subject
from kiosk.errors import ProxyError
from kiosk.proxies import proxied, proxy_mistake

if TYPE_CHECKING:
    import httpx2

_CONNECT_S = 4.0
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
        yield _environment()
        yield skipped("tls", f"{server.host} has no address")
        yield skipped("backend", f"{server.host} has no address")
        return
    yield _between(server)
    certified = _certificate(server)
    yield certified
    if certified.next_step is not None and server.secure and certified.result == "fail":
        yield skipped("backend", "its certificate comes first")
    elif proxy_mistake() is not None:
        yield skipped("backend", "the proxy comes first")
    else:
        yield _answer(server)


def look_at_provider(subject: Subject) -> Iterator[Finding]:
    """Where conversations are held, unless the backend's signed URLs lead elsewhere."""
    check, settings = "provider", subject.settings
    if settings.credentials.mode == "public":
        yield skipped(check, "the same server as above")
        return
    server = _server("the agent's host", settings.agent.url, ours=False)
    try:
        taken_ms = _connect_ms(server)
    except (OSError, UnicodeError) as error:
        step = f"let {server.host}:{server.port} pass, unless the backend's URLs lead elsewhere"
        yield warned(check, f"{server.host}: {_reason(error)}", step)
        return
    yield passed(check, f"{server.host} answers in {taken_ms:.0f} ms")


# --- one check each -----------------------------------------------------------------------------


def _name(server: Server) -> Finding:
    check = "dns"
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(server.host)
        return passed(check, f"{server.host} is an address")
    began_s = time.monotonic()
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        step = "is the network up (`ip address`), and does the name stand right in the settings?"
        return failed(check, f"{server.host}: {_reason(error)}", step)
    taken_ms = (time.monotonic() - began_s) * 1000
    return passed(check, f"{server.host} is {found[0][4][0]}, in {taken_ms:.0f} ms")


def _environment() -> Finding:
    """Proxies that the environment names; a proxy may be meant."""
    check = "proxy"
    if (mistake := proxy_mistake()) is not None:
        return refused(check, ProxyError(mistake), "unset it")
    set_ = [name for name in (*_PROXIES, *map(str.upper, _PROXIES)) if os.environ.get(name)]
    if set_:
        step = f"unset {set_[0]}, unless the way really leads through it"
        return warned(check, f"the environment names a proxy: {', '.join(set_)}", step)
    return passed(check, "no proxy in this environment")


def _between(server: Server) -> Finding:
    check, environment = "proxy", _environment()
    if not server.ours or environment.next_step is not None:
        return environment
    import httpx2

    try:
        answer = _get(server)
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return environment  # `tls` and `backend` tell why
    if answer.is_redirect:
        where = urlsplit(answer.headers.get("Location", "")).hostname or "elsewhere"
        return failed(check, f"{server.host} is redirected to {where}", _PORTAL)
    if answer.status_code == 200 and "html" in answer.headers.get("Content-Type", ""):
        return failed(check, f"{server.host} answers with a web page", _PORTAL)
    return environment


def _certificate(server: Server) -> Finding:
    check = "tls"
    if not server.secure:
        if server.host == "localhost" or _is_loopback(server.host):
            return skipped(check, "no TLS, on this machine")
        step = "put TLS in front of it, and write https:// (wss:// for an agent)"
        return warned(check, f"no TLS: {server.host} is asked in the clear", step)
    try:
        with _connected(server) as connection:
            certificate = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else {}
    except ssl.SSLCertVerificationError as error:
        return failed(check, f"{server.host}: {error.verify_message}", _trust(error.verify_message))
    except ssl.SSLError as error:
        step = "does TLS answer there? The port may be that of plain HTTP"
        return failed(check, f"{server.host}:{server.port}: {error.reason or error}", step)
    except (OSError, UnicodeError) as error:
        return skipped(check, f"{server.host}:{server.port}: {_reason(error)}")
    expires_s = ssl.cert_time_to_seconds(str((certificate or {}).get("notAfter")))
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


def _answer(server: Server) -> Finding:
    check = "backend"
    if not server.ours:
        return _reachable(check, server)
    import httpx2

    began_s = time.monotonic()
    try:
        answer = _get(server)
    except httpx2.InvalidURL:
        return failed(check, "its address is none", "correct credentials.backend_url")
    except httpx2.HTTPError as error:
        step = f"does it run, and is {server.host}:{server.port} let through?"
        return failed(check, f"{server.base}: {_words(error)}", step)
    taken_ms = (time.monotonic() - began_s) * 1000
    try:
        fine = answer.status_code == 200 and json.loads(answer.content).get("status") == "ok"
    except (ValueError, AttributeError, RecursionError):
        fine = False
    if fine:
        return passed(check, f"{server.base} answers in {taken_ms:.0f} ms")
    step = "is this a backend's address? See proxy, and the backend's own log"
    return failed(check, f"{server.base}{HEALTH_PATH}: HTTP {answer.status_code}", step)


def _reachable(check: str, server: Server) -> Finding:
    """Nothing is asked of a stranger's server: an answer might cost something."""
    try:
        taken_ms = _connect_ms(server)
    except (OSError, UnicodeError) as error:
        step = f"does it run, and is {server.host}:{server.port} let through?"
        return failed(check, f"{server.host}:{server.port}: {_reason(error)}", step)
    return passed(check, f"{server.what} takes connections ({taken_ms:.0f} ms); no more was asked")


# --- the wire -----------------------------------------------------------------------------------


def _get(server: Server) -> "httpx2.Response":
    import httpx2

    with proxied(lambda: httpx2.Client(timeout=_CONNECT_S, follow_redirects=False)) as client:
        return client.get(server.base + HEALTH_PATH)


def _connect_ms(server: Server) -> float:
    """How long it takes; raises OSError and UnicodeError."""
    began_s = time.monotonic()
    with _connected(server):
        return (time.monotonic() - began_s) * 1000


@contextlib.contextmanager
def _connected(server: Server) -> Iterator[socket.socket]:
    """A connection, with TLS as the kiosk's own requests have it."""
    with socket.create_connection((server.host, server.port), timeout=_CONNECT_S) as plain:
        if not server.secure:
            yield plain
            return
        import httpx2

        context = httpx2.create_ssl_context()
        with context.wrap_socket(plain, server_hostname=server.host) as secured:
            yield secured


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {_CONNECT_S:g} s"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _words(error: Exception) -> str:
    """What the system said, under the client's own wrapping."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return _reason(cause)
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
