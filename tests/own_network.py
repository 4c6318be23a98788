"""A network of the tests' own: libwebrtc finds no way to an agent on loopback alone.

One a process, for the library's threads stay in the one in which they began. As root; elsewhere
the tests that need it are skipped.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

_CLONE_NEWNET = 0x4000_0000
_SETUP = (
    "link set lo up",
    "link add kiosk0 type veth peer name kiosk1",
    "address add 10.99.0.1/24 dev kiosk0",
    "link set kiosk0 up",
    "link set kiosk1 up",
)
_libc = ctypes.CDLL(None, use_errno=True)


def _now() -> int:
    """The network that this thread is in, as a file."""
    return os.open(Path("/proc/thread-self/ns/net"), os.O_RDONLY | os.O_CLOEXEC)


def _enter(network: int) -> None:
    if _libc.setns(network, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@cache
def _made() -> int | str:
    """The network, or why there is none."""
    before = _now()
    if _libc.unshare(_CLONE_NEWNET):
        return f"no network of its own: {os.strerror(ctypes.get_errno())}"
    try:
        for command in _SETUP:
            made = subprocess.run(["ip", *command.split()], capture_output=True, text=True)
            if made.returncode:
                return f"no network of its own: ip {command}: {made.stderr.strip()}"
        return _now()
    except FileNotFoundError:
        return "no network of its own: there is no `ip`"
    finally:
        _enter(before)


def missing() -> str | None:
    """Why there is no network of its own; None where there is."""
    network = _made()
    return network if isinstance(network, str) else None


@contextmanager
def own_network() -> Iterator[None]:
    """Be in it, with what is started meanwhile; skips the test where it cannot be had."""
    network = _made()
    if isinstance(network, str):
        pytest.skip(network)
    before = _now()
    _enter(network)
    try:
        yield
    finally:
        _enter(before)
        os.close(before)


def run(command: str) -> None:
    """Change something of it, by `ip`; called inside."""
    subprocess.run(["ip", *command.split()], check=True)


@contextmanager
def losing(percent: int, *, in_a_row: bool = False) -> Iterator[None]:
    """Of all packets so many are lost, each by itself, or those of each hundred in a row; called
    inside."""
    chosen = "inc" if in_a_row else "random"
    rules = (
        "add table inet losing",
        "add chain inet losing input { type filter hook input priority 0; }",
        f"add rule inet losing input numgen {chosen} mod 100 < {percent} drop",
    )
    for rule in rules:
        subprocess.run(["nft", rule], check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete table inet losing"], check=True)
