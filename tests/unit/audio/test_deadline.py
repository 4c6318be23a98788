import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.deadline import DeadlineMeter

CHUNK_S = 0.02
THREE_SECONDS = 150


def test_before_anything_was_measured_nothing_is_spent() -> None:
    assert DeadlineMeter().share == 0.0


def test_the_share_is_of_real_time() -> None:
    meter = DeadlineMeter()
    for spent_s in (0.005, 0.015):
        meter.push(spent_s)
    assert meter.share == pytest.approx(0.5)


def test_a_single_burst_is_fine() -> None:
    meter = DeadlineMeter()
    burst = THREE_SECONDS // 2
    spent = [0.001] * 300 + [CHUNK_S] * burst + [0.001] * 300
    assert all(meter.push(spent_s) for spent_s in spent)


def test_a_stall_of_a_second_is_fine() -> None:
    meter = DeadlineMeter()
    assert all(meter.push(spent_s) for spent_s in [0.001] * 200 + [1.0] + [0.001] * 200)


def test_three_seconds_of_overload_are_not() -> None:
    meter = DeadlineMeter()
    assert all(meter.push(0.013) for _ in range(THREE_SECONDS - 1))
    assert not meter.push(0.013)


def test_a_machine_that_has_recovered_keeps_up_again() -> None:
    meter = DeadlineMeter()
    for _ in range(THREE_SECONDS):
        meter.push(CHUNK_S)
    verdicts = [meter.push(0.001) for _ in range(THREE_SECONDS)]
    assert not verdicts[0]
    assert verdicts[-1]


@given(st.lists(st.floats(0, 0.012), max_size=400))
def test_what_never_takes_three_fifths_of_the_time_keeps_up(spent: list[float]) -> None:
    meter = DeadlineMeter()
    assert all(meter.push(spent_s * 0.999) for spent_s in spent)
