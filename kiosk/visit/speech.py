"""The kiosk's own voice: its sentences, rendered ahead of time, and its earcons.

Sentences come from the kiosk's language. A WAV file named after the key replaces the synthetic
voice; otherwise espeak-ng renders each sentence once and the result is cached, so that an apology
needs neither network nor a second of computing.
"""

import contextlib
import hashlib
import logging
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from kiosk.audio.earcons import RATE_HZ, Earcon, earcon_samples
from kiosk.audio.levels import trim_silence
from kiosk.audio.pcm import Samples
from kiosk.audio.wav import WavError, read_wav
from kiosk.base import service
from kiosk.base.espeak import (
    DEBIAN_PACKAGE,
    PROGRAM,
    Espeak,
    EspeakMissingError,
    VoiceMissingError,
)
from kiosk.causes import fault
from kiosk.config import Settings
from kiosk.devices.ports import Clip, Source
from kiosk.errors import ConfigError, UnavailableError
from kiosk.visit.languages import load_language

log = logging.getLogger(__name__)

_RENDER_TIMEOUT_S = 20.0
TRIAL_S = 6.0


@dataclass(frozen=True, slots=True)
class Muteness:
    """Why espeak-ng says nothing, and what to do about it."""

    why: str
    remedy: str
    by_the_settings: bool = False

    @property
    def of_a_sentence(self) -> str:
        """Both, where a recording would do as well."""
        return f"{self.why}; {self.remedy}, or put KEY.wav files into visit.messages_dir"


def muteness(voice: str, words_per_minute: int) -> Muteness | None:
    """Why espeak-ng says nothing with this voice; None: it speaks. Blocks."""
    espeak = Espeak(voice, words_per_minute, TRIAL_S)
    try:
        samples, _ = read_wav(espeak.speak_now("A"))
    except (ConfigError, UnavailableError, WavError) as error:
        return _muteness(espeak, error)
    return None if len(samples) else _muteness(espeak, WavError("there are no samples in it"))


def _muteness(espeak: Espeak, error: ConfigError | UnavailableError | WavError) -> Muteness:
    why, _, _ = str(error).partition("; ")
    match error:
        case VoiceMissingError():
            remedy = f"set visit.voice to one that `{PROGRAM} --voices` lists"
            return Muteness(why, remedy, by_the_settings=True)
        case EspeakMissingError():
            return Muteness(why, f"`sudo apt install {DEBIAN_PACKAGE}`")
        case WavError():
            why = f"{PROGRAM} gives no sound: {why}"
    return Muteness(why, f"`echo A | {' '.join(espeak.command)} > /tmp/a.wav` tells more")


def default_cache_dir() -> Path:
    """Where rendered sentences are kept: the service's cache directory, or the user's."""
    if directory := service.cache_directory():
        return directory
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "kiosk"


class Voice:
    """Clips of everything the kiosk says itself; None for what could not be rendered.

    `voice` None is the language's own. `report`: what the report to staff is made of. `key` is what
    asked for the language. `name` is that of the synthetic voice.
    """

    def __init__(
        self,
        language: str,
        voice: str | None,
        words_per_minute: int,
        messages_dir: Path | None,
        cache_dir: Path | None,
        *,
        institution: str = "",
        sentences_dir: Path | None = None,
        key: str = "kiosk.language",
    ) -> None:
        found = load_language(language, sentences_dir, key=key)
        self.sentences = found.said(institution)
        self.report = found.report
        self.language = language
        self.name = voice or found.voice
        self._espeak = Espeak(self.name, words_per_minute, _RENDER_TIMEOUT_S)
        self._messages_dir = messages_dir
        self._cache_dir = cache_dir
        self._clips: dict[str, Clip] = {}

    async def prepare(self, keys: Collection[str] | None = None) -> None:
        """Load or render these sentences, None: all; raises ConfigError for an unusable replacement
        file."""
        for key, text in self.sentences.items():
            if keys is not None and key not in keys:
                continue
            if (recording := self._replacement(key)) is not None:
                self._clips[key] = _clip(*read_wav(recording))
            elif (rendered := await self._rendered(key, text)) is not None:
                self._clips[key] = _trimmed_clip(rendered)

    def recorded(self) -> list[str]:
        """The keys of those of which there is a recording, in place of the synthetic voice."""
        directory = self._messages_dir
        return [key for key in self.sentences if directory and (directory / f"{key}.wav").is_file()]

    def sentence(self, key: str) -> Clip | None:
        return self._clips.get(key)

    async def spoken(self, text: str) -> Clip | None:
        """Any text, rendered when asked for; None if it could not be."""
        try:
            return _trimmed_clip(await _synthesise(self._espeak, text))
        except (UnavailableError, ConfigError, WavError):
            return None

    def render(self, key: str) -> Clip:
        """A sentence in the synthetic voice, whatever is recorded. Blocks; raises KioskError."""
        try:
            return _trimmed_clip(self._espeak.speak_now(self.sentences[key]))
        except WavError as error:
            raise UnavailableError(_muteness(self._espeak, error).why) from error

    def _replacement(self, key: str) -> bytes | None:
        if self._messages_dir is None:
            return None
        path = self._messages_dir / f"{key}.wav"
        if not path.exists():
            return None
        try:
            data = path.read_bytes()
            read_wav(data)
        except (OSError, WavError) as error:
            raise ConfigError(f"visit.messages_dir: {path}: {error}") from error
        return data

    async def _rendered(self, key: str, text: str) -> bytes | None:
        digest = hashlib.sha256("\0".join((*self._espeak.command, text)).encode()).hexdigest()[:16]
        cached = None if self._cache_dir is None else self._cache_dir / f"{key}-{digest}.wav"
        if cached is not None:
            with contextlib.suppress(OSError, WavError):
                data = cached.read_bytes()
                read_wav(data)
                return data
        try:
            rendered = await _synthesise(self._espeak, text)
        except (UnavailableError, ConfigError, WavError) as error:
            why = _muteness(self._espeak, error).of_a_sentence
            log.warning(
                "the sentence %r stays silent: %s", key, why, extra=fault("sentence_missing")
            )
            return None
        if cached is not None:
            # A read-only file system costs the rendering at every start, nothing else.
            with contextlib.suppress(OSError):
                cached.parent.mkdir(parents=True, exist_ok=True)
                part = cached.with_suffix(f".{os.getpid()}.part")
                part.write_bytes(rendered)
                part.replace(cached)
        return rendered


def voice_of(
    settings: Settings,
    cache_dir: Path | None = None,
    language: str | None = None,
    *,
    key: str = "kiosk.languages",
) -> Voice:
    """The voice as it is set; raises ConfigError. In another `language` than the kiosk's it is that
    one's own, and its recordings stand in a directory of its code. `key` asked for that one."""
    kiosk, visit = settings.kiosk, settings.visit
    own = language is None or language == kiosk.language
    messages_dir = visit.messages_dir
    if language is not None and not own and messages_dir is not None:
        messages_dir /= language
    return Voice(
        language or kiosk.language,
        visit.voice if own else None,
        visit.words_per_minute,
        messages_dir,
        cache_dir,
        institution=kiosk.institution,
        sentences_dir=kiosk.sentences_dir,
        key="kiosk.language" if own else key,
    )


def earcon_clip(earcon: Earcon) -> Clip:
    return Clip(earcon_samples(earcon), RATE_HZ, Source.EARCON, name=earcon.value)


async def _synthesise(espeak: Espeak, text: str) -> bytes:
    """What espeak-ng makes of a text, as WAV; raises what `Espeak.speak` does, and WavError."""
    data = await espeak.speak(text)
    read_wav(data)
    return data


def _clip(samples: Samples, rate_hz: int) -> Clip:
    return Clip(samples, rate_hz, Source.SPEECH)


def _trimmed_clip(rendered: bytes) -> Clip:
    """espeak-ng ends every sentence with a third of a second of silence: whoever waits for what
    follows it would wait for that too."""
    samples, rate_hz = read_wav(rendered)
    return _clip(trim_silence(samples, rate_hz), rate_hz)
