"""The agent's settings as REST shows them, and what of them is in force. No I/O.

A change counts for the conversations that begin after it: who may come in, which overrides are
allowed, the audio formats, how long a conversation may last, the first message. Everything else is
kept and shown, and this agent does nothing with it; what nobody set stands as on a new agent.
"""

import time
from collections.abc import Collection
from dataclasses import replace

from kiosk.agent.admission import ALL
from kiosk.agent.behaviour import AgentBehaviour
from kiosk.audio.pcm import FORMATS
from kiosk.convai import agent_settings as at
from kiosk.convai.fields import Json, JsonObject
from kiosk.convai.nested import merged, patch_of, value_at
from kiosk.convai.overrides import OVERRIDE_NAMES, WITHOUT_SWITCH
from kiosk.convai.server_tools import END_CALL

# Needs no permission: a client without sound could not talk at all.
TEXT_ONLY = "conversation.text_only"
_CHANGEABLE = ("name", "conversation_config", "platform_settings")
# What is sent to clients, unless the settings are changed: what the recorded agent of the live
# service sent, and what its recording was filtered of.
_CLIENT_EVENTS = (
    "conversation_initiation_metadata",
    "ping",
    "audio",
    "interruption",
    "user_transcript",
    "tentative_user_transcript",
    "agent_response",
    "agent_response_correction",
    "agent_response_complete",
    "agent_chat_response_part",
    "agent_tool_request",
    "agent_tool_response",
    "agent_tool_response_full_payload",
    "client_tool_call",
    "context_usage",
)
# Nobody can choose not to get these.
_ALWAYS_SENT = frozenset({"conversation_initiation_metadata", "queue_status", "error"})


# Far more than the contract has, and few enough for all that walks through them.
_MOST_LEVELS = 50


class ChangeError(ValueError):
    """A change that cannot be; `path` is where."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path


class Document:
    """One agent's settings."""

    def __init__(
        self,
        agent_id: str,
        greeting: str,
        language: str,
        behaviour: AgentBehaviour,
        *,
        public: bool,
        allowed_overrides: frozenset[str],
        presets: Collection[str] = (),
    ) -> None:
        allowed = OVERRIDE_NAMES if ALL in allowed_overrides else allowed_overrides
        self._always = (allowed & WITHOUT_SWITCH) | {TEXT_ONLY}
        greeting = greeting if behaviour.greeting is None else behaviour.greeting
        settings = _new_agent(agent_id, language)
        for name in OVERRIDE_NAMES - WITHOUT_SWITCH:
            on = name in allowed or name in self._always
            settings = merged(settings, patch_of(f"{at.OVERRIDES}.{name}", on))
        given: dict[str, Json] = {
            at.ENABLE_AUTH: not public,
            at.FIRST_MESSAGE: greeting,
            at.INPUT_FORMAT: behaviour.input_format,
            at.OUTPUT_FORMAT: behaviour.output_format,
            at.MAX_DURATION_S: round(behaviour.max_duration_s),
            at.LANGUAGE_PRESETS: {code: {"overrides": {}} for code in presets},
        }
        for path, value in given.items():
            settings = merged(settings, patch_of(path, value))
        self._first = self._settings = settings

    def as_json(self) -> dict[str, Json]:
        """The whole document."""
        return self._settings

    def change(self, patch: JsonObject) -> None:
        """Merge what a client sends; raises ChangeError, and then nothing has changed."""
        known = {name: patch[name] for name in _CHANGEABLE if name in patch}
        if _is_deep(known, _MOST_LEVELS):
            raise ChangeError("", f"Input should have at most {_MOST_LEVELS} levels")
        changed = merged(self._settings, known)
        _verify(changed)
        now = patch_of("metadata.updated_at_unix_secs", int(time.time()))
        self._settings = merged(changed, now)

    @property
    def public(self) -> bool:
        """Whether the agent's id alone opens it."""
        return value_at(self._settings, at.ENABLE_AUTH) is not True

    @property
    def allowed_overrides(self) -> frozenset[str]:
        """Dotted names."""
        path = at.OVERRIDES
        on = {n for n in OVERRIDE_NAMES if value_at(self._settings, f"{path}.{n}") is True}
        return frozenset(on) | self._always

    def sends(self, event: str) -> bool:
        """Whether clients get this kind of event. Where the settings list none, all are sent."""
        chosen = value_at(self._settings, at.CLIENT_EVENTS)
        return not isinstance(chosen, list) or event in _ALWAYS_SENT or event in chosen

    def behaviour(self, behaviour: AgentBehaviour) -> AgentBehaviour:
        """The agent's behaviour with what was changed since it started."""
        fields = {
            "input_format": at.INPUT_FORMAT,
            "output_format": at.OUTPUT_FORMAT,
            "max_duration_s": at.MAX_DURATION_S,
            "greeting": at.FIRST_MESSAGE,
        }
        # Only then: the document rounds.
        changed = {
            name: value_at(self._settings, path)
            for name, path in fields.items()
            if value_at(self._settings, path) != value_at(self._first, path)
        }
        return replace(behaviour, **changed)  # type: ignore[arg-type]  # _verify has seen to it


def _is_deep(value: Json, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deep(each, levels - 1) for each in inner)


def _verify(settings: JsonObject) -> None:
    for part in ("conversation_config", "platform_settings"):
        if not isinstance(settings.get(part), dict):
            raise ChangeError(part, "Input should be an object")
    for path in (at.INPUT_FORMAT, at.OUTPUT_FORMAT):
        if value_at(settings, path) not in list(FORMATS):
            raise ChangeError(path, f"Input should be one of {', '.join(FORMATS)}")
    limit_s = value_at(settings, at.MAX_DURATION_S)
    if type(limit_s) is not int or limit_s > at.LONGEST_S:
        raise ChangeError(at.MAX_DURATION_S, f"Input should be at most {at.LONGEST_S}")
    for path in ("name", at.FIRST_MESSAGE):
        if not isinstance(value_at(settings, path), str):
            raise ChangeError(path, "Input should be a valid string")
    switches = [at.ENABLE_AUTH]
    switches += [f"{at.OVERRIDES}.{name}" for name in sorted(OVERRIDE_NAMES - WITHOUT_SWITCH)]
    for path in switches:
        if not isinstance(value_at(settings, path), bool):
            raise ChangeError(path, "Input should be a valid boolean")


def _new_agent(agent_id: str, language: str) -> dict[str, Json]:
    now_s = int(time.time())
    end_call: Json = {
        "type": "system",
        "name": END_CALL,
        "description": "",
        "params": {"system_tool_type": END_CALL},
    }
    return {
        "agent_id": agent_id,
        "name": "Local agent",
        "tags": [],
        "metadata": {"created_at_unix_secs": now_s, "updated_at_unix_secs": now_s},
        "conversation_config": {
            "asr": {"quality": "high", "keywords": []},
            "turn": {
                "turn_timeout": 7.0,
                "silence_end_call_timeout": -1.0,
                "turn_eagerness": "normal",
            },
            "tts": {},
            "conversation": {"text_only": False, "client_events": list(_CLIENT_EVENTS)},
            "language_presets": {},
            "agent": {
                "language": language,
                "dynamic_variables": {"dynamic_variable_placeholders": {}},
                "prompt": {"prompt": "", "built_in_tools": {"end_call": end_call}},
            },
        },
        "platform_settings": {
            "auth": {"allowlist": []},
            "call_limits": {
                "agent_concurrency_limit": -1,
                "daily_limit": 100_000,
                "bursting_enabled": True,
            },
            "privacy": {
                "record_voice": True,
                "retention_days": -1,
                "zero_retention_mode": False,
            },
        },
    }
