"""Voices of the kiosk, one for each language that a visit can be in."""

import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from kiosk.causes import fault
from kiosk.config import Settings
from kiosk.devices.ports import Clip
from kiosk.errors import ConfigError
from kiosk.visit.speech import Voice, voice_of

log = logging.getLogger(__name__)


class Voices:
    """Clips of what the kiosk says, in the language of the visit. `own` is the site's, and says
    what another cannot; `others` are the rest, by language."""

    def __init__(self, own: Voice, others: Mapping[str, Voice] = MappingProxyType({})) -> None:
        self.own = own
        self.others = others
        self._now = own

    def use(self, language: str | None) -> None:
        """Speak this language from now on; None, or one that there is none of: the site's."""
        self._now = self.own if language is None else self.others.get(language, self.own)

    def sentence(self, key: str) -> Clip | None:
        clip = self._now.sentence(key)
        return self.own.sentence(key) if clip is None else clip

    def text(self, key: str) -> str | None:
        """The text of a sentence as it is said, None where there is none of that key."""
        voice = self.own if self._now.sentence(key) is None else self._now
        return voice.sentences.get(key)

    async def prepare_others(self) -> None:
        """Load or render what the other languages have to say."""
        for language, voice in self.others.items():
            try:
                await voice.prepare()
            except ConfigError as error:
                log.warning(
                    "the sentences in %s: %s", language, error, extra=fault("sentence_missing")
                )


def voices_of(settings: Settings, cache_dir: Path | None = None) -> Voices:
    """The voices as they are set; raises ConfigError."""
    own, *others = settings.languages
    return Voices(
        voice_of(settings, cache_dir, own),
        {language: voice_of(settings, cache_dir, language) for language in others},
    )
