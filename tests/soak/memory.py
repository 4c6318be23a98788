"""Memory in use, to the byte: as the C library counts it, which then gives all of it."""

import ctypes
import gc
import os
import sys

# So started, Python asks the C library for every object; else for what is over 512 bytes only.
_ENVIRONMENT = {"PYTHONMALLOC": "malloc"}


class _Mallinfo2(ctypes.Structure):
    """`man mallinfo2`."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def is_counted() -> bool:
    """Whether this process was started so."""
    return all(os.environ.get(name) == value for name, value in _ENVIRONMENT.items())


def start_counted(module: str, arguments: list[str]) -> None:
    """Begin this process anew as `python -m module`, unless its memory is counted already."""
    if not is_counted():
        command = [sys.executable, "-m", module, *arguments]
        os.execve(sys.executable, command, {**os.environ, **_ENVIRONMENT})


# More than Python's table of interned strings has room for.
_COME_AND_GO = 100_000


def in_use_kb() -> int:
    """What is held after the garbage is collected. How much of the machine's memory the allocator
    keeps for that changes by megabytes, and tells nothing."""
    _rebuild_interned()
    while gc.collect():
        pass
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = _Mallinfo2
    counted = library.mallinfo2()
    return int(counted.uordblks + counted.hblkhd) // 1024


def _rebuild_interned() -> None:
    """Strings that were interned and are gone leave their places in the table taken: once in some
    thousand visits it is built anew, by a megabyte larger or smaller. So do that now."""
    for number in range(_COME_AND_GO):
        sys.intern(f"gone {number}")
