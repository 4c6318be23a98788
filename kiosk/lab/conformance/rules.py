"""Rules for clients, each judged from the record of one connection. Pure: no I/O.

What could not be judged is unseen: no verdict on a client.
"""

from collections.abc import Callable
from functools import partial

from kiosk.lab.conformance.figures import Noted, ToolCallFigures
from kiosk.lab.conformance.probes import NOBODYS_TOOL, PROBES
from kiosk.lab.conformance.record import ConnectionRecord, PlayedAudio
from kiosk.lab.conformance.sound_rules import SOUND_RULES
from kiosk.lab.conformance.verdicts import (
    ClientRule,
    Judgement,
    failed,
    passed,
    unseen,
    warned,
    within,
)

_PONG_MS = 250
_LATE_PONG_MS = 1000
_RESULT_MS = 1000
_LATE_RESULT_MS = 10_000
# So long after the question no answer is one, and an answer would have come.
_PATIENCE_S = 1.0

_NO_CONVERSATION = unseen("no frame came")
_NO_RESULT = unseen("no tool was called, or too late to tell")

# --- frames -------------------------------------------------------------------------------------


def _initiation_first(record: ConnectionRecord) -> Judgement:
    if record.first_was_initiation:
        return passed("the first frame")
    if not record.frames:
        return failed("no frame came") if record.metadata_s is not None else _NO_CONVERSATION
    return failed("another frame came first" if record.initiations else "none came")


def _initiation_once(record: ConnectionRecord) -> Judgement:
    if not record.initiations:
        return unseen("none came")
    measured = f"{record.initiations} in {record.frames} frames"
    return passed(measured) if record.initiations == 1 else failed(measured)


def _none_of(
    count: Callable[[ConnectionRecord], int | Noted], what: str
) -> Callable[[ConnectionRecord], Judgement]:
    """A rule against something that must not come at all."""

    def judge(record: ConnectionRecord) -> Judgement:
        found = count(record)
        number = found.count if isinstance(found, Noted) else found
        if number:
            return failed(f"{found} {what}" if isinstance(found, int) else f"{found}")
        return passed(f"none in {record.frames} frames") if record.frames else _NO_CONVERSATION

    return judge


def _overrides(record: ConnectionRecord) -> Judgement:
    if not record.initiations:
        return unseen("no initiation came")
    if record.misplaced.count:
        return warned(f"not where the contract has it: {', '.join(record.misplaced.names)}")
    return passed(f"{record.overrides} overrides")


def _no_secret(record: ConnectionRecord) -> Judgement:
    if record.secrets_in_url:
        return failed(f"in the query: {', '.join(record.secrets_in_url)}")
    return passed("not in the query")


# --- pings --------------------------------------------------------------------------------------


def _pong_prompt(record: ConnectionRecord) -> Judgement:
    pongs = record.pongs
    lost = pongs.unanswered(record.closed_s, _PATIENCE_S)
    if lost:
        return failed(f"{lost} of {pongs.count} pings unanswered")
    if pongs.median_ms is None:
        return unseen("no ping was answered or had its time")
    measured = f"median {pongs.median_ms:.0f} ms, worst {pongs.worst_ms:.0f} ms"
    return within(pongs.worst_ms, _PONG_MS, _LATE_PONG_MS, measured)


def _pong_echo(record: ConnectionRecord) -> Judgement:
    pongs = record.pongs
    wrong = [
        f"{number} {what}"
        for number, what in (
            (pongs.other_type, "with another JSON type"),
            (pongs.twice, "answered twice"),
            (pongs.unasked, "with an id that no ping had"),
        )
        if number
    ]
    if wrong:
        return failed(", ".join(wrong))
    return passed(f"{pongs.answered} pongs") if pongs.answered else unseen("no pong came")


# --- tools --------------------------------------------------------------------------------------


def _answered(record: ConnectionRecord) -> list[ToolCallFigures]:
    return [call for call in record.tools.calls.values() if call.results]


def _result_string(record: ConnectionRecord) -> Judgement:
    answered = _answered(record)
    if not answered:
        return _NO_RESULT
    others = sum(not call.is_text for call in answered)
    if others:
        return failed(f"{others} of {len(answered)} results are no string")
    return passed(f"{len(answered)} results")


def _result_once(record: ConnectionRecord) -> Judgement:
    answered = _answered(record)
    twice = sum(call.results > 1 for call in answered)
    if twice or record.tools.strays:
        return failed(f"{twice} calls answered again, {record.tools.strays} results without a call")
    return passed(f"{len(answered)} results") if answered else _NO_RESULT


def _error_flagged(record: ConnectionRecord) -> Judgement:
    calls = [call for call in record.tools.calls.values() if call.name == NOBODYS_TOOL]
    answered = [call for call in calls if call.results]
    if not answered:
        return _NO_RESULT
    if all(call.is_error for call in answered):
        return passed("the call of a tool that nobody has")
    return failed("a tool that nobody has was answered without is_error true")


def _none_unasked(record: ConnectionRecord) -> Judgement:
    calls = [call for call in record.tools.calls.values() if not call.expects_response]
    unasked = sum(call.results > 0 for call in calls)
    if unasked:
        return failed(f"{unasked} of {len(calls)} calls with expects_response false were answered")
    waited = [call for call in calls if record.closed_s - call.sent_s >= _PATIENCE_S]
    return passed(f"{len(waited)} calls left unanswered") if waited else _NO_RESULT


def _result_prompt(record: ConnectionRecord) -> Judgement:
    calls = [call for call in record.tools.calls.values() if call.expects_response]
    answered = [call for call in calls if call.results]
    waited_s = max((record.closed_s - c.sent_s for c in calls if not c.results), default=0.0)
    if waited_s * 1000 > _LATE_RESULT_MS:
        return failed(f"no result in {waited_s:.1f} s")
    if not answered:
        return _NO_RESULT
    worst_ms = max(call.took_ms for call in answered)
    return within(worst_ms, _RESULT_MS, _LATE_RESULT_MS, f"worst {worst_ms:.0f} ms")


# --- to the end ---------------------------------------------------------------------------------


def survived(record: ConnectionRecord, probe: PlayedAudio) -> bool:
    """Whether a ping behind the probe was answered."""
    return probe.ping is not None and record.pongs.highest >= probe.ping


def _survives(name: str, record: ConnectionRecord) -> Judgement:
    probe = next((each for each in record.played if each.name == name), None)
    if probe is None:
        return unseen("not played")
    if survived(record, probe):
        took_ms = record.pongs.took_ms(probe.ping or 0)
        return passed("pings answered" if took_ms is None else f"pong after {took_ms:.0f} ms")
    if not record.pongs.answered:
        return unseen("no ping was ever answered, so nothing tells")
    if probe is not next(each for each in record.played if not survived(record, each)):
        return unseen("it did not survive the probe before")
    after_s = record.closed_s - probe.at_s
    if record.close_code is not None:
        return failed(f"closed with {record.close_code}, {after_s * 1000:.0f} ms after it")
    if not record.closed_by_agent:
        return failed(f"cut the connection, {after_s * 1000:.0f} ms after it")
    if after_s < _PATIENCE_S:
        return unseen("the agent closed")
    return failed(f"answered no ping in the {after_s:.1f} s after it")


def _clean_close(record: ConnectionRecord) -> Judgement:
    if record.closed_by_agent:
        return unseen("the agent closed")
    code = record.close_code
    if code == 1000:
        return passed("code 1000")
    return failed("no close frame" if code is None else f"code {code}")


RULES = (
    ClientRule("initiation_first", "client messages: initiation", _initiation_first),
    ClientRule("initiation_once", "client messages: initiation", _initiation_once),
    ClientRule(
        "overrides_at_their_level", "client messages: conversation_config_override", _overrides
    ),
    ClientRule("key_not_in_query", "authentication", _no_secret),
    ClientRule(
        "json_text_frames",
        "client messages",
        _none_of(lambda record: record.not_objects, "frames are no JSON object"),
    ),
    ClientRule(
        "no_binary", "client messages", _none_of(lambda record: record.binary, "binary frames")
    ),
    ClientRule(
        "no_bare_keepalive",
        "client messages",
        _none_of(lambda record: record.bare, 'frames are " " or {"text": ""}'),
    ),
    ClientRule("known_messages", "client messages", _none_of(lambda record: record.unknown, "")),
    ClientRule("types_true", "client messages", _none_of(lambda record: record.ill_formed, "")),
    ClientRule("pong_prompt", "events: ping", _pong_prompt),
    ClientRule("pong_echo", "client messages: pong", _pong_echo),
    ClientRule("tool_result_string", "client messages: client_tool_result", _result_string),
    ClientRule("tool_result_once", "client messages: client_tool_result", _result_once),
    ClientRule("tool_error_flagged", "client messages: client_tool_result", _error_flagged),
    ClientRule("tool_result_prompt", "events: client_tool_call", _result_prompt),
    ClientRule("no_result_unasked", "events: client_tool_call", _none_unasked),
    *SOUND_RULES,
    *(
        ClientRule(f"survives_{probe.name}", probe.reference, partial(_survives, probe.name))
        for probe in PROBES
    ),
    ClientRule("clean_close", "close codes", _clean_close),
)
