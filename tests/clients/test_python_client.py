"""The official Python client talks with the local agent as it talks with the service.

It is the package that people take first, so what it makes of the agent's frames is a judgement that
none of our own code has a part in. It runs in threads of its own; the agent in the test's loop.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from queue import Empty, Queue
from typing import Any, TypeVar

import numpy as np
import pytest

from kiosk.agent.guide import Guide
from kiosk.agent.server import DEFAULT_AGENT_ID
from kiosk.agent.voice import AgentVoice
from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import Samples
from kiosk.lab.demo.lines import VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE
from tests.agent.wire import by_guide
from tests.clients.official_client import (
    HAS_DETAILS,
    ApiError,
    AudioInterface,
    Conversation,
    DisconnectionDetails,
    ElevenLabs,
    told_of_the_end,
)
from tests.integration.conftest import AgentEvents, StartAgent

RATE_HZ = 16_000  # the client's, whatever is negotiated
BLOCK_SAMPLES = 4000  # as the client's own audio interface sends
BLOCK_S = BLOCK_SAMPLES / RATE_HZ
DINOSAURS = "where are the dinosaurs please"
WHALE = "tell me about the blue whale"
CLOSING = "when does the museum close"
KEY = "key-of-the-test"

_T = TypeVar("_T")


async def arrival(queue: Queue[_T], what: str, *, within_s: float = 10.0) -> _T:
    """The next thing that a thread of the client put there."""
    try:
        return await asyncio.to_thread(queue.get, timeout=within_s)
    except Empty:
        raise AssertionError(f"{what} did not come within {within_s:g} s") from None


class Headset(AudioInterface):
    """A microphone that says what it is told and silence otherwise, and a recorded loudspeaker."""

    def __init__(self) -> None:
        self.chunks: Queue[bytes] = Queue()  # come, and not played yet
        self.interruptions: Queue[int] = Queue()
        self.played = bytearray()
        self._to_say: deque[bytes] = deque()
        self._over = threading.Event()
        self._microphone: threading.Thread | None = None

    def say(self, samples: Samples) -> None:
        padded = np.pad(samples, (0, -len(samples) % BLOCK_SAMPLES))
        self._to_say.extend(block.tobytes() for block in padded.reshape(-1, BLOCK_SAMPLES))

    async def receive(self, duration_s: float) -> None:
        """Take sound from what comes until it is that long."""
        until = len(self.played) + round(duration_s * RATE_HZ) * 2
        while len(self.played) < until:
            chunk = await arrival(self.chunks, f"{duration_s:.1f} s of speech")
            self.played += chunk

    async def play(self, duration_s: float) -> None:
        """The same, and be heard: the agent sends faster than it speaks."""
        await self.receive(duration_s)
        await asyncio.sleep(duration_s)

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        self._microphone = threading.Thread(target=self._listen, args=(input_callback,))
        self._microphone.start()

    def stop(self) -> None:
        self._over.set()
        # When the send fails, the client stops the microphone from the microphone's own thread.
        if self._microphone is not None and self._microphone is not threading.current_thread():
            self._microphone.join()

    def output(self, audio: bytes) -> None:
        self.chunks.put(audio)

    def interrupt(self) -> None:
        dropped = self.chunks.qsize()
        for _ in range(dropped):
            self.chunks.get_nowait()
        self.interruptions.put(dropped)

    def _listen(self, input_callback: Callable[[bytes], None]) -> None:
        while not self._over.wait(BLOCK_S):
            block = self._to_say.popleft() if self._to_say else bytes(2 * BLOCK_SAMPLES)
            input_callback(block)


class Caller:
    """One conversation of the official client, with everything it reports."""

    def __init__(self, url: str, headset: Headset | None = None, *, private: bool = False) -> None:
        self.said: Queue[str] = Queue()
        self.answers: Queue[str] = Queue()
        self.corrections: Queue[tuple[str, str]] = Queue()
        self.ends: Queue[DisconnectionDetails | None] = Queue()
        self.frames: list[str] = []
        self.conversation = _Listening(
            ElevenLabs(base_url=url, api_key=KEY, timeout=10),
            DEFAULT_AGENT_ID,
            requires_auth=private,
            audio_interface=headset,
            callback_user_transcript=self.said.put,
            callback_agent_response=self.answers.put,
            callback_agent_response_correction=lambda *texts: self.corrections.put(texts),
            **told_of_the_end(self.ends.put),
        )
        self.conversation.types = self.frames

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self.conversation.start_session)
        try:
            yield
        finally:
            await self.hang_up()

    async def hang_up(self) -> str | None:
        """End the session, and with it every thread; answers the conversation's id."""
        await asyncio.to_thread(self.conversation.end_session)
        async with asyncio.timeout(15):
            return await asyncio.to_thread(self.conversation.wait_for_session_end)

    async def type(self, text: str) -> None:
        await asyncio.to_thread(self.conversation.send_user_message, text)


class _Listening(Conversation):
    """The client itself, but it remembers which types of frames it received."""

    types: list[str]

    def _handle_message_core(self, message: dict[str, Any], message_handler: Any) -> None:
        self.types.append(message["type"])
        super()._handle_message_core(message, message_handler)  # type: ignore[no-untyped-call]


@pytest.fixture
def brief(guide: Guide) -> Guide:
    """The museum's guide with a greeting that is over before a test grows long."""
    return replace(guide, greeting="Welcome.")


async def rendered_s(guide: Guide, text: str) -> float:
    return (
        len(await AgentVoice(guide.voice, guide.words_per_minute).render(text, RATE_HZ)) / RATE_HZ
    )


async def visitor_says(headset: Headset, text: str) -> None:
    headset.say(await AgentVoice(VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE).render(text, RATE_HZ))


def answer_to(guide: Guide, sentence: str) -> str:
    entry = guide.entry_for(sentence)
    assert entry is not None
    return entry.say


def close_codes(events: AgentEvents) -> list[object]:
    return [event["code"] for event in events if event["event"] == "closed"]


async def test_the_official_client_is_greeted_asks_aloud_and_hears_the_answer(
    start_agent: StartAgent, brief: Guide
) -> None:
    answer = answer_to(brief, DINOSAURS)
    greeting_s, answer_s = await rendered_s(brief, brief.greeting), await rendered_s(brief, answer)
    headset = Headset()
    async with start_agent(brief) as (url, _):
        caller = Caller(url, headset)
        async with caller.calling():
            assert await arrival(caller.answers, "the greeting's text") == brief.greeting
            await headset.play(greeting_s)
            await visitor_says(headset, DINOSAURS)
            assert await arrival(caller.said, "what the agent heard") == DINOSAURS
            assert await arrival(caller.answers, "the answer's text") == answer
            await headset.receive(answer_s)
            await caller.hang_up()
    assert headset.chunks.empty()
    samples = np.frombuffer(headset.played, dtype="<i2")
    assert len(samples) / RATE_HZ == pytest.approx(greeting_s + answer_s, abs=0.1)
    assert rms_dbfs(samples[round(greeting_s * RATE_HZ) :]) > -30
    assert headset.interruptions.empty()


async def test_speaking_over_a_long_answer_silences_the_official_clients_loudspeaker(
    start_agent: StartAgent, brief: Guide
) -> None:
    whale, closing = answer_to(brief, WHALE), answer_to(brief, CLOSING)
    headset = Headset()
    async with start_agent(brief, behaviour=by_guide()) as (url, _):
        caller = Caller(url, headset)
        async with caller.calling():
            assert await arrival(caller.answers, "the greeting's text") == brief.greeting
            await headset.play(await rendered_s(brief, brief.greeting))
            await caller.type(WHALE)
            assert await arrival(caller.answers, "the long answer's text") == whale
            await headset.play(1.0)
            await visitor_says(headset, CLOSING)
            assert await arrival(headset.interruptions, "the interruption") > 0
            original, corrected = await arrival(caller.corrections, "the correction")
            # The late sound of the answer that was cut came before this and was not played.
            assert headset.chunks.empty()
            assert original == whale
            heard = corrected.removesuffix("...")
            assert heard
            assert whale.startswith(heard)
            assert len(heard) < len(whale) / 2
            assert await arrival(caller.answers, "the answer to the question") == closing
            await headset.receive(await rendered_s(brief, closing))
    assert headset.interruptions.empty()


async def test_an_interruption_as_the_service_sends_it_silences_the_official_client(
    start_agent: StartAgent, brief: Guide
) -> None:
    whale, closing = answer_to(brief, WHALE), answer_to(brief, CLOSING)
    headset = Headset()
    async with start_agent(brief) as (url, _):
        caller = Caller(url, headset)
        async with caller.calling():
            assert await arrival(caller.answers, "the greeting's text") == brief.greeting
            await headset.play(await rendered_s(brief, brief.greeting))
            await caller.type(WHALE)
            await headset.play(1.0)
            await visitor_says(headset, CLOSING)
            assert await arrival(headset.interruptions, "the interruption") > 0
            # Its text comes with its end, and no correction.
            assert await arrival(caller.answers, "the text of the answer that was cut") == whale
            assert headset.chunks.empty()
            assert await arrival(caller.answers, "the answer to the question") == closing
            assert caller.corrections.empty()
    assert headset.interruptions.empty()


async def test_the_official_client_types_a_question_and_reads_the_answer(
    start_agent: StartAgent, guide: Guide
) -> None:
    async with start_agent() as (url, _):
        caller = Caller(url)
        async with caller.calling():
            assert await arrival(caller.answers, "the greeting's text") == guide.greeting
            await caller.type(DINOSAURS)
            assert await arrival(caller.answers, "the answer") == answer_to(guide, DINOSAURS)


async def test_a_text_conversation_of_the_official_client_has_no_sound(
    start_agent: StartAgent,
) -> None:
    """Without an audio interface it asks for text, at the wrong level, and is understood."""
    async with start_agent() as (url, _):
        caller = Caller(url)
        async with caller.calling():
            await arrival(caller.answers, "the greeting's text")
            await caller.type(DINOSAURS)
            await arrival(caller.answers, "the answer")
            await asyncio.sleep(0.5)  # time for sound to come after its text
    assert "agent_response" in caller.frames
    assert "audio" not in caller.frames


async def test_the_official_client_opens_a_private_agent_with_its_key(
    start_agent: StartAgent, guide: Guide
) -> None:
    async with start_agent(public=False, api_key=KEY) as (url, events):
        caller = Caller(url, private=True)
        async with caller.calling():
            assert await arrival(caller.answers, "the greeting's text") == guide.greeting
            conversation_id = await caller.hang_up()
    assert {event["conversation_id"] for event in events} == {conversation_id}


@pytest.mark.skipif(not HAS_DETAILS, reason="this version says nothing of a refusal")
async def test_a_private_agent_refuses_the_official_client_without_a_signed_url(
    start_agent: StartAgent,
) -> None:
    async with start_agent(public=False, api_key=KEY) as (url, _):
        caller = Caller(url)
        async with caller.calling():
            end = await arrival(caller.ends, "the refusal")
    assert end is not None
    assert (end.reason, end.close_code) == ("error", 3000)
    assert end.close_reason == "Could not authorize the conversation."


async def test_the_official_client_is_told_that_its_key_is_wrong(start_agent: StartAgent) -> None:
    async with start_agent(public=False, api_key="another") as (url, _):
        caller = Caller(url, private=True)
        with pytest.raises(ApiError) as refused:
            await asyncio.to_thread(caller.conversation.start_session)
        await asyncio.to_thread(caller.conversation.end_session)
    assert refused.value.status_code == 401
    assert refused.value.body["detail"]["status"] == "invalid_api_key"


async def test_the_official_client_ends_the_conversation_with_1000(
    start_agent: StartAgent,
) -> None:
    async with start_agent() as (url, events):
        caller = Caller(url)
        async with caller.calling():
            await arrival(caller.answers, "the greeting's text")
            await caller.hang_up()
            end = await arrival(caller.ends, "the end")
    if HAS_DETAILS:
        assert end is not None
        assert end.reason == "user"
    assert close_codes(events) == [1000]


async def test_the_official_client_sees_the_agent_hang_up_after_its_goodbye(
    start_agent: StartAgent, guide: Guide
) -> None:
    goodbye = "thank you goodbye"
    async with start_agent() as (url, events):
        caller = Caller(url)
        async with caller.calling():
            await arrival(caller.answers, "the greeting's text")
            await caller.type(goodbye)
            assert await arrival(caller.answers, "the farewell") == answer_to(guide, goodbye)
            end = await arrival(caller.ends, "the end", within_s=15)
    if HAS_DETAILS:
        assert end is not None
        assert (end.reason, end.close_code) == ("agent", 1000)
    assert close_codes(events) == [1000]
