"""The door of a custom LLM, asked by OpenAI's own client and by whoever else."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import SecretStr

from kiosk.agent.mind_link import MindSettings, mind_link
from kiosk.backend.mind.access import MindAccess
from kiosk.backend.mind.files import load_flow
from kiosk.backend.mind.pacing import Pace
from kiosk.backend.mind.port import Mind
from kiosk.backend.mind.scripted import ScriptedMind
from kiosk.backend.web.metrics import Metrics
from kiosk.contract import CHAT_COMPLETIONS_PATH, GUIDES_LLM_PATH, LLM_PATH, RESPONSES_PATH
from kiosk.convai.speech_engine import Said
from kiosk.errors import UnavailableError
from tests.backend.conftest import API_KEY, Backend, BackendFactory
from tests.backend.mind.conftest import SlowMind, served
from tests.slowness import patient_s

MUSEUM = load_flow("museum")
SECRET = "a-secret-of-the-custom-llm"
PATHS = (CHAT_COMPLETIONS_PATH, RESPONSES_PATH)

pytestmark = pytest.mark.parametrize("place", ["sqlite"], indirect=True)


@dataclass(frozen=True, slots=True)
class Door:
    """A backend's, at this address."""

    address: str
    metrics: Metrics

    def client(self, secret: str = SECRET) -> openai.AsyncOpenAI:
        """OpenAI's own."""
        base_url = f"http://{self.address}{LLM_PATH}"
        return openai.AsyncOpenAI(base_url=base_url, api_key=secret, max_retries=0)

    def http(self) -> httpx2.AsyncClient:
        """Anybody's, who has the secret."""
        headers = {"Authorization": f"Bearer {SECRET}"}
        return httpx2.AsyncClient(base_url=f"http://{self.address}", headers=headers)


@pytest.fixture
def hanging() -> SlowMind:
    return SlowMind(hangs=True)


@asynccontextmanager
async def door_to(mind: Mind, backend_with: BackendFactory) -> AsyncIterator[Door]:
    opened_by = [SecretStr("the old one"), SecretStr(SECRET)]
    pace = Pace(filler_after_s=1000, apology_after_s=2000)
    access = MindAccess(mind, SecretStr(API_KEY), opened_by, pace, most=3)
    async with backend_with(mind=access) as backend, served(backend) as address:
        yield Door(address, backend.services.metrics)


@pytest.fixture
async def door(backend_with: BackendFactory) -> AsyncIterator[Door]:
    async with door_to(ScriptedMind(MUSEUM), backend_with) as door:
        yield door


@pytest.fixture
async def hanging_door(backend_with: BackendFactory, hanging: SlowMind) -> AsyncIterator[Door]:
    async with door_to(hanging, backend_with) as door:
        yield door


async def test_openais_client_hears_chat_completions(door: Door) -> None:
    talk: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "You are a guide."},
        {"role": "assistant", "content": MUSEUM.greeting},
        {"role": "user", "content": "yes"},
    ]
    async with door.client() as client:
        stream = await client.chat.completions.create(model="museum", messages=talk, stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == MUSEUM.topic[1].ask
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.model for chunk in chunks} == {"museum"}
    assert len({chunk.id for chunk in chunks}) == 1


async def test_openais_client_hears_responses(door: Door) -> None:
    async with (
        door.client() as client,
        client.responses.stream(model="museum", input="yes") as stream,
    ):
        kinds = [event.type async for event in stream]
        whole = await stream.get_final_response()
    assert whole.output_text == MUSEUM.topic[1].ask
    assert whole.status == "completed"
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


@pytest.mark.parametrize("path", PATHS)
async def test_the_agent_goes_through_the_flow(door: Door, path: str) -> None:
    settings = MindSettings(f"http://{door.address}{path}", SECRET)
    talk = [Said("agent", MUSEUM.greeting)]
    async with mind_link(settings, "conv_1", "lobby") as mind:
        for words in ("yes", "one hour", "with children", "the whales"):
            talk.append(Said("user", words))
            talk.append(Said("agent", await mind.answer(talk)))
    assert "you have one hour, you come with children, and you like the whales" in talk[-1].content


async def test_the_webhook_of_a_widely_read_guide_is_answered_whole(door: Door) -> None:
    asked = {
        "messages": [
            {"role": "assistant", "content": MUSEUM.greeting},
            {"role": "user", "content": "yes"},
        ],
        "variables": {"visitor": {"name": "unknown"}, "step": 1},
    }
    async with door.http() as client:
        answer = await client.post(GUIDES_LLM_PATH, json=asked)
        assert answer.json() == {"content": MUSEUM.topic[1].ask, "variables": asked["variables"]}
        for wrong in ('{"messages": []}', '{"variables": 1}', "[]"):
            assert (await client.post(GUIDES_LLM_PATH, content=wrong)).status_code == 422
        unknown = {"Authorization": "Bearer x"}
        answer = await client.post(GUIDES_LLM_PATH, json=asked, headers=unknown)
        assert answer.status_code == 401


async def test_what_became_of_an_answer_is_counted(door: Door) -> None:
    settings = MindSettings(f"http://{door.address}{RESPONSES_PATH}", SECRET)
    async with mind_link(settings, "conv_1") as mind:
        await mind.answer([Said("user", "yes")])
    page = door.metrics.render(0, 0.0, {}, 0).decode()
    assert 'kiosk_backend_mind_answers_total{result="answered"} 1.0' in page
    assert "kiosk_backend_mind_first_text_seconds_count 1.0" in page


@pytest.mark.parametrize("path", PATHS)
async def test_without_the_secret_nobody_is_answered(door: Door, path: str) -> None:
    body = {"messages": [{"role": "user", "content": "yes"}], "input": "yes", "stream": True}
    async with door.http() as client:
        for shown in ("", "Bearer", "Bearer x", f"Basic {SECRET}", f"Bearer {SECRET}x", SECRET):
            answer = await client.post(path, json=body, headers={"Authorization": shown})
            assert answer.status_code == 401, shown
        old = {"Authorization": "Bearer the old one"}
        assert (await client.post(path, json=body, headers=old)).status_code == 200
    async with door.client("another") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.responses.create(model="m", input="yes", stream=True)
    with pytest.raises(UnavailableError):
        async with mind_link(MindSettings(f"http://{door.address}{path}", "another"), "c") as mind:
            await mind.answer([Said("user", "yes")])


@pytest.mark.parametrize("path", PATHS)
async def test_what_makes_no_sense_is_refused_and_the_door_stays_open(
    door: Door, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with door.http() as client:
        for body, status in (
            (b"{", 422),
            (b'{"messages": [], "input": []}', 422),
            (b'{"stream": true, "messages": [], "input": []}', 422),
            (b'"' + b"where are the whales " * 60_000 + b'"', 413),
        ):
            answer = await client.post(path, content=body)
            assert answer.status_code == status
            assert answer.headers["Content-Type"].startswith("application/problem+json")
        talk = [{"role": "user", "content": "where are the whales" + " " * 100_000}]
        answer = await client.post(path, json={"messages": talk, "input": talk, "stream": True})
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert "whales" not in caplog.text


@pytest.mark.parametrize("path", PATHS)
async def test_of_an_answer_that_nobody_hears_no_more_is_made(
    hanging_door: Door, hanging: SlowMind, path: str
) -> None:
    settings = MindSettings(f"http://{hanging_door.address}{path}", SECRET)
    async with mind_link(settings, "c") as mind:
        asking = asyncio.create_task(mind.answer([Said("user", "first")]))
        async with asyncio.timeout(patient_s(10)):
            await hanging.begun.wait()
        asking.cancel()
        await asyncio.wait((asking,))
        async with asyncio.timeout(patient_s(10)):
            assert await hanging.endings.get() == "first"


async def test_pieces_come_as_they_are_made_and_no_more_than_so_many_ask(
    hanging_door: Door, hanging: SlowMind
) -> None:
    async with hanging_door.client() as client:
        streams = []
        for number in range(3):
            stream = await client.responses.create(model="m", input=f"q{number}", stream=True)
            async for event in stream:
                if event.type == "response.output_text.delta":
                    assert event.delta == f"q{number} 0. "
                    break
            streams.append(stream)
        with pytest.raises(openai.InternalServerError) as error:
            await client.responses.create(model="m", input="one too many", stream=True)
        assert error.value.status_code == 503
        for stream in streams:
            await stream.close()
        async with asyncio.timeout(patient_s(10)):
            assert {await hanging.endings.get() for _ in streams} == {"q0", "q1", "q2"}
        later = await client.responses.create(model="m", input="later", stream=True)
        await later.close()


async def test_a_backend_without_a_mind_has_no_such_door(backend: Backend) -> None:
    async with served(backend) as address, httpx2.AsyncClient() as client:
        for path in PATHS:
            answer = await client.post(f"http://{address}{path}", content=json.dumps({}))
            assert answer.status_code == 404
