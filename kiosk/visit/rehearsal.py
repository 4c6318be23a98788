"""Rehearsal of the kiosk's own sentences: can they be said? And a copy for whoever records them."""

from pathlib import Path

from kiosk.audio.wav import write_wav
from kiosk.config import Settings
from kiosk.errors import ConfigError, UnavailableError
from kiosk.visit.speech import Voice, muteness, voice_of


def speechless(settings: Settings) -> str | None:
    """A warning that this machine cannot say the sentences, None: it can. Raises ConfigError where
    the settings are why."""
    warnings = [_speechless_in(settings, language) for language in settings.languages]
    return "\n".join(dict.fromkeys(filter(None, warnings))) or None


def _speechless_in(settings: Settings, language: str) -> str | None:
    voice = voice_of(settings, language=language)
    found = muteness(voice.name, settings.visit.words_per_minute)
    if found is None:
        return None
    if len(voice.recorded()) == len(voice.sentences):
        return f"every sentence is recorded, but {found.why}; {found.remedy}"
    if found.by_the_settings and settings.visit.voice == voice.name:
        raise ConfigError(f"visit.voice: {found.of_a_sentence}")
    return found.of_a_sentence


def spoken_in(settings: Settings, language: str | None) -> Voice:
    """The voice as it is set, in another language in that one's own; raises ConfigError."""
    return voice_of(settings, language=language, key="--language")


def keep_recordings(voice: Voice, directory: Path) -> None:
    """Write KEY.wav for each sentence; raises KioskError, before anything is written where it would
    replace a file."""
    paths = {key: directory / f"{key}.wav" for key in voice.sentences}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if there := [path for path in paths.values() if path.exists()]:
            raise UnavailableError(
                f"--out: {there[0]} is there already, and may be somebody's recording; "
                "name another directory"
            )
        for key, path in paths.items():
            clip = voice.render(key)
            path.write_bytes(write_wav(clip.samples, clip.rate_hz))
    except OSError as error:
        raise UnavailableError(f"--out {directory}: {error.strerror}") from error
