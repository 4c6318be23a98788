"""What a visit remembers of its turns, and what it forgets."""

import numpy as np
import pytest

from kiosk.audio.levels import pause_before
from kiosk.audio.pcm import Samples, silence
from kiosk.visit.turn_memory import TurnMemory

RATE_HZ = 16_000


def voice(seconds: float) -> Samples:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sound: Samples = np.round(8000 * np.sin(2 * np.pi * 200 * time_s)).astype(np.int16)
    return sound


def sentences(*lengths_s: float, pause_s: float = 0.3) -> Samples:
    parts = [
        part for each in lengths_s for part in (voice(each), silence(round(pause_s * RATE_HZ)))
    ]
    return np.concatenate(parts)


def cut_at(sound: Samples, heard_s: float, *, whole: bool = True) -> TurnMemory:
    memory = TurnMemory()
    memory.agent_began(RATE_HZ)
    for start in range(0, len(sound), 5000):
        memory.agent_spoke(sound[start : start + 5000])
    memory.agent_was_cut(round(heard_s * RATE_HZ), whole=whole)
    return memory


@pytest.mark.parametrize(("heard_s", "begins_s"), [(0.5, 0.0), (1.9, 1.3), (3.0, 2.6), (4.5, 3.9)])
def test_an_answer_goes_on_from_the_beginning_of_the_sentence_that_was_cut(
    heard_s: float, begins_s: float
) -> None:
    sound = sentences(1.0, 1.0, 1.0, 1.0)
    rest = cut_at(sound, heard_s).rest_of_answer()
    assert rest.samples is not None
    assert (len(sound) - len(rest.samples)) / RATE_HZ == pytest.approx(begins_s, abs=0.03)
    np.testing.assert_array_equal(rest.samples, sound[len(sound) - len(rest.samples) :])


def test_a_cut_between_two_sentences_goes_on_with_the_next() -> None:
    sound = sentences(1.0, 1.0)
    rest = cut_at(sound, 1.28).rest_of_answer()
    assert rest.samples is not None
    assert len(rest.samples) / RATE_HZ == pytest.approx(1.3, abs=0.05)


def test_a_sentence_without_a_pause_goes_on_a_little_before_its_cut() -> None:
    rest = cut_at(voice(30.0), 20.0).rest_of_answer()
    assert rest.samples is not None
    assert len(rest.samples) / RATE_HZ == pytest.approx(12.0)


@pytest.mark.parametrize("whole", [True, False])
def test_where_all_was_heard_there_is_no_rest(whole: bool) -> None:
    memory = cut_at(sentences(1.0, 1.0), 2.5, whole=whole)
    rest = memory.rest_of_answer()
    assert rest.samples is None
    assert rest.whole is whole


def test_who_has_said_nothing_has_no_rest() -> None:
    rest = TurnMemory().rest_of_answer()
    assert rest.samples is None
    assert rest.whole


def test_the_rest_can_be_cut_again() -> None:
    memory = cut_at(sentences(1.0, 1.0, 1.0), 1.5)
    first = memory.rest_of_answer()
    assert first.samples is not None
    memory.agent_was_cut(round(1.5 * RATE_HZ), whole=True)
    second = memory.rest_of_answer()
    assert second.samples is not None
    assert len(second.samples) / RATE_HZ == pytest.approx(1.3, abs=0.03)


def test_the_visitors_newest_thirty_seconds_are_kept_until_they_are_answered() -> None:
    memory = TurnMemory()
    for number in range(2000):
        memory.visitor_spoke(np.full(320, number, dtype=np.int16))
    assert len(memory.unanswered) == 1500
    assert memory.unanswered[-1][0] == 1999
    memory.answered()
    assert memory.unanswered == ()


def test_a_turn_that_ended_has_the_silence_that_ends_it() -> None:
    memory = TurnMemory()
    memory.visitor_spoke(np.ones(320, dtype=np.int16))
    assert len(memory.unanswered) == 1
    memory.visitor_paused()
    tail = memory.unanswered[1:]
    assert len(tail) * 20 == 1500
    assert not np.concatenate(tail).any()


def test_two_stretches_of_speech_stay_two() -> None:
    memory = TurnMemory()
    memory.visitor_spoke(np.ones(320, dtype=np.int16))
    memory.visitor_paused()
    memory.visitor_spoke(np.ones(320, dtype=np.int16))
    between = [chunk for chunk in memory.unanswered if not chunk.any()]
    assert sum(map(len, between)) == 4800


def test_a_recap_names_the_last_turns_and_who_had_them() -> None:
    memory = TurnMemory()
    for number in range(10):
        memory.visitor_said(f"question {number}")
        memory.agent_said(f"answer\n {number}")
    recap = memory.recap()
    assert "Do not greet" in recap
    assert recap.splitlines()[-2:] == ["Visitor: question 9", "You: answer 9"]
    assert "question 5" not in recap
    memory.agent_said("x" * 10_000)
    assert len(memory.recap()) < 2000


def test_a_correction_takes_the_place_of_what_was_not_spoken() -> None:
    memory = TurnMemory()
    memory.visitor_said("where is the whale")
    memory.agent_said("In the hall, behind the stairs.")
    memory.agent_was_corrected("In the hall...")
    assert memory.recap().splitlines()[1:] == ["Visitor: where is the whale", "You: In the hall..."]


def test_what_a_visit_remembers_is_gone_with_it() -> None:
    memory = cut_at(sentences(1.0, 1.0), 0.5)
    memory.visitor_said("my name is Ada")
    memory.visitor_spoke(np.ones(320, dtype=np.int16))
    memory.forget()
    assert memory.rest_of_answer().samples is None
    assert memory.unanswered == ()
    assert "Ada" not in memory.recap()


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100])
def test_a_pause_is_found_at_any_rate(rate_hz: int) -> None:
    time_s = np.arange(rate_hz) / rate_hz
    tone = np.round(5000 * np.sin(2 * np.pi * 300 * time_s)).astype(np.int16)
    sound = np.concatenate((tone, silence(rate_hz // 3), tone))
    found = pause_before(sound, rate_hz)
    assert found is not None
    assert found / rate_hz == pytest.approx(4 / 3, abs=0.03)
    assert pause_before(tone, rate_hz) is None
    assert pause_before(silence(0), rate_hz) is None


def test_a_visit_whose_greeting_nobody_heard_has_not_begun() -> None:
    memory = TurnMemory()
    memory.agent_began(RATE_HZ)
    memory.agent_spoke(np.ones(RATE_HZ, np.int16))
    assert memory.has_begun, "it may be heard any moment"
    memory.agent_was_cut(0, whole=False)
    assert not memory.has_begun, "and the next conversation greets"
    memory.agent_began(RATE_HZ)
    memory.agent_was_cut(1, whole=False)
    assert memory.has_begun
    memory.agent_began(RATE_HZ)
    memory.agent_was_cut(0, whole=False)
    assert memory.has_begun, "the greeting was heard"
