"""Notifications into a real datagram socket in the place of systemd's."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiosk.ops.systemd import feed_watchdog, notify, watchdog_interval_s
from tests.notify_socket import NotifySocket, notify_socket
from tests.virtual_time import virtual_time


@pytest.fixture(autouse=True)
def _no_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotifySocket]:
    with notify_socket(tmp_path) as listening:
        monkeypatch.setenv("NOTIFY_SOCKET", str(listening.path))
        yield listening


def test_assignments_go_in_one_datagram(manager: NotifySocket) -> None:
    notify("READY=1", "STATUS=idle, 0 visits")
    assert manager.told() == ["READY=1\nSTATUS=idle, 0 visits"]


def test_without_a_service_manager_nothing_happens() -> None:
    notify("READY=1")


def test_a_manager_that_went_away_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify("WATCHDOG=1")


@pytest.mark.parametrize(
    ("usec", "pid", "interval_s"),
    [
        (None, None, None),
        ("10000000", None, 5.0),
        pytest.param("10000000", str(os.getpid()), 5.0, id="its own"),
        pytest.param("10000000", str(os.getpid() + 1), None, id="another's"),
        ("nonsense", None, None),
        ("", None, None),
        ("0", None, None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, interval_s: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert watchdog_interval_s() == interval_s


def test_the_watchdog_is_fed_while_the_loop_turns(
    manager: NotifySocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")

    @virtual_time
    async def turn() -> list[str]:
        feeding, fed = asyncio.create_task(feed_watchdog()), list[str]()
        for _ in range(59):
            await asyncio.sleep(1)
            fed += manager.told()
        feeding.cancel()
        return fed

    assert turn() == ["WATCHDOG=1"] * 12


@virtual_time
async def test_an_unwatched_process_feeds_nobody() -> None:
    await asyncio.wait_for(feed_watchdog(), 1)
