"""voicebench measures the local agent as it would any voice agent: by the sound that is heard.

It plays its scenarios over a socket, in the machine's own time. The gates are its own example's.
Half a second of voice interrupts the agent, which is too late for one gate: to know sooner what is
said it would have to recognise a word in 0.2 s, and its recogniser needs nearly as long for that.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from voicebench.audio import from_pcm16, write_wav
from voicebench.bench import BenchResult, run_benchmark
from voicebench.report import render_console
from voicebench.scenario import parse_scenario

from kiosk.agent.guide import Guide
from kiosk.agent.server import DEFAULT_AGENT_ID
from kiosk.agent.signatures import CONVERSATION_PATH
from kiosk.agent.voice import AgentVoice
from kiosk.audio.pcm import samples_to_bytes
from kiosk.lab.demo.lines import VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE
from tests.integration.conftest import StartAgent
from tests.slowness import patient_s

RATE_HZ = 16_000
P90_S = 1.2
STOP_MS = 400
# From a noise's onset: long enough for what the agent makes of it once it is over.
NOTICED_MS = 2500
LEVEL_DB = -25  # of the cough in voicebench's example

WHALE = "tell me about the blue whale"
QUESTIONS = (
    "where is the exit please",
    "when does the museum close",
    "where is the lift please",
    "where are the dinosaurs please",
)
BURST = {"synth": "noise", "duration_ms": 180, "level_db": LEVEL_DB}
LONG_BURST = {"synth": "noise", "duration_ms": 450, "level_db": LEVEL_DB}

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


async def measured(url: str, turns: list[Turn], gates: Turn, longest_s: float) -> BenchResult:
    """One session of voicebench's, and what it says of its gates; printed, too."""
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
    print(render_console(result.report, result.sessions))
    return result


def misses(why: str) -> pytest.MarkDecorator:
    """The gate stands, and the agent does not meet it."""
    return pytest.mark.xfail(strict=True, raises=AssertionError, reason=why)


@pytest.fixture
def eloquent(guide: Guide) -> Guide:
    """The museum's guide, whose first sentence is its longest answer."""
    entry = guide.entry_for(WHALE)
    assert entry is not None
    return replace(guide, greeting=entry.say)


async def test_voicebench_hears_nine_answers_of_ten_begin_within_1200_ms(
    start_agent: StartAgent, guide: Guide, tmp_path: Path
) -> None:
    turns = [
        {
            "id": text,
            "audio": await said(text, tmp_path),
            "text": text,
            "start": {"after": "agent_speech_end", "delay_ms": 100},
        }
        for text in QUESTIONS
    ]
    gates = {
        "p90_response_latency_ms": patient_s(P90_S) * 1000,
        "max_missed_responses": 0,
        "max_wer": 0,
    }
    async with start_agent(replace(guide, greeting="Welcome.")) as (url, _):
        result = await measured(url, turns, gates, longest_s=55)
    assert result.passed
    assert result.summary["response_latency_ms"]["count"] == len(QUESTIONS)
    assert result.summary["talk_overs"] == 0


@misses("stops 490 ms after the onset: half a second of voice is what interrupts it")
async def test_voicebench_hears_the_agent_stop_within_400_ms_of_an_interruption(
    start_agent: StartAgent, eloquent: Guide, tmp_path: Path
) -> None:
    turn = over_the_answer(await said("when does the museum close", tmp_path), "stop", STOP_MS)
    gates = {"max_barge_in_stop_ms": STOP_MS, "min_barge_in_success_rate": 1.0}
    async with start_agent(eloquent) as (url, _):
        result = await measured(url, [turn], gates, longest_s=5.5)
    assert result.passed


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(BURST, id="180 ms burst"),
        pytest.param(LONG_BURST, id="450 ms burst"),
        pytest.param("uh-huh", id="uh-huh"),
    ],
)
async def test_voicebench_hears_no_noise_interrupt_the_agent(
    noise: Turn | str, start_agent: StartAgent, eloquent: Guide, tmp_path: Path
) -> None:
    audio = await said(noise, tmp_path) if isinstance(noise, str) else noise
    turn = over_the_answer(audio, "ignore", NOTICED_MS)
    async with start_agent(eloquent) as (url, _):
        result = await measured(url, [turn], {"max_false_barge_ins": 0}, longest_s=5.5)
    heard = result.sessions[0].turns[0]
    # A noise beside the answer would prove nothing.
    assert heard.trigger == "anchor"
    assert heard.spurious_response is False
    assert result.passed
