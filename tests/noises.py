"""Noises over an answer: made, not recorded, and by voices that chose nothing; and what a visitor
hears of the answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kiosk.agent.behaviour import AgentBehaviour
from kiosk.agent.voice import AgentVoice
from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import Samples
from kiosk.base.clock import loop_now_s
from kiosk.moments import What
from kiosk.visit.states import State
from tests.integration.conftest import AgentEvents, StartAgent
from tests.integration.sounds import RATE_HZ, quiet_room
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk
from tests.wire_tap import Passed, tapped

WHALE = "tell me about the blue whale"
LONG_QUESTION = "how much is an adult ticket"
NERVOUS = AgentBehaviour(greeting="Yes?", interrupt_after_ms=0)
CAPTURED = AgentBehaviour(greeting="Yes?")


def cough(seed: int, length_s: float, bursts: int = 1) -> Samples:
    """Air through a throat: noise in bursts that begin at once and die away."""
    rng = np.random.default_rng(seed)
    count = round(length_s * RATE_HZ)
    time_s = np.arange(count) / RATE_HZ
    noise = np.convolve(rng.normal(0, 1, count), np.hanning(rng.integers(6, 18)), mode="same")
    throat = np.sign(np.sin(2 * np.pi * rng.uniform(90, 220) * time_s))
    since_s = time_s % (length_s / bursts)
    shaped = (noise / np.abs(noise).max() + 0.5 * throat) * np.exp(-since_s * 9)
    sound: Samples = np.round(11_000 * shaped / np.abs(shaped).max()).astype(np.int16)
    return sound


def bang(seed: int) -> Samples:
    """A door, or a bag on the floor."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(RATE_HZ // 3) / RATE_HZ
    body = np.sin(2 * np.pi * rng.uniform(70, 300) * time_s) + rng.normal(0, 0.5, len(time_s))
    sound: Samples = np.round(14_000 * body * np.exp(-time_s * 18) / 2).astype(np.int16)
    return sound


async def said(text: str, voice: str, gain: float = 1.0) -> Samples:
    speech = await AgentVoice(voice, 170).render(text, RATE_HZ)
    quieter: Samples = np.round(speech * gain).astype(np.int16)
    return quieter


async def made(sound: Samples) -> Samples:
    return sound


_WORDS = ("uh huh", "hm", "mm hm", "oh", "wow", "ah")
_VOICES = ("en-us+m3", "en-gb+f4", "en-gb-scotland", "en-us+f5", "en+m7")
_NEIGHBOURS = ("look over there", "come on", "not now", "mummy")
NOISES: dict[str, Callable[[], Awaitable[Samples]]] = {
    **{f"cough {n}": partial(made, cough(n, 0.2 + 0.05 * n)) for n in range(9)},
    **{f"fit {n}": partial(made, cough(20 + n, 0.9 + 0.1 * n, 2 + n % 2)) for n in range(6)},
    **{f"bang {n}": partial(made, bang(n)) for n in range(9)},
    **{
        f"{word}, {voice}": partial(said, word, voice)
        for number, word in enumerate(_WORDS)
        for voice in _VOICES[number % 2 :: 2]
    },
    **{
        f"a neighbour: {words}, {voice}": partial(said, words, voice, 0.3)
        for words in _NEIGHBOURS
        for voice in _VOICES[:3]
    },
}
FEW = ("cough 3", "fit 2", "bang 1", "uh huh, en-us+m3")


@dataclass
class Heard:
    """What a visitor heard of an answer that took `length_s`, and what the agent got."""

    length_s: float
    noise_ended_s: float
    before_s: float  # of the answer, when it was cut
    cut_s: float | None  # when it was cut; None: never
    silent_after_s: float
    goes_on_after_s: float
    rest_s: float  # heard from then on
    passed: Passed

    @property
    def is_lost(self) -> bool:
        """Whether a second of the answer was never heard."""
        return self.cut_s is not None and self.before_s + self.rest_s < self.length_s - 1.0

    @property
    def goes_on_after_quiet_s(self) -> float:
        """From the noise's end, or from an interruption that came later, until it goes on."""
        assert self.cut_s is not None
        return self.cut_s + self.goes_on_after_s - max(self.cut_s, self.noise_ended_s)


async def asked(kiosk: VirtualKiosk, events: AgentEvents) -> tuple[float, float]:
    """When the long answer began to be heard, and its length."""
    pressed_s = kiosk.button.press()
    greeted = await kiosk.moment(What.AGENT_HEARD, pressed_s)
    await kiosk.moment(What.DRAINED, greeted.at_s)
    question = await said(WHALE, "en-us+f2")
    kiosk.room.say(question, loop_now_s() + 0.1)
    began = await kiosk.moment(What.AGENT_HEARD, loop_now_s())
    length_s = next(e["duration_s"] for e in reversed(events) if e["event"] == "agent_started")
    assert isinstance(length_s, float)
    return began.at_s, length_s


async def answer_with(
    noise: Samples, behaviour: AgentBehaviour, directory: Path, start_agent: StartAgent
) -> Heard:
    """A noise 4 s into a long answer."""
    async with (
        start_agent(behaviour=behaviour) as (url, events),
        tapped(url) as tap,
        virtual_kiosk(settings(directory, tap.url), quiet_room()) as kiosk,
    ):
        began_s, length_s = await asked(kiosk, events)
        await asyncio.sleep(max(0.0, began_s + 4.0 - loop_now_s()))
        kiosk.room.say(noise, loop_now_s())
        ended_s = loop_now_s() + len(noise) / RATE_HZ
        await asyncio.sleep(5.0)
        cuts = [m.at_s for m in kiosk.moments if m.what is What.INTERRUPTED]
        if not cuts:
            return Heard(length_s, ended_s, 0, None, 0, 0, 0, tap.connections[0])
        cut_s = cuts[0]
        again = await kiosk.moment(What.AGENT_HEARD, cut_s)
        before_s = cut_s - began_s
        while loop_now_s() < cut_s + 60:
            await kiosk.until(lambda: kiosk.host.state is not State.SPEAKING, timeout_s=40)
            await asyncio.sleep(2.5)  # the agent may have something left to say
            if kiosk.host.state is not State.SPEAKING:
                break
        spoken = [m for m in kiosk.moments if m.at_s >= again.at_s]
        rest_s, since_s = 0.0, None
        for moment in spoken:
            if moment.what is What.AGENT_HEARD and since_s is None:
                since_s = moment.at_s
            if moment.what in (What.DRAINED, What.INTERRUPTED) and since_s is not None:
                rest_s += moment.at_s - since_s
                since_s = None
        silent_s = next(
            at_ms / 1000
            for at_ms in range(0, 1000, 5)
            if rms_dbfs(
                kiosk.room.loudspeaker(cut_s + at_ms / 1000, cut_s + at_ms / 1000 + 0.2)
            ) == -96.0
        )  # fmt: skip
        return Heard(
            length_s,
            ended_s,
            before_s,
            cut_s,
            silent_s,
            again.at_s - cut_s,
            rest_s,
            tap.connections[0],
        )
