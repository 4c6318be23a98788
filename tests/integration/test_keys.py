"""Keys beside the button, in whole visits: a question of the kiosk's own, and the volume."""

import asyncio
from pathlib import Path

from kiosk.base.clock import loop_now_s
from kiosk.convai.client_messages import UserMessage
from kiosk.devices.keys import STEP_DB
from kiosk.devices.ports import KeyPressed
from kiosk.moments import What
from kiosk.visit.host import SOFTEST_DB
from kiosk.visit.states import State
from tests.convai_server import scripted_server
from tests.integration.sounds import quiet_room
from tests.integration.test_languages import SAID, agent, said, visited
from tests.integration.test_reconnect import lost
from tests.lockstep import in_lockstep
from tests.virtual_kiosk import settings, virtual_kiosk

QUESTION, ANSWER, GREETING = SAID["en"]
KEY = KeyPressed(ask=QUESTION)


@in_lockstep
async def test_a_key_asks_its_question_in_the_visit_under_way(short_dir: Path) -> None:
    its_agent, events = agent([])
    async with visited(its_agent, short_dir) as kiosk:
        kiosk.host.press()
        await kiosk.moment(What.DRAINED)
        await kiosk.state(State.LISTENING)
        for _ in range(2):
            asked_s = loop_now_s()
            kiosk.host.on_button(KEY)
            await kiosk.moment(What.DRAINED, asked_s)
        assert kiosk.count(What.VISIT_STARTED) == 1
    assert said(events) == [GREETING, ANSWER, ANSWER]


@in_lockstep
async def test_without_a_visit_the_key_begins_one_with_its_question(short_dir: Path) -> None:
    its_agent, events = agent([])
    async with visited(its_agent, short_dir) as kiosk:
        await asyncio.sleep(0.1)
        kiosk.host.on_button(KEY)
        await kiosk.until(lambda: ANSWER in said(events))
        assert kiosk.count(What.VISIT_STARTED) == 1


@in_lockstep
async def test_a_key_while_the_visit_opens_is_its_first_question(short_dir: Path) -> None:
    its_agent, events = agent([])
    async with visited(its_agent, short_dir) as kiosk:
        kiosk.host.press()
        await kiosk.state(State.OPENING)
        kiosk.host.on_button(KEY)
        assert kiosk.host.state is State.OPENING, "it is no press"
        await kiosk.until(lambda: ANSWER in said(events))


@in_lockstep
async def test_a_question_is_gone_with_the_press_that_it_came_with(short_dir: Path) -> None:
    its_agent, events = agent([])
    async with visited(its_agent, short_dir) as kiosk:
        kiosk.host.on_button(KEY)
        await kiosk.until(lambda: ANSWER in said(events))
        await asyncio.sleep(1.1)
        kiosk.host.press()
        await kiosk.moment(What.VISIT_ENDED)
        await kiosk.state(State.IDLE)
        await asyncio.sleep(1.1)
        pressed_s = loop_now_s()
        kiosk.host.press()
        await kiosk.moment(What.AGENT_HEARD, pressed_s)
        await kiosk.moment(What.DRAINED, pressed_s)
    assert said(events)[-1] == GREETING


@in_lockstep
async def test_a_connection_that_is_lost_before_the_question_hands_it_on(short_dir: Path) -> None:
    async with (
        scripted_server(metadata_delay_s=0.5) as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.host.on_button(KEY)
        await kiosk.until(lambda: server.sockets)
        server.sockets[0].transport.abort()
        connection = await server.connection()
        await kiosk.until(lambda: connection.of_type(UserMessage))
        await lost(connection)
        again = await server.connection(2)
        await asyncio.sleep(1.0)
        assert kiosk.count(What.ASKED) == 1
        assert not again.of_type(UserMessage), "it was asked, and is told as what was said"
    assert connection.of_type(UserMessage) == [UserMessage(QUESTION)]


@in_lockstep
async def test_keys_change_the_volume_of_the_visit_and_of_no_other(short_dir: Path) -> None:
    its_agent, _ = agent([])
    async with visited(its_agent, short_dir) as kiosk:
        levels: list[float] = []
        speaker = kiosk.host._speaker
        set_level = speaker.set_level

        def noted(level_db: float) -> None:
            levels.append(level_db)
            set_level(level_db)

        speaker.set_level = noted  # type: ignore[method-assign]
        kiosk.host.press()
        await kiosk.state(State.LISTENING)
        for step_db in (STEP_DB, -STEP_DB, -STEP_DB, STEP_DB, *[-STEP_DB] * 9):
            kiosk.host.on_button(KeyPressed(step_db=step_db))
        await asyncio.sleep(1.1)
        kiosk.host.press()
        await kiosk.moment(What.VISIT_ENDED)
    assert levels[:4] == [0.0, -STEP_DB, -2 * STEP_DB, -STEP_DB]
    assert levels[4:-1] == sorted(levels[4:-1], reverse=True)
    assert levels[-2:] == [SOFTEST_DB, 0.0]
