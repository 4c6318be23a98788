"""WAV files of recorders, editors and telephones."""

import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.wav import WavError, read_wav, write_wav

EVERY_SAMPLE = np.arange(-32768, 32768, dtype=np.int16)
RAMP = np.array([0, 1 << 8, -(1 << 8), 100 << 8, -(128 << 8), 127 << 8], dtype=np.int16)


def _wav(frames: bytes, width: int, channels: int, rate_hz: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setsampwidth(width)
        file.setnchannels(channels)
        file.setframerate(rate_hz)
        file.writeframes(frames)
    return buffer.getvalue()


def _frames(samples: np.ndarray, width: int) -> bytes:
    wide = samples.astype(np.int64)
    if width == 1:
        return bytes(((wide >> 8) + 128).tolist())
    return b"".join(int(v << 8 * (width - 2)).to_bytes(width, "little", signed=True) for v in wide)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_files_of_every_width_are_read(width: int, channels: int) -> None:
    data = _wav(_frames(np.repeat(RAMP, channels), width), width, channels, 22_050)
    samples, rate_hz = read_wav(data)
    assert rate_hz == 22_050
    np.testing.assert_array_equal(samples, RAMP)


def test_a_stereo_wav_is_mixed_down() -> None:
    stereo = np.array([100, 300, 1000, -1000], dtype=np.int16)
    assert read_wav(_wav(stereo.tobytes(), 2, 2))[0].tolist() == [200, 0]


def test_a_written_wav_is_read_back() -> None:
    samples, rate_hz = read_wav(write_wav(EVERY_SAMPLE, 48_000))
    assert rate_hz == 48_000
    np.testing.assert_array_equal(samples, EVERY_SAMPLE)


def test_a_streamed_wav_that_claims_two_gigabytes_is_read() -> None:
    data = bytearray(write_wav(RAMP, 22_050))
    data[4:8] = (0x7FFFF000).to_bytes(4, "little")
    data[40:44] = (0x7FFFF000).to_bytes(4, "little")
    np.testing.assert_array_equal(read_wav(bytes(data))[0], RAMP)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"not a sound at all, just text, long enough to look at",
        b"RIFF\x24\x00\x00\x00WAVEjunk",
        write_wav(RAMP, 16_000)[:20],
        write_wav(RAMP, 16_000)[:40],
        write_wav(RAMP, 1000),
        write_wav(RAMP, 16_000).replace(b"\x01\x00\x01\x00", b"\x55\x00\x01\x00"),  # MP3 inside
    ],
)
def test_what_is_no_wav_file_is_refused(data: bytes) -> None:
    with pytest.raises(WavError):
        read_wav(data)


@given(st.binary(max_size=60), st.integers(0, 44))
def test_a_damaged_wav_is_read_or_refused(junk: bytes, at: int) -> None:
    whole = write_wav(RAMP, 16_000)
    try:
        samples, _ = read_wav(whole[:at] + junk + whole[at + len(junk) :])
    except WavError:
        return
    assert samples.dtype == np.int16
    assert samples.ndim == 1


def riff(
    encoding: int, bits: int, sound: bytes, channels: int = 1, *, extensible: bool = False
) -> bytes:
    """A file as others write it, with chunks that nobody here asked for."""
    block = channels * bits // 8
    kind = 0xFFFE if extensible else encoding
    layout = struct.pack("<HHIIHH", kind, channels, 44_100, 44_100 * block, block, bits)
    if extensible:
        guid = struct.pack("<H", encoding) + bytes.fromhex("000000001000800000aa00389b71")
        layout += struct.pack("<HHI", 22, bits, (1 << channels) - 1) + guid
    chunks = b""
    for name, content in ((b"LIST", b"INFOodd"), (b"fmt ", layout), (b"data", sound)):
        chunks += name + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)
    return b"RIFF" + (len(chunks) + 4).to_bytes(4, "little") + b"WAVE" + chunks


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize(
    ("encoding", "bits", "kind"), [(1, 16, "<i2"), (1, 32, "<i4"), (3, 32, "<f4"), (3, 64, "<f8")]
)
def test_whatever_is_recorded_is_heard(
    encoding: int, bits: int, kind: str, channels: int, extensible: bool
) -> None:
    heard = np.array([0, 16_000, -16_000, 32_767, -32_767])
    scale = {"<i2": 1, "<i4": 65_536, "<f4": 1 / 32_767, "<f8": 1 / 32_767}[kind]
    sound = np.repeat(heard * scale, channels).astype(kind).tobytes()
    samples, rate_hz = read_wav(riff(encoding, bits, sound, channels, extensible=extensible))
    assert rate_hz == 44_100
    np.testing.assert_array_equal(samples, heard)


def test_floating_point_beyond_its_bounds_is_cut_off() -> None:
    sound = np.array([1.5, -2.0, np.nan, np.inf, -np.inf, 1e-9], "<f4").tobytes()
    samples, _ = read_wav(riff(3, 32, sound))
    assert samples.tolist() == [32_767, -32_767, 0, 32_767, -32_767, 0]


# The ends and the middle of both laws, as ITU-T G.711 has them in its tables.
@pytest.mark.parametrize(
    ("encoding", "code", "sample"),
    [
        (7, 0xFF, 0), (7, 0x80, 32_124), (7, 0x00, -32_124), (7, 0xF0, 120),
        (6, 0xD5, 8), (6, 0x55, -8), (6, 0xAA, 32_256), (6, 0x2A, -32_256), (6, 0xC5, 264),
    ],
)  # fmt: skip
def test_a_telephones_recording_is_heard(encoding: int, code: int, sample: int) -> None:
    assert read_wav(riff(encoding, 8, bytes([code])))[0].tolist() == [sample]


def test_a_long_recording_is_read_at_once() -> None:
    minutes = np.zeros(48_000 * 60, np.int16)
    assert len(read_wav(riff(1, 16, np.repeat(minutes, 2).tobytes(), 2))[0]) == len(minutes)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (riff(2, 4, b"adpcm"), "unusable WAV: encoding 2 of 4 bit"),
        (riff(3, 16, b"half"), "unusable WAV: encoding 3 of 16 bit"),
        (riff(1, 16, b"", channels=0), "unusable WAV: 44100 Hz, 0 channels"),
        (b"ID3\x04 an MP3 with another name", "not a WAV file"),
        (b"RIFF\0\0\0\0AVI LIST", "not a WAV file"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0", "damaged: its format is cut off"),
        (b"RIFF\0\0\0\0WAVEdata\2\0\0\0\1\0", "damaged: its sound comes before its format"),
    ],
)
def test_what_cannot_be_heard_is_told(data: bytes, told: str) -> None:
    with pytest.raises(WavError) as error:
        read_wav(data)
    assert str(error.value) == told
