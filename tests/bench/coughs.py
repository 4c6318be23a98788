"""Coughs over answers, in virtual time: what is lost, and how long it takes to go on.

The agent gives way to every sound that may be a voice, which is the worst that was reported.
"""

import math
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from kiosk.agent.behaviour import AgentBehaviour
from kiosk.agent.guide import load_guide
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.server import AgentSettings, LocalAgent
from kiosk.base.clock import loop_now_s
from kiosk.lab.virtual_loop import run_in_lockstep
from kiosk.moments import What
from tests.bench.figures import AT_MOST, Figure, percentile
from tests.integration.sounds import quiet_room
from tests.noises import LONG_QUESTION, NERVOUS, NOISES, Heard, answer_with, asked, said
from tests.virtual_kiosk import settings, virtual_kiosk

_VOICES = ("en-us+m3", "en-gb+f4", "en-us+f5", "en-gb-x-rp", "en-us", "en-gb-scotland")


def figures() -> Iterator[Figure]:
    heard = [_heard(name) for name in list(NOISES)[::2]]
    cut = [each for each in heard if each.cut_s is not None]
    lost = float(sum(each.is_lost for each in heard))
    yield Figure(f"answers lost to {len(heard)} noises", "answers", lost, AT_MOST(0))
    yield Figure("noises that interrupted the agent", "noises", float(len(cut)))
    going_on_s = [each.goes_on_after_quiet_s for each in cut]
    yield Figure(
        "answer goes on after the noise, p95", "s", percentile(going_on_s, 95), AT_MOST(2.5)
    )
    silent_ms = [run_in_lockstep(_silent_ms(voice)) for voice in _VOICES]
    name = "interruption: from the voice's onset to silence, p95"
    yield Figure(name, "ms", percentile(silent_ms, 95), AT_MOST(400))


def _heard(name: str) -> Heard:
    async def answer(directory: Path) -> Heard:
        return await answer_with(await NOISES[name](), NERVOUS, directory, _agent)

    with tempfile.TemporaryDirectory(prefix="kiosk-", dir="/tmp") as directory:
        return run_in_lockstep(answer(Path(directory)))


async def _silent_ms(voice: str) -> float:
    """From the first sample of a question over an answer until the loudspeaker is silent."""
    with tempfile.TemporaryDirectory(prefix="kiosk-", dir="/tmp") as directory:
        async with (
            _agent(behaviour=NERVOUS) as (url, events),
            virtual_kiosk(
                settings(Path(directory), url.replace("http", "ws")), quiet_room()
            ) as kiosk,
        ):
            await asked(kiosk, events)
            spoke_s = loop_now_s() + 2.0
            kiosk.room.say(await said(LONG_QUESTION, voice), spoke_s)
            silent = await kiosk.moment(What.SILENT, spoke_s)
    return (silent.at_s - spoke_s) * 1000 if math.isfinite(silent.at_s) else math.inf


@asynccontextmanager
async def _agent(
    behaviour: AgentBehaviour,
) -> AsyncIterator[tuple[str, list[dict[str, object]]]]:
    guide, events = load_guide(), list[dict[str, object]]()
    recogniser = Recogniser(guide.jsgf(), guide.ignore)
    agent = LocalAgent(AgentSettings(port=0, behaviour=behaviour), guide, recogniser, events.append)
    async with agent.listening() as url:
        yield url, events
