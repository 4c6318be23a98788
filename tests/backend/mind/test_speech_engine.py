"""The door of the speech engine: who comes in, and what is never sent."""

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Callable

import pytest
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from kiosk.backend.mind.access import MindAccess
from kiosk.backend.mind.files import load_flow
from kiosk.backend.mind.pacing import Pace
from kiosk.backend.mind.scripted import ScriptedMind
from kiosk.backend.mind.speech_engine import EngineSession
from kiosk.contract import SPEECH_ENGINE_PATH
from kiosk.convai import speech_engine as wire
from kiosk.convai.speech_engine import Said
from tests.backend.conftest import API_KEY, Backend, BackendFactory
from tests.backend.mind.conftest import SlowMind, served
from tests.slowness import patient_s
from tests.virtual_time import virtual_time

MUSEUM = load_flow("museum")


class Service:
    """Asks a session as the provider does; keeps what it says."""

    def __init__(self, mind: SlowMind | ScriptedMind) -> None:
        self.answers: list[wire.Answered] = []
        self.pongs = 0
        self.session = EngineSession(mind, self._take, Pace(filler_after_s=5), lambda *_: None)

    async def _take(self, frame: str) -> None:
        answer = wire.read_answer(frame)
        if answer is None:
            self.pongs += json.loads(frame) == {"type": "pong"}
        else:
            self.answers.append(answer)

    async def ask(self, event_id: int, question: str) -> None:
        assert await self.session.receive(wire.write_asked(event_id, [Said("user", question)]))

    def heard(self) -> list[tuple[int | None, str, bool]]:
        return [(each.event_id, each.content, each.is_final) for each in self.answers]


@virtual_time
async def test_an_answer_is_streamed_and_ended() -> None:
    service = Service(SlowMind(2))
    await service.ask(7, "where")
    await asyncio.sleep(3)
    assert service.heard() == [(7, "where 0. ", False), (7, "where 1. ", False), (7, "", True)]


@virtual_time
async def test_of_a_turn_that_was_cut_nothing_more_is_sent() -> None:
    mind = SlowMind()
    service = Service(mind)
    await service.ask(1, "first")
    await asyncio.sleep(2.5)
    before_s = asyncio.get_running_loop().time()
    await service.ask(2, "second")
    assert asyncio.get_running_loop().time() - before_s < 0.05
    assert mind.ended == ["first"], "the model is not asked for any more of it"
    await asyncio.sleep(10)
    assert [each.event_id for each in service.answers] == [1, 1, 2, 2, 2, 2, 2, 2]


@virtual_time
async def test_what_is_being_answered_is_not_answered_twice() -> None:
    mind = SlowMind(2)
    service = Service(mind)
    for _ in range(3):
        await service.ask(4, "where")
        await asyncio.sleep(0.1)
    await asyncio.sleep(5)
    assert mind.asked == ["where"]
    await service.ask(4, "where")  # it is over: the service wants it once more
    await asyncio.sleep(5)
    assert mind.asked == ["where", "where"]


@virtual_time
async def test_the_rest_of_the_wire() -> None:
    service = Service(SlowMind())
    for frame in (
        "{",
        "[]",
        '{"type": "user_transcript"}',
        '{"type": "later"}',
        '{"type": "error"}',
    ):
        assert await service.session.receive(frame)
    assert await service.session.receive('{"type": "ping"}')
    assert service.pongs == 1
    await service.ask(1, "where")
    assert not await service.session.receive('{"type": "close"}')
    await service.session.close()
    await asyncio.sleep(10)
    assert service.answers == []


# --- over a real socket ---------------------------------------------------------------------------


@pytest.fixture
async def door(backend_with: BackendFactory) -> AsyncIterator[Callable[..., connect]]:
    access = MindAccess(ScriptedMind(MUSEUM), SecretStr(API_KEY), most=3)
    async with backend_with(mind=access) as backend, served(backend) as url:

        def opened(key: str = API_KEY, **headers: str) -> connect:
            shown = {wire.AUTHORIZATION: f"Bearer {wire.sign(key, time.time())}", **headers}
            return connect(f"ws://{url}{SPEECH_ENGINE_PATH}", additional_headers=shown)

        yield opened


async def answer_of(service: ClientConnection, event_id: int, *talk: Said) -> str:
    await service.send(wire.write_asked(event_id, talk))
    text = ""
    while True:
        answer = wire.read_answer(await service.recv())
        assert answer is not None
        assert answer.event_id == event_id
        text += answer.content
        if answer.is_final:
            return text


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_a_conversation_goes_through_the_flow(door: Callable[..., connect]) -> None:
    async with door() as service:
        await service.send(wire.write_begun("conv_1"))
        talk = [Said("agent", MUSEUM.greeting)]
        for number, words in enumerate(("yes", "one hour", "with children", "the whales")):
            talk.append(Said("user", words))
            talk.append(Said("agent", await answer_of(service, number, *talk)))
        await service.send(wire.write_ended())
        await service.wait_closed()
        assert service.close_code == 1000
    assert [each.content for each in talk[2:8:2]] == [topic.ask for topic in MUSEUM.topic[1:]]
    assert "you have one hour, you come with children, and you like the whales" in talk[-1].content


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_frames_of_bytes_and_a_service_that_is_gone_are_no_matter(
    door: Callable[..., connect], caplog: pytest.LogCaptureFixture
) -> None:
    async with door() as service:
        await service.send(wire.write_begun("conv_1").encode())
        await service.send(b"\xff\xfe")
        await service.send("")
        assert await answer_of(service, 1, Said("user", "yes")) == MUSEUM.topic[1].ask
    for _ in range(20):
        async with door() as service:
            await service.send(wire.write_asked(1, [Said("user", "yes")]))
            service.transport.abort()
    async with door() as service:
        assert await answer_of(service, 1, Said("user", "yes")) == MUSEUM.topic[1].ask
    gc.collect()  # a task whose error nobody took complains here
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_nobody_else_gets_in(door: Callable[..., connect]) -> None:
    old = wire.sign(API_KEY, time.time() - 3600)
    for refused in (
        door("another key"),
        door(**{wire.AUTHORIZATION: ""}),
        door(**{wire.AUTHORIZATION: "x.y.z"}),
        door(**{wire.AUTHORIZATION: f"Bearer {old}"}),
    ):
        with pytest.raises(InvalidStatus) as error:
            await refused
        assert error.value.response.status_code == 403


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_so_many_conversations_and_no_more(door: Callable[..., connect]) -> None:
    async with door() as first, door(), door():
        with pytest.raises(InvalidStatus):
            await door()
        assert await answer_of(first, 1, Said("user", "yes")) == MUSEUM.topic[1].ask
    async with door() as later:
        assert await answer_of(later, 1, Said("user", "yes")) == MUSEUM.topic[1].ask


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_a_service_that_asks_nothing_more_is_not_waited_for(
    backend_with: BackendFactory,
) -> None:
    access = MindAccess(ScriptedMind(MUSEUM), SecretStr(API_KEY), longest_s=0.2)
    shown = {wire.AUTHORIZATION: wire.sign(API_KEY, time.time())}
    async with (
        backend_with(mind=access) as backend,
        served(backend) as url,
        connect(f"ws://{url}{SPEECH_ENGINE_PATH}", additional_headers=shown) as service,
        asyncio.timeout(patient_s(10)),
    ):
        await service.wait_closed()
        assert service.close_code == 1000


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_a_backend_without_a_mind_lets_nobody_in(backend: Backend) -> None:
    async with served(backend) as url:
        shown = {wire.AUTHORIZATION: wire.sign(API_KEY, time.time())}
        with pytest.raises(InvalidStatus):
            await connect(f"ws://{url}{SPEECH_ENGINE_PATH}", additional_headers=shown)
