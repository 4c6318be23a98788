"""Verdict on a visit: was it good, spoilt or lost, and by what. Pure: a table over its figures.

A visit is lost if the visitor had no answer, spoilt if something went wrong beside the answers.
What made it so is the first sign of the table that applies, the ones that explain the others first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kiosk.causes import CAUSES, NOTHING, NOTICE
from kiosk.contract import VisitVerdict, Worth
from kiosk.endings import Kind
from kiosk.moments import FieldValue

Figures = Mapping[str, FieldValue]


@dataclass(frozen=True, slots=True)
class Sign:
    """Something in the figures that spoils a visit. `says` is a format over the figures."""

    cause: str
    applies: Callable[[Figures], bool]
    says: str


VISITOR_LEFT = "visitor_left"

# What a visitor notices.
_ZEROS_S = 5
_STALL_MS = 500
_XRUNS = 3
_DROPPED_CHUNKS = 10  # of 20 ms
_RESENT_SHARE, _FEWEST_RESENT, _FEW_RESENT = 0.02, 5, 2
# Of packets. What is lost of sound is made up by the library, up to some per cent unheard.
_LOST_SHARE = 0.08
_GAPS_MS = 3000
_ROUND_TRIP_MS, _LONG_TRIP_MS = 400, 250
_UNMEANT_OPENINGS, _UNMEANT_SHARE = 4, 0.5
_ECHOED_TURNS = 2
_ANSWER_MS = 3000

# Whoever ends it so has had enough, or an answer.
_BY_VISITOR = frozenset(
    {Kind.HUNG_UP, Kind.ABANDONED, Kind.AGENT_ENDED, Kind.TIME_UP, Kind.MAX_DURATION}
)


def _number(figures: Figures, name: str) -> float:
    value = figures.get(name)
    return value if isinstance(value, int | float) else 0.0


def _hears_zeros(figures: Figures) -> bool:
    return _number(figures, "zeros_s") >= _ZEROS_S and not _number(figures, "gate_openings")


def _has_xruns(figures: Figures) -> bool:
    xruns = _number(figures, "microphone_xruns") + _number(figures, "speaker_xruns")
    dropped = _number(figures, "microphone_dropped_chunks")
    return xruns >= _XRUNS or dropped >= _DROPPED_CHUNKS


def _loses(figures: Figures) -> bool:
    sent, resent = _number(figures, "sent_segments"), _number(figures, "resent_segments")
    # What is lost on the way here the kernel does not tell: the agent's sound has gaps then.
    far = _number(figures, "round_trip_ms") >= _LONG_TRIP_MS
    return (resent >= _FEWEST_RESENT and resent >= _RESENT_SHARE * sent) or (
        sent > 0 and _stutters(figures) and (far or resent >= _FEW_RESENT)
    )


def _room_loses(figures: Figures) -> bool:
    up, down = (
        _number(figures, lost) / max(_number(figures, of), 1.0)
        for lost, of in (("lost_packets", "sent_packets"), ("missed_packets", "received_packets"))
    )
    return max(up, down) >= _LOST_SHARE


def _stutters(figures: Figures) -> bool:
    """More gaps than answers: an agent's own pause within one is a gap, too."""
    answers = max(_number(figures, "answers"), _number(figures, "turns"))
    return _number(figures, "gaps") > answers and _number(figures, "gaps_ms") >= _GAPS_MS


def _hears_itself(figures: Figures) -> bool:
    unmeant, answers = _number(figures, "unmeant_openings"), _number(figures, "answers")
    coughs = max(_UNMEANT_OPENINGS, _UNMEANT_SHARE * answers)
    return _number(figures, "echoed_turns") >= _ECHOED_TURNS or unmeant >= coughs


def _waits(figures: Figures) -> bool:
    return max(_number(figures, "answer_p50_ms"), _number(figures, "unanswered_ms")) >= _ANSWER_MS


SIGNS = (
    Sign(
        "microphone_zeros", _hears_zeros,
        "the microphone delivered nothing but zeros for {zeros_s} s",
    ),
    Sign(
        "loop_stalled", lambda figures: _number(figures, "stall_ms") >= _STALL_MS,
        "this machine held the kiosk up, for {stall_ms} ms at once",
    ),
    Sign(
        "xruns", _has_xruns,
        "sound was lost at the sound card: {microphone_xruns} times at the microphone, "
        "{speaker_xruns} times at the loudspeaker",
    ),
    Sign(
        "lossy_link", _loses,
        "the network lost data: {resent_segments} of {sent_segments} segments were sent again, and "
        "the agent's sound had {gaps} gaps",
    ),
    Sign(
        "lossy_room", _room_loses,
        "the network lost data: {lost_packets} of {sent_packets} packets of the visitor's sound, "
        "and {missed_packets} of {received_packets} of the agent's",
    ),
    Sign(
        "slow_link", lambda figures: _number(figures, "round_trip_ms") >= _ROUND_TRIP_MS,
        "the network is slow: a round trip takes {round_trip_ms} ms",
    ),
    Sign(
        "echo_leak", _hears_itself,
        "the microphone heard the loudspeaker, or a noise, as if a visitor spoke over the agent: "
        "{unmeant_openings} times without words, {echoed_turns} times with the agent's own",
    ),
    Sign(
        "tool_failed", lambda figures: _number(figures, "tools_failed") > 0,
        "{tools_failed} of the agent's {tools} calls of a tool failed, or took too long",
    ),
    Sign(
        "agent_stutters", _stutters,
        "the agent's sound came in pieces: {gaps} gaps, {gaps_ms} ms in all",
    ),
    Sign(
        "slow_agent", _waits,
        "the agent is slow: half of its answers began after {answer_p50_ms} ms or later, and "
        "{unanswered_ms} ms were waited for the last one in vain",
    ),
)  # fmt: skip

_SAYS = {sign.cause: sign.says for sign in SIGNS} | {
    VISITOR_LEFT: "the visitor left before there was an answer",
}


def verdict_of(kind: str, figures: Figures) -> VisitVerdict:
    """The verdict on a visit that ended by this kind and left these figures."""
    worth: Worth = "spoilt" if figures.get("answered") else "lost"
    if CAUSES[kind].severity < NOTICE:
        return VisitVerdict(worth=worth, cause=kind)
    if lost_by := figures.get("lost_by"):
        return VisitVerdict(worth=worth, cause=str(lost_by))
    sign = next((sign.cause for sign in SIGNS if sign.applies(figures)), None)
    if sign is not None:
        return VisitVerdict(worth=worth, cause=sign)
    if worth == "spoilt":
        return VisitVerdict(worth="good")
    return VisitVerdict(worth=worth, cause=VISITOR_LEFT if kind in _BY_VISITOR else kind)


def sentence_of(verdict: VisitVerdict, figures: Figures) -> str:
    """The verdict in a sentence, and what is done about it."""
    if verdict.cause is None:
        return "It was a good visit."
    known = {name: 0 if value is None else value for name, value in figures.items()}
    otherwise = f"the conversation ended by {verdict.cause}"
    says = _SAYS.get(verdict.cause, otherwise).format(**known)
    remedy = CAUSES[verdict.cause].remedy
    remedy = "" if remedy == NOTHING else f" What to do: {remedy.rstrip('.')}."
    return f"It was {verdict.worth}: {says}.{remedy}"
