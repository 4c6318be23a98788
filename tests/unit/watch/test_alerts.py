"""Which alerts are raised, and when they are over."""

import pytest

from kiosk.watch.alerts import Alerts, Memory, Notice
from kiosk.watch.entries import JournalEntry, entry_of
from kiosk.watch.settings import RULES, RuleTable, WatchTable
from tests.unit.watch.desk import entry

MINUTE = 60.0
UNIT_FAILED = "d9b373ed55a64feb8242e02dbe79a49c"


def seen(name: str, at_s: float = 0.0, /, **fields: str) -> JournalEntry:
    kiosk = fields.pop("kiosk", "lobby")
    raw: dict[str, object] = {**entry(name, kiosk, **fields), "_HOSTNAME": f"pi-{kiosk}"}
    found = entry_of({**raw, "__REALTIME_TIMESTAMP": int(at_s * 1e6)})
    assert found is not None
    return found


def lost(**fields: str) -> JournalEntry:
    return seen("device_lost", KIOSK_CAUSE="microphone_lost", **fields)


def back(**fields: str) -> JournalEntry:
    return seen("device_opened", KIOSK_OVER="microphone_lost", **fields)


def alerts(*rules: RuleTable, kiosks: tuple[str, ...] = (), memory: Memory | None = None) -> Alerts:
    table = WatchTable(kiosks=kiosks, silent_minutes=15, calm_minutes=15)
    return Alerts(table, rules or RULES, memory or Memory(), 0.0)


def told(notices: list[Notice]) -> list[tuple[str, str, str]]:
    return [(notice.what, notice.kiosk, notice.cause) for notice in notices]


def test_there_is_one_alert_until_it_is_over_and_then_one_more() -> None:
    watching = alerts()
    watching.observe(lost(), 0)
    assert told(watching.due(0)) == [("raised", "lobby", "microphone_lost")]
    for now_s in (10, 1000, 100_000):  # it lasts, however long nothing is told of it
        watching.observe(lost(), now_s)
        assert told(watching.due(now_s)) == []
    watching.observe(back(), 200_000)
    assert told(watching.due(200_000 + 14 * MINUTE)) == []
    assert told(watching.due(200_000 + 15 * MINUTE)) == [("over", "lobby", "microphone_lost")]
    assert told(watching.due(300_000)) == []
    watching.observe(lost(), 400_000)
    assert told(watching.due(400_000)) == [("raised", "lobby", "microphone_lost")]


def test_what_comes_back_before_it_is_calm_is_no_news() -> None:
    watching = alerts()
    watching.observe(lost(), 0)
    watching.due(0)
    for now_s in range(60, 36_000, 600):  # a loose plug
        watching.observe(back(), now_s)
        watching.observe(lost(), now_s + 60)
        assert told(watching.due(now_s + 60)) == []


def test_what_passes_by_itself_is_over_when_it_was_calm() -> None:
    watching = alerts(RuleTable(cause="backend_unreachable"))
    watching.observe(seen("backend_unreachable"), 0)
    assert told(watching.due(0)) == [("raised", "lobby", "backend_unreachable")]
    assert told(watching.due(15 * MINUTE)) == [("over", "lobby", "backend_unreachable")]


def test_what_a_morning_check_found_is_an_alert_at_once() -> None:
    watching = alerts()
    watching.observe(seen("morning_check_failed"), 0)
    assert told(watching.due(0)) == [("raised", "lobby", "morning_check_failed")]


def test_each_kiosk_and_each_cause_has_its_own_alert() -> None:
    watching = alerts()
    watching.observe(lost(), 0)
    watching.observe(lost(kiosk="shop"), 0)
    watching.observe(seen("device_lost", KIOSK_CAUSE="speaker_lost"), 0)
    assert told(watching.due(0)) == [
        ("raised", "lobby", "microphone_lost"),
        ("raised", "shop", "microphone_lost"),
        ("raised", "lobby", "speaker_lost"),
    ]


def test_a_rule_may_want_several_in_some_minutes() -> None:
    watching = alerts(RuleTable(cause="network_lost", count=3, within_minutes=10))
    for minutes in (0, 9, 18, 27):  # by the kiosk's clock; they arrive at once
        watching.observe(seen("lost", minutes * MINUTE, KIOSK_CAUSE="network_lost"), 0)
        assert told(watching.due(0)) == []
    watching.observe(seen("lost", 28 * MINUTE, KIOSK_CAUSE="network_lost"), 1)
    assert told(watching.due(1)) == []
    watching.observe(seen("lost", 29 * MINUTE, KIOSK_CAUSE="network_lost"), 1)
    assert told(watching.due(1)) == [("raised", "lobby", "network_lost")]


def test_a_rule_may_wait_until_something_has_lasted() -> None:
    watching = alerts(RuleTable(cause="cannot_reach", after_minutes=5))
    unfit = seen("fitness", KIOSK_CAUSE="cannot_reach", PRIORITY="4")
    watching.observe(unfit, 0)
    watching.observe(seen("fitness", KIOSK_OVER="cannot_reach"), 2 * MINUTE)
    assert told(watching.due(6 * MINUTE)) == []
    assert told(watching.due(60 * MINUTE)) == []
    watching.observe(unfit, 60 * MINUTE)
    assert told(watching.due(64 * MINUTE)) == []
    assert told(watching.due(65 * MINUTE)) == [("raised", "lobby", "cannot_reach")]


def test_a_visit_that_ends_well_ends_what_was_wrong_with_those_before() -> None:
    watching = alerts()
    failed = seen(
        "visit_ended", KIOSK_CAUSE="quota", PRIORITY="3", PRESS_ID="p1", KIOSK_CODE="1002"
    )
    watching.observe(failed, 0)
    [notice] = watching.due(0)
    assert notice.told == {"PRESS_ID": "p1", "KIOSK_CODE": "1002"}
    assert told(watching.due(24 * 60 * MINUTE)) == []  # nobody came since
    watching.observe(seen("visit_ended", KIOSK_OVER="quota"), 0)
    assert told(watching.due(15 * MINUTE)) == [("over", "lobby", "quota")]


def test_a_kiosk_that_starts_anew_begins_with_a_clean_slate() -> None:
    watching = alerts()
    watching.observe(seen("config_invalid", PRIORITY="3"), 0)
    watching.observe(lost(), 0)
    watching.due(0)
    watching.observe(seen("starting"), 60)
    watching.observe(lost(), 61)  # still so
    assert told(watching.due(60 + 15 * MINUTE)) == [("over", "lobby", "config_invalid")]


def test_a_service_that_was_killed_is_known_by_its_host() -> None:
    watching = alerts()
    watching.observe(seen("alive"), 0)
    killed = entry_of(
        {
            "MESSAGE_ID": UNIT_FAILED,
            "UNIT": "kiosk.service",
            "PRIORITY": "4",
            "_HOSTNAME": "pi-lobby",
        }
    )
    assert killed is not None
    watching.observe(killed, 1)
    assert told(watching.due(1)) == [("raised", "lobby", "service_failed")]


def test_another_unit_that_failed_is_none_of_our_business() -> None:
    assert entry_of({"MESSAGE_ID": UNIT_FAILED, "UNIT": "cron.service"}) is None
    assert entry_of({"MESSAGE": "hello"}) is None


def test_a_kiosk_that_falls_silent_is_missed_and_heard_again() -> None:
    watching = alerts(kiosks=("lobby", "shop"))
    watching.observe(seen("alive"), 10 * MINUTE)
    assert told(watching.due(14 * MINUTE)) == []
    assert told(watching.due(15 * MINUTE)) == [("raised", "shop", "silent")]
    assert told(watching.due(25 * MINUTE)) == [("raised", "lobby", "silent")]
    assert told(watching.due(90 * MINUTE)) == []
    watching.observe(seen("alive"), 91 * MINUTE)
    assert told(watching.due(91 * MINUTE)) == [("over", "lobby", "silent")]


def test_open_alerts_outlive_the_watcher() -> None:
    watching = alerts(kiosks=("shop",))
    watching.observe(lost(), 0)
    watching.due(20 * MINUTE)
    memory = Memory.model_validate_json(watching.memory().model_dump_json())
    again = alerts(kiosks=("shop",), memory=memory)
    again.observe(lost(), 21 * MINUTE)
    assert told(again.due(21 * MINUTE)) == []
    again.observe(back(), 22 * MINUTE)
    again.observe(seen("alive", kiosk="shop"), 36 * MINUTE)
    assert told(again.due(37 * MINUTE)) == [
        ("over", "lobby", "microphone_lost"),
        ("over", "shop", "silent"),
    ]


def test_without_rules_errors_are_told_and_warnings_are_not() -> None:
    watching = alerts()
    watching.observe(seen("backend_unreachable"), 0)
    watching.observe(seen("lost", KIOSK_CAUSE="network_lost"), 0)
    watching.observe(seen("visit_ended", PRIORITY="6"), 0)
    watching.observe(seen("state"), 0)
    assert told(watching.due(0)) == []


def test_a_rule_may_name_a_message_that_is_no_fault() -> None:
    watching = alerts(RuleTable(message="guardrail", count=2))
    watching.observe(seen("guardrail", 1), 0)
    watching.observe(seen("guardrail", 2), 0)
    assert told(watching.due(0)) == [("raised", "lobby", "guardrail")]


@pytest.mark.parametrize(
    "hostile",
    [
        {"KIOSK_ID": "lobby\nBcc: all@example.org"},
        {"KIOSK_CAUSE": "the visitor said marzipan"},
        {"KIOSK_SITE": "the visitor said marzipan", "PRESS_ID": "marzipan " * 9},
        {"KIOSK_OVER": "the visitor said marzipan", "PRIORITY": "33"},
    ],
)
def test_only_checked_names_leave_the_watcher(hostile: dict[str, str]) -> None:
    raw = {**entry("device_lost", KIOSK_CAUSE="microphone_lost"), **hostile}
    found = entry_of(raw)
    assert found is not None
    watching = alerts(RuleTable(priority=7), RuleTable(message="device_lost"))
    watching.observe(found, 0)
    assert "marzipan" not in "".join(each.model_dump_json() for each in watching.due(0))
    assert all("\n" not in each.headline for each in watching.due(0))


def test_an_alert_says_what_it_means_and_what_to_do() -> None:
    watching = alerts()
    watching.observe(lost(), 0)
    [notice] = watching.due(0)
    assert notice.subject == "A sound device is missing, or hears nothing"
    assert "kiosk devices" in notice.remedy
