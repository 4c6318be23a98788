import numpy as np
import pytest

from kiosk.audio.echo import REFERENCE_LEAD_S
from kiosk.audio.linear_echo import BLOCK, LinearCanceller
from kiosk.audio.pcm import INTERNAL_RATE_HZ, Samples, silence
from kiosk.audio.suppressor import Suppressor
from tests.unit.audio.test_echo import echo_of
from tests.unit.sounds import rms, syllables

RATE_HZ = INTERNAL_RATE_HZ


def suppressed(
    suppressor: Suppressor, linear: LinearCanceller, mic: Samples, far: Samples
) -> Samples:
    left = []
    for at in range(0, len(mic), BLOCK):
        chunk, played = mic[at : at + BLOCK], far[at : at + BLOCK]
        linear.push(chunk, played)
        left.append(suppressor.push(chunk, played, linear.strongest_partition()))
    return np.concatenate(left)


@pytest.mark.parametrize(("delay_ms", "waits"), [(20, False), (60, False), (130, True)])
def test_only_a_far_echo_lets_the_reference_wait(delay_ms: int, waits: bool) -> None:
    far = syllables(2, RATE_HZ)
    suppressor = Suppressor(REFERENCE_LEAD_S)
    suppressed(suppressor, LinearCanceller(), echo_of(far, delay_ms), far)
    assert (suppressor.held_back > 0) is waits


@pytest.mark.parametrize("delay_ms", [130, 250])
def test_a_far_echo_is_gone_after_a_second(delay_ms: int) -> None:
    far = syllables(2, RATE_HZ)
    mic = echo_of(far, delay_ms)
    left = suppressed(Suppressor(REFERENCE_LEAD_S), LinearCanceller(), mic, far)
    late = slice(RATE_HZ, None)
    assert rms(left[late]) < 0.02 * rms(mic[late])


def test_a_loudspeaker_that_comes_near_again_is_followed_back() -> None:
    suppressor, linear = Suppressor(REFERENCE_LEAD_S), LinearCanceller()
    far = syllables(3, RATE_HZ)
    suppressed(suppressor, linear, echo_of(far, 250), far)
    assert suppressor.held_back > 8
    suppressed(suppressor, linear, echo_of(far, 20), far)
    assert suppressor.held_back == 0


def test_one_opinion_moves_nothing() -> None:
    suppressor = Suppressor(REFERENCE_LEAD_S)
    for strongest in (9, 0, 9, None, 11, 9):
        suppressor.push(silence(BLOCK), silence(BLOCK), strongest)
    assert suppressor.held_back == 0


def test_a_canceller_that_has_learnt_nothing_has_no_opinion() -> None:
    assert LinearCanceller().strongest_partition() is None
