"""The benchmark's own judgement: what meets a bar, and what the table and the JSON say of it."""

import pytest

from tests.bench.figures import AT_MOST, Figure, at_least, percentile, table, times_better


@pytest.mark.parametrize(
    ("figure", "ok"),
    [
        (Figure("f", "ms", 50, AT_MOST(50)), True),
        (Figure("f", "ms", 50.1, AT_MOST(50)), False),
        (Figure("f", "dB", 86, at_least(86)), True),
        (Figure("f", "ms", 10, times_better(4), peer=39), False),
        (Figure("f", "ms", 10, times_better(4), peer=40), True),
        (Figure("f", "ms", 10, times_better(4)), False),
        (Figure("f", "ms", 1000), True),
        (Figure("f", "ms", None, AT_MOST(50)), False),
        (Figure("f", "ms", float("nan"), AT_MOST(50)), False),
        (Figure("f", "ms", float("inf"), AT_MOST(50)), False),
    ],
)
def test_a_figure_is_ok_exactly_if_its_bar_is_met(figure: Figure, ok: bool) -> None:
    assert figure.ok is ok
    assert figure.as_json()["ok"] is ok


def test_json_has_null_where_there_is_no_peer_and_no_number() -> None:
    assert Figure("f", "ms", float("nan"), AT_MOST(50)).as_json() == {
        "name": "f",
        "unit": "ms",
        "ours": None,
        "peer": None,
        "ratio": None,
        "bar": "<= 50",
        "ok": False,
    }


def test_the_ratio_says_how_many_times_less_ours_is() -> None:
    assert Figure("f", "ms", 10, peer=40).ratio == 4


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 50) == 51
    assert percentile(values, 99) == 100
    assert percentile([], 99) is None


def test_the_table_says_which_bar_was_missed() -> None:
    lines = table([Figure("one", "ms", 60, AT_MOST(50)), Figure("two", "ms", None)])
    assert lines[1].split() == ["one", "ms", "60", "<=", "50", "MISSED"]
    assert lines[2].split() == ["two", "ms", "not", "measured"]
