"""WAV files: whatever a recorder, an editor or a telephone wrote, as mono samples. Pure: no I/O.

RIFF chunks, and in them PCM of 8 to 32 bit, floating point, and G.711 (mu-law, A-law), plain or in
the extensible form that files of more than two channels or 16 bit have.
"""

import io
import struct
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kiosk.audio.pcm import PcmFormat, Samples, alaw_decoded, samples_to_bytes, to_int16

Wide = npt.NDArray[np.float64]

_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_SLOWEST_HZ, _FASTEST_HZ = 4000, 768_000
_MOST_CHANNELS = 64
# The sub-format of the extensible form begins with the plain form's number.
_SUB_FORMAT_AT = 24


class WavError(ValueError):
    """The bytes are not a WAV file this project reads; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class _Layout:
    encoding: int
    channels: int
    rate_hz: int
    bits: int


def read_wav(data: bytes) -> tuple[Samples, int]:
    """A WAV file's samples, mixed down to mono, and its rate in hertz; raises WavError."""
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise WavError("not a WAV file")
    layout: _Layout | None = None
    for name, chunk in _chunks(data):
        if name == b"fmt ":
            layout = _layout(chunk)
        elif name == b"data":
            if layout is None:
                raise WavError("damaged: its sound comes before its format")
            return _decoded(layout, chunk), layout.rate_hz
    raise WavError("damaged: there is no sound in it")


def write_wav(samples: Samples, rate_hz: int) -> bytes:
    """A mono 16-bit WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples_to_bytes(samples))
    return buffer.getvalue()


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each chunk's name and content. A streamed file (espeak-ng --stdout) claims 2 GiB of sound:
    what is there counts."""
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2  # each begins at an even place


def _layout(chunk: bytes) -> _Layout:
    if len(chunk) < 16:
        raise WavError("damaged: its format is cut off")
    encoding, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if encoding == _EXTENSIBLE and len(chunk) >= _SUB_FORMAT_AT + 2:
        encoding = int.from_bytes(chunk[_SUB_FORMAT_AT : _SUB_FORMAT_AT + 2], "little")
    if (encoding, bits) not in _DECODERS:
        raise WavError(f"unusable WAV: encoding {encoding} of {bits} bit")
    if not _SLOWEST_HZ <= rate_hz <= _FASTEST_HZ or not 1 <= channels <= _MOST_CHANNELS:
        raise WavError(f"unusable WAV: {rate_hz} Hz, {channels} channels")
    return _Layout(encoding, channels, rate_hz, bits)


def _decoded(layout: _Layout, sound: bytes) -> Samples:
    frame_bytes = layout.channels * layout.bits // 8
    whole = sound[: len(sound) // frame_bytes * frame_bytes]
    wide = _DECODERS[layout.encoding, layout.bits](whole).reshape(-1, layout.channels)
    return to_int16(wide[:, 0] if layout.channels == 1 else wide.mean(axis=1))


def _unsigned(sound: bytes) -> Wide:
    return (np.frombuffer(sound, np.uint8).astype(np.float64) - 128) * 256


def _signed(width: int) -> Callable[[bytes], Wide]:
    """Little-endian integers of so many bytes, in 16-bit steps: the two most significant bytes."""

    def decode(sound: bytes) -> Wide:
        octets = np.frombuffer(sound, np.uint8).reshape(-1, width)[:, -2:]
        return np.frombuffer(octets.tobytes(), "<i2").astype(np.float64)

    return decode


def _floating(kind: str) -> Callable[[bytes], Wide]:
    """From -1 to 1; what is no number is silence, and what is louder is cut off."""

    def decode(sound: bytes) -> Wide:
        values = np.nan_to_num(np.frombuffer(sound, kind).astype(np.float64))
        return np.clip(values, -1, 1) * 32767

    return decode


def _ulaw(sound: bytes) -> Wide:
    return PcmFormat("ulaw", 8000).decode(sound).astype(np.float64)


def _alaw(sound: bytes) -> Wide:
    return alaw_decoded(sound).astype(np.float64)


_DECODERS: dict[tuple[int, int], Callable[[bytes], Wide]] = {
    (_PCM, 8): _unsigned,
    (_PCM, 16): _signed(2),
    (_PCM, 24): _signed(3),
    (_PCM, 32): _signed(4),
    (_FLOAT, 32): _floating("<f4"),
    (_FLOAT, 64): _floating("<f8"),
    (_ALAW, 8): _alaw,
    (_ULAW, 8): _ulaw,
}
