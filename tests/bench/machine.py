"""What the daemon costs: processor and memory in conversation, at rest, and the time to start.

`kiosk run` on the virtual cards, so that no virtual device's work is counted as its own.
"""

import asyncio
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from kiosk.agent.guide import load_guide
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.server import AgentSettings, LocalAgent
from kiosk.agent.voice import AgentVoice
from kiosk.contract import Transport
from kiosk.lab.demo.lines import VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE
from tests.bench.card_visit import ENDLESS, cards, feeding
from tests.bench.figures import AT_MOST, Figure
from tests.bench.kiosk_process import kiosk_process
from tests.bench.tape import RATE_HZ
from tests.integration.cards import card_config, wait_for_event

_QUESTIONS = ("tell me about the blue whale", "where are the dinosaurs please")
_TALKING_S = 45.0
_RESTING_S = 20.0
_STARTS = 5
_NOWHERE = "ws://127.0.0.1:9"


@dataclass(frozen=True)
class Cost:
    """What a daemon costs while it talks."""

    cpu_percent: float  # of one core
    memory_mb: float


def conversation_figures() -> Iterator[Figure]:
    cost = cost_of_a_conversation("websocket")
    name = "in conversation, echo cancelled"
    yield Figure(f"{name}: processor", "% of a core", cost.cpu_percent, AT_MOST(12))
    yield Figure(f"{name}: memory at most", "MB", cost.memory_mb, AT_MOST(120))


def cost_of_a_conversation(road: Transport) -> Cost:
    """Of a daemon that talks with the local agent over this road."""
    return asyncio.run(_conversation(road))


def idle_figures() -> Iterator[Figure]:
    cpu_percent, starts_s = asyncio.run(_idle())
    yield Figure("idle: processor", "% of a core", cpu_percent, AT_MOST(0.5))
    # As from the second boot on: the first one also renders the kiosk's sentences.
    yield Figure("start to READY, sentences cached, median", "s", starts_s, AT_MOST(1.0))


async def _conversation(road: Transport) -> Cost:
    """Question and answer in turns, with the local agent in this process."""
    guide, events = load_guide(), list[dict[str, object]]()
    agent = LocalAgent(
        AgentSettings(port=0), guide, Recogniser(guide.jsgf(), guide.ignore), events.append
    )
    voice = AgentVoice(VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE)
    questions = [await voice.render(question, RATE_HZ) for question in _QUESTIONS]
    with cards() as rig:
        async with agent.listening() as url:
            config = card_config(url, visit=ENDLESS)
            env = {**rig.env, "KIOSK_AGENT__TRANSPORT": road}
            async with kiosk_process(rig.directory, config, env) as kiosk:
                await kiosk.ask("press")
                await kiosk.wait_for("state", "speaking")
                await kiosk.wait_for("state", "listening")
                began_s, before_s, turns = time.monotonic(), kiosk.cpu_s(), 0
                while time.monotonic() - began_s < _TALKING_S:
                    async with feeding(rig, questions[turns % len(questions)]):
                        turns += 1
                        await wait_for_event(events, "heard", turns)
                        await kiosk.wait_for("state", "speaking", every_s=0.5)
                    # Looked at seldom, for every look costs the kiosk.
                    await kiosk.wait_for("state", "listening", timeout_s=60, every_s=1.0)
                cpu_s, took_s = kiosk.cpu_s() - before_s, time.monotonic() - began_s
                memory_mb = kiosk.peak_memory_mb()
                await kiosk.ask("end")
                await kiosk.wait_for("state", "idle")
    return Cost(100 * cpu_s / took_s, memory_mb)


async def _idle() -> tuple[float, float]:
    with cards() as rig:
        config = card_config(_NOWHERE)
        starts_s = []
        for number in range(_STARTS + 1):
            async with kiosk_process(rig.directory, config, rig.env) as kiosk:
                starts_s.append(kiosk.start_s)
                if number == _STARTS:
                    await asyncio.sleep(1.0)
                    before_s = kiosk.cpu_s()
                    await asyncio.sleep(_RESTING_S)
                    cpu_s = kiosk.cpu_s() - before_s
        return 100 * cpu_s / _RESTING_S, statistics.median(starts_s[1:])
