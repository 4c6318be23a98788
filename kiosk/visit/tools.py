"""Tools the agent may call on the kiosk: each runs with a deadline, and its result is a string."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from kiosk.convai.client_messages import ToolErrorType, ToolResult
from kiosk.convai.fields import Json
from kiosk.convai.server_tools import ToolCall
from kiosk.errors import ToolError

# What a tool answers is JSON or text; raising ToolError tells the agent why it could not.
Tool: TypeAlias = Callable[[Mapping[str, Json]], Awaitable[Json]]

# An agent that calls faster than this is answered at once that the kiosk is busy.
_AT_ONCE = 4


class Tools:
    """The tools of one kiosk, by name. Each may take `timeout_s`, but those for which `limits_s`
    has another time."""

    def __init__(
        self,
        tools: Mapping[str, Tool],
        timeout_s: float,
        limits_s: Mapping[str, float] | None = None,
    ) -> None:
        self._tools = dict(tools)
        self._timeout_s = timeout_s
        self._limits_s = dict(limits_s or {})
        self._running = 0

    async def run(self, call: ToolCall) -> ToolResult:
        """Run one call; what goes wrong is a result that says so, and only a bug is raised."""
        tool = self._tools.get(call.tool_name)
        if tool is None:
            return _failed(call, "This kiosk has no such tool.", ToolErrorType.EXTERNAL_CLIENT)
        if self._running >= _AT_ONCE:
            return _failed(call, "The kiosk is busy.", ToolErrorType.EXTERNAL_CLIENT)
        self._running += 1
        limit_s = self._limits_s.get(call.tool_name, self._timeout_s)
        try:
            async with asyncio.timeout(limit_s) as deadline:
                return ToolResult(call.tool_call_id, _text(await tool(call.parameters)))
        except TimeoutError:
            if not deadline.expired():
                raise  # the tool's own, and a bug like any other error
            text = f"The tool took longer than {limit_s:g} s."
            return _failed(call, text, ToolErrorType.CLIENT_TIMEOUT)
        except ToolError as error:
            return _failed(call, str(error), ToolErrorType.EXTERNAL_CLIENT)
        finally:
            self._running -= 1


def _failed(call: ToolCall, text: str, why: ToolErrorType) -> ToolResult:
    return ToolResult(call.tool_call_id, text, is_error=True, error_type=why)


def _text(result: Json) -> str:
    """The wire takes strings only."""
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
