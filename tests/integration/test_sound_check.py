"""The sound of a running kiosk, measured between visits, in virtual time."""

import asyncio
from pathlib import Path

from kiosk.devices.virtual import Echo, Room
from kiosk.doctor.findings import Result
from kiosk.doctor.sounding import Sounded
from kiosk.lab.virtual_loop import running_clock
from kiosk.moments import What
from tests.convai_server import scripted_server
from tests.lockstep import in_lockstep
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk


def room() -> Room:
    return Room(24_000, echo=Echo(delay_s=0.017, gain_db=-19), clock=running_clock())


async def measured(kiosk: VirtualKiosk, what: str) -> Sounded:
    return await kiosk.daemon.sound_check.measured(what)


@in_lockstep
async def test_a_running_kiosk_measures_with_its_lamp_lit_and_serves_visits_after(
    tmp_path: Path,
) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(tmp_path, server.url), room()) as kiosk,
    ):
        lost = kiosk.count(What.DEVICE_LOST)
        found = await measured(kiosk, "sound")
        results = {check: finding.result for check, finding in found.found.items()}
        assert set(results.values()) == {Result.PASS, Result.SKIP}
        assert "17 ms" in found.found["sound_delay"].value
        assert [on for _, on in kiosk.indicator.recorded] == [True, False]
        assert kiosk.count(What.DEVICE_LOST) == lost
        kiosk.button.press()
        await server.connection()
        await kiosk.until(lambda: kiosk.indicator.recorded[-1][1])


@in_lockstep
async def test_a_visitor_who_comes_ends_it_and_is_served(tmp_path: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(tmp_path, server.url), room()) as kiosk,
    ):
        measuring = asyncio.create_task(measured(kiosk, "sound"))
        await asyncio.sleep(3)
        kiosk.button.press()
        found = (await measuring).found["sound_heard"]
        assert (found.result, found.value) == (Result.FAIL, "a visitor came")
        assert found.next_step == "ask again between visits"
        assert kiosk.daemon.sound_check.ask("sound") == "a visit is under way"
        await server.connection()
        await kiosk.until(lambda: kiosk.indicator.recorded[-1][1])
        assert kiosk.host.cause is None


@in_lockstep
async def test_who_presses_while_no_visit_can_be_held_is_answered_at_once(tmp_path: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(tmp_path, server.url), room()) as kiosk,
    ):
        kiosk.host.on_surroundings(network=False, clock=True)
        measuring = asyncio.create_task(measured(kiosk, "sound"))
        await asyncio.sleep(3)
        pressed_s = kiosk.button.press()
        found = (await measuring).found["sound_heard"]
        assert found.value == "a visitor came"
        await kiosk.until(lambda: kiosk.host.at_rest)
        assert asyncio.get_running_loop().time() - pressed_s < 12


@in_lockstep
async def test_it_is_asked_for_once_and_its_answer_is_kept(tmp_path: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(tmp_path, server.url), room()) as kiosk,
    ):
        check = kiosk.daemon.sound_check
        assert check.ask("speech") is None
        assert check.ask("sound") == "it is being measured already"
        assert check.answer() == {"done": False}
        await kiosk.until(lambda: check.answer()["done"], 60)
        assert check.answer()["done"]
        assert check.ask("sound") is None
        assert check.answer() == {"done": False}
