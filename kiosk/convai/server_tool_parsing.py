"""Frames about tools to messages. Pure: no I/O; never raises. Part of `server_parsing`."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from kiosk.convai import fields
from kiosk.convai.fields import JsonObject
from kiosk.convai.server_tools import (
    AgentToolRequest,
    AgentToolResponse,
    McpConnectionStatus,
    McpIntegration,
    McpToolCall,
    ToolCall,
)

ServerToolMessage: TypeAlias = (
    ToolCall | AgentToolRequest | AgentToolResponse | McpToolCall | McpConnectionStatus
)


def _tool_call(body: JsonObject) -> ToolCall | None:
    event = fields.table(body, "client_tool_call") or body
    name, call_id = fields.text(event, "tool_name"), fields.text(event, "tool_call_id")
    if name is None or call_id is None:
        return None
    return ToolCall(
        tool_name=name,
        tool_call_id=call_id,
        parameters=fields.table(event, "parameters"),
        expects_response=fields.flag(event, "expects_response", default=True),
        event_id=fields.whole_number(event, "event_id"),
    )


def _request(body: JsonObject) -> AgentToolRequest | None:
    event = fields.table(body, "agent_tool_request") or body
    name = fields.text(event, "tool_name")
    if name is None:
        return None
    return AgentToolRequest(
        tool_name=name,
        tool_call_id=fields.text(event, "tool_call_id") or "",
        tool_type=fields.text(event, "tool_type") or "system",
        event_id=fields.whole_number(event, "event_id"),
        response_timeout_s=fields.whole_number(event, "response_timeout_secs"),
        expects_response=fields.flag(event, "expects_response", default=True),
        disable_interruptions=fields.flag(event, "disable_interruptions", default=False),
        execution_mode=fields.text(event, "execution_mode") or "immediate",
    )


def _response(body: JsonObject) -> AgentToolResponse | None:
    return _any_response(fields.table(body, "agent_tool_response") or body, None)


def _full_response(body: JsonObject) -> AgentToolResponse | None:
    event = fields.table(body, "agent_tool_response_full_payload") or body
    return _any_response(event, fields.text(event, "full_tool_result") or "")


def _any_response(event: JsonObject, full_result: str | None) -> AgentToolResponse | None:
    name = fields.text(event, "tool_name")
    if name is None:
        return None
    return AgentToolResponse(
        tool_name=name,
        tool_call_id=fields.text(event, "tool_call_id") or "",
        tool_type=fields.text(event, "tool_type") or "system",
        is_error=fields.flag(event, "is_error", default=False),
        is_called=fields.flag(event, "is_called", default=True),
        event_id=fields.whole_number(event, "event_id"),
        full_result=full_result,
        truncated=fields.flag(event, "truncated", default=False) and full_result is not None,
        is_blocked=fields.flag(event, "is_blocked", default=False),
        status=fields.text(event, "status"),
    )


def _mcp_call(body: JsonObject) -> McpToolCall | None:
    event = fields.table(body, "mcp_tool_call") or body
    call_id, state = fields.text(event, "tool_call_id"), fields.text(event, "state")
    if call_id is None or state is None:
        return None
    result = event.get("result")
    return McpToolCall(
        tool_name=fields.text(event, "tool_name") or "",
        tool_call_id=call_id,
        state=state,
        service_id=fields.text(event, "service_id") or "",
        parameters=fields.table(event, "parameters"),
        timestamp=fields.text(event, "timestamp") or "",
        tool_description=fields.text(event, "tool_description"),
        approval_timeout_s=fields.whole_number(event, "approval_timeout_secs"),
        result=result if isinstance(result, list) else None,
        error_message=fields.text(event, "error_message"),
    )


def _mcp_status(body: JsonObject) -> McpConnectionStatus:
    event = fields.table(body, "mcp_connection_status") or body
    return McpConnectionStatus(
        tuple(
            McpIntegration(
                integration_id=fields.text(each, "integration_id") or "",
                kind=fields.text(each, "integration_type") or "mcp_server",
                is_connected=fields.flag(each, "is_connected", default=False),
                tool_count=fields.whole_number(each, "tool_count") or 0,
            )
            for each in fields.tables(event, "integrations")
        )
    )


TOOL_READERS: Mapping[str, Callable[[JsonObject], ServerToolMessage | None]] = {
    "client_tool_call": _tool_call,
    "agent_tool_request": _request,
    "agent_tool_response": _response,
    "agent_tool_response_full_payload": _full_response,
    "mcp_tool_call": _mcp_call,
    "mcp_connection_status": _mcp_status,
}
