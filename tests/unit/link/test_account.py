"""What a kiosk tells its backend of its visits, and when."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from kiosk.contract import EndVisit, StartVisit
from kiosk.errors import CredentialError
from kiosk.link import account
from kiosk.link.account import Account, DeniedError
from tests.virtual_time import virtual_time


@dataclass
class Book:
    """Keeps what it is told; may be away, or refuse."""

    trouble: Exception | None = None
    never: str = ""
    told: list[tuple[float, str, str]] = field(default_factory=list)
    ago_s: list[float] = field(default_factory=list)

    async def start(self, visit_id: str, start: StartVisit) -> None:
        await self._tell(visit_id, start.press_id)

    async def end(self, visit_id: str, end: EndVisit) -> None:
        self.ago_s.append(end.ago_s)
        await self._tell(visit_id, end.outcome)

    async def _tell(self, visit_id: str, what: str) -> None:
        await asyncio.sleep(0.1)
        self.told.append((asyncio.get_running_loop().time(), visit_id, what))
        if self.trouble is not None:
            raise self.trouble
        if visit_id == self.never:
            raise CredentialError("the backend answered HTTP 500")

    @property
    def visits(self) -> list[str]:
        return [visit_id for _, visit_id, _ in self.told]


@asynccontextmanager
async def keeping(book: Book) -> AsyncIterator[Account]:
    kept = Account(book, lambda: 1.0)
    task = asyncio.create_task(kept.run())
    try:
        yield kept
    finally:
        task.cancel()
        await asyncio.wait([task])


def end(outcome: str = "hung_up") -> EndVisit:
    return EndVisit(press_id="press-1", outcome=outcome, duration_s=1.0)


@virtual_time
async def test_a_refusal_is_raised_and_no_answer_is_none() -> None:
    book = Book(DeniedError("paused"))
    with pytest.raises(DeniedError) as denied:
        await Account(book).start("v1", "press-1")
    assert denied.value.reason == "paused"
    book.trouble = CredentialError("the backend does not answer")
    await Account(book).start("v1", "press-1")


@virtual_time
async def test_visits_are_told_in_order_once() -> None:
    async with keeping(book := Book()) as kept:
        for number in range(3):
            kept.ended(f"v{number}", end())
        await asyncio.sleep(10)
    assert book.visits == ["v0", "v1", "v2"]


@virtual_time
async def test_a_backend_that_is_away_is_asked_again_ever_more_seldom() -> None:
    async with keeping(book := Book(CredentialError("away"))) as kept:
        kept.ended("v0", end())
        await asyncio.sleep(600)
        times = [at_s for at_s, _, _ in book.told]
        waits = [round(later - earlier) for earlier, later in pairwise(times)]
        assert waits[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
        book.trouble = None
        await asyncio.sleep(61)
        assert book.ago_s[-1] == pytest.approx(book.told[-1][0] - book.told[0][0], abs=0.2)


@virtual_time
async def test_a_visit_that_is_never_taken_holds_up_no_other() -> None:
    async with keeping(book := Book()) as kept:
        book.never = "v0"
        kept.ended("v0", end())
        kept.ended("v1", end())
        await asyncio.sleep(10)
        assert book.visits[:2] == ["v0", "v1"]
        assert book.visits.count("v1") == 1


@virtual_time
async def test_what_is_untold_when_the_process_ends_gets_a_last_try(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = Account(book := Book())
    kept.ended("v0", end())
    await kept.close()
    assert book.visits == ["v0"]
    assert caplog.messages == []
    book.trouble = CredentialError("away")
    kept.ended("v1", end())
    await kept.close()
    assert caplog.messages == ["the backend was not told how 1 visit(s) ended"]


@virtual_time
async def test_what_the_backend_does_not_take_holds_nothing_up() -> None:
    async with keeping(book := Book(DeniedError("visit-unknown"))) as kept:
        kept.ended("v0", end())
        await asyncio.sleep(1)
        book.trouble = None
        kept.ended("v1", end())
        await asyncio.sleep(1)
    assert book.visits == ["v0", "v1"]


@virtual_time
async def test_a_long_outage_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "_REPORTS_LIMIT", 2)
    async with keeping(book := Book(CredentialError("away"))) as kept:
        for number in range(5):
            kept.ended(f"v{number}", end())
            await asyncio.sleep(100)
        assert kept.dropped_reports == 3
        book.trouble = None
        await asyncio.sleep(61)
    assert set(book.visits[-2:]) == {"v3", "v4"}
