"""Findings of a measurement of the sound: what its figures mean, with one next step each, and the
settings that would mend what can be set. Pure: no I/O, no clock."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from kiosk.audio.levels import SILENCE_DBFS
from kiosk.audio.measuring import PLAYED_DBFS, SoundFigures, Way
from kiosk.config.tables import Settings
from kiosk.doctor.findings import Finding, failed, passed, skipped, warned

# Key of the configuration to its value; the same shape for every finding.
Proposed: TypeAlias = Mapping[str, str | int | float]

# All that a measurement proposes to set.
SETTINGS = frozenset({
    "capture.device", "capture.channel", "capture.channels", "playback.device", "playback.volume",
    "echo.mode", "gain.fixed_db", "gate.preroll_ms",
})  # fmt: skip

# Id to what is looked at, in the order of the report; made where `--sound` asks for it.
SOUND_CHECKS: dict[str, str] = {
    "sound_lamp": "the recording lamp can be lit while the microphone runs",
    "sound_heard": "the microphone hears the loudspeaker",
    "sound_volume": "the loudspeaker is not too loud for microphone and loudspeaker",
    "sound_channels": "no channel is dead, none is against the others",
    "sound_delay": "the loudspeaker is as late as ALSA says",
    "sound_drift": "the clocks of the two cards agree",
    "sound_response": "the high tones come through",
    "sound_room": "reverberation and noise of the room",
    "sound_hum": "no mains hum",
    "sound_offset": "the microphone's zero is zero",
    "sound_reference": "it is as it was at installation, where a reference is kept",
    "sound_line": "the button's line is quiet while nobody presses",
    "sound_speech": "the level of a spoken sentence, where somebody is there to say one",
}

_OF_WHAT_IS_HEARD = (
    "sound_volume", "sound_channels", "sound_delay", "sound_drift", "sound_response", "sound_room",
    "sound_hum", "sound_offset",
)  # fmt: skip
_UNMUTE = "switch the mute off: on the device, or F4 in `alsamixer` and Space for CAPTURE"
_MUTED_DBFS = -85.0
_CLIPPED_SHARE, _DISTORTED = 0.001, 0.1
_SOFTER = 0.8  # of a volume in percent: 6 dB
_OVER_ROOM_DB = 10.0
_ALSA_AGREES_MS, _CANCELLED_MS, _EARLY_MS = 50.0, 250.0, -10.0
_HALF_DUPLEX_MS = 450.0
_DRIFT_PPM = 150.0
_FALLS_DB = -5.0
_LONG_RT60_S = 1.5
_NOISY_DBFS, _LIVELY_DBFS = -40.0, -50.0
_HUM_DBFS = -60.0
_OFFSET = 0.02
_CANCELS_DB, _OPPOSITE = -10.0, -0.5
_DEAD_DB, _TOGETHER_DB = -20.0, -6.0
_FLUTTERS = 4  # edges: a press and its release are two, and may chatter
_CLIPPED_SPEECH_DBFS, _SOFT_SPEECH_DBFS, _ABOVE_ROOM_DB = -6.0, -55.0, 12.0


@dataclass(frozen=True, slots=True)
class Judged:
    """One finding, and what to set."""

    finding: Finding
    proposed: Proposed


def judged(
    figures: SoundFigures, settings: Settings, queued_ms: float, volume: int
) -> Iterator[Judged]:
    """What the figures of the configured cards mean. `queued_ms`: how long by ALSA's account a
    sound waits in the loudspeaker's card; `volume`: what it stands at, in percent."""
    way = figures.way
    if way is None:  # of a card that is muted, or the wrong one, nothing is worth knowing
        for check in _OF_WHAT_IS_HEARD:
            yield Judged(skipped(check, "the loudspeaker is not heard"), {})
        return
    yield Judged(_heard(figures, way), {})
    yield _volume(figures, way, volume)
    yield _channels(figures, settings)
    yield _delay(way, queued_ms)
    yield Judged(_drift(way), {})
    yield Judged(_response(way), {})
    yield _room(figures, way, settings)
    yield Judged(_hum(figures), {})
    yield Judged(_offset(figures), {})


def _heard(figures: SoundFigures, way: Way) -> Finding:
    clear_db = figures.channels[figures.best - 1].heard_db
    value = f"the sweep arrives {way.echo_db:.0f} dB against what is played, "
    return passed("sound_heard", value + f"{clear_db:.0f} dB over the noise")


def unheard(figures: SoundFigures, volume: str | None) -> Judged:
    """No card hears the loudspeaker. `volume`: what the loudspeaker's mixer says, if it is shut."""
    check = "sound_heard"
    if volume is not None:
        step = "turn it up with `alsamixer`, or set playback.volume"
        return Judged(failed(check, f"the loudspeaker is shut: {volume}", step), {})
    if figures.noise_dbfs < _MUTED_DBFS:
        return muted(f"not heard, and {figures.noise_dbfs:.0f} dBFS of noise")
    value = "no microphone of this machine hears it: the loudspeaker is silent"
    step = (
        "look at its amplifier, its plug and its volume knob, if you did not hear the tone; a "
        "speakerphone that cancels its own sound cannot be measured"
    )
    return Judged(failed(check, value, step), {})


def muted(what: str, other: str | None = None) -> Judged:
    """The microphone delivers nothing. `other`: a card that hears the loudspeaker, and may be the
    right one."""
    value, step = f"{what}: the microphone is muted, or dead", _UNMUTE
    if other is not None:
        step += f'; if {other!r} is the microphone, set capture.device = "{other}"'
    return Judged(failed("sound_heard", value, step), {})


def wrong_card(direction: str, configured: str, right: str) -> Judged:
    """Another card of this machine is the right one."""
    what = "hears the loudspeaker" if direction == "capture" else "is heard by the microphone"
    value = f"wrong card: not {direction}.device = {configured!r} but {right!r} {what}"
    key = f"{direction}.device"
    return Judged(failed("sound_heard", value, f'set {key} = "{right}"'), {key: right})


def _volume(figures: SoundFigures, way: Way, volume: int) -> Judged:
    check = "sound_volume"
    value = f"peak {way.peak_dbfs:.0f} dBFS at the microphone, distortion {way.distortion:.1%}"
    clips, distorts = way.clipped > _CLIPPED_SHARE, way.distortion > _DISTORTED
    if clips or distorts:
        softer = max(1, round(volume * _SOFTER))
        why = f"{way.clipped:.1%} of the sweep is clipped" if clips else "the loudspeaker distorts"
        step = f"set playback.volume = {softer}, and measure again"
        return Judged(
            failed(check, f"the loudspeaker is too loud: {why}; {value}", step),
            {"playback.volume": softer},
        )
    if way.echo_db + PLAYED_DBFS - figures.noise_dbfs < _OVER_ROOM_DB:
        step = "turn the loudspeaker up, or bring it nearer"
        return Judged(warned(check, f"{value}: hardly louder than the room", step), {})
    return Judged(passed(check, value), {})


def _channels(figures: SoundFigures, settings: Settings) -> Judged:
    check, channels = "sound_channels", figures.channels
    count = len(channels)
    value = f"{count} of the microphone"
    choice: Proposed = {"capture.channels": count, "capture.channel": figures.best}
    listening = f"set capture.channels = {count} and capture.channel = {figures.best}"
    if settings.capture.channel is None and count > 1:
        against = min(channel.alike for channel in channels)
        if figures.mixed_db < _CANCELS_DB and against < _OPPOSITE:
            what = f"two channels of opposite phase cancel each other ({figures.mixed_db:.0f} dB)"
            one = f"{what}; the kiosk listens to one of them"
            return Judged(warned(check, f"{value}: {one}", listening), choice)
        if dead := [number for number, each in enumerate(channels, 1) if each.zeros]:
            what = f"{', '.join(map(str, dead))} delivers nothing but zeros"
            return Judged(warned(check, f"{value}: {what}", listening), choice)
    if figures.alone_db:
        value += f", {len(figures.alone_db)} of the loudspeaker"
        if figures.together_db < _TOGETHER_DB:
            what = f"they cancel each other ({figures.together_db:.0f} dB): opposite phase"
            step = "swap the two wires of one loudspeaker"
            return Judged(failed(check, f"{value}: {what}", step), {})
        silent = [n for n, level_db in enumerate(figures.alone_db, 1) if level_db < _DEAD_DB]
        if silent:
            value += f"; {', '.join(map(str, silent))} of these is not heard"
    return Judged(passed(check, value), {})


def _delay(way: Way, queued_ms: float) -> Judged:
    check, late_ms = "sound_delay", way.delay_ms
    value = f"{late_ms:.0f} ms after ALSA says, which keeps it waiting for {queued_ms:.0f} ms"
    step = "take a wired loudspeaker without processing: no Bluetooth, no television"
    if late_ms > _CANCELLED_MS:
        reaches = late_ms <= _HALF_DUPLEX_MS
        what = f"{value}: later than the echo canceller reaches ({_CANCELLED_MS:.0f} ms)"
        if reaches:
            step = 'set echo.mode = "half_duplex", or ' + step
        return Judged(failed(check, what, step), {"echo.mode": "half_duplex"} if reaches else {})
    if not _EARLY_MS <= late_ms <= _ALSA_AGREES_MS:
        what = f"{value}: ALSA's account is wrong by more than {_ALSA_AGREES_MS:.0f} ms"
        return Judged(warned(check, what, step), {})
    return Judged(passed(check, value), {})


def _drift(way: Way) -> Finding:
    value = f"the loudspeaker's clock runs {way.drift_ppm:+.0f} ppm against the microphone's"
    if abs(way.drift_ppm) <= _DRIFT_PPM:
        return passed("sound_drift", value)
    return warned("sound_drift", value, "take one card for both, or another of the two")


def _response(way: Way) -> Finding:
    check = "sound_response"
    bands = {"4 kHz": way.at_4_khz_db, "7 kHz": way.at_7_khz_db}
    known = {name: level for name, level in bands.items() if level is not None}
    if not known:
        return skipped(check, "the cards do not reach 4 kHz", "set a rate_hz of 16000 or more")
    value = "against 1 kHz " + ", ".join(f"{db:+.0f} dB at {name}" for name, db in known.items())
    if min(known.values()) >= _FALLS_DB:
        return passed(check, value)
    step = "look for what covers microphone or loudspeaker: foil, dust, a panel without holes"
    return warned(check, f"{value}: muffled", step)


def _room(figures: SoundFigures, way: Way, settings: Settings) -> Judged:
    check, noise_dbfs = "sound_room", figures.noise_dbfs
    rt60 = "too short to measure" if way.rt60_s is None else f"{way.rt60_s:.1f} s"
    value = f"noise {noise_dbfs:.0f} dBFS, reverberation {rt60}"
    wanted_ms = next(
        (ms for least, ms in ((_NOISY_DBFS, 600), (_LIVELY_DBFS, 400)) if noise_dbfs > least), 0
    )
    longer = wanted_ms > settings.gate.preroll_ms
    proposed: Proposed = {"gate.preroll_ms": wanted_ms} if longer else {}
    if noise_dbfs > _NOISY_DBFS:
        step = "turn the microphone's gain down with `alsamixer`, or find what makes the noise"
        return Judged(warned(check, f"{value}: loud", step), proposed)
    if way.rt60_s is not None and way.rt60_s > _LONG_RT60_S:
        step = "a directional microphone, a carpet or curtains near the kiosk help"
        return Judged(warned(check, f"{value}: long", step), proposed)
    return Judged(passed(check, value), proposed)


def _hum(figures: SoundFigures) -> Finding:
    check = "sound_hum"
    if figures.hum_hz is None:
        return passed(check, "none of 50 or 60 Hz")
    value = f"{figures.hum_dbfs:.0f} dBFS of {figures.hum_hz} Hz and its harmonics"
    if figures.hum_dbfs <= _HUM_DBFS:
        return passed(check, value)
    step = "power all from one socket, part mains and microphone cables, try another supply"
    return warned(check, value, step)


def _offset(figures: SoundFigures) -> Finding:
    worst = max((channel.offset for channel in figures.channels), key=abs)
    value = f"{worst:+.2%} of full scale"
    if abs(worst) <= _OFFSET:
        return passed("sound_offset", value)
    step = "try another sound card or cable: a direct current stands on this input"
    return warned("sound_offset", value, step)


def line(pins: Mapping[int, int], for_s: float) -> Finding:
    """What edges were counted on each button's line while nobody should have pressed."""
    check = "sound_line"
    where = ", ".join(f"GPIO {pin}: {edges}" for pin, edges in pins.items())
    value = f"edges in {for_s:g} s: {where}"
    if max(pins.values(), default=0) <= _FLUTTERS:
        return passed(check, value)
    step = (
        "connect a resistor of 1 to 10 kohm between the line and 3.3 V (button.pull_up) or ground"
    )
    return failed(check, f"{value}: the button's line floats", step)


def speech(speech_dbfs: float | None, room_dbfs: float, settings: Settings) -> Judged:
    """How loud the sentence was that somebody said, before any gain."""
    check = "sound_speech"
    if speech_dbfs is None or speech_dbfs <= SILENCE_DBFS:
        return Judged(
            warned(check, "no sentence was heard", "ask again, and speak as visitors do"), {}
        )
    value = f"{speech_dbfs:.0f} dBFS, {speech_dbfs - room_dbfs:.0f} dB over the room"
    if speech_dbfs > _CLIPPED_SPEECH_DBFS:
        step = "turn the microphone's gain down with `alsamixer`"
        return Judged(warned(check, f"{value}: too loud", step), {})
    if speech_dbfs < _SOFT_SPEECH_DBFS or speech_dbfs - room_dbfs < _ABOVE_ROOM_DB:
        step = "turn the microphone's gain up with `alsamixer`, or bring it nearer to the visitor"
        return Judged(warned(check, f"{value}: too soft", step), {})
    return Judged(passed(check, value), _gain(speech_dbfs, settings))


def _gain(speech_dbfs: float, settings: Settings) -> Proposed:
    """Where the gain is to start, so that the first sentence has its level."""
    gain = settings.gain
    wanted_db = round(min(gain.most_db, max(gain.least_db, gain.target_dbfs - speech_dbfs)))
    return {} if abs(wanted_db - gain.fixed_db) < 3 else {"gain.fixed_db": wanted_db}
