"""How clients are graded: rules on records made by hand, clients that misbehave, and our own."""

import asyncio
import base64
import contextlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from kiosk.agent.behaviour import AgentBehaviour
from kiosk.agent.guide import Guide
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.server import AgentSettings, LocalAgent
from kiosk.agent.voice import AgentVoice
from kiosk.audio.pcm import FORMATS, Samples, samples_from_bytes, samples_to_bytes, silence
from kiosk.audio.resample import resample
from kiosk.convai.client_parsing import parse_client
from kiosk.convai.frames import serialize
from kiosk.convai.server_messages import Metadata, Ping
from kiosk.convai.server_tools import ToolCall
from kiosk.devices.virtual import Room
from kiosk.lab.conformance.examination import Examiner
from kiosk.lab.conformance.figures import TONE_HZ, ToneFinder, tone
from kiosk.lab.conformance.probes import EXAMINED_TOOL, NOBODYS_TOOL, PROBES
from kiosk.lab.conformance.record import ConnectionRecord, new_record
from kiosk.lab.conformance.report import ConformanceReport
from kiosk.lab.conformance.rules import RULES
from kiosk.lab.conformance.verdicts import Judgement, RuleVerdict
from kiosk.lab.demo.lines import VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE
from kiosk.lab.virtual_loop import running_clock
from kiosk.visit.states import State
from tests.lockstep import in_lockstep
from tests.virtual_kiosk import settings, virtual_kiosk

PASS, WARN, FAIL, UNSEEN = RuleVerdict.PASS, RuleVerdict.WARN, RuleVerdict.FAIL, RuleVerdict.UNSEEN
INITIATION = {"type": "conversation_initiation_client_data"}
METADATA = Metadata("conv_1", "pcm_16000", "pcm_24000")
PATH = "/v1/convai/conversation?agent_id=agent_local"
ANNOUNCED = FORMATS["pcm_24000"]

# --- rules on records made by hand --------------------------------------------------------------


def a_record(path: str = PATH) -> ConnectionRecord:
    return new_record(path, "hand/1", "pcm_24000", "pcm_16000")


def receive(record: ConnectionRecord, frame: object, at_s: float = 0.0) -> None:
    """A frame of the client's; what is no text and no bytes goes as JSON."""
    text = frame if isinstance(frame, str | bytes) else json.dumps(frame)
    record.received(text, parse_client(text), at_s)


def judged(record: ConnectionRecord, name: str) -> Judgement:
    return next(rule for rule in RULES if rule.name == name).judge(record)


def initiation(**overrides: object) -> dict[str, object]:
    return {**INITIATION, "conversation_config_override": overrides}


def result(call_id: str = "c", answer: object = "done", **more: object) -> dict[str, object]:
    return {
        "type": "client_tool_result",
        "tool_call_id": call_id,
        "result": answer,
        "is_error": False,
        **more,
    }


@pytest.mark.parametrize(
    ("rule", "frames", "verdict"),
    [
        ("initiation_first", [INITIATION], PASS),
        ("initiation_first", [{"type": "user_activity"}, INITIATION], FAIL),
        ("initiation_first", [" ", INITIATION], FAIL),
        ("initiation_first", [], UNSEEN),
        ("initiation_once", [INITIATION, {"type": "user_activity"}], PASS),
        ("initiation_once", [INITIATION, INITIATION], FAIL),
        ("json_text_frames", [INITIATION], PASS),
        ("json_text_frames", ["half a frame {"], FAIL),
        ("json_text_frames", ["[1]"], FAIL),
        ("no_binary", [INITIATION], PASS),
        ("no_binary", [b"{}"], FAIL),
        ("no_bare_keepalive", [INITIATION], PASS),
        ("no_bare_keepalive", [" "], FAIL),
        ("no_bare_keepalive", [{"text": ""}], FAIL),
        ("known_messages", [INITIATION], PASS),
        ("known_messages", [{"type": "keep_alive"}], FAIL),
        ("types_true", [INITIATION, result(), {"type": "contextual_update", "text": "x"}], PASS),
        ("types_true", [result(answer={"a": 1})], FAIL),
        ("types_true", [result(is_error="no")], FAIL),
        ("types_true", [{"type": "contextual_update", "context": "x"}], FAIL),
        ("types_true", [{**INITIATION, "dynamic_variables": "x"}], FAIL),
        ("types_true", [{"user_audio_chunk": "%"}], FAIL),
        ("types_true", [{"user_audio_chunk": base64.b64encode(b"odd").decode()}], FAIL),
        ("overrides_at_their_level", [INITIATION], PASS),
        ("overrides_at_their_level", [initiation(conversation={"text_only": True})], PASS),
        ("overrides_at_their_level", [initiation(text_only=True)], WARN),
        ("overrides_at_their_level", [initiation(tts={"style": 1})], WARN),
    ],
)
def test_frames_are_judged(rule: str, frames: list[object], verdict: RuleVerdict) -> None:
    record = a_record()
    for frame in frames:
        receive(record, frame)
    assert judged(record, rule).verdict is verdict


@pytest.mark.parametrize(
    ("query", "verdict"),
    [("", PASS), ("&source=x", PASS), ("&xi-api-key=k", FAIL), ("&Authorization=k", FAIL)],
)
def test_a_secret_in_the_url_fails_and_is_not_repeated(query: str, verdict: RuleVerdict) -> None:
    judgement = judged(a_record(PATH + query.replace("=k", "=secret")), "key_not_in_query")
    assert judgement.verdict is verdict
    assert "secret" not in judgement.measured


@pytest.mark.parametrize(
    ("answers", "prompt", "echo"),
    [
        ([(1, 0.05)], PASS, PASS),
        ([(1, 0.4)], WARN, PASS),
        ([(1, 1.2)], FAIL, PASS),
        ([], FAIL, UNSEEN),
        ([("1", 0.05)], PASS, FAIL),
        ([(1.0, 0.05)], PASS, FAIL),
        ([(1, 0.05), (1, 0.06)], PASS, FAIL),
        ([(1, 0.05), (99, 0.06)], PASS, FAIL),
    ],
)
def test_pongs_are_judged(
    answers: list[tuple[object, float]], prompt: RuleVerdict, echo: RuleVerdict
) -> None:
    record = a_record()
    record.sent(serialize(Ping(1)), 0.0)
    for event_id, at_s in answers:
        receive(record, {"type": "pong", "event_id": event_id}, at_s)
    record.closed(1000, 3.0)
    assert judged(record, "pong_prompt").verdict is prompt
    assert judged(record, "pong_echo").verdict is echo


def test_a_pong_that_is_still_on_its_way_at_the_end_is_not_missing() -> None:
    record = a_record()
    for number in (1, 2):
        record.sent(serialize(Ping(number)), number)
    receive(record, {"type": "pong", "event_id": 1}, 1.02)
    record.closed(1000, 2.5)
    assert judged(record, "pong_prompt") == (PASS, "median 20 ms, worst 20 ms")


@pytest.mark.parametrize(
    ("results", "verdicts"),
    [
        (
            [result("asked"), result("nobodys", is_error=True)],
            {"tool_result_string": PASS, "tool_result_once": PASS, "tool_error_flagged": PASS},
        ),
        ([result("asked", {"a": 1})], {"tool_result_string": FAIL, "tool_result_once": PASS}),
        ([result("asked"), result("asked")], {"tool_result_once": FAIL}),
        ([result("of another")], {"tool_result_once": FAIL, "tool_result_string": UNSEEN}),
        ([result("nobodys")], {"tool_error_flagged": FAIL}),
        ([result("unasked")], {"no_result_unasked": FAIL}),
        ([], {"no_result_unasked": PASS, "tool_error_flagged": UNSEEN}),
        ([], {"tool_result_prompt": FAIL}),
    ],
)
def test_tool_results_are_judged(
    results: list[dict[str, object]], verdicts: dict[str, RuleVerdict]
) -> None:
    record = a_record()
    for name, call_id, expects in (
        (EXAMINED_TOOL, "asked", True),
        (EXAMINED_TOOL, "unasked", False),
        (NOBODYS_TOOL, "nobodys", True),
    ):
        record.sent(serialize(ToolCall(name, call_id, {}, expects)), 0.0)
    for each in results:
        receive(record, each, 0.1)
    record.closed(1000, 12.0)
    assert {name: judged(record, name).verdict for name in verdicts} == verdicts


def stream(
    chunk_ms: float = 20, *, rate_hz: int = 24_000, pace: float = 1.0, tail_s: float = 0.0
) -> ConnectionRecord:
    """Six seconds of a microphone's, from the metadata on."""
    record = a_record()
    record.sent(serialize(METADATA), 0.0)
    chunk = {"user_audio_chunk": base64.b64encode(bytes(round(rate_hz * chunk_ms / 500))).decode()}
    for number in range(round(6000 / chunk_ms)):
        receive(record, chunk, number * chunk_ms / 1000 / pace)
    record.closed(1000, record.uplink.last_s + tail_s)
    return record


STREAM_RULES = ("audio_starts", "uplink_format", "uplink_pacing", "uplink_gaps", "chunk_length")


@pytest.mark.parametrize(
    ("record", "verdicts"),
    [
        (stream(), (PASS, PASS, PASS, PASS, PASS)),
        (stream(100), (PASS, PASS, PASS, PASS, PASS)),
        (stream(250), (PASS, PASS, PASS, PASS, WARN)),
        (stream(10), (PASS, PASS, PASS, PASS, WARN)),
        (stream(rate_hz=16_000), (PASS, FAIL, PASS, PASS, PASS)),
        (stream(pace=0.87), (PASS, PASS, FAIL, PASS, PASS)),
        (stream(pace=0.5), (PASS, UNSEEN, FAIL, PASS, PASS)),
        (stream(pace=2.7), (PASS, UNSEEN, FAIL, PASS, PASS)),
        (stream(tail_s=2), (PASS, PASS, PASS, WARN, PASS)),
        (stream(tail_s=6), (PASS, PASS, PASS, FAIL, PASS)),
    ],
)
def test_the_microphones_stream_is_judged(
    record: ConnectionRecord, verdicts: tuple[RuleVerdict, ...]
) -> None:
    assert tuple(judged(record, name).verdict for name in STREAM_RULES) == verdicts


def test_the_report_says_which_format_came_instead() -> None:
    assert "fits pcm_16000" in judged(stream(rate_hz=16_000), "uplink_format").measured


@pytest.mark.parametrize(
    ("gap_s", "ahead_s", "verdict"),
    [
        (0.25, 0.0, PASS),
        (0.5, 0.0, WARN),
        (1.5, 0.0, FAIL),
        (0.5, 0.5, PASS),  # what was said before speech was recognised goes out at once
        (1.5, 1.5, WARN),
    ],
)
def test_a_gap_counts_as_far_as_nothing_was_sent_ahead(
    gap_s: float, ahead_s: float, verdict: RuleVerdict
) -> None:
    uplink = (record := a_record()).uplink
    for number in range(150):
        uplink.came(960, number * 0.02)
    for _ in range(round(ahead_s / 0.02)):
        uplink.came(960, 3.0)
    for number in range(150):
        uplink.came(960, 2.98 + gap_s + number * 0.02)
    record.closed(1000, uplink.last_s)
    assert judged(record, "uplink_gaps").verdict is verdict


def test_chunks_that_always_come_in_batches_are_warned_of() -> None:
    uplink = (record := a_record()).uplink
    for number in range(400):
        uplink.came(960, number // 20 * 0.4)
    record.closed(1000, uplink.last_s)
    assert judged(record, "uplink_gaps").verdict is WARN


def test_no_sound_is_asked_of_a_conversation_in_text() -> None:
    record = a_record()
    receive(record, initiation(conversation={"text_only": True}))
    record.sent(serialize(METADATA), 0.0)
    record.closed(1000, 20.0)
    assert {judged(record, name).verdict for name in STREAM_RULES} == {UNSEEN}


def test_a_client_that_never_sends_sound_fails() -> None:
    record = a_record()
    record.sent(serialize(METADATA), 0.0)
    record.closed(1000, 20.0)
    assert judged(record, "audio_starts").verdict is FAIL


def noise(dbfs: float, seed: int = 1) -> Samples:
    samples = np.random.default_rng(seed).normal(0, 32768 * 10 ** (dbfs / 20), 24_000)
    return np.clip(samples, -32768, 32767).astype(np.int16)


@pytest.mark.parametrize(
    ("sound", "verdict"),
    [
        (tone(24_000) // 10, FAIL),
        ((tone(24_000) // 10 + noise(-45)).astype(np.int16), FAIL),
        (tone(16_000), FAIL),  # from a client that sends 16 kHz whatever is announced
        (tone(24_000) // 3000, UNSEEN),
        (noise(-20), UNSEEN),
        (silence(24_000), UNSEEN),
        (resample(tone(24_000), 24_000, 30_000), UNSEEN),  # another note
    ],
)
def test_the_tone_is_found_in_the_microphones_stream(sound: Samples, verdict: RuleVerdict) -> None:
    record = a_record()
    record.tone.listen(10.0)
    for number, start in enumerate(range(0, len(sound), 480)):
        record.tone.came(samples_to_bytes(sound[start : start + 480]), 10.1 + number * 0.02)
    record.tone.came(samples_to_bytes(silence(480)), 12.9)
    assert judged(record, "stale_audio").verdict is verdict


def test_speech_is_not_taken_for_the_tone_and_what_comes_later_is_not_looked_at() -> None:
    finder = ToneFinder(ANNOUNCED)
    finder.listen(0.0)
    time_s = np.arange(24_000) / 24_000
    harmonics = [np.sin(2 * np.pi * 110 * n * time_s) / n for n in range(1, 30)]
    voice = np.sum(harmonics, axis=0)
    finder.came(samples_to_bytes((6000 * voice).astype(np.int16)), 1.0)
    finder.came(samples_to_bytes(tone(24_000)), 3.1)
    assert finder.heard_ms == 0
    assert TONE_HZ == 110 * 12, "the voice has it among its harmonics"


@pytest.mark.parametrize(
    ("code", "agent_first", "verdict"),
    [(1000, False, PASS), (1005, False, FAIL), (None, False, FAIL), (None, True, UNSEEN)],
)
def test_the_close_is_judged(code: int | None, agent_first: bool, verdict: RuleVerdict) -> None:
    record = a_record()
    record.closed(code, 1.0)
    record.closed_by_agent = agent_first
    assert judged(record, "clean_close").verdict is verdict


# --- probes and reports -------------------------------------------------------------------------


def examined(
    *survived: str, dies_at: str | None = None, code: int | None = 1000
) -> ConnectionRecord:
    """A connection in which these probes were played."""
    record = a_record()
    record.sent(serialize(Ping(1)), 0.0)
    receive(record, {"type": "pong", "event_id": 1}, 0.01)
    for number, name in enumerate((*survived, *([dies_at] if dies_at else [])), 2):
        record.probe_begins(name, number)
        record.sent(serialize(Ping(number)), number)
        record.probe_sent()
        if name != dies_at:
            receive(record, {"type": "pong", "event_id": number}, number + 0.012)
            record.probe_over()
        record.closed(code, number + 0.3)
    return record


def test_the_probe_that_no_ping_was_answered_behind_is_the_one_that_killed() -> None:
    record = examined("unknown_type", dies_at="no_type")
    assert judged(record, "survives_unknown_type") == (PASS, "pong after 12 ms")
    assert judged(record, "survives_no_type") == (FAIL, "closed with 1000, 300 ms after it")
    assert judged(record, "survives_malformed") == (UNSEEN, "not played")
    assert judged(record, "pong_prompt").verdict is PASS


def test_a_late_answer_saves_every_probe_before_it() -> None:
    record = examined(dies_at="no_type")
    record.sent(serialize(Ping(50)), 3.0)
    receive(record, {"type": "pong", "event_id": 50}, 3.1)
    assert judged(record, "survives_no_type").verdict is PASS


def test_a_client_that_answers_no_ping_at_all_is_not_called_dead() -> None:
    record = a_record()
    record.probe_begins("no_type", 1.0)
    record.sent(serialize(Ping(1)), 1.0)
    record.probe_sent()
    record.closed(1000, 9.0)
    assert judged(record, "survives_no_type").verdict is UNSEEN


def test_a_report_grows_over_connections_and_keeps_the_gravest() -> None:
    report = ConformanceReport()
    report.add(examined("unknown_type", dies_at="no_type"))
    assert report.settled == {"unknown_type", "no_type"}
    report.add(examined("malformed"))
    assert report.settled == {"unknown_type", "no_type", "malformed"}
    assert report.judgements["survives_no_type"].verdict is FAIL
    assert report.judgements["survives_malformed"].verdict is PASS
    assert not report.ok
    assert report.lines()[0].startswith("fail    initiation_first")
    assert report.lines()[-1].endswith("connected 2 times: hand/1")


def test_a_warning_costs_full_marks_and_nothing_else() -> None:
    report = ConformanceReport()
    record = a_record()
    receive(record, initiation(text_only=True))
    report.add(record)
    report.judgements.pop("clean_close")
    assert (report.ok, report.full_marks) == (True, False)


def test_a_report_is_one_json_object_with_a_reference_for_each_rule() -> None:
    report = ConformanceReport()
    report.add(examined("unknown_type"))
    told = json.loads(json.dumps(report.as_json()))
    assert set(told) == {"client", "rules", "ok"}
    assert told["client"] == {"user_agent": "hand/1", "connections": 1}
    assert len(told["rules"]) == len(RULES)
    assert all(each["reference"] and each["measured"] for each in told["rules"])


def test_what_a_client_calls_itself_cannot_steer_a_terminal() -> None:
    report = ConformanceReport()
    record = a_record()
    receive(record, {"type": "x\x1b[2J" + "y" * 500})
    receive(record, {**INITIATION, "source_info": {"source": "\x1b]0;", "version": "1\n2"}})
    report.add(record)
    assert all(line.isprintable() for line in report.lines())
    assert max(map(len, report.lines())) < 300


def test_every_probe_and_every_rule_has_a_name_of_its_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert len({probe.name for probe in PROBES}) == len(PROBES)


# --- clients ------------------------------------------------------------------------------------


class Client:
    """A client in a few lines that does everything right but talk; tests spoil it."""

    query = ""
    user_agent: str | None = "hand/1"
    opening: tuple[object, ...] = (INITIATION,)

    def __init__(self) -> None:
        self.socket: ClientConnection
        self.called: set[str] = set()

    async def call(self, url: str, over: asyncio.Event) -> None:
        """Connect, and hang up when `over` is set."""
        address = url.replace("http", "ws", 1) + PATH + self.query
        async with connect(
            address, max_size=2**24, compression=None, user_agent_header=self.user_agent
        ) as self.socket:
            for frame in self.opening:
                await self.send(frame)
            beside = [asyncio.create_task(work) for work in (self._read(), over.wait())]
            await asyncio.wait(beside, return_when=asyncio.FIRST_COMPLETED)
            for task in beside:
                task.cancel()

    async def send(self, frame: object) -> None:
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def on_ping(self, event_id: Any) -> None:
        await self.send({"type": "pong", "event_id": event_id})

    async def on_tool(self, call: dict[str, Any]) -> None:
        if call["expects_response"]:
            failed = call["tool_name"] == NOBODYS_TOOL
            await self.send(result(call["tool_call_id"], is_error=failed))

    async def on_audio(self, event: dict[str, Any]) -> None:
        """It has no loudspeaker."""

    async def on_frame(self, frame: str | bytes) -> None:
        try:
            message = json.loads(frame)
            match message:
                case {"type": "ping", "ping_event": {"event_id": event_id}}:
                    await self.on_ping(event_id)
                case {"type": "client_tool_call", "client_tool_call": call}:
                    if call["tool_call_id"] not in self.called:
                        self.called.add(call["tool_call_id"])
                        await self.on_tool(call)
                case {"type": "audio", "audio_event": event}:
                    await self.on_audio(event)
        except (ValueError, RecursionError):
            pass

    async def _read(self) -> None:
        try:
            async for frame in self.socket:
                await self.on_frame(frame)
        except ConnectionClosed:
            pass


class Examining:
    """An agent that examines, with its reports."""

    def __init__(
        self, url: str, over: asyncio.Event, reports: asyncio.Queue[ConformanceReport]
    ) -> None:
        self.url = url
        self.over = over
        self.reports = reports

    async def report(self) -> ConformanceReport:
        async with asyncio.timeout(5):
            return await self.reports.get()

    async def call(self, client: Client) -> ConformanceReport:
        self.over.clear()
        async with asyncio.timeout(30):
            await client.call(self.url, self.over)
        return await self.report()


@contextlib.asynccontextmanager
async def an_examination(guide: Guide, recogniser: Recogniser) -> AsyncIterator[Examining]:
    over, reports = asyncio.Event(), asyncio.Queue[ConformanceReport]()
    agent = LocalAgent(
        AgentSettings(port=0, behaviour=AgentBehaviour(input_format="pcm_24000")),
        guide,
        recogniser,
        lambda _: None,
        examiner=Examiner(reports.put_nowait, over.set),
    )
    async with agent.listening() as url:
        yield Examining(url, over, reports)


@pytest.fixture
async def examining(guide: Guide, recogniser: Recogniser) -> AsyncIterator[Examining]:
    async with an_examination(guide, recogniser) as examining:
        yield examining


class Silent(Client):
    """Types: so it needs no microphone."""

    opening: tuple[object, ...] = (initiation(conversation={"text_only": True}),)


class Rude(Silent):
    """Follows guides that mix up services."""

    query = "&xi-api-key=secret"
    opening = (
        {"user_audio_chunk": base64.b64encode(bytes(960)).decode()},
        initiation(text_only=True),
        " ",
        {"text": ""},
        b"{}",
        {"type": "keep_alive"},
        {"type": "contextual_update", "context": "x"},
    )

    async def on_ping(self, event_id: Any) -> None:
        await self.send({"type": "pong", "event_id": str(event_id)})

    async def on_tool(self, call: dict[str, Any]) -> None:
        await self.send(result(call["tool_call_id"], {"an": "object"}))


async def test_a_client_that_follows_the_guides_is_talked_with_and_fails(
    examining: Examining,
) -> None:
    report = await examining.call(Rude())
    assert set(report.verdicts(FAIL)) == {
        "initiation_first",
        "key_not_in_query",
        "no_binary",
        "no_bare_keepalive",
        "known_messages",
        "types_true",
        "pong_echo",
        "tool_result_string",
        "tool_error_flagged",
        "no_result_unasked",
    }
    assert report.verdicts(WARN) == ["overrides_at_their_level"]
    assert report.settled == {probe.name for probe in PROBES} - {"interruption"}
    assert "secret" not in str(report.as_json())


@pytest.mark.wide  # 8 s of real time
async def test_a_client_that_never_introduces_itself_is_examined_all_the_same(
    examining: Examining,
) -> None:
    class Anonymous(Client):
        opening = ()

    report = await examining.call(Anonymous())
    assert report.judgements["initiation_first"] == (FAIL, "none came")
    assert report.settled == {probe.name for probe in PROBES}


async def test_a_client_without_sound_that_does_everything_right_gets_full_marks(
    examining: Examining,
) -> None:
    report = await examining.call(Silent())
    assert report.full_marks, "\n".join(report.lines())


class Mortal(Silent):
    """Dies of two of the probes."""

    async def on_frame(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            self.socket.transport.abort()
        elif json.loads(frame if frame.startswith('{"') else "{}").get("type") is None:
            await self.socket.close()
        await super().on_frame(frame)


async def test_a_client_that_dies_is_examined_on_when_it_comes_back(examining: Examining) -> None:
    deaths = []
    for _ in range(6):
        report = await examining.call(Mortal())
        deaths = [name for name in report.verdicts(FAIL) if name.startswith("survives")]
        if examining.over.is_set():
            break
    assert deaths == [
        "survives_no_type",
        "survives_not_an_object",
        "survives_malformed",
        "survives_binary",
        "survives_deep",
    ]
    assert report.connections == len(deaths) + 1
    assert report.judgements["survives_large"].verdict is PASS
    assert report.judgements["clean_close"] == (FAIL, "no close frame")


@pytest.mark.wide  # 8 s of real time
async def test_each_client_has_a_report_of_its_own_and_all_of_the_probes(
    examining: Examining,
) -> None:
    class Nameless(Silent):
        user_agent = None

    class Another(Silent):
        user_agent = "another/2"

    dead = await examining.call(Mortal())
    others = [await examining.call(client) for client in (Nameless(), Another())]
    assert not dead.ok
    for other in others:
        assert other.full_marks, "what another client died of is not laid to its charge"
        assert other.connections == 1
        assert other.settled == {probe.name for probe in PROBES} - {"interruption"}
    assert [other.as_json()["client"] for other in others] == [
        {"connections": 1},
        {"user_agent": "another/2", "connections": 1},
    ]
    assert await examining.call(Mortal()) is dead
    assert await examining.call(Nameless()) is others[0]


class Echoing(Client):
    """Plays whatever comes, whichever turn it belongs to, into an open microphone."""

    def __init__(self) -> None:
        super().__init__()
        self._heard = silence(0)

    async def on_audio(self, event: dict[str, Any]) -> None:
        samples = samples_from_bytes(base64.b64decode(event.get("audio_base_64", "")))
        self._heard = np.concatenate((self._heard, resample(samples, 16_000, 24_000)))

    async def call(self, url: str, over: asyncio.Event) -> None:
        microphone = asyncio.create_task(self._listen())
        try:
            await super().call(url, over)
        finally:
            microphone.cancel()

    async def _listen(self) -> None:
        await asyncio.sleep(0.1)
        begun_s = time.monotonic()
        for number in range(10_000):
            await asyncio.sleep(begun_s + number * 0.02 - time.monotonic())
            chunk, self._heard = self._heard[:480] // 4, self._heard[480:]
            sound = samples_to_bytes(np.pad(chunk, (0, 480 - len(chunk))))
            await self.send({"user_audio_chunk": base64.b64encode(sound).decode()})

    async def on_frame(self, frame: str | bytes) -> None:
        if '"interruption"' in str(frame[:40]):
            self._heard = silence(0)  # what was not heard yet; the late sound comes after
        await super().on_frame(frame)


async def test_a_client_that_plays_what_was_cut_is_heard_doing_it(examining: Examining) -> None:
    report = await examining.call(Echoing())
    stale = report.judgements["stale_audio"]
    assert stale.verdict is FAIL
    assert stale.measured.startswith("its tone came back through the microphone")
    assert report.verdicts(FAIL) == ["stale_audio"], "\n".join(report.lines())


@pytest.mark.wide  # the agent measures how evenly our sound comes, by the machine's own time
@in_lockstep
async def test_our_kiosk_gets_full_marks(
    short_dir: Path, guide: Guide, recogniser: Recogniser
) -> None:
    async with an_examination(guide, recogniser) as examining:
        report = await report_on_our_kiosk(short_dir, examining)
    assert report.full_marks, "\n".join(report.lines())
    # Nobody can tell a client that drops stale sound from one that is not heard playing it.
    assert report.verdicts(UNSEEN) == ["stale_audio"]


async def report_on_our_kiosk(short_dir: Path, examining: Examining) -> ConformanceReport:
    room = Room(16_000, clock=running_clock())
    speech = await AgentVoice(VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE).render(
        "where are the dinosaurs please", 16_000
    )
    its_settings = settings(short_dir, examining.url.replace("http", "ws", 1))
    async with virtual_kiosk(its_settings, room) as kiosk:
        room.say(speech, kiosk.button.press() + 2.0)
        async with asyncio.timeout(20):
            await examining.over.wait()
        kiosk.button.press()
        await kiosk.state(State.IDLE)
        return await examining.report()


# --- the command --------------------------------------------------------------------------------


async def agent_process(*options: str) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "kiosk", "agent", "--port", "0", "--conformance", *options),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    listening = (await process.stdout.readline()).decode()
    return process, listening.removeprefix("listening on ").strip()


@pytest.mark.parametrize("options", [["--json"], []])
async def test_the_command_reports_after_each_connection(options: list[str]) -> None:
    process, url = await agent_process(*options)
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, over.set)
    await Silent().call(url, over)
    process.send_signal(signal.SIGTERM)
    out, _ = await process.communicate()
    lines = out.decode().splitlines()
    assert process.returncode == 0
    if options:
        assert [json.loads(line)["ok"] for line in lines] == [True]
    else:
        assert len(lines) == len(RULES) + 1
        assert lines[-1].startswith(f"{len(RULES)} rules: 0 fail, ")


async def test_a_client_that_the_stopped_agent_hangs_up_on_is_reported_too() -> None:
    process, url = await agent_process("--json")
    asyncio.get_running_loop().call_later(1.0, process.terminate)
    await Silent().call(url, asyncio.Event())
    out, _ = await process.communicate()
    rules = {each["rule"]: each for each in json.loads(out)["rules"]}
    assert rules["clean_close"]["verdict"] == UNSEEN
    assert rules["clean_close"]["measured"] == "the agent closed"


async def test_the_command_announces_a_format_that_shows_who_does_not_look() -> None:
    announced: list[Callable[[], object]] = []

    class Looking(Silent):
        async def on_frame(self, frame: str | bytes) -> None:
            if not announced:
                announced.append(lambda: json.loads(frame))
            await super().on_frame(frame)

    process, url = await agent_process()
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, over.set)
    await Looking().call(url, over)
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert "pcm_24000" in str(announced[0]())
