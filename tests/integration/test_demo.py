"""`kiosk demo` as a script uses it: with recordings, its object, its files."""

import asyncio
import json
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from kiosk.agent.voice import AgentVoice
from kiosk.audio.pcm import samples_to_bytes
from kiosk.audio.wav import read_wav
from tests.slowness import patient_s


async def demo(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `kiosk demo`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kiosk",
        "demo",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:  # a test that was given up leaves nothing behind for the next
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_stereo_recording_at_8_khz_is_said_and_what_was_heard_is_reported(
    tmp_path: Path,
) -> None:
    speech = await AgentVoice("en-us+f2", 150).render("tell me about the blue whale", 8000)
    recording = tmp_path / "question.wav"
    with wave.open(str(recording), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples_to_bytes(np.repeat(speech, 2)))
    out = tmp_path / "out"
    code, said, complaint = await demo("--voice", str(recording), "--out", str(out), "--json")
    result = json.loads(said)
    assert code == 0
    assert "Everything was heard right" in complaint
    assert result["ok"] is True
    assert [turn["heard"] for turn in result["turns"]] == [
        "tell me about the blue whale",
        "thank you goodbye",
    ]
    assert all(turn["own_share_ms"] <= turn["response_latency_ms"] for turn in result["turns"])
    assert result["ending"] == "agent_ended"
    assert result["barge_in"] == {"interruption_to_silence_ms": None}
    for name in ("microphone.wav", "speaker.wav"):
        samples, rate_hz = read_wav((out / name).read_bytes())
        assert rate_hz == 48_000
        assert np.abs(samples).max() > 1000
    picture = (out / "visit.html").read_text(encoding="utf-8")
    assert "tell me about the blue whale" not in picture, "the visitor's words are a recording"
    assert 'class="agents"' in picture
    events = json.loads((out / "timeline.json").read_text(encoding="utf-8"))
    assert [event["at_s"] for event in events] == sorted(event["at_s"] for event in events)
    assert {"visitor", "kiosk", "agent", "turn"} == {event["who"] for event in events}
    for turn in result["turns"]:
        chain = turn["chain"]
        assert chain["at_agent_ms"] < chain["answered_ms"] < chain["heard_ms"]
        assert chain["heard_ms"] == turn["response_latency_ms"]
    assert result["imagined_onsets"] == 0


async def test_what_was_not_understood_is_reported_as_null(tmp_path: Path) -> None:
    speech = await AgentVoice("en-us+f2", 150).render(
        "my uncle sells wooden boats in winter", 16_000
    )
    recording = tmp_path / "other.wav"
    with wave.open(str(recording), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples_to_bytes(speech))
    code, said, _ = await demo("--voice", str(recording), "--json")
    result = json.loads(said.splitlines()[-1])
    assert code == 1
    assert result["ok"] is False
    assert result["turns"][0]["heard"] is None
    assert any("other.wav" in error for error in result["errors"])


async def test_a_recording_that_cannot_be_read_is_named_without_a_traceback(
    tmp_path: Path,
) -> None:
    recording = tmp_path / "notes.txt"
    recording.write_text("not a recording", encoding="utf-8")
    code, _, complaint = await demo("--voice", str(recording))
    assert code == 69
    assert str(recording) in complaint
    assert "Traceback" not in complaint


def _made(file: Path, text: str = "") -> None:
    file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("where", ["a-file", "a-file/below-it", "/proc/kiosk"])
async def test_a_directory_that_cannot_be_had_is_named_before_anything_is_performed(
    tmp_path: Path, where: str
) -> None:
    _made(tmp_path / "a-file")
    code, said, complaint = await demo("--out", str(tmp_path / where))
    assert code == 69
    assert f"--out {tmp_path / where}: " in complaint
    assert said == ""


@pytest.mark.parametrize(("language", "options"), [("de", []), ("uk", ["--json"])])
async def test_the_kiosk_speaks_a_language_of_its_own_and_says_that_nobody_else_does(
    language: str, options: list[str]
) -> None:
    code, said, complaint = await demo("--language", language, *options)
    assert code == 0
    read = complaint if options else said
    noted = "sentences are in 'de'; agent and visitor speak English" in " ".join(read.split())
    assert noted is not bool(options)
    assert "says itself: " in read
    assert max(map(len, read.splitlines())) <= 80
    stamps = [float(line.split()[0]) for line in read.splitlines() if " s " in line[:13]]
    assert stamps == sorted(stamps)


async def typed(*lines: str, options: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """A live demo in writing; each line is typed when the one before was answered."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kiosk", "demo", "--live", "--text", *options,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said = ""
    async with asyncio.timeout(patient_s(60)):
        while "Ctrl-D ends" not in said:
            said += (await process.stdout.readline()).decode()
        for line in lines:
            process.stdin.write(f"{line}\n".encode())
            answered = said.count("answers:")
            while said.count("answers:") == answered or f"reads: {line}" not in said:
                said += (await process.stdout.readline()).decode()
        process.stdin.close()
        rest, complaint = await process.stdout.read(), await process.stderr.read()
    return await process.wait(), said + rest.decode(), complaint.decode()


async def test_whoever_sits_there_asks_in_writing_and_reads_the_answers() -> None:
    code, said, complaint = await typed("where is the exit", "purple monkeys")
    assert (code, complaint) == (0, "")
    assert "answers: The exit is straight ahead" in said
    table = said.partition("What was said")[2]
    assert "where is the exit" in table
    assert "purple monkeys" in table
    assert max(map(len, said.splitlines())) <= 80


async def test_ones_own_guide_is_talked_with(tmp_path: Path) -> None:
    guide = tmp_path / "shop.toml"
    guide.write_text(
        'language = "en"\nvoice = "en"\ngreeting = "Hello."\nask_again = "Again?"\n'
        '[[entry]]\nkey = "bread"\nask = ["Do you have bread?"]\nsay = "Next to the milk."\n'
    )
    code, said, _ = await typed("Do you have bread?", options=("--guide", str(guide)))
    assert code == 0
    assert "answers: Next to the milk." in said


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--text",), "--text and --guide belong to --live"),
        (("--live", "--out", "x"), "--live is without"),
        (("--live", "--guide", "nowhere.toml"), "cannot read the guide"),
    ],
)
async def test_what_does_not_go_together_is_refused_before_anything_starts(
    options: tuple[str, ...], why: str
) -> None:
    code, said, complaint = await demo(*options)
    assert (code, said) == (78, "")
    assert why in complaint


async def test_a_flow_of_the_backends_is_gone_through_to_its_summary() -> None:
    code, said, complaint = await demo("--mind", "museum", "--json")
    result = json.loads(said)
    assert code == 0, complaint
    assert result["ok"] is True
    assert [turn["heard"] for turn in result["turns"]] == [
        "yes please",
        "the whole afternoon",
        "with children",
        "the whales",
    ]
    assert (
        "you have the whole afternoon, you come with children, and you like the whales best"
        in result["turns"][-1]["said"]
    )
    assert result["ending"] == "hung_up"


@pytest.mark.parametrize(
    ("options", "complains"),
    [
        (["--mind", "theatre"], "cannot read the flow theatre: No such file"),
        (["--mind", "museum", "--scenario", "vanished"], "--mind is without --voice"),
        (["--mind", "wrong.toml"], "wrong.toml, line 1: nam: there is no such key"),
    ],
)
async def test_a_flow_that_cannot_be_had_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    complains: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    _made(tmp_path / "wrong.toml", "nam = 1\n")
    code, said, complaint = await demo(*options)
    assert code != 0
    assert complains in complaint
    assert "Traceback" not in complaint
    assert said == ""
