"""What the journal is told: causes of what goes wrong, and what is over."""

import logging

import pytest

from kiosk.config.tables import KioskTable
from kiosk.devices.ports import LineTrouble
from kiosk.listeners.journal_entries import JournalEntries
from kiosk.listeners.visit_record import FIELDS, LOSSES, VisitRecords
from kiosk.measures import Measures
from kiosk.moments import FieldValue, What
from tests.moments import a_moment


class Book:
    """The journal's entries, and the fields of what it wrote."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        self._caplog = caplog
        measures, counters = Measures(), dict.fromkeys(LOSSES, 0)
        self.records = VisitRecords(lambda: measures, lambda: counters)
        self.entries_of = JournalEntries(KioskTable(name="lobby"), self.records)

    def observe(self, what: What, at_s: float = 1.0, /, **fields: FieldValue) -> None:
        moment = a_moment(what, at_s, fields, words="marzipan")
        self.records.observe(moment)
        self.entries_of.observe(moment)

    def entries(self) -> list[dict[str, str]]:
        assert "marzipan" not in self._caplog.text
        return [
            {**record.__dict__["journal"], "PRIORITY": str(record.levelno)}
            for record in self._caplog.records
        ]

    def told(self, *names: str) -> list[tuple[str | None, ...]]:
        return [tuple(entry.get(name) for name in names) for entry in self.entries()]

    def visit(self, kind: str, severity: int) -> None:
        self.observe(What.PRESSED, 100.0)
        self.observe(What.VISIT_STARTED, 100.0, press_id="p1")
        self.observe(
            What.CONNECTED, 100.4, conversation_id="c1", input_format="pcm", output_format="pcm"
        )
        self.observe(What.TRANSCRIPT, 101.0)
        self.observe(
            What.VISIT_ENDED,
            130.0,
            kind=kind,
            code=1000,
            detail="",
            severity=severity,
            malformed_frames=0,
            unknown_frames=0,
        )


@pytest.fixture
def book(caplog: pytest.LogCaptureFixture) -> Book:
    return Book(caplog)


def test_a_kiosk_that_starts_says_so_first(caplog: pytest.LogCaptureFixture) -> None:
    assert Book(caplog).told("KIOSK_EVENT", "KIOSK_ID") == [("starting", "lobby")]


def test_a_visit_has_one_record_with_all_its_fields(book: Book) -> None:
    book.visit("hung_up", 6)
    [entry] = [entry for entry in book.entries() if entry["KIOSK_EVENT"] == "visit_ended"]
    assert (entry["PRESS_ID"], entry["CONVERSATION_ID"]) == ("p1", "c1")
    assert (entry["KIOSK_CONNECT_MS"], entry["KIOSK_DURATION_S"]) == ("400.0", "30.0")
    assert entry["KIOSK_KIND"] == entry["KIOSK_ENDING"]
    assert (entry["KIOSK_KIND"], entry["KIOSK_CODE"], entry["KIOSK_TURNS"]) == (
        "hung_up",
        "1000",
        "1",
    )
    typed = {name for name in entry if name.startswith("KIOSK_")}
    always = {"ID", "SITE", "VERSION", "SEQ", "EVENT"}
    frames = {"MALFORMED_FRAMES", "UNKNOWN_FRAMES"}
    ending = {"ENDING", "KIND", "CODE", "DETAIL", "VERDICT", "SPOILT_BY", *frames}
    assert typed <= {f"KIOSK_{name}" for name in {*always, *ending, *map(str.upper, FIELDS)}}


def test_a_visit_that_should_not_have_ended_so_tells_its_cause(book: Book) -> None:
    book.visit("hung_up", 6)
    book.visit("quota", 3)
    book.visit("unreachable", 4)
    book.visit("time_up", 5)
    book.visit("hung_up", 6)
    ends = [entry for entry in book.entries() if entry["KIOSK_EVENT"] == "visit_ended"]
    assert [(entry.get("KIOSK_CAUSE"), entry.get("KIOSK_OVER")) for entry in ends] == [
        (None, None),
        ("quota", None),
        ("unreachable", None),
        (None, "quota unreachable"),
        (None, None),
    ]


def test_a_card_that_is_lost_and_comes_back_is_a_fault_with_its_end(book: Book) -> None:
    book.observe(What.DEVICE_LOST, device="microphone", detail="gone")
    book.observe(What.DEVICE_OPENED, device="microphone", detail="USB")
    assert book.told("KIOSK_EVENT", "KIOSK_CAUSE", "KIOSK_OVER") == [
        ("device_lost", "microphone_lost", None),
        ("device_opened", None, "microphone_lost"),
    ]


def test_a10_a_microphone_that_hears_nothing_is_a_fault_of_its_own(book: Book) -> None:
    detail = "silenced by 'Mic'"
    book.observe(What.DEVICE_LOST, device="microphone", detail=detail, cause="microphone_muted")
    book.observe(What.DEVICE_OPENED, device="microphone", detail="USB")
    assert book.told("KIOSK_EVENT", "KIOSK_CAUSE", "KIOSK_OVER") == [
        ("device_lost", "microphone_muted", None),
        ("device_opened", None, "microphone_muted"),
    ]


def test_a_button_that_is_stuck_is_a_fault_with_its_end(book: Book) -> None:
    book.entries_of.button(LineTrouble("button_stuck", "the button on GPIO 17 has been down"))
    book.entries_of.button(LineTrouble("button_stuck", "it is a button again", over=True))
    assert book.told("KIOSK_EVENT", "KIOSK_CAUSE", "KIOSK_OVER") == [
        ("button_fault", "button_stuck", None),
        ("button_mended", None, "button_stuck"),
    ]


def test_what_a_starting_kiosk_lacks_is_no_fault_until_it_is_ready(book: Book) -> None:
    book.observe(What.FITNESS, cause="no_speaker")
    book.observe(What.FITNESS, cause="cannot_reach")
    book.entries_of.ready()
    book.observe(What.FITNESS, cause="fit")
    book.observe(What.FITNESS, cause="paused")
    told = book.told("KIOSK_EVENT", "KIOSK_FITNESS", "KIOSK_CAUSE", "KIOSK_OVER")
    assert told == [
        ("fitness", "no_speaker", None, None),
        ("fitness", "cannot_reach", None, None),
        ("ready", "cannot_reach", None, None),
        ("fitness", "fit", None, None),
        ("fitness", "paused", None, None),
    ]


def test_a_backend_that_was_never_reached_is_a_fault_at_the_first_sign_of_life(book: Book) -> None:
    book.observe(What.FITNESS, cause="cannot_reach")
    book.entries_of.ready()
    book.entries_of.alive({"visits": 0, "uptime_s": 300})
    book.entries_of.alive({"visits": 0, "uptime_s": 300})
    book.observe(What.FITNESS, cause="fit")
    told = book.told("KIOSK_EVENT", "KIOSK_CAUSE", "KIOSK_OVER")[1:]
    assert told == [
        ("ready", None, None),
        ("fitness", "cannot_reach", None),
        ("alive", None, None),
        ("alive", None, None),
        ("fitness", None, "cannot_reach"),
    ]


def test_one_cause_of_being_unfit_may_follow_another(book: Book) -> None:
    book.entries_of.ready()
    book.observe(What.FITNESS, cause="no_speaker")
    book.observe(What.FITNESS, cause="cannot_reach")
    assert book.told("KIOSK_CAUSE", "KIOSK_OVER", "PRIORITY")[1:] == [
        ("no_speaker", None, str(logging.WARNING)),
        ("cannot_reach", "no_speaker", str(logging.WARNING)),
    ]


@pytest.mark.parametrize(
    ("what", "fields", "cause"),
    [
        (
            What.LOST,
            {"kind": "network_lost", "code": 1006, "detail": "", "delay_ms": 1},
            "network_lost",
        ),
        (What.OVERLOADED, {"percent": 120, "consequence": "half duplex"}, "overloaded"),
        (What.STALLED, {"stall_ms": 700}, "loop_stalled"),
        (What.MALFORMED, {"why": "not JSON"}, "malformed_frame"),
    ],
)
def test_whatever_goes_wrong_tells_its_cause(
    book: Book, what: What, fields: dict[str, FieldValue], cause: str
) -> None:
    book.observe(what, **fields)
    assert book.told("KIOSK_EVENT", "KIOSK_CAUSE") == [(what.value, cause)]


def test_a_sign_of_life_has_its_counters(book: Book) -> None:
    book.entries_of.alive({"visits": 3.0, "temperature_c": 48.3, "leases": None})
    assert book.told("KIOSK_EVENT", "KIOSK_FITNESS", "KIOSK_VISITS", "KIOSK_TEMPERATURE_C") == [
        ("alive", "fit", "3", "48.3"),
    ]
    assert "KIOSK_LEASES" not in book.entries()[-1]


def test_a_kiosk_may_change_its_name(book: Book) -> None:
    book.entries_of.reloaded(KioskTable(name="shop", site="north"), "kiosk.name", "nothing")
    book.entries_of.stopping()
    assert book.told("KIOSK_ID", "KIOSK_SITE", "KIOSK_OVER") == [
        ("shop", "north", "settings_refused"),
        ("shop", "north", None),
    ]
