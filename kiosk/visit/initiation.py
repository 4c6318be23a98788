"""Initiation of a conversation: what a lease brings, laid over what is configured.

What the agent or the service would end the conversation for is left out: the visit takes place.
"""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeGuard

from pydantic import JsonValue, ValidationError

from kiosk.causes import fault
from kiosk.convai.client_messages import Initiation
from kiosk.convai.fields import Json
from kiosk.convai.nested import merged
from kiosk.convai.overrides import ConversationOverrides
from kiosk.link.credentials import Opening

log = logging.getLogger(__name__)

_MOST_VARIABLES = 50
# A voice kiosk needs the voice.
_NEVER = ("conversation", "text_only")


def initiation_of(
    configured: Initiation,
    opening: Opening,
    of_visit: Mapping[str, Json] = MappingProxyType({}),
    language: str | None = None,
) -> Initiation:
    """The initiation of one conversation: the backend's word counts, key by key, and above it the
    variables `of_visit`. `language` is what the visitor chose; a lease that was asked for in it may
    say better."""
    overrides, wrong = _overrides(opening.overrides)
    variables = {
        name: value for name, value in opening.dynamic_variables.items() if _is_variable(value)
    }
    wrong += [name for name in opening.dynamic_variables if name not in variables]
    if wrong:
        names = ", ".join(re.sub(r"[^A-Za-z0-9_.]", "?", name)[:64] for name in wrong[:8])
        log.warning(
            "the backend's lease brings what cannot be used, and is left out: %s",
            names,
            extra=fault("lease_unusable"),
        )
    if language is not None:
        chosen: dict[str, Json] = {"agent": {"language": language}}
        asked = opening.language == language
        overrides = merged(chosen, overrides) if asked else merged(overrides, chosen)
    if not overrides and not variables and not of_visit:
        return configured
    return replace(
        configured,
        overrides=merged(configured.overrides, overrides),
        dynamic_variables={**configured.dynamic_variables, **variables, **of_visit},
    )


def without_first_message(initiation: Initiation) -> Initiation:
    """The same, but the agent waits for the visitor: so the published contract has an empty one."""
    silent: dict[str, Json] = {"agent": {"first_message": ""}}
    return replace(initiation, overrides=merged(initiation.overrides, silent))


def _overrides(brought: Mapping[str, JsonValue]) -> tuple[dict[str, Any], list[str]]:
    """Those that can be sent, and the names of the others."""
    wrong: list[tuple[str, ...]] = []
    left = brought
    if _at(left, _NEVER) not in (None, False):
        wrong.append(_NEVER)
        left = _without(left, _NEVER)
    try:
        checked = ConversationOverrides.model_validate(left)
    except ValidationError as error:
        for mistake in error.errors(include_url=False, include_input=False, include_context=False):
            path = _keys(mistake["loc"])
            if path not in wrong:
                wrong.append(path)
                left = _without(left, path)
        try:
            checked = ConversationOverrides.model_validate(left)
        except ValidationError:  # the mistakes hid others
            wrong, checked = [(name,) for name in brought], ConversationOverrides()
    return checked.on_the_wire(), [".".join(path) for path in wrong]


def _keys(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """The way to what is wrong; a list is wrong as a whole."""
    keys: list[str] = []
    for step in location:
        if not isinstance(step, str):
            break
        keys.append(step)
    return tuple(keys)


def _at(table: object, path: Sequence[str]) -> object:
    """What stands there, None if there is nothing."""
    for name in path:
        table = table.get(name) if isinstance(table, Mapping) else None
    return table


def _without(table: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any]:
    """A copy in which nothing stands there. Of the rest nothing is copied: it may be any depth."""
    name, *rest = path
    inner = table.get(name)
    if not rest:
        return {key: value for key, value in table.items() if key != name}
    return {**table, name: _without(inner, rest)} if isinstance(inner, Mapping) else table


def are_variables(given: object) -> TypeGuard[dict[str, Json]]:
    """Whether these can be the dynamic variables of a visit."""
    if not isinstance(given, dict) or len(given) > _MOST_VARIABLES:
        return False
    named = all(isinstance(name, str) and name.isidentifier() for name in given)
    return named and all(_is_variable(value) for value in given.values())


def _is_variable(value: JsonValue) -> bool:
    """What the service takes for a dynamic variable."""
    if isinstance(value, list):
        return all(not isinstance(each, list) and _is_variable(each) for each in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int)
