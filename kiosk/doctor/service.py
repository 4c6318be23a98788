"""The daemon: does it run, is it ready, and what does it say of itself."""

from collections.abc import Iterator

from kiosk import __version__
from kiosk.causes import CAUSES, NOTICE, WARNING
from kiosk.doctor.findings import Finding, failed, passed, skipped, warned
from kiosk.doctor.subject import UNIT, Service, Subject
from kiosk.endings import Kind
from kiosk.visit.fitness import Cause

_CHECK = "daemon"
_JOURNAL = f"`journalctl -u {UNIT} -n 50` tells why"

# What mends each reason for holding no visit.
_STEPS: dict[str, str] = {
    Cause.NO_SPEAKER: "see playback_card",
    Cause.NO_MICROPHONE: "see capture_card",
    Cause.OUT_OF_ORDER: "see lease: the backend does not accept this kiosk",
    Cause.CANNOT_REACH: "see dns, tls, backend and lease",
    Cause.NO_VOICE: "see voice",
    Cause.NO_NETWORK: CAUSES[Cause.NO_NETWORK].remedy,
    Cause.CLOCK_NOT_SET: "see clock",
    Cause.NOT_ANSWERED: CAUSES[Cause.NOT_ANSWERED].remedy,
    Cause.PAUSED: "`kiosk backend resume` on the backend lets visits begin again",
    Cause.CLOSED: "`kiosk backend site NAME --hours` on the backend changes the site's hours",
    Cause.NO_MINUTES_LEFT: "`kiosk backend limit` on the backend shows and changes the limits",
}
# As somebody wants it.
_WANTED = frozenset({Cause.PAUSED, Cause.CLOSED, Cause.NO_MINUTES_LEFT})


def look(subject: Subject) -> Iterator[Finding]:
    service = subject.service
    status = service.status
    if status is not None:
        yield _running(service, str(status.get("state")), status.get("cause"))
    elif service.trouble is not None:
        yield _unasked(service.trouble)
    elif service.unit:
        state = "{ActiveState} ({SubState}, {Result})".format_map(service.unit)
        if service.unit.get("ActiveState") == "active":
            step = "name the configuration that the service uses with --config"
            yield warned(_CHECK, f"{UNIT} is {state}, on another control socket", step)
        else:
            step = f"`sudo systemctl enable --now {UNIT}`; {_JOURNAL}"
            yield failed(_CHECK, f"{UNIT} is {state}", step)
    else:
        step = "`kiosk run` starts it; as a service: systemd/kiosk.service"
        yield warned(_CHECK, "no kiosk runs here", step)


def _running(service: Service, state: str, unfit: object) -> Finding:
    status = service.status or {}
    uptime_s, visits = status.get("uptime_s"), status.get("visits")
    value = f"{unfit or 'fit'}, {state}, {visits} visits, up {_duration(uptime_s)}"
    if (ended := status.get("last_ending")) is not None:
        detail = status.get("last_ending_detail")
        value += f", the last visit ended: {ended}" + (f" ({detail})" if detail else "")
    if status.get("ready") is False:
        return warned(_CHECK, f"{value}, not ready yet", "ask again in a few seconds")
    if unfit in _WANTED:
        return warned(_CHECK, value, _STEPS[str(unfit)])
    if unfit is not None and unfit != Cause.NOT_ANSWERED:
        return failed(_CHECK, value, _STEPS.get(str(unfit), _JOURNAL))
    if (fault := _fault(ended)) is not None:
        told = warned if CAUSES[fault].severity == WARNING else failed
        return told(_CHECK, value, f"{CAUSES[fault].remedy}; a visit that ends well clears this")
    if unfit is not None:
        return failed(_CHECK, value, _STEPS[str(unfit)])
    version = status.get("version")
    if version != __version__:
        step = f"`sudo systemctl restart {UNIT}`"
        return warned(_CHECK, f"{value}; it is version {version}, this is {__version__}", step)
    return passed(_CHECK, value)


def _fault(ended: object) -> Kind | None:
    """The last visit's ending, if it should not have ended so."""
    return next((kind for kind in Kind if kind == ended and CAUSES[kind].severity < NOTICE), None)


def _unasked(trouble: str) -> Finding:
    if "may not ask" in trouble:
        return skipped(_CHECK, trouble, "ask again as root: `sudo kiosk doctor`")
    if "being started" in trouble:
        return warned(_CHECK, trouble, "ask again in a few seconds")
    return failed(_CHECK, trouble, f"`sudo systemctl restart {UNIT}`; {_JOURNAL}")


def _duration(seconds: object) -> str:
    if not isinstance(seconds, int | float):
        return "?"
    minutes = int(seconds) // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes else f"{seconds:.0f} s"
