"""Findings as lines for a person, or as one object for a program. Pure: no I/O, no clock."""

import json
from collections.abc import Iterator, Sequence

from kiosk import __version__
from kiosk.config.written import as_value
from kiosk.doctor.findings import CHECKS, Finding, Result
from kiosk.doctor.sound_findings import SOUND_CHECKS, Proposed

_WRITTEN = "written to config.toml, for the kiosk's next start (`sudo systemctl restart kiosk`):"
_WIDTH = max(map(len, (*CHECKS, *SOUND_CHECKS)))


def is_well(findings: Sequence[Finding]) -> bool:
    return not any(finding.result is Result.FAIL for finding in findings)


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """A line a check, and below it the next step where it did not pass."""
    for finding in findings:
        value = finding.value.replace("\n", "\n" + " " * (_WIDTH + 8))
        yield f"{finding.result.upper()}  {finding.id:{_WIDTH}}  {value}"
        if finding.next_step is not None:
            yield f"{'':{_WIDTH + 6}}  -> {finding.next_step}"
    counts = {result: sum(each.result is result for each in findings) for result in Result}
    yield ", ".join(f"{count} {result}" for result, count in counts.items())


def proposal(proposed: Proposed, *, written: bool) -> Iterator[str]:
    """The settings that a measurement proposes, as config.toml has them."""
    if proposed:
        yield _WRITTEN if written else "for config.toml (--write sets them):"
    tables = dict.fromkeys(key.split(".")[0] for key in proposed)
    for table in tables:
        yield f"[{table}]"
        for key, value in proposed.items():
            if key.startswith(f"{table}."):
                yield f"{key.split('.')[1]} = {as_value(value)}"


def as_json(name: str | None, findings: Sequence[Finding], proposed: Proposed | None = None) -> str:
    """One object on one line; `kiosk` is null where the configuration cannot be used. `proposed`:
    where the sound was measured, the settings that would mend what can be set."""
    checks = [
        {"id": f.id, "result": f.result, "value": f.value, "next_step": f.next_step}
        for f in findings
    ]
    body = {
        "ok": is_well(findings),
        "kiosk": name,
        "version": __version__,
        "checks": checks,
        **({} if proposed is None else {"proposed": proposed}),
    }
    return json.dumps(body)
