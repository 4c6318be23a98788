"""The kernel's word on the network, the clock's on itself, and when both are told."""

import asyncio
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from kiosk.base.clock import clock_was_set
from kiosk.link import surroundings
from kiosk.link.surroundings import LOOK_EVERY_S, has_network, is_here, watch
from tests.virtual_time import virtual_time

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DEFAULT = "{}\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
LINK_LOCAL = "{}\t0000FEA9\t00000000\t0001\t0\t0\t1000\t0000FFFF\t0\t0\t0\n"
LAN = "{}\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
V6 = "{} 00 {:032x} 00 {:032x} 00000400 00000001 00000000 00000001 {:>8}\n"
V6_DEFAULT = V6.format("0" * 32, 0, 0xFE80 << 112 | 1, "{}")
V6_LINK_LOCAL = V6.format("fe80" + "0" * 28, 0, 0, "{}")


class Machine:
    """What the kernel tells of a machine's network."""

    def __init__(self, directory: Path) -> None:
        self.proc, self.sys = directory / "proc", directory / "sys"
        self.proc.mkdir()
        self.sys.mkdir()
        self.routes()

    def routes(self, four: str = "", six: str = "") -> None:
        (self.proc / "route").write_text(HEAD + four, encoding="ascii")
        (self.proc / "ipv6_route").write_text(six, encoding="ascii")

    def interface(self, name: str, state: str) -> None:
        (self.sys / name).mkdir(exist_ok=True)
        (self.sys / name / "operstate").write_text(f"{state}\n", encoding="ascii")

    @property
    def has_network(self) -> bool:
        return has_network(self.proc, self.sys)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("route", [DEFAULT, LAN])
@pytest.mark.parametrize("state", ["up", "unknown"])
def test_a_route_by_an_interface_that_is_up_is_a_network(
    machine: Machine, route: str, state: str
) -> None:
    machine.interface("eth0", state)
    machine.routes(route.format("eth0"))
    assert machine.has_network


def test_a_network_may_know_ipv6_only(machine: Machine) -> None:
    machine.interface("wlan0", "up")
    machine.routes(six=V6_DEFAULT.format("wlan0"))
    assert machine.has_network


@pytest.mark.parametrize("state", ["down", "dormant", "lowerlayerdown", "notpresent"])
def test_a_cable_that_is_out_is_none_though_its_routes_stay(machine: Machine, state: str) -> None:
    machine.interface("eth0", state)
    machine.routes(DEFAULT.format("eth0"), V6_DEFAULT.format("eth0"))
    assert not machine.has_network


def test_a_carrier_is_enough_for_there_are_tables_beside_the_main_one(machine: Machine) -> None:
    machine.interface("eth0", "up")
    assert machine.has_network


def test_of_what_cannot_tell_addresses_that_it_gives_itself_are_none(machine: Machine) -> None:
    machine.interface("eth0", "unknown")
    machine.interface("lo", "unknown")
    machine.routes(
        LINK_LOCAL.format("eth0") + LAN.format("lo"),
        V6_LINK_LOCAL.format("eth0") + V6_DEFAULT.format("lo"),
    )
    assert not machine.has_network


def test_of_several_one_that_is_up_is_enough(machine: Machine) -> None:
    machine.interface("eth0", "down")
    machine.interface("wlan0", "up")
    machine.routes(DEFAULT.format("eth0") + DEFAULT.format("wlan0"))
    assert machine.has_network


def test_where_nobody_tells_there_may_be_one(tmp_path: Path) -> None:
    assert has_network(tmp_path / "nothing", tmp_path / "nothing")


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_machine_without_any_has_none() -> None:
    asked = "from kiosk.link.surroundings import has_network; print(has_network())"
    program = f'mount -t sysfs none /sys && exec "{sys.executable}" -c "{asked}"'
    command = ["unshare", "--map-root-user", "--net", "--mount", "sh", "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "unshare" in run.stderr or "mount" in run.stderr:
        pytest.skip(f"no namespaces here: {run.stderr.strip()}")
    assert run.stdout == "False\n"


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("ws://127.0.0.1:8090", True),
        ("http://localhost:8080/x", True),
        ("http://[::1]:8080", True),
        ("http://backend.localhost", True),
        ("https://kiosks.example.org", False),
        ("wss://192.168.1.4", False),
        ("http://localhost.example.org", False),
        ("nonsense", False),
    ],
)
def test_what_is_on_this_machine_needs_no_network(url: str, here: bool) -> None:
    assert is_here(url) is here


def test_a_clock_from_before_the_kiosk_was_never_set() -> None:
    assert not clock_was_set(0.0)
    assert clock_was_set()


@virtual_time
async def test_a_change_is_told_within_ten_seconds_both_ways(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.interface("eth0", "up")
    machine.routes(DEFAULT.format("eth0"))
    monkeypatch.setattr(surroundings, "has_network", lambda: machine.has_network)
    told: list[tuple[bool, bool]] = []
    url = "https://kiosks.example.org"
    watching = asyncio.create_task(watch([url], lambda *now: told.append(now)))
    await asyncio.sleep(3 * LOOK_EVERY_S)
    assert told == [], "all is well until somebody says otherwise"
    for state in ("down", "up"):
        machine.interface("eth0", state)
        await asyncio.sleep(2 * LOOK_EVERY_S)
        assert told.pop() == (state == "up", True)
        assert told == [], "and once"
    watching.cancel()


@virtual_time
async def test_without_certificates_no_clock_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "clock_was_set", lambda: False)
    monkeypatch.setattr(surroundings, "has_network", lambda: False)
    urls = ("http://127.0.0.1", "https://127.0.0.1", "http://10.0.0.1", "wss://10.0.0.1")
    told: dict[str, list[tuple[bool, ...]]] = {url: [] for url in urls}

    def hear(url: str, *now: bool) -> None:
        told[url].append(now)

    watching = [asyncio.create_task(watch([url], partial(hear, url))) for url in urls]
    await asyncio.sleep(1)
    for each in watching:
        each.cancel()
    assert told == {
        "http://127.0.0.1": [],
        "https://127.0.0.1": [(True, False)],
        "http://10.0.0.1": [(False, True)],
        "wss://10.0.0.1": [(False, False)],
    }
