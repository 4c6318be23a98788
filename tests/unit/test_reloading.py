"""Settings read again: what may change does, between visits, and a bad file changes nothing."""

import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from kiosk.config import Settings
from kiosk.config.changes import LIVE, changes
from kiosk.daemon.reloading import Reloading
from kiosk.errors import ConfigError
from kiosk.listeners.journal_entries import JournalEntries
from kiosk.listeners.visit_record import LOSSES, VisitRecords
from kiosk.measures import Measures
from kiosk.visit.plan import Plan
from kiosk.visit.planning import plan_of


def settings(**tables: dict[str, Any]) -> Settings:
    return Settings.model_validate(tables)


class Kiosk:
    """What is around the settings of a running kiosk."""

    def __init__(self) -> None:
        self.on_disk: Settings | ConfigError = settings()
        self.plan = plan_of(settings())
        counters = dict.fromkeys(LOSSES, 0)
        self.entries = JournalEntries(settings().kiosk, VisitRecords(Measures, lambda: counters))
        self.reloading = Reloading(settings(), self._load, self.entries, self._follow)

    def _follow(self, plan: Plan) -> None:
        self.plan = plan

    def _load(self) -> Settings:
        if isinstance(self.on_disk, ConfigError):
            raise self.on_disk
        return self.on_disk


@pytest.fixture
def kiosk(caplog: pytest.LogCaptureFixture) -> Kiosk:
    caplog.set_level(logging.DEBUG)
    return Kiosk()


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    return [record.__dict__.get("journal", {}) for record in caplog.records]


def test_every_live_setting_is_one() -> None:
    def keys(of: Any, prefix: str = "") -> set[str]:
        fields = type(of).model_fields if isinstance(of, BaseModel) else ()
        return {f"{prefix}{name}" for name in fields}

    defaults = settings()
    known = {
        key for name in Settings.model_fields for key in keys(getattr(defaults, name), f"{name}.")
    } | keys(defaults.convai.compat, "convai.compat.")
    assert known >= LIVE


def test_what_may_change_is_told_from_what_needs_a_restart() -> None:
    old = settings()
    new = settings(
        visit={"max_s": 100, "voice": "en-us"},
        kiosk={"site": "north"},
        capture={"device": "USB"},
        agent={"variables": {"hall": "2"}},
        convai={"compat": {"keep_alive": "space"}},
    )
    found = changes(old, new)
    assert set(found.taken) == {
        "visit.max_s",
        "kiosk.site",
        "agent.variables",
        "convai.compat.keep_alive",
    }
    assert set(found.restart) == {"visit.voice", "capture.device"}
    assert found.settings == settings(
        visit={"max_s": 100},
        kiosk={"site": "north"},
        agent={"variables": {"hall": "2"}},
        convai={"compat": {"keep_alive": "space"}},
    )


def test_new_settings_are_used_and_told(kiosk: Kiosk, caplog: pytest.LogCaptureFixture) -> None:
    kiosk.on_disk = settings(visit={"max_s": 100}, gate={"preroll_ms": 500})
    kiosk.reloading.reload()
    assert kiosk.plan.max_s == 100
    assert kiosk.plan.preroll_ms == 300
    [entry] = told(caplog)
    assert (entry["KIOSK_EVENT"], entry["KIOSK_TAKEN"], entry["KIOSK_RESTART"]) == (
        "reloaded",
        "visit.max_s",
        "gate.preroll_ms",
    )


def test_a_bad_file_changes_nothing_and_is_told(
    kiosk: Kiosk, caplog: pytest.LogCaptureFixture
) -> None:
    kiosk.on_disk = ConfigError("config.toml, line 3: visit.max_s: too much")
    kiosk.reloading.reload()
    assert kiosk.plan == plan_of(settings())
    [record] = caplog.records
    assert "line 3: visit.max_s" in record.getMessage()
    assert told(caplog)[0]["KIOSK_CAUSE"] == "settings_refused"
    kiosk.on_disk = settings()
    kiosk.reloading.reload()
    assert told(caplog)[1]["KIOSK_OVER"] == "settings_refused"
    assert told(caplog)[1]["KIOSK_TAKEN"] == "nothing"


def test_what_needs_a_restart_is_named_each_time(
    kiosk: Kiosk, caplog: pytest.LogCaptureFixture
) -> None:
    kiosk.on_disk = settings(control={"socket": Path("/tmp/other")})
    kiosk.reloading.reload()
    kiosk.reloading.reload()
    assert [entry["KIOSK_RESTART"] for entry in told(caplog)] == ["control.socket"] * 2
