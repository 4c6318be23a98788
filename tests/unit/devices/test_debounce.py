from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.devices.debounce import FLUTTER_S, STANDS_S, STUCK_S, Debouncer, LineWatch

SETTLE_S = 0.03

# Edges as (level, seconds since the one before).
edges = st.lists(st.tuples(st.booleans(), st.floats(0, 0.1)), max_size=40)


def counted(
    edges: list[tuple[bool, float]], settle_s: float = SETTLE_S, *, looks: bool = True
) -> list[tuple[bool, float]]:
    """The changes that count, with their times, where the line is looked at whenever that is asked
    for; without `looks` only at the end, as by a loop that stood still meanwhile."""
    debouncer, now_s, level = Debouncer(settle_s), 100.0, False
    found: list[tuple[bool, float]] = []
    ends: list[tuple[bool | None, float]] = [*edges, (None, 10.0)]
    for pressed, after_s in ends:
        now_s += after_s
        while (look_at_s := debouncer.look_at_s) is not None and look_at_s < now_s:
            if not looks and pressed is not None:
                break
            found += debouncer.look(level, look_at_s)
        if pressed is not None:
            level = pressed
            found += debouncer.edge(level, now_s)
    assert debouncer.pressed is (found[-1][0] if found else False)
    return found


def test_a_change_counts_once_it_has_stood_for_3_ms_and_is_dated_at_its_edge() -> None:
    debouncer = Debouncer(SETTLE_S)
    assert debouncer.edge(True, 1.0) == []
    assert debouncer.look_at_s == pytest.approx(1.003)
    assert debouncer.look(True, 1.0029) == []
    assert debouncer.look(True, 1.0031) == [(True, 1.0)]
    assert debouncer.pressed


def test_a_tap_and_a_new_press_within_one_stall_of_the_loop_are_not_lost() -> None:
    tap = [(True, 1.0), (False, 0.08)]
    assert counted(tap, looks=False) == counted(tap)
    assert [pressed for pressed, _ in counted(tap, looks=False)] == [True, False]
    again = [(True, 1.0), (False, 1.0), (True, 0.3)]
    assert [pressed for pressed, _ in counted(again, looks=False)] == [True, False, True]


def test_a_look_that_finds_a_dip_over_ends_it_though_its_edge_is_still_on_its_way() -> None:
    debouncer = Debouncer(SETTLE_S)
    debouncer.edge(True, 1.0)
    assert debouncer.look(False, 1.003) == []
    assert debouncer.edge(False, 1.00002) == []


@given(edges)
def test_a_loop_that_stood_still_hears_of_the_same_changes(
    edges: list[tuple[bool, float]],
) -> None:
    assert counted(edges, looks=False) == counted(edges)


@pytest.mark.parametrize("dip_s", [20e-6, 1e-3, 2.9e-3])
def test_a2_a_dip_counts_neither_at_rest_nor_while_the_button_is_down(dip_s: float) -> None:
    dips = [(True, 1.0), (False, dip_s)] * 10
    assert counted(dips) == []
    held = [(True, 1.0), *[(False, 1.0), (True, dip_s)] * 10]
    assert [pressed for pressed, _ in counted(held)] == [True]


def test_a2_a_line_that_swings_with_the_mains_is_never_pressed() -> None:
    # 50 Hz on a line that nothing holds crosses the threshold for a moment in every period.
    assert counted([(True, 0.0175), (False, 0.0025)] * 100) == []


def test_b7_chatter_is_one_change() -> None:
    chatter = [(True, 1.0), (False, 0.001), (True, 0.001), (False, 0.001), (True, 0.001)]
    [(pressed, at_s)] = counted(chatter)
    assert pressed
    assert at_s == pytest.approx(101.004)


def test_a_change_after_the_settle_time_counts() -> None:
    assert len(counted([(True, 1.0), (False, 2 * SETTLE_S), (True, 2 * SETTLE_S)])) == 3


def test_a_change_in_the_settle_time_counts_when_it_is_over() -> None:
    [_, (pressed, at_s)] = counted([(True, 1.0), (False, 0.01)])
    assert not pressed
    assert at_s == pytest.approx(101.003 + SETTLE_S)


@given(edges)
def test_presses_and_releases_alternate_beginning_with_a_press(
    edges: list[tuple[bool, float]],
) -> None:
    assert [pressed for pressed, _ in counted(edges)] == [
        number % 2 == 0 for number in range(len(counted(edges)))
    ]


@given(edges)
def test_no_two_changes_are_closer_than_the_settle_time(edges: list[tuple[bool, float]]) -> None:
    times = [at_s for _, at_s in counted(edges)]
    assert all(b - a >= SETTLE_S - 1e-9 for a, b in pairwise(times))


@given(edges)
def test_what_counted_last_is_how_the_line_stays(edges: list[tuple[bool, float]]) -> None:
    level = edges[-1][0] if edges else False
    last = [pressed for pressed, _ in counted(edges)][-1:]
    assert (last or [False]) == [level]


@given(st.lists(st.floats(0, 0.02).filter(lambda s: abs(s - STANDS_S) > 1e-6), max_size=40))
def test_without_a_settle_time_every_change_that_stands_counts(lasting_s: list[float]) -> None:
    levels = [number % 2 == 0 for number in range(len(lasting_s))]
    before_s = [1.0, *lasting_s[:-1]]
    stands, pressed = [], False
    for level, duration_s in zip(levels, [*lasting_s[:-1], 10.0], strict=False):
        if level != pressed and duration_s > STANDS_S:
            pressed = level
            stands.append(level)
    found = counted(list(zip(levels, before_s, strict=False)), settle_s=0)
    assert [level for level, _ in found] == stands


# --- a line that no finger moves ----------------------------------------------------------------


def test_a2_a_hundred_edges_a_second_are_no_fingers() -> None:
    line = LineWatch(0.0)
    found = [trouble for number in range(100) for trouble in line.edge(number * 0.01)]
    assert found == [("button_flutters", False)]
    assert line.look_at_s(pressed=False) == pytest.approx(0.99 + FLUTTER_S)
    assert line.look(pressed=False, now_s=1.5) == []
    assert line.look(pressed=False, now_s=2.0) == [("button_flutters", True)]


def test_b7_a_child_that_hammers_a_bouncing_button_is_one() -> None:
    line = LineWatch(0.0)
    presses = [number * 0.15 + bounce * 0.001 for number in range(40) for bounce in range(5)]
    assert not [trouble for at_s in presses for trouble in line.edge(at_s)]


@pytest.mark.parametrize("bounces", [5, 9])
def test_b7_so_is_a_worn_one_that_a_child_hits_twelve_times_a_second(bounces: int) -> None:
    line = LineWatch(0.0)
    edges = [change / 24 + bounce * 0.0005 for change in range(72) for bounce in range(bounces)]
    assert not [trouble for at_s in edges for trouble in line.edge(at_s)]


def test_a2_a_line_faster_than_any_bounce_flutters_too() -> None:
    line = LineWatch(0.0)
    found = [trouble for number in range(1000) for trouble in line.edge(number * 0.001)]
    assert found == [("button_flutters", False)]


def test_a_button_that_stays_down_is_stuck_until_it_comes_up() -> None:
    line = LineWatch(10.0)
    assert line.look_at_s(pressed=True) == 10.0 + STUCK_S
    assert line.look(pressed=True, now_s=10.0 + STUCK_S - 1) == []
    assert line.look(pressed=True, now_s=10.0 + STUCK_S) == [("button_stuck", False)]
    assert line.look_at_s(pressed=True) is None
    assert line.edge(200.0) == []
    assert line.look(pressed=False, now_s=200.0) == [("button_stuck", True)]


def test_presses_and_bounces_are_counted() -> None:
    debouncer = Debouncer(0.03)
    for number in range(3):
        at_s = number * 1.0
        for pressed, after_s in ((True, 0), (False, 0.001), (True, 0.002), (False, 0.2)):
            debouncer.edge(pressed, at_s + after_s)
        debouncer.look(pressed=False, at_s=at_s + 0.5)
    assert (debouncer.presses, debouncer.bounces) == (3, 6)
