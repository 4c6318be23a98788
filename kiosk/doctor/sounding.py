"""The examination of the sound: by the running kiosk where one holds the cards, else by the doctor
itself; the recording lamp is lit meanwhile."""

import asyncio
import functools
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kiosk.base.clock import REAL, Clock
from kiosk.base.files import write_whole
from kiosk.base.patience import in_time
from kiosk.config import Settings, check_text, read_text
from kiosk.config.amending import amended
from kiosk.devices.hardware import configured_hardware
from kiosk.devices.whole_cards import WholeCards, whole_cards
from kiosk.doctor import sound_findings as judging
from kiosk.doctor.examination import admitted, configuration
from kiosk.doctor.findings import Finding, Result, failed, passed, refused, skipped
from kiosk.doctor.sound import SENTENCE_S, Measurement, missing
from kiosk.doctor.sound_findings import SOUND_CHECKS, Judged, Proposed
from kiosk.doctor.subject import Subject
from kiosk.errors import ConfigError, DeviceError, KioskError
from kiosk.ops.control import request_within

COMMAND = "measure_sound"
KINDS = ("sound", "speech")
# With a search through the other cards, each of which is tried for some seconds.
LIMIT_S = 120.0
_SPEECH_LIMIT_S = 40.0
_ASK_S, _AGAIN_S = 5.0, 0.5
LINE_S = 3.0
_LINES = "`gpioinfo` names who holds a line; `kiosk devices` lists the chips"
_STEP = "`kiosk logs` of this moment may tell more; else stop the kiosk and measure without it"

_QUIET = "Be quiet, please: a rising tone is played for a quarter of a minute, and listened to."
_SPEAK = f"Say a sentence now, from where visitors stand. In {SENTENCE_S:g} s it is played back."

# Says a line to who asked, while it goes on.
Say = Callable[[str], None]


@dataclass(slots=True)
class Sounded:
    """What was found, in the order of the report, and the settings that are proposed."""

    found: dict[str, Finding] = field(default_factory=dict)
    proposed: dict[str, str | int | float] = field(default_factory=dict)

    def add(self, judged: Judged) -> None:
        self.found[judged.finding.id] = judged.finding
        self.proposed.update(judged.proposed)

    @property
    def findings(self) -> list[Finding]:
        order = ["configuration", *SOUND_CHECKS]
        return sorted(self.found.values(), key=lambda finding: order.index(finding.id))


async def examine_sound(
    admit: Callable[[], Subject],
    say: Say | None = None,
    made: Callable[[Settings], WholeCards] = whole_cards,
    *,
    keep: bool = False,
) -> tuple[Subject, Sounded]:
    """Measure, which takes a quarter of a minute, or two where the cards are the wrong ones. `say`:
    how a person is asked for a sentence; None: nobody is there. `keep`: it becomes the
    reference."""
    subject = await admitted(admit)
    sounded = Sounded()
    sounded.add(Judged(configuration(subject), {}))
    if subject.mistake is not None:
        return subject, sounded
    if subject.service.status is not None:
        await _asked_of_kiosk(subject, say, sounded, keep=keep)
    elif subject.service.trouble is not None:
        trouble = f"a kiosk may be running: {subject.service.trouble}"
        sounded.add(Judged(failed("sound_heard", trouble, "ask as root: `sudo kiosk doctor`"), {}))
    else:
        await _made_here(subject.settings, say, made, sounded, keep=keep)
    for each in missing(set(sounded.found)):
        sounded.add(each)
    return subject, sounded


async def _made_here(
    settings: Settings,
    say: Say | None,
    made: Callable[[Settings], WholeCards],
    sounded: Sounded,
    *,
    keep: bool,
) -> None:
    try:
        indicator = configured_hardware(settings).open_indicator(asyncio.get_running_loop())
    except DeviceError as error:  # nobody is recorded in secret
        sounded.add(Judged(refused("sound_lamp", error, _LINES), {}))
        return
    measurement = Measurement(settings, made(settings), keep=keep)
    try:
        indicator.recording(on=True)
        sounded.add(Judged(lamp(settings), {}))
        if say is not None:
            say(_QUIET)
        await collect(LIMIT_S, measurement.judged, sounded)
        if say is None:
            sounded.add(Judged(skipped("sound_speech", "nobody is there to say a sentence"), {}))
        else:
            say(_SPEAK)
            await collect(_SPEECH_LIMIT_S, measurement.said, sounded, check="sound_speech")
    finally:
        measurement.stop()
        indicator.close()
    await collect(LIMIT_S, lambda: _lines(settings), sounded, check="sound_line")


async def collect(
    limit_s: float,
    judge: Callable[[], Iterator[Judged]],
    sounded: Sounded,
    clock: Clock = REAL,
    check: str = "sound_heard",
) -> None:
    """Measure in a thread, and add what is found; what hangs is given up, as this check's fault."""

    def add_all() -> None:
        for judged in judge():
            sounded.add(judged)

    try:
        await in_time(limit_s, add_all, clock)
    except TimeoutError:
        step = "look at the kernel's log (`dmesg`): something hangs"
        sounded.add(Judged(failed(check, f"no answer within {limit_s:g} s", step), {}))


def lamp(settings: Settings) -> Finding:
    """Of the recording lamp, which is lit meanwhile."""
    indicator = settings.indicator
    if indicator.driver != "gpio" or indicator.recording_pin is None:
        return skipped("sound_lamp", "there is no recording lamp")
    return passed("sound_lamp", f"lit meanwhile: GPIO {indicator.recording_pin}")


def _lines(settings: Settings) -> Iterator[Judged]:
    if settings.button.driver != "gpio":
        yield Judged(_without_line(settings), {})
        return
    from kiosk.devices.gpio import count_edges

    pull_up = settings.button.pull_up
    try:
        counted = {pin: count_edges(pin, pull_up=pull_up, for_s=LINE_S) for pin in _pins(settings)}
    except DeviceError as error:
        yield Judged(refused("sound_line", error, _LINES), {})
        return
    yield Judged(judging.line(counted, LINE_S), {})


def _pins(settings: Settings) -> tuple[int, ...]:
    return (settings.button.pin, *(key.pin for key in settings.keys))


def _without_line(settings: Settings) -> Finding:
    return skipped("sound_line", f'button.driver = "{settings.button.driver}"')


def write(path: Path | None, proposed: Proposed) -> None:
    """Set this in the file, and leave all else in it as it is; raises ConfigError."""
    if path is None:
        raise ConfigError("--write: there is no file; write /etc/kiosk/config.toml first")
    new = amended(str(path), read_text(path), proposed)
    check_text(path, new)
    try:
        its = path.stat()
        write_whole(path.resolve(), new, stat.S_IMODE(its.st_mode), (its.st_uid, its.st_gid))
    except OSError as error:
        raise ConfigError(f"--write: {path}: {error.strerror or error}") from error


# --- by the running kiosk ----------------------------------------------------------------------


async def _asked_of_kiosk(
    subject: Subject, say: Say | None, sounded: Sounded, *, keep: bool
) -> None:
    def ask(what: str, limit_s: float) -> None:
        socket, until_s = subject.settings.control.socket, time.monotonic() + limit_s
        answer = request_within(_ASK_S, socket, COMMAND, what=what, keep=keep)
        while answer.get("ok") is True and not answer.get("done"):
            if time.monotonic() > until_s:
                raise KioskError(f"the kiosk has not measured within {limit_s:g} s")
            time.sleep(_AGAIN_S)
            answer = request_within(_ASK_S, socket, COMMAND)
        if answer.get("ok") is not True:
            raise KioskError(str(answer.get("error")))
        for judged in told(answer):
            sounded.add(judged)

    sounded.add(Judged(await in_time(None, lambda: _told_lines(subject)), {}))
    for what, limit_s in (("sound", LIMIT_S), ("speech", _SPEECH_LIMIT_S)):
        check = f"sound_{'heard' if what == 'sound' else what}"
        if say is not None:
            say(_QUIET if what == "sound" else _SPEAK)
        elif what == "speech":
            continue
        try:
            await in_time(None, functools.partial(ask, what, limit_s))
        except KioskError as error:
            sounded.add(Judged(refused(check, error, _STEP), {}))
            return


def _told_lines(subject: Subject) -> Finding:
    """By how often the running kiosk saw its lines change meanwhile."""
    settings = subject.settings
    if settings.button.driver != "gpio":
        return _without_line(settings)

    def edges() -> list[int]:
        told = request_within(_ASK_S, settings.control.socket, "status").get("button_edges")
        return [int(each) for each in told] if isinstance(told, list) else []

    try:
        before = edges()
        time.sleep(LINE_S)
        counts = [after - its for its, after in zip(before, edges(), strict=True)]
        return judging.line(dict(zip(_pins(settings), counts, strict=True)), LINE_S)
    except (KioskError, ValueError) as error:
        return skipped("sound_line", f"the running kiosk does not tell: {error}")


def as_answer(sounded: Sounded) -> Mapping[str, object]:
    """What a running kiosk answers when it has measured."""
    findings = [[f.id, f.result, f.value, f.next_step] for f in sounded.findings]
    return {"done": True, "findings": findings, "proposed": sounded.proposed}


def told(answer: Mapping[str, object]) -> Iterator[Judged]:
    """The same, read; what is not of that form, or no measurement's to set, is left out: it may be
    written into a file that only root may write."""
    findings, proposed = answer.get("findings"), answer.get("proposed")
    its = proposed.items() if isinstance(proposed, dict) else ()
    settings = {key: value for key, value in its if key in judging.SETTINGS}
    for each in findings if isinstance(findings, list) else ():
        match each:
            case [str(check), str(result), str(value), str() | None as step] if (
                check in SOUND_CHECKS and result in list(Result)
            ):
                yield Judged(Finding(check, Result(result), value, step), settings)
