"""Admission of a conversation: the client's overrides and dynamic variables against the agent's.
Pure."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from kiosk.convai.client_messages import Initiation
from kiosk.convai.fields import Json, flag, table, text, whole_number
from kiosk.convai.nested import set_paths
from kiosk.convai.overrides import OVERRIDE_NAMES, ConversationOverrides

INVALID_MESSAGE = "Invalid message received"
# Stands for every override.
ALL = "all"

_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
# Our own limits are not the client's mistake: the service ignores fields it does not know.
_NOT_OURS = {"extra_forbidden", "value_error"}


class NotAdmittedError(Exception):
    """Close with `code` and the message; `error_type` is that of the error event before it."""

    def __init__(self, code: int, reason: str, error_type: str) -> None:
        super().__init__(reason)
        self.code = code
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the client asked for and got."""

    first_message: str
    text_only: bool = False
    max_duration_s: float | None = None
    last_message: str | None = None


def admit(
    initiation: Initiation,
    first_message: str,
    allowed: Collection[str],
    system_variables: Mapping[str, str],
) -> Wishes:
    """Apply the overrides in `allowed` (dotted names, or ALL); raises RefusedError."""
    overrides = initiation.overrides
    try:
        ConversationOverrides.model_validate(overrides)
    except ValidationError as error:
        if any(mistake["type"] not in _NOT_OURS for mistake in error.errors()):
            raise NotAdmittedError(1008, INVALID_MESSAGE, "value_error") from None
    agent, conversation = table(overrides, "agent"), table(overrides, "conversation")
    for path in set_paths(overrides):
        free = ALL in allowed or path in allowed or path == "conversation.text_only"
        if path in OVERRIDE_NAMES and not free:
            field = path.rsplit(".", 1)[-1]
            reason = f"Override for field '{field}' is not allowed by config."
            raise NotAdmittedError(1008, reason, "override_error")
    template = text(agent, "first_message")
    return Wishes(
        first_message=_filled(
            first_message if template is None else template,
            {**system_variables, **initiation.dynamic_variables},
        ),
        # The official Python client asks at the wrong level, and means it.
        text_only=flag(conversation, "text_only", default=False)
        or flag(overrides, "text_only", default=False),
        max_duration_s=whole_number(conversation, "max_duration_seconds"),
        last_message=text(agent, "max_conversation_duration_message"),
    )


def _filled(template: str, variables: Mapping[str, Json]) -> str:
    missing = sorted(set(_VARIABLE.findall(template)) - set(variables))
    if missing:
        names = ", ".join(repr(name) for name in missing)
        reason = f"Missing required dynamic variables in first message: {{{names}}}"
        raise NotAdmittedError(1008, reason, "missing_dynamic_variable")
    return _VARIABLE.sub(lambda match: str(variables[match[1]]), template)
