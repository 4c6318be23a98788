"""What lies below a voice: an offset, rumble, the mains. No visitor is deaf or doubled by it."""

import asyncio
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from kiosk.agent.voice import AgentVoice
from kiosk.audio.capture import CaptureChain, CapturedChunk, CaptureLayout, Treatment
from kiosk.audio.gate import Edge, GateSettings, kiosk_gate
from kiosk.audio.high_pass import HighPass
from kiosk.audio.pcm import samples_to_bytes, to_int16
from tests.unit.sounds import Floats, noise, rms, tone

CARD_HZ = 48_000


@pytest.mark.parametrize("level", [-32768, -3277, 1, 16_000, 32767])
def test_of_an_offset_nothing_is_left_from_the_first_sample_on(level: int) -> None:
    assert not HighPass().push(np.full(1000, level, np.int16)).any()


@pytest.mark.parametrize(
    ("hertz", "least_db", "most_db"),
    [(20, -99, -27), (50, -13, -11), (100, -3.2, -2.8), (200, -0.5, 0), (4000, -0.1, 0.1)],
)
def test_the_mains_are_taken_out_and_a_voice_is_left(
    hertz: float, least_db: float, most_db: float
) -> None:
    sound = tone(hertz, 2, 16_000, peak=10_000)
    left_db = 20 * np.log10(rms(HighPass().push(sound)[8000:]) / rms(sound[8000:]))
    assert least_db <= left_db <= most_db


@pytest.mark.parametrize("size", [1, 77, 320, 999])
def test_in_pieces_it_is_what_it_is_whole(size: int) -> None:
    sound, pieces = noise(0.5, 16_000, rms=6000), HighPass()
    parts = [pieces.push(sound[at : at + size]) for at in range(0, len(sound), size)]
    assert np.allclose(np.concatenate(parts), HighPass().push(sound), atol=1)


# --- in the chain -------------------------------------------------------------------------------


@cache
def question_dbfs(level_dbfs: float) -> Floats:
    """Two questions at the card's rate, in a quiet room."""
    spoken = asyncio.run(AgentVoice("en-gb").render("where are the toilets please", CARD_HZ))
    voice = spoken * 10 ** (level_dbfs / 20) / (rms(spoken) / 32768)
    pause = np.zeros(round(2.5 * CARD_HZ))
    sound = np.concatenate((pause[: CARD_HZ // 2], voice, pause, voice, pause))
    return sound + np.random.default_rng(3).normal(0, 32768 * 10 ** (-75 / 20), len(sound))


def sine(hertz: float, dbfs: float, count: int) -> Floats:
    turns = 2 * np.pi * hertz * np.arange(count) / CARD_HZ
    wave: Floats = 32768 * 10 ** (dbfs / 20) * np.sqrt(2) * np.sin(turns + 1)
    return wave


def rumble(dbfs: float, count: int) -> Floats:
    spectrum = np.fft.rfft(np.random.default_rng(4).normal(0, 1, count))
    hertz = np.fft.rfftfreq(count, 1 / CARD_HZ)
    spectrum[(hertz < 12) | (hertz > 45)] = 0
    sound: Floats = np.fft.irfft(spectrum, count)
    return sound * 32768 * 10 ** (dbfs / 20) / rms(sound)


DISTURBANCES: dict[str, Callable[[int], Floats]] = {
    "offset of 3 %": lambda count: np.full(count, 0.03 * 32768),
    "offset of 10 %": lambda count: np.full(count, 0.10 * 32768),
    "offset of 25 %, negative": lambda count: np.full(count, -0.25 * 32768),
    "rumble": lambda count: rumble(-20, count),
    "hum of 50 Hz": lambda count: sine(50, -30, count),
}


def through_the_chain(sound: Floats) -> list[CapturedChunk]:
    chain = CaptureChain(CaptureLayout(CARD_HZ, 1), Treatment(kiosk_gate(GateSettings())))
    data = samples_to_bytes(to_int16(sound))
    size = 2 * CARD_HZ // 100
    chunks: list[CapturedChunk] = []
    for at in range(0, len(data), size):
        chunks += chain.push(data[at : at + size], at / 2 / CARD_HZ)
    return chunks


def edges(chunks: list[CapturedChunk]) -> list[tuple[Edge, float]]:
    return [(each.verdict.edge, each.captured_at_s) for each in chunks if each.verdict.edge]


@pytest.mark.parametrize("level_dbfs", [-26, -36])
@pytest.mark.parametrize("name", DISTURBANCES)
def test_the_gate_opens_and_closes_as_without_it(name: str, level_dbfs: float) -> None:
    clean = question_dbfs(level_dbfs)
    expected = edges(through_the_chain(clean))
    assert [edge for edge, _ in expected] == [Edge.SPEECH_STARTED, Edge.SPEECH_ENDED] * 2
    found = edges(through_the_chain(clean + DISTURBANCES[name](len(clean))))
    assert [edge for edge, _ in found] == [edge for edge, _ in expected]
    for (_, at_s), (_, expected_s) in zip(found, expected, strict=True):
        assert at_s == pytest.approx(expected_s, abs=0.2)


@pytest.mark.parametrize("name", ["offset of 10 %", "offset of 25 %, negative"])
def test_an_offset_makes_no_step_where_the_gate_opens_and_closes(name: str) -> None:
    clean = question_dbfs(-36)
    chunks = through_the_chain(clean + DISTURBANCES[name](len(clean)))
    sent = [chunk.samples * chunk.verdict.passes for chunk in chunks]
    sound = np.concatenate(sent).astype(int)
    borders = np.arange(320, len(sound), 320)
    steps = np.abs(sound[borders] - sound[borders - 1])
    assert steps.max() < 0.05 * np.abs(sound).max() + 1000
    assert np.abs(sound[:320]).max() < 200, "nor at the press"
