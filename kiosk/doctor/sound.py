"""The sound, measured where somebody asks for it: a program is played for some seconds, and what
the microphone heard of it tells of card, volume, room and wiring.

It blocks, and holds both cards; nobody else may have them.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from kiosk.audio.channels import ChannelMix
from kiosk.audio.levels import SILENCE_DBFS, RoomFloor, SpeechLevel, rms_dbfs
from kiosk.audio.measuring import Program, Recorded, SoundFigures, measured
from kiosk.audio.pcm import CHUNK_MS, INTERNAL_RATE_HZ, Rechunker, Samples, ms_to_samples
from kiosk.audio.resample import resample
from kiosk.base.clock import REAL, Clock
from kiosk.config import Settings
from kiosk.devices.cards import Direction
from kiosk.devices.duplex import LostSoundError, NotWantedError, Take, play_and_record
from kiosk.devices.mixer import Reading, reading
from kiosk.devices.ports import CapturePcm, PlaybackPcm
from kiosk.devices.whole_cards import WholeCards
from kiosk.doctor import sound_findings as judging
from kiosk.doctor import sound_reference
from kiosk.doctor.findings import Result, refused, skipped
from kiosk.doctor.sound_findings import Judged
from kiosk.errors import DeviceError, KioskError

# By the microphone's card, or the loudspeaker's, on whether the other is the wrong one.
_MOST_OTHERS = 4
_TRIES = 3
SENTENCE_S = 6.0
_OVER_ROOM_DB = 9.0
_PLUG = "plug it in; `kiosk devices` lists what is there and the line that selects it"
_QUICK = {"quiet_s": 0.8, "sweep_s": 1.0, "tail_s": 1.0}


class Measurement:
    """One measurement by the cards of these settings. `wanted` False ends it, with a DeviceError;
    `keep`: what is measured becomes the reference, if nothing fails."""

    def __init__(
        self,
        settings: Settings,
        cards: WholeCards,
        clock: Clock = REAL,
        wanted: Callable[[], bool] = lambda: True,
        *,
        keep: bool = False,
    ) -> None:
        self._settings = settings
        self._cards = cards
        self._clock = clock
        self._wanted = wanted
        self._keep = keep
        self._stopped = False

    def stop(self) -> None:
        """Nothing is recorded from now on, whatever a thread that was given up still does."""
        self._stopped = True

    def _goes_on(self) -> bool:
        return not self._stopped and self._wanted()

    def judged(self) -> Iterator[Judged]:
        """Measure, and say what it means: every check but that of lamp, line and speech."""
        try:
            yield from self._judged()
        except KioskError as error:
            yield Judged(refused("sound_heard", error, _PLUG), {})

    def _judged(self) -> Iterator[Judged]:
        capture, playback = self._settings.capture.device, self._settings.playback.device
        figures, heard = self._measured(capture, playback)
        volume = self._volume()
        if figures.way is None:
            yield self._why_unheard(figures, volume)
        found = list(
            judging.judged(
                figures, self._settings, 1000 * heard.queued_s, _percent(volume, self._settings)
            )
        )
        yield from found
        keep = self._keep and not any(each.finding.result is Result.FAIL for each in found)
        yield Judged(sound_reference.compared(self._settings, figures, keep=keep), {})

    def said(self) -> Iterator[Judged]:
        """Listen for some seconds to a sentence that somebody says, and play it back."""
        try:
            sentence, rate_hz = self._sentence()
        except KioskError as error:
            yield Judged(refused("sound_speech", error, _PLUG), {})
            return
        speech_dbfs, room_dbfs = levels_of(sentence, rate_hz)
        yield judging.speech(speech_dbfs, room_dbfs, self._settings)

    def _sentence(self) -> tuple[Samples, int]:
        """The sentence, as the kiosk hears it, and its rate; played back when it is over."""
        with self._opened(self._settings.capture.device, self._settings.playback.device) as both:
            microphone, loudspeaker = both
            rate_hz, channels = loudspeaker.rate_hz, loudspeaker.channels
            silent = np.zeros((round(SENTENCE_S * rate_hz), channels), np.int16)
            heard = play_and_record(microphone, loudspeaker, silent, self._clock, self._goes_on)
            mix = ChannelMix(heard.channels.shape[1], self._settings.capture.channel)
            sentence = mix.push(heard.channels.astype(np.float32), quiet=True)
            played = resample(sentence, microphone.rate_hz, rate_hz)
            frames = np.repeat(played[:, None], channels, axis=1)
            play_and_record(microphone, loudspeaker, frames, self._clock, self._goes_on)
        return sentence, microphone.rate_hz

    def _why_unheard(self, figures: SoundFigures, volume: Reading | None) -> Judged:
        capture, playback = self._settings.capture.device, self._settings.playback.device
        zeros = all(channel.zeros for channel in figures.channels)
        for other in self._cards.others(Direction.CAPTURE)[:_MOST_OTHERS]:
            if self._hears(other, playback):
                if zeros:
                    return judging.muted("nothing but zeros", other)
                return judging.wrong_card(Direction.CAPTURE, capture, other)
        if zeros:  # of what another loudspeaker plays it would hear nothing either
            return judging.muted("nothing but zeros")
        for other in self._cards.others(Direction.PLAYBACK)[:_MOST_OTHERS]:
            if self._hears(capture, other):
                return judging.wrong_card(Direction.PLAYBACK, playback, other)
        shut = None
        if volume is not None and (volume.muted or not volume.percent):
            shut = f"{volume.control} at {volume.percent} %" + (", muted" if volume.muted else "")
        return judging.unheard(figures, shut)

    def _hears(self, capture: str, playback: str) -> bool:
        """Whether these two cards hear each other; a card that cannot be used does not."""
        try:
            figures, _ = self._measured(capture, playback, **_QUICK)
        except NotWantedError:
            raise
        except DeviceError:
            return False
        return figures.way is not None

    def _measured(self, capture: str, playback: str, **shorter: float) -> tuple[SoundFigures, Take]:
        """Again where a card lost sound; raises KioskError."""
        for _ in range(_TRIES - 1):
            with contextlib.suppress(LostSoundError):
                return self._played(capture, playback, **shorter)
        return self._played(capture, playback, **shorter)

    def _played(self, capture: str, playback: str, **shorter: float) -> tuple[SoundFigures, Take]:
        with self._opened(capture, playback) as (microphone, loudspeaker):
            lowest_hz = min(microphone.rate_hz, loudspeaker.rate_hz)
            program = Program(loudspeaker.channels, lowest_hz, **shorter)
            frames = program.samples(loudspeaker.rate_hz)
            heard = play_and_record(microphone, loudspeaker, frames, self._clock, self._goes_on)
        listened = self._settings.capture.channel
        recorded = Recorded(
            heard.channels, microphone.rate_hz, program, heard.played_at_s, listened
        )
        return measured(recorded), heard

    @contextlib.contextmanager
    def _opened(self, capture: str, playback: str) -> Iterator[tuple[CapturePcm, PlaybackPcm]]:
        with (
            contextlib.closing(self._cards.open_capture(capture)) as microphone,
            contextlib.closing(self._cards.open_playback(playback)) as loudspeaker,
        ):
            yield microphone, loudspeaker

    def _volume(self) -> Reading | None:
        """What the loudspeaker's mixer says; None where it has none, or does not tell."""
        playback = self._settings.playback
        if playback.driver != "alsa":
            return None
        try:
            return reading(playback.device, playback.mixer)
        except KioskError:
            return None


def _percent(volume: Reading | None, settings: Settings) -> int:
    if settings.playback.volume is not None:
        return settings.playback.volume
    return 100 if volume is None else volume.percent


def levels_of(sentence: Samples, rate_hz: int) -> tuple[float | None, float]:
    """The level of the speech in a recording, None where there is none, and that of the room."""
    at_16_khz = resample(sentence, rate_hz, INTERNAL_RATE_HZ)
    chunks = Rechunker(ms_to_samples(CHUNK_MS, INTERNAL_RATE_HZ)).push(at_16_khz)
    floor, speech = RoomFloor(round(1000 * SENTENCE_S)), SpeechLevel()
    for chunk in chunks:
        floor.push(chunk)
    room_dbfs = SILENCE_DBFS if floor.dbfs is None else floor.dbfs
    for chunk in chunks:
        if rms_dbfs(chunk) > room_dbfs + _OVER_ROOM_DB:
            speech.push(chunk)
    return speech.dbfs, room_dbfs


def missing(found: set[str]) -> Iterator[Judged]:
    """Why the other checks of a measurement were not made."""
    for check in judging.SOUND_CHECKS:
        if check not in found:
            yield Judged(skipped(check, "sound_heard comes first"), {})
