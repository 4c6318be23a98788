"""SIGHUP: new settings without a restart, and without ending the visit under way."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from kiosk.config import Settings
from kiosk.convai.client_messages import Initiation
from kiosk.devices.virtual import Room
from kiosk.errors import ConfigError
from kiosk.lab.virtual_loop import running_clock
from kiosk.moments import What
from kiosk.visit.states import Event, State
from kiosk.visit.visit import NERVOUS_S
from tests.convai_server import scripted_server
from tests.integration.daemon import running_kiosk
from tests.integration.test_daemon import CONFIG
from tests.lockstep import in_lockstep
from tests.notify_socket import notify_socket
from tests.virtual_kiosk import settings, virtual_kiosk


@in_lockstep
async def test_a_visit_goes_on_and_the_next_has_the_new_settings(short_dir: Path) -> None:
    async with scripted_server() as server:

        def with_hall(hall: str) -> Settings:
            agent: dict[str, Any] = {"variables": {"hall": hall}}
            return settings(short_dir, server.url, agent=agent)

        on_disk = with_hall("2")
        async with virtual_kiosk(
            with_hall("1"), Room(clock=running_clock()), lambda: on_disk
        ) as kiosk:
            kiosk.button.press()
            first = await server.connection()
            await kiosk.state(State.LISTENING)
            kiosk.daemon.reload()
            await asyncio.sleep(NERVOUS_S)
            assert kiosk.host.state is State.LISTENING
            assert not first.closed.is_set()
            kiosk.host.post(Event.HANG_UP)
            await kiosk.state(State.IDLE)
            kiosk.button.press()
            second = await server.connection(2)
            await kiosk.state(State.LISTENING)
    halls = []
    for connection in (first, second):
        [initiation] = connection.of_type(Initiation)
        assert isinstance(initiation, Initiation)
        halls.append(initiation.dynamic_variables["hall"])
    assert halls == ["1", "2"]
    assert kiosk.count(What.VISIT_STARTED) == 2


@in_lockstep
async def test_a_bad_file_leaves_the_kiosk_as_it_is(short_dir: Path) -> None:
    def bad() -> Settings:
        raise ConfigError("config.toml, line 3: visit.max_s: too much")

    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), Room(clock=running_clock()), bad) as kiosk,
    ):
        kiosk.daemon.reload()
        kiosk.button.press()
        await server.connection()
        await kiosk.state(State.LISTENING)


async def test_the_process_reads_its_file_again_and_tells_systemd(short_dir: Path) -> None:
    with notify_socket(short_dir) as manager:
        env = {**os.environ, **manager.environment}
        async with (
            scripted_server() as server,
            running_kiosk(short_dir, CONFIG.format(url=server.url, button="none"), env) as running,
        ):
            await running.ask("press")
            await running.wait_for_state("listening")
            config = short_dir / "config.toml"
            right = config.read_text()
            config.write_text(f"{right}[visit]\nmax_s = 0\n")
            running.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.5)
            config.write_text(f"{right}[visit]\nmax_s = 100\n[echo]\nduck_db = 6\n")
            running.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.5)
            assert (await running.ask("status"))["state"] == "listening"
            await running.ask("end")
            await running.wait_for_state("idle")
        told = manager.told()
    reloads = [said for said in told if said.startswith("RELOADING=1\nMONOTONIC_USEC=")]
    assert len(reloads) == 2
    assert sum(said.startswith("READY=1") for said in told) == 3
    said = running.stderr.decode()
    assert "config.toml, line" in said
    assert "visit.max_s: must be more than 0" in said
    assert "taken: visit.max_s; restart for: echo.duck_db" in said
