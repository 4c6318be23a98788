import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from elevenlabs.types import ClientEvent
from elevenlabs.types.conversation_config_client_override_config_output import (
    ConversationConfigClientOverrideConfigOutput,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from kiosk.backend.provider.agent_check import USEFUL_EVENTS, VITAL_EVENTS, check
from kiosk.backend.provider.findings import AgentFinding, Needs, difference, merged
from kiosk.convai import agent_settings, nested
from kiosk.convai.conversation import AUDIO_FORMATS
from kiosk.convai.nested import leaves, patch_of, value_at
from kiosk.convai.overrides import OVERRIDE_NAMES

NEEDS = Needs(
    overrides=frozenset({"agent.first_message", "agent.prompt.prompt", "tts.speed"}),
    variables=frozenset({"visitor"}),
    languages=frozenset({"en", "de"}),
    kiosks=3,
)
SWITCHES = "platform_settings.overrides.conversation_config_override"


def good() -> dict[str, Any]:
    """An agent about which nothing is to be said."""
    return {
        "agent_id": "agent_lobby",
        "conversation_config": {
            "asr": {"user_input_audio_format": "pcm_16000"},
            "tts": {"agent_output_audio_format": "pcm_16000"},
            "turn": {
                "turn_timeout": 30,
                "silence_end_call_timeout": -1,
                "turn_eagerness": "patient",
            },
            "conversation": {
                "text_only": False,
                "max_duration_seconds": 600,
                "client_events": [*USEFUL_EVENTS, *VITAL_EVENTS, "vad_score"],
            },
            "language_presets": {"de": {"overrides": {}}},
            "agent": {
                "language": "en",
                "first_message": "Hello {{visitor}}, it is {{system__time}}.",
                "dynamic_variables": {"dynamic_variable_placeholders": {"mood": "kind"}},
                "prompt": {
                    "prompt": "Be {{ mood }}. {{secret__key}}",
                    "built_in_tools": {"end_call": {"name": "end_call"}},
                },
            },
        },
        "platform_settings": {
            "auth": {"enable_auth": True, "allowlist": [], "require_origin_header": True},
            "overrides": {
                "conversation_config_override": {
                    "agent": {"first_message": True, "prompt": {"prompt": True}},
                    "tts": {"speed": True, "voice_id": False},
                }
            },
            "call_limits": {
                "agent_concurrency_limit": 3,
                "daily_limit": 100,
                "bursting_enabled": False,
            },
            "privacy": {"record_voice": False, "retention_days": 30},
        },
    }


def with_(path: str, value: object) -> dict[str, Any]:
    """The good agent with one thing changed; None takes it away."""
    agent = good()
    part = agent
    *parents, last = path.split(".")
    for name in parents:
        part = part.setdefault(name, {})
    part[last] = value
    if value is None:
        del part[last]
    return agent


def found(agent: dict[str, Any], needs: Needs = NEEDS) -> list[tuple[str, str]]:
    return [(finding.id, finding.severity) for finding in check(agent, needs)]


def test_about_a_good_agent_nothing_is_said() -> None:
    assert found(good()) == []


EVENTS = "conversation_config.conversation.client_events"
MOST = [*USEFUL_EVENTS, *VITAL_EVENTS]
AUTH, LIMITS = "platform_settings.auth", "platform_settings.call_limits"
TURN, PRIVACY = "conversation_config.turn", "platform_settings.privacy"
LONGEST = "conversation_config.conversation.max_duration_seconds"
INPUT = "conversation_config.asr.user_input_audio_format"
OUTPUT = "conversation_config.tts.agent_output_audio_format"
PROMPT = "conversation_config.agent.prompt"


@pytest.mark.parametrize(
    ("path", "value", "id_", "severity", "patched"),
    [
        (f"{AUTH}.enable_auth", False, "auth-off", "fail", True),
        (f"{AUTH}.enable_auth", None, "auth-off", "fail", True),
        (f"{AUTH}.allowlist", [{"hostname": "a.test"}], "origin-required", "fail", False),
        (f"{SWITCHES}.tts.speed", False, "override-tts-speed", "fail", True),
        (f"{SWITCHES}.agent.prompt", None, "override-agent-prompt-prompt", "fail", True),
        (EVENTS, MOST[:-1], "client-events", "fail", MOST),
        (EVENTS, MOST[1:], "client-events", "warn", [*MOST[1:], MOST[0]]),
        (EVENTS, None, "client-events", "fail", [*VITAL_EVENTS, *USEFUL_EVENTS]),
        (INPUT, "opus", "input-format", "fail", "pcm_16000"),
        (INPUT, "ulaw_8000", "input-format", "warn", "pcm_16000"),
        (OUTPUT, ["pcm_16000"], "output-format", "fail", "pcm_16000"),
        (OUTPUT, "pcm_44100", "output-format", "warn", "pcm_16000"),
        ("conversation_config.conversation.text_only", True, "text-only", "fail", False),
        (LONGEST, 300, "duration-short", "fail", 600),
        (LONGEST, 570, "duration-short", "fail", 600),
        (LONGEST, 7200, "duration-long", "warn", 600),
        (f"{TURN}.silence_end_call_timeout", 10, "silence-timeout", "fail", -1),
        (f"{TURN}.turn_timeout", 7.0, "turn-timeout", "warn", 30.0),
        (f"{TURN}.turn_timeout", None, "turn-timeout", "warn", 30.0),
        (f"{TURN}.turn_eagerness", "high", "turn-eagerness", "warn", "normal"),
        (f"{LIMITS}.agent_concurrency_limit", 2, "concurrency-limit", "warn", None),
        (f"{LIMITS}.daily_limit", 0, "daily-limit", "fail", None),
        (f"{LIMITS}.bursting_enabled", True, "bursting", "warn", False),
        (f"{LIMITS}.bursting_enabled", None, "bursting", "warn", False),
        (f"{PRIVACY}.record_voice", True, "record-voice", "warn", False),
        (f"{PRIVACY}.record_voice", None, "record-voice", "warn", False),
        (f"{PRIVACY}.retention_days", -1, "retention", "warn", 30),
        (f"{PRIVACY}.retention_days", 730, "retention", "warn", 30),
        (f"{PRIVACY}.retention_days", None, "retention", "warn", 30),
        (f"{PROMPT}.built_in_tools", {"end_call": None}, "end-call", "warn", None),
        ("conversation_config.language_presets", {}, "language-de", "warn", None),
        (f"{PROMPT}.prompt", "{{mood}} {{floor}}", "variable-floor", "fail", None),
        (
            "conversation_config.agent.max_conversation_duration_message",
            "Bye, {{name}}",
            "variable-name",
            "fail",
            None,
        ),
    ],
)
def test_each_mismatch_is_found_alone_and_its_patch_mends_it(
    path: str, value: object, id_: str, severity: str, patched: object
) -> None:
    agent = with_(path, value)
    before = deepcopy(agent)
    (finding,) = check(agent, NEEDS)
    assert (finding.id, finding.severity) == (id_, severity)
    for sentence in (finding.what, finding.fix):
        assert sentence.endswith(".")
        assert sentence.count(". ") == 0
    if patched is None:
        assert finding.patch is None
        return
    assert finding.patch is not None
    ((changed, new),) = leaves(finding.patch)
    assert new == patched
    assert difference(agent, finding.patch) == [
        f"{changed}: {json.dumps(value_at(agent, changed))} -> {json.dumps(new)}"
    ]
    mended = nested.merged(agent, finding.patch)
    assert found(mended) == []
    assert difference(mended, finding.patch) == []
    assert agent == before


def test_a_tool_of_the_older_list_counts_as_well() -> None:
    agent = with_(f"{PROMPT}.built_in_tools", None)
    agent["conversation_config"]["agent"]["prompt"]["tools"] = [{"name": "end_call"}]
    assert found(agent) == []


def test_zero_retention_leaves_nothing_to_say_about_privacy() -> None:
    agent = with_(PRIVACY, {"zero_retention_mode": True, "record_voice": True})
    assert found(agent) == []


def test_an_override_without_a_switch_is_for_a_human() -> None:
    sent = frozenset({"conversation.client_events"})
    (finding,) = check(good(), Needs(overrides=sent, variables=NEEDS.variables))
    assert finding.id == "override-conversation-client-events"
    assert finding.patch is None


def test_texts_of_characters_want_their_variables_too() -> None:
    needs = Needs(
        variables=frozenset({"visitor", "floor"}),
        wanted_variables=frozenset({"floor", "mood", "system__time", "name"}),
    )
    assert found(good(), needs) == [("variable-name", "fail")]


def test_what_kiosks_do_themselves_decides() -> None:
    needs = Needs(variables=NEEDS.variables, visit_max_s=60, idle_s=31, longest_s=300)
    findings = {finding.id: finding for finding in check(good(), needs)}
    assert set(findings) == {"duration-long", "turn-timeout"}
    assert findings["duration-long"].patch == patch_of(LONGEST, 90)
    assert findings["turn-timeout"].patch is None  # it cannot wait so long
    needs = Needs(variables=NEEDS.variables, visit_max_s=7200)
    (finding,) = check(good(), needs)
    assert (finding.id, finding.patch) == ("duration-short", None)
    assert found(good(), Needs(variables=NEEDS.variables, retention_days=7)) == [
        ("retention", "warn")
    ]


def test_of_an_empty_agent_everything_that_can_be_is_mended_by_one_patch() -> None:
    findings = check({}, NEEDS)
    assert [finding.severity for finding in findings] == sorted(
        finding.severity for finding in findings
    )
    mended = nested.merged({}, merged(findings))
    assert found(mended) == [("language-de", "warn"), ("end-call", "warn")]
    assert merged(check(mended, NEEDS)) == {}


def test_patches_of_several_findings_become_one() -> None:
    def finding(path: str, value: Any) -> AgentFinding:
        return AgentFinding("x", "warn", "What.", "Fix.", patch_of(path, value))

    human = AgentFinding("y", "warn", "What.", "Fix.")
    both = merged([finding("a.b", 1), human, finding("a.c.d", [2])])
    assert both == {"a": {"b": 1, "c": {"d": [2]}}}
    assert merged([human]) == {}
    assert difference({"a": {"b": 1.5, "c": "text"}}, both) == [
        "a.b: 1.5 -> 1",
        "a.c.d: null -> [2]",
    ]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from([path for path, _ in leaves(good())]), ANYTHING)
def test_whatever_stands_there_is_judged(path: str, value: Any) -> None:
    for depth in range(len(path.split("."))):
        agent = good()
        name = path.rsplit(".", depth)[0]
        check(nested.merged(agent, patch_of(name, value)), NEEDS)
        if "." in name:
            parent, _, last = name.rpartition(".")
            value_at(agent, parent)[last] = value  # type: ignore[call-overload,index]
            check(agent, NEEDS)


# --- against the official client's types --------------------------------------------------------


def _switches(model: type[BaseModel], prefix: str = "") -> set[str]:
    names = set()
    for name, field in model.model_fields.items():
        inner = [
            each for each in getattr(field.annotation, "__args__", ()) if each is not type(None)
        ]
        if isinstance(inner[0], type) and issubclass(inner[0], BaseModel):
            names |= _switches(inner[0], f"{prefix}{name}.")
        else:
            names.add(f"{prefix}{name}")
    return names


def test_every_override_but_one_has_its_switch_in_the_contract() -> None:
    switches = _switches(ConversationConfigClientOverrideConfigOutput)
    assert OVERRIDE_NAMES - switches == {"conversation.client_events"}


def test_events_and_formats_are_those_of_the_contract() -> None:
    from elevenlabs.types import AsrInputFormat, TtsOutputFormat, TurnEagerness

    def literals(union: Any) -> set[str]:
        return set(union.__args__[0].__args__)

    assert {*VITAL_EVENTS, *USEFUL_EVENTS} <= literals(ClientEvent)
    assert set(AUDIO_FORMATS) == literals(AsrInputFormat) == literals(TtsOutputFormat)
    assert set(agent_settings.EAGERNESSES) == literals(TurnEagerness)


def test_the_paths_lead_to_fields_of_the_contract() -> None:
    from elevenlabs.types import GetAgentResponseModel

    paths = [
        value
        for name, value in vars(agent_settings).items()
        if name.isupper() and isinstance(value, str)
    ]
    for path in paths:
        model: Any = GetAgentResponseModel
        for name in path.split("."):
            if not (isinstance(model, type) and issubclass(model, BaseModel)):
                break  # the contract says "anything"
            assert name in model.model_fields, path
            annotation = model.model_fields[name].annotation
            inner = [e for e in getattr(annotation, "__args__", ()) if e is not type(None)]
            model = inner[0] if inner else annotation
    assert len(paths) > 20


# --- who says that an AI answers ------------------------------------------------------------------

ALONE = replace(NEEDS, disclosed=False)
GREETING = "conversation_config.agent.first_message"


@pytest.mark.parametrize(
    "greeting",
    [
        "Hello! I am an AI. What would you like to know?",
        "Hi, I'm the museum's A.I. guide.",
        "Guten Tag, hier spricht eine KI.",
        "Guten Tag, Sie sprechen mit einer künstlichen Intelligenz.",
        "Bonjour, je suis une intelligence artificielle.",
        "Hola, soy una IA del museo.",
        "Buongiorno, sono un'intelligenza artificiale.",
        "Hallo, ik ben een kunstmatige intelligentie.",
        "Dzień dobry, jestem sztuczną inteligencją.",
        "Добрий день, я штучний інтелект.",
        "Hello, I am your virtual museum assistant.",
        "Hello, I am Robbie the robot.",
    ],
)
def test_a_first_message_that_says_it_is_believed(greeting: str) -> None:
    assert found(with_(GREETING, greeting), ALONE) == []


@pytest.mark.parametrize(
    "greeting",
    ["", None, "Welcome to the museum!", "Said the MAIN man.", "KIND regards", "IAN speaking.", 7],
)
def test_where_nobody_says_it_visits_are_not_as_they_should_be(greeting: object) -> None:
    agent = with_(GREETING, greeting)
    assert ("disclosure", "fail") in found(agent, ALONE)
    assert ("disclosure", "fail") not in found(agent), "the kiosks say it themselves"
