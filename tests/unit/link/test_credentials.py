import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.contract import Grant, LeasePolicy
from kiosk.errors import CredentialError
from kiosk.link.credentials import Availability, Opening, PublicAgent, Rooms
from kiosk.link.lease_file import LeaseFile
from kiosk.link.lease_keeper import LeaseKeeper, renewal_lead_s
from tests.virtual_time import run_in_virtual_time, virtual_time

LIFE_S = 900.0


@dataclass
class Backend:
    """Grants numbered URLs; may be slow, down, or not know this kiosk."""

    life_s: float = LIFE_S
    delay_s: float = 0.0
    single_use: bool = False
    visit: bool = False
    trouble: CredentialError | None = None
    asked: list[tuple[float, str]] = field(default_factory=list)
    languages: list[str | None] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def fetch(self, request_id: str, language: str | None = None) -> Grant:
        self.languages.append(language)
        self.asked.append((now_s(), request_id))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.in_flight -= 1
        if self.trouble is not None:
            raise self.trouble
        return Grant(
            self.life_s,
            signed_url=f"wss://x/?n={len(self.asked)}",
            single_use=self.single_use,
            visit_id=f"v{len(self.asked)}" if self.visit else None,
        )


@dataclass
class Kept:
    """A keeper at work, and what it told of its standing."""

    keeper: LeaseKeeper
    standings: list[Availability] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def keeping(
    backend: Backend, jitter: float = 0.0, policy: LeasePolicy = "warm", leases: int = 1
) -> AsyncIterator[Kept]:
    keeper = LeaseKeeper(backend.fetch, policy, lambda: jitter, leases=leases)
    kept = Kept(keeper)
    task = asyncio.create_task(kept.keeper.run(kept.standings.append))
    await asyncio.sleep(0.001 + backend.delay_s)
    try:
        yield kept
    finally:
        task.cancel()
        await asyncio.wait([task])


def now_s() -> float:
    return asyncio.get_running_loop().time()


# --- when ---------------------------------------------------------------------------------------


@given(st.floats(0.001, 86_400))
def test_the_lead_is_two_minutes_or_15_percent_but_never_over_half(life_s: float) -> None:
    lead_s = renewal_lead_s(life_s)
    assert lead_s == min(max(120.0, 0.15 * life_s), 0.5 * life_s)
    assert 0 < lead_s <= life_s / 2


@virtual_time
async def test_a_credential_is_renewed_ahead_of_its_expiry() -> None:
    backend = Backend()
    async with keeping(backend):
        started_s = now_s()
        await asyncio.sleep(3 * LIFE_S)
        gaps = [at_s - started_s for at_s, _ in backend.asked]
        assert gaps == pytest.approx([n * (LIFE_S - 135) for n in range(4)], abs=0.1)


@virtual_time
async def test_a_life_counts_from_the_request() -> None:
    backend = Backend(delay_s=100)
    async with keeping(backend):
        await asyncio.sleep(LIFE_S)
        (first_s, _), (second_s, _) = backend.asked
        assert second_s - first_s == pytest.approx(LIFE_S - 135, abs=0.1)


@given(st.floats(0, 1), st.floats(10, 86_400))
def test_jitter_renews_earlier_and_never_later(jitter: float, life_s: float) -> None:
    async def second_request() -> float:
        backend = Backend(life_s)
        async with keeping(backend, jitter):
            await asyncio.sleep(life_s)
            return backend.asked[1][0] - backend.asked[0][0]

    lead_s = renewal_lead_s(life_s)
    after_s = run_in_virtual_time(second_request())
    assert life_s - 1.2 * lead_s - 0.01 <= after_s <= life_s - lead_s + 0.01


@virtual_time
async def test_a_year_s_jump_of_the_wall_clock_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = Backend()
    async with keeping(backend) as kept:
        year_s = 365 * 86_400.0
        wall_s = time.time()
        for jump_s in (year_s, -year_s):
            monkeypatch.setattr(time, "time", lambda jump_s=jump_s: wall_s + jump_s)
            await asyncio.sleep(10)
            assert (await kept.keeper.take("press")).url == "wss://x/?n=1"
        assert len(backend.asked) == 1
        await asyncio.sleep(LIFE_S)
        assert len(backend.asked) == 2


# --- taking -------------------------------------------------------------------------------------


@virtual_time
async def test_a_waiting_credential_is_taken_without_a_request() -> None:
    backend = Backend(delay_s=5)
    async with keeping(backend) as kept:
        started_s = now_s()
        assert (await kept.keeper.take("press")).url == "wss://x/?n=1"
        assert now_s() == started_s
        assert len(backend.asked) == 1


@virtual_time
async def test_the_press_has_the_id_its_credential_was_requested_with() -> None:
    backend = Backend(single_use=True)
    async with keeping(backend) as kept:
        for _ in range(3):
            press_id = kept.keeper.next_press_id()
            assert press_id == backend.asked[-1][1]
            assert (await kept.keeper.take(press_id)).request_id == press_id
            await asyncio.sleep(1)


@virtual_time
async def test_a_press_without_a_waiting_credential_has_an_id_of_its_own() -> None:
    backend = Backend(trouble=CredentialError("down"))
    async with keeping(backend) as kept:
        press_id = kept.keeper.next_press_id()
        assert press_id not in [request_id for _, request_id in backend.asked]
        assert press_id != kept.keeper.next_press_id()
        backend.trouble = None
        opening = await kept.keeper.take(press_id)
        assert (opening.request_id, backend.asked[-1][1]) == (press_id, press_id)


@virtual_time
async def test_two_presses_never_share_an_id() -> None:
    async with keeping(Backend()) as kept:
        first = kept.keeper.next_press_id()
        await kept.keeper.take(first)
        assert kept.keeper.next_press_id() != first


@virtual_time
async def test_a_single_use_credential_is_given_once_and_another_is_fetched() -> None:
    backend = Backend(single_use=True)
    async with keeping(backend) as kept:
        first = await kept.keeper.take("one")
        await asyncio.sleep(1)
        assert len(backend.asked) == 2
        second = await kept.keeper.take("two")
        assert first.url != second.url
        assert len(backend.asked) == 2


@virtual_time
async def test_many_takers_at_once_make_one_request_at_a_time() -> None:
    backend = Backend(delay_s=1)
    keeper = LeaseKeeper(backend.fetch, "warm")
    taken = await asyncio.gather(*(keeper.take(str(n)) for n in range(5)))
    assert backend.most_in_flight == 1
    assert len(backend.asked) == len({opening.url for opening in taken}) == 1


@virtual_time
async def test_many_takers_of_single_use_credentials_get_one_each() -> None:
    backend = Backend(delay_s=1, single_use=True)
    async with keeping(backend) as kept:
        taken = await asyncio.gather(*(kept.keeper.take(str(n)) for n in range(5)))
        assert len({opening.url for opening in taken}) == 5
        assert backend.most_in_flight == 1


@virtual_time
async def test_a_taker_who_gives_up_blocks_nobody() -> None:
    backend = Backend(delay_s=10)
    keeper = LeaseKeeper(backend.fetch, "warm")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(keeper.take("one"), 1)
    assert (await keeper.take("two")).request_id == "two"


@virtual_time
async def test_a_conversation_token_opens_no_websocket() -> None:
    async def fetch(request_id: str, language: str | None = None) -> Grant:
        return Grant(600, conversation_token="secret-token", conversation_id="conv_1")

    with pytest.raises(CredentialError, match="WebRTC") as caught:
        await LeaseKeeper(fetch, "warm").take("press")
    assert not caught.value.retryable
    assert "secret-token" not in str(caught.value)


@virtual_time
async def test_on_press_fetches_at_each_press_and_not_before() -> None:
    backend = Backend()
    keeper, standings = LeaseKeeper(backend.fetch, "on_press"), list[Availability]()
    task = asyncio.create_task(keeper.run(standings.append))
    await asyncio.sleep(3600)
    assert standings == [Availability(ready=True)]
    assert backend.asked == []
    for press in ("one", "two"):
        assert (await keeper.take(press)).request_id == press
    await asyncio.sleep(3600)
    task.cancel()
    assert [request_id for _, request_id in backend.asked] == ["one", "two"]


# --- outages ------------------------------------------------------------------------------------


@virtual_time
async def test_an_outage_costs_nothing_while_the_credential_is_valid() -> None:
    backend = Backend()
    async with keeping(backend, jitter=0.5) as kept:
        backend.trouble = CredentialError("down")
        await asyncio.sleep(LIFE_S - 10)
        assert len(backend.asked) > 1  # it tried
        assert kept.standings[-1] == Availability(ready=True)
        assert (await kept.keeper.take("press")).url == "wss://x/?n=1"


@virtual_time
async def test_a_backend_that_is_down_across_an_expiry_recovers() -> None:
    backend = Backend()
    async with keeping(backend, jitter=0.5) as kept:
        backend.trouble = CredentialError("down")
        await asyncio.sleep(LIFE_S + 120)
        assert kept.standings[-1] == Availability(ready=False)
        with pytest.raises(CredentialError, match="down"):
            await kept.keeper.take("press")
        backend.trouble = None
        await asyncio.sleep(61)
        assert kept.standings[-1] == Availability(ready=True)
        assert (await kept.keeper.take("press")).url


@virtual_time
async def test_somebody_in_a_hurry_need_not_wait_out_the_retry() -> None:
    backend = Backend(trouble=CredentialError("down"))
    async with keeping(backend, jitter=1.0) as kept:
        await asyncio.sleep(600)
        asked = len(backend.asked)
        kept.keeper.hurry()
        await asyncio.sleep(0.01)
        assert len(backend.asked) == asked + 1
        backend.trouble = None
        kept.keeper.hurry()
        await asyncio.sleep(0.01)
        assert kept.standings[-1] == Availability(ready=True)
        kept.keeper.hurry()  # nothing is missing
        await asyncio.sleep(0.01)
        assert len(backend.asked) == asked + 2


@virtual_time
async def test_retries_back_off_to_a_minute() -> None:
    backend = Backend(trouble=CredentialError("down"))
    async with keeping(backend, jitter=1.0):
        await asyncio.sleep(600)
        times = [at_s for at_s, _ in backend.asked]
        gaps = [round(b - a) for a, b in pairwise(times)]
        assert gaps[:8] == [1, 2, 4, 8, 16, 32, 60, 60]


@given(st.integers(0, 10**6))
def test_retries_are_jittered_in_full_and_never_hammer(seed: int) -> None:
    async def outage() -> list[float]:
        backend = Backend(trouble=CredentialError("down"))
        keeper = LeaseKeeper(backend.fetch, "warm", random.Random(seed).random)
        task = asyncio.create_task(keeper.run(lambda _: None))
        await asyncio.sleep(3600)
        task.cancel()
        return [at_s for at_s, _ in backend.asked]

    times = run_in_virtual_time(outage())
    gaps = [b - a for a, b in pairwise(times)]
    for number, gap_s in enumerate(gaps):
        assert 0.19 < gap_s <= min(60, 2**number) + 0.01
    assert len(times) < 250


@virtual_time
async def test_a_refused_kiosk_asks_on_but_seldom() -> None:
    backend = Backend(trouble=CredentialError("who?", retryable=False))
    async with keeping(backend, jitter=1.0) as kept:
        assert kept.standings == [Availability(ready=False, refused=True)]
        await asyncio.sleep(3600)
        assert len(backend.asked) == 13
        backend.trouble = None
        await asyncio.sleep(300)
        assert kept.standings[-1] == Availability(ready=True)


@virtual_time
async def test_a_kiosk_refused_while_its_credential_is_valid_is_still_fit() -> None:
    backend = Backend()
    async with keeping(backend, jitter=1.0) as kept:
        backend.trouble = CredentialError("who?", retryable=False)
        await asyncio.sleep(LIFE_S - 1)
        assert kept.standings[-1] == Availability(ready=True)
        await asyncio.sleep(301)
        assert kept.standings[-1] == Availability(ready=False, refused=True)


@virtual_time
async def test_a_credential_that_arrives_expired_is_a_failure_and_does_not_hammer() -> None:
    backend = Backend(life_s=1, delay_s=2)
    async with keeping(backend, jitter=1.0) as kept:
        await asyncio.sleep(600)
        assert kept.standings[-1] == Availability(ready=False)
        assert len(backend.asked) < 20
        with pytest.raises(CredentialError, match="expired"):
            await kept.keeper.take("press")


@virtual_time
async def test_an_outage_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    backend = Backend(trouble=CredentialError("down"))
    async with keeping(backend, jitter=1.0):
        await asyncio.sleep(600)
    assert [record.levelname for record in caplog.records if record.levelno >= 30] == ["WARNING"]


# --- what is secret -----------------------------------------------------------------------------


def test_an_opening_does_not_show_its_url() -> None:
    shown = repr(Opening("wss://x/?conversation_signature=s3cret", "press"))
    assert "s3cret" not in shown
    assert "press" in shown


@virtual_time
async def test_a_public_agent_needs_no_server() -> None:
    agent, standings = PublicAgent("wss://api.elevenlabs.io/", "agent_1"), list[Availability]()
    await agent.run(standings.append)
    agent.hurry()
    press_id = agent.next_press_id()
    opening = await agent.take(press_id)
    assert standings == [Availability(ready=True)]
    assert opening.url == "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=agent_1"
    assert opening.request_id == press_id != agent.next_press_id()


@virtual_time
async def test_ids_come_from_the_source_that_was_given() -> None:
    ids = (f"id{number}" for number in range(10))
    agent = PublicAgent("wss://api.elevenlabs.io/", "agent_1", new_id=ids.__next__)
    assert agent.next_press_id() == "id0"
    backend = Backend()
    keeper = LeaseKeeper(backend.fetch, "warm", new_id=ids.__next__)
    assert keeper.next_press_id() == "id1"
    running = asyncio.create_task(keeper.run(lambda _: None))
    await asyncio.sleep(1)
    assert [request_id for _, request_id in backend.asked] == ["id2"]
    assert keeper.next_press_id() == "id2"
    running.cancel()


@virtual_time
async def test_what_the_agent_refused_is_not_used_again() -> None:
    backend = Backend()
    keeper = LeaseKeeper(backend.fetch, "warm")
    first = await keeper.take("one")
    keeper.refused(first)
    second = await keeper.take("two")
    assert second.request_id == "two"
    assert len(backend.asked) == 2
    keeper.refused(first)
    assert keeper.next_press_id() != "two", "the second was used, but is still held"
    assert len(backend.asked) == 2


# --- more than one ------------------------------------------------------------------------------


@virtual_time
async def test_so_many_visits_begin_while_the_backend_is_away() -> None:
    backend = Backend(visit=True)
    async with keeping(backend, leases=3) as kept:
        await asyncio.sleep(1)
        assert len(backend.asked) == kept.keeper.in_hand == 3
        backend.trouble = CredentialError("down")
        for number in (1, 2, 3):
            press_id = kept.keeper.next_press_id()
            assert (await kept.keeper.take(press_id)).visit_id == f"v{number}"
        with pytest.raises(CredentialError):
            await kept.keeper.take("four")
        backend.trouble = None
        await asyncio.sleep(61)
        assert kept.keeper.in_hand == 3


@virtual_time
async def test_each_of_them_is_renewed_and_none_is_asked_for_twice() -> None:
    backend = Backend(visit=True, delay_s=0.5)
    async with keeping(backend, leases=2) as kept:
        await asyncio.sleep(10 * (LIFE_S - 135) + 2)
        assert len(backend.asked) == 22
        assert backend.most_in_flight == 1
        for _ in range(100):
            await asyncio.sleep(LIFE_S / 7)
            assert kept.keeper.in_hand == 2


@virtual_time
async def test_of_what_can_be_used_again_one_is_enough() -> None:
    backend = Backend()
    async with keeping(backend, leases=3) as kept:
        await asyncio.sleep(LIFE_S - 136)
        assert len(backend.asked) == kept.keeper.in_hand == 1
        await kept.keeper.take("one")
        await kept.keeper.take("two")
        await asyncio.sleep(LIFE_S)
        assert len(backend.asked) == 3


# --- refusals with a reason ---------------------------------------------------------------------


def refusal(reason: str, retry_after_s: float | None = None) -> CredentialError:
    return CredentialError("no", reason=reason, retry_after_s=retry_after_s)


@virtual_time
async def test_a_refusal_leaves_the_kiosk_fit_and_a_press_asks_again() -> None:
    backend = Backend(trouble=refusal("closed", 200))
    async with keeping(backend) as kept:
        assert kept.standings == [Availability(ready=True)]
        with pytest.raises(CredentialError) as caught:
            await kept.keeper.take("press")
        assert caught.value.reason == "closed"
        assert len(backend.asked) == 2
        backend.trouble = CredentialError("down")
        await asyncio.sleep(201)
        assert kept.standings[-1] == Availability(ready=False)


@virtual_time
@pytest.mark.parametrize(
    ("policy", "reason", "told_s", "waited_s"),
    [
        ("warm", "closed", 120, 120),
        ("warm", "closed", 8 * 3600, 300),
        ("open_hours", "closed", 8 * 3600, 8 * 3600),
        ("open_hours", "paused", 8 * 3600, 300),
        ("warm", "too-many-leases", 180, 180),
    ],
)
async def test_a_refusal_is_not_asked_again_before_it_says(
    policy: LeasePolicy, reason: str, told_s: float, waited_s: float
) -> None:
    backend = Backend(trouble=refusal(reason, told_s))
    async with keeping(backend, jitter=0.5, policy=policy) as kept:
        await asyncio.sleep(waited_s - 1)
        assert len(backend.asked) == 1
        await asyncio.sleep(8)
        assert len(backend.asked) == 2
        assert kept.standings[-1] == Availability(ready=True)


@virtual_time
async def test_a_lease_that_is_used_up_or_expires_meanwhile_changes_nothing() -> None:
    backend = Backend(visit=True)
    async with keeping(backend, policy="open_hours", leases=2) as kept:
        await asyncio.sleep(1)
        backend.trouble = refusal("closed", 3 * 3600)
        await asyncio.sleep(LIFE_S - 135)
        assert len(backend.asked) == 3
        await kept.keeper.take("press")
        await asyncio.sleep(3600)
        assert len(backend.asked) == 3
        assert kept.standings[-1] == Availability(ready=True)
        backend.trouble = None
        await kept.keeper.take("press")  # opened sooner than it was told
        await asyncio.sleep(1)
        assert kept.keeper.in_hand == 2


@virtual_time
async def test_the_backend_may_want_another_policy() -> None:
    backend = Backend(visit=True)
    async with keeping(backend) as kept:
        kept.keeper.follow("on_press")
        await asyncio.sleep(3600)
        assert len(backend.asked) == 1
        assert kept.keeper.in_hand == 0
        await kept.keeper.take("press")
        assert len(backend.asked) == 2
        kept.keeper.follow("on_press")
        kept.keeper.follow(None)
        await asyncio.sleep(1)
        assert kept.keeper.in_hand == 1


# --- from one start to the next -------------------------------------------------------------------


@asynccontextmanager
async def started(backend: Backend, file: Path, url: str = "http://b") -> AsyncIterator[Kept]:
    """A keeper as the service's, which keeps what it has in `file`."""
    keeper = LeaseKeeper(backend.fetch, "warm", lambda: 0.0, file=LeaseFile(file, url))
    kept = Kept(keeper)

    def told(standing: Availability) -> None:
        kept.standings.append(standing)
        kept.changed.set()

    task = asyncio.create_task(keeper.run(told))
    try:
        await asyncio.wait_for(kept.changed.wait(), 5)
        kept.changed.clear()
        yield kept
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_start_goes_on_with_the_lease_of_the_last_one(tmp_path: Path) -> None:
    backend = Backend(visit=True)
    for _ in range(20):
        async with started(backend, tmp_path / "leases.json") as kept:
            assert kept.standings[-1].ready
    assert len(backend.asked) == 1
    assert (tmp_path / "leases.json").stat().st_mode & 0o777 == 0o600
    async with started(backend, tmp_path / "leases.json") as kept:
        assert (await kept.keeper.take(kept.keeper.next_press_id())).url == "wss://x/?n=1"


async def test_a_lease_that_was_taken_does_not_come_back(tmp_path: Path) -> None:
    backend = Backend(visit=True)
    file = tmp_path / "leases.json"
    async with started(backend, file) as kept:
        backend.trouble = CredentialError("down")
        await kept.keeper.take(kept.keeper.next_press_id())
        await asyncio.wait_for(kept.changed.wait(), 5)
        assert not file.exists()
    async with started(backend, file) as kept:
        assert not kept.standings[-1].ready


async def test_a_lease_that_was_taken_does_not_come_back_though_the_disk_is_full(
    tmp_path: Path,
) -> None:
    backend = Backend(visit=True)
    file = tmp_path / "leases.json"
    async with started(backend, file) as kept:
        (tmp_path / ".leases.json.new").mkdir()  # nothing new can be written
        await kept.keeper.take(kept.keeper.next_press_id())
        await asyncio.wait_for(kept.changed.wait(), 5)
        for _ in range(500):
            if not file.exists() and len(backend.asked) == 2:
                break
            await asyncio.sleep(0.01)
        assert not file.exists()
    (tmp_path / ".leases.json.new").rmdir()
    async with started(backend, file) as kept:
        assert (await kept.keeper.take(kept.keeper.next_press_id())).url != "wss://x/?n=1"


async def test_a_press_after_a_start_does_not_bear_the_id_of_one_before_it(tmp_path: Path) -> None:
    backend = Backend()  # one that can be used again
    ids = set()
    for _ in range(3):
        async with started(backend, tmp_path / "leases.json") as kept:
            ids.add(press_id := kept.keeper.next_press_id())
            await kept.keeper.take(press_id)
            await asyncio.wait_for(kept.changed.wait(), 5)
    assert len(ids) == 3
    assert len(backend.asked) == 1


async def test_the_leases_of_another_backend_are_left_alone(tmp_path: Path) -> None:
    backend = Backend(visit=True)
    for url in ("http://b", "http://c"):
        async with started(backend, tmp_path / "leases.json", url):
            pass
    assert len(backend.asked) == 2


@pytest.mark.parametrize("ruin", ["boot", "late", "json", "list", "grant", "unreadable"])
async def test_a_file_that_cannot_be_used_costs_one_request(
    tmp_path: Path, ruin: str, caplog: pytest.LogCaptureFixture
) -> None:
    backend = Backend(visit=True)
    file = tmp_path / "leases.json"
    async with started(backend, file):
        pass
    kept = json.loads(file.read_text())
    match ruin:
        case "boot":
            kept["boot_id"] = "of another start of the machine"
        case "late":
            kept["leases"][0]["expires_s"] = now_s()
        case "list":
            kept = [kept]
        case "grant":
            kept["leases"][0]["grant"] = {"expires_in": 3}
    file.write_text("{" if ruin == "json" else json.dumps(kept))
    if ruin == "unreadable":
        file.unlink()
        file.mkdir()
    async with started(backend, file) as told:
        assert told.standings[-1].ready
    assert len(backend.asked) == 2
    causes = {getattr(each, "journal", {}).get("KIOSK_CAUSE") for each in caplog.records}
    assert ("state_unreadable" in causes) == (ruin not in ("boot", "late"))
    assert "wss://" not in caplog.text


# --- languages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["warm", "on_press"])
@virtual_time
async def test_a_credential_for_another_language_is_fetched_at_the_press(
    policy: LeasePolicy,
) -> None:
    backend = Backend()
    async with keeping(backend, policy=policy) as kept:
        before = len(backend.asked)
        opening = await kept.keeper.take("press", "de")
        assert (opening.request_id, opening.language) == ("press", "de")
        assert backend.languages[before:] == ["de"]
        own = await kept.keeper.take("another")
    assert own.language is None
    assert "de" not in backend.languages[before + 1 :]


@virtual_time
async def test_while_the_backend_is_away_the_credential_that_waits_has_to_do() -> None:
    backend = Backend()
    async with keeping(backend) as kept:
        backend.trouble = CredentialError("away")
        opening = await kept.keeper.take("press", "de")
        assert opening.url == "wss://x/?n=1"
        assert opening.language is None, "it was asked for in the kiosk's own"


@virtual_time
async def test_what_the_backend_refuses_is_refused_in_any_language() -> None:
    backend = Backend()
    async with keeping(backend) as kept:
        backend.trouble = CredentialError("closed", reason="closed")
        with pytest.raises(CredentialError, match="closed"):
            await kept.keeper.take("press", "de")


@virtual_time
async def test_too_many_leases_are_no_reason_not_to_use_the_one_that_waits() -> None:
    backend = Backend()
    async with keeping(backend) as kept:
        backend.trouble = CredentialError("enough", reason="too-many-leases")
        assert (await kept.keeper.take("press", "de")).language is None


@virtual_time
async def test_with_one_at_hand_nobody_waits_long_for_another_language() -> None:
    backend = Backend()
    async with keeping(backend) as kept:
        backend.delay_s = 60.0
        began_s = now_s()
        assert (await kept.keeper.take("press", "de")).language is None
        assert now_s() - began_s <= 3.1


@virtual_time
async def test_every_visit_has_an_id_of_its_own_in_any_language() -> None:
    backend = Backend()
    async with keeping(backend) as kept:
        ids = []
        for language in ("de", "fr", None):
            ids.append(kept.keeper.next_press_id(language))
            await kept.keeper.take(ids[-1], language)
    assert len(set(ids)) == 3


# --- for WebRTC ---------------------------------------------------------------------------------


@virtual_time
async def test_a_kiosk_with_webrtc_takes_conversation_tokens() -> None:
    async def fetch(request_id: str, language: str | None = None) -> Grant:
        return Grant(600, conversation_token="s3cret", single_use=True)

    rooms = Rooms("wss://rooms.example", relay_only=True)
    opening = await LeaseKeeper(fetch, "warm", rooms=rooms).take("press")
    assert (opening.url, opening.token, opening.rooms) == ("wss://rooms.example", "s3cret", rooms)
    assert opening.secret == "s3cret"
    assert "s3cret" not in repr(opening)


@virtual_time
async def test_a_signed_url_opens_no_room() -> None:
    async def fetch(request_id: str, language: str | None = None) -> Grant:
        return Grant(900, signed_url="wss://x/?conversation_signature=s3cret")

    with pytest.raises(CredentialError, match="WebRTC") as caught:
        await LeaseKeeper(fetch, "warm", rooms=Rooms("wss://rooms.example")).take("press")
    assert not caught.value.retryable
    assert "s3cret" not in str(caught.value)


@virtual_time
async def test_a_token_that_was_refused_is_not_used_again() -> None:
    tokens = (f"token{number}" for number in range(9))

    async def fetch(request_id: str, language: str | None = None) -> Grant:
        return Grant(600, conversation_token=next(tokens), visit_id=None)

    keeper = LeaseKeeper(fetch, "warm", rooms=Rooms("wss://rooms.example"))
    first = await keeper.take("one")
    assert (await keeper.take("two")).token == first.token
    keeper.refused(first)
    assert (await keeper.take("three")).token == "token1"
