"""PCM formats of the wire, of sound cards and of files. Pure: no I/O, no clock.

The seven wire formats are those of the ConvAI contract (`asr_input_format`, `tts_output_format`):
signed 16-bit little-endian mono at six rates, and G.711 mu-law at 8 kHz.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.int16]

INTERNAL_RATE_HZ = 16_000
CHUNK_MS = 20


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """How samples of one direction travel on the wire."""

    encoding: Literal["pcm", "ulaw"]
    rate_hz: int

    @property
    def name(self) -> str:
        return f"{self.encoding}_{self.rate_hz}"

    def decode(self, data: bytes) -> Samples:
        """Wire bytes to samples; a trailing half sample is dropped, as no sample is in it."""
        if self.encoding == "ulaw":
            decoded: Samples = _ulaw_decode_table()[np.frombuffer(data, dtype=np.uint8)]
            return decoded
        return samples_from_bytes(data)

    def encode(self, samples: Samples) -> bytes:
        if self.encoding == "ulaw":
            return _ulaw_encode(samples)
        return samples_to_bytes(samples)


class Decoder:
    """Samples of one stream that comes in pieces of bytes, cut wherever the sender liked: half a
    sample at the end of a piece waits for the other half."""

    def __init__(self, format_: PcmFormat) -> None:
        self.format = format_
        self._half = b""

    def push(self, data: bytes) -> Samples:
        """The samples that this piece completes."""
        if self.format.encoding == "ulaw":
            return self.format.decode(data)
        data = self._half + data
        whole = len(data) & ~1
        self._half = data[whole:]
        return self.format.decode(data[:whole])

    def restart(self) -> None:
        """Forget the half sample: what follows is another stream."""
        self._half = b""


FORMATS: dict[str, PcmFormat] = {
    format_.name: format_
    for format_ in (
        *(PcmFormat("pcm", rate_hz) for rate_hz in (8000, 16_000, 22_050, 24_000, 44_100, 48_000)),
        PcmFormat("ulaw", 8000),
    )
}
PCM_16000 = FORMATS["pcm_16000"]


def samples_from_bytes(data: bytes) -> Samples:
    """S16_LE bytes to samples; a trailing odd byte is dropped."""
    samples: Samples = np.frombuffer(data[: len(data) & ~1], dtype="<i2").astype(np.int16)
    return samples


def samples_to_bytes(samples: Samples) -> bytes:
    data: bytes = samples.astype("<i2", copy=False).tobytes()
    return data


def to_int16(values: npt.NDArray[np.floating]) -> Samples:
    """Round and clip float samples on the int16 scale."""
    samples: Samples = np.rint(values).clip(-32768, 32767).astype(np.int16)
    return samples


def silence(count: int) -> Samples:
    return np.zeros(count, dtype=np.int16)


def ms_to_samples(duration_ms: float, rate_hz: int) -> int:
    return round(duration_ms * rate_hz / 1000)


class SampleFormat(StrEnum):
    """How a sound card stores one sample, by ALSA's name."""

    S16_LE = "S16_LE"
    S24_LE = "S24_LE"  # in the low three octets of four
    S24_3LE = "S24_3LE"  # packed
    S32_LE = "S32_LE"

    @property
    def sample_bytes(self) -> int:
        return {"S16_LE": 2, "S24_3LE": 3}.get(self.value, 4)


def downmix(
    data: bytes,
    channels: int,
    sample_format: SampleFormat = SampleFormat.S16_LE,
    channel: int | None = None,
) -> Samples:
    """Interleaved bytes to mono: the mean of the channels, or only number `channel`, from 1 on.

    Wide samples are rounded to 16 bit. What is no whole frame at the end is dropped.
    """
    frame_bytes = sample_format.sample_bytes * channels
    data = data[: len(data) // frame_bytes * frame_bytes]
    if sample_format is SampleFormat.S16_LE:
        samples = samples_from_bytes(data)
        if channels == 1:
            return samples
        frames = samples.reshape(-1, channels)
        return to_int16(frames.mean(axis=1)) if channel is None else frames[:, channel - 1].copy()
    wide = _left_justified(data, sample_format).reshape(-1, channels)
    mono = wide.mean(axis=1) if channel is None else wide[:, channel - 1]
    return to_int16(mono / 65536)


def frames_of(
    data: bytes, channels: int, sample_format: SampleFormat = SampleFormat.S16_LE
) -> npt.NDArray[np.float32]:
    """Interleaved bytes as (n, channels) on the int16 scale. What is no whole frame at the end is
    dropped."""
    frame_bytes = sample_format.sample_bytes * channels
    data = data[: len(data) // frame_bytes * frame_bytes]
    if sample_format is SampleFormat.S16_LE:
        return samples_from_bytes(data).reshape(-1, channels).astype(np.float32)
    wide = _left_justified(data, sample_format).reshape(-1, channels)
    return (wide / 65536).astype(np.float32)


def upmix(
    samples: Samples, channels: int, sample_format: SampleFormat = SampleFormat.S16_LE
) -> bytes:
    """Mono to interleaved bytes with the same signal on every channel."""
    if channels > 1:
        samples = np.repeat(samples, channels)
    if sample_format is SampleFormat.S16_LE:
        return samples_to_bytes(samples)
    shift = 16 if sample_format is SampleFormat.S32_LE else 8
    wide = (samples.astype(np.int32) << shift).astype("<i4", copy=False)
    if sample_format is SampleFormat.S24_3LE:
        return wide.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return wide.tobytes()


def _left_justified(data: bytes, sample_format: SampleFormat) -> npt.NDArray[np.int32]:
    """Samples of a wide format on the scale of 32 bit."""
    if sample_format is SampleFormat.S24_3LE:
        octets = np.zeros((len(data) // 3, 4), dtype=np.uint8)
        octets[:, 1:] = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
        return octets.view("<i4").ravel()
    wide: npt.NDArray[np.int32] = np.frombuffer(data, dtype="<i4").astype(np.int32, copy=False)
    # What stands in the fourth octet of S24_LE is nobody's business: the shift pushes it out.
    return wide << 8 if sample_format is SampleFormat.S24_LE else wide


class Rechunker:
    """Cuts a stream of arbitrary pieces into chunks of exactly `size` samples; loses none."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rest = silence(0)

    def push(self, samples: Samples) -> list[Samples]:
        joined = np.concatenate((self._rest, samples)) if len(self._rest) else samples
        whole = len(joined) // self._size * self._size
        self._rest = joined[whole:].copy()
        return [joined[at : at + self._size] for at in range(0, whole, self._size)]

    @property
    def held(self) -> int:
        """How many samples wait for their chunk to fill."""
        return len(self._rest)


# G.711, by the segment arithmetic of ITU-T G.711: mu-law by section 4.

_ULAW_BIAS = 0x84
_ULAW_CLIP = 32635


@cache
def _ulaw_decode_table() -> Samples:
    code = ~np.arange(256, dtype=np.uint8)
    magnitude = ((((code & 0x0F).astype(np.int32) << 3) + _ULAW_BIAS) << ((code >> 4) & 7)) - (
        _ULAW_BIAS
    )
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _ulaw_encode(samples: Samples) -> bytes:
    wide = samples.astype(np.int32)
    magnitude = np.minimum(np.abs(wide), _ULAW_CLIP) + _ULAW_BIAS
    # The segment is the position of the leading bit, counted from bit 7.
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (segment + 3)) & 0x0F
    sign = np.where(wide < 0, 0x80, 0)
    codes: npt.NDArray[np.uint8] = (~(sign | segment << 4 | mantissa)).astype(np.uint8)
    return codes.tobytes()


@cache
def _alaw_decode_table() -> Samples:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment, mantissa = (code >> 4) & 7, ((code & 0x0F) << 4) + 8
    magnitude = np.where(segment == 0, mantissa, (mantissa + 0x100) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def alaw_decoded(data: bytes) -> Samples:
    """G.711 A-law, as European telephones record it, by section 3 of the same."""
    decoded: Samples = _alaw_decode_table()[np.frombuffer(data, dtype=np.uint8)]
    return decoded
