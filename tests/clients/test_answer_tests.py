"""The official client makes, runs and removes tests of the local agent's answers."""

import asyncio

import pytest
from elevenlabs import ElevenLabs
from elevenlabs.conversational_ai.tests.types import TestsCreateRequestBody_Llm as LlmTest
from elevenlabs.core import ApiError
from elevenlabs.types import (
    AgentFailureResponseExample,
    AgentSuccessfulResponseExample,
    ConversationHistoryTranscriptCommonModelInput,
    SingleTestRunRequestModel,
)

from kiosk.agent.server import DEFAULT_AGENT_ID, DEFAULT_API_KEY
from tests.integration.conftest import StartAgent


def a_test(question: str) -> LlmTest:
    return LlmTest(
        name=question,
        chat_history=[
            ConversationHistoryTranscriptCommonModelInput(
                role="user", message=question, time_in_call_secs=0
            )
        ],
        success_condition="It says where the exit is.",
        success_examples=[AgentSuccessfulResponseExample(
            response="The exit is straight ahead, past the ticket desk and the glass doors."
        )],
        failure_examples=[AgentFailureResponseExample(response="There is no exit.")],
    )  # fmt: skip


async def test_the_official_client_runs_tests(start_agent: StartAgent) -> None:
    async with start_agent() as (url, _):
        await asyncio.to_thread(_run, url)


def _run(url: str) -> None:
    client = ElevenLabs(base_url=url, api_key=DEFAULT_API_KEY)
    tests = client.conversational_ai.tests
    ids = [
        tests.create(request=a_test(question)).id
        for question in ("Where is the exit?", "Where is the moon?")
    ]
    begun = client.conversational_ai.agents.run_tests(
        DEFAULT_AGENT_ID, tests=[SingleTestRunRequestModel(test_id=each) for each in ids]
    )
    assert [run.status for run in begun.test_runs] == ["pending", "pending"]
    ended = tests.invocations.get(begun.id)
    assert [run.status for run in ended.test_runs] == ["passed", "failed"]
    right, wrong = ended.test_runs
    assert right.agent_responses is not None
    assert (right.agent_responses[0].message or "").startswith("The exit is straight ahead")
    assert wrong.condition_result is not None
    assert wrong.condition_result.result == "failure"
    for each in ids:
        tests.delete(each)
    with pytest.raises(ApiError) as error:
        tests.delete(ids[0])
    assert error.value.status_code == 404
