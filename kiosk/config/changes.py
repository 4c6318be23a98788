"""Changes of the settings: those that a running kiosk takes, and those that need a restart. Pure
data and one merge.

What is not named here was built into devices, credentials or the voice when the kiosk started.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from kiosk.config.tables import Settings

# Whole tables or single keys: what is read at each visit, or at each entry of the journal.
LIVE = frozenset(
    {
        "kiosk.name",
        "kiosk.site",
        "agent.overrides",
        "agent.variables",
        "agent.custom_llm_extra_body",
        "agent.approved_mcp_tools",
        "agent.trial_calls",
        "visit.max_s",
        "visit.warning_s",
        "visit.idle_s",
        "visit.answer_s",
        "visit.connect_s",
        "visit.queue_s",
        "visit.reconnects",
        "visit.disclosure",
        "convai.compat.keep_alive",
        "convai.compat.keep_alive_s",
        "convai.compat.end_of_stream",
        "journal.level",
        "journal.alive_s",
    }
)


@dataclass(frozen=True, slots=True)
class Changes:
    """Old settings against new ones: `settings` are the old with what may change taken over, which
    `taken` names; `restart` names the rest."""

    settings: Settings
    taken: tuple[str, ...]
    restart: tuple[str, ...]


def changes(old: Settings, new: Settings) -> Changes:
    """What follows from reading the settings again."""
    differing = tuple(_differing(old, new))
    taken = tuple(key for key in differing if key in LIVE)
    restart = tuple(key for key in differing if key not in LIVE)
    return Changes(_merged(old, new, ""), taken, restart)


def _differing(old: BaseModel, new: BaseModel, prefix: str = "") -> Iterator[str]:
    for name in type(old).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        key = f"{prefix}{name}"
        if before == after:
            continue
        if key not in LIVE and isinstance(before, BaseModel):
            yield from _differing(before, after, f"{key}.")
        else:
            yield key


def _merged(old: Any, new: Any, prefix: str) -> Any:
    taken = {}
    for name in type(old).model_fields:
        key = f"{prefix}{name}"
        if key in LIVE:
            taken[name] = getattr(new, name)
        elif isinstance(getattr(old, name), BaseModel):
            taken[name] = _merged(getattr(old, name), getattr(new, name), f"{key}.")
    return old.model_copy(update=taken)
