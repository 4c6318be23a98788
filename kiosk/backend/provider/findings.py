"""Findings about an agent: what kiosks need of it, what was found, and what would change. Pure: no
I/O."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from kiosk.convai import nested
from kiosk.convai.fields import Json, JsonObject
from kiosk.convai.nested import leaves, value_at

Severity: TypeAlias = Literal["fail", "warn"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What kiosks send, and how they behave.

    `overrides`: the names of all that are sent, as "tts.speed". `variables`: what every
    conversation brings. `wanted_variables`: what the overriding texts want themselves.
    `languages`: those that visitors may be answered in. `disclosed`: somebody else than the agent
    says that an AI answers, the kiosk or a sign. `visit_max_s` and `idle_s` are the kiosks' own;
    `longest_s` is what a conversation may last before it costs more than is reckoned with.
    """

    overrides: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()
    wanted_variables: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    disclosed: bool = True
    visit_max_s: float = 570.0
    idle_s: float = 20.0
    longest_s: int = 900
    kiosks: int = 1
    retention_days: int = 30


@dataclass(frozen=True, slots=True)
class AgentFinding:
    """One thing that is not as it should be: what, what to do about it and, where no human has to
    decide, the patch that does it. `id` does not change between versions.

    `fail`: visits do not work, or not as they should. `warn`: they do, and it costs something.
    """

    id: str
    severity: Severity
    what: str
    fix: str
    patch: dict[str, Json] | None = field(default=None, hash=False)


def merged(findings: Iterable[AgentFinding]) -> dict[str, Json]:
    """The one patch that does all that can be done without a human; empty if nothing can."""
    patch: dict[str, Json] = {}
    for finding in findings:
        patch = nested.merged(patch, finding.patch or {})
    return patch


def difference(agent: JsonObject, patch: JsonObject) -> list[str]:
    """What a patch changes, as "path: old -> new"; nothing for what is so already."""
    changes = ((path, value_at(agent, path), new) for path, new in leaves(patch))
    return [
        f"{path}: {json.dumps(old)} -> {json.dumps(new)}"
        for path, old, new in changes
        if json.dumps(old) != json.dumps(new)
    ]
