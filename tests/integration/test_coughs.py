"""A noise over an answer costs nothing: the answer goes on from the sentence that was cut.

Each noise plays over a long answer of the local agent's, as the live service was seen to send it,
and under its former nervousness.
"""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from _pytest.mark import ParameterSet

from kiosk.agent.behaviour import AgentBehaviour
from kiosk.audio.levels import rms_dbfs
from kiosk.base.clock import loop_now_s
from kiosk.convai.client_messages import ContextualUpdate, UserActivity, UserMessage
from kiosk.convai.client_parsing import parse_client
from kiosk.moments import What
from tests.integration.conftest import StartAgent
from tests.integration.sounds import RATE_HZ, quiet_room
from tests.lockstep import in_lockstep
from tests.noises import (
    CAPTURED,
    FEW,
    LONG_QUESTION,
    NERVOUS,
    NOISES,
    answer_with,
    asked,
    cough,
    said,
)
from tests.virtual_kiosk import settings, virtual_kiosk

WIDE = pytest.mark.wide


def cases() -> list[ParameterSet]:
    """Every noise under either agent; most take the machine's time to the wide tier."""
    manners = {"nervous": NERVOUS, "captured": CAPTURED}
    return [
        pytest.param(name, behaviour, id=f"{name}, {manner}", marks=() if name in FEW else WIDE)
        for manner, behaviour in manners.items()
        for name in NOISES
    ]


@pytest.mark.parametrize(("name", "behaviour"), cases())
@in_lockstep
async def test_a_noise_costs_no_answer(
    name: str, behaviour: AgentBehaviour, short_dir: Path, start_agent: StartAgent
) -> None:
    heard = await answer_with(await NOISES[name](), behaviour, short_dir, start_agent)
    assert not heard.is_lost
    if heard.cut_s is not None:
        assert heard.silent_after_s <= 0.040
        assert heard.goes_on_after_quiet_s <= 2.5


@pytest.mark.parametrize("behaviour", [CAPTURED, NERVOUS], ids=["captured", "nervous"])
@in_lockstep
async def test_a_real_question_of_six_seconds_is_never_talked_over_and_is_answered(
    behaviour: AgentBehaviour, short_dir: Path, start_agent: StartAgent
) -> None:
    # The visitor thinks aloud first, with pauses that end no turn.
    voice = "en-us+f2"
    thinking = [await said(text, voice) for text in ("i was wondering", "well", "let me see")]
    pause = np.zeros(round(0.25 * RATE_HZ), dtype=np.int16)
    question = await said(LONG_QUESTION, voice)
    spoken = np.concatenate([each for part in thinking for each in (part, pause)] + [question])
    async with (
        start_agent(behaviour=behaviour) as (url, events),
        virtual_kiosk(settings(short_dir, url.replace("http", "ws")), quiet_room()) as kiosk,
    ):
        began_s, _ = await asked(kiosk, events)
        await asyncio.sleep(max(0.0, began_s + 4.0 - loop_now_s()))
        spoke_s = loop_now_s()
        kiosk.room.say(spoken, spoke_s)
        ended_s = spoke_s + len(spoken) / RATE_HZ
        cut = await kiosk.moment(What.INTERRUPTED, spoke_s)
        answer = await kiosk.moment(What.AGENT_HEARD, cut.at_s)
        loudest = rms_dbfs(kiosk.room.loudspeaker(cut.at_s + 0.04, ended_s))
        await kiosk.moment(What.DRAINED, answer.at_s)
        went_on = kiosk.count(What.AGENT_HEARD) > 3
    assert len(spoken) / RATE_HZ == pytest.approx(6, abs=1.5)
    assert loudest == -96.0, "the kiosk talked over a visitor"
    assert answer.at_s > ended_s
    assert not went_on


@in_lockstep
async def test_the_agent_is_kept_silent_and_learns_that_it_was_heard(
    short_dir: Path, start_agent: StartAgent
) -> None:
    heard = await answer_with(cough(3, 0.35), NERVOUS, short_dir, start_agent)
    sent = [parse_client(frame) for frame in heard.passed.from_client]
    kinds = [type(each) for each in sent if isinstance(each, (UserActivity, ContextualUpdate))]
    assert kinds[:2] == [UserActivity, UserActivity]
    assert kinds[-1] is ContextualUpdate
    # What the agent had not sent yet when it was interrupted can only be asked for.
    assert [each.text for each in sent if isinstance(each, UserMessage)] == [
        "Please go on with your last answer where it broke off."
    ]


@in_lockstep
async def test_an_answer_that_goes_on_gives_way_to_half_a_second_of_voice(
    short_dir: Path, start_agent: StartAgent
) -> None:
    async with (
        start_agent(behaviour=NERVOUS) as (url, events),
        virtual_kiosk(settings(short_dir, url.replace("http", "ws")), quiet_room()) as kiosk,
    ):
        began_s, _ = await asked(kiosk, events)
        await asyncio.sleep(max(0.0, began_s + 4.0 - loop_now_s()))
        kiosk.room.say(cough(3, 0.35), loop_now_s())
        cut = await kiosk.moment(What.INTERRUPTED, began_s)
        again = await kiosk.moment(What.AGENT_HEARD, cut.at_s)
        await asyncio.sleep(1.0)
        spoke_s = loop_now_s()
        kiosk.room.say(await said(LONG_QUESTION, "en-us+f2"), spoke_s)
        silent = await kiosk.moment(What.SILENT, again.at_s)
        answer = await kiosk.moment(What.AGENT_HEARD, silent.at_s)
        await kiosk.moment(What.DRAINED, answer.at_s)
        said_last = [e["text"] for e in events if e["event"] == "agent_started"][-1]
    assert silent.at_s - spoke_s <= 0.9
    assert str(said_last).startswith("A ticket for an adult")
