"""Archive of the conversations, as REST returns it. No I/O but the clocks.

The newest are kept, in memory; a process that ends takes them with it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from kiosk.base.clock import loop_now_s
from kiosk.convai.fields import Json

_KEPT = 1000


@dataclass(slots=True)
class _Turn:
    role: str
    message: str
    at_s: float
    interrupted: bool = False


@dataclass(slots=True)
class _Conversation:
    started_unix_s: int
    began_s: float
    ended_s: float | None = None
    status: str = "in-progress"
    termination_reason: str = ""
    error: tuple[int, str] | None = None
    turns: list[_Turn] = field(default_factory=list)


class Archive:
    """The conversations of one agent; `follow` is a sink for their timelines."""

    def __init__(self, agent_id: str) -> None:
        self._agent_id = agent_id
        self._held: dict[str, _Conversation] = {}

    def begin(self, conversation_id: str) -> None:
        """A client was let in."""
        self._held[conversation_id] = _Conversation(int(time.time()), loop_now_s())
        while len(self._held) > _KEPT:
            del self._held[next(iter(self._held))]

    def follow(self, event: Mapping[str, object]) -> None:
        """One event of a timeline; of a conversation that was forgotten, nothing is kept."""
        held = self._held.get(str(event["conversation_id"]))
        if held is None:
            return
        at_s = loop_now_s() - held.began_s
        match event:
            case {"event": "agent_started", "text": str(text)}:
                held.turns.append(_Turn("agent", text, at_s))
            case {"event": "heard" | "read", "text": str(text)}:
                held.turns.append(_Turn("user", text, at_s))
            case {"event": "interrupted"}:
                for turn in held.turns[::-1]:
                    if turn.role == "agent":
                        turn.interrupted = True
                        break

    def end(self, conversation_id: str, code: int | None, reason: str, *, by_agent: bool) -> None:
        """The connection is over; `code` and `reason` are of its close."""
        held = self._held.get(conversation_id)
        if held is None:
            return
        held.ended_s = loop_now_s()
        # Whoever goes without a word ends the conversation too; only the agent can fail.
        failed = by_agent and code != 1000
        held.status = "failed" if failed else "done"
        who = "Agent" if by_agent else "Client"
        held.termination_reason = f"{who} ended the conversation: {code} {reason}".rstrip()
        if failed and code is not None:
            held.error = (code, reason)

    def forget(self, conversation_id: str) -> bool:
        """False if there is no such conversation."""
        return self._held.pop(conversation_id, None) is not None

    def page(self, since_unix_s: float, after: str | None, size: int) -> dict[str, Json]:
        """The list of those that began after then, `size` at a time, from behind `after`."""
        ids = [i for i, held in self._held.items() if held.started_unix_s > since_unix_s]
        begin = ids.index(after) + 1 if after in ids else 0
        wanted, left = ids[begin : begin + size], ids[begin + size :]
        lines: list[Json] = [self._line(each) for each in wanted]
        return {
            "conversations": lines,
            "has_more": bool(left),
            "next_cursor": wanted[-1] if left else None,
        }

    def _line(self, conversation_id: str) -> dict[str, Json]:
        held = self._held[conversation_id]
        until_s = loop_now_s() if held.ended_s is None else held.ended_s
        return {
            "agent_id": self._agent_id,
            "conversation_id": conversation_id,
            "start_time_unix_secs": held.started_unix_s,
            "call_duration_secs": round(until_s - held.began_s),
            "cost": 0,
            "message_count": len(held.turns),
            "status": held.status,
            "call_successful": "unknown",
        }

    def as_json(self, conversation_id: str) -> dict[str, Json] | None:
        """The whole account; None if there is no such conversation."""
        held = self._held.get(conversation_id)
        if held is None:
            return None
        until_s = loop_now_s() if held.ended_s is None else held.ended_s
        error: Json = None
        if held.error is not None:
            error = {"code": held.error[0], "reason": held.error[1]}
        return {
            "agent_id": self._agent_id,
            "conversation_id": conversation_id,
            "status": held.status,
            "has_audio": False,
            "has_user_audio": False,
            "has_response_audio": False,
            "has_auxiliary_audio": False,
            "metadata": {
                "start_time_unix_secs": held.started_unix_s,
                "call_duration_secs": round(until_s - held.began_s),
                "cost": 0,  # it costs nobody anything
                "termination_reason": held.termination_reason,
                "error": error,
            },
            "transcript": [
                {
                    "role": turn.role,
                    "message": turn.message,
                    "time_in_call_secs": int(turn.at_s),
                    "interrupted": turn.interrupted,
                }
                for turn in held.turns
            ],
        }
