"""Report of the demo: the object that `--json` prints, and a timeline, made of the record."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kiosk.agent.guide import Guide
from kiosk.agent.scenario import Scenario
from kiosk.audio.levels import rms_dbfs
from kiosk.backend.mind.flow import Flow, standing
from kiosk.endings import Kind
from kiosk.lab.demo.lines import When, through
from kiosk.lab.demo.runner import DemoRecord, Spoken
from kiosk.lab.demo.servers import AgentEvent
from kiosk.moments import Moment, What

# A lamp and a chime within this time of the press feel immediate.
_AUDIBLE_DBFS = -50.0
_SILENCE_S = 0.15
# As far as the agent's rendering and the kiosk's playing may differ.
_FAREWELL_SLACK_S = 0.3
# What was said last may still be on its way.
_ONSET_SLACK_S = 0.3


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing the visitor said: what the agent recognised and answered, and how long it took.

    `own_share_ms` is the answer's latency less the time the agent itself took to think.
    """

    heard: str | None
    said: str | None
    response_latency_ms: float | None
    own_share_ms: float | None
    chain: "Chain | None" = None


@dataclass(frozen=True, slots=True)
class Chain:
    """An answer's way: milliseconds since the visitor's last voiced sample until that sample was at
    the agent, until the answer's first audio was at the kiosk, and until it was heard."""

    at_agent_ms: float
    answered_ms: float
    heard_ms: float


def report(record: DemoRecord, guide: Guide) -> dict[str, Any]:
    """The object that `--json` prints."""
    wrong = [
        mistake
        for spoken, turn in zip(record.spoken, _turns(record), strict=True)
        for mistake in _misunderstanding(spoken, turn, guide)
    ]
    return _result(record, wrong, Kind.AGENT_ENDED)


def mind_report(record: DemoRecord, flow: Flow) -> dict[str, Any]:
    """The same of a visit that goes through a flow; the visitor hangs up when its last sentence was
    heard."""
    turns = _turns(record)
    words = [line.text or "" for line in through(flow)]
    answers = [standing(flow, words[: number + 1]).says for number in range(len(words))]
    wrong = [
        f"{spoken.line.name}: answered {turn.said!r}, not {answer!r}"
        for spoken, turn, answer in zip(record.spoken, turns, answers, strict=False)
        if turn.said != answer
    ]
    if len(turns) < len(answers):
        wrong.append(f"only {len(turns)} of {len(answers)} answers came")
    if (lost_s := _unheard_s(record)) > _FAREWELL_SLACK_S:
        wrong.append(f"of the agent's last turn {lost_s:.1f} s were not heard")
    return _result(record, wrong, Kind.HUNG_UP)


def _result(record: DemoRecord, wrong: Sequence[str], should_end: Kind) -> dict[str, Any]:
    turns = _turns(record)
    errors = [*record.errors, *wrong]
    ended = _first(record, What.VISIT_ENDED, record.pressed_s)
    ending = None if ended is None else str(ended.fields["kind"])
    if ending != should_end:
        errors.append(f"the visit should have ended by {should_end}, not by {ending}")
    imagined = _imagined_onsets(record)
    errors += [f"{at_s:.2f} s: the agent heard a visitor, and nobody spoke" for at_s in imagined]
    connected = _first(record, What.CONNECTED, record.pressed_s)
    barge_ins = any(spoken.line.when is When.OVER_ANSWER for spoken in record.spoken)
    cut_ms = _interruption_to_silence_ms(record)
    if barge_ins and cut_ms is None:
        errors.append("the barge-in did not interrupt the agent")
    return {
        "ok": not errors,
        "conversation_id": None if connected is None else connected.fields["conversation_id"],
        "turns": [asdict(turn) for turn in turns],
        "barge_in": {"interruption_to_silence_ms": cut_ms},
        "imagined_onsets": len(imagined),
        "press_to_light_ms": _since_press(record, _light_s(record)),
        "press_to_earcon_ms": _since_press(record, _first_sound_s(record)),
        "press_to_listening_ms": _since_press(record, _listening_s(record)),
        "mic_to_wire_ms": record.measures.mic_to_wire.summary(),
        "wire_to_speaker_ms": record.measures.wire_to_speaker.summary(),
        "ending": ending,
        "errors": errors,
    }


def scenario_report(record: DemoRecord, scenario: Scenario) -> dict[str, Any]:
    """What `--json` prints of a fault script: how the visit ended, and what that took.

    `ending_after_s` is from the press until the kiosk knew how the visit ends; its last sentence
    follows.
    """
    errors = list(record.errors)
    ended = _first(record, What.VISIT_ENDED, record.pressed_s)
    ending = None if ended is None else str(ended.fields["kind"])
    if ending != scenario.ending:
        errors.append(f"the visit should have ended as {scenario.ending}, not as {ending}")
    if scenario.ending is Kind.AGENT_ENDED and (lost_s := _unheard_s(record)) > _FAREWELL_SLACK_S:
        errors.append(f"of the agent's last turn {lost_s:.1f} s were not heard")
    if not record.fit_again:
        errors.append("afterwards the kiosk could not have held another visit")
    over_s = record.ended_s if ended is None else ended.at_s
    moments = [moment for moment in record.moments if moment.at_s <= over_s]
    closing = (
        moment
        for moment in moments
        if moment.what is What.STATE and moment.fields["state"] == "closing"
    )
    decided_s = next((moment.at_s for moment in closing), None)
    counted = {
        "conversations": What.CONNECTED,
        "reconnects": What.LOST,
        "answers": What.AGENT_HEARD,
        "interruptions": What.INTERRUPTED,
        "sentences": What.SENTENCE_HEARD,
        "malformed_frames": What.MALFORMED,
        "tool_calls": What.TOOL_CALLED,
    }
    return {
        "ok": not errors,
        "scenario": scenario.name,
        "summary": scenario.summary,
        "ending": ending,
        "detail": None if ended is None else ended.fields["detail"],
        "code": None if ended is None else ended.fields["code"],
        "ending_after_s": None if decided_s is None else round(decided_s - record.pressed_s, 2),
        **{name: sum(moment.what is what for moment in moments) for name, what in counted.items()},
        "errors": errors,
    }


def _unheard_s(record: DemoRecord) -> float:
    """How much of the agent's last turn was not heard."""
    turns = [event for event in record.agent if event["event"] == "agent_started"]
    if not turns:
        return 0.0
    last = turns[-1]
    heard_s, since_s = 0.0, None
    for moment in record.moments:
        if moment.at_s < float(str(last["at_s"])):
            continue
        if moment.what is What.AGENT_HEARD and since_s is None:
            since_s = moment.at_s
        elif moment.what in (What.DRAINED, What.SILENT) and since_s is not None:
            heard_s += moment.at_s - since_s
            since_s = None
    return float(str(last["duration_s"])) - heard_s


def timeline(record: DemoRecord) -> list[dict[str, Any]]:
    """Everything that happened, in order, in seconds since the press."""
    entries: list[dict[str, Any]] = [
        {"at_s": moment.at_s, "who": "kiosk", "event": str(moment.what), **moment.fields}
        | ({} if moment.words is None else {"words": moment.words})
        for moment in record.moments
    ]
    entries += [{**event, "who": "agent"} for event in record.agent]
    entries += [
        {
            "at_s": spoken.started_s,
            "who": "visitor",
            "event": "speaks",
            "words": spoken.line.text,
            "last_voiced_s": round(spoken.last_voiced_s - record.pressed_s, 4),
        }
        for spoken in record.spoken
    ]
    for spoken, turn in zip(record.spoken, _turns(record), strict=True):
        if turn.chain is not None:
            heard_s = spoken.last_voiced_s + turn.chain.heard_ms / 1000
            entries.append(
                {"at_s": heard_s, "who": "turn", "event": "answered", **asdict(turn.chain)}
            )
    for entry in entries:
        for name in ("at_s", "last_voiced_received_s"):
            if isinstance(entry.get(name), float):
                entry[name] = round(float(str(entry[name])) - record.pressed_s, 4)
    return sorted(entries, key=lambda entry: float(str(entry["at_s"])))


def _turns(record: DemoRecord) -> list[Turn]:
    return [_turn(record, index) for index in range(len(record.spoken))]


def _turn(record: DemoRecord, index: int) -> Turn:
    spoken = record.spoken[index]
    following = record.spoken[index + 1].started_s if index + 1 < len(record.spoken) else np.inf

    def events(name: str) -> list[AgentEvent]:
        return [
            event
            for event in record.agent
            if event["event"] == name and spoken.started_s <= _voiced_s(event) < following
        ]

    # What the agent heard between this line's beginning and the next line's.
    heard = [str(event["text"]) for event in events("heard") if event["text"] is not None]
    answers = events("agent_started")
    if not answers:
        return Turn(heard[-1] if heard else None, None, None, None)
    answer = answers[-1]
    audible = _first(record, What.AGENT_HEARD, float(str(answer["at_s"])))
    if audible is None:
        return Turn(heard[-1] if heard else None, str(answer["text"]), None, None)
    latency_s = audible.at_s - spoken.last_voiced_s
    thinking_s = float(str(answer["at_s"])) - _voiced_s(answer)
    received = _first(record, What.AUDIO_RECEIVED, float(str(answer["at_s"])))
    chain = None
    if received is not None:
        chain = Chain(
            round((_voiced_s(answer) - spoken.last_voiced_s) * 1000, 1),
            round((received.at_s - spoken.last_voiced_s) * 1000, 1),
            round(latency_s * 1000, 1),
        )
    return Turn(
        heard[-1] if heard else None,
        str(answer["text"]),
        round(latency_s * 1000, 1),
        round((latency_s - thinking_s) * 1000, 1),
        chain,
    )


def chains(record: DemoRecord) -> list[Chain]:
    """Of all answers so far."""
    return [turn.chain for turn in _turns(record) if turn.chain is not None]


def _imagined_onsets(record: DemoRecord) -> list[float]:
    """When the agent took its own voice, or nothing, for a visitor; seconds since the press."""
    spoken = [(one.started_s, one.last_voiced_s + _ONSET_SLACK_S) for one in record.spoken]
    onsets = (
        float(str(event["at_s"])) for event in record.agent if event["event"] == "visitor_started"
    )
    return [
        at_s - record.pressed_s
        for at_s in onsets
        if not any(began_s <= at_s <= ended_s for began_s, ended_s in spoken)
    ]


def _voiced_s(event: AgentEvent) -> float:
    """When the last voiced sample that an agent's event is about had arrived there."""
    value = event.get("last_voiced_received_s")
    return float(value) if isinstance(value, float | int) else -1.0


def _misunderstanding(spoken: Spoken, turn: Turn, guide: Guide) -> list[str]:
    name = spoken.line.name
    if turn.said is None:
        return [f"{name}: no answer"]
    if turn.heard is None:
        return [f"{name}: the agent did not understand it and asked again"]
    if spoken.line.text is None:
        return []
    asked, heard = guide.entry_for(spoken.line.text), guide.entry_for(turn.heard)
    if asked is None or heard is None or asked.key != heard.key:
        return [f"{name}: asked {spoken.line.text!r}, the agent heard {turn.heard!r}"]
    return [] if turn.said == asked.say else [f"{name}: the answer was to something else"]


def _first(record: DemoRecord, what: What, after_s: float) -> Moment | None:
    found = (moment for moment in record.moments if moment.what is what)
    return next((moment for moment in found if moment.at_s > after_s), None)


def _since_press(record: DemoRecord, at_s: float | None) -> float | None:
    return None if at_s is None else round((at_s - record.pressed_s) * 1000, 1)


def _light_s(record: DemoRecord) -> float | None:
    return next((at_s for at_s, _ in record.lamps if at_s >= record.pressed_s), None)


def _listening_s(record: DemoRecord) -> float | None:
    listening = (
        moment.at_s
        for moment in record.moments
        if moment.what is What.STATE and moment.fields["state"] == "listening"
    )
    return next((at_s for at_s in listening if at_s >= record.pressed_s), None)


def _first_sound_s(record: DemoRecord) -> float | None:
    """When the loudspeaker first made a sound after the press."""
    from_s = record.pressed_s
    samples = record.room.loudspeaker(from_s, from_s + 2.0)
    loud = np.flatnonzero(np.abs(samples) > 32768 * 10 ** (_AUDIBLE_DBFS / 20))
    return from_s + int(loud[0]) / record.room.rate_hz if len(loud) else None


def _interruption_to_silence_ms(record: DemoRecord) -> float | None:
    """From the barge-in's interruption received to the loudspeaker's silence."""
    barge_in = next((s for s in record.spoken if s.line.when is When.OVER_ANSWER), None)
    if barge_in is None:
        return None
    interrupted = _first(record, What.INTERRUPTED, barge_in.started_s)
    if interrupted is None:
        return None
    rate_hz, at_s = record.room.rate_hz, interrupted.at_s
    # The agent may just have drawn breath, so what the kiosk did counts as well as what was heard.
    dropped = _first(record, What.SILENT, at_s)
    dropped_s = 0.0 if dropped is None else dropped.at_s - at_s
    step = rate_hz // 1000
    samples = record.room.loudspeaker(at_s, at_s + 3.0)
    quiet = round(_SILENCE_S * rate_hz)
    for start in range(0, len(samples) - quiet, step):
        if rms_dbfs(samples[start : start + quiet]) < _AUDIBLE_DBFS:
            return round(max(start / rate_hz, dropped_s) * 1000, 1)
    return None
