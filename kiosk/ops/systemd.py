"""Talking to systemd: READY, STATUS, WATCHDOG and STOPPING, through systemd-python.

Without a service manager (no NOTIFY_SOCKET) everything here does nothing.
"""

import asyncio
import contextlib
import os


def notify(*assignments: str) -> None:
    """Send assignments such as "READY=1" or "STATUS=ready" in one datagram."""
    if "NOTIFY_SOCKET" in os.environ:
        from systemd import daemon

        # A manager that does not listen just now is no reason to stop.
        with contextlib.suppress(OSError):
            daemon.notify("\n".join(assignments))


def watchdog_interval_s() -> float | None:
    """Half of what the unit's WatchdogSec= allows; None when this process is not watched."""
    usec, pid = os.environ.get("WATCHDOG_USEC"), os.environ.get("WATCHDOG_PID")
    if usec is None or not usec.isdigit() or (pid is not None and pid != str(os.getpid())):
        return None
    return int(usec) / 2_000_000 or None


async def feed_watchdog() -> None:
    """Say that the loop turns, as long as it does. Ends only by cancellation, or at once when
    nobody watches."""
    interval_s = watchdog_interval_s()
    while interval_s is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval_s)
