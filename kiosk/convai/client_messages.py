"""Messages of a client, as frozen dataclasses with their writers. Pure: no I/O.

The published contract (AsyncAPI "agents conversation") has these and `enclave_setup_config`, which
only on-premises installations know. Fields that are None or empty are left out.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from kiosk.convai.fields import Json
from kiosk.convai.frames import without_nones

# What `source_info.version` may hold.
VERSION_LIMIT = 50


@dataclass(frozen=True, slots=True)
class Initiation:
    """The first frame a client sends. The smallest object is the most portable: every override
    that is not enabled on the agent ends the conversation with 1008.

    `overrides` has the shape of `kiosk.convai.overrides.ConversationOverrides`.
    """

    overrides: Mapping[str, Json] = field(default_factory=dict)
    dynamic_variables: Mapping[str, Json] = field(default_factory=dict)
    custom_llm_extra_body: Mapping[str, Json] = field(default_factory=dict)
    user_id: str | None = None
    source: str | None = None
    version: str | None = None
    branch_id: str | None = None
    environment: str | None = None
    starting_workflow_node_id: str | None = None
    procedure_ids: Sequence[str] = ()
    start_procedure_ids: Sequence[str] = ()
    tool_mock_config: Mapping[str, Json] = field(default_factory=dict)

    def body(self) -> dict[str, Json]:
        source_info = None
        if self.source is not None:
            version = (self.version or "")[:VERSION_LIMIT]
            source_info = {"source": self.source, "version": version}
        return {
            "type": "conversation_initiation_client_data",
            **without_nones(
                conversation_config_override=dict(self.overrides) or None,
                dynamic_variables=dict(self.dynamic_variables) or None,
                custom_llm_extra_body=dict(self.custom_llm_extra_body) or None,
                user_id=self.user_id,
                source_info=source_info,
                branch_id=self.branch_id,
                environment=self.environment,
                starting_workflow_node_id=self.starting_workflow_node_id,
                procedure_ids=list(self.procedure_ids) or None,
                start_procedure_ids=list(self.start_procedure_ids) or None,
                tool_mock_config=dict(self.tool_mock_config) or None,
            ),
        }


@dataclass(frozen=True, slots=True)
class UserAudio:
    """Microphone sound in the negotiated input format. On the wire it has no `type`."""

    audio: bytes

    def body(self) -> dict[str, Json]:
        return {"user_audio_chunk": base64.b64encode(self.audio).decode("ascii")}


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping; the id goes back with the JSON type it came with."""

    event_id: int | str

    def body(self) -> dict[str, Json]:
        return {"type": "pong", "event_id": self.event_id}


class ToolErrorType(StrEnum):
    """Why a tool call failed; `user_rejected` marks the tool as not called."""

    USER_REJECTED = "user_rejected"
    EXTERNAL_SERVER = "external_server"
    EXTERNAL_CLIENT = "external_client"
    CUSTOMER_AUTH = "customer_auth"
    CLIENT_TIMEOUT = "client_timeout"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer to a tool call; `result` is always a string (an object is closed with 1008)."""

    tool_call_id: str
    result: str
    is_error: bool = False
    error_type: ToolErrorType | None = None

    def body(self) -> dict[str, Json]:
        return {
            "type": "client_tool_result",
            **without_nones(
                tool_call_id=self.tool_call_id,
                result=self.result,
                is_error=self.is_error,
                error_type=self.error_type,
            ),
        }


@dataclass(frozen=True, slots=True)
class ContextualUpdate:
    """Something the agent should know; it does not answer and is not interrupted.

    A newer update with the same `context_id` takes the older one's place.
    """

    text: str
    context_id: str | None = None

    def body(self) -> dict[str, Json]:
        return {
            "type": "contextual_update",
            **without_nones(text=self.text, context_id=self.context_id),
        }


@dataclass(frozen=True, slots=True)
class UserMessage:
    """Typed input; the agent answers it like a spoken turn."""

    text: str
    id: str | None = None
    user_identifier: str | None = None
    source_medium: str | None = None  # audio, dtmf, text, image or file
    rich_content_id: str | None = None

    def body(self) -> dict[str, Json]:
        return {
            "type": "user_message",
            **without_nones(
                text=self.text,
                id=self.id,
                user_identifier=self.user_identifier,
                source_medium=self.source_medium,
                rich_content_id=self.rich_content_id,
            ),
        }


@dataclass(frozen=True, slots=True)
class UserActivity:
    """The visitor is busy: resets the server's turn timeout."""

    def body(self) -> dict[str, Json]:
        return {"type": "user_activity"}


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the visitor thought of a response: "like", "dislike", or None to take it back."""

    event_id: int
    score: str | None

    def body(self) -> dict[str, Json]:
        return {"type": "feedback", "event_id": self.event_id, "score": self.score}


@dataclass(frozen=True, slots=True)
class McpToolApprovalResult:
    """Whether a tool of an MCP server may run; once for each call."""

    tool_call_id: str
    is_approved: bool

    def body(self) -> dict[str, Json]:
        return {
            "type": "mcp_tool_approval_result",
            "tool_call_id": self.tool_call_id,
            "is_approved": self.is_approved,
        }


@dataclass(frozen=True, slots=True)
class MultimodalMessage:
    """Text, uploaded files (at most five), or both, as one turn."""

    text: str | None = None
    file_ids: Sequence[str] = ()

    def body(self) -> dict[str, Json]:
        text = None if self.text is None else UserMessage(self.text).body()
        files = [{"type": "file_input", "file_id": file_id} for file_id in self.file_ids]
        return {"type": "multimodal_message", **without_nones(text=text, files=files or None)}


ClientMessage: TypeAlias = (
    Initiation
    | UserAudio
    | Pong
    | ToolResult
    | ContextualUpdate
    | UserMessage
    | UserActivity
    | Feedback
    | McpToolApprovalResult
    | MultimodalMessage
)
