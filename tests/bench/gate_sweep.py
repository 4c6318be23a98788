"""What the gate and the gain do to a visitor's words; `python -m tests.bench.gate_sweep` tells.

Three questions: is the first word whole (`onsets`), does noise open the gate (`false_openings`),
is quiet and loud speech understood as if nothing stood between (`recognition`). The defaults were
chosen with CHOOSING; HELD_OUT shares no voice, no sentence and no seed with it, and is the proof.
"""

import argparse
import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from kiosk.agent.guide import load_guide
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.voice import AgentVoice
from kiosk.audio.capture import CHUNK_SAMPLES
from kiosk.audio.gain import Gain, GainSettings
from kiosk.audio.gate import Edge, Gate, GateSettings, Verdict, kiosk_gate
from kiosk.audio.levels import FULL_SCALE
from kiosk.audio.pcm import CHUNK_MS, INTERNAL_RATE_HZ, Samples, silence, to_int16
from kiosk.config.tables import GainTable, GateTable

Floats = npt.NDArray[np.float64]
Noise = Literal["pink", "white", "babble"]
NewGate = Callable[[], Gate]

NOISES: tuple[Noise, ...] = ("pink", "white", "babble")
NOISE_LEVELS_DBFS = (-60.0, -50.0, -40.0, -34.0, -31.0, -28.0, -25.0, -20.0)
SPEECH_LEVELS_DBFS = (-46.0, -40.0, -31.0, -23.0, -16.0)
PREROLL_MS = GateTable().preroll_ms

_CHUNKS_PER_S = 1000 // CHUNK_MS
_CLIPPED_MS = 20  # a word whose beginning lacks more is clipped
_VOICED = 0.05  # of its peak: where an utterance begins
_FAINT_MS = 100  # a breath or a hiss before that
_QUIET_ROOM_DBFS = -72.0
# Noise alone before somebody speaks: the gate has learnt the room, and the visit is young.
_LEAD_S = 12
_TALKERS = 8


@dataclass(frozen=True)
class Material:
    """Voices of espeak-ng, what they say, and seeds. `questions` are the museum guide's, each with
    another wording or entry in the other set; `remarks` are not in the guide."""

    name: str
    voices: tuple[str, ...]
    questions: tuple[str, ...]
    remarks: tuple[str, ...]
    seed: int

    @property
    def sentences(self) -> tuple[str, ...]:
        return self.questions + self.remarks


CHOOSING = Material(
    "choosing",
    ("en-us", "en-gb-x-rp+f2", "en+m3", "en-us+f4"),
    (
        "where are the toilets",
        "how old is the mammoth",
        "what does a ticket cost",
        "is there an elevator",
        "can we take pictures",
        "thank you very much",
        "how does the steam engine work",
        "please tell me about the lighthouse",
    ),
    (
        "my bus was late this morning",
        "five people stood in front of the door",
        "sunflowers turn towards the light",
        "anna has lost her blue scarf",
    ),
    100,
)
HELD_OUT = Material(
    "held out",
    ("en-us+f2", "en-us+m6", "en+f3", "en-gb-scotland+m1"),
    (
        "what are your opening hours",
        "where is the gift shop",
        "when is the next guided tour",
        "how much is it for children",
        "where can i leave my coat",
        "who built the lighthouse",
        "please tell me about the blue whale",
        "do you have a wheelchair",
    ),
    (
        "she painted the kitchen wall bright orange",
        "put some more wood on the fire",
        "nobody likes to pay taxes in april",
        "half of the apples were green",
    ),
    7000,
)


# --- sounds -------------------------------------------------------------------------------------


@cache
def spoken(text: str, voice: str) -> Samples:
    """The text at 16 kHz, read-only."""
    return asyncio.run(AgentVoice(voice).render(text, INTERNAL_RATE_HZ))


def active_dbfs(samples: Samples | Floats) -> float:
    """The level of the parts within 20 dB of the loudest 20 ms."""
    whole = len(samples) // CHUNK_SAMPLES * CHUNK_SAMPLES
    wide = np.asarray(samples[:whole], dtype=np.float64)
    power = np.square(wide).reshape(-1, CHUNK_SAMPLES).mean(axis=1)
    return float(10 * np.log10(power[power > power.max() / 100].mean() / FULL_SCALE**2))


def at_active_level(samples: Samples, level_dbfs: float) -> Floats:
    """On the int16 scale, not rounded."""
    return samples.astype(np.float64) * 10 ** ((level_dbfs - active_dbfs(samples)) / 20)


def noise(kind: Noise, count: int, level_dbfs: float, material: Material, seed: int) -> Floats:
    """`count` samples at an RMS level, on the int16 scale. Babble is eight people of the set."""
    rng = np.random.default_rng(material.seed + seed)
    if kind == "babble":
        sound: Floats = _babble(count, material, rng)
    else:
        spectrum = np.fft.rfft(rng.standard_normal(count))
        if kind == "pink":
            frequency = np.fft.rfftfreq(count, 1 / INTERNAL_RATE_HZ)
            spectrum /= np.sqrt(np.maximum(frequency, 40))
        sound = np.asarray(np.fft.irfft(spectrum, count), dtype=np.float64)
    scaled: Floats = sound * (10 ** (level_dbfs / 20) * FULL_SCALE / np.sqrt(np.mean(sound**2)))
    return scaled


def _babble(count: int, material: Material, rng: np.random.Generator) -> Floats:
    mixed = np.zeros(count)
    for _ in range(_TALKERS):
        said: list[Floats] = []
        while sum(map(len, said)) < count:
            text, voice = rng.choice(material.sentences), rng.choice(material.voices)
            said.append(at_active_level(spoken(str(text), str(voice)), -23))
        mixed += np.roll(np.concatenate(said)[:count], int(rng.integers(count)))
    return mixed


def chunks(samples: Samples) -> Iterator[Samples]:
    for at in range(0, len(samples) - CHUNK_SAMPLES + 1, CHUNK_SAMPLES):
        yield samples[at : at + CHUNK_SAMPLES]


# --- the kiosk's own parts ----------------------------------------------------------------------


def new_gate(
    detector: Literal["webrtcvad", "webrtcvad_and_suppressed"] | None = None,
) -> Gate:
    """The gate of the default configuration, or with another detector."""
    table = GateTable()
    return kiosk_gate(
        GateSettings(
            onset_ms=table.onset_ms,
            hangover_ms=table.hangover_ms,
            room_tone_ms=table.room_tone_ms,
            longest_speech_ms=table.longest_speech_ms,
            both=(detector or table.detector) == "webrtcvad_and_suppressed",
        ),
        table.aggressiveness,
        table.room_window_ms,
    )


def new_gain() -> Gain:
    """The gain of the default configuration."""
    return Gain(GainSettings(**GainTable().model_dump()))


# --- (a) the first word -------------------------------------------------------------------------


@dataclass(frozen=True)
class Onsets:
    """Of `utterances`: the latency of each opening, in milliseconds from the first voiced sample;
    how many stood open already, and how many never opened the gate."""

    utterances: int
    latencies_ms: tuple[float, ...]
    open_before: int
    missed: int

    def clipped_share(self, preroll_ms: int = PREROLL_MS) -> float:
        """Of the utterances: those that lack more than 20 ms of their beginning."""
        late = sum(latency > preroll_ms + _CLIPPED_MS for latency in self.latencies_ms)
        return (late + self.missed) / self.utterances

    def latency_ms(self, percentile: float) -> float:
        return float(np.percentile(self.latencies_ms, percentile)) if self.latencies_ms else np.nan


def onsets(
    material: Material,
    speech_dbfs: float,
    against: tuple[Noise, float] | None = None,
    gate: NewGate = new_gate,
) -> Onsets:
    """Every sentence in every voice, clean or against a noise at a distance in dB, each after
    12 s of that noise alone."""
    latencies, open_before, missed, number = [], 0, 0, 0
    for voice in material.voices:
        for text in material.sentences:
            number += 1
            speech = at_active_level(spoken(text, voice), speech_dbfs)
            begins = _LEAD_S * INTERNAL_RATE_HZ
            sound = np.concatenate((np.zeros(begins), speech, np.zeros(INTERNAL_RATE_HZ)))
            kind, distance_db = against or ("white", speech_dbfs - _QUIET_ROOM_DBFS)
            sound += noise(kind, len(sound), speech_dbfs - distance_db, material, number)
            size = np.abs(speech)
            voiced_ms = (
                1000 * (begins + int(np.argmax(size > _VOICED * size.max()))) / (INTERNAL_RATE_HZ)
            )
            latency_ms = _opening(gate(), to_int16(sound), voiced_ms)
            if latency_ms is None:
                missed += 1
            elif latency_ms == -np.inf:
                open_before += 1
            else:
                latencies.append(latency_ms)
    return Onsets(number, tuple(latencies), open_before, missed)


def _opening(gate: Gate, sound: Samples, voiced_ms: float) -> float | None:
    """When the gate opened for what begins at `voiced_ms`: -inf if it was open, None if never."""
    for index, chunk in enumerate(chunks(sound)):
        verdict, now_ms = gate.push(chunk), (index + 1) * CHUNK_MS
        if now_ms < voiced_ms - _FAINT_MS:
            continue
        if verdict.edge is Edge.SPEECH_STARTED:
            return now_ms - voiced_ms
        if verdict.speech:
            return -np.inf
    return None


# --- (b) noise alone ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Openings:
    """In noise alone: openings a minute, and the shares of the time that it is heard as speech and
    that its sound goes out; `at_first` are openings in the first ten seconds."""

    at_first: int
    per_minute: float
    speech_share: float
    passes_share: float


def false_openings(
    material: Material, kind: Noise, level_dbfs: float, gate: NewGate = new_gate
) -> Openings:
    """Forty seconds of noise with nobody speaking."""
    sound = to_int16(noise(kind, 40 * INTERNAL_RATE_HZ, level_dbfs, material, 1))
    opened = gate()
    verdicts = [opened.push(chunk) for chunk in chunks(sound)]
    first, later = verdicts[: 10 * _CHUNKS_PER_S], verdicts[10 * _CHUNKS_PER_S :]
    return Openings(
        _starts(first),
        _starts(later) * 60 * _CHUNKS_PER_S / len(later),
        sum(verdict.speech for verdict in later) / len(later),
        sum(verdict.passes for verdict in later) / len(later),
    )


def _starts(verdicts: Sequence[Verdict]) -> int:
    return sum(verdict.edge is Edge.SPEECH_STARTED for verdict in verdicts)


# --- (c) quiet and loud voices ------------------------------------------------------------------


@dataclass(frozen=True)
class Recognition:
    """Of `questions`: how many opened the gate and were understood, straight from the microphone
    and through gate and gain; the level that left the gain, and samples that it brought to full
    scale."""

    questions: int
    opened: int
    straight: int
    through: int
    lost: int  # understood straight, not through
    left_dbfs: float
    clipped: int


def recognition(
    material: Material,
    speech_dbfs: float,
    gate: NewGate = new_gate,
    gain: Callable[[], Gain] = new_gain,
) -> Recognition:
    """Each voice asks all the questions in one visit, with 3 s of a quiet room between them."""
    recogniser, guide = _recogniser(), load_guide()
    opened = straight = through = lost = clipped = number = 0
    left: list[float] = []
    for voice in material.voices:
        one_gate, one_gain = gate(), gain()
        for text in material.questions:
            number += 1
            speech = to_int16(at_active_level(spoken(text, voice), speech_dbfs))
            rest = silence(3 * INTERNAL_RATE_HZ)
            sound = np.concatenate((rest, speech, silence(INTERNAL_RATE_HZ))).astype(np.float64)
            sound += noise("white", len(sound), _QUIET_ROOM_DBFS, material, number)
            came = to_int16(sound)
            started, heard = transmit(one_gate, one_gain, came)
            opened += started
            clipped += int(np.sum(_at_full_scale(heard) & ~_at_full_scale(came[: len(heard)])))
            came, heard = (samples[2 * INTERNAL_RATE_HZ :] for samples in (came, heard))
            left.append(active_dbfs(heard))
            entry = guide.entry_for(text)
            assert entry is not None, text
            is_right = [
                (said := recogniser.recognise(samples).text) is not None
                and guide.entry_for(said) is entry
                for samples in (came, heard)
            ]
            straight, through = straight + is_right[0], through + is_right[1]
            lost += is_right[0] and not is_right[1]
    return Recognition(number, opened, straight, through, lost, float(np.mean(left)), clipped)


def transmit(gate: Gate, gain: Gain, sound: Samples) -> tuple[bool, Samples]:
    """What the uplink would send: zeros where nothing passes, but for the pre-roll; and whether
    the gate opened."""
    sent: list[Samples] = []
    started, closed = False, 0
    levelled: list[Samples] = []
    for chunk in chunks(sound):
        verdict = gate.push(chunk)
        levelled.append(gain.push(chunk, speech=verdict.speech))
        sent.append(levelled[-1] if verdict.passes else silence(len(chunk)))
        if verdict.passes and closed:
            kept = min(closed, PREROLL_MS // CHUNK_MS)
            sent[-1 - kept : -1] = levelled[-1 - kept : -1]
        closed = 0 if verdict.passes else closed + 1
        started |= verdict.edge is Edge.SPEECH_STARTED
    return started, np.concatenate(sent)


def _at_full_scale(samples: Samples) -> npt.NDArray[np.bool_]:
    return np.abs(samples.astype(np.int32)) >= 32767


@cache
def _recogniser() -> Recogniser:
    return Recogniser(load_guide().jsgf())


# --- the tables ---------------------------------------------------------------------------------


def report(material: Material) -> Iterator[str]:
    """The three tables of one set, line by line."""
    yield f"## {material.name}: first words, {PREROLL_MS} ms of pre-roll"
    yield "speech dBFS | against | clipped % | missed | open before | median ms | 95 % ms"
    conditions: tuple[tuple[Noise, float] | None, ...] = (
        None,
        *((kind, distance_db) for distance_db in (10.0, 5.0) for kind in NOISES),
    )
    for against in conditions:
        for speech_dbfs in SPEECH_LEVELS_DBFS if against is None else (-40.0, -23.0):
            found = onsets(material, speech_dbfs, against)
            yield (
                f"{speech_dbfs:g} | {against or 'clean'} | {100 * found.clipped_share():.1f} | "
                f"{found.missed} | {found.open_before} of {found.utterances} | "
                f"{found.latency_ms(50):.0f} | {found.latency_ms(95):.0f}"
            )
    yield f"## {material.name}: noise alone, each detector"
    yield "noise | dBFS | in the first 10 s, then a minute, speech %, passes % | the same, AND"
    for kind in NOISES:
        for level_dbfs in NOISE_LEVELS_DBFS:
            cells = [
                false_openings(material, kind, level_dbfs, partial(new_gate, detector))
                for detector in ("webrtcvad", "webrtcvad_and_suppressed")
            ]
            yield f"{kind} | {level_dbfs:g} | " + " | ".join(
                f"{cell.at_first}, {cell.per_minute:.0f}, {100 * cell.speech_share:.0f}, "
                f"{100 * cell.passes_share:.0f}"
                for cell in cells
            )
    yield f"## {material.name}: questions understood"
    yield "speech dBFS | opened | straight | through gate and gain | lost | left at dBFS | clipped"
    for speech_dbfs in SPEECH_LEVELS_DBFS:
        result = recognition(material, speech_dbfs)
        yield (
            f"{speech_dbfs:g} | {result.opened} of {result.questions} | {result.straight} | "
            f"{result.through} | {result.lost} | {result.left_dbfs:.1f} | {result.clipped}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=("choosing", "held-out", "both"), nargs="?", default="both")
    chosen = parser.parse_args().set
    for material in (CHOOSING, HELD_OUT):
        if chosen in ("both", material.name.replace(" ", "-")):
            for line in report(material):
                print(line, flush=True)


if __name__ == "__main__":
    main()
