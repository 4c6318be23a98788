"""No window of time gives more tokens than its rate allows."""

import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from kiosk.backend.books.buckets import Bucket, Rate, give_back, take

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
PRESSES = Rate(capacity=5, every_s=30.0)

rates = st.builds(
    Rate,
    st.integers(1, 1000),
    st.floats(0.001, 1e6) | st.sampled_from((0.1, 1 / 3, 1.0, 30.0, 86_400.0)),
)
# Up to a year between two, to the microsecond; often none at all.
pauses = st.just(timedelta(0)) | st.timedeltas(timedelta(0), timedelta(days=365))
short_pauses = pauses | st.timedeltas(timedelta(0), timedelta(seconds=40))


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def taken_at(rate: Rate, moments: list[datetime], cost: int = 1) -> list[datetime]:
    """The moments at which there were tokens."""
    bucket: Bucket | None = None
    taken = []
    for now in moments:
        bucket, wait_s = take(bucket, rate, now, cost)
        assert bucket.tokens <= rate.capacity
        if wait_s == 0.0:
            taken.append(now)
    return taken


def test_five_presses_and_one_more_every_half_minute() -> None:
    moments = [after(second) for second in range(100)]
    assert taken_at(PRESSES, moments) == [*moments[:5], *moments[30:100:30]]


def test_the_wait_is_told_and_nothing_is_taken() -> None:
    bucket, wait_s = take(Bucket(0.0, START), PRESSES, after(12))
    assert (bucket, wait_s) == (Bucket(0.0, START), 18.0)
    assert take(bucket, PRESSES, after(12), cost=3)[1] == 78.0
    assert 1e-6 <= take(bucket, PRESSES, after(29.999999))[1] <= 2e-6
    assert take(bucket, PRESSES, after(30)) == (Bucket(0.0, after(30)), 0.0)


def test_a_bucket_is_never_more_than_full() -> None:
    bucket, _ = take(None, PRESSES, START)
    assert take(bucket, PRESSES, after(1e9))[0] == Bucket(4.0, after(1e9))
    assert take(Bucket(99.0, START), PRESSES, START)[0].tokens == 4.0  # the rate was lowered
    assert give_back(Bucket(4.5, START), PRESSES).tokens == 5.0


def test_what_is_given_back_was_not_taken() -> None:
    full = Bucket(5.0, START)
    taken, _ = take(full, PRESSES, START, cost=2)
    assert give_back(taken, PRESSES, cost=2) == full
    empty = Bucket(0.0, START)
    assert take(give_back(empty, PRESSES), PRESSES, START) == (empty, 0.0)


def test_what_rounding_lends_is_owed() -> None:
    bucket, wait_s = take(Bucket(1.0 - 5e-10, START), PRESSES, START)
    assert wait_s == 0.0
    assert -1e-9 < bucket.tokens < 0.0


@pytest.mark.parametrize("back_s", [0.000001, 1, 149, 150])
def test_a_clock_that_is_put_back_gives_nothing(back_s: float) -> None:
    empty = Bucket(0.0, START)
    bucket, wait_s = take(empty, PRESSES, after(-back_s))
    assert (bucket, wait_s) == (empty, 30.0 + back_s)
    # What there is may be taken, and no second counts twice.
    two = Bucket(2.0, START)
    assert take(two, PRESSES, after(-back_s)) == (Bucket(1.0, START), 0.0)


def test_a_clock_that_was_far_ahead_shuts_nobody_out_until_then() -> None:
    next_year = after(365 * 86_400)
    assert take(Bucket(0.0, next_year), PRESSES, START) == (Bucket(0.0, START), 30.0)
    assert take(Bucket(2.5, next_year), PRESSES, START) == (Bucket(1.5, START), 0.0)


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_rate_has_room_for_one(capacity: int) -> None:
    with pytest.raises(ValueError, match="capacity"):
        Rate(capacity, 1.0)


@pytest.mark.parametrize("every_s", [0.0, -1.0, math.inf, math.nan])
def test_a_rate_has_a_pace(every_s: float) -> None:
    with pytest.raises(ValueError, match="every_s"):
        Rate(1, every_s)


@pytest.mark.parametrize("cost", [0, -1, 6])
def test_a_cost_that_nobody_could_ever_pay(cost: int) -> None:
    with pytest.raises(ValueError, match="cost"):
        take(None, PRESSES, START, cost)
    if cost < 1:
        with pytest.raises(ValueError, match="cost"):
            give_back(Bucket(0.0, START), PRESSES, cost)


def assert_no_window_has_more(rate: Rate, taken: list[datetime], cost: int) -> None:
    every = Fraction(rate.every_s)
    for first, begin in enumerate(taken):
        for last in range(first, len(taken)):
            window = Fraction((taken[last] - begin) // timedelta(microseconds=1), 10**6)
            # A billionth of a token is a matter of rounding, and does not add up.
            allowed = rate.capacity + window / every + Fraction(2, 10**9)
            assert (last - first + 1) * cost <= allowed


@given(rates, st.lists(short_pauses, max_size=40), st.integers(1, 3))
@example(Rate(1, 0.1), [timedelta(seconds=0.1)] * 40, 1)
@example(Rate(1, 1 / 3), [timedelta(seconds=0.333333)] * 40, 1)
def test_over_any_window_at_most_the_rate(rate: Rate, steps: list[timedelta], cost: int) -> None:
    assume(cost <= rate.capacity)
    moments, now = [], START
    for step in steps:
        now += step
        moments.append(now)
    assert_no_window_has_more(rate, taken_at(rate, moments, cost), cost)


@given(rates, st.lists(st.floats(0, 1), max_size=40))
def test_a_clock_that_wavers_gives_no_more(rate: Rate, places: list[float]) -> None:
    """Back and forth within the time that fills the bucket: as if the clock had gone on once."""
    span_s = min(rate.capacity * rate.every_s, 1e9)
    taken = taken_at(rate, [after(place * span_s) for place in places])
    if taken:
        window = (max(taken) - min(taken)) / timedelta(seconds=1)
        assert len(taken) <= rate.capacity + window / rate.every_s + 1e-6


@given(rates, st.lists(short_pauses, max_size=10), st.integers(1, 5), st.booleans())
@example(Rate(1000, 1e6), [timedelta(0)] * 10, 5, False)
@example(Rate(5, 0.001), [timedelta(microseconds=1)] * 10, 5, False)
def test_whoever_waits_as_told_is_served(
    rate: Rate, steps: list[timedelta], cost: int, clock_put_back: bool
) -> None:
    cost = min(cost, rate.capacity)
    bucket: Bucket | None = Bucket(0.0, START) if clock_put_back else None
    now = START - timedelta(seconds=min(1.0, rate.every_s)) if clock_put_back else START
    for step in steps:
        now += step
        bucket, wait_s = take(bucket, rate, now, cost)
        if wait_s == 0.0:
            continue
        bucket, again_s = take(bucket, rate, now + timedelta(seconds=wait_s), cost)
        assert again_s == 0.0
        now += timedelta(seconds=wait_s)


@given(rates, short_pauses, st.floats(0, 1))
def test_whoever_asks_too_early_is_not_served(rate: Rate, held: timedelta, part: float) -> None:
    bucket, wait_s = take(Bucket(0.0, START), rate, START + held)
    early_s = wait_s * part - rate.every_s * 1e-5 - 1e-5
    if early_s > 0:
        asked = START + held + timedelta(seconds=early_s)
        unchanged, left_s = take(bucket, rate, asked)
        assert unchanged == bucket
        assert 0 < left_s <= wait_s


@given(rates, st.floats(0, 1000), short_pauses, st.integers(1, 5))
def test_to_give_back_at_once_is_not_to_have_taken(
    rate: Rate, tokens: float, step: timedelta, cost: int
) -> None:
    cost = min(cost, rate.capacity)
    bucket, wait_s = take(Bucket(min(tokens, rate.capacity), START), rate, START, cost)
    assume(wait_s == 0.0)
    restored = give_back(bucket, rate, cost)
    assert restored.tokens == pytest.approx(min(tokens, rate.capacity), abs=2e-6)
    assert give_back(restored, rate, cost).tokens <= rate.capacity
    assert take(restored, rate, START + step, cost)[1] == 0.0
