"""Messages of a server about tools, as frozen dataclasses with their writers. Pure: no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kiosk.convai.fields import Json
from kiosk.convai.frames import event

END_CALL = "end_call"
SKIP_TURN = "skip_turn"
LANGUAGE_DETECTION = "language_detection"
# The statuses of a tool that did not do what it is for (published contract; the fourth: success).
_DID_NOT_RUN = frozenset({"error", "blocked", "skipped"})


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Run a tool of the kiosk's; `expects_response` missing on the wire means true."""

    tool_name: str
    tool_call_id: str
    parameters: Mapping[str, Json] = field(default_factory=dict)
    expects_response: bool = True
    event_id: int | None = None

    def body(self) -> dict[str, Json]:
        return event(
            "client_tool_call",
            "client_tool_call",
            tool_name=self.tool_name,
            tool_call_id=self.tool_call_id,
            parameters=dict(self.parameters),
            expects_response=self.expects_response,
            event_id=self.event_id,
        )


@dataclass(frozen=True, slots=True)
class AgentToolRequest:
    """A tool on the server's side starts. `tool_type`: client, webhook, mcp, system or one of the
    service's newer kinds. `response_timeout_s`: how long the agent waits for its result."""

    tool_name: str
    tool_call_id: str = ""
    tool_type: str = "system"
    event_id: int | None = None
    response_timeout_s: int | None = None
    expects_response: bool = True
    disable_interruptions: bool = False
    execution_mode: str = "immediate"

    def body(self) -> dict[str, Json]:
        return event(
            "agent_tool_request",
            "agent_tool_request",
            tool_name=self.tool_name,
            tool_call_id=self.tool_call_id,
            tool_type=self.tool_type,
            event_id=self.event_id,
            expects_response=self.expects_response,
            disable_interruptions=self.disable_interruptions,
            response_timeout_secs=self.response_timeout_s,
            execution_mode=self.execution_mode,
        )


@dataclass(frozen=True, slots=True)
class AgentToolResponse:
    """A tool on the server's side ran. `end_call`, `skip_turn`, `language_detection` and
    `transfer_to_number` are seen only here. With `full_result` it is the variant that carries one.
    `status`: success, error, blocked or skipped; None where the server does not send it.
    """

    tool_name: str
    tool_call_id: str = ""
    tool_type: str = "system"
    is_error: bool = False
    is_called: bool = True
    event_id: int | None = None
    full_result: str | None = None
    truncated: bool = False
    is_blocked: bool = False
    status: str | None = None

    @property
    def ran(self) -> bool:
        """Whether the tool was called and did what it is for."""
        denied = self.is_error or self.is_blocked or self.status in _DID_NOT_RUN
        return self.is_called and not denied

    def body(self) -> dict[str, Json]:
        full = self.full_result is not None
        name = "agent_tool_response_full_payload" if full else "agent_tool_response"
        return event(
            name,
            name,
            tool_name=self.tool_name,
            tool_call_id=self.tool_call_id,
            tool_type=self.tool_type,
            is_error=self.is_error,
            is_blocked=self.is_blocked or None,
            is_called=self.is_called,
            status=self.status,
            event_id=self.event_id,
            full_tool_result=self.full_result,
            truncated=self.truncated if full else None,
        )


@dataclass(frozen=True, slots=True)
class McpToolCall:
    """A tool of an MCP server. `state`: loading, awaiting_approval, success or failure."""

    tool_name: str
    tool_call_id: str
    state: str
    service_id: str = ""
    parameters: Mapping[str, Json] = field(default_factory=dict)
    timestamp: str = ""
    tool_description: str | None = None
    approval_timeout_s: int | None = None
    result: Sequence[Json] | None = None
    error_message: str | None = None

    def body(self) -> dict[str, Json]:
        return event(
            "mcp_tool_call",
            "mcp_tool_call",
            service_id=self.service_id,
            tool_call_id=self.tool_call_id,
            tool_name=self.tool_name,
            tool_description=self.tool_description,
            parameters=dict(self.parameters),
            timestamp=self.timestamp,
            state=self.state,
            approval_timeout_secs=self.approval_timeout_s,
            result=None if self.result is None else list(self.result),
            error_message=self.error_message,
        )


@dataclass(frozen=True, slots=True)
class McpIntegration:
    """One MCP server of the agent's. `kind`: mcp_server or mcp_integration."""

    integration_id: str
    kind: str = "mcp_server"
    is_connected: bool = False
    tool_count: int = 0


@dataclass(frozen=True, slots=True)
class McpConnectionStatus:
    """Which MCP servers the agent reaches."""

    integrations: Sequence[McpIntegration] = ()

    def body(self) -> dict[str, Json]:
        integrations: list[Json] = [
            {
                "integration_id": each.integration_id,
                "integration_type": each.kind,
                "is_connected": each.is_connected,
                "tool_count": each.tool_count,
            }
            for each in self.integrations
        ]
        return event("mcp_connection_status", "mcp_connection_status", integrations=integrations)
