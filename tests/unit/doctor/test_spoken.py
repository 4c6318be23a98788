"""What staff hears who holds the button."""

import re

import pytest

from kiosk.doctor import spoken
from kiosk.doctor.findings import CHECKS, failed, passed, warned
from kiosk.visit.between_visits import LONGEST_TEXT
from kiosk.visit.languages import load_language, shipped_languages

WORDS = load_language("en").report
FINE = [passed("clock", "set")]


def sick(*checks: str) -> str:
    findings = [failed(check, "bad", "mend it") for check in checks]
    return spoken.text(WORDS, "lobby", "10.0.0.7", findings)


def test_the_report_says_who_where_and_that_all_is_well() -> None:
    text = spoken.text(WORDS, "lobby", "192.168.0.17", FINE)
    assert text.startswith("This is lobby, version 0 dot 1 dot 0.")
    assert "1 9 2 dot 1 6 8 dot 0 dot 1 7." in text
    assert text.endswith(WORDS["well"])


def test_an_address_of_the_newer_kind_is_spelled_too() -> None:
    assert spoken.spelled("fe80::1", WORDS) == "f e 8 0 colon colon 1"


def test_without_a_network_it_says_so() -> None:
    assert WORDS["no_address"] in spoken.text(WORDS, "lobby", None, FINE)


def test_what_fails_is_named_and_warnings_are_only_mentioned() -> None:
    assert sick("dns", "capture_card").endswith(
        f"{WORDS['ill']} {WORDS['dns']} {WORDS['capture_card']}"
    )
    text = spoken.text(WORDS, "lobby", None, [warned("clock", "late", "wait")])
    assert text.endswith(f"{WORDS['well']} {WORDS['warnings']}")


def test_a_report_has_an_end() -> None:
    text = sick(*CHECKS)
    assert text.endswith(WORDS["more"])
    assert len(text) < LONGEST_TEXT


@pytest.mark.parametrize("language", shipped_languages())
def test_every_language_has_words_for_every_check(language: str) -> None:
    words = load_language(language).report
    assert set(words) == set(WORDS) >= set(CHECKS)
    for key, text in words.items():
        assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", WORDS[key])), key
    assert not set(load_language(language).sentences) & {"report"}


def test_the_machines_own_address_is_one_or_none() -> None:
    address = spoken.own_address()
    assert address is None or re.fullmatch(r"[0-9a-f.:]+", address)
