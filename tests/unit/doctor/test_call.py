"""A conversation that the doctor asks for, by a real control socket."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from kiosk.doctor import call
from kiosk.doctor.examination import examine
from kiosk.doctor.findings import Finding, Result
from kiosk.doctor.subject import Service, Subject
from kiosk.ops.control import serve
from tests.unit.doctor.subjects import subject


async def looked(short_dir: Path, answer: Mapping[str, object]) -> Finding:
    socket = short_dir / "control.sock"
    its = subject(control={"socket": socket})
    of = Subject(its.settings, its.path, Service(status={"state": "idle"}), None)
    async with serve(socket, {call.COMMAND: lambda _: answer}):
        [found] = await asyncio.to_thread(lambda: list(call.look(of)))
    return found


@pytest.mark.parametrize(
    ("answer", "result", "says"),
    [
        ({"well": True, "why": "", "took_s": 1.2}, Result.PASS, "open after 1.2 s, and is closed"),
        (
            {"well": False, "why": "override_refused 1008", "took_s": 0.4},
            Result.FAIL,
            "no conversation: override_refused 1008",
        ),
        ({"well": None, "why": "a visit is under way"}, Result.SKIP, "not tried: a visit is under"),
    ],
)
async def test_what_came_of_it_is_told(
    tmp_path: Path, answer: dict[str, object], result: Result, says: str
) -> None:
    found = await looked(tmp_path, answer)
    assert found.result is result
    assert says in found.value
    assert (result is Result.FAIL) is (found.next_step is not None)


async def test_it_is_made_only_where_it_is_asked_for() -> None:
    _, findings = await examine(subject)
    [found] = [each for each in findings if each.id == call.CHECK]
    assert (found.result, found.value) == (Result.SKIP, "not asked for")
    _, findings = await examine(subject, calls=True)
    [found] = [each for each in findings if each.id == call.CHECK]
    assert found.result is Result.SKIP  # no kiosk runs here
    assert found.value != "not asked for"
