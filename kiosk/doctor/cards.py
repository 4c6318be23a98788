"""The sound cards. A running kiosk's are asked of it; without one they are opened, listened to for
half a second, and given back."""

import time
from collections.abc import Iterator, Mapping

import numpy as np

from kiosk.audio.channels import ChannelMix
from kiosk.audio.levels import FULL_SCALE, SILENCE_DBFS, clipped_samples, rms_dbfs
from kiosk.audio.pcm import Samples, frames_of, to_int16
from kiosk.config import Settings
from kiosk.devices.bridge import FIRST_SOUND_S
from kiosk.devices.hardware import configured_hardware
from kiosk.devices.mixer import reading
from kiosk.devices.ports import CapturePcm
from kiosk.doctor.findings import Finding, failed, passed, refused, skipped, warned
from kiosk.doctor.subject import Subject
from kiosk.errors import KioskError

_SETTLE_S, _LISTEN_S = 0.1, 0.5
_HARDLY_DBFS = -85.0
_CLIPPED_SHARE = 0.01
_OFFSET = 0.03
_BARRED = "a kiosk may be running, and this user may not ask it"
_AS_ROOT = "ask again as root: `sudo kiosk doctor`"
_PLUG = "plug it in; `kiosk devices` lists what is there and the line that selects it"


def look_at_capture(subject: Subject) -> Iterator[Finding]:
    """The microphone: its card, then what it delivers."""
    card, level, service = "capture_card", "capture_level", subject.service
    if service.status is not None:
        yield _told(card, "microphone", service.status)
        yield _told_level(level, service.status)
    elif service.trouble is not None:
        yield skipped(card, f"{_BARRED}: {service.trouble}", _AS_ROOT)
        yield skipped(level, _BARRED)
    else:
        yield from _opened_capture(card, level, subject.settings)


def look_at_playback(subject: Subject) -> Iterator[Finding]:
    """The loudspeaker: its card, with the volume that its mixer has."""
    check, service, settings = "playback_card", subject.service, subject.settings
    if service.status is not None:
        yield _with_volume(_told(check, "speaker", service.status), settings)
    elif service.trouble is not None:
        yield skipped(check, f"{_BARRED}: {service.trouble}", _AS_ROOT)
    else:
        yield _with_volume(_opened_playback(check, settings), settings)


def _told(check: str, device: str, status: Mapping[str, object]) -> Finding:
    is_open, detail = status.get(f"{device}_open"), str(status.get(device))
    if is_open is True:
        return passed(check, f"in use by the running kiosk: {detail}")
    if is_open is False:
        return failed(check, detail, _PLUG)
    return warned(check, "the running kiosk has neither opened nor lost it", "ask again")


def _told_level(check: str, status: Mapping[str, object]) -> Finding:
    """As the meter of the visits has it."""
    room, speech, peak = (status.get(f"{name}_dbfs") for name in ("room", "speech", "peak"))
    if not isinstance(peak, int | float) or not isinstance(room, int | float):
        return skipped(check, "no visit yet since the kiosk was started", "hold a short visit")
    value = f"peak {peak:.0f} dBFS, the room {room:.0f} dBFS"
    if isinstance(speech, int | float):
        value += f", speech {speech:.0f} dBFS"
    if peak <= SILENCE_DBFS:
        return _dead(check, f"{value}, in the newest visit")
    return passed(check, f"{value}, in the newest visit")


def _opened_capture(card: str, level: str, settings: Settings) -> Iterator[Finding]:
    try:
        pcm = configured_hardware(settings).open_capture()
    except KioskError as error:
        yield refused(card, error, _PLUG)
        yield skipped(level, "the card cannot be opened")
        return
    try:
        yield passed(card, f"{_device(settings, 'capture')}: {pcm.rate_hz} Hz, {pcm.channels} ch")
        yield _heard(level, _recorded(pcm))
    except KioskError as error:
        yield refused(level, error, _PLUG)
    finally:
        pcm.close()


def _recorded(pcm: CapturePcm) -> Samples:
    """Half a second, after what a card starts with."""
    wanted = round((_SETTLE_S + _LISTEN_S) * pcm.rate_hz)
    frame_bytes = pcm.channels * pcm.sample_format.sample_bytes
    data, until_s = bytearray(), time.monotonic() + FIRST_SOUND_S
    while len(data) < wanted * frame_bytes and time.monotonic() < until_s:
        if piece := pcm.read():
            data += piece
        else:
            time.sleep(0.01)
    pcm.drop()
    frames = frames_of(bytes(data), pcm.channels, pcm.sample_format)
    mono = ChannelMix(pcm.channels, pcm.channel).push(frames, quiet=True)
    return mono[round(_SETTLE_S * pcm.rate_hz) :]


def _heard(check: str, samples: Samples) -> Finding:
    if not len(samples):
        return failed(check, f"nothing was delivered in {FIRST_SOUND_S:g} s", "plug it in anew")
    # An offset is no sound, whatever its size.
    offset = float(samples.mean())
    level_dbfs = rms_dbfs(to_int16(samples - offset))
    share = clipped_samples(samples) / len(samples)
    value = f"{level_dbfs:.0f} dBFS in {_LISTEN_S:g} s"
    if abs(offset) > _OFFSET * FULL_SCALE:
        value += f" around an offset of {offset / FULL_SCALE:.0%}"
    if not np.ptp(samples):
        return _dead(check, value)
    if share > _CLIPPED_SHARE:
        step = "turn the microphone's gain down, with `alsamixer`"
        return warned(check, f"{value}, {share:.0%} of it clipped", step)
    if level_dbfs < _HARDLY_DBFS:
        return warned(check, f"{value}: hardly anything", "speak while you ask again")
    return passed(check, value)


def _dead(check: str, value: str) -> Finding:
    step = "switch its mute off (on the device, and in `alsamixer`), and speak while you ask again"
    return failed(check, f"{value}: one value and nothing else, muted or dead", step)


def _opened_playback(check: str, settings: Settings) -> Finding:
    playback = settings.playback.model_copy(update={"volume": None})  # leave it as it is
    unchanged = settings.model_copy(update={"playback": playback})
    try:
        pcm = configured_hardware(unchanged).open_playback()
    except KioskError as error:
        return refused(check, error, _PLUG)
    pcm.close()
    return passed(check, f"{_device(settings, 'playback')}: {pcm.rate_hz} Hz, {pcm.channels} ch")


def _with_volume(found: Finding, settings: Settings) -> Finding:
    playback = settings.playback
    if found.next_step is not None or playback.driver != "alsa":
        return found
    try:
        volume = reading(playback.device, playback.mixer)
    except KioskError as error:
        return passed(found.id, f"{found.value}; its mixer cannot be read ({error})")
    if volume is None:
        return passed(found.id, f"{found.value}; no volume to be read: as loud as it is")
    value = f"{found.value}; {volume.control} at {volume.percent} %"
    if volume.muted or not volume.percent:
        step = "set playback.volume, or turn it up with `alsamixer`"
        return warned(found.id, value + (", muted" if volume.muted else ""), step)
    return passed(found.id, value)


def _device(settings: Settings, direction: str) -> str:
    table = settings.capture if direction == "capture" else settings.playback
    return "virtual" if table.driver == "virtual" else repr(table.device)
