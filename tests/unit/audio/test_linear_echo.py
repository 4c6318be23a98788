import numpy as np
import pytest

from kiosk.audio.linear_echo import BLOCK, LinearCanceller
from kiosk.audio.pcm import INTERNAL_RATE_HZ, Samples, silence, to_int16
from tests.unit.audio.test_echo import echo_of
from tests.unit.sounds import noise, rms, syllables

RATE_HZ = INTERNAL_RATE_HZ


def cancelled(canceller: LinearCanceller, mic: Samples, far: Samples) -> Samples:
    return np.concatenate(
        [
            canceller.push(mic[at : at + BLOCK], far[at : at + BLOCK])
            for at in range(0, len(mic), BLOCK)
        ]
    )


def decibels(ratio: float) -> float:
    return float(20 * np.log10(ratio))


@pytest.mark.parametrize("delay_ms", [20, 130, 260])
def test_after_two_seconds_much_of_the_echo_is_gone(delay_ms: int) -> None:
    far = syllables(4, RATE_HZ)
    mic = echo_of(far, delay_ms)
    left = cancelled(LinearCanceller(), mic, far)
    late = slice(2 * RATE_HZ, None)
    assert decibels(rms(mic[late]) / rms(left[late])) > 12


@pytest.mark.parametrize("delay_ms", [20, 260])
def test_a_visitor_who_speaks_meanwhile_is_as_loud_as_before(delay_ms: int) -> None:
    far, near = syllables(5, RATE_HZ), syllables(5, RATE_HZ, peak=9000, seed=50)
    near[: 2 * RATE_HZ] = 0
    mic = to_int16(echo_of(far, delay_ms).astype(float) + near)
    left = cancelled(LinearCanceller(), mic, far)[2 * RATE_HZ :].astype(float)
    spoken = near[2 * RATE_HZ :].astype(float)
    kept = float(left @ spoken) / float(spoken @ spoken)
    assert abs(decibels(kept)) < 1
    assert decibels(rms(spoken) / rms(left - kept * spoken)) > 10


def test_a_visitor_does_not_spoil_what_was_learnt() -> None:
    far, near = syllables(5, RATE_HZ), syllables(5, RATE_HZ, peak=9000, seed=50)
    near[: 2 * RATE_HZ] = near[4 * RATE_HZ :] = 0
    echo = echo_of(far, 60)
    left = cancelled(LinearCanceller(), to_int16(echo.astype(float) + near), far)
    after = slice(4 * RATE_HZ, None)
    assert decibels(rms(echo[after]) / rms(left[after])) > 12


def test_a_quiet_loudspeaker_leaves_the_microphone_untouched_from_the_first_chunk_on() -> None:
    mic = noise(0.2, RATE_HZ)
    np.testing.assert_array_equal(cancelled(LinearCanceller(), mic, silence(len(mic))), mic)


def test_a_third_of_a_second_after_the_loudspeaker_fell_silent_nothing_is_touched() -> None:
    canceller = LinearCanceller()
    far = syllables(2, RATE_HZ)
    cancelled(canceller, echo_of(far, 60), far)
    mic = noise(1, RATE_HZ)
    left = cancelled(canceller, mic, silence(len(mic)))
    untouched = 17 * BLOCK
    assert (left[: 2 * BLOCK] != mic[: 2 * BLOCK]).any()
    np.testing.assert_array_equal(left[untouched:], mic[untouched:])


def test_the_room_is_still_known_after_a_pause() -> None:
    canceller = LinearCanceller()
    far = syllables(3, RATE_HZ)
    cancelled(canceller, echo_of(far, 60), far)
    cancelled(canceller, noise(5, RATE_HZ, rms=6), silence(5 * RATE_HZ))
    again = syllables(0.4, RATE_HZ, seed=9)
    mic = echo_of(again, 60)
    left = cancelled(canceller, mic, again)
    assert decibels(rms(mic) / rms(left)) > 12


def test_what_was_played_before_the_microphone_started_anew_is_subtracted_from_nobody() -> None:
    canceller, far = LinearCanceller(), syllables(3, RATE_HZ)
    cancelled(canceller, echo_of(far, 40), far)
    canceller.begin()
    mic = noise(0.4, RATE_HZ)
    np.testing.assert_array_equal(cancelled(canceller, mic, silence(len(mic))), mic)
    far = syllables(2, RATE_HZ, seed=9)
    echo = echo_of(far, 40)
    assert rms(cancelled(canceller, echo, far)) < 0.4 * rms(echo)  # the room is known still


def test_a_clipping_microphone_and_a_full_scale_loudspeaker_stay_within_range() -> None:
    far = to_int16(40_000 * np.sign(syllables(1, RATE_HZ).astype(float)))
    left = cancelled(LinearCanceller(), to_int16(2.0 * echo_of(far, 20)), far)
    assert left.dtype == np.int16
    assert np.isfinite(left.astype(float)).all()
