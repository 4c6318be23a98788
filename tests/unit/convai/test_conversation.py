import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.pcm import FORMATS
from kiosk.convai.conversation import (
    AUDIO_FORMATS,
    DEFAULT_AUDIO_FORMAT,
    Admitted,
    AgentHangsUp,
    Answer,
    ClientConversation,
    Connected,
    FormatsChanged,
    Queued,
    Refused,
    ToolEnded,
    ToolStarted,
    TurnSkipped,
)
from kiosk.convai.frames import Malformed, serialize
from kiosk.convai.server_messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseComplete,
    AgentResponseCorrection,
    AgentResponseMetadata,
    AgentResponsePart,
    ClientError,
    ErrorReport,
    GuardrailTriggered,
    Interruption,
    Metadata,
    Ping,
    QueueStatus,
    UserTranscript,
    VadScore,
)
from kiosk.convai.server_parsing import IGNORED_TYPES, ServerMessage
from kiosk.convai.server_tools import (
    AgentToolRequest,
    AgentToolResponse,
    McpConnectionStatus,
    McpToolCall,
    ToolCall,
)
from kiosk.endings import Kind


@pytest.fixture
def fresh() -> ClientConversation:
    return ClientConversation()


@pytest.fixture
def core(fresh: ClientConversation) -> ClientConversation:
    """One that is connected."""
    feed(fresh, Metadata("conv_1"))
    return fresh


def feed(core: ClientConversation, *messages: ServerMessage, at_s: float = 0.0) -> list[object]:
    return [event for message in messages for event in core.receive(serialize(message), at_s)]


def audio(event_id: int | None, *, final: bool = False) -> AgentAudio:
    return AgentAudio(b"\0\0", event_id, final)


def test_the_formats_of_the_wire_are_those_the_signal_knows() -> None:
    assert set(AUDIO_FORMATS) == set(FORMATS)
    assert DEFAULT_AUDIO_FORMAT in AUDIO_FORMATS


@pytest.mark.parametrize("up", AUDIO_FORMATS)
@pytest.mark.parametrize("down", AUDIO_FORMATS)
def test_each_direction_has_the_format_the_server_names(up: str, down: str) -> None:
    core = ClientConversation()
    assert feed(core, Metadata("conv_1", down, up)) == [Connected("conv_1", up, down)]
    assert core.conversation_id == "conv_1"


def test_an_unnamed_format_is_16_khz(fresh: ClientConversation) -> None:
    assert feed(fresh, Metadata(None)) == [Connected(None, "pcm_16000", "pcm_16000")]


@pytest.mark.parametrize("name", ["mp3_44100", "pcm_96000", "opus_48000_" + "x" * 500])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_an_unknown_format_ends_the_conversation(name: str, direction: str) -> None:
    both = ("pcm_16000", name) if direction == "up" else (name, "pcm_16000")
    [refused] = feed(ClientConversation(), Metadata("conv_1", *both))
    assert isinstance(refused, Refused)
    assert refused.ending.kind is Kind.PROTOCOL
    assert repr(name[:32]) in refused.ending.detail
    assert len(refused.ending.detail) < 120


def test_a_second_metadata_changes_nothing_but_the_formats(core: ClientConversation) -> None:
    assert feed(core, Metadata("conv_2", "pcm_8000", "mp3_44100")) == []
    assert feed(core, Metadata("conv_2", "pcm_16000", "pcm_16000"), Metadata("conv_2")) == []
    changed = feed(core, Metadata("conv_2", "pcm_24000", "pcm_8000"))
    assert changed == [FormatsChanged("pcm_8000", "pcm_24000")]
    assert feed(core, Metadata("conv_2", "pcm_24000", "pcm_8000")) == []
    assert core.conversation_id == "conv_1"


def test_what_comes_before_the_metadata_waits_for_it_in_its_order(
    fresh: ClientConversation,
) -> None:
    early: list[ServerMessage] = [
        AgentAudio(b"\0\0", 1),
        AgentAudio(b"\0\1", 1),
        AgentResponse("Hello", 1),
    ]
    assert feed(fresh, *early) == []
    came = feed(fresh, Metadata("conv_1", "pcm_24000", "pcm_16000"))
    assert came == [Connected("conv_1", "pcm_16000", "pcm_24000"), *early]
    assert feed(fresh, AgentAudio(b"\0\2", 1)) == [AgentAudio(b"\0\2", 1)]


def test_what_waits_for_the_metadata_is_bounded(fresh: ClientConversation) -> None:
    second = AgentAudio(bytes(96_000), 1)
    for _ in range(100):
        assert feed(fresh, second) == []
    assert 20 <= len(feed(fresh, Metadata("conv_1"))) - 1 <= 31


# --- tools that the service uses ----------------------------------------------------------------


def test_a_tool_that_is_announced_says_how_long_it_may_take(core: ClientConversation) -> None:
    assert feed(core, AgentToolRequest("search", "t1", "webhook", 3, 30)) == [ToolStarted(30)]
    assert feed(core, AgentToolRequest("search", "t1")) == [ToolStarted(20)]
    ran = AgentToolResponse("search", "t1", status="success")
    assert feed(core, ran) == [ran]


@pytest.mark.parametrize("wanted_s", [10**400, 3600, -5])
def test_no_tool_is_waited_for_for_ever(core: ClientConversation, wanted_s: int) -> None:
    (started,) = feed(core, AgentToolRequest("search", "t1", "webhook", 3, wanted_s))
    assert isinstance(started, ToolStarted)
    assert 0 <= started.for_s <= 300


@pytest.mark.parametrize("ids", [True, False])
def test_a_greeting_that_is_not_wanted_is_dropped_and_nothing_after_it(ids: bool) -> None:
    core = ClientConversation(without_greeting=True)
    feed(core, ACCEPTED)
    first, later = (audio(1), audio(7)) if ids else (audio(None), audio(None))
    for at_s in (0.5, 1.0, 1.4):
        assert feed(core, first, at_s=at_s) == []
    assert feed(core, later, at_s=20.0) == [later]
    assert feed(core, later, at_s=20.5) == [later]


def test_what_comes_late_is_no_greeting() -> None:
    core = ClientConversation(without_greeting=True)
    feed(core, ACCEPTED)
    assert feed(core, audio(9), at_s=6.0) == [audio(9)]


def test_a_tool_of_an_mcp_server_runs_until_it_has_a_result(core: ClientConversation) -> None:
    states = ["loading", "success", "loading", "failure"]
    came = feed(core, *(McpToolCall("search", "m1", state) for state in states))
    assert came == [ToolStarted(20), ToolEnded(), ToolStarted(20), ToolEnded()]


@pytest.mark.parametrize("event_id", [1, "one"])
def test_a_ping_is_answered_at_once_even_before_the_metadata(
    fresh: ClientConversation, event_id: int | str
) -> None:
    [answer] = feed(fresh, Ping(event_id, 30))
    assert isinstance(answer, Answer)
    assert json.loads(answer.frame) == {"type": "pong", "event_id": event_id}


def test_what_is_said_and_what_a_guardrail_stops_is_passed_on(core: ClientConversation) -> None:
    said: list[ServerMessage] = [
        UserTranscript("Hello", 1),
        UserTranscript("Hel", 1, tentative=True),
        AgentResponse("Hi there", 2),
        AgentResponseComplete(2),
        AgentResponseCorrection("Hi there", "Hi", 2),
        GuardrailTriggered("harm"),
        AgentResponsePart("Hel", "delta", 1),
    ]
    assert feed(core, *said) == said


@pytest.mark.parametrize(
    "message",
    [
        VadScore(0.9),
        AgentResponsePart("Hm", "delta", 1, reasoning=True),
        AgentResponseMetadata({"tokens": 9}, 1),
        McpConnectionStatus(),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_a_visitor_never_notices_means_nothing(
    core: ClientConversation, message: ServerMessage
) -> None:
    assert feed(core, message) == []
    assert (core.malformed_frames, core.unknown_frames) == (0, 0)


@pytest.mark.parametrize("type_name", sorted(IGNORED_TYPES))
def test_an_ignored_event_is_not_counted_as_unknown(
    core: ClientConversation, type_name: str
) -> None:
    assert core.receive(json.dumps({"type": type_name}), 0.0) == []
    assert core.unknown_frames == 0


# --- the queue ----------------------------------------------------------------------------------


ACCEPTED = Metadata("conv_1", "pcm_16000", "pcm_16000")


def test_a_visitor_waits_once_and_is_admitted_once(core: ClientConversation) -> None:
    feed(core, ACCEPTED)
    waiting, admitted = QueueStatus("waiting"), QueueStatus("admitted")
    assert feed(core, waiting, waiting) == [Queued()]
    assert feed(core, admitted, admitted) == [Admitted()]


def test_nobody_is_admitted_who_did_not_wait(core: ClientConversation) -> None:
    assert feed(core, QueueStatus("admitted"), QueueStatus("somewhere")) == []


def test_a_visitor_may_be_held_a_second_time(core: ClientConversation) -> None:
    feed(core, ACCEPTED, QueueStatus("waiting"), QueueStatus("admitted"))
    assert feed(core, QueueStatus("waiting")) == [Queued()]


def test_a_wait_in_vain_ends_the_conversation_as_busy(core: ClientConversation) -> None:
    feed(core, ACCEPTED, QueueStatus("waiting"))
    [refused] = feed(core, QueueStatus("timed_out"))
    assert isinstance(refused, Refused)
    assert refused.ending.kind is Kind.BUSY


def test_the_music_of_the_queue_is_audio_like_any_other(core: ClientConversation) -> None:
    feed(core, ACCEPTED, QueueStatus("waiting"))
    assert feed(core, audio(1)) == [audio(1)]


def test_a_queue_told_of_before_the_metadata_is_waited_in_after_it(
    fresh: ClientConversation,
) -> None:
    assert feed(fresh, QueueStatus("waiting")) == []
    assert [type(event) for event in feed(fresh, ACCEPTED)] == [Connected, Queued]


def test_who_was_admitted_before_the_metadata_never_waited(fresh: ClientConversation) -> None:
    feed(fresh, QueueStatus("waiting"), QueueStatus("admitted"))
    assert [type(event) for event in feed(fresh, ACCEPTED)] == [Connected]


# --- stale audio --------------------------------------------------------------------------------


def test_audio_up_to_the_interruption_is_stale(core: ClientConversation) -> None:
    feed(core, audio(1), audio(2), audio(3))
    assert feed(core, Interruption(3)) == [Interruption(3)]
    assert feed(core, audio(2), audio(3), audio(4)) == [audio(4)]


def test_an_interruption_that_comes_late_cuts_nothing_more_and_no_less(
    core: ClientConversation,
) -> None:
    feed(core, audio(7), Interruption(7))
    assert feed(core, audio(8), Interruption(3)) == [audio(8)]
    assert feed(core, audio(5), audio(7), audio(8)) == [audio(8)]


def test_an_interruption_is_one_again_though_its_id_is_that_of_the_last(
    core: ClientConversation,
) -> None:
    # Where audio has no ids, those of interruptions need not grow.
    assert feed(core, audio(None), Interruption(1)) == [audio(None), Interruption(1)]
    assert feed(core, audio(None), Interruption(1)) == [audio(None), Interruption(1)]


def test_an_interruption_said_twice_does_not_cut_the_turn_between(
    core: ClientConversation,
) -> None:
    feed(core, audio(1), Interruption(1))
    assert feed(core, audio(2), Interruption(1)) == [audio(2)]


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


# The service's order (seen live): a turn's text comes seconds after its sound, even if it was cut,
# `is_final` is never true, and a later turn may have no transcript before it.


@pytest.mark.parametrize(
    "between",
    [
        (),
        (AgentResponse("What was cut, in full.", 236),),
        (UserTranscript("Stop.", 280),),
        (UserTranscript("", 236, tentative=True),),
        (Interruption(274), AgentResponse("What was cut, in full.", 236)),
        (Interruption(236), AgentResponseCorrection("What was cut, in full.", "What", 236)),
        (Interruption(12),),
        (Interruption(),),
        (AgentResponseComplete(236), AgentResponsePart("What", "delta", 236)),
    ],
    ids=lambda messages: "+".join(type(message).__name__ for message in messages),
)
def test_what_the_button_cut_is_stale_whatever_is_said_of_it(
    core: ClientConversation, between: tuple[ServerMessage, ...]
) -> None:
    feed(core, audio(117), audio(236), audio(236))
    core.cut(1.0)
    feed(core, *between, at_s=1.7)
    late = [audio(236), audio(117), audio(236, final=True)]
    assert feed(core, *late, at_s=1.7) == []
    assert feed(core, *late, at_s=30.0) == []


def test_the_next_turn_is_heard_whole_though_nothing_announces_it(
    core: ClientConversation,
) -> None:
    feed(core, audio(236))
    core.cut(1.0)
    feed(core, audio(236), at_s=1.1)
    later = [audio(280), audio(280), audio(281)]
    assert feed(core, *later, at_s=1.2) == later


def test_ids_that_begin_anew_with_a_second_metadata_are_heard(core: ClientConversation) -> None:
    feed(core, ACCEPTED, audio(236))
    core.cut(1.0)
    feed(core, Interruption(274), ACCEPTED, at_s=2.0)
    assert feed(core, audio(1), audio(2), at_s=2.0) == [audio(1), audio(2)]
    core.cut(3.0)
    assert feed(core, audio(2), audio(3), at_s=3.0) == [audio(3)]


def test_sound_without_an_id_is_stale_after_the_button_until_a_transcript(
    core: ClientConversation,
) -> None:
    feed(core, audio(None))
    core.cut(1.0)
    feed(core, AgentResponse("What was cut."), UserTranscript("St", None, tentative=True), at_s=1.5)
    assert feed(core, audio(None), at_s=1.5) == []
    feed(core, UserTranscript("Stop.", None), at_s=1.6)
    assert feed(core, audio(None), at_s=1.6) == [audio(None)]


def test_sound_without_an_id_is_stale_after_the_button_until_a_second_without_any(
    core: ClientConversation,
) -> None:
    feed(core, audio(None))
    core.cut(1.0)
    for at_s in (1.9, 2.8, 3.7):
        assert feed(core, audio(None), at_s=at_s) == []
    assert feed(core, audio(None), at_s=4.8) == [audio(None)]
    assert feed(core, audio(None), at_s=4.9) == [audio(None)]


def test_sound_without_an_id_is_stale_after_the_button_up_to_a_last_chunk(
    core: ClientConversation,
) -> None:
    feed(core, audio(None))
    core.cut(1.0)
    assert feed(core, audio(None), audio(None, final=True), at_s=1.1) == []
    assert feed(core, audio(None), at_s=1.2) == [audio(None)]


def test_the_button_mutes_nothing_more_of_a_turn_without_an_id_that_came_whole(
    core: ClientConversation,
) -> None:
    feed(core, audio(None), audio(None, final=True))
    core.cut(1.0)
    assert feed(core, audio(None), at_s=1.1) == [audio(None)]


def test_an_interruption_does_not_bring_back_what_the_button_cut(core: ClientConversation) -> None:
    feed(core, audio(None))
    core.cut(1.0)
    feed(core, Interruption(), at_s=1.1)
    assert feed(core, audio(None), at_s=1.2) == []


def test_ids_that_begin_anew_without_a_word_are_heard_from_their_first_answer_on(
    core: ClientConversation,
) -> None:
    feed(core, audio(236))
    core.cut(1.0)
    assert feed(core, audio(236), UserTranscript("Stop.", 3), audio(236), at_s=1.1) == [
        UserTranscript("Stop.", 3)
    ]
    later = [audio(3), audio(3), audio(9)]
    assert feed(core, *later, at_s=1.2) == later
    core.cut(2.0)
    assert feed(core, audio(9), audio(10), at_s=2.1) == [audio(10)]


def test_a_server_with_one_id_is_heard_again_once_the_cut_turn_is_over(
    core: ClientConversation,
) -> None:
    feed(core, audio(1))
    core.cut(1.0)
    feed(core, UserTranscript("Stop.", 1), at_s=1.5)
    assert feed(core, audio(1), at_s=1.6) == [], "it may still be the turn that was cut"
    assert feed(core, audio(1), audio(1), at_s=2.7) == [audio(1), audio(1)]


Frames = list[tuple[bool, int | None]]
frames_of_a_turn = st.lists(
    st.tuples(st.booleans(), st.none() | st.integers(0, 9) | st.integers(0, 10**15)), max_size=40
)


@given(frames_of_a_turn)
def test_no_audio_up_to_the_highest_interruption_is_ever_heard(frames: Frames) -> None:
    core, cut_ids = ClientConversation(), [-1]
    for interrupts, event_id in frames:
        if interrupts:
            cut_ids += [] if event_id is None else [event_id]
            feed(core, Interruption(event_id))
        else:
            for heard in feed(core, audio(event_id)):
                assert isinstance(heard, AgentAudio)
                assert heard.event_id is None or heard.event_id > max(cut_ids)


@given(frames_of_a_turn)
def test_audio_is_heard_exactly_when_above_every_cut(frames: Frames) -> None:
    core, barrier, highest = ClientConversation(), -1, 0
    feed(core, ACCEPTED)
    for interrupts, event_id in frames:
        if interrupts:
            late = event_id is not None and (
                event_id < barrier or (event_id == barrier and highest > barrier)
            )
            barrier = max(barrier, highest if event_id is None else event_id)
            assert feed(core, Interruption(event_id)) == ([] if late else [Interruption(barrier)])
        else:
            highest = max(highest, event_id or 0)
            heard = event_id is None or event_id > barrier
            assert feed(core, audio(event_id)) == ([audio(event_id)] if heard else [])


# --- tools --------------------------------------------------------------------------------------


@pytest.mark.parametrize("expects_response", [True, False])
def test_a_tool_call_is_handed_out(core: ClientConversation, expects_response: bool) -> None:
    call = ToolCall("open_door", "call_1", {"door": 1}, expects_response)
    assert feed(core, call) == [call]


def test_end_call_is_the_agent_hanging_up(core: ClientConversation) -> None:
    assert feed(core, AgentToolResponse("end_call")) == [AgentHangsUp()]
    full = AgentToolResponse("end_call", full_result="Goodbye")
    assert feed(core, full) == [AgentHangsUp()]


def test_skip_turn_is_a_turn_that_the_agent_leaves_out(core: ClientConversation) -> None:
    assert feed(core, AgentToolResponse("skip_turn")) == [TurnSkipped()]


@pytest.mark.parametrize("tool", ["end_call", "skip_turn"])
@pytest.mark.parametrize(("is_error", "is_called"), [(True, True), (False, False), (True, False)])
def test_a_tool_that_failed_or_was_not_called_changes_nothing(
    core: ClientConversation, tool: str, is_error: bool, is_called: bool
) -> None:
    response = AgentToolResponse(tool, is_error=is_error, is_called=is_called)
    assert feed(core, response) == [response]


@pytest.mark.parametrize("tool", ["language_detection", "transfer_to_number", "weather"])
def test_what_other_tools_of_the_server_did_is_passed_on(
    core: ClientConversation, tool: str
) -> None:
    assert feed(core, AgentToolResponse(tool)) == [AgentToolResponse(tool)]


@pytest.mark.parametrize("tool", ["end_call", "skip_turn"])
@pytest.mark.parametrize(
    ("is_blocked", "status"),
    [(True, None), (True, "blocked"), (False, "blocked"), (False, "skipped"), (False, "error")],
)
def test_a_tool_that_was_blocked_or_skipped_changes_nothing(
    core: ClientConversation, tool: str, is_blocked: bool, status: str | None
) -> None:
    response = AgentToolResponse(tool, is_blocked=is_blocked, status=status)
    assert feed(core, response) == [response]


def test_a_tool_that_succeeded_says_so(core: ClientConversation) -> None:
    assert feed(core, AgentToolResponse("end_call", status="success")) == [AgentHangsUp()]


def test_a_call_of_the_kiosks_own_tool_is_handed_out_once_whatever_is_repeated(
    core: ClientConversation,
) -> None:
    first, second = ToolCall("open_door", "call_1"), ToolCall("open_door", "call_2")
    assert feed(core, first, first, second, first, second) == [first, second]


def test_calls_with_an_empty_id_cannot_be_told_apart_and_all_run(core: ClientConversation) -> None:
    call = ToolCall("open_door", "")
    assert feed(core, call, call) == [call, call]


def test_a_tool_of_ours_and_one_of_an_mcp_server_may_have_one_id(core: ClientConversation) -> None:
    call = ToolCall("open_door", "call_1")
    assert feed(core, call) == [call]
    assert approvals(core, asks("search", "call_1")) == [("call_1", False)]


def asks(tool: str, call_id: str, state: str = "awaiting_approval") -> McpToolCall:
    return McpToolCall(tool, call_id, state)


def approvals(core: ClientConversation, *calls: McpToolCall) -> list[tuple[str, bool]]:
    """The answers, each the id of its call and whether it may run."""
    answers = [event for event in feed(core, *calls) if not isinstance(event, ToolStarted)]
    bodies = []
    for event in answers:
        assert isinstance(event, Answer)
        bodies.append(json.loads(event.frame))
    assert {body["type"] for body in bodies} <= {"mcp_tool_approval_result"}
    return [(body["tool_call_id"], body["is_approved"]) for body in bodies]


def test_a_tool_of_an_mcp_server_is_refused_unless_it_is_approved_by_name() -> None:
    core = ClientConversation(approved_mcp_tools=["search"])
    assert approvals(core, asks("search", "c1"), asks("delete", "c2")) == [
        ("c1", True),
        ("c2", False),
    ]
    assert approvals(ClientConversation(), asks("search", "c1")) == [("c1", False)]


def test_only_a_call_that_waits_for_approval_is_answered(core: ClientConversation) -> None:
    states = ("loading", "success", "failure", "new_state")
    came = feed(core, *(asks("search", "c1", state) for state in states))
    assert not any(isinstance(event, Answer) for event in came)


def test_a_call_is_approved_or_refused_once_whatever_is_repeated(core: ClientConversation) -> None:
    first, second = asks("search", "c1"), asks("search", "c2")
    assert approvals(core, first, first, second, first, second) == [("c1", False), ("c2", False)]


def test_a_call_with_an_empty_id_is_answered_like_any_other(core: ClientConversation) -> None:
    assert approvals(core, asks("search", "")) == [("", False)]


# --- what makes no sense, and the end -----------------------------------------------------------


def test_malformed_frames_are_reported_and_unknown_ones_counted(core: ClientConversation) -> None:
    assert core.receive("junk", 0.0) == [Malformed("not JSON")]
    assert core.receive(b"{}", 0.0) == [Malformed("a binary frame")]
    assert core.receive('{"type":"made_up"}', 0.0) == []
    assert (core.malformed_frames, core.unknown_frames) == (2, 1)


@pytest.mark.parametrize(
    ("report", "code", "reason", "kind"),
    [
        (ErrorReport(1002, "This request exceeds your quota limit."), 1002, "", Kind.QUOTA),
        (ErrorReport(1000, "", "max_duration_exceeded"), 1000, "", Kind.MAX_DURATION),
        (ErrorReport(1008, "", "missing_dynamic_variable"), 1008, "", Kind.VARIABLE_MISSING),
        (ErrorReport(1008, "", "invalid_message"), None, "", Kind.PROTOCOL),
        (ErrorReport(1002, "", "llm_timeout"), 1002, "", Kind.AGENT_FAILED),
        (ErrorReport(1008, "", None, "override_error"), 1008, "", Kind.OVERRIDE_REFUSED),
        (ErrorReport(None, "received 1002 quota"), None, "", Kind.QUOTA),
        (ClientError(1008, "override_error"), 1008, "", Kind.OVERRIDE_REFUSED),
        (ClientError(1002, None, "transport_receive_timeout"), 1002, "", Kind.NOT_HEARD),
    ],
)
def test_an_error_before_the_close_explains_it(
    core: ClientConversation,
    report: ErrorReport | ClientError,
    code: int | None,
    reason: str,
    kind: Kind,
) -> None:
    assert feed(core, report) == []
    assert core.closed(code, reason).kind is kind


@pytest.mark.parametrize(
    "after",
    [AgentResponse("Where were we?"), UserTranscript("Hello?"), audio(7), ToolCall("light", "c1")],
)
def test_an_error_the_conversation_survived_does_not_explain_its_end(
    core: ClientConversation, after: ServerMessage
) -> None:
    feed(core, ErrorReport(1002, "", "safety_violation"), after)
    assert core.closed(1000, "").kind is Kind.AGENT_ENDED


def test_an_error_explains_the_end_though_sound_and_pings_still_come(
    core: ClientConversation,
) -> None:
    feed(core, audio(1), ErrorReport(1000, "", "max_duration_exceeded"))
    feed(core, audio(1), audio(None), Ping(1), VadScore(0))
    assert core.closed(1000, "").kind is Kind.MAX_DURATION


def test_the_last_error_explains_the_end(core: ClientConversation) -> None:
    feed(core, ErrorReport(1002, "", "safety_violation"), ErrorReport(1002, "quota"))
    assert core.closed(1002, "").kind is Kind.QUOTA


def test_a_close_without_an_error_is_classified_by_its_code(core: ClientConversation) -> None:
    assert core.closed(1000, "").kind is Kind.AGENT_ENDED
