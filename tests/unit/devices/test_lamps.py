import asyncio

import pytest

from kiosk.devices.lamps import PatternPlayer
from kiosk.devices.ports import Pattern
from kiosk.visit.feedback import LAMPS, UNFIT_LAMP
from tests.virtual_time import virtual_time

BLINK: Pattern = ((True, 0.5), (False, 0.25))
STEADY: Pattern = ((True, 60.0),)


class Lamp:
    """Remembers when it was switched, and how."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self.switched: list[tuple[float, bool]] = []
        self.player = PatternPlayer(self._switch, self._loop)

    def _switch(self, lit: bool) -> None:
        self.switched.append((round(self._loop.time() - self._began_s, 3), lit))


@virtual_time
async def test_a_pattern_repeats_its_steps() -> None:
    lamp = Lamp()
    lamp.player.show(BLINK)
    await asyncio.sleep(1.6)
    assert lamp.switched == [(0, True), (0.5, False), (0.75, True), (1.25, False), (1.5, True)]


@virtual_time
async def test_a_steady_pattern_costs_nothing_once_set() -> None:
    lamp = Lamp()
    lamp.player.show(STEADY)
    await asyncio.sleep(3600)
    assert lamp.switched == [(0, True)]


@virtual_time
async def test_another_pattern_begins_at_once_from_its_first_step() -> None:
    lamp = Lamp()
    lamp.player.show(BLINK)
    await asyncio.sleep(0.6)
    lamp.player.show(STEADY)
    await asyncio.sleep(10)
    assert lamp.switched == [(0, True), (0.5, False), (0.6, True)]


@virtual_time
async def test_the_same_pattern_goes_on_undisturbed() -> None:
    lamp = Lamp()
    lamp.player.show(BLINK)
    await asyncio.sleep(0.4)
    lamp.player.show(BLINK)
    await asyncio.sleep(0.2)
    assert lamp.switched == [(0, True), (0.5, False)]


@virtual_time
async def test_a_stopped_player_switches_nothing_and_can_begin_again() -> None:
    lamp = Lamp()
    lamp.player.show(BLINK)
    lamp.player.stop()
    await asyncio.sleep(10)
    assert lamp.switched == [(0, True)]
    lamp.player.show(BLINK)
    assert lamp.switched[-1] == (10, True)
    lamp.player.stop()


@pytest.mark.parametrize("pattern", [*LAMPS.values(), UNFIT_LAMP])
@virtual_time
async def test_every_pattern_of_the_kiosk_can_be_played(pattern: Pattern) -> None:
    lamp = Lamp()
    lamp.player.show(pattern)
    await asyncio.sleep(5)
    lamp.player.stop()
    assert lamp.switched[0] == (0, pattern[0][0])
