"""Alerts over the last visits of a kiosk, and what staff should know though nothing is broken."""

import pytest

from kiosk.watch.alerts import Alerts, Memory
from kiosk.watch.settings import RULES, VisitsTable, WatchTable
from tests.unit.watch.test_alerts import MINUTE, seen, told


class Watching:
    """A watcher of one kiosk, whose visits end a minute apart."""

    def __init__(self, **visits: float) -> None:
        table = VisitsTable.model_validate(visits)
        self.alerts = Alerts(WatchTable(calm_minutes=15), RULES, Memory(), 0.0, table)
        self.now_s = 0.0

    def visits(
        self, count: int, verdict: str = "good", spoilt_by: str = "", answer_ms: float = 900
    ) -> list[tuple[str, str, str]]:
        """What is told of so many visits like this."""
        notices = []
        for _ in range(count):
            self.now_s += MINUTE
            fields = {"KIOSK_VERDICT": verdict, "KIOSK_ANSWER_P50_MS": f"{answer_ms:.1f}"}
            if spoilt_by:
                fields["KIOSK_SPOILT_BY"] = spoilt_by
            self.alerts.observe(seen("visit_ended", self.now_s, **fields), self.now_s)
            notices += self.alerts.due(self.now_s)
        return told(notices)


def test_too_many_lost_visits_are_one_alert_until_they_are_few() -> None:
    watching = Watching()
    assert watching.visits(18) == []
    assert watching.visits(2, "lost", "network_lost") == [], "one of ten"
    assert watching.visits(1, "lost", "network_lost") == [("raised", "lobby", "visits_lost")]
    assert watching.visits(5, "lost", "network_lost") == []
    assert watching.visits(19) == [], "not yet calm for a quarter of an hour"
    assert watching.visits(20) == [("over", "lobby", "visits_lost")]


def test_who_leaves_by_himself_is_nobodys_fault() -> None:
    assert Watching().visits(40, "lost", "visitor_left") == []


def test_of_few_visits_nothing_is_said() -> None:
    assert Watching().visits(19, "lost", "network_lost") == []


def test_too_many_spoilt_visits_are_another_alert() -> None:
    watching = Watching(of=10)
    watching.visits(7)
    assert watching.visits(4, "spoilt", "lossy_link") == [("raised", "lobby", "visits_spoilt")]


def test_slow_answers_are_an_alert_though_every_visit_was_good() -> None:
    watching = Watching()
    assert watching.visits(18) == []
    assert watching.visits(2, answer_ms=4200) == [("raised", "lobby", "answers_slow")]


def test_a_kiosk_that_starts_again_has_not_mended_its_network() -> None:
    watching = Watching(of=5)
    watching.visits(5, "lost", "network_lost")
    watching.alerts.observe(seen("starting", watching.now_s), watching.now_s)
    assert told(watching.alerts.due(watching.now_s + 60 * MINUTE)) == []


@pytest.mark.parametrize("fields", [{}, {"KIOSK_VERDICT": "good", "KIOSK_ANSWER_P50_MS": "nan"}])
def test_a_visit_of_an_older_kiosk_says_nothing(fields: dict[str, str]) -> None:
    watching = Watching(of=5)
    for _ in range(10):
        watching.alerts.observe(seen("visit_ended", 0.0, **fields), 0.0)
    assert told(watching.alerts.due(0.0)) == []


def test_a_safety_rule_that_fired_reaches_staff_without_words() -> None:
    watching = Watching()
    watching.alerts.observe(seen("guardrail", 1.0, KIOSK_RULE="hate", CONVERSATION_ID="c1"), 1.0)
    watching.alerts.observe(
        seen("visit_ended", 2.0, KIOSK_ENDING="safety", KIOSK_DETAIL="marzipan"), 2.0
    )
    notices = watching.alerts.due(2.0)
    assert told(notices) == [("raised", "lobby", "guardrail"), ("raised", "lobby", "safety")]
    assert notices[0].told == {"CONVERSATION_ID": "c1"}
    assert "dashboard" in notices[1].remedy
    assert "marzipan" not in str(notices)
    assert told(watching.alerts.due(2.0 + 16 * MINUTE)) == [
        ("over", "lobby", "guardrail"),
        ("over", "lobby", "safety"),
    ]
