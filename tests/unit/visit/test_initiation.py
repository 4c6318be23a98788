"""What a backend's lease changes of the initiation, and what it cannot."""

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.convai.client_messages import Initiation
from kiosk.convai.frames import serialize
from kiosk.convai.overrides import ConversationOverrides
from kiosk.link.credentials import Opening
from kiosk.visit.initiation import initiation_of

CONFIGURED = Initiation(
    overrides={"agent": {"language": "en", "prompt": {"llm": "a"}}, "tts": {"speed": 1.1}},
    dynamic_variables={"floor": 1, "site": "north"},
    user_id="kiosk",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def brought(overrides: Any = None, variables: Any = None) -> Initiation:
    opening = Opening("wss://x", "p", None, overrides or {}, variables or {})
    return initiation_of(CONFIGURED, opening)


def test_a_lease_that_brings_nothing_changes_nothing() -> None:
    assert brought() is CONFIGURED


def test_the_backends_word_counts_key_by_key() -> None:
    overrides = {"agent": {"prompt": {"prompt": "You are T. rex."}, "language": "de"}}
    merged = brought(overrides, {"floor": 2, "names": ["Ada", "Bob"]})
    assert merged.overrides == {
        "agent": {"language": "de", "prompt": {"llm": "a", "prompt": "You are T. rex."}},
        "tts": {"speed": 1.1},
    }
    assert merged.dynamic_variables == {"floor": 2, "site": "north", "names": ["Ada", "Bob"]}
    assert merged.user_id == "kiosk"
    assert CONFIGURED.overrides["tts"] == {"speed": 1.1}


@pytest.mark.parametrize(
    ("overrides", "variables", "named"),
    [
        ({"tts": {"speed": 9.75, "voice_id": "v"}}, {}, "tts.speed"),
        ({"tts": {"style": 9.75}, "agent": {"first_message": "Hi"}}, {}, "tts"),
        ({"pitch": 9.75}, {}, "pitch"),
        ({"agent": 9.75}, {}, "agent"),
        ({"asr": {"keywords": ["a", 9.75]}}, {}, "asr.keywords"),
        ({"conversation": {"text_only": True}}, {}, "conversation.text_only"),
        ({}, {"who": {"a": 9.75}}, "who"),
        ({}, {"who": None, "floor": 3}, "who"),
        ({}, {"who": float("inf")}, "who"),
        ({"a b\n": 9.75}, {}, "a?b?"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_named_once(
    overrides: Any, variables: Any, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    merged = brought(overrides, variables)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith(f": {named}")
    assert "9.75" not in caplog.text
    assert "9.75" not in serialize(merged)
    if "voice_id" in overrides.get("tts", {}):
        assert merged.overrides["tts"] == {"speed": 1.1, "voice_id": "v"}


def test_no_depth_is_too_much() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = {"a": deep}
    assert brought({"agent": deep, "tts": deep, **deep}, {"who": deep}).overrides == {
        **CONFIGURED.overrides
    }


def test_a_kiosk_may_be_told_to_speak() -> None:
    assert brought({"conversation": {"text_only": False}}).overrides["tts"] == {"speed": 1.1}


@given(st.dictionaries(st.text(), JSON, max_size=4), st.dictionaries(st.text(), JSON, max_size=4))
def test_whatever_it_brings_there_is_an_initiation_that_can_be_sent(
    overrides: Any, variables: Any
) -> None:
    some = {**overrides, "agent": overrides, "tts": {"speed": 1, **overrides}}
    merged = brought(some, variables)
    ConversationOverrides.model_validate(merged.overrides)
    assert serialize(merged)
