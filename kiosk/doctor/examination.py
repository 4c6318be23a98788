"""The examination: groups of checks side by side, each with a limit, and nothing that breaks one
check breaks another."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from kiosk.base.patience import in_time
from kiosk.config import Settings
from kiosk.doctor import (
    call,
    cards,
    gpio,
    lease,
    machine,
    network,
    permissions,
    service,
    updates,
    voice,
    webrtc,
    wifi,
)
from kiosk.doctor.findings import CHECKS, Finding, failed, passed, skipped, warned
from kiosk.doctor.subject import Service, Subject
from kiosk.errors import ConfigError, KioskError

ADMISSION_S = 5.0

Look = Callable[[Subject], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Group:
    """Checks that follow from one another. `look` blocks, and yields each as it is known."""

    ids: tuple[str, ...]
    look: Look
    limit_s: float
    needs_settings: bool = True


GROUPS = (
    Group(("daemon",), service.look, 2.0),
    Group(("permissions",), permissions.look, 3.0),
    Group(("capture_card", "capture_level"), cards.look_at_capture, 9.0),
    Group(("playback_card",), cards.look_at_playback, 6.0),
    Group(("voice",), voice.look, 8.0),
    Group(("clock",), machine.look_at_clock, 3.0, needs_settings=False),
    Group(("power",), machine.look_at_power, 3.0, needs_settings=False),
    Group(("storage", "memory"), machine.look_at_room, 3.0, needs_settings=False),
    Group(("wifi_power_save",), wifi.look, 4.0, needs_settings=False),
    Group(("updates",), updates.look, 4.0, needs_settings=False),
    Group(("dns", "proxy", "tls", "backend"), network.look, 11.0),
    Group(("provider",), network.look_at_provider, 8.0),
    Group(("webrtc",), webrtc.look, 6.0),
    Group(("lease",), lease.look, 11.0),
)
# Only where it is asked for: it costs.
CALL = Group((call.CHECK,), call.look, call.ANSWER_S + 1)
# After all others: GPIO's library changes the process's directory, and paths may be relative.
LAST = (Group(("button", "lamps"), gpio.look, 3.5),)


async def examine(
    admit: Callable[[], Subject], *, calls: bool = False
) -> tuple[Subject, list[Finding]]:
    """Every check once, in the table's order; at most 20 s, 35 s with a call. `admit` is called in
    a thread."""
    subject = await admitted(admit)
    found = {"configuration": configuration(subject), call.CHECK: call.not_asked()}
    for stage in ((*GROUPS, CALL) if calls else GROUPS, LAST):
        for finding in await _side_by_side(stage, subject):
            found[finding.id] = finding
    return subject, [found[check] for check in CHECKS]


async def admitted(admit: Callable[[], Subject]) -> Subject:
    """What there is to examine; settings that cannot be read are a mistake of theirs."""
    admitted: list[Subject] = []
    task = asyncio.create_task(in_time(ADMISSION_S, lambda: admitted.append(admit())))
    await asyncio.wait([task])
    if (error := task.exception()) is None:
        return admitted[0]
    slow = isinstance(error, TimeoutError)
    why = f"not within {ADMISSION_S:g} s" if slow else f"{type(error).__name__}: {error}"
    mistake = ConfigError(f"the settings cannot be read: {why}")
    return Subject(Settings.model_construct(), None, Service(), mistake)


def configuration(subject: Subject) -> Finding:
    """Whether the settings can be used, and where they come from."""
    check, path = "configuration", subject.path
    if subject.mistake is not None:
        step = (
            "correct the line it names, then `kiosk check`; config.example.toml has every setting"
        )
        if isinstance(subject.mistake.__cause__, PermissionError):
            step = "ask again as root: `sudo kiosk doctor`"
        return failed(check, str(subject.mistake), step)
    if subject.in_use:
        return passed(check, "that of the running kiosk")
    if path is None:
        step = "write /etc/kiosk/config.toml, or name a file with --config"
        return warned(check, "no file: the defaults", step)
    return passed(check, str(path))


async def _side_by_side(groups: Sequence[Group], subject: Subject) -> list[Finding]:
    running = [(group, *_begun(group, subject)) for group in groups if _applies(group, subject)]
    if running:
        await asyncio.wait([task for _, _, task in running])
    findings = [
        skipped(check, "the configuration cannot be used")
        for group in groups
        if not _applies(group, subject)
        for check in group.ids
    ]
    for group, found, task in running:
        findings += _complete(group, tuple(found), task.exception())
    return findings


def _applies(group: Group, subject: Subject) -> bool:
    return subject.mistake is None or not group.needs_settings


def _begun(group: Group, subject: Subject) -> tuple[list[Finding], "asyncio.Task[None]"]:
    found: list[Finding] = []

    def look() -> None:
        for finding in group.look(subject):
            found.append(finding)  # noqa: PERF402  what came before the limit counts

    return found, asyncio.create_task(in_time(group.limit_s, look), name=group.ids[0])


def _complete(
    group: Group, found: Iterable[Finding], error: BaseException | None
) -> Iterator[Finding]:
    """What was found, and why the rest was not."""
    yield from found
    missing = [check for check in group.ids if check not in {each.id for each in found}]
    for number, check in enumerate(missing):
        if number:
            yield skipped(check, f"{missing[0]} comes first")
        elif isinstance(error, TimeoutError):
            step = "look at the journal and the kernel's log (`dmesg`): something hangs"
            yield failed(check, f"no answer within {group.limit_s:g} s", step)
        elif isinstance(error, KioskError):
            yield failed(check, str(error), "mend what it names")
        else:
            what = "it found nothing" if error is None else f"{type(error).__name__}: {error}"
            yield failed(check, f"the check itself failed: {what}", "report this as a bug")
