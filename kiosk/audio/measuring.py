"""Measurements of a loudspeaker, a room and a microphone, by what was recorded of a program that
was played. Pure: no I/O, no clock. It may not judge: it finds figures.

The program: silence, a sweep, a short one by each loudspeaker alone, and the sweep again.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kiosk.audio.levels import FULL_SCALE, SILENCE_DBFS, clipped_samples
from kiosk.audio.pcm import Samples, to_int16
from kiosk.audio.sweep import Floats64, Sweep, apart_s

LEVEL_DBFS = -6.0  # the program's peak, as loud as an agent's voice ...
PLAYED_DBFS = LEVEL_DBFS - 3.0  # ... and its sweeps' level
_LAST_TAIL_S = 1.3
_ALONE_S, _ALONE_TAIL_S = 0.5, 0.5
_FROM_HZ, _TO_HZ, _OF_RATE = 60.0, 10_000.0, 0.47

# A card's first sound may be a click.
_SETTLE_S = 0.5
# ALSA's account may be late by a little, and a loudspeaker by a lot.
_EARLY_S, _LATE_S = 0.1, 1.2
# Noise alone reaches 13 dB in a response of a quarter of a million samples.
_CLEAR_DB = 20.0
# The direct sound, where a reflection is the loudest: so much earlier at most, and hardly softer.
_DIRECT_S, _DIRECT_SHARE = 0.02, 0.4
_MOST_DRIFT = 1e-3

_ORDERS = (2, 3, 4, 5)
_DISTORTED_HZ = (300.0, 1500.0)
_ORDER_S = (-0.005, 0.05)
_ABOVE_NOISE = 4.0  # in power: what is less may be chance

_RESPONSE_S = (-0.002, 0.1)
_SIXTH_OCTAVE, _HALF_OCTAVE = 2 ** (1 / 6), 2**0.5
_OCTAVES_HZ = (250, 500, 1000, 2000, 4000)

_LATE_FIELD_S, _BLOCK_S = 0.03, 0.01
_DECAY_HZ = (250.0, 5000.0)
_FIT_DB, _LEAST_FIT_DB = 20.0, 8.0
_LEAST_BLOCKS, _END_BLOCKS = 20, 4
_HARDLY = 1e-5  # of the whole response's energy: a dry room, and what dividing left

_MAINS_HZ = (50, 60)
_MAINS_ORDERS = range(1, 9)
_LINE_DB = 10.0
_PHASE_S = 0.001


@dataclass(frozen=True, slots=True)
class Program:
    """What is played, by `loudspeakers` channels, at a rate; `lowest_rate_hz` is the lower of the
    two cards'. Shorter, it still tells whether the loudspeaker is heard."""

    loudspeakers: int
    lowest_rate_hz: int
    quiet_s: float = 2.5
    sweep_s: float = 3.0
    tail_s: float = 1.8

    @property
    def sweep(self) -> Sweep:
        return Sweep(_FROM_HZ, min(_TO_HZ, _OF_RATE * self.lowest_rate_hz), self.sweep_s)

    @property
    def alone(self) -> Sweep:
        """What each loudspeaker plays by itself."""
        return Sweep(_FROM_HZ, self.sweep.to_hz, _ALONE_S)

    @property
    def alone_at_s(self) -> tuple[float, ...]:
        """When each does; nothing where there is only one."""
        first_s = self.quiet_s + self.sweep_s + self.tail_s
        each_s = _ALONE_S + _ALONE_TAIL_S
        count = self.loudspeakers if self.loudspeakers > 1 else 0
        return tuple(first_s + number * each_s for number in range(count))

    @property
    def sweeps_at_s(self) -> tuple[float, float]:
        first_s = self.quiet_s
        between_s = self.sweep_s + self.tail_s + len(self.alone_at_s) * (_ALONE_S + _ALONE_TAIL_S)
        return first_s, first_s + between_s

    @property
    def duration_s(self) -> float:
        return self.sweeps_at_s[1] + self.sweep_s + _LAST_TAIL_S

    def samples(self, rate_hz: int) -> Samples:
        """(n, loudspeakers) int16."""
        played = np.zeros((round(self.duration_s * rate_hz), self.loudspeakers))

        def put(at_s: float, sweep: Sweep, channel: slice) -> None:
            samples, at = sweep.samples(rate_hz), round(at_s * rate_hz)
            played[at : at + len(samples), channel] += samples[:, None]

        for at_s in self.sweeps_at_s:
            put(at_s, self.sweep, slice(None))
        for number, at_s in enumerate(self.alone_at_s):
            put(at_s, self.alone, slice(number, number + 1))
        return to_int16(played * FULL_SCALE * 10 ** (LEVEL_DBFS / 20))


@dataclass(frozen=True, slots=True)
class Recorded:
    """What all channels of a microphone heard, (n, channels) int16, and when by the cards' account
    the program's first sample was played, in seconds after the first sample recorded.

    `listened`: the channel that the kiosk listens to, from 1 on; None: the mean of all."""

    channels: Samples
    rate_hz: int
    program: Program
    played_at_s: float
    listened: int | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """The way from loudspeaker to microphone. `delay_ms`: later than the cards say. `echo_db`: how
    loud what is played arrives, against how loud it is played. `distortion`: harmonics against the
    tone, as a ratio of amplitudes. `drift_ppm`: how much faster the loudspeaker's clock runs.
    `rt60_s` None: too short to measure. `at_7_khz_db` None: the cards do not reach it. `bands_db`:
    what of each octave arrives, by its middle in Hz."""

    delay_ms: float
    echo_db: float
    peak_dbfs: float
    clipped: float
    distortion: float
    drift_ppm: float
    rt60_s: float | None
    at_4_khz_db: float | None
    at_7_khz_db: float | None
    bands_db: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class ChannelFigures:
    """One channel of the microphone. `offset`: its mean, as a share of full scale. `heard_db`: how
    far the sweep stands above the noise. `alike`: with the channel that hears best, from -1 for the
    opposite phase to 1."""

    noise_dbfs: float
    offset: float
    heard_db: float
    alike: float
    zeros: bool


@dataclass(frozen=True, slots=True)
class SoundFigures:
    """All that was measured. `way` None: no channel heard the sweep. `mixed_db`: what the kiosk
    listens to, against the channel that hears best. `alone_db`: each loudspeaker by itself, and
    `together_db` all of them, against the best one. `hum_hz` None: none was found."""

    channels: tuple[ChannelFigures, ...]
    best: int  # from 1 on
    noise_dbfs: float
    hum_hz: int | None
    hum_dbfs: float
    way: Way | None
    mixed_db: float
    alone_db: tuple[float, ...]
    together_db: float


def measured(recorded: Recorded) -> SoundFigures:
    """Everything that the recording shows."""
    rate_hz, program = recorded.rate_hz, recorded.program
    heard = [
        _Ear(recorded.channels[:, number].astype(np.float64), recorded)
        for number in range(recorded.channels.shape[1])
    ]
    best = max(range(len(heard)), key=lambda number: (heard[number].clear_db, -number))
    ear = heard[best]
    mix = _Ear(mixed(recorded.channels, recorded.listened), recorded)
    hum_hz, hum_dbfs = hum(mix.quiet, rate_hz)
    way = ear.way(recorded.channels[:, best]) if ear.clear_db >= _CLEAR_DB else None
    alone = [ear.loudness(at_s, program.alone.duration_s) for at_s in program.alone_at_s]
    channels = tuple(
        ChannelFigures(
            _dbfs(each.quiet),
            float(each.quiet_with_offset.mean()) / FULL_SCALE if len(each.quiet) else 0.0,
            each.clear_db,
            _alike(ear.sweep, each.sweep, rate_hz),
            not each.samples.any(),
        )
        for each in heard
    )
    together_db = _db(ear.loudness(program.sweeps_at_s[0], program.sweep.duration_s))
    loudest_db = max((_db(each) for each in alone), default=together_db)
    return SoundFigures(
        channels,
        best + 1,
        _dbfs(mix.quiet),
        hum_hz,
        hum_dbfs,
        way,
        _db(mix.power(*ear.sweep_span)) - _db(ear.power(*ear.sweep_span)),
        tuple(_db(each) - loudest_db for each in alone),
        together_db - loudest_db,
    )


class _Ear:
    """What one signal heard of the program: a channel, or the mix."""

    def __init__(self, samples: Floats64, recorded: Recorded) -> None:
        self.samples = samples
        self._rate_hz = recorded.rate_hz
        self._program = recorded.program
        self._played_at_s = recorded.played_at_s

    @cached_property
    def quiet_with_offset(self) -> Floats64:
        until_s = self._played_at_s + self._program.sweeps_at_s[0] - _EARLY_S / 2
        return self._span(_SETTLE_S, until_s)

    @cached_property
    def quiet(self) -> Floats64:
        found = self.quiet_with_offset
        return found - found.mean() if len(found) else found

    @cached_property
    def _response(self) -> Floats64:
        """From `_EARLY_S` before the first sweep was played, by the cards' account."""
        sweep = self._program.sweep
        from_s = self._played_at_s + self._program.sweeps_at_s[0] - _EARLY_S
        piece = self._span(from_s, from_s + _EARLY_S + sweep.duration_s + self._program.tail_s)
        return sweep.response(piece - (piece.mean() if len(piece) else 0.0), self._rate_hz)

    @cached_property
    def _top(self) -> int:
        """Where in the response it is loudest."""
        until_s = _EARLY_S + min(_LATE_S, self._program.tail_s)
        return int(np.abs(self._response[: round(until_s * self._rate_hz)]).argmax())

    @cached_property
    def clear_db(self) -> float:
        """How far the sweep stands out."""
        there = np.abs(self._response[: round((_EARLY_S + self._program.tail_s) * self._rate_hz)])
        floor = float(np.median(there)) / 0.6745 if len(there) else 0.0
        top = float(there[self._top])
        return 20 * math.log10(top / max(floor, top * 1e-6)) if top > 0 else 0.0

    @cached_property
    def _direct(self) -> int:
        """Where the direct sound is: not always the loudest."""
        there = np.abs(self._response)
        first = max(0, self._top - round(_DIRECT_S * self._rate_hz))
        early = np.flatnonzero(there[first : self._top] >= _DIRECT_SHARE * there[self._top])
        if not len(early):
            return self._top
        begins = first + int(early[0])
        return begins + int(there[begins : begins + round(0.0005 * self._rate_hz)].argmax())

    @property
    def delay_s(self) -> float:
        return self._direct / self._rate_hz - _EARLY_S

    @property
    def sweep_span(self) -> tuple[float, float]:
        """The first sweep, as it is heard."""
        at_s = self._played_at_s + self._program.sweeps_at_s[0] + max(0.0, self.delay_s)
        return at_s, at_s + self._program.sweep.duration_s

    @property
    def sweep(self) -> Floats64:
        return self._span(*self.sweep_span)

    def power(self, from_s: float, to_s: float) -> float:
        """Mean square of what is heard there, without that of the noise."""
        piece, quiet = self._span(from_s, to_s), self.quiet
        noise = float(np.mean(quiet**2)) if len(quiet) else 0.0
        return max(0.0, float(np.var(piece)) - noise) if len(piece) else 0.0

    def loudness(self, at_s: float, duration_s: float) -> float:
        """Mean square of what the program plays then."""
        from_s = self._played_at_s + at_s + self.delay_s
        return self.power(from_s, from_s + duration_s)

    def way(self, card: Samples) -> Way:
        sweep, rate_hz = self._program.sweep, self._rate_hz
        played = 10 ** (PLAYED_DBFS / 10) * FULL_SCALE**2
        from_s, to_s = self.sweep_span
        piece = card[round(from_s * rate_hz) : round(to_s * rate_hz)]
        peak = float(np.abs(self.sweep).max(initial=0.0))
        spectrum_db = {hz: self._band_db(hz) for hz in (1000.0, 4000.0, 7000.0)}

        def against_1_khz(hz: float) -> float | None:
            reached = hz <= 0.95 * sweep.to_hz
            return spectrum_db[hz] - spectrum_db[1000.0] if reached else None

        return Way(
            delay_ms=1000 * self.delay_s,
            echo_db=_db(self.power(from_s, to_s) / played),
            peak_dbfs=20 * math.log10(peak / FULL_SCALE) if peak else SILENCE_DBFS,
            clipped=clipped_samples(piece) / max(1, len(piece)),
            distortion=self._distortion(),
            drift_ppm=self._drift_ppm(),
            rt60_s=self._rt60_s(),
            at_4_khz_db=against_1_khz(4000.0),
            at_7_khz_db=against_1_khz(7000.0),
            bands_db={hz: self._band_db(hz, _HALF_OCTAVE) for hz in _OCTAVES_HZ},
        )

    def _drift_ppm(self) -> float:
        first_s, second_s = self._program.sweeps_at_s
        length_s = self._program.sweep.duration_s + _LAST_TAIL_S - _EARLY_S
        between_s = second_s - first_s
        begin_s = self._played_at_s + first_s + self.delay_s - 2 * _MOST_DRIFT * between_s
        begin = round(begin_s * self._rate_hz)
        step, count = round(between_s * self._rate_hz), round(length_s * self._rate_hz)
        first = self.samples[begin : begin + count]
        second = self.samples[begin + step : begin + step + count]
        count = min(len(first), len(second))
        if not count:
            return 0.0
        later_s = apart_s(
            first[:count] - first.mean(),
            second[:count] - second.mean(),
            self._rate_hz,
            between_s * _MOST_DRIFT,
        )
        return -later_s / between_s * 1e6

    def _distortion(self) -> float:
        sweep = self._program.sweep
        low_hz, high_hz = _DISTORTED_HZ
        silent_s = sweep.lead_s(_ORDERS[-1]) + 0.2
        tone = self._band_power(0.0, low_hz, high_hz)
        if tone <= 0:
            return 0.0
        added = 0.0
        for order in _ORDERS:
            band = order * low_hz, min(order * high_hz, 0.9 * sweep.to_hz)
            if band[0] < band[1]:
                noise = self._band_power(silent_s, *band)
                harmonic = self._band_power(sweep.lead_s(order), *band)
                added += harmonic - noise if harmonic > _ABOVE_NOISE * noise else 0.0
        return math.sqrt(added / tone)

    def _band_power(self, lead_s: float, low_hz: float, high_hz: float) -> float:
        """The mean in a band of what comes so long before the direct sound."""
        piece = self._around(self._direct - round(lead_s * self._rate_hz), _ORDER_S)
        return _mean_power(piece, self._rate_hz, low_hz, high_hz)

    def _band_db(self, middle_hz: float, width: float = _SIXTH_OCTAVE) -> float:
        """How loud what is so much lower and higher arrives; a ratio of frequencies."""
        piece = self._around(self._direct, _RESPONSE_S)
        high_hz = min(middle_hz * width, 0.92 * self._program.sweep.to_hz)
        return _db(_mean_power(piece, self._rate_hz, middle_hz / width, high_hz))

    def _around(self, at: int, window_s: tuple[float, float]) -> Floats64:
        before, after = (round(each * self._rate_hz) for each in window_s)
        return np.take(self._response, range(at + before, at + after), mode="wrap")

    def _rt60_s(self) -> float | None:
        until = round((_EARLY_S + self._program.tail_s) * self._rate_hz)
        decay = _only(self._response, self._rate_hz, *_DECAY_HZ)
        return decay_s(decay[self._direct : until], self._rate_hz)

    def _span(self, from_s: float, to_s: float) -> Floats64:
        first, last = (max(0, round(each * self._rate_hz)) for each in (from_s, to_s))
        return self.samples[first:last]


def decay_s(response: Floats64, rate_hz: int) -> float | None:
    """The reverberation time of a response from its direct sound on, by Schroeder's backward
    integration over what comes 30 ms later; None: hardly anything does."""
    block = round(_BLOCK_S * rate_hz)
    late = response[round(_LATE_FIELD_S * rate_hz) :] ** 2
    blocks = late[: len(late) // block * block].reshape(-1, block).mean(axis=1)
    if len(blocks) < _LEAST_BLOCKS:
        return None
    noise = float(blocks[-len(blocks) // 6 :].mean())
    # Not the first block that is as soft as the noise by chance: the first three in a row.
    soft = np.convolve(blocks < 2.5 * noise, np.ones(3), "valid") == 3
    last = int(soft.argmax()) if soft.any() else len(blocks)
    power = np.maximum(blocks[:last] - noise, 0)
    if power.sum() * block < _HARDLY * float(np.sum(response**2)):
        return None
    left = np.cumsum(power[::-1])[::-1]
    slope, cut_off = _slope_db_s(left), 0.0  # what would have come after the end
    for _ in range(3):
        if slope is None:
            return None
        lost = 10 ** (slope * _BLOCK_S / 10)
        end = float(power[-_END_BLOCKS:].mean()) * lost ** (_END_BLOCKS / 2)
        cut_off = end / (1 - lost)
        slope = _slope_db_s(left + cut_off)
    return None if slope is None else -60.0 / slope


def _slope_db_s(left: Floats64) -> float | None:
    """How a decay falls, in dB a second: over its first 20 dB, or what there is of them."""
    level_db = 10 * np.log10(np.maximum(left, 1e-30) / max(left[0], 1e-30)) if len(left) else left
    fitted = np.flatnonzero(level_db >= -_FIT_DB)
    if len(fitted) < _END_BLOCKS or level_db[fitted[-1]] > -_LEAST_FIT_DB:
        return None
    slope = float(np.polyfit(fitted * _BLOCK_S, level_db[fitted], 1)[0])
    return slope if slope < 0 else None


def hum(quiet: Floats64, rate_hz: int) -> tuple[int | None, float]:
    """The mains frequency whose lines stand in a silence, and how loud they are together, in dBFS;
    (None, -96) where they do not."""
    found = {mains: _lines_power(quiet, rate_hz, mains) for mains in _MAINS_HZ}
    mains = max(found, key=lambda each: found[each])
    if found[mains] <= 0:
        return None, SILENCE_DBFS
    return mains, max(SILENCE_DBFS, _db(found[mains] / FULL_SCALE**2))


def _lines_power(quiet: Floats64, rate_hz: int, mains_hz: int) -> float:
    """Mean square of the mains' harmonics, those that stand out."""
    if len(quiet) < rate_hz:
        return 0.0
    window = np.hanning(len(quiet))
    power = np.abs(np.fft.rfft(quiet * window)) ** 2 * 2 / (len(quiet) * np.sum(window**2))
    bin_hz = rate_hz / len(quiet)
    total = 0.0
    for order in _MAINS_ORDERS:
        middle, reach = mains_hz * order / bin_hz, (0.2 * order + 1.0) / bin_hz
        line = power[round(middle - reach) : round(middle + reach) + 1]
        beside_hz = mains_hz / 3
        around = np.concatenate(
            (
                power[round(middle - beside_hz / bin_hz) : round(middle - 2 * reach)],
                power[round(middle + 2 * reach) : round(middle + beside_hz / bin_hz)],
            )
        )
        floor = float(np.median(around)) if len(around) else 0.0
        if line.max() > floor * 10 ** (_LINE_DB / 10) * len(line):
            total += max(0.0, float(line.sum()) - floor * len(line))
    return total


def mixed(channels: Samples, listened: int | None) -> Floats64:
    """What a kiosk hears of (n, channels): one of them, from 1 on, or the mean of all."""
    wide = channels.astype(np.float64)
    if listened is not None and listened <= wide.shape[1]:
        return wide[:, listened - 1]
    mean: Floats64 = wide.mean(axis=1)
    return mean


def _product(first: Floats64, second: Floats64) -> float:
    return float(np.einsum("n,n->", first, second))


def _alike(first: Floats64, second: Floats64, rate_hz: int) -> float:
    """Their correlation where it is largest, within what two microphones may be apart."""
    count, reach = min(len(first), len(second)), round(_PHASE_S * rate_hz)
    if count <= 2 * reach:
        return 0.0
    inner = first[reach : count - reach] - first.mean()
    found = [
        _product(inner, second[reach + lag : count - reach + lag] - second.mean())
        for lag in range(-reach, reach + 1)
    ]
    size = math.sqrt(_product(inner, inner) * float(np.var(second) * len(inner)))
    return max(found, key=abs) / size if size else 0.0


def _only(response: Floats64, rate_hz: int, low_hz: float, high_hz: float) -> Floats64:
    """Half an octave at each end is soft: a hard edge would ring, as a room does."""
    octave = np.log2(np.maximum(np.fft.rfftfreq(len(response), 1 / rate_hz), 1.0))
    inside = np.minimum(octave - math.log2(low_hz), math.log2(high_hz) - octave)
    band = np.sin(np.clip(2 * inside, 0, 1) * np.pi / 2) ** 2
    only: Floats64 = np.fft.irfft(np.fft.rfft(response) * band, len(response))
    return only


def _mean_power(piece: Floats64, rate_hz: int, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(piece)) ** 2
    frequency_hz = np.fft.rfftfreq(len(piece), 1 / rate_hz)
    band = power[(frequency_hz >= low_hz) & (frequency_hz <= high_hz)]
    return float(band.mean()) if len(band) else 0.0


def _dbfs(samples: Floats64) -> float:
    power = float(np.mean(samples**2)) / FULL_SCALE**2 if len(samples) else 0.0
    return max(SILENCE_DBFS, _db(power))


def _db(power: float) -> float:
    """Of a ratio of powers; nothing is -200."""
    return 10 * math.log10(power) if power > 1e-20 else -200.0
