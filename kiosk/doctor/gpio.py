"""Button and lamps. A running kiosk holds their lines and tells; without one they are claimed for a
moment."""

from collections.abc import Iterator

from kiosk.config import Settings
from kiosk.config.tables import KeyTable
from kiosk.doctor.findings import Finding, passed, refused, skipped, warned
from kiosk.doctor.subject import Subject
from kiosk.errors import DeviceError

_LEAN = "let go of it; if nobody holds it, it is stuck or miswired (`button.pull_up`)"
_AS_ROOT = "ask again as root: `sudo kiosk doctor`"
_CHECK_LINES = "`gpioinfo` names who holds a line; `kiosk devices` lists the chips"


def look(subject: Subject) -> Iterator[Finding]:
    yield _button(subject)
    yield _lamps(subject)


def _button(subject: Subject) -> Finding:
    check, button, service = "button", subject.settings.button, subject.service
    if button.driver != "gpio":
        return skipped(check, f'button.driver = "{button.driver}"')
    keys = {key.pin: _name(key) for key in subject.settings.keys}
    where = ", ".join([f"GPIO {button.pin}", *(f"{keys[pin]} on GPIO {pin}" for pin in keys)])
    if service.status is not None:
        down_s = service.status.get("button_down_s")
        if isinstance(down_s, int | float):
            return warned(check, f"{where}: pressed for {down_s:.0f} s", _LEAN)
        return passed(check, f"{where}: held by the running kiosk, not pressed")
    if service.trouble is not None:
        return skipped(check, service.trouble, _AS_ROOT)
    from kiosk.devices.gpio import is_active

    try:
        lines = (button.pin, *keys)
        pressed = [pin for pin in lines if is_active(pin, pull_up=button.pull_up)]
    except DeviceError as error:
        return refused(check, error, _CHECK_LINES)
    if pressed:
        which = "" if len(lines) == 1 else f" is {keys.get(pressed[0], 'the button')}"
        return warned(check, f"{where}: pressed{which}", _LEAN)
    return passed(check, f"{where}: free, not pressed")


def _name(key: KeyTable) -> str:
    if key.volume is not None:
        return f"volume {key.volume}"
    return key.language or "a question"


def _lamps(subject: Subject) -> Finding:
    check, indicator, service = "lamps", subject.settings.indicator, subject.service
    if indicator.driver != "gpio":
        return skipped(check, f'indicator.driver = "{indicator.driver}"')
    where = " and ".join(f"GPIO {pin}" for pin in _pins(subject.settings))
    if service.status is not None:
        return passed(check, f"{where}: held by the running kiosk")
    if service.trouble is not None:
        return skipped(check, service.trouble, _AS_ROOT)
    from kiosk.devices.gpio import try_lamp

    try:
        for pin in _pins(subject.settings):
            try_lamp(pin, active_low=indicator.active_low)
    except DeviceError as error:
        return refused(check, error, _CHECK_LINES)
    return passed(check, f"{where}: free")


def _pins(settings: Settings) -> list[int]:
    indicator = settings.indicator
    return [pin for pin in (indicator.pin, indicator.recording_pin) if pin is not None]
