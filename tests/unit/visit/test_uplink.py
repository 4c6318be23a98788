import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.capture import CHUNK_SAMPLES, CapturedChunk
from kiosk.audio.echo import ONSET_GUARD_MS
from kiosk.audio.gate import Edge, Verdict
from kiosk.audio.pcm import FORMATS, PCM_16000, PcmFormat, Samples
from kiosk.base.clock import loop_now_s
from kiosk.measures import Latencies
from kiosk.visit.turn_memory import TurnMemory
from kiosk.visit.uplink import BACKLOG_MS, Uplink
from tests.unit.fakes import Wire
from tests.unit.sounds import tone, tone_and_rest
from tests.virtual_time import run_in_virtual_time, virtual_time

PREROLL = 15  # chunks
OPEN, SHUT = True, False


class Line:
    """An uplink, and who speaks into it. Chunk n is n in every sample."""

    def __init__(self, preroll_ms: int = 300) -> None:
        self.latencies = Latencies()
        self.memory = TurnMemory()
        self.uplink = Uplink(preroll_ms, self.latencies, self.memory)
        self.wire = Wire()
        self._number = 0

    def speak(self, *gate: bool) -> None:
        """One chunk for each of these: whether the gate lets it pass."""
        for passes in gate:
            self.hear(np.full(CHUNK_SAMPLES, self.next_number(), dtype=np.int16), passes)

    def doubt(self) -> None:
        """One chunk that passes, and is not sure to be speech."""
        samples = np.full(CHUNK_SAMPLES, self.next_number(), dtype=np.int16)
        self.uplink.push(CapturedChunk(samples, loop_now_s(), Verdict(False, True)))

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def hear(self, samples: Samples, passes: bool) -> None:
        self.uplink.push(CapturedChunk(samples, loop_now_s(), Verdict(passes, passes)))

    @contextlib.asynccontextmanager
    async def connected(self, format_: PcmFormat = PCM_16000) -> AsyncIterator[None]:
        """A sender for as long as this lasts; everything queued is sent before it ends."""
        sender = asyncio.create_task(self.uplink.run(self.wire.send, format_))
        self.uplink.connect()
        try:
            yield
            await settle()
        finally:
            self.uplink.disconnect()
            sender.cancel()
            await asyncio.wait([sender])

    @property
    def sent(self) -> list[int]:
        """The numbers of the chunks sent; silence is 0."""
        chunks = [PCM_16000.decode(data) for data in self.wire.sent]
        assert all(len(set(chunk.tolist())) == 1 for chunk in chunks)
        return [int(chunk[0]) for chunk in chunks]


async def settle() -> None:
    await asyncio.sleep(0.001)


def numbers(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


@virtual_time
async def test_what_was_said_while_connecting_goes_out_first_and_at_once() -> None:
    line = Line()
    line.speak(*[OPEN] * 20)
    async with line.connected():
        await settle()
        assert line.sent == numbers(1, 20)
        line.speak(*[OPEN] * 5)
    assert line.sent == numbers(1, 25)


@virtual_time
async def test_nothing_is_sent_before_the_conversation_is_connected() -> None:
    line = Line()
    sender = asyncio.create_task(line.uplink.run(line.wire.send, PCM_16000))
    line.speak(*[OPEN] * 20)
    await settle()
    assert line.sent == []
    sender.cancel()


@virtual_time
async def test_the_newest_three_seconds_are_kept_while_connecting() -> None:
    line = Line()
    line.speak(*[OPEN] * 400)
    async with line.connected():
        pass
    assert len(line.sent) == BACKLOG_MS // 20 == 150
    assert line.sent == numbers(251, 400)
    assert line.uplink.dropped_chunks == 250


@virtual_time
async def test_the_gate_cuts_nothing_while_connecting() -> None:
    line = Line()
    line.speak(SHUT, SHUT, OPEN)
    async with line.connected():
        pass
    assert line.sent == [1, 2, 3]


@virtual_time
async def test_one_chunk_goes_out_for_each_that_comes_in() -> None:
    line = Line(preroll_ms=0)
    async with line.connected():
        for count, passes in enumerate([OPEN] * 10 + [SHUT] * 30, start=1):
            line.speak(passes)
            await settle()
            assert len(line.sent) == count
    assert line.sent == numbers(1, 10) + [0] * 30


@virtual_time
async def test_the_preroll_follows_when_a_shut_gate_opens() -> None:
    line = Line()
    async with line.connected():
        line.speak(*[SHUT] * 40, OPEN, OPEN)
        await settle()
        assert line.uplink.debt_ms == PREROLL * 20
    assert line.sent == [0] * 40 + numbers(26, 42)


@virtual_time
async def test_a_debt_of_preroll_is_repaid_with_silence_left_out() -> None:
    line = Line()
    async with line.connected():
        line.speak(*[SHUT] * 40, *[OPEN] * 20)
        line.speak(*[SHUT] * 50)  # one second
        await settle()
        assert line.uplink.debt_ms <= 60
        assert len(line.wire.sent) == 110  # as many as came in
    assert line.sent[-35:] == [0] * 35


@virtual_time
async def test_a_backlog_is_a_debt_too() -> None:
    line = Line()
    line.speak(*[OPEN] * 150)
    async with line.connected():
        await settle()
        assert line.uplink.debt_ms == 3000
        line.speak(*[OPEN] * 100)
        await settle()
        assert line.uplink.debt_ms == 3000  # speech is never left out
        line.speak(*[SHUT] * 200)
        assert line.uplink.debt_ms == 0
    assert line.sent == numbers(1, 250) + [0] * 50


@given(st.lists(st.booleans(), max_size=120), st.integers(0, 30))
def test_speech_is_sent_whole_in_order_and_in_step_with_time(
    gate: list[bool], preroll: int
) -> None:
    async def visit() -> None:
        line = Line(preroll_ms=preroll * 20)
        async with line.connected():
            for count, passes in enumerate(gate, start=1):
                line.speak(passes)
                await settle()
                debt = line.uplink.debt_ms // 20
                assert len(line.wire.sent) == count + debt
                assert 0 <= debt <= max(1, preroll)
        heard = [number for number in line.sent if number]
        assert heard == sorted(set(heard))
        assert {at for at, passes in enumerate(gate, start=1) if passes} <= set(heard)

    run_in_virtual_time(visit())


# --- over the agent -----------------------------------------------------------------------------

GUARD = ONSET_GUARD_MS // 20  # chunks


def over_the_agent(line: Line, chunks: int) -> None:
    """The gate hears nobody, and the agent sounds; what stands in for chunk n is 1000 + n."""
    for _ in range(chunks):
        number = line.next_number()
        line.uplink.push(
            CapturedChunk(
                np.full(CHUNK_SAMPLES, number, dtype=np.int16),
                loop_now_s(),
                Verdict(speech=False, passes=False),
                np.full(CHUNK_SAMPLES, 1000 + number, dtype=np.int16),
                over_agent=True,
            )
        )


@virtual_time
async def test_what_the_canceller_leaves_goes_out_while_only_the_agent_sounds() -> None:
    line = Line()
    async with line.connected():
        over_the_agent(line, 10)
        line.speak(SHUT, SHUT)
    assert line.sent == [*numbers(1001, 1010), 0, 0]


@virtual_time
async def test_over_the_agent_the_preroll_is_longer_and_all_of_it_is_the_visitors_own_sound() -> (
    None
):
    line = Line()
    async with line.connected():
        over_the_agent(line, 40)
        line.speak(OPEN, OPEN)
        await settle()
        assert line.uplink.debt_ms == (PREROLL + GUARD) * 20
    assert line.sent == [*numbers(1001, 1040), *numbers(41 - PREROLL - GUARD, 42)]


@virtual_time
async def test_where_the_agent_sounded_a_moment_ago_the_preroll_is_the_longer_one() -> None:
    line = Line()
    async with line.connected():
        over_the_agent(line, 40)
        line.speak(*[SHUT] * 5, OPEN)
    assert line.sent[45:] == numbers(46 - PREROLL - GUARD, 46)


@virtual_time
async def test_where_it_has_been_silent_for_long_the_preroll_is_the_usual_one() -> None:
    line = Line()
    async with line.connected():
        over_the_agent(line, 40)
        line.speak(*[SHUT] * (PREROLL + GUARD), OPEN)
    assert line.sent[40 + PREROLL + GUARD :] == numbers(68 - PREROLL, 68)


@virtual_time
async def test_of_the_agents_tail_nothing_follows_without_speech() -> None:
    line = Line()
    async with line.connected():
        over_the_agent(line, 40)
        line.speak(SHUT, SHUT)
        line.doubt()
    assert line.sent == [*numbers(1001, 1040), 0, 0, *numbers(41, 43)]


@virtual_time
async def test_while_connecting_the_kiosks_own_sound_is_not_sent_as_the_visitors() -> None:
    line = Line()
    over_the_agent(line, 5)
    line.speak(SHUT, SHUT)
    async with line.connected():
        pass
    assert line.sent == [*numbers(1001, 1005), 6, 7]


@virtual_time
async def test_who_speaks_over_it_while_connecting_is_sent_whole() -> None:
    line = Line()
    over_the_agent(line, 5)
    line.speak(OPEN)
    async with line.connected():
        pass
    assert line.sent == [*numbers(1001, 1005), *numbers(1, 6)]


@virtual_time
async def test_the_debt_of_a_barge_in_is_repaid_with_stand_ins_left_out() -> None:
    line = Line()
    async with line.connected():
        over_the_agent(line, 40)
        line.speak(*[OPEN] * 10)
        over_the_agent(line, 50)
        await settle()
        assert line.uplink.debt_ms == 0
        assert len(line.wire.sent) == 100  # as many as came in
    spoken = numbers(41 - PREROLL - GUARD, 50)
    repaid = numbers(1000 + 51 + PREROLL + GUARD, 1100)
    assert line.sent == [*numbers(1001, 1040), *spoken, *repaid]


@virtual_time
async def test_with_the_button_up_or_on_hold_nothing_stands_in() -> None:
    line = Line()
    async with line.connected():
        line.uplink.allow_talk(allowed=False)
        over_the_agent(line, 3)
        await settle()
        line.uplink.allow_talk(allowed=True)
        line.uplink.hold(on=True)
        over_the_agent(line, 3)
    assert line.sent == [0] * 6


@given(st.lists(st.sampled_from([True, False, None]), max_size=120), st.integers(0, 30))
def test_over_the_agent_too_speech_is_sent_whole_once_in_order_and_in_step_with_time(
    heard: list[bool | None], preroll: int
) -> None:
    async def visit() -> None:
        line = Line(preroll_ms=preroll * 20)
        async with line.connected():
            for count, passes in enumerate(heard, start=1):
                if passes is None:
                    over_the_agent(line, 1)
                else:
                    line.speak(passes)
                await settle()
                debt = line.uplink.debt_ms // 20
                assert len(line.wire.sent) == count + debt
                assert 0 <= debt <= max(1, preroll) + GUARD
        own = [number for number in line.sent if 0 < number < 1000]
        assert own == sorted(set(own))
        assert {at for at, passes in enumerate(heard, start=1) if passes} <= set(own)

    run_in_virtual_time(visit())


# --- a button that is held ----------------------------------------------------------------------


@virtual_time
async def test_a_closed_talk_button_sends_silence() -> None:
    line = Line()
    async with line.connected():
        line.uplink.talk_open = False
        line.speak(*[OPEN] * 10)
    assert line.sent == [0] * 10


@virtual_time
async def test_nothing_said_before_the_press_goes_out() -> None:
    line = Line()
    async with line.connected():
        line.speak(*[SHUT] * 20)
        line.uplink.talk_open = False
        line.speak(*[OPEN] * 10, *[SHUT] * 10)
        line.uplink.talk_open = True
        line.speak(*[OPEN] * 5)
    assert line.sent == [0] * 40 + numbers(41, 45)


@virtual_time
async def test_the_preroll_of_a_held_button_begins_with_the_press() -> None:
    line = Line()
    async with line.connected():
        line.uplink.talk_open = False
        line.speak(*[OPEN] * 10)
        line.uplink.talk_open = True
        line.speak(SHUT, SHUT, OPEN)
    assert line.sent == [0] * 12 + [11, 12, 13]


@virtual_time
async def test_what_is_said_while_connecting_with_the_button_up_is_silence() -> None:
    line = Line()
    line.speak(OPEN)
    line.uplink.talk_open = False
    line.speak(OPEN, OPEN)
    async with line.connected():
        pass
    assert line.sent == [1, 0, 0]


# --- a queue in which nobody listens ------------------------------------------------------------


@virtual_time
async def test_on_hold_silence_goes_out_in_step_with_time_whatever_is_said() -> None:
    line = Line()
    async with line.connected():
        line.uplink.hold(on=True)
        for count, passes in enumerate([SHUT] * 10 + [OPEN] * 20 + [SHUT] * 10, start=1):
            line.speak(passes)
            await settle()
            assert len(line.sent) == count
    assert line.sent == [0] * 40


@virtual_time
async def test_what_has_not_gone_out_when_the_hold_begins_never_does_and_is_no_debt() -> None:
    line = Line()
    line.speak(*[OPEN] * 50)
    async with line.connected():
        line.uplink.hold(on=True)  # told with the connection itself
        assert line.uplink.debt_ms == 0
        line.speak(*[OPEN] * 5)
        line.uplink.hold(on=False)
        line.speak(OPEN)
    assert line.sent == [0] * 5 + [56]


@virtual_time
async def test_nothing_said_on_hold_goes_out_afterwards() -> None:
    line = Line()
    async with line.connected():
        line.speak(*[SHUT] * 5)  # would be pre-roll
        await settle()
        line.uplink.hold(on=True)
        line.speak(*[OPEN] * 10, *[SHUT] * 10)
        line.uplink.hold(on=False)
        line.speak(*[OPEN] * 5)
    assert line.sent == [0] * 25 + numbers(26, 30)


@virtual_time
async def test_after_the_hold_the_first_word_has_its_preroll() -> None:
    line = Line()
    async with line.connected():
        line.uplink.hold(on=True)
        line.speak(*[SHUT] * 10)
        line.uplink.hold(on=False)
        line.speak(SHUT, SHUT, OPEN)
    assert line.sent == [0] * 12 + [11, 12, 13]


@virtual_time
async def test_a_debt_is_repaid_on_hold_too() -> None:
    line = Line()
    line.speak(*[OPEN] * 50)
    async with line.connected():
        await settle()
        line.uplink.hold(on=True)
        line.speak(*[OPEN] * 60)
        assert line.uplink.debt_ms == 0
    assert line.sent == numbers(1, 50) + [0] * 10


@virtual_time
async def test_a_held_button_says_nothing_on_hold() -> None:
    line = Line()
    async with line.connected():
        line.uplink.allow_talk(allowed=False)
        line.uplink.hold(on=True)
        line.uplink.allow_talk(allowed=True)
        line.speak(*[OPEN] * 5)
        line.uplink.hold(on=False)
        line.speak(*[OPEN] * 5)
        await settle()
        line.uplink.hold(on=True)
        line.uplink.allow_talk(allowed=False)
        line.uplink.hold(on=False)
        line.speak(*[OPEN] * 5)
    assert line.sent == [0] * 5 + numbers(6, 10) + [0] * 5


@virtual_time
async def test_another_conversation_is_not_on_hold() -> None:
    line = Line()
    async with line.connected():
        line.uplink.hold(on=True)
        line.speak(OPEN)
    async with line.connected():
        line.speak(OPEN)
    line.uplink.hold(on=True)
    line.uplink.reset()
    async with line.connected():
        line.speak(OPEN)
    assert line.sent == [0, 2, 3]


# --- stalls, losses, visits ---------------------------------------------------------------------


@virtual_time
async def test_when_the_sender_stalls_the_oldest_is_dropped() -> None:
    line = Line()
    async with line.connected():
        line.speak(*[OPEN] * 5)
        await settle()
        line.wire.taking.clear()
        line.speak(OPEN)
        await settle()
        line.speak(*[OPEN] * 299)
        await settle()
        line.wire.taking.set()
    # The chunk that was being sent when it stalled, and the newest three seconds.
    assert line.sent == [*numbers(1, 6), *numbers(156, 305)]
    assert line.uplink.dropped_chunks == 149


@virtual_time
async def test_what_was_dropped_is_not_repaid() -> None:
    line = Line()
    line.wire.taking.clear()
    line.speak(*[OPEN] * 150)
    async with line.connected():
        await settle()  # one is being sent
        line.speak(*[OPEN] * 100)
        assert line.uplink.dropped_chunks == 99
        line.wire.taking.set()
        await settle()
        assert len(line.wire.sent) - 100 == line.uplink.debt_ms // 20 == 51
        line.speak(*[SHUT] * 100)
    assert line.sent == [1, *numbers(101, 250), *[0] * 49]


@virtual_time
async def test_what_is_said_between_two_conversations_opens_the_second() -> None:
    line = Line()
    async with line.connected():
        line.speak(*[OPEN] * 3)
    line.speak(*[OPEN] * 3)
    async with line.connected():
        line.speak(OPEN)
    assert line.sent == numbers(1, 7)


@virtual_time
async def test_a_new_visit_knows_nothing_of_the_last() -> None:
    line = Line()
    async with line.connected():
        line.uplink.talk_open = False
        line.speak(*[SHUT] * 20)
    line.speak(*[OPEN] * 200)
    line.uplink.reset()
    assert line.uplink.debt_ms == 0
    sent = len(line.wire.sent)
    async with line.connected():
        line.speak(OPEN)
    assert line.sent[sent:] == [221]


@virtual_time
async def test_a_lost_connection_ends_the_sender() -> None:
    async def broken(_: bytes) -> None:
        raise ConnectionError

    line = Line()
    line.speak(OPEN)
    line.uplink.connect()
    with pytest.raises(ConnectionError):
        await line.uplink.run(broken, PCM_16000)


@virtual_time
async def test_latency_is_measured_on_chunks_without_debt_only() -> None:
    line = Line()
    line.speak(*[OPEN] * 10)
    async with line.connected():
        line.speak(*[OPEN] * 5)
        await settle()
        assert line.latencies.percentile(50) is None
        line.speak(*[SHUT] * 12)
        await settle()
        measured = line.latencies.percentile(100)
        assert measured is not None
        assert 0 <= measured < 1000


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_carries_the_sound(name: str) -> None:
    format_ = FORMATS[name]
    sound = tone(440, 1, 16_000, 12_000)

    async def visit() -> bytes:
        line = Line()
        async with line.connected(format_):
            for at in range(0, len(sound), CHUNK_SAMPLES):
                line.hear(sound[at : at + CHUNK_SAMPLES], OPEN)
        return b"".join(line.wire.sent)

    data = run_in_virtual_time(visit())
    width = 1 if name.startswith("ulaw") else 2
    assert len(data) == width * format_.rate_hz
    middle = format_.decode(data)[format_.rate_hz // 10 : -format_.rate_hz // 10]
    level, rest = tone_and_rest(middle, 440, format_.rate_hz)
    assert level == pytest.approx(12_000 / 2**0.5, rel=0.03)
    assert rest < level / 50


def test_the_named_chunk_sizes_are_those_of_20_ms() -> None:
    async def first(name: str) -> int:
        line = Line()
        async with line.connected(FORMATS[name]):
            line.speak(OPEN)
        return len(line.wire.sent[0])

    sizes = {name: run_in_virtual_time(first(name)) for name in ("ulaw_8000", "pcm_48000")}
    assert sizes == {"ulaw_8000": 160, "pcm_48000": 1920}


def test_the_memory_has_the_beginning_of_speech_though_it_was_sent_before() -> None:
    line = Line()
    numbered = [np.full(CHUNK_SAMPLES, number, dtype=np.int16) for number in range(30)]
    for number, samples in enumerate(numbered):
        speech = number >= 20
        edge = Edge.SPEECH_STARTED if number == 20 else None
        line.uplink.push(CapturedChunk(samples, number / 50, Verdict(speech, True, edge)))
    assert [int(each[0]) for each in line.memory.unanswered] == list(range(5, 30))
