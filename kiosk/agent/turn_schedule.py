"""Schedule of one turn of the agent's: its messages, and when each is sent. Pure; chance comes in.

The captured manner is that of a recording of the live service: the text comes late, no chunk is
ever final, everything of an exchange has one id, and numbers run with time. What the recording
does not show (sizes of chunks, an agent that speaks up by itself) is chosen here: pieces of about
equal length, and an id of its own. The guide's manner is the order of the published guides: text
first, even pieces, the last one final.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from kiosk.agent.behaviour import AgentBehaviour, Manner
from kiosk.audio.pcm import PcmFormat, Samples
from kiosk.convai.server_messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseComplete,
    AgentResponsePart,
    ContextUsage,
)
from kiosk.convai.server_parsing import ServerMessage

Chance = Callable[[], float]  # from 0 to 1, as random.random
Timed: TypeAlias = tuple[float, ServerMessage]  # seconds from the turn's beginning
Pieces: TypeAlias = Sequence[tuple[float, Samples]]  # seconds from the first

# Seen live: 5.6 to 7.8 numbers a second between two exchanges.
_IDS_A_SECOND = 6.2
_PIECE_MS = 200
_BURST = 4.0


class TurnOccasion(Enum):
    """What a turn follows."""

    GREETING = auto()
    PREPARED = auto()  # a visitor's turn, or nothing: sound and text are ready
    AFTER_TOOL = auto()  # the result of a tool, out of which it is made


@dataclass(frozen=True, slots=True)
class AgentSpeech:
    """What a turn says. `samples`: mono, at the format's rate; none where only text is wanted."""

    text: str
    samples: Samples
    format: PcmFormat
    event_id: int
    response_id: str

    @property
    def length_s(self) -> float:
        return len(self.samples) / self.format.rate_hz


class EventIds:
    """Numbers of one conversation's exchanges and interruptions."""

    def __init__(self, manner: Manner, chance: Chance, now_s: float) -> None:
        self.newest = 0
        self._manner = manner
        self._chance = chance
        self._taken_s = now_s

    def take(self, now_s: float) -> int:
        """The next number. Of the service's many stay unseen: they run with time."""
        step = 1
        if self._manner is Manner.CAPTURED and self.newest:
            passed_s = now_s - self._taken_s
            step = max(1, round(_IDS_A_SECOND * passed_s + _between(-1, 1, self._chance)))
        self.newest += step
        self._taken_s = now_s
        return self.newest


def schedule(
    speech: AgentSpeech, occasion: TurnOccasion, behaviour: AgentBehaviour, chance: Chance
) -> list[Timed]:
    """The turn's messages in their order, with their times."""
    if behaviour.manner is Manner.GUIDE:
        return _by_guide(speech, pieces(speech, occasion, behaviour, chance))
    return _as_captured(speech, occasion, pieces(speech, occasion, behaviour, chance), chance)


def pieces(
    speech: AgentSpeech, occasion: TurnOccasion, behaviour: AgentBehaviour, chance: Chance
) -> Pieces:
    """The turn's sound in the chunks it is sent in, with seconds from the first."""
    even = behaviour.piece_ms is not None or behaviour.burst is not None
    if even or behaviour.manner is Manner.GUIDE:
        piece_ms, burst = behaviour.piece_ms or _PIECE_MS, behaviour.burst or _BURST
        size = speech.format.rate_hz * piece_ms // 1000
        starts = range(0, len(speech.samples), size)
        every_s = piece_ms / 1000 / burst
        return [(n * every_s, speech.samples[at : at + size]) for n, at in enumerate(starts)]
    return _captured_pieces(speech, occasion, chance)


def _as_captured(
    speech: AgentSpeech, occasion: TurnOccasion, sound: Pieces, chance: Chance
) -> list[Timed]:
    text = AgentResponse(speech.text, speech.event_id, speech.response_id)
    if not sound:  # text only
        return [(0.0, text)]
    begins_s, parts = _parts(speech, occasion, chance)
    chunks: list[Timed] = [
        (begins_s + at_s, AgentAudio(speech.format.encode(piece), speech.event_id))
        for at_s, piece in sound
    ]
    last_s = chunks[-1][0]
    usage = ContextUsage(speech.event_id)
    if occasion is TurnOccasion.PREPARED:
        text_s = last_s + _between(0.4e-3, 0.6e-3, chance)
        ends: list[Timed] = [
            (text_s, text),
            (text_s + _between(0.6e-3, 1.0e-3, chance), usage),
        ]
    else:
        text_s = chunks[-2 if len(chunks) > 1 else -1][0] + _between(0.3e-3, 2e-3, chance)
        ends = [(text_s, text)]
        if occasion is TurnOccasion.AFTER_TOOL:
            ends.append((last_s + 0.45e-3, usage))
    complete: Timed = (begins_s + speech.length_s, AgentResponseComplete(speech.event_id))
    return sorted([*parts, *chunks, *ends, complete], key=lambda timed: timed[0])


def _parts(
    speech: AgentSpeech, occasion: TurnOccasion, chance: Chance
) -> tuple[float, list[Timed]]:
    """When the sound begins, and the text as it is generated: before the sound where it is made
    then, after its first chunk where it was ready."""

    def part(kind: str, text: str = "") -> AgentResponsePart:
        return AgentResponsePart(text, kind, speech.event_id, speech.response_id)

    match occasion:
        case TurnOccasion.GREETING:
            texts = [(0.0, speech.text)]
            start_s, stop_s, begins_s = 0.0, 0.0, 0.1e-3
        case TurnOccasion.PREPARED:
            begins_s = _between(0.7e-3, 2.6e-3, chance)
            start_s = begins_s + _between(0.1e-3, 2e-3, chance)
            stop_s = start_s + 0.5e-3
            texts = [(start_s, text) for text in _pieces_of_text(speech.text, 3)]
        case TurnOccasion.AFTER_TOOL:
            start_s = _between(0.640, 0.825, chance)
            begins_s = start_s + _between(0.172, 0.283, chance)
            stop_s = begins_s + _between(-0.023, 0.034, chance)
            gap_s = _between(0.080, 0.156, chance)
            count = 1 + int((begins_s - start_s) / gap_s)
            spread = enumerate(_pieces_of_text(speech.text, count))
            texts = [(start_s + n * gap_s, text) for n, text in spread]
            stop_s = max(stop_s, texts[-1][0])
    deltas: list[Timed] = [(at_s, part("delta", text)) for at_s, text in texts]
    return begins_s, [(start_s, part("start")), *deltas, (stop_s, part("stop"))]


def _pieces_of_text(text: str, count: int) -> list[str]:
    """The text in so many pieces between words, or fewer; together they are the text."""
    words = text.split(" ")
    count = max(1, min(count, len(words)))
    cuts = [round(n * len(words) / count) for n in range(count + 1)]
    pieces_ = [" ".join(words[cuts[n] : cuts[n + 1]]) for n in range(count)]
    return [piece if n == 0 else f" {piece}" for n, piece in enumerate(pieces_)]


def _captured_pieces(speech: AgentSpeech, occasion: TurnOccasion, chance: Chance) -> Pieces:
    """Five to eleven chunks, three to four times faster than spoken; the last comes 0.42 s after
    the last but one. A listener never runs out of sound."""
    length_s = speech.length_s
    if not length_s:
        return []
    count = max(1, min(5, round(length_s / 0.6))) if length_s < 4.5 else round(length_s / 1.05)
    count = max(count, 7 if length_s >= 4.5 else 1)
    weights = [_between(0.8, 1.2, chance) for _ in range(count)]
    cuts = [0.0]
    for weight in weights:
        cuts.append(cuts[-1] + weight / sum(weights))
    at_s, sound = 0.0, []
    for number in range(count):
        if number:
            # Sound ahead is what keeps a listener from noticing the gap.
            ahead_s = 0.9 * cuts[number] * length_s
            at_s = min(at_s + _gap_s(number, count, occasion, chance), ahead_s)
        first, last = (round(cut * len(speech.samples)) for cut in cuts[number : number + 2])
        sound.append((at_s, speech.samples[first:last]))
    return sound


def _gap_s(number: int, count: int, occasion: TurnOccasion, chance: Chance) -> float:
    """Before the chunk of this number, counted from 0."""
    if number == 1:
        return 0.0 if occasion is TurnOccasion.GREETING else _between(0.060, 0.110, chance)
    if number == 2 and occasion is TurnOccasion.GREETING:
        return 0.074
    if number == count - 1:
        return _between(0.400, 0.443, chance)
    if number <= 3:
        return _between(0.230, 0.390, chance)
    return _between(0.150, 0.780, chance)


def _by_guide(speech: AgentSpeech, sound: Pieces) -> list[Timed]:
    chunks: list[Timed] = [
        (at_s, AgentAudio(speech.format.encode(piece), speech.event_id, n == len(sound) - 1))
        for n, (at_s, piece) in enumerate(sound)
    ]
    return [(0.0, AgentResponse(speech.text, speech.event_id, speech.response_id)), *chunks]


def _between(low: float, high: float, chance: Chance) -> float:
    return low + (high - low) * chance()
