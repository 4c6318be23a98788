"""Order, ids and times of a conversation, checked against what the live service was seen to do.

`recording.jsonl` is the skeleton of a public recording: the tests of Datadog's tracing library for
Python keep the official client's conversation with the live service
(`tests/contrib/elevenlabs/data/conversation.json`, commit 3054cc98). It holds times, types and
numbers; no text and no sound were in it. It breaks off in the middle of a turn, so nothing is known
of an end. Other events than these may have been filtered out of it.

`differences` reads the recording and whatever else is `Seen`, and says what is not as there.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

RECORDING = Path(__file__).with_name("recording.jsonl")

TRANSCRIPT, SOUND, TEXT = "user_transcript", "audio", "agent_response"
PART, USAGE, COMPLETE = "agent_chat_response_part", "context_usage", "agent_response_complete"
CALL, RESULT = "client_tool_call", "client_tool_result"
FULL_PAYLOAD = "agent_tool_response_full_payload"
INTERRUPTION, METADATA = "interruption", "conversation_initiation_metadata"
_KNOWN = {
    TRANSCRIPT, SOUND, TEXT, PART, USAGE, COMPLETE, CALL, RESULT, FULL_PAYLOAD, INTERRUPTION,
    METADATA,
}  # fmt: skip

# As far as two clocks and a way there and back can differ.
_SLACK_S = 0.002


@dataclass(frozen=True)
class Seen:
    """One message at the client, at `at_s`. `length_s`: of a chunk of sound, where it is known."""

    at_s: float
    type: str
    id: int | None = None
    part: str | None = None  # start, delta or stop
    final: bool | None = None  # of sound; None: not written
    call: str | None = None
    length_s: float | None = None


def recorded() -> list[Seen]:
    """The recording."""
    lines = RECORDING.read_text(encoding="utf-8").splitlines()
    return [_recorded(json.loads(line)) for line in lines]


def _recorded(line: dict[str, Any]) -> Seen:
    return Seen(
        line["t"], line["type"], line.get("id"), line.get("part"), line.get("final"),
        line.get("call"),
    )  # fmt: skip


def seen(frame: dict[str, Any], at_s: float, bytes_per_s: int = 32_000) -> Seen:
    """A frame of the wire."""
    name = frame["type"]
    body: dict[str, Any] = next((v for v in frame.values() if isinstance(v, dict)), frame)
    message = Seen(at_s, name, body.get("event_id"), call=body.get("tool_call_id"))
    if name == PART:
        return replace(message, part=body["type"])
    if name == SOUND:
        size = len(base64.b64decode(body["audio_base_64"]))
        return replace(message, final=body.get("is_final"), length_s=size / bytes_per_s)
    return message


def differences(conversation: Iterable[Seen]) -> list[str]:
    """What is not as in the recording, a line each."""
    known = [each for each in conversation if each.type in _KNOWN]
    found = list(_of_metadata(known))
    exchanges: dict[int, list[Seen]] = {}
    for message in known:
        if message.id is not None and message.type != INTERRUPTION:
            exchanges.setdefault(message.id, []).append(message)
    interruptions = [each for each in known if each.type == INTERRUPTION]
    found += _of_ids(known, exchanges, interruptions)
    results = {each.call: each.at_s for each in known if each.type == RESULT}
    for number, (event_id, messages) in enumerate(exchanges.items()):
        cut = next((i for i in interruptions if _cuts(i, messages)), None)
        whole = cut is None and any(each.type == COMPLETE for each in messages)
        last = number == len(exchanges) - 1
        if cut is None and not whole and not last:
            found.append(f"{event_id}: neither complete nor cut")
        exchange = _Exchange(messages, number == 0, cut, results, whole)
        found += [f"{event_id}: {each}" for each in exchange.differences()]
    return found


def _cuts(interruption: Seen, messages: Sequence[Seen]) -> bool:
    """Whether it came while the exchange's turn was not spoken to its end."""
    sound = [each for each in messages if each.type == SOUND]
    complete = any(each.type == COMPLETE for each in messages)
    began = bool(sound) and sound[0].at_s < interruption.at_s
    ids = interruption.id is None or messages[0].id is None or interruption.id >= messages[0].id
    return began and ids and not complete


def _of_metadata(known: Sequence[Seen]) -> Iterable[str]:
    if [number for number, each in enumerate(known) if each.type == METADATA] != [0]:
        yield "the metadata is not the first message, and the only one of its kind"


def _of_ids(
    known: Sequence[Seen], exchanges: dict[int, list[Seen]], interruptions: Sequence[Seen]
) -> Iterable[str]:
    if list(exchanges) != sorted(exchanges):
        yield "ids of exchanges do not rise"
    if exchanges and next(iter(exchanges)) != 1:
        yield "the first id is not 1"
    for each in interruptions:
        newest = max((i for i, m in exchanges.items() if m[0].at_s < each.at_s), default=0)
        if each.id is None or each.id <= newest or each.id in exchanges:
            yield f"interruption {each.id} has no number of its own above {newest}"
    firsts = sorted([(m[0].at_s, i) for i, m in exchanges.items()])
    for (at_s, event_id), (next_s, next_id) in pairwise(firsts):
        passed_s = next_s - at_s
        if passed_s > 3 and not 3.0 <= (next_id - event_id) / passed_s <= 9.0:
            yield f"{next_id} after {event_id}: not about six numbers a second"
    yield from (f"{each.id}: a chunk is not final: false" for each in known if _odd_final(each))


def _odd_final(message: Seen) -> bool:
    return message.type == SOUND and message.final is not False


@dataclass(frozen=True)
class _Exchange:
    messages: Sequence[Seen]
    greeting: bool
    cut: Seen | None
    results: dict[str | None, float]
    whole: bool

    def differences(self) -> Iterable[str]:
        sound = self._all(SOUND)
        if not sound:
            return
        if self._all(TRANSCRIPT) and self.messages[0].type != TRANSCRIPT:
            yield "the transcript is not the first message"
        if self._all(CALL):
            yield from self._after_tool(sound)
        elif self.messages[0].type == TRANSCRIPT:
            yield from self._prepared(sound)
        yield from self._chunks(sound)
        if self.cut is not None:
            yield from self._after_cut(self.cut)
        elif self.whole:
            yield from self._ends(sound)

    def _all(self, type_name: str) -> list[Seen]:
        return [each for each in self.messages if each.type == type_name]

    def _prepared(self, sound: Sequence[Seen]) -> Iterable[str]:
        first_s = sound[0].at_s
        yield from _late("first sound", first_s - self.messages[0].at_s, 0, 0.0026)
        parts = self._all(PART)
        if parts:
            yield from _late("start of the text", parts[0].at_s - first_s, 0, 0.0020)
            yield from _late("stop of the text", parts[-1].at_s - first_s, 0, 0.0040)
            if not 3 <= len(parts) <= 6:
                yield f"{len(parts)} parts of the text"

    def _after_tool(self, sound: Sequence[Seen]) -> Iterable[str]:
        (call,) = self._all(CALL)
        transcript = self._all(TRANSCRIPT)
        if transcript:
            yield from _late("call", call.at_s - transcript[0].at_s, 0, 0.0021)
        result_s = self.results.get(call.call)
        if result_s is None:
            yield "sound without a result of its tool"
            return
        yield from _late("first sound after the result", sound[0].at_s - result_s, 0.80, 1.15)
        for each in self._all(FULL_PAYLOAD):
            yield from _late("full payload", each.at_s - result_s, 0.040, 0.049)
        parts = self._all(PART)
        if parts:
            if [each.part for each in parts[:3]] != ["start", "stop", "start"]:
                yield "no empty text before the one that is spoken"
            yield from _late("empty text", parts[0].at_s - call.at_s, 0.033, 0.077)
            if parts[2].at_s >= sound[0].at_s:
                yield "the text begins after its sound"

    def _chunks(self, sound: Sequence[Seen]) -> Iterable[str]:
        gaps_s = [b.at_s - a.at_s for a, b in pairwise(sound)]
        if len(sound) < 5:
            return
        limits = [(0.055, 0.115), *[(0.14, 0.79)] * (len(gaps_s) - 1)]
        if self.greeting:
            limits = [(0.0, 0.001), (0.07, 0.08), *limits[2:]]
        if self.whole:
            limits[-1] = (0.395, 0.445)
        for number, (gap_s, (low_s, high_s)) in enumerate(zip(gaps_s, limits, strict=True), 2):
            yield from _late(f"chunk {number}", gap_s, low_s, high_s)
        ahead_s = 0.0
        for gap_s, chunk in zip(gaps_s, sound, strict=False):
            if chunk.length_s is None:
                return
            ahead_s += chunk.length_s - gap_s
            if ahead_s < 0:
                yield "a listener runs out of sound"

    def _after_cut(self, cut: Seen) -> Iterable[str]:
        late = [each.type for each in self.messages if each.at_s > cut.at_s]
        if set(late) - {TEXT}:
            yield f"after the interruption: {', '.join(late)}"
        for each in self._all(TEXT):
            if each.at_s > cut.at_s:
                yield from _late("text after the interruption", each.at_s - cut.at_s, 0, 0.001)
        if self._all(USAGE):
            yield "usage of a turn that was cut"

    def _ends(self, sound: Sequence[Seen]) -> Iterable[str]:
        texts, completes, usage = self._all(TEXT), self._all(COMPLETE), self._all(USAGE)
        if len(texts) > 1 or len(completes) > 1 or len(usage) > (0 if self.greeting else 1):
            yield "text, complete or usage more often than once"
        prepared = not self.greeting and not self._all(CALL)
        before = sound[-1] if prepared or len(sound) == 1 else sound[-2]
        for each in texts:
            yield from _late("text after its chunk", each.at_s - before.at_s, 0, 0.0021)
        for each in usage:
            yield from _late("usage after the last chunk", each.at_s - sound[-1].at_s, 0, 0.0021)
        spoken_s = completes[0].at_s - sound[0].at_s
        lengths_s = [each.length_s for each in sound if each.length_s is not None]
        if lengths_s:
            yield from _late("complete", spoken_s - sum(lengths_s), -0.01, 0.01)
        if len(sound) >= 5 and not 2.2 <= spoken_s / (sound[-1].at_s - sound[0].at_s) <= 5.0:
            yield "not three to four times faster than spoken"


def _late(what: str, took_s: float, low_s: float, high_s: float) -> Iterable[str]:
    if not low_s - _SLACK_S <= took_s <= high_s + _SLACK_S:
        yield f"{what}: {took_s * 1000:.1f} ms, not {low_s * 1000:g} to {high_s * 1000:g}"
