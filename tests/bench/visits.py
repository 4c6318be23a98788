"""Visits on virtual devices: the kiosk's share of an answer, the press, and a peer that is gone.

The daemon runs in this process, in a room without an echo.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from kiosk.agent.guide import load_guide
from kiosk.convai.server_messages import Ping
from kiosk.devices.virtual import Room
from kiosk.lab.demo.commands import spoken
from kiosk.lab.demo.lines import GOODBYE, ScriptLine, When
from kiosk.lab.demo.report import report
from kiosk.lab.demo.runner import DemoRecord, DemoRunner, settings_for
from kiosk.lab.demo.servers import servers
from kiosk.moments import What
from kiosk.ops.control import request
from kiosk.visit.states import State
from kiosk.visit.visit import NERVOUS_S
from tests.bench.figures import AT_MOST, Figure, percentile
from tests.bench.slow_link import slow_link
from tests.convai_server import scripted_server
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk

_TURNS = 25
_GUIDE = """
language = "en"
voice = "en-gb-x-rp"
greeting = "Yes?"
ask_again = ["Again?"]
[[entry]]
key = "toilets"
ask = ["where are the toilets"]
say = "Downstairs."
[[entry]]
key = "goodbye"
ask = ["thank you goodbye"]
say = "Goodbye."
tool = "end_call"
"""
_PRESSES = 30
_ROUND_TRIP_S = 0.05
_AUDIBLE = 32768 * 10 ** (-50 / 20)
_DEATHS = 4


# --- the kiosk's share of an answer ---------------------------------------------------------------


def share_figures() -> Iterator[Figure]:
    shares_ms = asyncio.run(_shares_ms())
    for percent, limit in ((50, 120), (99, 200)):
        yield Figure(
            f"answer: the kiosk's own share, p{percent}",
            "ms",
            percentile(shares_ms, percent),
            AT_MOST(limit),
        )


async def _shares_ms() -> list[float]:
    """Of each turn of one long visit, after the first, which speaks over the connecting."""
    question = "where are the toilets"
    lines = await spoken(
        (
            ScriptLine("first", When.AT_PRESS, question),
            *(ScriptLine(f"turn {n}", When.AFTER_ANSWER, question) for n in range(_TURNS)),
            GOODBYE,
        ),
        Room.RATE_HZ,
    )
    record = DemoRecord(Room(record=True))
    stage = DemoRunner(record, lambda _: None)
    with tempfile.TemporaryDirectory(prefix="kiosk-bench-") as name:
        directory = Path(name)
        guide = directory / "guide.toml"
        guide.write_text(_GUIDE, encoding="utf-8")
        async with servers(directory, ["--guide", str(guide)], stage.on_agent) as running:
            credentials = {
                "backend_url": running.backend_url,
                "device_token_file": running.device_token_file,
            }
            await stage.play(settings_for(directory, credentials), lines)
        turns = report(record, load_guide(guide))["turns"][1:-1]
    shares = [turn["own_share_ms"] for turn in turns]
    assert len(shares) >= _TURNS - 1, f"only {len(shares)} turns: {record.errors}"
    return [float("inf") if share is None else share for share in shares]


# --- the press ------------------------------------------------------------------------------------


def press_figures() -> Iterator[Figure]:
    light_ms, chime_ms, listening_ms = asyncio.run(_presses_ms())
    yield Figure("press to light, p99", "ms", percentile(light_ms, 99), AT_MOST(50))
    yield Figure("press to chime heard, p99", "ms", percentile(chime_ms, 99), AT_MOST(50))
    limit = AT_MOST(4 * _ROUND_TRIP_S * 1000 + 80)
    name = f"press to listening, round trip of {1000 * _ROUND_TRIP_S:g} ms, p95"
    yield Figure(name, "ms", percentile(listening_ms, 95), limit)


async def _presses_ms() -> tuple[list[float], list[float], list[float]]:
    light, chime, listening = [], [], []
    with tempfile.TemporaryDirectory(prefix="kiosk-bench-") as name:
        async with (
            scripted_server() as server,
            slow_link(server.url, _ROUND_TRIP_S) as link,
            virtual_kiosk(its := settings(Path(name), link.url), Room()) as kiosk,
        ):
            socket = its.control.socket
            for number in range(_PRESSES):
                pressed_s = kiosk.button.press()
                # To look through all moments takes longer than the lamp: not before it is lit.
                await kiosk.state(State.LISTENING)
                await kiosk.until(partial(_is_listening, kiosk, pressed_s))
                light.append((_light_s(kiosk, pressed_s) - pressed_s) * 1000)
                listening_s = _listening_s(kiosk, pressed_s)
                listening.append((listening_s - pressed_s) * 1000)
                # Sooner, the press would be taken for a nervous second one.
                await asyncio.sleep(NERVOUS_S + 0.1 + 0.0037 * (number % 7))
                chime.append((_chime_s(kiosk, pressed_s) - pressed_s) * 1000)
                await asyncio.to_thread(request, socket, "end")
                await kiosk.state(State.IDLE)
    return light, chime, listening


def _light_s(kiosk: VirtualKiosk, pressed_s: float) -> float:
    return next((at_s for at_s, _ in kiosk.indicator.shown if at_s >= pressed_s), float("inf"))


def _is_listening(kiosk: VirtualKiosk, pressed_s: float) -> bool:
    return _listening_s(kiosk, pressed_s) < float("inf")


def _listening_s(kiosk: VirtualKiosk, pressed_s: float) -> float:
    listening = (
        moment.at_s
        for moment in kiosk.moments
        if moment.what is What.STATE and moment.fields["state"] == "listening"
    )
    return next((at_s for at_s in listening if at_s > pressed_s), float("inf"))


def _chime_s(kiosk: VirtualKiosk, pressed_s: float) -> float:
    samples = kiosk.room.loudspeaker(pressed_s, pressed_s + 0.5)
    loud = np.flatnonzero(np.abs(samples) > _AUDIBLE)
    return pressed_s + int(loud[0]) / kiosk.room.rate_hz if len(loud) else float("inf")


# --- a peer that is gone --------------------------------------------------------------------------


def death_figures() -> Iterator[Figure]:
    noticed_s = asyncio.run(_deaths_s())
    yield Figure("dead peer noticed, the latest", "s", max(noticed_s), AT_MOST(8))


async def _deaths_s() -> list[float]:
    return await asyncio.gather(*(_death_s(0.4 * number) for number in range(_DEATHS)))


async def _death_s(wait_s: float) -> float:
    """How long a kiosk takes to notice; the last thing it hears is as late as can be."""
    with tempfile.TemporaryDirectory(prefix="kiosk-bench-") as name:
        async with (
            scripted_server() as server,
            slow_link(server.url, 0.0) as link,
            virtual_kiosk(settings(Path(name), link.url), Room()) as kiosk,
        ):
            kiosk.button.press()
            connection = await server.connection()
            await kiosk.state(State.LISTENING)
            await asyncio.sleep(1.0 + wait_s)
            await connection.send(Ping(1, None))
            await asyncio.sleep(0.02)
            died_s = time.monotonic()
            link.dead = True
            lost = await kiosk.moment(What.LOST, died_s, timeout_s=20)
            return lost.at_s - died_s
