"""Kiosk and backend: what a lease brings, several of them, refusals in words, heartbeats, a token
that is replaced."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kiosk.backend.books import rules
from kiosk.backend.books.rules import Scope
from kiosk.backend.characters.character import read_character
from kiosk.backend.tokens import DeviceToken
from kiosk.contract import Grant
from kiosk.convai.client_messages import Initiation
from kiosk.link import account, heartbeat, lease_keeper
from kiosk.link.backend import BackendClient
from kiosk.moments import What
from kiosk.visit.states import Event, State
from tests.convai_server import ScriptedServer, scripted_server
from tests.integration.sounds import quiet_room
from tests.integration.test_ledger import Site, ended, site
from tests.virtual_kiosk import VirtualKiosk, virtual_kiosk

_REX = """
prompt = "You are a dinosaur at {site}."
first_message = "Roar."
[voice]
voice_id = "voice_rex"
[variables]
era = "Cretaceous"
"""


async def close(here: Site) -> None:
    """Today is a holiday."""
    today = datetime.now(UTC).date()
    days = ",".join(str(today + timedelta(days=days)) for days in (-1, 0, 1))
    await here.store.rules.set_site(
        "default", "north", {"hours": f"mon-sun 09:00-18:00; closed {days}"}
    )


async def refused(kiosk: VirtualKiosk) -> str:
    """Press, and hear why not within a second."""
    pressed_s = time.monotonic()
    kiosk.button.press()
    said = await kiosk.moment(What.SENTENCE_HEARD, pressed_s)
    assert said.at_s - pressed_s < 1.0
    kind = (await ended(kiosk, pressed_s))["kind"]
    return str(kind)


@pytest.mark.parametrize("policy", ["warm", "open_hours", "on_press"])
async def test_a_closed_site_says_so_although_a_lease_is_in_hand(
    short_dir: Path, policy: str
) -> None:
    async with (
        scripted_server() as server,
        site(short_dir, server.url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir, policy), quiet_room()) as kiosk,
    ):
        await close(here)
        assert await refused(kiosk) == "closed"


async def test_a_day_without_minutes_and_a_full_house_are_told(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        site(short_dir, server.url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir), quiet_room()) as kiosk,
    ):
        limits = here.store.rules
        await limits.set_limit("default", Scope.KIOSK, "", {"minutes_per_day": 1})
        assert await refused(kiosk) == "no_minutes_left"
        await limits.set_limit("default", Scope.KIOSK, "", {"minutes_per_day": None})
        await limits.set_limit("default", Scope.FLEET, "", {"at_once": 0})
        await asyncio.sleep(1.0)  # sooner, the press would be a nervous second one
        assert await refused(kiosk) == "busy"


@pytest.mark.parametrize("policy", ["warm", "on_press"])
async def test_a_refusal_at_the_lease_is_spoken_too_and_leaves_the_kiosk_fit(
    short_dir: Path, policy: str
) -> None:
    async with scripted_server() as server, site(short_dir, server.url) as here, here.up():
        here.exhausted = True
        async with virtual_kiosk(here.settings(short_dir, policy), quiet_room()) as kiosk:
            assert await refused(kiosk) == "busy"
            here.exhausted = False
            await asyncio.sleep(1.0)
            kiosk.button.press()
            await kiosk.state(State.LISTENING)


async def test_a_character_of_the_backends_is_in_the_initiation(short_dir: Path) -> None:
    async with scripted_server() as server, site(short_dir, server.url) as here:
        here.characters["rex"] = read_character("rex", _REX)
        await here.store.rules.assign("default", Scope.KIOSK, "lobby", "rex")
        mine = here.settings(short_dir).model_dump()
        mine["agent"]["overrides"] = {"tts": {"speed": 1.1}, "agent": {"first_message": "Hello."}}
        mine["agent"]["variables"] = {"floor": 2}
        its_settings = type(here.settings(short_dir)).model_validate(mine)
        async with here.up(), virtual_kiosk(its_settings, quiet_room()) as kiosk:
            kiosk.button.press()
            connection = await server.connection()
            await kiosk.state(State.LISTENING)
        initiation = connection.messages[0][1]
        assert isinstance(initiation, Initiation)
        assert initiation.overrides == {
            "agent": {
                "first_message": "Roar.",
                "prompt": {"prompt": "You are a dinosaur at north."},
            },
            "tts": {"speed": 1.1, "voice_id": "voice_rex"},
        }
        variables = initiation.dynamic_variables
        assert variables["floor"] == 2
        assert variables["era"] == "Cretaceous"


async def test_two_leases_are_two_visits_without_the_backend(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "_LAST_RETRY_S", 1.0)
    async with scripted_server() as server, site(short_dir, server.url) as here:
        up = here.up()
        await up.__aenter__()
        async with virtual_kiosk(here.settings(short_dir, leases=2), quiet_room()) as kiosk:
            await kiosk.until(lambda: here.minted == 2)
            await asyncio.sleep(0.2)  # and it is in hand
            await up.__aexit__(None, None, None)
            for _ in range(2):
                pressed_s = time.monotonic()
                kiosk.button.press()
                await kiosk.state(State.LISTENING)
                kiosk.host.post(Event.HANG_UP)
                assert (await ended(kiosk, pressed_s))["kind"] == "ended_by_operator"
                await asyncio.sleep(1.0)
            async with here.up():
                visits = await here.visits(2, "closed")
    assert len({visit.press_id for visit in visits}) == 2
    assert {visit.outcome for visit in visits} == {"ended_by_operator"}


async def test_a_lease_shortens_the_visit_and_not_without_a_warning(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = BackendClient.fetch

    async def short(self: BackendClient, request_id: str, language: str | None = None) -> Grant:
        return replace(await fetch(self, request_id, language), max_s=2.0)

    monkeypatch.setattr(BackendClient, "fetch", short)
    async with (
        scripted_server() as server,
        site(short_dir, server.url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir), quiet_room()) as kiosk,
    ):
        pressed_s = time.monotonic()
        kiosk.button.press()
        warned = await kiosk.moment(What.SENTENCE_HEARD, pressed_s)
        assert 0.9 < warned.at_s - pressed_s < 1.9
        assert kiosk.host.state is State.LISTENING
        over = await ended(kiosk, pressed_s)
        assert over["kind"] == "time_up"
        assert 2.0 < over["after_s"] < 4.0


async def test_what_happened_is_told_with_the_end(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        site(short_dir, server.url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        await kiosk.state(State.LISTENING)
        kiosk.host.post(Event.HANG_UP)
        [visit] = await here.visits(1, "closed")
        [connected] = await here.store.history.events("default", visit.id)
    assert (connected.what, connected.fields["input_format"]) == ("connected", "pcm_16000")
    assert 0 < connected.at_s < 10


async def test_a_report_outlives_the_daemon(short_dir: Path) -> None:
    async with scripted_server() as server, site(short_dir, server.url) as here:
        state = short_dir / "state"
        state.mkdir()
        its_settings = here.settings(short_dir, state_dir=state)
        up = here.up()
        await up.__aenter__()
        async with virtual_kiosk(its_settings, quiet_room()) as kiosk:
            await up.__aexit__(None, None, None)
            kiosk.button.press()
            await kiosk.state(State.LISTENING)
        assert (state / "reports.json").exists()
        async with here.up(), virtual_kiosk(its_settings, quiet_room()) as kiosk:
            [visit] = await here.visits(1, "closed")
            await kiosk.until(lambda: not (state / "reports.json").exists())
    assert visit.outcome == "stopped"


async def test_an_old_token_is_replaced_and_ended_by_the_first_use_of_the_new(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_FIRST_WITHIN_S", 0.1)
    long_ago = datetime.now(UTC) - timedelta(days=100)
    async with scripted_server() as server, site(short_dir, server.url, long_ago) as here:
        state = short_dir / "state"
        state.mkdir()
        its_settings = here.settings(short_dir, state_dir=state)
        first = here.token_file.read_text()
        async with here.up(), virtual_kiosk(its_settings, quiet_room()) as kiosk:
            await kiosk.until((state / "device-token").exists)
            kiosk.button.press()
            await kiosk.state(State.LISTENING)
            kiosk.host.post(Event.HANG_UP)
            await here.visits(1, "closed")
        tokens = (state / "device-token").read_text().split()
        assert tokens[1] == first != tokens[0]
        assert await known(here, first) is None
        assert await known(here, tokens[0]) == "lobby"
        async with here.up(), virtual_kiosk(its_settings, quiet_room()) as kiosk:
            kiosk.button.press()
            await kiosk.state(State.LISTENING)


async def known(here: Site, token: str) -> str | None:
    shown = DeviceToken.bearer(f"Bearer {token}")
    assert shown is not None
    kiosk = await here.store.registry.authenticate(shown, datetime.now(UTC))
    return None if kiosk is None else kiosk.name


async def test_a_heartbeat_tells_and_a_pause_shows(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_FIRST_WITHIN_S", 0.1)
    async with scripted_server() as server, site(short_dir, server.url) as here, here.up():
        await here.store.rules.pause("default", Scope.FLEET, "", datetime.now(UTC))
        async with virtual_kiosk(here.settings(short_dir), quiet_room()) as kiosk:
            await kiosk.until(lambda: kiosk.host.status()["unfit"] == "paused")
            assert await refused(kiosk) == "paused"
            await here.store.liveness.flush()
            [line] = await here.store.liveness.kiosks("default", datetime.now(UTC))
    assert line.state == "idle"
    assert line.counters is not None
    assert line.counters["visits"] == 0


async def test_the_kill_switch_ends_the_visit_under_way_in_words(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "_QUICKEST_S", 1.0)
    async with (
        scripted_server() as server,
        site(short_dir, server.url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        await kiosk.state(State.LISTENING)
        now = datetime.now(UTC)
        pulled_s = time.monotonic()
        await here.store.rules.pause("default", Scope.FLEET, "", now, ends_visits=True)
        assert (await ended(kiosk, pulled_s))["kind"] == "paused"
        [visit] = await here.visits(1, "closed")
        assert visit.outcome == "paused"
        await kiosk.moment(What.SENTENCE_HEARD, pulled_s)


async def turned_away(kiosk: VirtualKiosk, server: ScriptedServer, number: int) -> None:
    """This connection ends before the conversation has begun."""
    await kiosk.until(lambda: len(server.sockets) == number)
    await server.sockets[-1].close(3000, "Could not authorize the conversation.")


@pytest.fixture
def stale_s(monkeypatch: pytest.MonkeyPatch) -> float:
    """Half a minute would only be waited for; a lease for another attempt is younger than this."""
    monkeypatch.setattr(lease_keeper, "STALE_S", 3.0)
    return 3.1


@pytest.mark.parametrize("leases", [1, 3])
async def test_leases_that_grew_stale_cost_the_visitor_a_moment(
    short_dir: Path, stale_s: float, leases: int
) -> None:
    async with (
        scripted_server(metadata_delay_s=0.3) as server,
        site(short_dir, server.url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir, leases=leases), quiet_room()) as kiosk,
    ):
        await kiosk.until(lambda: here.minted == leases)
        await asyncio.sleep(stale_s)
        kiosk.button.press()
        await turned_away(kiosk, server, 1)
        await server.connection()
        await kiosk.state(State.LISTENING)
        assert (kiosk.host.visits, len(server.sockets)) == (1, 2)
        assert here.minted > leases


async def test_where_a_fresh_lease_opens_nothing_either_it_is_said(
    short_dir: Path, stale_s: float
) -> None:
    async with (
        scripted_server(metadata_delay_s=0.3) as server,
        site(short_dir, server.url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir), quiet_room()) as kiosk,
    ):
        await asyncio.sleep(stale_s)
        pressed_s = kiosk.button.press()
        for number in (1, 2):
            await turned_away(kiosk, server, number)
        await kiosk.moment(What.SENTENCE_HEARD, pressed_s)
        assert (await ended(kiosk, pressed_s))["kind"] == "refused"
        assert len(server.sockets) == 2


async def test_a_fresh_lease_that_is_refused_is_not_asked_for_again(short_dir: Path) -> None:
    async with (
        scripted_server(metadata_delay_s=0.3) as server,
        site(short_dir, server.url) as here,
        here.up(),
        virtual_kiosk(here.settings(short_dir, "on_press"), quiet_room()) as kiosk,
    ):
        pressed_s = kiosk.button.press()
        await turned_away(kiosk, server, 1)
        assert (await ended(kiosk, pressed_s))["kind"] == "refused"
        assert len(server.sockets) == 1
