"""The kiosk tells its backend how it is, and does what the backend wants.

Nothing waits for it: a backend that does not answer, or takes no heartbeats, changes no visit.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from kiosk import __version__
from kiosk.base.backoff import backoff_s
from kiosk.base.ids import NewId, random_id
from kiosk.causes import fault
from kiosk.contract import Heartbeat, Instructions, LeasePolicy
from kiosk.errors import CredentialError

log = logging.getLogger(__name__)

_FIRST_WITHIN_S = 3.0
_FIRST_RETRY_S = 5.0
_LAST_RETRY_S = 300.0
_REVOKED = "out_of_order"


# Hears why no visit may begin, the most exact word first, for how many seconds, and whether the one
# under way ends.
OnInstructions: TypeAlias = Callable[[Collection[str], float | None, bool], None]

# Hears what an operator wants done once: whether to ring, and what to say.
OnOrders: TypeAlias = Callable[[bool, str | None], None]


@dataclass(frozen=True, slots=True)
class Vitals:
    """How a kiosk is: its state, why it holds no visit if it holds none, what it counted."""

    state: str
    cause: str | None = None
    counters: Mapping[str, float] = field(default_factory=dict)


class HeartbeatSink(Protocol):
    """Who is told: the backend."""

    async def beat(self, heartbeat: Heartbeat) -> Instructions | None:
        """None where nobody takes heartbeats now; raises CredentialError."""
        ...

    async def rotate(self) -> bool:
        """Have the device token replaced; raises CredentialError."""
        ...


class Heartbeats:
    """`run` is the task. `follow` is told which policy of credentials is wanted."""

    def __init__(
        self,
        sink: HeartbeatSink,
        follow: Callable[[LeasePolicy | None], None],
        jitter: Callable[[], float] = random.random,
        new_id: NewId = random_id,
    ) -> None:
        self._sink = sink
        self._follow = follow
        self._jitter = jitter
        self._boot_id = new_id()
        self._sequence = 0
        self._answered = False

    async def run(
        self,
        vitals: Callable[[], Vitals],
        on_instructions: OnInstructions,
        on_orders: OnOrders,
    ) -> None:
        """Beat until cancelled, one at a time. `on_instructions` hears with each why no visit may
        begin, for how long, and whether none may go on; `on_orders` what is to be done once."""
        await asyncio.sleep(self._jitter() * _FIRST_WITHIN_S)
        failures = 0
        while True:
            wait_s = backoff_s(failures + 1, _FIRST_RETRY_S, _LAST_RETRY_S)
            try:
                instructions = await self._beat(vitals())
            except CredentialError as error:
                failures += 1
                told = log.warning if failures == 1 else log.debug
                told("no heartbeat: %s", error, extra=fault(error.cause))
                if not error.retryable:  # nobody knows this kiosk any more
                    on_instructions([_REVOKED], None, False)
            else:
                if instructions is None:
                    # Not for ever: a proxy may not have its routes yet, or the backend is older.
                    told = log.debug if failures else log.info
                    told("the backend takes no heartbeats")
                    failures += 1
                else:
                    wait_s, failures = instructions.next_s, 0
                    await self._obey(instructions, on_instructions)
                    if instructions.ring or instructions.say:
                        on_orders(instructions.ring, instructions.say)
            await asyncio.sleep(wait_s * (0.8 + 0.4 * self._jitter()))

    async def _obey(self, instructions: Instructions, on_instructions: OnInstructions) -> None:
        causes = [cause for cause in (instructions.cause,) if cause is not None]
        if instructions.paused:
            causes.append("paused")
        on_instructions(causes, _left_s(instructions.until), instructions.end_visit)
        self._follow(instructions.policy)
        if instructions.rotate:
            await self._rotate()

    async def _rotate(self) -> None:
        try:
            if await self._sink.rotate():
                log.info("the device token is replaced")
        except CredentialError as error:
            log.warning(
                "the device token is not replaced: %s", error, extra=fault("token_not_replaced")
            )

    async def _beat(self, vitals: Vitals) -> Instructions | None:
        self._sequence += 1
        heartbeat = Heartbeat(
            boot_id=self._boot_id,
            sequence=self._sequence,
            state=vitals.state,
            cause=vitals.cause or "fit",
            version=__version__,
            counters=dict(vitals.counters),
        )
        instructions = await self._sink.beat(heartbeat)
        if instructions is not None:
            self._answered = True
        elif self._answered:
            raise CredentialError("the backend took heartbeats before, and now has no such route")
        return instructions


def _left_s(until: datetime | None) -> float | None:
    """How long it is until then. A time that has passed is another clock's: the next heartbeat
    tells."""
    left_s = 0.0 if until is None else (until - datetime.now(UTC)).total_seconds()
    return left_s if left_s > 0 else None
