"""Ports: what the rest of the kiosk asks of a device, and what devices report. No I/O, no threads.

Two floors: `CapturePcm` and `PlaybackPcm` are what a sound driver is (ALSA, virtual, scripted);
`Microphone` and `Speaker` are what the visit uses, the same threads over any driver.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from kiosk.audio.capture import CapturedChunk
from kiosk.audio.pcm import SampleFormat, Samples
from kiosk.errors import DeviceError

# --- why a card cannot be opened ----------------------------------------------------------------


class BusyError(DeviceError):
    """Another program has the card."""


class CardRefusedError(DeviceError):
    """ALSA cannot open the card or work with it, and not for want of a right: it may be away."""


class NoFormatError(DeviceError):
    """The device takes samples in no form that the kiosk makes: digital frames, for one."""


class SilentError(DeviceError):
    """The microphone delivers one value and nothing else: it hears nothing."""

    why = "microphone_silent"  # as a cause


class MutedError(SilentError):
    """And its card's mixer says why."""

    why = "microphone_muted"


class StuckError(DeviceError):
    """The card is there, and this process cannot open it any more: a new one can."""

    cause = "device_stuck"


# --- sound drivers: used only by the thread that opened them ------------------------------------


class CapturePcm(Protocol):
    """A capture stream of interleaved samples: opened and prepared, running from the first read.

    `channel` is the only one to listen to, from 1 on; None: the mean of all. `xruns`: how often the
    card lost sound since it was opened, because nobody fetched it in time. `has_converter`: there
    is one for certain, which is never silent to the last bit.
    """

    rate_hz: int
    channels: int
    sample_format: SampleFormat
    channel: int | None
    xruns: int
    has_converter: bool

    def read(self) -> bytes:
        """What has been captured since the last read, b"" if nothing yet; never blocks.

        Raises DeviceError when the card is gone."""
        ...

    def available(self) -> int:
        """Frames captured and not yet read."""
        ...

    def drop(self) -> None:
        """Stop capturing; the next read starts it again."""
        ...

    def muted_by(self) -> str | None:
        """The control of its mixer that keeps it silent; None: none, or it cannot be known."""
        ...

    def check(self) -> None:
        """Raises DeviceError when the card is gone, without starting it: for when it rests."""
        ...

    def close(self) -> None: ...


class PlaybackPcm(Protocol):
    """A playback stream of interleaved samples: running from the first write.

    `xruns`: how often the card lacked sound since it was opened. `software_gain`: by what samples
    are to be multiplied before they are written, where the card has no volume of its own.
    """

    rate_hz: int
    channels: int
    sample_format: SampleFormat
    buffer_frames: int
    xruns: int
    software_gain: float

    def write(self, data: bytes) -> int:
        """Frames accepted, 0 when the card's buffer is full; never blocks.

        Raises DeviceError when the card is gone."""
        ...

    def queued(self) -> int:
        """Frames accepted and not yet heard."""
        ...

    def drop(self) -> None:
        """Silence now: what is queued is not heard; the next write starts it again."""
        ...

    def check(self) -> None:
        """Raises DeviceError when the card is gone, without starting it: for when it rests."""
        ...

    def close(self) -> None: ...


# --- what devices report, in the event loop -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """The device can be used (again)."""

    description: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The device cannot be used; it is tried again until it can."""

    error: DeviceError


@dataclass(frozen=True, slots=True)
class Running:
    """The microphone's card started or stopped: what the recording lamp shows."""

    running: bool


@dataclass(frozen=True, slots=True)
class Overloaded:
    """This machine is too slow for what is done to the sound: it took `share` of real time.

    `half_duplex`: from now on the microphone is deaf while the loudspeaker sounds."""

    share: float
    half_duplex: bool


@dataclass(frozen=True, slots=True)
class Began:
    """The first sample of a clip is heard at `heard_at_s` (monotonic)."""

    clip: "Clip"
    heard_at_s: float


@dataclass(frozen=True, slots=True)
class Drained:
    """The last sample of the first `clips` clips ever given was heard, and nothing else waits."""

    clips: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Flushed:
    """What was asked to be flushed is silent since `at_s`."""

    at_s: float


@dataclass(frozen=True, slots=True)
class ButtonEdge:
    """A button went down or up, debounced. `language`: that of a key for one; None: the button."""

    pressed: bool
    at_s: float
    language: str | None = None


@dataclass(frozen=True, slots=True)
class LineTrouble:
    """A button's line is no button's, or is one again (`over`). `cause`: button_stuck or
    button_flutters."""

    cause: str
    detail: str
    over: bool = False


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A key went down that is neither the button nor one of a language. `ask`: a question to the
    agent, in its words; `step_db`: so much louder, or softer."""

    ask: str | None = None
    step_db: float = 0.0


ButtonEvent: TypeAlias = ButtonEdge | LineTrouble
ButtonHandler: TypeAlias = Callable[[ButtonEvent | KeyPressed], None]
MicrophoneEvent: TypeAlias = CapturedChunk | Running | Overloaded | Opened | Lost
SpeakerEvent: TypeAlias = Began | Drained | Flushed | Opened | Lost


# --- what the visit uses ------------------------------------------------------------------------


class Source(StrEnum):
    """Whose sound a clip is; flushing is by source."""

    AGENT = "agent"
    SPEECH = "speech"  # the kiosk's own sentences
    EARCON = "earcon"


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Mono sound to play. Clips of one source and rate join without a seam. `voiced`: a voice is
    in it. `name`: the earcon's, or the sentence's key."""

    samples: Samples
    rate_hz: int
    source: Source
    received_at_s: float = 0.0
    voiced: bool = True
    name: str = ""


class Microphone(Protocol):
    """Between `start` and `stop` every 20 ms chunk is reported."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Speaker(Protocol):
    """Plays clips in order; each is reported when its first sample is heard."""

    def play(self, clip: Clip) -> int:
        """Queue a clip; returns how many clips were ever given, this one included."""
        ...

    def flush(self, *sources: Source) -> None:
        """Drop what waits from these sources (none named: all) and silence it if it sounds."""
        ...

    def duck(self, *, on: bool) -> None:
        """Play more softly, or as loud as before, from what the card does not have yet on."""
        ...

    def set_level(self, level_db: float) -> None:
        """Play everything by so much softer, 0 or less, from what the card does not have yet on."""
        ...


# A lamp's pattern: (lit, seconds) steps that repeat; a single step is steady.
Pattern: TypeAlias = tuple[tuple[bool, float], ...]


class Indicator(Protocol):
    """The lamps: one tells the state, one is lit exactly while the microphone runs."""

    def show(self, pattern: Pattern) -> None: ...

    def recording(self, *, on: bool) -> None: ...

    def close(self) -> None: ...


class Button(Protocol):
    """Reports its edges until closed; `pressed` is how it is now, `edges` how often its line has
    changed, chatter too. Of those `presses` counts the presses, `bounces` the ones that made no
    change."""

    @property
    def pressed(self) -> bool: ...

    @property
    def edges(self) -> int: ...

    @property
    def presses(self) -> int: ...

    @property
    def bounces(self) -> int: ...

    def close(self) -> None: ...
