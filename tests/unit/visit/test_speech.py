from pathlib import Path

import numpy as np
import pytest

from kiosk.audio.pcm import silence
from kiosk.audio.wav import write_wav
from kiosk.visit.languages import load_language
from kiosk.visit.speech import Voice


@pytest.mark.parametrize("cached", [False, True])
async def test_no_sentence_ends_with_a_silence_that_somebody_would_wait_for(
    tmp_path: Path, cached: bool
) -> None:
    for _ in range(1 + cached):  # the second time from the cache
        voice = Voice("en", None, 160, None, tmp_path)
        await voice.prepare()
    clips = {key: voice.sentence(key) for key in load_language("en").said("")}
    clips["any text"] = await voice.spoken("This is a text of an operator's.")
    for key, clip in clips.items():
        assert clip is not None, key
        heard = np.flatnonzero(np.abs(clip.samples.astype(int)) > 100)
        assert len(heard) > 0.3 * clip.rate_hz, key
        assert (len(clip.samples) - heard[-1]) / clip.rate_hz < 0.07, key


async def test_a_recording_is_played_as_it_was_made(tmp_path: Path) -> None:
    samples = np.concatenate((np.full(1600, 9000, np.int16), silence(16_000)))
    (tmp_path / "goodbye.wav").write_bytes(write_wav(samples, 16_000))
    voice = Voice("en", "en-gb+f2", 160, tmp_path, None)
    await voice.prepare()
    clip = voice.sentence("goodbye")
    assert clip is not None
    assert np.array_equal(clip.samples, samples)


async def test_the_disclosure_names_the_institution_where_there_is_one(tmp_path: Path) -> None:
    lengths = []
    for institution in ("", "the City Museum", "the Museum of Everyday Life"):
        voice = Voice("en", None, 160, None, tmp_path, institution=institution)
        await voice.prepare()
        assert institution in voice.sentences["disclosure"]
        assert not any("{" in text for text in voice.sentences.values())
        clip = voice.sentence("disclosure")
        assert clip is not None
        lengths.append(len(clip.samples))
    assert sorted(set(lengths)) == lengths, "one from the cache would be of another institution"


async def test_a_recorded_disclosure_replaces_the_named_one_too(tmp_path: Path) -> None:
    samples = np.full(1600, 9000, np.int16)
    (tmp_path / "disclosure.wav").write_bytes(write_wav(samples, 16_000))
    voice = Voice("en", None, 160, tmp_path, None, institution="the City Museum")
    await voice.prepare()
    clip = voice.sentence("disclosure")
    assert clip is not None
    assert np.array_equal(clip.samples, samples)


@pytest.mark.parametrize(
    ("voice", "path", "told", "not_told"),
    [
        ("xx-nobody", None, "visit.voice", "apt install"),
        (None, "", "sudo apt install espeak-ng", "visit.voice"),
    ],
)
async def test_the_journal_tells_why_a_sentence_stays_silent(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    voice: str | None,
    path: str | None,
    told: str,
    not_told: str,
) -> None:
    if path is not None:
        monkeypatch.setenv("PATH", path)
    mute = Voice("en", voice, 160, None, tmp_path)
    await mute.prepare()
    assert mute.sentence("goodbye") is None
    entry = next(record for record in caplog.records if "'goodbye'" in record.getMessage())
    assert told in entry.getMessage()
    assert "put KEY.wav" in entry.getMessage()
    assert not_told not in entry.getMessage()
