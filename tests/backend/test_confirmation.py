"""The provider's word: by webhook or asked for, booked once, and the last."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import re
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from starlette.responses import JSONResponse, Response

from kiosk.backend import upkeep
from kiosk.backend.books.confirmation import Confirmation, ConfirmationSource, ProviderReport
from kiosk.backend.books.rules import Scope
from kiosk.backend.provider.client import ProviderError
from kiosk.backend.web.webhook_routes import MAX_RECORDING_BYTES
from kiosk.contract import Heartbeat

from .conftest import AGENT_ID, WEBHOOK_SECRET, Backend, BackendFactory
from .test_ledger import END, latest, lease, problem, start, tell

WORDS = "where is the whale"


def call(conversation_id: str = "conv_0", **metadata: object) -> dict[str, Any]:
    told = {"call_duration_secs": 30, "start_time_unix_secs": 1_790_000_000, **metadata}
    return {
        "type": "post_call_transcription",
        "event_timestamp": 1_790_000_030,
        "data": {
            "agent_id": AGENT_ID,
            "conversation_id": conversation_id,
            "status": "done",
            "transcript": [{"role": "user", "message": WORDS}],
            "metadata": told,
        },
    }


async def deliver(
    backend: Backend, body: object, secret: str = WEBHOOK_SECRET, age_s: int = 0
) -> httpx2.Response:
    content = json.dumps(body).encode()
    at = int(datetime.now(UTC).timestamp()) - age_s
    signature = hmac.new(secret.encode(), f"{at}.".encode() + content, hashlib.sha256).hexdigest()
    headers = {"ElevenLabs-Signature": f"t={at},v0={signature}"}
    return await backend.client.post("/v1/webhooks/elevenlabs", content=content, headers=headers)


async def used_s(backend: Backend) -> float:
    rows = dict(await backend.place.sql("select scope, seconds from usage"))
    assert rows["kiosk"] - rows["fleet"] in (0, 600 - 12.5)  # held, until it is told
    return float(rows["fleet"])


async def visited(backend: Backend, key: str = "lease-1") -> str:
    visit_id = await lease(backend, key)
    assert (await start(backend, visit_id)).status_code == 204
    assert (await tell(backend, visit_id, "end", END)).status_code == 204
    return visit_id


@pytest.mark.parametrize(("said_s", "charged_s"), [(590, 590), (7200, 7200), (86_400, 7200)])
@pytest.mark.parametrize("minutes_per_visit", [1, 10, 120])
async def test_a_conversation_costs_what_it_took_whatever_its_site_allows(
    backend: Backend, minutes_per_visit: int, said_s: int, charged_s: int
) -> None:
    line = {"minutes_per_visit": minutes_per_visit}
    await backend.store.rules.set_limit("default", Scope.SITE, "north", line)
    await lease(backend)
    await lease(backend)  # of the same request: one of the two was opened by nobody we know
    for conversation in ("conv_0", "conv_1"):
        assert (await deliver(backend, call(conversation, call_duration_secs=said_s))).is_success
    rows = dict(await backend.place.sql("select scope, sum(seconds) from usage group by scope"))
    assert rows == dict.fromkeys(("fleet", "site", "kiosk"), 2 * charged_s)


async def test_a_webhook_has_the_last_word_on_what_a_visit_took(backend: Backend) -> None:
    await visited(backend)
    assert await used_s(backend) == 12.5
    answer = await deliver(backend, call())
    assert (answer.status_code, answer.json()) == (200, {"result": "confirmed"})
    [visit] = await latest(backend)
    assert (visit.state, visit.outcome) == ("confirmed", "hung_up")
    assert await used_s(backend) == 30
    for _ in range(2):
        assert (await deliver(backend, call(call_duration_secs=9999))).json() == {"result": "known"}
    assert await used_s(backend) == 30


async def test_nobodys_words_are_kept_unless_an_operator_wants_it(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    await visited(backend)
    await deliver(backend, call())
    assert await backend.place.sql("select count(*) from transcripts") == [(0,)]
    assert WORDS not in caplog.text
    object.__setattr__(backend.services, "store_transcripts", True)
    await visited(backend, "lease-2")
    await deliver(backend, call("conv_1"))
    [(conversation_id, turns)] = await backend.place.sql(
        "select conversation_id, turns from transcripts"
    )
    assert conversation_id == "conv_1"
    assert WORDS in str(turns)
    assert WORDS not in caplog.text
    await upkeep.purge(backend.services, upkeep.Keep(timedelta(days=1), timedelta(days=400)))
    assert await backend.place.sql("select count(*) from transcripts") == [(1,)]
    await upkeep.purge(backend.services, upkeep.Keep(timedelta(seconds=-1), timedelta(days=400)))
    assert await backend.place.sql("select count(*) from transcripts") == [(0,)]
    assert (await deliver(backend, call("conv_1"))).json() == {"result": "known"}
    assert await backend.place.sql("select count(*) from transcripts") == [(0,)], "for good"


async def test_the_kiosks_report_may_come_after_the_providers(backend: Backend) -> None:
    visit_id = await lease(backend)
    await start(backend, visit_id)
    await deliver(backend, call())
    [visit] = await latest(backend)
    assert (visit.state, visit.outcome) == ("confirmed", "unreported")
    await tell(backend, visit_id, "end", END)
    [visit] = await latest(backend)
    assert (visit.state, visit.outcome, visit.duration_s) == ("confirmed", "hung_up", 12.5)
    assert await used_s(backend) == 30


async def test_a_conversation_that_no_press_was_told_of_is_booked_and_named(
    backend: Backend,
) -> None:
    await lease(backend)
    assert (await deliver(backend, call())).json() == {"result": "confirmed"}
    [visit] = await latest(backend)
    assert (visit.state, visit.outcome) == ("confirmed", "unadmitted")
    assert visit.admitted_at == datetime.fromtimestamp(1_790_000_000, UTC)
    assert await used_s(backend) == 30


async def test_every_credential_that_was_minted_is_accounted_for(backend: Backend) -> None:
    for _ in range(3):  # the same request: a kiosk, or a thief, that asks again and again
        await lease(backend)
    for number in (0, 1, 2):
        answer = await deliver(backend, call(f"conv_{number}"))
        assert answer.json() == {"result": "confirmed"}
    assert [visit.outcome for visit in await latest(backend)] == ["unadmitted"] * 3
    assert await used_s(backend) == 90


async def test_a_credential_that_was_never_used_costs_nothing(backend: Backend) -> None:
    await lease(backend)
    failure = {
        "type": "call_initiation_failure",
        "event_timestamp": 1_790_000_000,
        "data": {"agent_id": AGENT_ID, "conversation_id": "conv_0", "failure_reason": "unknown"},
    }
    assert (await deliver(backend, failure)).json() == {"result": "confirmed"}
    assert await latest(backend) == []
    assert await backend.place.sql("select count(*) from usage") == [(0,)]


async def test_a_conversation_of_somebody_elses_is_none_of_ours(backend: Backend) -> None:
    answer = await deliver(backend, call("conv_elsewhere"))
    assert (answer.status_code, answer.json()) == (200, {"result": "unknown"})


async def test_recordings_are_refused_and_what_is_new_is_ignored(backend: Backend) -> None:
    audio = {
        "type": "post_call_audio",
        "event_timestamp": 1_790_000_000,
        "data": {"agent_id": AGENT_ID, "conversation_id": "conv_0", "full_audio": "AAAA"},
    }
    assert (await deliver(backend, audio)).json() == {"result": "refused"}
    new = {"type": "something_new", "event_timestamp": 1_790_000_000, "data": {}}
    assert (await deliver(backend, new)).json() == {"result": "ignored"}


SOUND = "AAAA" * 65_536


def recording(parts: int, kind: str = "post_call_audio") -> Iterator[bytes]:
    """A delivery of so many times 256 KiB."""
    opening = {"type": kind, "event_timestamp": 1_790_000_000}
    yield json.dumps(opening)[:-1].encode()
    yield f', "data": {{"agent_id": "{AGENT_ID}", "conversation_id": "conv_0", '.encode()
    yield b'"full_audio": "'
    for _ in range(parts):
        yield SOUND.encode()
    yield b'"}}'


def signed(parts: Iterator[bytes], secret: str = WEBHOOK_SECRET) -> dict[str, str]:
    at = int(datetime.now(UTC).timestamp())
    signature = hmac.new(secret.encode(), f"{at}.".encode(), hashlib.sha256)
    for part in parts:
        signature.update(part)
    return {"ElevenLabs-Signature": f"t={at},v0={signature.hexdigest()}"}


async def in_chunks(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def post(backend: Backend, content: Any, headers: dict[str, str]) -> httpx2.Response:
    return await backend.client.post("/v1/webhooks/elevenlabs", content=content, headers=headers)


def deliveries(backend: Backend) -> set[str]:
    page = backend.services.metrics.render(0, 0.0, {}, 0).decode()
    return set(re.findall(r"^kiosk_backend_webhooks_total\{(.*)\} 1\.0$", page, re.MULTILINE))


@pytest.mark.parametrize("parts", [1, 8, 60])
@pytest.mark.parametrize("has_length", [True, False])
async def test_a_recording_of_any_length_is_refused_with_a_warning_and_not_with_an_error(
    backend: Backend, parts: int, has_length: bool, caplog: pytest.LogCaptureFixture
) -> None:
    content = b"".join(recording(parts)) if has_length else in_chunks(recording(parts))
    answer = await post(backend, content, signed(recording(parts)))
    assert (answer.status_code, answer.json()) == (200, {"result": "refused"})
    assert deliveries(backend) == {'result="refused",type="PostCallAudio"'}
    assert "switch post-call audio off" in caplog.text


async def test_a_recording_is_not_held(backend: Backend) -> None:
    headers = signed(recording(160))
    tracemalloc.start()
    try:
        answer = await post(backend, in_chunks(recording(160)), headers)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 200
    assert most < 16 * 2**20  # of 40 MiB


async def test_a_long_recording_of_a_strangers_is_not_believed(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    headers = signed(recording(16), "wsec_another")
    answer = await post(backend, in_chunks(recording(16)), headers)
    assert (answer.status_code, problem(answer)) == (401, "unsigned")
    assert deliveries(backend) == {'result="mismatch",type="unknown"'}
    assert "switch post-call audio off" not in caplog.text


async def test_what_is_long_and_no_recording_is_refused_however_it_is_signed(
    backend: Backend,
) -> None:
    long = (16, "post_call_transcription")
    answer = await post(backend, in_chunks(recording(*long)), signed(recording(*long)))
    assert answer.status_code == 413
    assert deliveries(backend) == {'result="too-long",type="unknown"'}


async def test_a_recording_is_not_endless(backend: Backend) -> None:
    parts = MAX_RECORDING_BYTES // len(SOUND)
    answer = await post(backend, in_chunks(recording(parts)), signed(recording(parts)))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("secret", "age_s"), [("wsec_another", 0), (WEBHOOK_SECRET, 3600), (WEBHOOK_SECRET, -3600)]
)
async def test_what_is_not_signed_now_and_by_the_provider_is_refused(
    backend: Backend, secret: str, age_s: int
) -> None:
    await visited(backend)
    answer = await deliver(backend, call(), secret, age_s)
    assert (answer.status_code, problem(answer)) == (401, "unsigned")
    assert (await latest(backend))[0].state == "closed"


async def test_what_is_signed_and_makes_no_sense_is_told_so(backend: Backend) -> None:
    answer = await deliver(backend, {"type": "post_call_transcription", "data": {}})
    assert (answer.status_code, problem(answer)) == (422, "invalid")


async def test_a_delivery_may_be_long_and_not_endless(backend: Backend) -> None:
    long = call()
    long["data"]["transcript"] *= 20_000
    await visited(backend)
    assert (await deliver(backend, long)).json() == {"result": "confirmed"}
    long["data"]["transcript"] *= 3
    assert (await deliver(backend, long)).status_code == 413


async def test_what_no_webhook_told_is_asked_for(backend: Backend) -> None:
    await visited(backend)
    await lease(backend, "lease-2")
    began = int(datetime.now(UTC).timestamp())
    backend.fake.conversations = [
        {"conversation_id": "conv_0", "status": "done", "call_duration_secs": 33, "cost": 210},
        {"conversation_id": "conv_1", "status": "in-progress", "call_duration_secs": 0},
        {"conversation_id": "conv_else", "status": "done", "call_duration_secs": 5},
        {"conversation_id": 7},
    ]
    for line in backend.fake.conversations:
        line.setdefault("start_time_unix_secs", began)
    await upkeep.Reconciliation().round(backend.services)
    [visit] = await latest(backend)
    assert (visit.state, visit.conversation_id) == ("confirmed", "conv_0")
    assert await used_s(backend) == 33
    rows = await backend.place.sql("select id, confirmed_by, cost from conversations order by id")
    assert rows == [("conv_0", "reconciled", 210), ("conv_1", None, None)]
    asked = backend.fake.requests[-1].query_params
    assert began - 2500 < int(asked["call_start_after_unix"]) <= began - 2400


async def test_a_webhook_after_the_list_brings_what_the_list_does_not_hold(
    backend: Backend,
) -> None:
    object.__setattr__(backend.services, "store_transcripts", True)
    await visited(backend)
    listed = {"conversation_id": "conv_0", "status": "done", "call_duration_secs": 33, "cost": 210}
    began = int(datetime.now(UTC).timestamp())
    backend.fake.conversations = [listed | {"start_time_unix_secs": began}]
    await upkeep.Reconciliation().round(backend.services)
    late = call(cost=999, termination_reason="Client disconnected")
    assert (await deliver(backend, late)).json() == {"result": "known"}
    assert await used_s(backend) == 33
    rows = await backend.place.sql(
        "select confirmed_by, duration_s, cost, termination_reason from conversations"
    )
    assert rows == [("webhook", 33, 210, "Client disconnected")]
    [(turns,)] = await backend.place.sql("select turns from transcripts")
    assert WORDS in str(turns)
    assert await backend.store.confirmations.purge("default", conversation_id="conv_0") == 1
    await upkeep.Reconciliation().round(backend.services)
    assert (await deliver(backend, late)).json() == {"result": "known"}
    assert await backend.place.sql("select count(*) from transcripts") == [(0,)], "for good"


async def test_two_words_at_once_are_booked_once(backend: Backend) -> None:
    await visited(backend)
    report = ProviderReport("conv_0", "done", 40.0)
    confirmations = backend.store.confirmations
    now = datetime.now(UTC)
    heard = await asyncio.gather(
        *(confirmations.confirm(report, ConfirmationSource.WEBHOOK, now) for _ in range(6))
    )
    assert sorted(each for each, _ in heard) == [Confirmation.CONFIRMED] + [Confirmation.KNOWN] * 5
    assert await used_s(backend) == 40


async def test_events_are_kept_once_and_in_order(backend: Backend) -> None:
    visit_id = await lease(backend)
    await start(backend, visit_id)
    live = {"press_id": "press-1", "conversation_id": "conv_0"}
    assert (await tell(backend, visit_id, "live", live)).status_code == 204
    assert (await latest(backend))[0].state == "live"
    events = [
        {"sequence": 1, "at_s": 0.4, "what": "connected", "fields": {"input_format": "pcm_16000"}},
        {"sequence": 2, "at_s": 8.0, "what": "interrupted"},
    ]
    for _ in range(2):
        assert (await tell(backend, visit_id, "end", {**END, "events": events})).status_code == 204
    kept = await backend.store.history.events("default", visit_id)
    assert [(event.sequence, event.what) for event in kept] == [
        (1, "connected"),
        (2, "interrupted"),
    ]
    assert kept[0].fields == {"input_format": "pcm_16000"}
    assert await backend.store.history.events("other", visit_id) == []


@pytest.mark.parametrize("numbers", [(2,), (1, 3), (1, 1), (2, 1), (0, 1)])
async def test_events_with_a_gap_or_a_duplicate_are_refused(
    backend: Backend, numbers: tuple[int, ...]
) -> None:
    events = [{"sequence": n, "at_s": 1, "what": "connected"} for n in numbers]
    answer = await tell(backend, await lease(backend), "end", {**END, "events": events})
    assert (answer.status_code, problem(answer)) == (422, "invalid")
    spoken = [{"sequence": 1, "at_s": 1, "what": "said", "fields": {"text": "where is it"}}]
    answer = await tell(backend, await lease(backend), "end", {**END, "events": spoken})
    assert answer.status_code == 422, "nobody's words"


async def test_what_is_old_is_forgotten_and_only_that(backend: Backend) -> None:
    for key in ("old", "new"):
        await visited(backend, key)
        await lease(backend, f"unused-{key}")
    await deliver(backend, call("conv_0"))
    old = "minted_at = '2020-01-01' where request_id like '%old'"
    await backend.place.sql(f"update visits set {old}")
    await backend.place.sql("update usage set day = '2020-01-01' where scope = 'site'")
    keep = upkeep.Keep(timedelta(days=30), timedelta(days=400))
    await upkeep.purge(backend.services, keep)
    rows = await backend.place.sql("select request_id from visits order by request_id")
    assert rows == [("new",), ("unused-new",)]
    [(conversations,)] = await backend.place.sql("select count(*) from conversations")
    assert conversations == 2
    rows = await backend.place.sql("select distinct scope from usage order by scope")
    assert rows == [("fleet",), ("kiosk",)]


async def test_a_round_that_failed_is_made_up_for(backend: Backend) -> None:
    reconciliation = upkeep.Reconciliation()
    before = datetime.now(UTC)
    await reconciliation.round(backend.services)
    backend.fake.answer = Response(status_code=500)
    reconciliation._asked_at = before - timedelta(hours=3)
    with pytest.raises(ProviderError):
        await reconciliation.round(backend.services)
    backend.fake.answer = None
    await reconciliation.round(backend.services)
    asked = int(backend.fake.requests[-1].query_params["call_start_after_unix"])
    assert asked == int((before - timedelta(hours=3, minutes=40)).timestamp())


async def test_a_conversation_that_no_press_was_told_of_is_found_in_the_list(
    backend: Backend,
) -> None:
    """One of ten minutes, which is over when the list is asked for and began before."""
    await lease(backend)
    began = datetime.now(UTC) - timedelta(minutes=15)
    backend.fake.conversations = [
        {
            "conversation_id": "conv_0",
            "status": "done",
            "call_duration_secs": 600,
            "start_time_unix_secs": int(began.timestamp()),
        }
    ]
    await upkeep.Reconciliation().round(backend.services)
    asked = int(backend.fake.requests[-1].query_params["call_start_after_unix"])
    assert asked < began.timestamp()
    assert [visit.outcome for visit in await latest(backend)] == ["unadmitted"]


async def test_what_the_provider_says_fits_into_the_books(backend: Backend) -> None:
    await visited(backend)
    report = ProviderReport("conv_0", "x" * 64, 3.0, termination_reason="a\0b" * 200)
    heard, _ = await backend.store.confirmations.confirm(
        report, ConfirmationSource.WEBHOOK, datetime.now(UTC)
    )
    assert heard is Confirmation.CONFIRMED
    [(status, reason)] = await backend.place.sql(
        "select status, termination_reason from conversations"
    )
    assert (len(status), len(reason)) == (32, 256)


def listed(conversation_id: str = "conv_0", **facts: object) -> dict[str, object]:
    """A line of the provider's list."""
    began = int(datetime.now(UTC).timestamp())
    line = {"conversation_id": conversation_id, "status": "done", "call_duration_secs": 33}
    return {**line, "start_time_unix_secs": began, **facts}


def detail(**metadata: object) -> JSONResponse:
    told = {"call_duration_secs": 33, "start_time_unix_secs": 1_790_000_000, **metadata}
    turns = [{"role": "user", "message": WORDS}, {"role": "agent", "message": None}]
    return JSONResponse({"status": "done", "metadata": told, "transcript": turns})


async def kept(backend: Backend) -> list[tuple[Any, ...]]:
    return await backend.place.sql(
        "select confirmed_by, duration_s, cost, termination_reason from conversations order by id"
    )


async def test_a_list_after_a_webhook_brings_what_that_did_not_hold(backend: Backend) -> None:
    await visited(backend)
    assert (await deliver(backend, call(cost={"fiat": 1}))).json() == {"result": "confirmed"}
    assert await kept(backend) == [("webhook", 30, None, None)]
    backend.fake.conversations = [listed(cost=210)]
    await upkeep.Reconciliation().round(backend.services)
    assert await kept(backend) == [("webhook", 30, 210, None)]
    assert await used_s(backend) == 30


async def test_what_the_list_does_not_hold_is_fetched_and_counts_once(backend: Backend) -> None:
    object.__setattr__(backend.services, "store_transcripts", True)
    await visited(backend)
    backend.fake.conversations = [listed()]
    backend.fake.details["conv_0"] = detail(cost=210, termination_reason="Client disconnected")
    for _ in range(2):
        await upkeep.Reconciliation().round(backend.services)
    assert await kept(backend) == [("fetched", 33, 210, "Client disconnected")]
    [(turns,)] = await backend.place.sql("select turns from transcripts")
    assert WORDS in str(turns)
    assert await backend.store.confirmations.purge("default", conversation_id="conv_0") == 1
    assert (await deliver(backend, call())).json() == {"result": "known"}
    await upkeep.Reconciliation().round(backend.services)
    assert await backend.place.sql("select count(*) from transcripts") == [(0,)], "for good"
    assert await used_s(backend) == 33


@pytest.mark.parametrize("trouble", [Response(status_code=500), Response("[]")])
async def test_what_could_not_be_fetched_is_fetched_the_next_time(
    backend: Backend, trouble: Response
) -> None:
    await visited(backend)
    await visited(backend, "lease-2")
    backend.fake.conversations = [listed("conv_0"), listed("conv_1")]
    backend.fake.details = {"conv_0": trouble, "conv_1": detail(cost=5)}
    with contextlib.suppress(ProviderError):
        await upkeep.Reconciliation().round(backend.services)
    assert (await kept(backend))[0] == ("reconciled", 33, None, None)
    backend.fake.details["conv_0"] = detail(cost=7)
    await upkeep.Reconciliation().round(backend.services)
    assert await kept(backend) == [("fetched", 33, 7, None), ("fetched", 33, 5, None)]


async def test_the_list_is_asked_for_as_far_back_as_nobody_served(backend: Backend) -> None:
    away = datetime.now(UTC) - timedelta(hours=50)
    beat = Heartbeat(boot_id="b", sequence=1, state="idle", version="1")
    backend.store.liveness.beat(backend.kiosk, beat, away)
    await backend.store.liveness.flush()
    reconciliation = upkeep.Reconciliation()
    await reconciliation.begin(backend.services)
    # Kiosks are heard of again before it is asked.
    backend.store.liveness.beat(backend.kiosk, beat, datetime.now(UTC))
    await backend.store.liveness.flush()
    await reconciliation.round(backend.services)
    asked = int(backend.fake.requests[-1].query_params["call_start_after_unix"])
    assert asked == int((away - timedelta(minutes=40)).timestamp())


async def test_the_providers_word_is_an_event_of_the_visit(backend: Backend) -> None:
    visit_id = await lease(backend)
    await start(backend, visit_id)
    events = [{"sequence": 1, "at_s": 0.4, "what": "connected"}]
    began = int(datetime.now(UTC).timestamp()) + 2
    await deliver(backend, call(start_time_unix_secs=began, cost=296))
    await tell(backend, visit_id, "end", {**END, "events": events})
    [connected, confirmed] = await backend.store.history.events("default", visit_id)
    assert (connected.what, connected.sequence) == ("connected", 1)
    assert (confirmed.what, confirmed.sequence) == ("confirmed", 2)
    assert 30 < confirmed.at_s <= 33
    told = {"by": "webhook", "conversation_id": "conv_0", "status": "done"}
    assert confirmed.fields == told | {"duration_s": 30, "cost": 296}
    assert await backend.store.history.events("other", visit_id) == []


async def test_a_conversation_that_no_visit_had_is_told_once(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [listed("conv_leaked", call_duration_secs=70), listed("conv_0"), listed("conv_1")]
    backend.fake.conversations = [*lines, listed("conv_unheard", call_duration_secs=0)]
    await visited(backend)
    for _ in range(2):
        await upkeep.Reconciliation().round(backend.services)
        assert (await deliver(backend, call("conv_leaked"))).json() == {"result": "unknown"}
    others = call("conv_of_another_agent")
    others["data"]["agent_id"] = "agent_elsewhere"
    await deliver(backend, others)
    page = backend.services.metrics.render(0, 0, {}, 0).decode()
    assert "kiosk_backend_stranger_conversation_seconds_total 103.0" in page
    said = [each for each in caplog.messages if each.startswith("no visit of ours")]
    assert said == [
        f"no visit of ours had the conversation {name} with our agent, of {seconds} s"
        for name, seconds in (("conv_leaked", 70), ("conv_1", 33))
    ]


async def test_where_conversations_have_no_names_nobody_is_a_stranger(
    backend_with: BackendFactory,
) -> None:
    async with backend_with(include_conversation_id=False) as backend:
        backend.fake.conversations = [listed("conv_leaked")]
        await upkeep.Reconciliation().round(backend.services)
        page = backend.services.metrics.render(0, 0, {}, 0).decode()
        assert "kiosk_backend_stranger_conversation_seconds_total 0.0" in page
