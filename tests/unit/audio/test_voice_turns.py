"""Turns on a track: nothing of a voice is lost, pauses do not end it, silence does."""

import numpy as np
import pytest

from kiosk.audio.pcm import Samples, silence
from kiosk.audio.voice_turns import LEAD_MS, PAUSE_MS, VoicePiece, VoiceTurns

RATE_HZ = 48_000
CHUNK = RATE_HZ // 50


def sound(ms: int, value: int = 5000) -> Samples:
    return np.full(RATE_HZ * ms // 1000, value, dtype=np.int16)


def quiet(ms: int) -> Samples:
    return silence(RATE_HZ * ms // 1000)


def heard(turns: VoiceTurns, *parts: Samples) -> list[VoicePiece]:
    track = np.concatenate(parts)
    pieces = (turns.push(track[at : at + CHUNK]) for at in range(0, len(track), CHUNK))
    return [piece for piece in pieces if piece is not None]


def sounding_ms(pieces: list[VoicePiece]) -> float:
    return sum(np.count_nonzero(piece.samples) for piece in pieces) * 1000 / RATE_HZ


def test_silence_is_no_turn() -> None:
    assert heard(VoiceTurns(RATE_HZ), quiet(3000), sound(500, 30)) == []


def test_a_turn_begins_with_its_lead_and_ends_after_its_pause() -> None:
    pieces = heard(VoiceTurns(RATE_HZ), quiet(500), sound(1000), quiet(2000))
    assert len(pieces[0].samples) >= LEAD_MS * RATE_HZ // 1000
    assert sounding_ms(pieces) == 1000
    assert [piece.final for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_what_comes_before_the_first_sound_is_its_onset() -> None:
    pieces = heard(VoiceTurns(RATE_HZ), quiet(500), sound(100, 30), sound(500), quiet(1000))
    assert sounding_ms(pieces) == 540


@pytest.mark.parametrize("pause_ms", [40, 300, PAUSE_MS - 20])
def test_a_pause_between_sentences_is_part_of_the_turn(pause_ms: int) -> None:
    pieces = heard(VoiceTurns(RATE_HZ), sound(400), quiet(pause_ms), sound(400), quiet(1000))
    assert [piece.final for piece in pieces].count(True) == 1
    assert (
        sum(len(piece.samples) for piece in pieces) == RATE_HZ * (800 + pause_ms + PAUSE_MS) // 1000
    )


def test_a_word_shorter_than_the_lead_is_heard_too() -> None:
    pieces = heard(VoiceTurns(RATE_HZ), quiet(200), sound(40), quiet(1000))
    assert sounding_ms(pieces) == 40
    assert pieces[-1].final


def test_what_is_under_way_when_the_server_stopped_is_not_heard() -> None:
    turns = VoiceTurns(RATE_HZ)
    heard(turns, sound(1000))
    turns.cut()
    assert heard(turns, sound(200), quiet(100), sound(300), quiet(300)) == []
    assert sounding_ms(heard(turns, sound(500), quiet(700))) == 500


def test_what_comes_later_than_the_word_that_it_was_cut_is_not_heard() -> None:
    turns = VoiceTurns(RATE_HZ)
    heard(turns, quiet(1000))
    turns.cut()
    assert heard(turns, quiet(100), sound(120), quiet(400)) == []


def test_a_cut_in_silence_costs_nothing_of_the_next_turn() -> None:
    turns = VoiceTurns(RATE_HZ)
    heard(turns, quiet(1000))
    turns.cut()
    assert sounding_ms(heard(turns, quiet(300), sound(500), quiet(700))) == 500


def test_a_server_that_did_not_stop_is_heard_again() -> None:
    turns = VoiceTurns(RATE_HZ)
    heard(turns, sound(1000))
    turns.cut()
    assert sounding_ms(heard(turns, sound(3000))) == 1500
