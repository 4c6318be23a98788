"""A session of voicebench's with the local agent: what is said, and what it makes of it."""

import sys
from pathlib import Path
from typing import Any

from voicebench.audio import from_pcm16, write_wav
from voicebench.bench import BenchResult, run_benchmark
from voicebench.report import render_console
from voicebench.scenario import parse_scenario

from kiosk.agent.server import DEFAULT_AGENT_ID
from kiosk.agent.signatures import CONVERSATION_PATH
from kiosk.agent.voice import AgentVoice
from kiosk.audio.pcm import samples_to_bytes
from kiosk.lab.demo.lines import VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE

RATE_HZ = 16_000
QUESTIONS = (
    "where is the exit please",
    "when does the museum close",
    "where is the lift please",
    "where are the dinosaurs please",
)

Turn = dict[str, Any]


async def said(text: str, directory: Path) -> Turn:
    """What a scenario says of a sentence's sound."""
    path = directory / f"{text}.wav"
    voice = AgentVoice(VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE)
    samples = await voice.render(text, RATE_HZ)
    write_wav(path, from_pcm16(samples_to_bytes(samples)), RATE_HZ)
    return {"file": str(path)}


def over_the_answer(audio: Turn, expect: str, max_stop_ms: int) -> Turn:
    start = {"after": "agent_speech_start", "delay_ms": 2000}
    return {"audio": audio, "start": start, "expect": expect, "max_stop_ms": max_stop_ms}


async def asked(directory: Path) -> list[Turn]:
    """All questions, one after the other's answer."""
    return [
        {
            "id": text,
            "audio": await said(text, directory),
            "text": text,
            "start": {"after": "agent_speech_end", "delay_ms": 100},
        }
        for text in QUESTIONS
    ]


async def measured(url: str, turns: list[Turn], gates: Turn, longest_s: float) -> BenchResult:
    """One session of voicebench's, and what it says of its gates; told, too."""
    scenario = {
        "name": "local agent",
        "sample_rate": RATE_HZ,
        # Or a pause between two sentences of the agent's would be the end of its answer.
        "vad": {"agent": {"min_silence_ms": 600}},
        "max_duration_ms": longest_s * 1000,
        "turns": turns,
        "assert": gates,
    }
    address = f"{url.replace('http', 'ws', 1)}{CONVERSATION_PATH}?agent_id={DEFAULT_AGENT_ID}"
    adapter = "tests.clients.convai_adapter:ConvaiAdapter"
    result = await run_benchmark(parse_scenario(scenario), adapter, {"url": address})
    print(render_console(result.report, result.sessions), file=sys.stderr)
    return result
