"""The figures a record of a connection consists of, of bounded size. Pure: no I/O, no clock."""

from collections import deque
from dataclasses import dataclass
from statistics import median

import numpy as np

from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import FORMATS, PcmFormat, Rechunker, Samples, to_int16
from kiosk.convai.fields import Json

# What an interrupted turn still sends, and how long it is looked for.
TONE_HZ = 1320.0
TONE_S = 1.0
LISTEN_S = 3.0

LONG_GAP_S = 0.3

_TONE_DBFS = -12.0
_TONE_WINDOW_MS = 100
_TONE_SHARE = 0.5  # of a window's power: speech has its power in many places
_TONE_QUIETEST_DBFS = -60.0
# Client software that does not look at the announced format sends this.
_USUAL_RATE_HZ = 16_000

_NAMES = 5
_NAME_LENGTH = 80
_REMEMBERED = 256


def printable(name: str) -> str:
    """What a client called something, fit for a terminal."""
    kept = "".join(each if each.isprintable() else "?" for each in name[:_NAME_LENGTH])
    return kept.encode(errors="replace").decode()


class Noted:
    """How often something was found, with the first few different names of it."""

    def __init__(self) -> None:
        self.count = 0
        self.names: list[str] = []

    def add(self, name: str) -> None:
        self.count += 1
        shown = printable(name)
        if len(self.names) < _NAMES and shown not in self.names:
            self.names.append(shown)

    def __str__(self) -> str:
        return f"{self.count}: {', '.join(self.names)}"


@dataclass(frozen=True, slots=True)
class _Ping:
    number: int
    sent_s: float
    timed: bool


class Pongs:
    """Pings, numbered as they were sent, and what came back."""

    def __init__(self) -> None:
        self.count = 0
        self.answered = 0
        self.highest = 0  # of the numbers that were answered
        self.worst_ms = 0.0
        self.other_type = self.twice = self.unasked = 0
        self._open: dict[Json, _Ping] = {}
        self._forgotten = 0
        self._answered: deque[Json] = deque(maxlen=_REMEMBERED)
        self._took_ms: deque[float] = deque(maxlen=_REMEMBERED)
        self._untimed_ms: dict[int, float] = {}

    def sent(self, event_id: Json, at_s: float, *, timed: bool) -> None:
        self.count += 1
        self._open[_key(event_id)] = _Ping(self.count, at_s, timed)
        if len(self._open) > _REMEMBERED:
            del self._open[next(iter(self._open))]
            self._forgotten += 1

    def came(self, event_id: Json, at_s: float) -> None:
        key = _key(event_id)
        if key not in self._open and isinstance(event_id, str) and event_id.isdecimal():
            key = int(event_id[:18])
        if key in self._answered:
            self.twice += 1
            return
        ping = self._open.pop(key, None)
        if ping is None:
            self.unasked += 1
            return
        self.other_type += key != event_id or isinstance(event_id, float)
        self._answered.append(key)
        self.answered += 1
        self.highest = max(self.highest, ping.number)
        took_ms = (at_s - ping.sent_s) * 1000
        if ping.timed:
            self._took_ms.append(took_ms)
            self.worst_ms = max(self.worst_ms, took_ms)
        elif len(self._untimed_ms) < _REMEMBERED:
            self._untimed_ms[ping.number] = took_ms

    @property
    def median_ms(self) -> float | None:
        """None if no ping was timed."""
        return median(self._took_ms) if self._took_ms else None

    def took_ms(self, number: int) -> float | None:
        """How long the answer to a ping behind a probe took."""
        return self._untimed_ms.get(number)

    def unanswered(self, at_s: float, patience_s: float) -> int:
        """Pings that had their time; not those behind a probe that the client did not survive."""
        due = (ping for ping in self._open.values() if ping.timed)
        return self._forgotten + sum(
            ping.number < self.highest or at_s - ping.sent_s > patience_s for ping in due
        )


def _key(event_id: Json) -> Json:
    """Something to look up by, whatever JSON a client sends."""
    plain = isinstance(event_id, int | str | float) and not isinstance(event_id, bool)
    return event_id if plain else str(event_id)


@dataclass(slots=True)
class ToolCallFigures:
    """A tool call, and what became of it."""

    name: str
    expects_response: bool
    sent_s: float
    results: int = 0
    took_ms: float = 0.0
    is_text: bool = True
    is_error: bool = False


class ToolCalls:
    """The calls of a connection by their ids."""

    def __init__(self) -> None:
        self.calls: dict[str, ToolCallFigures] = {}
        self.strays = 0  # results of calls that nobody made

    def sent(self, call_id: str, name: str, expects_response: bool, at_s: float) -> None:
        if len(self.calls) < _REMEMBERED:
            self.calls[call_id] = ToolCallFigures(name, expects_response, at_s)

    def came(self, call_id: Json, *, is_text: bool, is_error: bool, at_s: float) -> None:
        call = self.calls.get(call_id) if isinstance(call_id, str) else None
        if call is None:
            self.strays += 1
            return
        call.results += 1
        if call.results == 1:
            call.took_ms = (at_s - call.sent_s) * 1000
            call.is_error = is_error
        call.is_text = call.is_text and is_text


@dataclass(slots=True)
class _Listener:
    """A listener in real time: how far the stream is ahead of him, and how long he went without."""

    bytes_per_s: int
    ahead_s: float = 0.0
    without_s: float = 0.0

    def came(self, size: int, gap_s: float) -> None:
        self.without_s = max(self.without_s, gap_s - self.ahead_s)
        self.ahead_s = max(0.0, self.ahead_s - gap_s) + size / self.bytes_per_s


class UplinkFigures:
    """The microphone's stream, in bytes over time."""

    def __init__(self, announced: PcmFormat) -> None:
        self.announced = announced
        self.chunks = 0
        self.longest_gap_s = 0.0
        self.long_gaps = 0
        self.first_s = self.last_s = 0.0
        self._bytes = 0
        self._first_bytes = 0
        # Which format the stream is in is known at its end.
        self._listeners = {name: _Listener(bytes_per_s(each)) for name, each in FORMATS.items()}

    def came(self, size: int, at_s: float) -> None:
        gap_s = at_s - self.last_s if self.chunks else 0.0
        for listener in self._listeners.values():
            listener.came(size, gap_s)
        self.longest_gap_s = max(self.longest_gap_s, gap_s)
        self.long_gaps += gap_s > LONG_GAP_S
        if not self.chunks:
            self.first_s, self._first_bytes = at_s, size
        self.last_s = at_s
        self.chunks += 1
        self._bytes += size

    @property
    def elapsed_s(self) -> float:
        return self.last_s - self.first_s

    @property
    def bytes_per_s(self) -> float:
        """What came after the first chunk, over the time since it came."""
        return (self._bytes - self._first_bytes) / self.elapsed_s if self.elapsed_s else 0.0

    def ratio(self, format_: PcmFormat) -> float:
        """Sound for time, if it is in this format: 1.0 is real time."""
        return self.bytes_per_s / bytes_per_s(format_)

    def without_s(self, format_: PcmFormat) -> float:
        """The longest that a listener in real time had no sound."""
        return self._listeners[format_.name].without_s

    def mean_chunk_ms(self, format_: PcmFormat) -> float:
        return self._bytes / self.chunks / bytes_per_s(format_) * 1000 if self.chunks else 0.0

    def likely_format(self) -> PcmFormat | None:
        """The format in which the stream is in real time; the announced one, if that can be."""
        if abs(self.ratio(self.announced) - 1) <= 0.15:
            return self.announced
        others = (FORMATS[f"pcm_{_USUAL_RATE_HZ}"], *FORMATS.values())
        near = [each for each in others if abs(self.ratio(each) - 1) <= 0.1]
        return min(near, key=lambda each: abs(self.ratio(each) - 1)) if near else None


def bytes_per_s(format_: PcmFormat) -> int:
    return format_.rate_hz * (1 if format_.encoding == "ulaw" else 2)


def tone(rate_hz: int) -> Samples:
    """The sound that nobody should ever hear."""
    amplitude = 32768 * 10 ** (_TONE_DBFS / 20) * np.sqrt(2)
    time_s = np.arange(round(TONE_S * rate_hz)) / rate_hz
    return to_int16(amplitude * np.sin(2 * np.pi * TONE_HZ * time_s))


class ToneFinder:
    """Looks for the tone in the microphone's stream for a while; keeps no sound."""

    def __init__(self, format_: PcmFormat) -> None:
        self.listened_s = 0.0
        self.heard_ms = 0
        self.level_dbfs = -96.0
        self._format = format_
        # A stream that is not in the announced format has the tone elsewhere.
        self._at_hz = {TONE_HZ, TONE_HZ * format_.rate_hz / _USUAL_RATE_HZ}
        self.until_s = 0.0  # monotonic; nothing is listened for yet
        self._windows = Rechunker(format_.rate_hz * _TONE_WINDOW_MS // 1000)

    def listen(self, from_s: float) -> None:
        self.until_s = from_s + LISTEN_S

    def came(self, audio: bytes, at_s: float) -> None:
        if at_s > self.until_s:
            return
        self.listened_s = at_s - (self.until_s - LISTEN_S)
        for window in self._windows.push(self._format.decode(audio)):
            if any(self._has_tone(window, hertz) for hertz in self._at_hz):
                self.heard_ms += _TONE_WINDOW_MS
                self.level_dbfs = max(self.level_dbfs, rms_dbfs(window))

    def _has_tone(self, window: Samples, hertz: float) -> bool:
        """One bin of the spectrum against all of the power."""
        wide = window.astype(np.float64)
        turns = np.exp(-2j * np.pi * hertz / self._format.rate_hz * np.arange(len(wide)))
        in_tone = 2 * abs(np.dot(wide, turns)) ** 2 / len(wide) ** 2
        loud = rms_dbfs(window) > _TONE_QUIETEST_DBFS
        return loud and bool(in_tone > _TONE_SHARE * np.mean(wide**2))
