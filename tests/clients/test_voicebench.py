"""voicebench judges the local agent as it would any voice agent: by the sound that is heard.

It plays its scenarios over a socket, in the machine's own time. The gates are its own example's;
those of time are asked by `make bench`.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from kiosk.agent.guide import Guide
from tests.clients.voicebench_session import QUESTIONS, Turn, asked, measured, over_the_answer, said
from tests.integration.conftest import StartAgent

# From a noise's onset: long enough for what the agent makes of it once it is over.
NOTICED_MS = 2500
LEVEL_DB = -25  # of the cough in voicebench's example

WHALE = "tell me about the blue whale"
BURST = {"synth": "noise", "duration_ms": 180, "level_db": LEVEL_DB}
LONG_BURST = {"synth": "noise", "duration_ms": 450, "level_db": LEVEL_DB}


@pytest.fixture
def eloquent(guide: Guide) -> Guide:
    """The museum's guide, whose first sentence is its longest answer."""
    entry = guide.entry_for(WHALE)
    assert entry is not None
    return replace(guide, greeting=entry.say)


async def test_voicebench_hears_every_question_answered_in_its_turn(
    start_agent: StartAgent, guide: Guide, tmp_path: Path
) -> None:
    async with start_agent(replace(guide, greeting="Welcome.")) as (url, _):
        gates = {"max_missed_responses": 0, "max_wer": 0}
        result = await measured(url, await asked(tmp_path), gates, longest_s=55)
    assert result.passed
    assert result.summary["response_latency_ms"]["count"] == len(QUESTIONS)
    assert result.summary["talk_overs"] == 0


async def test_voicebench_hears_an_interruption_stop_the_agent(
    start_agent: StartAgent, eloquent: Guide, tmp_path: Path
) -> None:
    audio = await said("when does the museum close", tmp_path)
    turn = over_the_answer(audio, "stop", NOTICED_MS)
    async with start_agent(eloquent) as (url, _):
        result = await measured(url, [turn], {"min_barge_in_success_rate": 1.0}, longest_s=5.5)
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
