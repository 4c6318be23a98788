"""The proxies that the environment names, for those who are to mend them. No client, no I/O."""

import os
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from kiosk.errors import ProxyError

Client = TypeVar("Client")

# Which of them clients of HTTP and of WebSockets look at.
_LOOKED_AT = ("http", "https", "all", "ws", "wss", "socks")
_KNOWN = ("http", "https")


def proxied(make: Callable[[], Client]) -> Client:
    """The client of HTTP that `make` makes, which reads the environment in that moment; raises
    ProxyError where no client can use what stands there."""
    import httpx2

    try:
        return make()
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        # ImportError: a SOCKS proxy needs one more library.
        why = proxy_mistake() or f"the environment's proxies cannot be used: {type(error).__name__}"
        raise ProxyError(why) from None


def gets_through(host: str, *, http: bool) -> bool:
    """Whether the environment's proxies let a client of this host begin, one of HTTP or of
    WebSockets; a variable that nothing uses is no hindrance."""
    import httpx2

    if proxy_mistake() is None:
        return True
    if not http:
        return bool(proxy_bypass(host))
    try:
        proxied(httpx2.Client).close()
    except ProxyError:
        return False
    return True


def proxy_mistake() -> str | None:
    """Which variable names a proxy that cannot be used, and after a semicolon what to do. No word
    of its value: that may hold a password."""
    proxies = getproxies_environment()
    for kind in _LOOKED_AT:
        value = proxies.get(kind)
        if value and (kind == "socks" or not _is_usable(value)):
            # The one that counts: small letters, which come last, go before large ones.
            name = max(each for each in os.environ if each.lower() == f"{kind}_proxy")
            return (
                f"{name} names a proxy that cannot be used: only http:// and https:// are known; "
                "write http://HOST:PORT, or unset it"
            )
    return None


def _is_usable(value: str) -> bool:
    try:
        parts = urlsplit(value)
        host, _ = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        return False
    return (
        parts.scheme in _KNOWN
        and bool(host)
        and parts.path in ("", "/")
        and not (parts.query or parts.fragment)
        and (parts.username is None) == (parts.password is None)
        and all(each.isprintable() and not each.isspace() for each in value)
    )
