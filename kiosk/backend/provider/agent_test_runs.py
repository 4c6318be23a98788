"""Runs of an agent's tests, as the provider tells of them (elevenlabs 2.78.0). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from kiosk.backend.provider.answers import MalformedError
from kiosk.convai.fields import Json
from kiosk.convai.nested import value_at


@dataclass(frozen=True, slots=True)
class AgentTestRun:
    """One test's. `passed` None: not yet, or, if it is over, not at all."""

    test_id: str
    is_over: bool
    passed: bool | None
    answer: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AgentTestRuns:
    """All that were begun together."""

    id: str
    runs: tuple[AgentTestRun, ...]


def read_runs(body: Mapping[str, Json]) -> AgentTestRuns:
    """Raises MalformedError."""
    runs = body.get("test_runs")
    named = body.get("id")
    if not isinstance(named, str) or not named or not isinstance(runs, list):
        raise MalformedError
    return AgentTestRuns(named, tuple(_read(run) for run in runs if isinstance(run, dict)))


def _read(run: Mapping[str, Json]) -> AgentTestRun:
    status = run.get("status")
    passed = {"passed": True, "failed": False}.get(status) if isinstance(status, str) else None
    reason = value_at(run, "condition_result.rationale.summary")
    return AgentTestRun(
        str(run.get("test_id")),
        status != "pending",
        passed,
        _answer(run.get("agent_responses")),
        reason if isinstance(reason, str) else "",
    )


def _answer(turns: Json) -> str:
    """The last that the agent said."""
    said = [
        turn["message"]
        for turn in (turns if isinstance(turns, list) else [])
        if isinstance(turn, dict)
        and turn.get("role") == "agent"
        and isinstance(turn.get("message"), str)
    ]
    return str(said[-1]) if said else ""
