"""Surroundings of the kiosk without which no server is reached: a network, and a clock that is set.

Nothing is sent: the kernel's tables tell. They may promise more than there is (a router without a
line); what is denied is certain: no interface has a carrier.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from kiosk.base.clock import clock_was_set
from kiosk.base.hosts import is_loopback

LOOK_EVERY_S = 5.0

_PROC, _SYS = Path("/proc/self/net"), Path("/sys/class/net")
_ENCRYPTED = ("https", "wss")
# Of interfaces that cannot tell, such as tunnels and modems, a route counts.
_UP, _CANNOT_TELL = "up", "unknown"
# Addresses that a machine gives itself, and those of many.
_LINK_LOCAL_4 = "FEA9"  # 169.254/16, as the kernel writes it
_LINK_LOCAL_6 = ("fe80", "ff")

# Whether there is a network, and whether the clock was set.
Tell: TypeAlias = Callable[[bool, bool], None]


async def watch(urls: Collection[str], tell: Tell) -> None:
    """Tell how it is, and again whenever that changes, until cancelled. `urls`: what must be
    reached. Where all of them are on this machine, or the clock matters to none, all is well."""
    needs_network = any(not is_here(url) for url in urls)
    needs_clock = any(urlsplit(url).scheme in _ENCRYPTED for url in urls)
    told = (True, True)
    while needs_network or needs_clock:
        now = (not needs_network or has_network(), not needs_clock or clock_was_set())
        if now != told:
            told = now
            tell(*now)
        await asyncio.sleep(LOOK_EVERY_S)


def is_here(url: str) -> bool:
    """Whether an address is this machine's own."""
    return is_loopback(urlsplit(url).hostname or "")


def has_network(proc: Path = _PROC, sys: Path = _SYS) -> bool:
    """Whether an interface has a carrier, or a route leads out by one that cannot tell; also where
    nobody tells. Routes alone say too little: there are tables beside the main one."""
    try:
        interfaces = [path.name for path in sys.iterdir() if path.name != "lo"]
    except OSError:
        return True
    states = {name: _state(name, sys) for name in interfaces}
    if _UP in states.values():
        return True
    return any(states.get(name) == _CANNOT_TELL for name in _routed(proc))


def _routed(proc: Path) -> set[str]:
    """The interfaces of all routes that lead somewhere."""
    found = set[str]()
    for read in (_routes_4, _routes_6):
        with contextlib.suppress(OSError):  # a kernel without it
            found |= read(proc)
    return found


def _routes_4(proc: Path) -> set[str]:
    rows = [line.split() for line in (proc / "route").read_text("ascii").splitlines()[1:]]
    return {row[0] for row in rows if len(row) > 1 and not row[1].endswith(_LINK_LOCAL_4)}


def _routes_6(proc: Path) -> set[str]:
    rows = [line.split() for line in (proc / "ipv6_route").read_text("ascii").splitlines()]
    return {row[-1] for row in rows if len(row) > 1 and not row[0].startswith(_LINK_LOCAL_6)}


def _state(interface: str, sys: Path) -> str:
    try:
        return (sys / interface / "operstate").read_text("ascii").strip()
    except OSError:  # it has just gone
        return ""
