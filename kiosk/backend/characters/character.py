"""Characters: who the agent is at a kiosk. No I/O, no clock.

A character is one TOML file: a voice, a prompt, first messages, dynamic variables. What it says
becomes overrides of one conversation; what it does not say stays as the agent has it.

Which language: the kiosk's, if the character has a first message in it; else the character's own.
It is sent only where the character says anything about languages, because a language has to be
allowed, and set up, on the agent. First messages in several languages need a `language` among
them, for the kiosk that speaks none of them.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from kiosk.backend.characters.templates import filled, gaps, variables
from kiosk.base.mistakes import in_words
from kiosk.base.names import SHORT_ID
from kiosk.base.toml_lines import line_of, parse_toml
from kiosk.convai.fields import Json
from kiosk.convai.nested import set_paths
from kiosk.convai.overrides import NO_SUCH_CONTROLS, ConversationOverrides, Share, Speed
from kiosk.errors import ConfigError

GAPS = ("kiosk", "site", "language", "time", "date", "part_of_day")
# ElevenLabs fills these in itself, from its own knowledge and from its store of secrets.
NOT_SENT = ("system__", "secret__")

# Stands for every language, where there is one first message.
_ANY = ""


def _template(text: str) -> str:
    if unknown := sorted(gaps(text) - set(GAPS)):
        known = ", ".join(f"{{{name}}}" for name in GAPS)
        raise ValueError(
            f"{{{unknown[0]}}} is nothing that can be filled in; known: {known}; "
            "a variable of the agent's has two braces"
        )
    return text


def _variable(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool):
        raise ValueError("must be a string, a number, true or false")  # noqa: TRY004  pydantic's
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be finite: JSON has no other numbers")
    return _template(value) if isinstance(value, str) else value


def _variable_name(name: str) -> str:
    if not re.fullmatch(r"\w+", name) or name.startswith(NOT_SENT):
        raise ValueError(
            "cannot be the name of a variable: letters, digits and underscores, and not beginning "
            f"with {' or '.join(NOT_SENT)}"
        )
    return name


Template: TypeAlias = Annotated[str, AfterValidator(_template)]
Language: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^[a-z]{2}(-[a-z]{2})?$",
        description='must be the code of a language, such as "de" or "pt-br"',
    ),
]
VariableName: TypeAlias = Annotated[str, AfterValidator(_variable_name)]
Variable: TypeAlias = Annotated[Any, AfterValidator(_variable)]


class _Table(BaseModel):
    """A TOML table: unknown keys are mistakes, and so is a string for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class _Voice(_Table):
    voice_id: str | None = Field(
        default=None,
        pattern=f"^{SHORT_ID.pattern}$",
        description="must be the id of a voice, as ElevenLabs shows it",
    )
    stability: Share | None = None
    similarity: Share | None = None
    speed: Speed | None = None


class _File(_Table):
    language: Language | None = None
    prompt: Template | None = None
    first_message: dict[str, Template] = {}
    voice: _Voice = _Voice()
    variables: dict[VariableName, Variable] = {}

    @field_validator("first_message", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {_ANY: value}
        if not isinstance(value, dict) or not value:
            raise ValueError('must be a string, or a table such as en = "Hello", de = "Hallo"')
        for name in value:
            if not re.fullmatch(r"[a-z]{2}(-[a-z]{2})?", name):
                raise ValueError(f"{name!r} is no language; write it as en, or pt-br")
        return value

    @field_validator("first_message")
    @classmethod
    def _somewhere_to_fall(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        spoken = set(value) - {_ANY}
        if spoken and info.data.get("language", _ANY) not in {_ANY, *spoken}:
            raise ValueError(
                f"the key language must be one of these ({', '.join(sorted(spoken))}): it is "
                "for kiosks that speak none of them"
            )
        return value


@dataclass(frozen=True, slots=True)
class Occasion:
    """Where and when a visit begins; `local` is the site's own time of day."""

    kiosk: str
    site: str
    language: str
    local: datetime

    def values(self, spoken: str | None = None) -> dict[str, str]:
        """What the gaps of a template are filled with; `spoken`: the language, if it is not the
        kiosk's."""
        return {
            "kiosk": self.kiosk,
            "site": self.site,
            "language": spoken or self.language,
            "time": f"{self.local:%H:%M}",
            "date": f"{self.local:%Y-%m-%d}",
            "part_of_day": _part_of_day(self.local.hour),
        }


@dataclass(frozen=True, slots=True)
class Character:
    """A character that was read and found good."""

    name: str
    _file: _File

    def overrides(self, occasion: Occasion) -> dict[str, Json]:
        """What goes into `conversation_config_override`; empty if it changes nothing."""
        file, voice = self._file, self._file.voice
        spoken = self._spoken(occasion)
        values = occasion.values(spoken)
        message = file.first_message.get(spoken or _ANY, file.first_message.get(_ANY))
        agent: dict[str, Any] = {}
        if message is not None:
            agent["first_message"] = filled(message, values)
        if spoken is not None:
            agent["language"] = spoken
        if file.prompt is not None:
            agent["prompt"] = {"prompt": filled(file.prompt, values)}
        tts = {
            "voice_id": voice.voice_id,
            "stability": voice.stability,
            "similarity_boost": voice.similarity,
            "speed": voice.speed,
        }
        tts = {name: value for name, value in tts.items() if value is not None}
        parts = {"agent": agent, "tts": tts}
        chosen = {name: part for name, part in parts.items() if part}
        return ConversationOverrides.model_validate(chosen).on_the_wire()

    def dynamic_variables(self, occasion: Occasion) -> dict[str, Json]:
        """What goes into `dynamic_variables`."""
        values = occasion.values(self._spoken(occasion))
        return {
            name: filled(content, values) if isinstance(content, str) else content
            for name, content in self._file.variables.items()
        }

    def override_names(self) -> frozenset[str]:
        """The overrides it sends, as "tts.speed": the same on every occasion."""
        return frozenset(set_paths(self.overrides(_ANY_OCCASION)))

    def variable_names(self) -> frozenset[str]:
        """The dynamic variables it sends."""
        return frozenset(self._file.variables)

    def wanted_variables(self) -> frozenset[str]:
        """The `{{variables}}` in its own texts, which somebody has to send."""
        file = self._file
        texts = [*file.first_message.values(), file.prompt or ""]
        return frozenset(name for text in texts for name in variables(text))

    def languages(self) -> frozenset[str]:
        """Every language it may ask the agent for."""
        own = set() if self._file.language is None else {self._file.language}
        return frozenset((set(self._file.first_message) - {_ANY}) | own)

    def _spoken(self, occasion: Occasion) -> str | None:
        """The language to ask for; None leaves it to the agent."""
        if occasion.language and occasion.language in self._file.first_message:
            return occasion.language
        return self._file.language


_ANY_OCCASION = Occasion("", "", "", datetime(2000, 1, 1))  # noqa: DTZ001  a local time


def read_character(name: str, text: str) -> Character:
    """`name` is for people: the file's; raises ConfigError with a line for each mistake."""
    values = parse_toml(name, text)
    try:
        file = _File.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, text, name)) from error
    return Character(name, file)


def _part_of_day(hour: int) -> str:
    if 5 <= hour < 12:
        return "morning"
    return "afternoon" if 12 <= hour < 18 else "evening"


def _explain(error: ValidationError, text: str, name: str) -> str:
    """One line for each mistake: which file and line, which key, what is wrong."""
    lines = []
    found = error.errors(include_url=False, include_input=False)
    for mistake in in_words(found, _File.model_json_schema(), "no such key"):
        keys = tuple(key for key in mistake.keys if key != _ANY)
        what = mistake.what
        if keys[:-1] == ("voice",):
            what = NO_SUCH_CONTROLS.get(keys[-1], what)
        line = line_of(text, list(keys))
        where = f"{name}, line {line}" if line else name
        lines.append(f"{where}: {'.'.join(keys)}: {what}" if keys else f"{where}: {what}")
    return "\n".join(lines)
