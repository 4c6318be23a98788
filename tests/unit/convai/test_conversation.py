import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.pcm import FORMATS
from kiosk.convai.conversation import (
    AUDIO_FORMATS,
    DEFAULT_AUDIO_FORMAT,
    AgentHangsUp,
    Answer,
    ClientConversation,
    Connected,
    Refused,
)
from kiosk.convai.endings import Kind
from kiosk.convai.messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseCorrection,
    AgentToolResponse,
    ErrorReport,
    Interruption,
    Malformed,
    Metadata,
    Ping,
    ServerMessage,
    ToolCall,
    UserTranscript,
    serialize,
)


@pytest.fixture
def core() -> ClientConversation:
    return ClientConversation()


def feed(core: ClientConversation, *messages: ServerMessage) -> list[object]:
    return [event for message in messages for event in core.receive(serialize(message))]


def audio(event_id: int | None) -> AgentAudio:
    return AgentAudio(b"\0\0", event_id)


def test_the_formats_of_the_wire_are_those_the_signal_knows() -> None:
    assert set(AUDIO_FORMATS) == set(FORMATS)
    assert DEFAULT_AUDIO_FORMAT in AUDIO_FORMATS


@pytest.mark.parametrize("up", AUDIO_FORMATS)
@pytest.mark.parametrize("down", AUDIO_FORMATS)
def test_each_direction_has_the_format_the_server_names(up: str, down: str) -> None:
    core = ClientConversation()
    assert feed(core, Metadata("conv_1", down, up)) == [Connected("conv_1", up, down)]
    assert core.conversation_id == "conv_1"


def test_an_unnamed_format_is_16_khz(core: ClientConversation) -> None:
    assert feed(core, Metadata(None)) == [Connected(None, "pcm_16000", "pcm_16000")]


@pytest.mark.parametrize("name", ["mp3_44100", "pcm_96000", "opus_48000_" + "x" * 500])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_an_unknown_format_ends_the_conversation(name: str, direction: str) -> None:
    both = ("pcm_16000", name) if direction == "up" else (name, "pcm_16000")
    [refused] = feed(ClientConversation(), Metadata("conv_1", *both))
    assert isinstance(refused, Refused)
    assert refused.ending.kind is Kind.PROTOCOL
    assert repr(name[:32]) in refused.ending.detail
    assert len(refused.ending.detail) < 120


def test_a_second_metadata_is_ignored(core: ClientConversation) -> None:
    feed(core, Metadata("conv_1", "pcm_16000", "pcm_16000"))
    assert feed(core, Metadata("conv_2", "pcm_8000", "mp3_44100")) == []
    assert core.conversation_id == "conv_1"


@pytest.mark.parametrize("event_id", [1, "one"])
def test_a_ping_is_answered_at_once_even_before_the_metadata(
    core: ClientConversation, event_id: int | str
) -> None:
    [answer] = feed(core, Ping(event_id, 30))
    assert isinstance(answer, Answer)
    assert json.loads(answer.frame) == {"type": "pong", "event_id": event_id}


def test_texts_are_passed_on(core: ClientConversation) -> None:
    said: list[ServerMessage] = [
        UserTranscript("Hello", 1),
        UserTranscript("Hel", 1, tentative=True),
        AgentResponse("Hi there", 2),
        AgentResponseCorrection("Hi there", "Hi", 2),
    ]
    assert feed(core, *said) == said


# --- stale audio --------------------------------------------------------------------------------


def test_audio_up_to_the_interruption_is_stale(core: ClientConversation) -> None:
    feed(core, audio(1), audio(2), audio(3))
    assert feed(core, Interruption(3)) == [Interruption(3)]
    assert feed(core, audio(2), audio(3), audio(4)) == [audio(4)]


def test_a_lower_interruption_cuts_no_less(core: ClientConversation) -> None:
    feed(core, audio(7), Interruption(7))
    assert feed(core, Interruption(3)) == [Interruption(7)]
    assert feed(core, audio(5), audio(7), audio(8)) == [audio(8)]


def test_an_interruption_without_an_id_cuts_all_that_was_heard_of(core: ClientConversation) -> None:
    feed(core, audio(4), audio(9), audio(6))
    assert feed(core, Interruption()) == [Interruption(9)]
    assert feed(core, audio(9), audio(10)) == [audio(10)]


def test_stale_audio_counts_as_heard_of(core: ClientConversation) -> None:
    feed(core, Interruption(5), audio(4))
    assert feed(core, Interruption()) == [Interruption(5)]


def test_audio_without_an_id_is_the_newest(core: ClientConversation) -> None:
    feed(core, Interruption(5))
    assert feed(core, audio(None)) == [audio(None)]


def test_audio_with_the_id_zero_is_heard_unless_something_was_cut(core: ClientConversation) -> None:
    assert feed(core, audio(0)) == [audio(0)]
    feed(core, Interruption(0))
    assert feed(core, audio(0)) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=30))
def test_audio_is_heard_exactly_when_above_every_interruption(
    frames: list[tuple[bool, int]],
) -> None:
    core, barrier = ClientConversation(), 0
    for interrupts, event_id in frames:
        if interrupts:
            barrier = max(barrier, event_id)
            assert feed(core, Interruption(event_id)) == [Interruption(barrier)]
        else:
            assert bool(feed(core, audio(event_id))) == (event_id > barrier)


# --- tools --------------------------------------------------------------------------------------


def test_a_tool_call_is_answered_with_an_error_so_that_the_agent_goes_on(
    core: ClientConversation,
) -> None:
    [answer] = feed(core, ToolCall("open_door", "call_1", {"door": 1}))
    assert isinstance(answer, Answer)
    body = json.loads(answer.frame)
    assert body["tool_call_id"] == "call_1"
    assert body["is_error"] is True
    assert isinstance(body["result"], str)


def test_a_tool_call_that_expects_no_response_gets_none(core: ClientConversation) -> None:
    assert feed(core, ToolCall("open_door", "call_1", expects_response=False)) == []


def test_end_call_is_the_agent_hanging_up(core: ClientConversation) -> None:
    assert feed(core, AgentToolResponse("end_call")) == [AgentHangsUp()]


def test_a_failed_end_call_and_other_tools_hang_nothing_up(core: ClientConversation) -> None:
    assert feed(core, AgentToolResponse("end_call", is_error=True)) == []
    assert feed(core, AgentToolResponse("skip_turn")) == []


# --- what makes no sense, and the end -----------------------------------------------------------


def test_malformed_frames_are_reported_and_unknown_ones_counted(core: ClientConversation) -> None:
    assert core.receive("junk") == [Malformed("not JSON")]
    assert core.receive('{"type":"vad_score","vad_score_event":{"vad_score":0.9}}') == []
    assert (core.malformed_frames, core.unknown_frames) == (1, 1)


@pytest.mark.parametrize(
    ("report", "code", "reason", "kind"),
    [
        (ErrorReport(1002, "This request exceeds your quota limit."), 1002, "", Kind.QUOTA),
        (ErrorReport(1000, "", "max_duration_exceeded"), 1000, "", Kind.MAX_DURATION),
        (ErrorReport(1008, "", "missing_dynamic_variable"), 1008, "", Kind.AGENT_MISCONFIGURED),
        (ErrorReport(1008, "", "invalid_message"), None, "", Kind.PROTOCOL),
        (ErrorReport(1002, "", "llm_timeout"), 1002, "", Kind.AGENT_FAILED),
        (ErrorReport(None, "received 1002 quota"), None, "", Kind.QUOTA),
    ],
)
def test_an_error_before_the_close_explains_it(
    core: ClientConversation, report: ErrorReport, code: int | None, reason: str, kind: Kind
) -> None:
    assert feed(core, report) == []
    assert core.closed(code, reason).kind is kind


def test_a_close_without_an_error_is_classified_by_its_code(core: ClientConversation) -> None:
    assert core.closed(1000, "").kind is Kind.AGENT_ENDED
