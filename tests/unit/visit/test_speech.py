from pathlib import Path

import numpy as np
import pytest

from kiosk.audio.pcm import silence, write_wav
from kiosk.errors import ConfigError
from kiosk.visit.speech import Voice, load_sentences


def test_a_language_without_sentences_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"kiosk\.language: no sentences in 'de'; .*: en\."):
        load_sentences("de")


def test_sentences_are_words_and_never_codes() -> None:
    for key, sentence in load_sentences("en").items():
        assert sentence.endswith((".", "?")), key
        assert not any(character.isdigit() or character == "_" for character in sentence), key


@pytest.mark.parametrize("cached", [False, True])
async def test_no_sentence_ends_with_a_silence_that_somebody_would_wait_for(
    tmp_path: Path, cached: bool
) -> None:
    for _ in range(1 + cached):  # the second time from the cache
        voice = Voice("en", "en-gb+f2", 160, None, tmp_path)
        await voice.prepare()
    clips = {key: voice.sentence(key) for key in load_sentences("en")}
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
