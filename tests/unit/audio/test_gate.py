from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.gate import Edge, Gate, GateSettings, Verdict, webrtc_detector
from kiosk.audio.pcm import Samples
from tests.unit.sounds import noise, tone

CHUNK = 320
VOICED, QUIET = True, False


def loud(chunk: Samples) -> bool:
    """A speech detector for sounds that are speech when they are loud."""
    return bool(np.abs(chunk.astype(int)).max() > 1000)


def chunk(voiced: bool) -> Samples:
    return np.full(CHUNK, 5000 if voiced else 5, dtype=np.int16)


def verdicts(
    pattern: Iterable[bool], settings: GateSettings | None = None, gate: Gate | None = None
) -> list[Verdict]:
    gate = gate or Gate(settings or GateSettings(), loud)
    return [gate.push(chunk(voiced)) for voiced in pattern]


def test_sixty_of_a_hundred_milliseconds_open() -> None:
    heard = verdicts([QUIET, VOICED, QUIET, VOICED, QUIET, QUIET, VOICED, QUIET, VOICED, VOICED])
    assert [verdict.speech for verdict in heard] == [False] * 9 + [True]
    assert [verdict.edge for verdict in heard] == [None] * 9 + [Edge.SPEECH_STARTED]


def test_three_voiced_chunks_open_at_the_third() -> None:
    assert [verdict.speech for verdict in verdicts([VOICED] * 3)] == [False, False, True]


def test_a_click_every_hundred_milliseconds_does_not_open() -> None:
    assert not any(verdict.speech for verdict in verdicts([VOICED, *[QUIET] * 4] * 50))


@given(st.lists(st.booleans(), max_size=80))
def test_it_opens_exactly_when_three_of_the_last_five_are_voiced(pattern: list[bool]) -> None:
    opened = [verdict.edge for verdict in verdicts(pattern)]
    first = next(
        (at for at in range(len(pattern)) if sum(pattern[max(0, at - 4) : at + 1]) > 2), None
    )
    assert (opened.index(Edge.SPEECH_STARTED) if Edge.SPEECH_STARTED in opened else None) == first


@given(st.lists(st.booleans(), max_size=400))
def test_starts_and_ends_alternate_and_say_what_the_verdict_says(pattern: list[bool]) -> None:
    speaking = False
    for verdict in verdicts(pattern, GateSettings(hangover_ms=100)):
        if verdict.edge is not None:
            assert verdict.edge is (Edge.SPEECH_ENDED if speaking else Edge.SPEECH_STARTED)
            speaking = not speaking
        assert verdict.speech is speaking
        assert verdict.passes or not speaking


def test_speech_ends_when_the_hangover_is_over() -> None:
    heard = verdicts([VOICED] * 5 + [QUIET] * 40)
    ended = [verdict.edge for verdict in heard].index(Edge.SPEECH_ENDED)
    assert (ended - 4) * 20 == 600


def test_a_pause_shorter_than_the_hangover_is_inside_the_turn() -> None:
    heard = verdicts([VOICED] * 5 + [QUIET] * 29 + [VOICED] + [QUIET] * 29)
    assert all(verdict.speech for verdict in heard[2:])


def test_at_least_one_and_a_half_seconds_of_the_room_pass_before_zeroing() -> None:
    heard = verdicts([VOICED] * 5 + [QUIET] * 200)
    ended = [verdict.edge for verdict in heard].index(Edge.SPEECH_ENDED)
    closed = [verdict.passes for verdict in heard].index(False)
    assert 1500 <= (closed - ended) * 20 <= 1540
    assert not any(verdict.passes for verdict in heard[closed:])


def test_the_room_is_heard_first_before_anybody_speaks() -> None:
    heard = verdicts([QUIET] * 200)
    assert 1500 <= [verdict.passes for verdict in heard].index(False) * 20 <= 2120


def test_in_doubt_it_stays_open() -> None:
    heard = verdicts([QUIET] * 200 + [VOICED] + [QUIET] * 75)
    assert not heard[199].passes
    assert not any(verdict.speech for verdict in heard)
    assert all(verdict.passes for verdict in heard[200:])


def test_mode_open_passes_everything_and_still_tells_speech() -> None:
    heard = verdicts(
        [QUIET] * 300 + [VOICED] * 5 + [QUIET] * 300, GateSettings(zero_non_speech=False)
    )
    assert all(verdict.passes for verdict in heard)
    assert [verdict.edge for verdict in heard if verdict.edge] == [
        Edge.SPEECH_STARTED,
        Edge.SPEECH_ENDED,
    ]


def test_the_end_of_speech_does_not_count_towards_the_next_start() -> None:
    # A short hangover leaves voiced chunks in the window.
    heard = verdicts([VOICED] * 3 + [QUIET] * 2 + [VOICED], GateSettings(hangover_ms=40))
    assert heard[4].edge is Edge.SPEECH_ENDED
    assert not heard[5].speech


def test_a_reset_gate_is_as_new() -> None:
    gate = Gate(GateSettings(), loud)
    verdicts([VOICED] * 10 + [QUIET] * 300, gate=gate)
    gate.reset()
    pattern = [QUIET] * 110 + [VOICED] * 4
    assert verdicts(pattern, gate=gate) == verdicts(pattern)


def test_every_stream_has_its_own_detector() -> None:
    sound = noise(0.02, 16_000, rms=3000)
    used, new = webrtc_detector(0), webrtc_detector(0)
    for _ in range(100):
        used(sound)
    assert new(sound) == webrtc_detector(0)(sound)


def test_silence_is_not_speech_to_webrtc() -> None:
    detect = webrtc_detector(3)
    assert not any(detect(np.zeros(CHUNK, dtype=np.int16)) for _ in range(50))


@pytest.mark.parametrize("hertz", [150.0])
def test_a_voiced_sound_is_speech_to_webrtc(hertz: float) -> None:
    # A pulse train with many harmonics, as vocal cords make.
    harmonics = [tone(hertz * n, 1, 16_000, 9000 / n).astype(int) for n in range(1, 20)]
    sound = np.sum(harmonics, axis=0).clip(-32768, 32767).astype(np.int16)
    detect = webrtc_detector(0)
    chunks = [sound[at : at + CHUNK] for at in range(0, len(sound), CHUNK)]
    assert sum(map(detect, chunks)) > len(chunks) // 2
