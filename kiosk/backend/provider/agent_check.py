"""Check of the provider's agent: is it set up as kiosks need it? Pure: no I/O, no clock.

What the settings leave out counts as the provider's default.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from kiosk.backend.characters.templates import variables
from kiosk.backend.provider.findings import AgentFinding, Needs
from kiosk.convai import agent_settings as at
from kiosk.convai.conversation import AUDIO_FORMATS, DEFAULT_AUDIO_FORMAT
from kiosk.convai.fields import JsonObject
from kiosk.convai.nested import patch_of, value_at
from kiosk.convai.overrides import WITHOUT_SWITCH
from kiosk.convai.server_tools import END_CALL

# Without these there is no conversation by voice that a visitor can take part in.
VITAL_EVENTS = ("audio", "interruption")
# And without these the kiosk shows, does or knows less. The last two may come unasked; listed,
# they come for certain.
USEFUL_EVENTS = (
    "user_transcript",
    "agent_response",
    "agent_response_correction",
    "agent_response_complete",  # when a turn was spoken
    "agent_chat_response_part",  # text while it is spoken: whole, it comes late
    "tentative_user_transcript",  # that the agent hears a visitor, before the turn is over
    "agent_tool_request",  # how long an answer may take
    "agent_tool_response",  # the one sign that the agent hangs up after what it is saying
    "client_tool_call",
    "conversation_initiation_metadata",
    "ping",
)

# ElevenLabs fills these in itself.
_NOT_SENT = ("system__", "secret__")
_TEXTS = (at.FIRST_MESSAGE, at.PROMPT, at.LAST_MESSAGE, at.SOFT_TIMEOUT_MESSAGE)
# How a first message says that a machine speaks, in the languages that kiosks have.
_SAYS_IT = re.compile(
    r"\b(?:AI|A\.I\.|KI|K\.I\.|IA|I\.A\.|SI|ШІ)(?!\w)"
    r"|(?i:artificial|künstliche[rn]? intelligenz|artificielle|artificiale|kunstmatige"
    r"|sztuczn\w+ inteligencj|штучн\w+ інтелект|chatbot|\brobot|робот"
    r"|(?:virtu\w+|digital\w*) (?:\w+ )?assist|assist\w+ (?:virtu|digital))"
)
# The service cuts without a word; the kiosk says goodbye, and needs this much longer.
_FAREWELL_S = 30
_LONGEST_TURN_TIMEOUT_S = 30.0

Check: TypeAlias = Callable[[JsonObject, Needs], Iterator[AgentFinding]]


def check(agent: JsonObject, needs: Needs) -> list[AgentFinding]:
    """What is not as kiosks need it, what breaks visits first."""
    found = [finding for each in _CHECKS for finding in each(agent, needs)]
    return sorted(found, key=lambda finding: finding.severity != "fail")


def _door(agent: JsonObject, _needs: Needs) -> Iterator[AgentFinding]:
    if value_at(agent, at.ENABLE_AUTH) is not True:
        yield AgentFinding(
            "auth-off",
            "fail",
            "Anybody who knows the agent's id can talk with it, at your cost.",
            "Switch authentication on, so that only signed URLs open it.",
            patch_of(at.ENABLE_AUTH, True),
        )
    if value_at(agent, at.ALLOWED_HOSTS) and value_at(agent, at.ORIGIN_REQUIRED) is True:
        yield AgentFinding(
            "origin-required",
            "fail",
            "The agent refuses connections without an Origin header, and kiosks send none.",
            "Stop requiring it: the signed URL is what lets a kiosk in.",
            patch_of(at.ORIGIN_REQUIRED, False),
        )


def _overrides(agent: JsonObject, needs: Needs) -> Iterator[AgentFinding]:
    for name in sorted(needs.overrides):
        path = f"{at.OVERRIDES}.{name}"
        if name in WITHOUT_SWITCH:
            yield AgentFinding(
                f"override-{_slug(name)}",
                "fail",
                f"The override {name} is sent, and no switch of the agent's allows it.",
                "Take it out of what kiosks send, and set it on the agent itself.",
            )
        elif value_at(agent, path) is not True:
            yield AgentFinding(
                f"override-{_slug(name)}",
                "fail",
                f"The override {name} is sent and not allowed, which ends every conversation.",
                "Allow it in the agent's security settings.",
                patch_of(path, True),
            )


def _variables(agent: JsonObject, needs: Needs) -> Iterator[AgentFinding]:
    texts = [text for path in _TEXTS if isinstance(text := value_at(agent, path), str)]
    wanted = {name for text in texts for name in variables(text)} | needs.wanted_variables
    placeholders = value_at(agent, at.PLACEHOLDERS)
    known = needs.variables | set(placeholders if isinstance(placeholders, dict) else ())
    for name in sorted(wanted - known):
        if not name.startswith(_NOT_SENT):
            yield AgentFinding(
                f"variable-{_slug(name)}",
                "fail",
                f"A text wants the variable {{{{{name}}}}}, and not every conversation brings it.",
                "Send it in the [variables] of every character, or give it a placeholder on the "
                "agent.",
            )


def _languages(agent: JsonObject, needs: Needs) -> Iterator[AgentFinding]:
    presets = value_at(agent, at.LANGUAGE_PRESETS)
    known = list(presets) if isinstance(presets, dict) else []
    own = value_at(agent, at.LANGUAGE) or "en"
    for language in sorted(needs.languages.difference(known)):
        if language == own:
            continue
        yield AgentFinding(
            f"language-{language}",
            "warn",
            f"Visitors may choose {language}, which is not among the agent's languages.",
            "Add it to the agent's languages, and choose a voice and a model that can speak it.",
        )


def _disclosure(agent: JsonObject, needs: Needs) -> Iterator[AgentFinding]:
    if needs.disclosed:
        return
    greeting = value_at(agent, at.FIRST_MESSAGE)
    if not (isinstance(greeting, str) and _SAYS_IT.search(greeting)):
        yield AgentFinding(
            "disclosure",
            "fail",
            "Nobody tells visitors that an AI answers them: the kiosks do not, nor does the "
            "agent's first message.",
            'Let its first message say "I am an AI", or set visit.disclosure = true on the kiosks.',
        )


def _events(agent: JsonObject, _needs: Needs) -> Iterator[AgentFinding]:
    listed = value_at(agent, at.CLIENT_EVENTS)
    events = listed if isinstance(listed, list) else []
    missing = [name for name in (*VITAL_EVENTS, *USEFUL_EVENTS) if name not in events]
    if missing:
        yield AgentFinding(
            "client-events",
            "fail" if set(missing) & set(VITAL_EVENTS) else "warn",
            f"The agent does not send every event a kiosk relies on: {', '.join(missing)}.",
            "Add them to the agent's client events.",
            patch_of(at.CLIENT_EVENTS, [*events, *missing]),
        )


def _audio(agent: JsonObject, _needs: Needs) -> Iterator[AgentFinding]:
    for id_, path in (("input-format", at.INPUT_FORMAT), ("output-format", at.OUTPUT_FORMAT)):
        name = value_at(agent, path) or DEFAULT_AUDIO_FORMAT
        known = name in AUDIO_FORMATS
        if name == DEFAULT_AUDIO_FORMAT:
            continue
        what = f"The agent's {id_.replace('-', ' ')} is {json.dumps(name)}, "
        yield AgentFinding(
            id_,
            "warn" if known else "fail",
            what + ("which costs quality or bandwidth." if known else "which no kiosk knows."),
            f"Choose {DEFAULT_AUDIO_FORMAT}, which is what recognition works at.",
            patch_of(path, DEFAULT_AUDIO_FORMAT),
        )
    if value_at(agent, at.TEXT_ONLY) is True:
        yield AgentFinding(
            "text-only",
            "fail",
            "The agent is set to text only, and a kiosk has nothing but its voice.",
            "Switch text only off.",
            patch_of(at.TEXT_ONLY, False),
        )


def _duration(agent: JsonObject, needs: Needs) -> Iterator[AgentFinding]:
    limit_s = _number(agent, at.MAX_DURATION_S, 600)
    wanted_s = max(at.SHORTEST_S, math.ceil(needs.visit_max_s) + _FAREWELL_S)
    patch = patch_of(at.MAX_DURATION_S, wanted_s) if wanted_s <= at.LONGEST_S else None
    if limit_s <= needs.visit_max_s:
        yield AgentFinding(
            "duration-short",
            "fail",
            f"The agent ends conversations after {limit_s:g} s, before the kiosks' own limit of "
            f"{needs.visit_max_s:g} s: visitors are cut off without a warning.",
            f"Let conversations last {wanted_s} s, or make the kiosks' visit.max_s less.",
            patch,
        )
    elif limit_s > max(needs.longest_s, wanted_s):
        yield AgentFinding(
            "duration-long",
            "warn",
            f"A conversation that nobody ends costs {limit_s:g} s, more than the "
            f"{needs.longest_s} s that are reckoned with.",
            f"Let conversations last no longer than {wanted_s} s.",
            patch,
        )


def _turns(agent: JsonObject, needs: Needs) -> Iterator[AgentFinding]:
    silence_s = _number(agent, at.SILENCE_TIMEOUT_S, -1)
    if 0 <= silence_s < needs.idle_s:
        yield AgentFinding(
            "silence-timeout",
            "fail",
            f"The agent hangs up on whoever is silent for {silence_s:g} s; kiosks ask first, after "
            f"{needs.idle_s:g} s.",
            "Switch its silence timeout off: kiosks end idle visits themselves.",
            patch_of(at.SILENCE_TIMEOUT_S, -1),
        )
    timeout_s = _number(agent, at.TURN_TIMEOUT_S, 7)
    if 0 <= timeout_s < needs.idle_s:
        yield AgentFinding(
            "turn-timeout",
            "warn",
            f"The agent speaks up after {timeout_s:g} s of silence, so that a kiosk left alone "
            f"never counts the {needs.idle_s:g} s after which it ends the visit.",
            f"Let it wait {_LONGEST_TURN_TIMEOUT_S:g} s.",
            patch_of(at.TURN_TIMEOUT_S, _LONGEST_TURN_TIMEOUT_S)
            if needs.idle_s <= _LONGEST_TURN_TIMEOUT_S
            else None,
        )
    eagerness = value_at(agent, at.EAGERNESS)
    if eagerness is not None and eagerness not in at.EAGERNESSES:
        yield AgentFinding(
            "turn-eagerness",
            "warn",
            f"The agent's turn eagerness is {json.dumps(eagerness)}, which is unknown here.",
            f"Choose one of {', '.join(at.EAGERNESSES)}.",
            patch_of(at.EAGERNESS, "normal"),
        )


def _limits(agent: JsonObject, needs: Needs) -> Iterator[AgentFinding]:
    at_once = _number(agent, at.CONCURRENCY_LIMIT, -1)
    if 0 <= at_once < needs.kiosks:
        yield AgentFinding(
            "concurrency-limit",
            "warn",
            f"The agent talks with {at_once:g} at once, and there are {needs.kiosks} kiosks.",
            "Raise its concurrency limit, or accept that visitors queue.",
        )
    if 0 <= _number(agent, at.DAILY_LIMIT, -1) < needs.kiosks:
        yield AgentFinding(
            "daily-limit",
            "fail",
            "The agent's daily limit does not allow every kiosk one conversation.",
            "Raise its daily limit to what you are willing to pay for.",
        )
    if value_at(agent, at.BURSTING) is not False:
        yield AgentFinding(
            "bursting",
            "warn",
            "Conversations over the plan's limit are let in at double the price.",
            "Switch bursting off: kiosks tell visitors that all are busy.",
            patch_of(at.BURSTING, False),
        )


def _privacy(agent: JsonObject, needs: Needs) -> Iterator[AgentFinding]:
    if value_at(agent, at.ZERO_RETENTION) is True:
        return
    if value_at(agent, at.RECORD_VOICE) is not False:
        yield AgentFinding(
            "record-voice",
            "warn",
            "The provider keeps recordings of visitors' voices.",
            "Switch recording off, unless visitors are told and have agreed.",
            patch_of(at.RECORD_VOICE, False),
        )
    if not 0 <= _number(agent, at.RETENTION_DAYS, -1) <= needs.retention_days:
        yield AgentFinding(
            "retention",
            "warn",
            f"The provider keeps conversations for longer than {needs.retention_days} days.",
            f"Have them deleted after {needs.retention_days} days.",
            patch_of(at.RETENTION_DAYS, needs.retention_days),
        )


def _tools(agent: JsonObject, _needs: Needs) -> Iterator[AgentFinding]:
    system, listed = value_at(agent, at.SYSTEM_TOOLS), value_at(agent, at.TOOLS)
    tools = listed if isinstance(listed, list) else []
    names = [tool.get("name") for tool in tools if isinstance(tool, dict)]
    if not (isinstance(system, dict) and system.get(END_CALL)) and END_CALL not in names:
        yield AgentFinding(
            "end-call",
            "warn",
            "The agent cannot hang up: only the visitor, or the clock, ends a conversation.",
            "Give it the system tool end_call, and say in its prompt when to use it.",
        )


_CHECKS: tuple[Check, ...] = (
    _door,
    _overrides,
    _variables,
    _languages,
    _disclosure,
    _events,
    _audio,
    _duration,
    _turns,
    _limits,
    _privacy,
    _tools,
)


def _number(agent: JsonObject, path: str, default: float) -> float:
    value = value_at(agent, path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return value


def _slug(name: str) -> str:
    return name.replace(".", "-").replace("_", "-").lower()
