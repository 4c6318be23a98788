"""Overrides: what a client may change of the agent for one conversation. Pure: no I/O.

The shape, and the ranges the published contract states, of `conversation_config_override`. Every
field must also be switched on in the agent's security settings; one that is not ends the
conversation with 1008. Audio formats are the agent's own and cannot be changed from here.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Speed = Annotated[float, Field(ge=0.7, le=1.2)]

# What guides copy from text-to-speech requests, and why it is refused.
NO_SUCH_CONTROLS = {
    "style": "does not exist for conversations (it belongs to text-to-speech requests); remove it",
    "use_speaker_boost": (
        "does not exist for conversations (it belongs to text-to-speech requests); remove it"
    ),
}


class Part(BaseModel):
    """A table of overrides: unknown keys are mistakes, and what is not set is not sent."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class KnowledgeBaseItem(Part):
    """A document the agent may use."""

    type: Literal["file", "url", "text", "folder"]
    name: str
    id: str
    usage_mode: Literal["auto", "prompt"] = "auto"


class PromptOverride(Part):
    """What the language model is told."""

    prompt: str | None = None
    llm: str | None = None
    reasoning_effort: str | None = None
    tool_ids: list[str] | None = None
    tool_ids_strict: bool | None = None
    native_mcp_server_ids: list[str] | None = Field(default=None, max_length=10)
    knowledge_base: list[KnowledgeBaseItem] | None = None


class AgentOverride(Part):
    """What the agent says and in which language. An empty `first_message`: the visitor begins."""

    first_message: str | None = None
    language: str | None = Field(
        default=None,
        pattern=r"^[a-z]{2}(-[a-z]{2})?$",
        description='must be the code of a language, such as "de" or "pt-br"',
    )
    max_conversation_duration_message: str | None = None
    prompt: PromptOverride | None = None


class SupportedVoice(Part):
    """One more voice the agent may change to."""

    label: str
    voice_id: str
    description: str | None = None
    language: str | None = None
    model_family: Literal["turbo", "flash", "multilingual", "v3_conversational"] | None = None
    optimize_streaming_latency: Literal["0", "1", "2", "3", "4"] | None = None
    stability: Share | None = None
    speed: Speed | None = None
    similarity_boost: Share | None = None


class PronunciationDictionary(Part):
    """Where a pronunciation dictionary is."""

    pronunciation_dictionary_id: str
    version_id: str


class TtsOverride(Part):
    """The agent's voice."""

    model_id: str | None = None
    voice_id: str | None = None
    stability: Share | None = None
    speed: Speed | None = None
    similarity_boost: Share | None = None
    clone_strength: float | None = None
    supported_voices: list[SupportedVoice] | None = None
    pronunciation_dictionary_locators: list[PronunciationDictionary] | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_such_controls(cls, values: Any) -> Any:
        for name, reason in NO_SUCH_CONTROLS.items():
            if isinstance(values, dict) and name in values:
                raise ValueError(f"{name} {reason}")
        return values


class AsrOverride(Part):
    """What the agent should hear better."""

    keywords: list[str] | None = None


class SoftTimeout(Part):
    """What the agent says while it thinks for long."""

    message: str | None = None
    additional_soft_timeout_messages: list[str] | None = None


class TurnOverride(Part):
    """How turns are taken."""

    soft_timeout_config: SoftTimeout | None = None
    noisy_environment_message: str | None = None


class ConversationOverride(Part):
    """The conversation itself."""

    text_only: bool | None = None
    max_duration_seconds: int | None = Field(default=None, ge=60, le=7200)
    client_events: list[str] | None = Field(default=None, min_length=1)


class ConversationOverrides(Part):
    """All of `conversation_config_override`."""

    agent: AgentOverride | None = None
    tts: TtsOverride | None = None
    asr: AsrOverride | None = None
    turn: TurnOverride | None = None
    conversation: ConversationOverride | None = None

    def on_the_wire(self) -> dict[str, Any]:
        """Only what was set, as the wire wants it."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def _names(part: type[Part], prefix: str = "") -> Iterator[str]:
    for name, field in part.model_fields.items():
        inner = [each for each in get_args(field.annotation) if isinstance(each, type)]
        parts = [each for each in inner if issubclass(each, Part)]
        if parts:
            yield from _names(parts[0], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


# Every override there is, as "tts.speed".
OVERRIDE_NAMES = frozenset(_names(ConversationOverrides))

# The service has a switch for every override but these.
WITHOUT_SWITCH = frozenset({"conversation.client_events"})
