"""What a kiosk tells its backend of its visits, and when."""

import asyncio
import stat
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from kiosk.contract import MAX_REPORT_AGE_S, EndVisit, LiveVisit, StartVisit, VisitEvent
from kiosk.errors import CredentialError
from kiosk.link import account
from kiosk.link.account import Account, DeniedError
from kiosk.link.report_file import ReportFile
from tests.virtual_time import virtual_time

WALL_S = 1.7e9


@pytest.fixture(autouse=True)
def _disks_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread's time is real, and would not be waited for where time is not."""

    async def at_once(work: Callable[[], object]) -> object:
        return work()

    monkeypatch.setattr(asyncio, "to_thread", at_once)


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


@dataclass
class Book:
    """Keeps what it is told; may be away, or refuse."""

    trouble: Exception | None = None
    never: str = ""
    handout: str | None = None
    told: list[tuple[float, str, str]] = field(default_factory=list)
    ago_s: list[float] = field(default_factory=list)

    async def start(self, visit_id: str, start: StartVisit) -> None:
        await self._tell(visit_id, start.press_id)

    async def end(self, visit_id: str, end: EndVisit) -> str | None:
        self.ago_s.append(end.ago_s)
        await self._tell(visit_id, end.outcome)
        return self.handout

    async def live(self, visit_id: str, live: LiveVisit) -> None:
        await self._tell(visit_id, str(live.conversation_id))

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
async def keeping(
    book: Book, file: ReportFile | None = None, wall_s: Callable[[], float] = time.time
) -> AsyncIterator[Account]:
    kept = Account(book, lambda: 1.0, file, wall_s)
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
async def test_what_was_made_for_a_visitor_is_shown_while_one_may_be_there() -> None:
    shown: list[tuple[str, str]] = []
    book = Book(handout="https://backend.test/v1/handouts/x")
    kept = Account(book, lambda: 1.0, on_handout=lambda *it: shown.append(it))
    task = asyncio.create_task(kept.run())
    kept.ended("v0", end())
    await asyncio.sleep(1)
    assert shown == [(book.handout, "press-1")]
    book.trouble = CredentialError("the backend does not answer")
    kept.ended("v1", end())
    await asyncio.sleep(60)
    book.trouble = None
    await asyncio.sleep(600)
    assert book.visits[-1] == "v1"
    assert shown == [(book.handout, "press-1")]
    task.cancel()
    await asyncio.wait([task])


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


@virtual_time
async def test_that_a_conversation_is_open_is_told_and_depends_on_nothing() -> None:
    book = Book()
    for book.trouble in (None, DeniedError("visit-spent"), CredentialError("away")):
        await Account(book).live("v1", LiveVisit(press_id="press-1", conversation_id="c1"))
    assert [what for _, _, what in book.told] == ["c1"] * 3


@virtual_time
async def test_a_kiosk_that_is_not_accepted_keeps_its_reports() -> None:
    async with keeping(book := Book(DeniedError("unauthorized"))) as kept:
        kept.ended("v0", end())
        await asyncio.sleep(600)
        book.trouble = None
        await asyncio.sleep(61)
        assert kept.untold_reports == 0
    assert len(book.told) > 2


# --- over a restart -----------------------------------------------------------------------------


@virtual_time
async def test_in_ordinary_days_nothing_is_written(tmp_path: Path) -> None:
    file = ReportFile(tmp_path / "reports.json")
    async with keeping(Book(), file) as kept:
        for number in range(3):
            kept.ended(f"v{number}", end())
            await asyncio.sleep(1)
        assert names(tmp_path) == []
    await kept.close()
    assert names(tmp_path) == []


@virtual_time
async def test_what_is_untold_is_told_after_a_restart_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "reports.json"
    events = (VisitEvent(sequence=1, at_s=0.5, what="connected", fields={"kind": "x"}),)
    full = end().model_copy(update={"events": events, "conversation_id": "conv_1"})
    async with keeping(Book(CredentialError("away")), ReportFile(path), lambda: WALL_S) as kept:
        kept.ended("v0", full)
        await asyncio.sleep(100)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        kept.ended("v1", end("silent"))
    await kept.close()

    class Exact(Book):
        ends: list[EndVisit] = []  # noqa: RUF012

        async def end(self, visit_id: str, end: EndVisit) -> None:
            self.ends.append(end)
            await super().end(visit_id, end)

    async with keeping(book := Exact(), ReportFile(path), lambda: WALL_S + 3600):
        await asyncio.sleep(10)
        assert not path.exists()
    assert sorted(book.visits) == ["v0", "v1"]
    told = book.ends[book.visits.index("v0")]
    assert told.model_copy(update={"ago_s": 0.0}) == full
    assert told.ago_s == pytest.approx(3700, abs=5)


@pytest.mark.parametrize(("jump_s", "ago_s"), [(-(10**7), 0.0), (10**10, MAX_REPORT_AGE_S)])
def test_a_wrong_wall_clock_makes_an_age_that_can_be_told(
    tmp_path: Path, jump_s: float, ago_s: float
) -> None:
    file = ReportFile(tmp_path / "reports.json")

    @virtual_time
    async def test() -> None:
        kept = Account(Book(CredentialError("away")), file=file, wall_s=lambda: WALL_S)
        kept.ended("v0", end())
        await kept.close()
        async with keeping(book := Book(), file, lambda: WALL_S + jump_s):
            await asyncio.sleep(1)
        assert book.ago_s == [ago_s]

    test()


@virtual_time
async def test_a_file_that_makes_no_sense_is_moved_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "reports.json"
    path.write_text('[{"visit_id": "v0"')
    async with keeping(book := Book(), ReportFile(path)) as kept:
        kept.ended("v1", end())
        await asyncio.sleep(1)
    assert book.visits == ["v1"]
    assert names(tmp_path) == ["reports.json.bad"]
    assert len([each for each in caplog.records if each.levelname == "WARNING"]) == 1


@virtual_time
async def test_an_outage_writes_a_report_once_and_a_full_disk_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Counting(ReportFile):
        saved: list[int] = []  # noqa: RUF012

        def save(self, reports: object) -> None:
            assert isinstance(reports, list)
            self.saved.append(len(reports))
            raise OSError(28, "No space left on device")

    file = Counting(tmp_path / "reports.json")
    async with keeping(book := Book(CredentialError("away")), file) as kept:
        kept.ended("v0", end())
        await asyncio.sleep(3600)
        assert file.saved == [1]
        kept.ended("v1", end())
        await asyncio.sleep(3600)
        assert file.saved == [1, 2]
        book.trouble = None
        await asyncio.sleep(61)
        assert set(book.visits[-2:]) == {"v0", "v1"}
    assert "No space left" in caplog.text


@virtual_time
async def test_a_process_that_ends_at_once_loses_nothing_of_the_one_before(tmp_path: Path) -> None:
    path, away = tmp_path / "reports.json", Book(CredentialError("away"))
    for name in ("v0", "v1"):
        kept = Account(away, file=ReportFile(path))
        kept.ended(name, end())
        await kept.close()
    await Account(away, file=ReportFile(path)).close()
    assert [each.visit_id for each in ReportFile(path).load()] == ["v0", "v1"]


@virtual_time
async def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "_REPORTS_LIMIT", 3)
    path, away = tmp_path / "reports.json", Book(CredentialError("away"))
    for number in range(5):
        kept = Account(away, file=ReportFile(path))
        kept.ended(f"v{number}", end())
        await kept.close()
    assert [each.visit_id for each in ReportFile(path).load()] == ["v2", "v3", "v4"]
