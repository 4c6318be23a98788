from kiosk.contract import Heartbeat
from kiosk.listeners.counters import Counters
from kiosk.moments import What
from tests.moments import a_moment


def test_visits_and_what_went_wrong_are_counted() -> None:
    tally = Counters()
    for what in (What.VISIT_STARTED, What.VISIT_STARTED, What.LOST, What.PRESSED):
        tally.observe(a_moment(what, 1.0))
    for severity in (3, 4, 5, 6):
        fields = {"severity": severity, "malformed_frames": 2, "unknown_frames": 1}
        tally.observe(a_moment(What.VISIT_ENDED, 2.0, fields))
    assert tally.counters() == {
        "visits": 2,
        "visits_failed": 2,
        "connections_lost": 1,
        "overloads": 0,
        "devices_lost": 0,
        "malformed_frames": 8,
        "unknown_frames": 4,
    }


def test_the_counters_are_the_contracts() -> None:
    counters = Counters().counters()
    Heartbeat(boot_id="b", sequence=1, state="idle", version="0.1.0", counters=counters)
