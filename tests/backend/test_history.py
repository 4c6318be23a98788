"""What was booked can be read: by range, kiosk and site, page by page, as JSON and CSV."""

import csv
import io
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kiosk.backend.books.conversations import VisitLease
from kiosk.backend.books.history import VisitChoice, VisitCursor
from kiosk.backend.books.operators import Role
from kiosk.backend.books.rules import Kiosk
from kiosk.backend.books.spreadsheet import COLUMNS, write_csv
from kiosk.backend.books.store import Store
from kiosk.contract import EndVisit, StartVisit

from .conftest import Backend, enrolled
from .test_commands import at, command
from .test_confirmation import call, deliver
from .test_isolation import operator

FIRST = datetime(2026, 11, 21, 12, tzinfo=UTC)
COUNT = 7


async def visit(store: Store, kiosk: Kiosk, number: int, began: datetime) -> str:
    """One that was held and closed."""
    lease = VisitLease(f"r{number}", f"conv_{number}", began, began + timedelta(minutes=15))
    leased = await store.ledger.lease(kiosk, lease)
    assert leased is not None
    press = f"p{number}"
    assert (
        await store.ledger.start(kiosk, leased.visit_id, StartVisit(press_id=press), began) is None
    )
    end = EndVisit(press_id=press, outcome="hung_up", duration_s=12.5)
    ended = began + timedelta(seconds=20)
    assert await store.ledger.end(kiosk, leased.visit_id, end, ended) is True
    return leased.visit_id


async def filled(backend: Backend) -> dict[str, str]:
    """Visits a minute apart, two at one moment, at two kiosks; headers of who reads them."""
    attic = await enrolled(backend.store, "attic", "south")
    for number in range(COUNT):
        kiosk = attic if number % 3 == 0 else backend.kiosk
        began = FIRST + timedelta(minutes=number // 2)
        await visit(backend.store, kiosk, number, began)
    return {"Authorization": f"Bearer {await operator(backend, Role.VIEWER)}"}


async def ask(backend: Backend, headers: dict[str, str], **query: Any) -> list[dict[str, Any]]:
    answer = await backend.client.get("/v1/visits", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, COUNT, 100])
async def test_pages_hold_every_visit_once_the_newest_first(backend: Backend, limit: int) -> None:
    headers, path = await filled(backend), f"/v1/visits?limit={limit}&since=2026-11-21"
    whole = await ask(backend, headers)
    assert [line["admitted_at"] for line in whole] == sorted(
        (line["admitted_at"] for line in whole), reverse=True
    )
    read: list[dict[str, Any]] = []
    while path:
        answer = await backend.client.get(path, headers=headers)
        read += answer.json()
        link = re.fullmatch(r'<(/v1/visits\?\S+)>; rel="next"', answer.headers.get("Link", "<>"))
        path = link[1] if link else ""
    assert read == whole
    assert len(read) == COUNT


async def test_a_range_a_kiosk_and_a_site_are_chosen(backend: Backend) -> None:
    headers = await filled(backend)
    in_range = {"since": "2026-11-21T12:01", "until": "2026-11-21T13:02:00+01:00"}
    assert {each["press_id"] for each in await ask(backend, headers, **in_range)} == {"p2", "p3"}
    assert {each["kiosk"] for each in await ask(backend, headers, site="south")} == {"attic"}
    of_both = await ask(backend, headers, site="south", kiosk="lobby")
    assert of_both == []
    assert len(await ask(backend, headers, kiosk="lobby", since="2026-11-21")) == 4


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "x"},
        {"cursor": "1.2.3"},
        {"cursor": "99999999999999999999.a"},
        {"since": "yesterday"},
        {"until": "0001-01-01T00:00:00+14:00"},
        {"since": "9999-12-31T23:59:59-14:00"},
        {"site": "a b"},
        {"limit": "0"},
    ],
)
async def test_what_is_no_choice_is_refused(backend: Backend, query: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {await operator(backend, Role.VIEWER)}"}
    for path in ("/v1/visits", "/v1/visits.csv"):
        answer = await backend.client.get(path, params=query, headers=headers)
        assert answer.status_code == 422, answer.text


async def test_a_cursor_is_a_place_to_the_microsecond() -> None:
    cursor = VisitCursor(datetime(2026, 11, 21, 12, 0, 0, 123457, UTC), "abc_-1")
    assert VisitCursor.parse(str(cursor)) == cursor


async def test_what_the_provider_says_stands_beside_the_visit(backend: Backend) -> None:
    headers = await filled(backend)
    reason = "=cmd|' /C calc'!A0"
    told = {"cost": 296, "termination_reason": reason}
    assert (await deliver(backend, call("conv_1", **told))).json() == {"result": "confirmed"}
    [line] = [each for each in await ask(backend, headers) if each["press_id"] == "p1"]
    assert (line["cost"], line["conversation_s"], line["duration_s"]) == (296, 30, 12.5)
    assert (line["state"], line["outcome"]) == ("confirmed", "hung_up")
    assert line["termination_reason"] == reason
    answer = await backend.client.get("/v1/visits.csv?limit=3", headers=headers)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "/v1/visits.csv?" in answer.headers["Link"]
    answer = await backend.client.get("/v1/visits.csv", headers=headers)
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == COUNT
    [row] = [each for each in rows if each["press_id"] == "p1"]
    assert (row["cost"], row["duration_s"], row["kiosk"]) == ("296.0", "12.5", "lobby")
    # No spreadsheet calculates what somebody else wrote.
    assert row["termination_reason"] == "'" + reason
    assert next(each for each in rows if each["press_id"] == "p2")["cost"] == ""


async def test_csv_is_read_as_it_was_written(backend: Backend) -> None:
    await filled(backend)
    [line] = await backend.store.history.latest("default", 1, VisitChoice(kiosk="lobby"))
    first, second = write_csv([line]), write_csv([line], with_head=False)
    head, row = csv.reader(io.StringIO(first))
    assert tuple(head) == COLUMNS
    assert [row] == list(csv.reader(io.StringIO(second)))
    assert write_csv([], with_head=False) == ""


def test_the_command_tells_a_range_whole(database: Path) -> None:
    """More than a page, as CSV and as JSON."""
    command("enroll", "lobby", "--site", "north", at(database))
    with closing(sqlite3.connect(database)) as db:
        [(kiosk,)] = db.execute("select id from kiosks")
        for number in range(1100):
            moment = f"{FIRST + timedelta(seconds=number):%Y-%m-%d %H:%M:%S.%f}"
            db.execute(
                "insert into visits (id, tenant, kiosk_id, request_id, minted_at, expires_at, "
                "state, admitted_at) values (?, 'default', ?, ?, ?, ?, 'closed', ?)",
                (f"{number:016}", kiosk, f"r{number}", moment, moment, moment),
            )
        db.commit()
    since = "--since=2026-11-21"
    said = "\n".join(command("visits", since, "--csv", at(database)))
    rows = list(csv.DictReader(io.StringIO(said)))
    assert [row["id"] for row in rows] == [f"{number:016}" for number in reversed(range(1100))]
    assert len(command("visits", since, "--json", "--site=north", at(database))) == 1100
    ranged = command("visits", since, "--until=2026-11-21T12:00:02", at(database))
    assert len(ranged) == 2
    assert len(command("visits", at(database))) == 20
    assert len(command("visits", since, "--limit=1050", at(database))) == 1050
    assert command("visits", "--since=2027-01-01", at(database)) == ["no such visits"]
