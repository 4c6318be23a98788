from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.pcm import (
    FORMATS,
    Rechunker,
    SampleFormat,
    downmix,
    samples_from_bytes,
    samples_to_bytes,
    silence,
    to_int16,
    upmix,
)

EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)


def test_there_are_the_seven_formats_of_the_contract() -> None:
    assert set(FORMATS) == {
        "pcm_8000",
        "pcm_16000",
        "pcm_22050",
        "pcm_24000",
        "pcm_44100",
        "pcm_48000",
        "ulaw_8000",
    }
    for name, format_ in FORMATS.items():
        assert format_.name == name
        assert name.endswith(f"_{format_.rate_hz}")


@pytest.mark.parametrize("name", [name for name in FORMATS if name.startswith("pcm")])
def test_pcm_round_trips_every_sample(name: str) -> None:
    encoded = FORMATS[name].encode(EVERY_SAMPLE)
    assert len(encoded) == 2 * len(EVERY_SAMPLE)
    np.testing.assert_array_equal(FORMATS[name].decode(encoded), EVERY_SAMPLE)


def test_pcm_is_little_endian() -> None:
    assert FORMATS["pcm_16000"].encode(np.array([1, -2], dtype=np.int16)) == b"\x01\x00\xfe\xff"


# ITU-T G.711 table 2a: quantised values y of the 14-bit scale, here times four.
@pytest.mark.parametrize(
    ("code", "value"),
    [
        (0x80, 8031 * 4),
        (0x81, 7775 * 4),
        (0x8F, 4191 * 4),
        (0x90, 3999 * 4),
        (0x9F, 2079 * 4),
        (0xA0, 1983 * 4),
        (0xAF, 1023 * 4),
        (0xBF, 495 * 4),
        (0xCF, 231 * 4),
        (0xDF, 99 * 4),
        (0xEF, 33 * 4),
        (0xFE, 2 * 4),
        (0xFF, 0),
        (0x7F, 0),
        (0x7E, -2 * 4),
        (0x10, -3999 * 4),
        (0x00, -8031 * 4),
    ],
)
def test_mu_law_codes_have_the_values_of_g711(code: int, value: int) -> None:
    assert FORMATS["ulaw_8000"].decode(bytes([code])).tolist() == [value]


def test_every_mu_law_code_but_negative_zero_comes_back() -> None:
    ulaw = FORMATS["ulaw_8000"]
    codes = bytes(range(256))
    assert ulaw.encode(ulaw.decode(codes)) == codes.replace(b"\x7f", b"\xff")


def test_mu_law_is_off_by_half_a_step_at_most() -> None:
    ulaw = FORMATS["ulaw_8000"]
    back = ulaw.decode(ulaw.encode(EVERY_SAMPLE)).astype(int)
    error = np.abs(back - EVERY_SAMPLE)
    # A segment of magnitudes 2^k to 2^(k+1), bias included, has 16 steps.
    assert (error <= (np.abs(EVERY_SAMPLE.astype(int)) + 132) / 32).all()
    assert (np.diff(back) >= 0).all()


@pytest.mark.parametrize("data", [b"", b"\x07"])
def test_bytes_without_a_whole_sample_are_none(data: bytes) -> None:
    assert len(FORMATS["pcm_16000"].decode(data)) == 0


@given(st.binary(max_size=99))
def test_an_odd_byte_at_the_end_is_dropped(data: bytes) -> None:
    assert samples_to_bytes(samples_from_bytes(data)) == data[: len(data) // 2 * 2]


def test_floats_are_rounded_and_clipped() -> None:
    values = np.array([0.6, -0.6, 40000.0, -40000.0])
    assert to_int16(values).tolist() == [1, -1, 32767, -32768]


# --- sound cards --------------------------------------------------------------------------------

WIDTHS = {"S16_LE": (16, 2), "S24_LE": (24, 4), "S24_3LE": (24, 3), "S32_LE": (32, 4)}
formats = st.sampled_from(SampleFormat)
sixteen_bit = st.lists(st.integers(-32768, 32767), max_size=50)


def stored(values: list[int], sample_format: SampleFormat) -> bytes:
    """Samples of this format's own scale, octet by octet."""
    _, octets = WIDTHS[sample_format]
    return b"".join(value.to_bytes(octets, "little", signed=True) for value in values)


def test_the_formats_have_the_sizes_that_alsa_gives_them() -> None:
    assert {f.value: f.sample_bytes for f in SampleFormat} == {
        name: octets for name, (_, octets) in WIDTHS.items()
    }


@given(sixteen_bit, st.integers(1, 8), formats)
def test_up_and_down_mixing_changes_nothing(
    values: list[int], channels: int, sample_format: SampleFormat
) -> None:
    samples = np.array(values, dtype=np.int16)
    data = upmix(samples, channels, sample_format)
    assert len(data) == sample_format.sample_bytes * channels * len(samples)
    np.testing.assert_array_equal(downmix(data, channels, sample_format), samples)
    for channel in range(1, channels + 1):
        np.testing.assert_array_equal(downmix(data, channels, sample_format, channel), samples)


@given(sixteen_bit, formats)
def test_a_sample_is_stored_at_the_top_of_its_formats_scale(
    values: list[int], sample_format: SampleFormat
) -> None:
    bits, _ = WIDTHS[sample_format]
    expected = stored([value << (bits - 16) for value in values], sample_format)
    assert upmix(np.array(values, dtype=np.int16), 1, sample_format) == expected


@given(st.data(), formats, st.integers(1, 8))
def test_down_mixing_is_the_rounded_mean_of_every_frame(
    data: st.DataObject, sample_format: SampleFormat, channels: int
) -> None:
    bits, _ = WIDTHS[sample_format]
    value = st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    frames = data.draw(st.lists(st.lists(value, min_size=channels, max_size=channels), max_size=9))
    octets = stored([each for frame in frames for each in frame], sample_format)
    scale = 1 << (bits - 16)
    exact = [Fraction(sum(frame), channels * scale) for frame in frames]
    expected = [min(32767, round(mean)) for mean in exact]
    assert downmix(octets, channels, sample_format).tolist() == expected
    for number in range(1, channels + 1):
        alone = [min(32767, round(Fraction(frame[number - 1], scale))) for frame in frames]
        assert downmix(octets, channels, sample_format, number).tolist() == alone


@given(st.integers(-(1 << 23), (1 << 23) - 1), st.integers(0, 255))
def test_what_stands_in_the_unused_octet_of_24_bit_is_not_heard(value: int, junk: int) -> None:
    octets = stored([value], SampleFormat.S24_3LE)
    expected = downmix(octets, 1, SampleFormat.S24_3LE)
    assert downmix(octets + bytes([junk]), 1, SampleFormat.S24_LE).tolist() == expected.tolist()


@given(st.binary(max_size=99), formats, st.integers(1, 8))
def test_a_partial_frame_is_dropped(
    data: bytes, sample_format: SampleFormat, channels: int
) -> None:
    frames = len(data) // (sample_format.sample_bytes * channels)
    assert len(downmix(data, channels, sample_format)) == frames
    assert len(downmix(data, channels, sample_format, channels)) == frames


def test_down_mixing_is_the_mean_and_drops_a_partial_frame() -> None:
    frames = np.array([100, 300, -32768, 32767, 5], dtype=np.int16)
    assert downmix(frames.tobytes(), 2).tolist() == [200, 0]


@given(st.lists(st.integers(0, 70), max_size=20), st.integers(1, 32))
def test_rechunking_loses_no_sample_and_keeps_the_order(sizes: list[int], size: int) -> None:
    stream = np.arange(sum(sizes)).astype(np.int16)
    rechunker, chunks, at = Rechunker(size), [silence(0)], 0
    for piece in sizes:
        pushed = rechunker.push(stream[at : at + piece])
        assert all(len(chunk) == size for chunk in pushed)
        chunks += pushed
        at += piece
    out = np.concatenate(chunks)
    assert len(out) + rechunker.held == len(stream)
    assert rechunker.held < size
    np.testing.assert_array_equal(out, stream[: len(out)])
