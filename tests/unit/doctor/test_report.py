import json
import re

from kiosk import __version__
from kiosk.doctor import report
from kiosk.doctor.examination import ADMISSION_S, CALL, GROUPS, LAST
from kiosk.doctor.findings import CHECKS, failed, passed, skipped, warned

FINDINGS = [
    passed("clock", "synchronised"),
    warned("tls", "good for 3 days", "renew it"),
    skipped("lamps", 'indicator.driver = "none"'),
]
SICK = [*FINDINGS, failed("dns", "no such name", "write it right")]


def test_every_check_is_made_once_and_has_a_stable_id() -> None:
    made = [check for group in (*GROUPS, CALL, *LAST) for check in group.ids]
    assert sorted(["configuration", *made]) == sorted(CHECKS)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", check) for check in CHECKS)


def test_all_groups_together_take_less_than_twenty_seconds() -> None:
    slowest = [max(group.limit_s for group in stage) for stage in (GROUPS, LAST)]
    assert ADMISSION_S + sum(slowest) < 20


def test_only_a_failure_makes_a_kiosk_unwell() -> None:
    assert report.is_well(FINDINGS)
    assert not report.is_well(SICK)


def test_lines_are_aligned_and_the_next_step_stands_below() -> None:
    lines = list(report.lines(SICK))
    assert lines[0].startswith("PASS  clock")
    assert lines[2].strip() == "-> renew it"
    assert (
        len({line.index(word) for line, word in zip(lines, ("synch", "good"), strict=False)}) == 1
    )
    assert lines[-1] == "1 pass, 1 warn, 1 fail, 1 skip"


def test_json_is_one_object_on_one_line() -> None:
    text = report.as_json("lobby", SICK)
    assert "\n" not in text
    body = json.loads(text)
    assert (body["ok"], body["kiosk"], body["version"]) == (False, "lobby", __version__)
    assert body["checks"][1] == {
        "id": "tls",
        "result": "warn",
        "value": "good for 3 days",
        "next_step": "renew it",
    }
    assert body["checks"][0]["next_step"] is None
