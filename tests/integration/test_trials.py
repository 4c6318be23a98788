"""Trials of an agent without a visitor, over a real connection."""

import asyncio

import pytest

from kiosk.contract import EndVisit
from kiosk.convai.client_messages import Initiation, UserAudio
from kiosk.convai.server_messages import ErrorReport
from kiosk.endings import Kind
from kiosk.errors import CredentialError
from kiosk.link.credentials import Opening, PublicAgent
from kiosk.visit.trial import try_agent
from tests.convai_server import ScriptedServer, scripted_server
from tests.lockstep import in_lockstep

INITIATION = Initiation(user_id="lobby")


class Accounted(PublicAgent):
    """A public agent that remembers what it was told of each conversation."""

    def __init__(self, url: str) -> None:
        super().__init__(url, "agent_local")
        self.ends: list[EndVisit] = []
        self.spent: list[str] = []

    async def spend(self, opening: Opening, press_id: str) -> None:
        self.spent.append(press_id)

    def account_for(self, opening: Opening, end: EndVisit) -> None:
        self.ends.append(end)


async def tried(server: ScriptedServer, credentials: Accounted) -> bool | None:
    return (await try_agent(credentials, INITIATION, "press")).well


@in_lockstep
async def test_an_agent_that_listens_is_left_at_once_and_accounted_for() -> None:
    async with scripted_server() as server:
        credentials = Accounted(server.url)
        assert await tried(server, credentials)
        connection = await server.connection()
        await asyncio.wait_for(connection.closed.wait(), 5)
    assert connection.of_type(UserAudio) == [], "nobody is there"
    assert connection.of_type(Initiation) == [INITIATION]
    assert credentials.spent == ["press"]
    (end,) = credentials.ends
    assert (end.press_id, end.outcome) == ("press", Kind.TRIAL)
    assert 0 < end.duration_s < 3


@in_lockstep
async def test_an_agent_that_accepts_and_then_refuses_is_not_well() -> None:
    async with scripted_server() as server:
        credentials = Accounted(server.url)
        trying = asyncio.create_task(tried(server, credentials))
        connection = await server.connection()
        await connection.send(ErrorReport(1008, "no", "quota_exceeded"))
        await connection.close(1008, "quota")
        assert not await trying
    assert len(credentials.ends) == 1


@in_lockstep
async def test_nobody_who_answers_is_not_well() -> None:
    credentials = Accounted("ws://127.0.0.1:1")
    assert not (await try_agent(credentials, INITIATION, "press")).well
    assert len(credentials.ends) == 1


@in_lockstep
async def test_without_a_credential_nothing_is_tried_and_nothing_booked() -> None:
    class Without(Accounted):
        async def take(self, press_id: str, language: str | None = None) -> Opening:
            raise CredentialError("paused", reason="paused")

    credentials = Without("ws://127.0.0.1:1")
    assert not (await try_agent(credentials, INITIATION, "press")).well
    assert credentials.ends == []


@pytest.mark.parametrize("silent_s", [60.0])
@in_lockstep
async def test_an_agent_that_never_greets_is_given_up(silent_s: float) -> None:
    async with scripted_server(metadata_delay_s=silent_s) as server:
        credentials = Accounted(server.url)
        assert not await tried(server, credentials)
    assert len(credentials.ends) == 1


@in_lockstep
async def test_why_it_is_not_well_is_said_for_the_operator() -> None:
    async with scripted_server() as server:
        trying = asyncio.create_task(try_agent(Accounted(server.url), INITIATION, "press"))
        connection = await server.connection()
        await connection.close(1008, "Override for field 'first_message' is not allowed by config.")
        trial = await trying
    assert trial.well is False
    assert "first_message" in trial.why
    trial = await try_agent(Accounted("ws://127.0.0.1:1"), INITIATION, "press")
    assert trial.well is False
    assert trial.why
