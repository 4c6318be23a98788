"""The other road to the agent: whole visits over WebRTC, in a network of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kiosk.agent.voice import AgentVoice
from kiosk.base.clock import loop_now_s
from kiosk.moments import What
from kiosk.visit.states import State
from tests.integration.conftest import StartAgent
from tests.integration.sounds import RATE_HZ, quiet_room
from tests.own_network import own_network
from tests.virtual_kiosk import settings, virtual_kiosk


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    with own_network():
        yield


async def test_a_visitor_asks_and_is_answered_over_webrtc(
    short_dir: Path, start_agent: StartAgent
) -> None:
    question = await AgentVoice("en-us+f2").render("where are the dinosaurs", RATE_HZ)
    async with start_agent() as (url, events):
        agent = {"transport": "webrtc", "url": url.replace("http", "ws"), "id": "agent_local"}
        its = settings(short_dir, "", agent=agent)
        async with virtual_kiosk(its, quiet_room()) as kiosk:
            kiosk.button.press()
            await kiosk.moment(What.AGENT_HEARD, timeout_s=20)
            await kiosk.moment(What.DRAINED, timeout_s=20)
            asked_s = loop_now_s()
            kiosk.room.say(question, asked_s)
            answer = await kiosk.moment(What.AGENT_HEARD, asked_s, timeout_s=20)
            await kiosk.moment(What.DRAINED, answer.at_s, timeout_s=20)
            kiosk.button.press()
            await kiosk.state(State.IDLE)
            for m in kiosk.moments:
                print(m)
    for e in events:
        print(e)
    assert [event["text"] for event in events if event["event"] == "heard"] == [
        "where are the dinosaurs"
    ]
