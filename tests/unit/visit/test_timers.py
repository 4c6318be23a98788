import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.visit.timeline import Latencies
from kiosk.visit.timers import Timers, at_most
from tests.virtual_time import virtual_time


@virtual_time
async def test_setting_a_timer_again_replaces_it() -> None:
    timers, rang = Timers(), list[str]()
    timers.set("idle", 1, lambda: rang.append("first"))
    await asyncio.sleep(0.5)
    timers.set("idle", 1, lambda: rang.append("second"))
    await asyncio.sleep(0.9)
    assert rang == []
    await asyncio.sleep(0.2)
    assert rang == ["second"]


@virtual_time
async def test_a_cancelled_timer_is_silent_and_the_others_ring() -> None:
    timers, rang = Timers(), list[str]()
    for name in ("one", "two", "three"):
        timers.set(name, 1, lambda name=name: rang.append(name))  # type: ignore[misc]
    timers.cancel("one", "three", "never set")
    await asyncio.sleep(2)
    assert rang == ["two"]
    timers.cancel("two")  # long over
    timers.set("four", 1, lambda: rang.append("four"))
    timers.clear()
    await asyncio.sleep(2)
    assert rang == ["two"]


@virtual_time
async def test_waiting_has_a_limit_and_being_late_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    await at_most(60, asyncio.sleep(10))
    assert loop.time() - started_s == pytest.approx(10)
    assert caplog.text == ""
    await at_most(60, asyncio.sleep(3600))
    assert loop.time() - started_s == pytest.approx(70)
    assert "60 s" in caplog.text


# --- latencies ----------------------------------------------------------------------------------


def test_without_samples_there_is_no_percentile() -> None:
    assert Latencies().percentile(50) is None
    assert Latencies().summary() == {"p50": None, "p99": None}


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=200))
def test_percentiles_are_samples_and_grow(samples: list[float]) -> None:
    latencies = Latencies()
    for sample in samples:
        latencies.add(sample)
    found = [latencies.percentile(percent) for percent in (0, 50, 99, 100)]
    values = [value for value in found if value is not None]
    assert values == sorted(values)
    assert set(values) <= set(samples)
    assert (values[0], values[-1]) == (min(samples), max(samples))


def test_only_the_newest_samples_count() -> None:
    latencies = Latencies(limit=10)
    for sample in range(100):
        latencies.add(float(sample))
    assert latencies.percentile(0) == 90
