"""The agent's voice: real espeak-ng, its limits and its failures."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kiosk.agent.voice import AgentVoice
from kiosk.audio.levels import trim_silence
from kiosk.base.espeak import espeak_command
from kiosk.errors import ConfigError, UnavailableError


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 48_000])
async def test_speech_comes_at_the_asked_rate_with_little_silence_around(rate_hz: int) -> None:
    samples = await AgentVoice("en-gb-x-rp", 165).render("The exit is straight ahead.", rate_hz)
    assert 1.0 < len(samples) / rate_hz < 3.0
    audible = np.flatnonzero(np.abs(samples.astype(np.int32)) > 100)
    assert audible[0] / rate_hz < 0.08
    assert (len(samples) - audible[-1]) / rate_hz < 0.08


async def test_more_words_a_minute_take_less_time() -> None:
    text = "We close at six in the evening."
    slow = await AgentVoice("en", 120).render(text, 16_000)
    fast = await AgentVoice("en", 240).render(text, 16_000)
    assert len(fast) < 0.7 * len(slow)


async def test_a_repeated_sentence_is_the_same_recording_and_cannot_be_written() -> None:
    voice = AgentVoice("en")
    first = await voice.render("Hello.", 16_000)
    assert await voice.render("Hello.", 16_000) is first
    assert await voice.render("Hello.", 8000) is not first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1


async def test_the_oldest_sentence_is_forgotten_first() -> None:
    voice = AgentVoice("en", 300)
    first = await voice.render("zero", 16_000)
    second = await voice.render("one", 16_000)
    for number in range(2, 17):
        assert await voice.render("zero", 16_000) is first
        await voice.render(str(number), 16_000)
    assert await voice.render("zero", 16_000) is first
    assert await voice.render("one", 16_000) is not second


async def test_text_that_looks_like_an_option_is_spoken() -> None:
    assert len(await AgentVoice("en").render("--version", 16_000)) > 4000


async def test_accents_are_spoken_as_written() -> None:
    voice = AgentVoice("en-gb-x-rp")
    accented = await voice.render("café", 16_000)
    assert not np.array_equal(accented, await voice.render("cafã©", 16_000))


@pytest.mark.parametrize("text", ["", "   ", "..."])
async def test_nothing_to_say_is_no_sound(text: str) -> None:
    assert len(await AgentVoice("en").render(text, 16_000)) == 0


async def test_an_unknown_voice_is_a_configuration_error_naming_it() -> None:
    with pytest.raises(ConfigError, match="'klingon-x'"):
        await AgentVoice("klingon-x").render("Hello.", 16_000)


async def test_without_espeak_the_package_to_install_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="apt install espeak-ng"):
        await AgentVoice("en").render("Hello.", 16_000)


def put_program(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = directory / "espeak-ng"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


async def test_a_program_that_hangs_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_program(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60", monkeypatch)
    with pytest.raises(UnavailableError, match=r"did not finish 6 characters in 0\.5 s"):
        await AgentVoice("en", longest_s=0.5).render("Hello.", 16_000)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize("after_s", [0.0, 0.0005, 0.002, 0.005, 0.02, 0.1])
async def test_a_rendering_that_is_given_up_ends_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, after_s: float
) -> None:
    put_program(tmp_path, "head -c 1000000 /dev/zero; exec sleep 60", monkeypatch)
    async with asyncio.timeout(5):
        rendering = asyncio.create_task(AgentVoice("en").render("Hello.", 16_000))
        await asyncio.sleep(after_s)
        rendering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rendering
        await asyncio.get_running_loop().shutdown_default_executor()


async def test_a_rendering_that_is_given_up_before_its_turn_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_program(tmp_path, f"touch {tmp_path}/started; exec sleep 60", monkeypatch)
    loop, busy = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    waiting = loop.run_in_executor(None, busy.wait)
    rendering = asyncio.create_task(AgentVoice("en").render("Hello.", 16_000))
    await asyncio.sleep(0.05)
    rendering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rendering
    busy.set()
    await waiting
    await loop.shutdown_default_executor()
    assert not (tmp_path / "started").exists()


async def test_a_program_that_fails_is_reported_with_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_program(tmp_path, "echo out of memory >&2; exit 3", monkeypatch)
    with pytest.raises(UnavailableError, match="failed with status 3: out of memory"):
        await AgentVoice("en").render("Hello.", 16_000)


def test_the_command_never_holds_the_text() -> None:
    assert espeak_command("en+f2", 150) == [
        *("espeak-ng", "-v", "en+f2", "-s", "150", "-b", "1", "--stdin", "--stdout")
    ]


def test_trimming_keeps_what_is_between_the_first_and_the_last_sound() -> None:
    sound = np.zeros(10_000, dtype=np.int16)
    sound[4000] = sound[6000] = 1000
    trimmed = trim_silence(sound, 8000)
    assert list(np.flatnonzero(trimmed)) == [400, 2400]
    assert len(trimmed) == 2801
    assert len(trim_silence(np.zeros(100, dtype=np.int16), 8000)) == 0
