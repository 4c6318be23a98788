"""What a conformance report finds in the official Python client, whose defects are known.

The client's deaths are real: it is a package of others, and talks with the agent over a socket.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kiosk.agent.behaviour import AgentBehaviour
from kiosk.agent.guide import Guide
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.server import AgentSettings, LocalAgent
from kiosk.lab.conformance.examination import Examiner
from kiosk.lab.conformance.probes import EXAMINED_TOOL
from kiosk.lab.conformance.report import ConformanceReport
from kiosk.lab.conformance.verdicts import RuleVerdict
from tests.clients.test_python_client import Caller, Headset

# Each of these ends the client's session.
DIES_OF = [
    "survives_audio_without_id",
    "survives_interruption_without_id",
    "survives_no_payload",
    "survives_no_type",
    "survives_not_an_object",
    "survives_malformed",
    "survives_deep",
    "survives_second_metadata",
]


class Examined:
    """An agent that examines, and what it reports."""

    def __init__(
        self, url: str, over: asyncio.Event, reports: asyncio.Queue[ConformanceReport]
    ) -> None:
        self.over = over
        self._url = url
        self._reports = reports

    async def call(
        self, headset: Headset | None = None, *, stay_s: float = 20.0
    ) -> ConformanceReport:
        """Let the client call until it dies, or was examined, or for so long."""
        caller = Caller(self._url, headset)
        caller.conversation.client_tools.register(EXAMINED_TOOL, lambda _: {"rooms": ["hall"]})
        async with caller.calling():
            ends = (
                asyncio.to_thread(caller.ends.get, timeout=stay_s),
                self.over.wait(),
            )
            tasks = [asyncio.create_task(end) for end in ends]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await caller.hang_up()  # which ends the client's thread, and with it both
            await tasks[0]
            tasks[1].cancel()
        async with asyncio.timeout(5):
            return await self._reports.get()


@pytest.fixture
async def examined(guide: Guide, recogniser: Recogniser) -> AsyncIterator[Examined]:
    over, reports = asyncio.Event(), asyncio.Queue[ConformanceReport]()
    agent = LocalAgent(
        AgentSettings(port=0, behaviour=AgentBehaviour(input_format="pcm_24000")),
        guide,
        recogniser,
        lambda _: None,
        examiner=Examiner(reports.put_nowait, over.set),
    )
    async with agent.listening() as url:
        yield Examined(url, over, reports)


async def test_the_report_finds_that_the_official_client_does_not_look_at_the_announced_format(
    examined: Examined,
) -> None:
    report = await examined.call(Headset())
    format_ = report.judgements["uplink_format"]
    assert format_.verdict is RuleVerdict.FAIL
    assert "it fits pcm_16000, which was not announced" in format_.measured
    assert report.judgements["uplink_pacing"].verdict is RuleVerdict.PASS
    chunks = report.judgements["chunk_length"]
    assert (chunks.verdict, chunks.measured[:8]) == (RuleVerdict.WARN, "250.0 ms")


async def test_the_report_finds_what_the_official_client_makes_of_tools(
    examined: Examined,
) -> None:
    report = await examined.call()
    failed = report.verdicts(RuleVerdict.FAIL)
    assert {"tool_result_string", "types_true", "no_result_unasked"} <= set(failed)
    assert report.judgements["tool_error_flagged"].verdict is RuleVerdict.PASS


async def test_the_report_finds_that_the_official_client_asks_for_text_at_the_wrong_level(
    examined: Examined,
) -> None:
    report = await examined.call()
    assert report.judgements["overrides_at_their_level"] == (
        RuleVerdict.WARN,
        "not where the contract has it: text_only",
    )


async def test_the_report_finds_every_frame_that_ends_the_official_client(
    examined: Examined,
) -> None:
    while not examined.over.is_set():
        report = await examined.call()
        assert report.connections <= len(DIES_OF) + 1
    survival = [name for name in report.judgements if name.startswith("survives")]
    dies_of = [name for name in survival if report.judgements[name].verdict is RuleVerdict.FAIL]
    unseen = [name for name in survival if report.judgements[name].verdict is RuleVerdict.UNSEEN]
    assert dies_of == DIES_OF
    assert unseen == ["survives_interruption"], "there is none in a conversation in text"
    assert report.judgements["pong_prompt"].verdict is RuleVerdict.PASS
    assert report.judgements["clean_close"].verdict is RuleVerdict.PASS
