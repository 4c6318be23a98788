from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kiosk.devices.debounce import Debouncer

SETTLE_S = 0.03

# Edges as (level, seconds since the one before).
edges = st.lists(st.tuples(st.booleans(), st.floats(0, 0.1)), max_size=40)


def counted(
    edges: list[tuple[bool, float]], settle_s: float = SETTLE_S
) -> list[tuple[bool, float]]:
    """The edges that count, with their times."""
    debouncer, now_s, found = Debouncer(settle_s), 100.0, []
    for pressed, after_s in edges:
        now_s += after_s
        if debouncer.edge(pressed, now_s):
            found.append((pressed, now_s))
            assert debouncer.pressed is pressed
    return found


def test_the_first_edge_counts_at_once() -> None:
    assert Debouncer(SETTLE_S).edge(True, 0.0)


def test_chatter_does_not_count() -> None:
    chatter = [(True, 1.0), (False, 0.001), (True, 0.001), (False, 0.001), (True, 0.001)]
    assert len(counted(chatter)) == 1


def test_an_edge_after_the_settle_time_counts() -> None:
    assert len(counted([(True, 1.0), (False, SETTLE_S), (True, SETTLE_S)])) == 3


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
def test_without_a_settle_time_every_change_counts(edges: list[tuple[bool, float]]) -> None:
    levels = [False] + [pressed for pressed, _ in edges]
    changes = sum(a != b for a, b in pairwise(levels))
    assert len(counted(edges, settle_s=0)) == changes


@given(st.floats(0, 0.1))
def test_after_the_wait_it_names_an_edge_counts(after_s: float) -> None:
    debouncer = Debouncer(SETTLE_S)
    debouncer.edge(True, 100.0)
    wait_s = debouncer.settle_in_s(100.0 + after_s)
    assert 0 <= wait_s <= SETTLE_S + 1e-9
    assert debouncer.edge(False, 100.0 + after_s + wait_s + 1e-9)
