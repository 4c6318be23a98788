"""From what a card delivers to chunks with a verdict. Pure: no I/O, time is an argument."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from kiosk.audio.channels import ChannelMix
from kiosk.audio.echo import Canceller, Played, ReferenceReader, Silent, Transparent
from kiosk.audio.gain import Gain, GainSettings
from kiosk.audio.gate import Gate, Verdict
from kiosk.audio.high_pass import HighPass
from kiosk.audio.lateness import Lateness
from kiosk.audio.levels import Meter
from kiosk.audio.pcm import (
    CHUNK_MS,
    INTERNAL_RATE_HZ,
    Rechunker,
    SampleFormat,
    Samples,
    frames_of,
    ms_to_samples,
)
from kiosk.audio.resample import Resampler

CHUNK_SAMPLES = ms_to_samples(CHUNK_MS, INTERNAL_RATE_HZ)
# Some loudspeakers are a second late; then nothing of what was played is in any channel.
_ECHO_GONE_S = 1.2
_ECHO_GONE = round(_ECHO_GONE_S * INTERNAL_RATE_HZ)


@dataclass(frozen=True, slots=True)
class CapturedChunk:
    """20 ms of 16 kHz sound, when its first sample was captured (monotonic seconds), and whether
    it is speech.

    `stand_in` goes out in the place of a chunk that does not pass: what the echo canceller leaves
    of the room while only the agent sounds. None: digital silence does. `over_agent`: captured
    while the loudspeaker, or its reverberation, was in the room.
    """

    samples: Samples
    captured_at_s: float
    verdict: Verdict
    stand_in: Samples | None = None
    over_agent: bool = False


@dataclass(frozen=True, slots=True)
class CaptureLayout:
    """How a card's frames lie: `channel` is the only one to listen to, from 1 on; None: all."""

    rate_hz: int
    channels: int
    sample_format: SampleFormat = SampleFormat.S16_LE
    channel: int | None = None


@dataclass(slots=True)
class Treatment:
    """What is done to a visit's sound, in this order: what lies below a voice is taken out of it
    (`high_pass` None: nothing is), then the loudspeaker, the gate judges it, the gain brings it to
    one level. `played` is what the loudspeaker plays, `lateness` when that is in the room."""

    gate: Gate
    canceller: Canceller = field(default_factory=Transparent)
    gain: Gain = field(default_factory=lambda: Gain(GainSettings(mode="fixed")))
    played: Played = field(default_factory=Silent)
    meter: Meter = field(default_factory=Meter)
    lateness: Lateness = field(default_factory=Lateness)
    high_pass: HighPass | None = field(default_factory=HighPass)


class CaptureChain:
    """Down-mixes, converts to 16 kHz, cuts into chunks and treats them; one run of one card.

    `mix` is what is known of the card's channels from its runs before. `constant_s`: how long the
    card has delivered one value and no other, from the start on; 0 from its first sound on. What
    comes while the loudspeaker sounds does not count: some speakerphones are deaf meanwhile.
    """

    def __init__(
        self, layout: CaptureLayout, treatment: Treatment, mix: ChannelMix | None = None
    ) -> None:
        self.treatment = treatment
        self.constant_s = 0.0
        self._mix = mix or ChannelMix(layout.channels, layout.channel)
        self._layout = layout
        self._reference = ReferenceReader(treatment.played)
        self._resampler = Resampler(layout.rate_hz, INTERNAL_RATE_HZ)
        self._rechunker = Rechunker(CHUNK_SAMPLES)
        self._begun = False
        self._first: int | None = None
        self._lives = False

    @property
    def missing_s(self) -> float:
        """How much sound the next chunk still lacks."""
        return (CHUNK_SAMPLES - self._rechunker.held) / INTERNAL_RATE_HZ

    def push(self, data: bytes, captured_at_s: float) -> Iterator[CapturedChunk]:
        """`data`: interleaved; `captured_at_s`: when its first sample was captured."""
        started_s = (
            captured_at_s - self._resampler.delay_s - self._rechunker.held / INTERNAL_RATE_HZ
        )
        mono = self._mono(data, captured_at_s)
        self.treatment.meter.push_card(mono)
        self.treatment.meter.channels = self._mix.heard
        self._watch(mono, captured_at_s)
        if not self._begun and len(mono):
            self._begun = True
            self._resampler.begin_at(int(mono[0]))
        sound = self._resampler.push(mono)
        if self.treatment.high_pass is not None:
            sound = self.treatment.high_pass.push(sound)
        for index, samples in enumerate(self._rechunker.push(sound)):
            yield self._treated(samples, started_s + index * CHUNK_MS / 1000)

    def _mono(self, data: bytes, captured_at_s: float) -> Samples:
        layout = self._layout
        chooses = layout.channels > 1 and layout.channel is None
        quiet = not chooses or self._is_quiet(captured_at_s)
        frames = frames_of(data, layout.channels, layout.sample_format)
        return self._mix.push(frames, quiet=quiet)

    def _is_quiet(self, captured_at_s: float) -> bool:
        """Whether nothing that was played is in the room any more."""
        return not self.treatment.played.get(captured_at_s - _ECHO_GONE_S, _ECHO_GONE).any()

    def _watch(self, mono: Samples, captured_at_s: float) -> None:
        if self._lives or not len(mono):
            return
        first = self._first if self._first is not None else int(mono[0])
        self._first = first
        self._lives = bool(np.any(mono != first))
        if self._lives:
            self.constant_s = 0.0
        elif self._is_quiet(captured_at_s):
            self.constant_s += len(mono) / self._layout.rate_hz

    def _treated(self, samples: Samples, captured_at_s: float) -> CapturedChunk:
        its = self.treatment
        far = self._reference.read(captured_at_s, len(samples))
        far = its.lateness.push(samples, far)
        its.meter.late_ms = its.lateness.late_ms
        heard = its.canceller.push(samples, far)
        verdict = its.gate.push(heard.judged, learn=not heard.agent_sounds)
        its.meter.push(samples, speech=verdict.speech and not heard.agent_sounds)
        near = its.gain.push(heard.near, speech=verdict.speech)
        if heard.agent_sounds and verdict.passes and not verdict.speech:
            # Not to be sent: it holds a trace of the agent's own voice. It is kept as pre-roll, in
            # case it was the beginning of a word.
            verdict = replace(verdict, passes=False)
            return CapturedChunk(near, captured_at_s, verdict, heard.judged, over_agent=True)
        return CapturedChunk(near, captured_at_s, verdict, over_agent=heard.agent_sounds)
