"""The two sound threads with what they share: the reference of the echo canceller."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict

from kiosk.audio.ducking import Ducking
from kiosk.base.clock import REAL, Clock
from kiosk.config import Settings
from kiosk.devices.hardware import Hardware
from kiosk.devices.microphone import MicrophoneThread
from kiosk.devices.played import PlayedSound
from kiosk.devices.ports import MicrophoneEvent, SpeakerEvent
from kiosk.devices.processing import Processing
from kiosk.devices.speaker import SpeakerThread


class Sound:
    """Microphone and speaker as the settings want them; their cards open with their threads."""

    def __init__(
        self,
        settings: Settings,
        hardware: Hardware,
        on_microphone: Callable[[MicrophoneEvent], None],
        on_speaker: Callable[[SpeakerEvent], None],
        clock: Clock = REAL,
    ) -> None:
        loop = asyncio.get_running_loop()
        echo, played = settings.echo, PlayedSound(clock)
        self._processing = Processing(settings, played)
        self.microphone = MicrophoneThread(
            hardware.open_capture, self._processing, on_microphone, loop, clock
        )
        self.speaker = SpeakerThread(
            hardware.open_playback,
            on_speaker,
            loop,
            None if echo.mode == "off" else played,  # nobody listens for it
            Ducking(echo.duck_db, echo.duck_fade_ms),
            settings.playback.wake_lead_ms,
            clock,
            keep_running=settings.playback.keep_running,
        )

    def status(self) -> dict[str, object]:
        """For operators: levels in dBFS, and the card's channels that are listened to (None: not
        heard yet)."""
        levels = asdict(self._processing.meter.levels)
        channels = " ".join(map(str, levels.pop("channels")))
        return {**levels, "microphone_channels": channels or None}

    def losses(self) -> dict[str, int]:
        """How often sound was lost since the kiosk was started."""
        return {
            "microphone_xruns": self.microphone.xruns,
            "speaker_xruns": self.speaker.xruns,
            "microphone_dropped_chunks": self.microphone.dropped_chunks,
        }

    def counters(self) -> dict[str, int]:
        """That, how many samples the microphone's card has clipped, and for how long it delivered
        nothing but zeros."""
        levels = self._processing.meter.levels
        return {
            **self.losses(),
            "clipped_samples": levels.clipped_samples,
            "zeros_s": levels.zeros_s,
        }
