"""One alert on every channel, to see whether it arrives."""

import time
from collections.abc import Callable, Sequence

from kiosk.base import patience
from kiosk.watch.alerts import Notice, utc
from kiosk.watch.channels import Channel, DeliveryError
from kiosk.watch.entries import TEST, explained


def run(channels: Sequence[Channel], say: Callable[[str], None]) -> int:
    """Says of each whether it was taken; 1 if one was not."""
    return patience.run(_send(channels, say))


async def _send(channels: Sequence[Channel], say: Callable[[str], None]) -> int:
    now = utc(time.time())
    subject, remedy = explained(TEST, TEST)
    notice = Notice(
        what="test",
        kiosk="none",
        cause=TEST,
        message=TEST,
        priority=6,
        since=now,
        at=now,
        subject=subject,
        remedy=remedy,
    )
    failed = 0
    for channel in channels:
        try:
            await channel.send(notice)
        except DeliveryError as error:
            failed = 1
            say(f"{channel.name}: {error}")
        else:
            say(f"{channel.name}: taken")
    return failed
