from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.audio.gate import (
    Edge,
    Gate,
    GateSettings,
    SpeechDetector,
    Verdict,
    kiosk_gate,
    suppressed_detector,
    webrtc_detector,
)
from kiosk.audio.noise import RoomLeveller
from kiosk.audio.pcm import Samples, to_int16
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


def test_silence_is_not_speech_with_its_noise_suppressed() -> None:
    detect = suppressed_detector()
    assert not any(detect(np.zeros(CHUNK, dtype=np.int16)) for _ in range(50))


# --- what goes on for ever ----------------------------------------------------------------------

NOISE, SPEECH, NOTHING = 2000, 5000, 5


def loud_in_the_noise(chunk: Samples) -> bool:
    """The second detector, to which the noise is nothing."""
    return bool(np.abs(chunk.astype(int)).max() > 3000)


def doubting(
    *parts: tuple[int, float], settings: GateSettings | None = None
) -> tuple[Gate, list[Verdict]]:
    """Verdicts about sounds of a level and a length in seconds, of a gate with two detectors."""
    gate = Gate(settings or GateSettings(), loud, loud_in_the_noise)
    return gate, [
        gate.push(np.full(CHUNK, level, dtype=np.int16))
        for level, seconds in parts
        for _ in range(round(seconds * 50))
    ]


def edges(heard: list[Verdict]) -> list[tuple[Edge, float]]:
    """What changed, and after how many seconds."""
    return [
        (verdict.edge, (at + 1) / 50)
        for at, verdict in enumerate(heard)
        if verdict.edge is not None
    ]


def test_noise_that_only_one_detector_hears_ends_after_thirty_seconds() -> None:
    _, heard = doubting((NOISE, 60))
    (started, _), (ended, when_s) = edges(heard)
    assert (started, ended) == (Edge.SPEECH_STARTED, Edge.SPEECH_ENDED)
    assert 30 <= when_s <= 30.1


def test_a_closed_gate_in_noise_sends_the_room_before_it_sends_silence() -> None:
    _, heard = doubting((NOISE, 60))
    closed = next(at for at, verdict in enumerate(heard) if at > 100 and not verdict.speech)
    silent = [verdict.passes for verdict in heard].index(False)
    assert 1500 <= (silent - closed) * 20 <= 1540
    assert not any(verdict.passes for verdict in heard[silent:])


def test_speech_of_more_than_thirty_seconds_is_never_cut() -> None:
    _, heard = doubting((SPEECH, 90))
    assert [edge for edge, _ in edges(heard)] == [Edge.SPEECH_STARTED]


def test_words_in_noise_are_not_cut_either() -> None:
    # Half a second of each: the noise fills the pauses for one detector only.
    _, heard = doubting(*[(SPEECH, 0.5), (NOISE, 0.5)] * 60)
    assert [edge for edge, _ in edges(heard)] == [Edge.SPEECH_STARTED]


def test_the_next_speech_opens_though_the_noise_goes_on() -> None:
    _, heard = doubting((NOISE, 40), (SPEECH, 2), (NOISE, 5), (SPEECH, 2), (NOISE, 5))
    assert [(edge, round(when_s, 1)) for edge, when_s in edges(heard)[2:]] == [
        (Edge.SPEECH_STARTED, 40.1),
        (Edge.SPEECH_ENDED, 42.6),
        (Edge.SPEECH_STARTED, 47.1),
        (Edge.SPEECH_ENDED, 49.6),
    ]


def test_after_the_noise_one_detector_is_enough_again() -> None:
    _, heard = doubting((NOISE, 40), (NOTHING, 1), (NOISE, 2))
    assert edges(heard)[2] == (Edge.SPEECH_STARTED, 41.06)


def test_where_both_must_hear_it_noise_never_opens() -> None:
    both = GateSettings(both=True)
    _, heard = doubting((NOISE, 20), (SPEECH, 1), (NOISE, 20), settings=both)
    assert [(edge, round(when_s, 1)) for edge, when_s in edges(heard)] == [
        (Edge.SPEECH_STARTED, 20.1),
        (Edge.SPEECH_ENDED, 21.6),
    ]


def test_both_must_hear_it_not_the_second_alone() -> None:
    gate = Gate(GateSettings(both=True), lambda _: False, lambda _: True)
    assert not any(gate.push(chunk(VOICED)).speech for _ in range(50))


def test_without_a_second_detector_nothing_is_doubted() -> None:
    heard = verdicts([VOICED] * 2000)
    assert all(verdict.speech for verdict in heard[2:])


def test_the_second_detector_hears_every_chunk() -> None:
    asked = []

    def second(chunk: Samples) -> bool:
        asked.append(chunk)
        return False

    gate = Gate(GateSettings(), loud, second)
    verdicts([QUIET] * 30 + [VOICED] * 30, gate=gate)
    assert len(asked) == 60


# --- the room -----------------------------------------------------------------------------------


def pink(seconds: float, level_dbfs: float, seed: int = 1) -> Samples:
    count = round(seconds * 16_000)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    sound = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.fft.rfftfreq(count, 1 / 16_000), 40)))
    return to_int16(sound / np.sqrt(np.mean(sound**2)) * 10 ** (level_dbfs / 20) * 32768)


def babbled(seconds: float, level_dbfs: float) -> Samples:
    """Syllables without a pause for breath: a voice of moving pitch, 240 ms, then 120 ms 26 dB
    quieter, every third time for 360 ms."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    pitch = 140 + 40 * np.sin(2 * np.pi * 0.7 * time) + 15 * np.sin(2 * np.pi * 2.3 * time)
    phase = np.cumsum(2 * np.pi * pitch / 16_000)
    voice = np.sum([np.sin(n * phase) / n for n in range(1, 25)], axis=0)
    at = time % 1.32
    sound = voice * np.where((at < 0.96) & (at % 0.36 < 0.24), 1.0, 0.05)
    return to_int16(sound / np.sqrt(np.mean(sound**2)) * 10 ** (level_dbfs / 20) * 32768)


def judged(gate: Gate, sound: Samples) -> list[Verdict]:
    return [gate.push(sound[at : at + CHUNK]) for at in range(0, len(sound), CHUNK)]


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("level_dbfs", [-40, -30, -20, -12])
def test_steady_noise_is_the_room_after_ten_seconds(level_dbfs: float, both: bool) -> None:
    heard = judged(kiosk_gate(GateSettings(both=both)), pink(20, level_dbfs))
    assert not any(verdict.speech for verdict in heard[500:])
    assert not any(verdict.passes for verdict in heard[600:])


def test_without_a_leveller_the_same_noise_is_speech_for_ever() -> None:
    heard = judged(Gate(GateSettings(), webrtc_detector()), pink(15, -25))
    assert all(verdict.speech for verdict in heard[100:])


@pytest.mark.parametrize("level_dbfs", [-46, -31, -16])
def test_twenty_five_seconds_without_a_pause_stay_speech(level_dbfs: float) -> None:
    sound = np.concatenate((pink(2, -75), babbled(25, level_dbfs)))
    heard = judged(kiosk_gate(GateSettings(both=True)), sound)
    assert all(verdict.speech for verdict in heard[120:])


@pytest.mark.parametrize("level_dbfs", [-46, -40])
def test_soft_speech_in_a_quiet_room_opens(level_dbfs: float) -> None:
    gate = kiosk_gate(GateSettings(both=True))
    judged(gate, pink(10, -72))
    assert any(verdict.speech for verdict in judged(gate, babbled(0.5, level_dbfs)))


@pytest.mark.parametrize("noise_dbfs", [-50, -35, -25])
def test_speech_ten_decibels_above_the_room_opens_however_loud_the_room(noise_dbfs: float) -> None:
    gate = kiosk_gate(GateSettings(both=True))
    judged(gate, pink(10, noise_dbfs))
    spoken = babbled(1, noise_dbfs + 10).astype(np.float64) + pink(1, noise_dbfs, seed=2)
    assert any(
        verdict.speech
        for verdict in judged(gate, to_int16(np.asarray(spoken, dtype=np.float64)))[:16]
    )


def test_a_soft_voice_right_after_a_loud_one_is_heard() -> None:
    gate = kiosk_gate(GateSettings(both=True))
    judged(gate, np.concatenate((pink(3, -70), babbled(10, -16))))
    heard = judged(gate, babbled(3, -42))
    assert all(verdict.speech for verdict in heard)


def test_whoever_speaks_with_the_press_is_not_taken_for_the_room() -> None:
    heard = judged(kiosk_gate(GateSettings(both=True)), babbled(10, -30))
    assert all(verdict.speech for verdict in heard[10:])


# --- the leveller -------------------------------------------------------------------------------


def levelled(sound: Samples, window_ms: int = 8000) -> tuple[RoomLeveller, Samples]:
    leveller = RoomLeveller(window_ms)
    starts = range(0, len(sound), CHUNK)
    return leveller, np.concatenate([leveller.push(sound[at : at + CHUNK]) for at in starts])


@pytest.mark.parametrize("level_dbfs", [-55, -30, -15])
def test_the_room_is_brought_to_where_the_detector_hears_best(level_dbfs: float) -> None:
    leveller, copy = levelled(pink(10, level_dbfs))
    last = copy[-16_000:].astype(float)
    assert -48 < 10 * np.log10(np.mean(last**2) / 32768**2) < -41
    assert level_dbfs + leveller.gain_db == pytest.approx(-45, abs=3)


def test_a_silent_room_is_turned_up_by_ten_decibels_at_most() -> None:
    leveller, _ = levelled(pink(2, -80))
    assert leveller.gain_db == 10


def test_nothing_is_turned_down_before_a_whole_window_was_heard() -> None:
    assert levelled(pink(7.9, -20))[0].gain_db == 0
    assert levelled(pink(8.5, -20))[0].gain_db < -20


def test_a_noise_that_stops_is_forgotten_at_once() -> None:
    leveller, _ = levelled(np.concatenate((pink(10, -20), pink(0.4, -60))))
    assert leveller.gain_db == pytest.approx(10, abs=0.1)


def test_before_anything_was_heard_the_copy_is_the_sound() -> None:
    sound = pink(0.02, -30)
    assert np.array_equal(RoomLeveller(8000).push(sound), sound)


def detectors() -> list[SpeechDetector]:
    return [webrtc_detector(), suppressed_detector()]


def test_detectors_keep_no_state_between_them() -> None:
    sound = noise(0.02, 16_000, rms=3000)
    used, new = detectors(), detectors()
    for _ in range(100):
        for detect in used:
            detect(sound)
    assert [detect(sound) for detect in new] == [detect(sound) for detect in detectors()]
