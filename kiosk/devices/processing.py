"""Processing of the microphone's sound by the settings, and what of it outlives a visit.

The canceller's knowledge of the room does: the first word of the next visit is cancelled as well as
the last word of this one. So does the decision that this machine is too slow for it.
"""

from collections.abc import Callable

from kiosk.audio.capture import Treatment
from kiosk.audio.echo import Canceller, EchoCanceller, HalfDuplex, Transparent
from kiosk.audio.gain import Gain, GainSettings
from kiosk.audio.gate import Gate, GateSettings, kiosk_gate
from kiosk.audio.lateness import Lateness
from kiosk.audio.levels import Meter
from kiosk.config import Settings
from kiosk.devices.played import PlayedSound

_CANCELLERS: dict[str, Callable[[], Canceller]] = {
    "auto": EchoCanceller,
    "cancel": EchoCanceller,
    "half_duplex": HalfDuplex,
    "off": Transparent,
}


class Processing:
    """Used by the capture thread, but for `meter`."""

    def __init__(self, settings: Settings, played: PlayedSound) -> None:
        self.meter = Meter()
        self._settings = settings
        self._played = played
        self._canceller: Canceller | None = None
        self._lateness = Lateness()

    def prepare(self) -> None:
        """Load what takes time to load, before anybody waits for it."""
        self.treatment()

    def treatment(self) -> Treatment:
        """For one visit."""
        if self._canceller is None:
            self._canceller = _CANCELLERS[self._settings.echo.mode]()
        self._canceller.begin()
        self._lateness.begin()
        return Treatment(
            self._gate(),
            self._canceller,
            self._gain(),
            self._played,
            self.meter,
            self._lateness,
        )

    def fall_back(self) -> Canceller | None:
        """The canceller for a machine that does not keep up; None: there is no lesser one, or the
        settings insist."""
        if self._settings.echo.mode != "auto" or isinstance(self._canceller, HalfDuplex):
            return None
        self._canceller = HalfDuplex()
        return self._canceller

    def _gate(self) -> Gate:
        gate = self._settings.gate
        settings = GateSettings(
            onset_ms=gate.onset_ms,
            hangover_ms=gate.hangover_ms,
            room_tone_ms=gate.room_tone_ms,
            zero_non_speech=gate.mode == "vad",
            longest_speech_ms=gate.longest_speech_ms,
            both=gate.detector == "webrtcvad_and_suppressed",
        )
        return kiosk_gate(settings, gate.aggressiveness, gate.room_window_ms)

    def _gain(self) -> Gain:
        gain = self._settings.gain
        return Gain(
            GainSettings(gain.mode, gain.fixed_db, gain.target_dbfs, gain.least_db, gain.most_db)
        )
