"""The kiosk's own voice: its sentences, rendered ahead of time, and its earcons.

Sentences come from the table of the kiosk's language. A WAV file named after the key replaces the
synthetic voice; otherwise espeak-ng renders each sentence once and the result is cached, so that an
apology needs neither network nor a second of computing.
"""

import contextlib
import hashlib
import logging
import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from kiosk.audio.earcons import RATE_HZ, Earcon, earcon_samples
from kiosk.audio.levels import trim_silence
from kiosk.audio.pcm import Samples, WavError, read_wav
from kiosk.base import service
from kiosk.base.espeak import Espeak
from kiosk.causes import fault
from kiosk.devices.ports import Clip, Source
from kiosk.errors import ConfigError, UnavailableError

log = logging.getLogger(__name__)

_RENDER_TIMEOUT_S = 20.0


def load_sentences(language: str) -> dict[str, str]:
    """Key to text, from the language's file in this package; raises ConfigError."""
    return _texts(_language(language))


def load_report(language: str) -> dict[str, str]:
    """The same of what the report to staff is made of, with places in braces."""
    report = _language(language).get("report")
    return _texts(report if isinstance(report, dict) else {})


def _texts(table: Mapping[str, object]) -> dict[str, str]:
    return {key: text for key, text in table.items() if isinstance(text, str)}


def _language(language: str) -> dict[str, object]:
    tables = resources.files("kiosk.visit") / "sentences"
    table = tables / f"{language}.toml"
    if not table.is_file():
        known = sorted(each.name.removesuffix(".toml") for each in tables.iterdir())
        raise ConfigError(
            f"kiosk.language: no sentences in {language!r}; there are: {', '.join(known)}. "
            f"Another language is a file beside them"
        )
    return tomllib.loads(table.read_text("utf-8"))


def default_cache_dir() -> Path:
    """Where rendered sentences are kept: the service's cache directory, or the user's."""
    if directory := service.cache_directory():
        return directory
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "kiosk"


class Voice:
    """Clips of everything the kiosk says itself; `clip` is None for what could not be rendered."""

    def __init__(
        self,
        language: str,
        voice: str,
        words_per_minute: int,
        messages_dir: Path | None,
        cache_dir: Path | None,
    ) -> None:
        self._sentences = load_sentences(language)
        self._espeak = Espeak(voice, words_per_minute, _RENDER_TIMEOUT_S)
        self._messages_dir = messages_dir
        self._cache_dir = cache_dir
        self._clips: dict[str, Clip] = {}

    async def prepare(self) -> None:
        """Load or render every sentence; raises ConfigError for an unusable replacement file."""
        for key, text in self._sentences.items():
            if (recording := self._replacement(key)) is not None:
                self._clips[key] = _clip(*read_wav(recording))
            elif (rendered := await self._rendered(key, text)) is not None:
                self._clips[key] = _trimmed_clip(rendered)

    def sentence(self, key: str) -> Clip | None:
        return self._clips.get(key)

    async def spoken(self, text: str) -> Clip | None:
        """Any text, rendered when asked for; None if it could not be."""
        rendered = await _synthesise(self._espeak, text)
        return None if rendered is None else _trimmed_clip(rendered)

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
        rendered = await _synthesise(self._espeak, text)
        if rendered is None:
            log.warning(
                "the sentence %r stays silent; install espeak-ng or give a WAV file",
                key,
                extra=fault("sentence_missing"),
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


def earcon_clip(earcon: Earcon) -> Clip:
    return Clip(earcon_samples(earcon), RATE_HZ, Source.EARCON)


async def _synthesise(espeak: Espeak, text: str) -> bytes | None:
    """What espeak-ng makes of a text, as WAV; None if it is absent or fails."""
    with contextlib.suppress(UnavailableError, ConfigError, WavError):
        data = await espeak.speak(text)
        read_wav(data)
        return data
    return None


def _clip(samples: Samples, rate_hz: int) -> Clip:
    return Clip(samples, rate_hz, Source.SPEECH)


def _trimmed_clip(rendered: bytes) -> Clip:
    """espeak-ng ends every sentence with a third of a second of silence: whoever waits for what
    follows it would wait for that too."""
    samples, rate_hz = read_wav(rendered)
    return _clip(trim_silence(samples, rate_hz), rate_hz)
