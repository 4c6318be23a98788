"""The kiosk's own sounds while they are played: sentences and earcons on the loudspeaker."""

from dataclasses import replace
from typing import Protocol

from kiosk.audio.earcons import Earcon
from kiosk.devices.ports import Began, Clip, Drained, Flushed, Source, Speaker
from kiosk.moments import EarconHeard, Observer, SentenceHeard
from kiosk.visit.inputs import OwnSound
from kiosk.visit.speech import earcon_clip

# By law (EU AI Act, article 50), and so that nobody is cut off by surprise.
_MUST_BE_HEARD = frozenset({"disclosure", "disclosure_short", "warning", "last_warning", "queued"})
# What is said in a visitor's pause must not keep the answer from him.
_SHORT = {"disclosure": "disclosure_short"}


class Sentences(Protocol):
    """What the kiosk can say."""

    def sentence(self, key: str) -> Clip | None:
        """None: it could not be rendered."""
        ...


class Announcer:
    """Plays the kiosk's own sounds in order, behind whatever the loudspeaker already has. `busy`:
    one sounds, or waits to."""

    def __init__(self, speaker: Speaker, sentences: Sentences, observe: Observer) -> None:
        self._speaker = speaker
        self._sentences = sentences
        self._observe = observe
        self._given = 0
        # Sentences given to the loudspeaker, not yet heard out.
        self._unfinished: list[tuple[str, Clip]] = []
        self._sounding: Clip | None = None
        self._owed: list[str] = []
        self.busy = False

    @property
    def sound(self) -> OwnSound:
        """What the visit's core knows of it."""
        return OwnSound(self.busy, tuple([key for key, _ in self._unfinished]))

    def earcon(self, earcon: Earcon) -> None:
        self.busy = True
        self._given = self._speaker.play(earcon_clip(earcon))

    def say(self, key: str) -> None:
        """Say a sentence; one that could not be rendered is left out."""
        clip = self._sentences.sentence(key)
        if clip is not None:
            self.say_clip(key, clip)

    def say_clip(self, key: str, clip: Clip) -> None:
        """Say a sentence, or what is none of the table."""
        clip = replace(clip, name=key)
        self._unfinished.append((key, clip))
        self.busy = True
        self._given = self._speaker.play(clip)

    def saying(self, key: str) -> bool:
        """Whether that is being said, or waits to be."""
        return any(key == waiting for waiting, _ in self._unfinished)

    def hush(self, key: str) -> None:
        """Stop at once if that is being said, or waits to be; it is owed no more."""
        if self.saying(key):
            self.give_way()
        self.forget(key)

    def fall_silent(self) -> None:
        """Stop at once, chimes too: nothing of it is so any more, and nothing is owed."""
        self.forget()
        if self.busy:
            self._unfinished.clear()
            self._speaker.flush(Source.SPEECH, Source.EARCON)

    def give_way(self) -> None:
        """The visitor speaks: stop. What must be heard is owed."""
        if self._unfinished:
            interrupted = [key for key, _ in self._unfinished if key in _MUST_BE_HEARD]
            self._owed += [self._short(key) for key in interrupted]
            self._unfinished.clear()
            self._speaker.flush(Source.SPEECH)

    def _short(self, key: str) -> str:
        """The short form of a sentence, where there is one and it can be said."""
        short = _SHORT.get(key, key)
        return key if self._sentences.sentence(short) is None else short

    def resume(self) -> None:
        """Say what is owed, from its beginning; of a long sentence its short form."""
        owed, self._owed = self._owed, []
        for key in owed:
            self.say(key)

    def forget(self, key: str | None = None) -> None:
        """This is owed no more: it is no longer so. None: nothing is, to a visitor who goes."""
        self._owed = [] if key is None else [owed for owed in self._owed if owed != key]

    def on_speaker(self, event: Began | Drained | Flushed) -> None:
        match event:
            case Began(clip, heard_at_s):
                if self._unfinished and self._unfinished[0][1] is self._sounding:
                    del self._unfinished[0]  # another sound follows: it was heard out
                self._sounding = clip
                if clip.source is Source.EARCON:
                    self._observe(EarconHeard(heard_at_s, earcon=clip.name))
                elif clip.source is Source.SPEECH:
                    self._observe(SentenceHeard(heard_at_s, key=clip.name))
            case Drained(clips):
                self._sounding = None
                if clips >= self._given:
                    self._unfinished.clear()
                    self.busy = False
            case Flushed():
                self._sounding = None
