"""What is said of the updates that a kiosk fetches itself."""

import pytest

from kiosk.doctor.findings import Result
from kiosk.doctor.updates import told
from tests.unit.doctor.subjects import is_good_form

ENDED = "Sun 2026-11-22 03:12:40 UTC"


@pytest.mark.parametrize(
    ("unit", "result", "value"),
    [
        ({}, Result.PASS, "brought"),
        ({"ActiveState": "inactive", "Result": "success"}, Result.PASS, "none since"),
        (
            {"ActiveState": "inactive", "Result": "success", "ExecMainExitTimestamp": ENDED},
            Result.PASS,
            f"well, {ENDED}",
        ),
        # systemd keeps the former run's end while the next one is under way
        ({"ActiveState": "activating", "ExecMainExitTimestamp": ENDED}, Result.PASS, "under way"),
        (
            {"ActiveState": "failed", "Result": "exit-code", "ExecMainExitTimestamp": ENDED},
            Result.WARN,
            f"failed (exit-code), {ENDED}",
        ),
        ({"ActiveState": "failed", "Result": "resources"}, Result.WARN, "before it began"),
    ],
)
def test_the_last_update_is_told(unit: dict[str, str], result: Result, value: str) -> None:
    found = told(unit)
    assert is_good_form(found)
    assert (found.result, value in found.value) == (result, True)
