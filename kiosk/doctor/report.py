"""Findings as lines for a person, or as one object for a program. Pure: no I/O, no clock."""

import json
from collections.abc import Iterator, Sequence

from kiosk import __version__
from kiosk.doctor.findings import CHECKS, Finding, Result

_WIDTH = max(map(len, CHECKS))


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


def as_json(name: str | None, findings: Sequence[Finding]) -> str:
    """One object on one line; `kiosk` is null where the configuration cannot be used."""
    checks = [
        {"id": f.id, "result": f.result, "value": f.value, "next_step": f.next_step}
        for f in findings
    ]
    body = {
        "ok": is_well(findings),
        "kiosk": name,
        "version": __version__,
        "checks": checks,
    }
    return json.dumps(body)
