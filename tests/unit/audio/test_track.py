import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.pcm import Samples
from kiosk.audio.track import Track


def ones(count: int, value: int = 1) -> Samples:
    return np.full(count, value, dtype=np.int16)


puts = st.tuples(st.just("put"), st.integers(0, 400), st.integers(0, 60))
cuts = st.tuples(st.just("cut"), st.integers(0, 400), st.just(0))


@given(st.lists(puts | cuts, max_size=20))
def test_a_track_holds_what_was_put_last(steps: list[tuple[str, int, int]]) -> None:
    track, model = Track(100, keep_s=60), np.zeros(1000, dtype=np.int16)
    for number, (step, at, count) in enumerate(steps, start=1):
        if step == "put":
            track.put(at, ones(count, number))
            model[at : at + count] = number
        else:
            track.cut(at)
            model[at:] = 0
    np.testing.assert_array_equal(track.get(0, 1000), model)
    np.testing.assert_array_equal(track.get(-10, 30), np.concatenate((ones(10, 0), model[:20])))


def test_a_track_keeps_its_newest_seconds_and_forgets_the_rest() -> None:
    track = Track(100, keep_s=2)
    for second in range(60):
        track.put(second * 100, ones(100, second + 1))
    np.testing.assert_array_equal(track.get(5800, 200), np.repeat([59, 60], 100))
    assert not track.get(0, 100).any()


def test_a_track_after_a_long_pause_holds_no_more_than_it_keeps() -> None:
    track = Track(48_000, keep_s=1)
    week = 7 * 86_400 * 48_000
    track.put(0, ones(100))
    track.put(week, ones(100, 2))
    np.testing.assert_array_equal(track.get(week - 10, 20), [0] * 10 + [2] * 10)
    track.put(week - 48_000, ones(10, 3))
    assert track.get(week - 48_000, 20).sum() in (0, 30)
    assert len(track._buffer) < 5 * 48_000


def test_sound_from_before_what_is_kept_is_left_out() -> None:
    track = Track(100, keep_s=1)
    track.put(10_000, ones(10))
    track.put(5, ones(3))
    assert not track.get(0, 100).any()
    np.testing.assert_array_equal(track.get(10_000, 10), ones(10))
