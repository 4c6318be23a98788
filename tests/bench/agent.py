"""The local agent by voicebench, which hears it over a socket as it would any voice agent.

Half a second of voice interrupts the agent, which is too late for one of its gates: to know
sooner what is said it would have to recognise a word in 0.2 s, and its recogniser needs nearly as
long for that.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from kiosk.agent.guide import Guide, load_guide
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.server import AgentSettings, LocalAgent
from tests.bench.figures import AT_MOST, Figure
from tests.clients.voicebench_session import Turn, asked, measured, over_the_answer, said

_P90_MS = 1200
_STOP_MS = 400
_NOTICED_MS = 2500
_LONG = "tell me about the blue whale"  # has the longest answer

Summary = dict[str, dict[str, float]]


def figures() -> Iterator[Figure]:
    """When nine of ten answers have begun, and when an interrupted one has stopped."""
    return iter(asyncio.run(_figures()))


async def _figures() -> list[Figure]:
    guide = load_guide()
    with tempfile.TemporaryDirectory(prefix="kiosk-bench-") as name:
        directory = Path(name)
        turns = await asked(directory)
        summary = await _session(replace(guide, greeting="Welcome."), turns, longest_s=55)
        answer_ms = summary["response_latency_ms"]["p90"]
        over = over_the_answer(
            await said("when does the museum close", directory), "stop", _NOTICED_MS
        )
        long = guide.entry_for(_LONG)
        assert long is not None
        summary = await _session(replace(guide, greeting=long.say), [over], longest_s=5.5)
        stop_ms = summary["barge_in_stop_ms"]["max"]
    return [
        Figure("local agent, by voicebench: answer begins, p90", "ms", answer_ms, AT_MOST(_P90_MS)),
        Figure("local agent, by voicebench: interrupted, stops", "ms", stop_ms, AT_MOST(_STOP_MS)),
    ]


async def _session(guide: Guide, turns: list[Turn], longest_s: float) -> Summary:
    recogniser = Recogniser(guide.jsgf(), guide.ignore)
    agent = LocalAgent(AgentSettings(port=0), guide, recogniser, lambda _: None)
    async with agent.listening() as url:
        return (await measured(url, turns, {}, longest_s)).summary
