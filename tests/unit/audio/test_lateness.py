"""How late the loudspeaker is in the room, and that the canceller cancels it there."""

import numpy as np
import pytest

from kiosk.audio.echo import Canceller, EchoCanceller, HalfDuplex
from kiosk.audio.lateness import Lateness
from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import Samples, to_int16
from tests.unit.sounds import Floats, noise, syllables

RATE_HZ, CHUNK = 16_000, 320


def spoken(seconds: float, seed: int) -> Floats:
    return syllables(seconds, RATE_HZ, seed=seed).astype(np.float64)


def in_a_room(far: Floats, late_ms: int, gain_db: float = -20) -> Floats:
    rng = np.random.default_rng(1)
    room = rng.normal(0, 0.08, 3200) * 10 ** (-3 * np.arange(3200) / (0.4 * RATE_HZ))
    room[0] = 1.0
    echo = np.convolve(far, room)[: len(far)] * 10 ** (gain_db / 20)
    late = late_ms * RATE_HZ // 1000
    return np.concatenate((np.zeros(late), echo))[: len(far)]


def measured(lateness: Lateness, mic: Floats, far: Floats) -> int | None:
    heard, played = to_int16(mic + noise(len(mic) / RATE_HZ, RATE_HZ, 30)), to_int16(far)
    for at in range(0, len(heard), CHUNK):
        lateness.push(heard[at : at + CHUNK], played[at : at + CHUNK])
    return lateness.late_ms


@pytest.mark.parametrize("late_ms", [40, 200, 450, 600, 900, 1000])
def test_a20_it_is_measured_after_four_seconds(late_ms: int) -> None:
    far = spoken(4, 1)
    assert measured(Lateness(), in_a_room(far, late_ms), far) == pytest.approx(late_ms, abs=3)


def test_a20_also_while_a_visitor_talks() -> None:
    far = spoken(5, 1)
    mic = in_a_room(far, 600) + spoken(5, 2) / 4
    assert measured(Lateness(), mic, far) == pytest.approx(600, abs=3)


@pytest.mark.parametrize("seed", range(2, 6))
def test_a_visitor_beside_a_loudspeaker_that_is_not_heard_is_no_echo(seed: int) -> None:
    far = spoken(8, 1)
    assert measured(Lateness(), spoken(8, seed), far) is None


def left(canceller: Canceller, mic: Samples, far: Samples) -> float:
    """The level of what the gate hears after five seconds, where only the loudspeaker sounds."""
    lateness, judged = Lateness(), []
    for at in range(0, len(mic), CHUNK):
        there = lateness.push(mic[at : at + CHUNK], far[at : at + CHUNK])
        judged.append(canceller.push(mic[at : at + CHUNK], there).judged)
    return rms_dbfs(np.concatenate(judged[250:]))


@pytest.mark.parametrize("late_ms", [40, 600, 900])
@pytest.mark.parametrize("kind", [EchoCanceller, HalfDuplex])
def test_a20_a_loudspeaker_that_is_late_is_cancelled(
    kind: type[EchoCanceller] | type[HalfDuplex], late_ms: int
) -> None:
    far = spoken(8, 1)
    mic = to_int16(in_a_room(far, late_ms) + noise(8, RATE_HZ, 10))
    assert left(kind(), mic, to_int16(far)) < -70


def test_what_was_measured_is_known_at_the_next_visit() -> None:
    far, lateness = spoken(4, 1), Lateness()
    measured(lateness, in_a_room(far, 600), far)
    lateness.begin()
    marked = np.full(CHUNK, 7, np.int16)
    nothing = np.zeros(CHUNK, np.int16)
    there = [lateness.push(nothing, marked if number == 0 else nothing) for number in range(60)]
    assert [number for number, piece in enumerate(there) if piece.any()] == [26]


@pytest.mark.parametrize("name", ["inverted", "clipped"])
def test_b15_an_echo_that_is_inverted_or_clips_is_cancelled(name: str) -> None:
    far = spoken(8, 1)
    echo = in_a_room(far, 60, gain_db=-6)
    odd = {"inverted": -echo, "clipped": np.clip(echo, -1500, 1500)}[name]
    mic = to_int16(odd + noise(8, RATE_HZ, 10))
    assert left(EchoCanceller(), mic, to_int16(far)) < -60
