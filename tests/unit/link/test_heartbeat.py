"""When a kiosk tells how it is, and what it makes of the answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from kiosk.contract import Heartbeat, Instructions, LeasePolicy
from kiosk.errors import CredentialError
from kiosk.link.heartbeat import Heartbeats, Vitals
from tests.virtual_time import virtual_time


@dataclass
class HeartbeatSink:
    """Takes heartbeats; may be away, or not know them."""

    answer: Instructions | None = field(default_factory=Instructions)
    trouble: CredentialError | None = None
    delay_s: float = 0.0
    heard: list[tuple[float, Heartbeat]] = field(default_factory=list)
    rotated: int = 0
    in_flight: int = 0

    async def beat(self, heartbeat: Heartbeat) -> Instructions | None:
        assert self.in_flight == 0
        self.in_flight += 1
        self.heard.append((asyncio.get_running_loop().time(), heartbeat))
        await asyncio.sleep(self.delay_s)
        self.in_flight -= 1
        if self.trouble is not None:
            raise self.trouble
        return self.answer

    async def rotate(self) -> bool:
        self.rotated += 1
        if self.trouble is not None:
            raise self.trouble
        return True

    @property
    def gaps(self) -> list[float]:
        return [round(b - a, 1) for (a, _), (b, _) in pairwise(self.heard)]


@dataclass
class Beating:
    """What was followed."""

    policies: list[LeasePolicy | None] = field(default_factory=list)
    paused: list[bool] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    ordered: list[tuple[bool, str | None]] = field(default_factory=list)


@asynccontextmanager
async def beating(there: HeartbeatSink, jitter: float = 0.5) -> AsyncIterator[Beating]:
    here = Beating()
    hearts = Heartbeats(there, here.policies.append, lambda: jitter)

    def vitals() -> Vitals:
        return Vitals("idle", "no_speaker", {"visits": 2})

    here.task = asyncio.create_task(
        hearts.run(
            vitals,
            lambda causes, *_: here.paused.append("paused" in causes),
            lambda *order: here.ordered.append(order),
        )
    )
    try:
        yield here
    finally:
        here.task.cancel()
        await asyncio.wait([here.task])


@virtual_time
async def test_a_kiosk_tells_how_it_is_soon_and_then_as_it_is_told() -> None:
    async with beating(there := HeartbeatSink(Instructions(next_s=30))):
        began_s = asyncio.get_running_loop().time()
        await asyncio.sleep(100)
    assert there.heard[0][0] - began_s <= 3
    assert there.gaps == [30.0] * 3
    beats = [heartbeat for _, heartbeat in there.heard]
    assert [beat.sequence for beat in beats] == [1, 2, 3, 4]
    assert len({beat.boot_id for beat in beats}) == 1
    assert (beats[0].state, beats[0].cause, beats[0].counters) == (
        "idle",
        "no_speaker",
        {"visits": 2},
    )


@pytest.mark.parametrize(("jitter", "gap_s"), [(0.0, 48.0), (1.0, 72.0)])
def test_a_fleet_spreads(jitter: float, gap_s: float) -> None:
    @virtual_time
    async def test() -> None:
        async with beating(there := HeartbeatSink(), jitter):
            await asyncio.sleep(300)
        assert set(there.gaps) == {gap_s}

    test()


@virtual_time
async def test_a_backend_that_is_away_is_told_ever_more_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    there = HeartbeatSink(trouble=CredentialError("away"), delay_s=1)
    async with beating(there) as here:
        await asyncio.sleep(3000)
        assert there.gaps[:8] == [6.0, 11.0, 21.0, 41.0, 81.0, 161.0, 301.0, 301.0]
        assert here.policies == []
        there.trouble = None
        await asyncio.sleep(302)
        assert set(here.policies) == {None}
    assert len([each for each in caplog.records if each.levelname == "WARNING"]) == 1


@virtual_time
async def test_instructions_are_followed() -> None:
    wanted = Instructions(next_s=10, policy="on_press", paused=True, rotate=True)
    async with beating(there := HeartbeatSink(wanted)) as here:
        await asyncio.sleep(5)
        assert (here.policies, here.paused, there.rotated) == (["on_press"], [True], 1)
        there.answer = Instructions()
        await asyncio.sleep(10)
        assert (here.policies[-1], here.paused[-1], there.rotated) == (None, False, 1)


@virtual_time
async def test_nobody_who_takes_no_heartbeats_is_troubled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with beating(there := HeartbeatSink(answer=None)) as here:
        await asyncio.sleep(3600)
        assert here.policies == []
    assert there.gaps[:7] == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0], "ever more seldom"
    assert [each.levelname for each in caplog.records] == ["INFO"]


@virtual_time
async def test_a_backend_that_takes_no_heartbeats_yet_is_asked_again() -> None:
    async with beating(there := HeartbeatSink(answer=None)) as here:
        await asyncio.sleep(6)
        there.answer = Instructions(paused=True)
        await asyncio.sleep(30)
        assert here.paused == [True]


@virtual_time
async def test_a_route_that_is_gone_for_a_while_is_tried_again() -> None:
    async with beating(there := HeartbeatSink()) as here:
        await asyncio.sleep(5)
        there.answer = None
        await asyncio.sleep(120)
        there.answer = Instructions(paused=True)
        await asyncio.sleep(120)
        assert here.paused[-1]


@virtual_time
async def test_a_token_that_cannot_be_replaced_is_no_missed_heartbeat() -> None:
    class Rotten(HeartbeatSink):
        async def rotate(self) -> bool:
            await super().rotate()
            raise CredentialError("the disk of the backend is full")

    async with beating(there := Rotten(Instructions(next_s=10, rotate=True))):
        await asyncio.sleep(40)
    assert there.gaps == [10.0] * 3
    assert there.rotated == 4


@virtual_time
async def test_what_is_to_be_done_is_done_once() -> None:
    there = HeartbeatSink(Instructions(next_s=30, ring=True, say="The café closes."))
    async with beating(there) as here:
        await asyncio.sleep(10)
        there.answer = Instructions(next_s=30)
        await asyncio.sleep(100)
        assert here.ordered == [(True, "The café closes.")]


@virtual_time
async def test_a_kiosk_that_is_shut_out_learns_it_with_its_next_heartbeat() -> None:
    there = HeartbeatSink(Instructions(next_s=30))
    causes: list[list[str]] = []
    hearts = Heartbeats(there, lambda _: None, lambda: 0.5)
    beating = asyncio.create_task(
        hearts.run(
            lambda: Vitals("idle"), lambda words, *_: causes.append(list(words)), lambda *_: None
        )
    )
    await asyncio.sleep(10)
    there.trouble = CredentialError("nobody knows this kiosk", retryable=False)
    await asyncio.sleep(40)
    assert causes[-1] == ["out_of_order"]
    there.trouble = CredentialError("away")
    seen = len(causes)
    await asyncio.sleep(60)
    assert len(causes) == seen, "of a backend that is away nothing new is known"
    there.trouble = None
    await asyncio.sleep(400)
    assert causes[-1] == []
    beating.cancel()
