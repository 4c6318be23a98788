"""The daemon in this process, on virtual devices in a room of the test's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kiosk.audio.wav import write_wav
from kiosk.config import Settings
from kiosk.daemon.kiosk import Daemon
from kiosk.devices.virtual import Room, VirtualButton, VirtualIndicator, VirtualPlayback
from kiosk.lab.virtual_kiosk import VirtualDevices, running
from kiosk.lab.virtual_loop import running_clock
from kiosk.moments import Moment, What
from kiosk.visit.host import Host
from kiosk.visit.languages import load_language
from kiosk.visit.states import State
from tests.slowness import patient_s

_TONE = np.round(3000 * np.sin(np.arange(4800) * 2 * np.pi * 330 / 16_000)).astype(np.int16)


@dataclass
class VirtualKiosk:
    """A running kiosk: press its button, watch its moments."""

    settings: Settings
    room: Room
    host: Host
    button: VirtualButton
    indicator: VirtualIndicator
    moments: list[Moment]
    changed: asyncio.Event
    playbacks: list[VirtualPlayback]
    daemon: Daemon

    async def until(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
        """Wait until something holds; looks whenever a moment is observed, and every 10 ms."""
        async with asyncio.timeout(patient_s(timeout_s)):
            while not condition():
                self.changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.01)

    async def state(self, *states: State, timeout_s: float = 10.0) -> None:
        await self.until(lambda: self.host.state in states, timeout_s)

    async def moment(self, what: What, after_s: float = 0.0, timeout_s: float = 10.0) -> Moment:
        """The first such moment after a time."""

        def found() -> list[Moment]:
            return [m for m in self.moments if m.what is what and m.at_s > after_s]

        await self.until(found, timeout_s)
        return found()[0]

    def count(self, what: What) -> int:
        return sum(moment.what is what for moment in self.moments)


def tones_for_sentences(directory: Path) -> Path:
    """A directory of short tones in place of the kiosk's sentences: nobody waits for them."""
    messages = directory / "messages"
    messages.mkdir(exist_ok=True)
    for key in load_language("en").sentences:
        (messages / f"{key}.wav").write_bytes(write_wav(_TONE, 16_000))
    return messages


def settings(directory: Path, agent_url: str, **tables: dict[str, Any]) -> Settings:
    """A public agent at this address, virtual devices, and what the test changes.

    The kiosk's sentences are replaced by short tones. These rooms have no echo and nobody too
    quiet, so nothing changes what is said: it can be compared sample by sample.
    """
    values: dict[str, dict[str, Any]] = {
        "agent": {"id": "agent_local", "url": agent_url},
        "credentials": {"mode": "public"},
        "button": {"driver": "none"},
        "indicator": {"driver": "none"},
        "capture": {"driver": "virtual"},
        "playback": {"driver": "virtual"},
        "echo": {"mode": "off"},
        "gain": {"mode": "fixed"},
        "visit": {"disclosure": False, "messages_dir": tones_for_sentences(directory)},
        "control": {"socket": directory / "control.sock"},
    }
    for name, table in tables.items():
        values[name] = {**values.get(name, {}), **table}
    return Settings.model_validate(values)


@asynccontextmanager
async def virtual_kiosk(
    its_settings: Settings, room: Room, load: Callable[[], Settings] | None = None
) -> AsyncIterator[VirtualKiosk]:
    """Run the daemon until the block ends; `load` reads its settings again."""
    assert room.clock is running_clock()
    moments: list[Moment] = []
    changed = asyncio.Event()

    def observe(moment: Moment) -> None:
        moments.append(moment)
        changed.set()

    devices = VirtualDevices(room, held=its_settings.button.mode == "hold")
    daemon = Daemon(its_settings, devices.hardware(), observe, load, running_clock())
    async with running(daemon):
        kiosk = VirtualKiosk(
            its_settings,
            room,
            daemon.host,
            devices.button,
            devices.indicator,
            moments,
            changed,
            devices.playbacks,
            daemon,
        )
        await kiosk.until(lambda: daemon.host.cause is None)
        yield kiosk
