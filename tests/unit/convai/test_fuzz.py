"""Hostile frames by the thousand: each is read as what it is, and leaves nothing behind."""

import gc
import tracemalloc
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeAlias, get_args

import pytest

from kiosk.convai.client_messages import ClientMessage
from kiosk.convai.client_parsing import parse_client
from kiosk.convai.conversation import (
    CALLS_REMEMBERED,
    Answer,
    ClientConversation,
    ToolStarted,
)
from kiosk.convai.frames import Ignored, Malformed, Unknown, serialize
from kiosk.convai.server_messages import (
    AgentResponse,
    AgentResponseComplete,
    AgentResponseCorrection,
    AgentResponseMetadata,
    AgentResponsePart,
    ClientError,
    ContextUsage,
    ErrorReport,
    GuardrailTriggered,
    Interruption,
    Metadata,
    Ping,
    UserTranscript,
    VadScore,
)
from kiosk.convai.server_parsing import ServerMessage, parse_server
from kiosk.convai.server_tools import (
    AgentToolRequest,
    AgentToolResponse,
    McpConnectionStatus,
    ToolCall,
)
from tests.unit.convai.mutator import Made, frames

# Of some classes it is certain, whatever came before, what the core makes of them.
PASSED_ON = (
    AgentResponse,
    AgentResponseComplete,
    AgentResponseCorrection,
    GuardrailTriggered,
    Malformed,
    UserTranscript,
)
MEANING_NOTHING = (
    AgentResponseMetadata,
    ClientError,
    ContextUsage,
    ErrorReport,
    Ignored,
    McpConnectionStatus,
    Unknown,
    VadScore,
)
CLASSES = {Malformed, Unknown, Ignored, *get_args(ServerMessage), *get_args(ClientMessage)}
# Room for the last of everything, not for a byte a frame.
FLAT_BYTES = 100_000


# The tool calls that the core still remembers, by id and name.
Calls: TypeAlias = "deque[tuple[str, str]]"


def check(made: Made, number: int, core: ClientConversation, calls: Calls) -> None:
    where = f"frame {number}, {made.how}: {made.frame[:300]!r}"
    message = (parse_server if made.from_server else parse_client)(made.frame)
    assert type(message) is made.expected, where
    if not made.from_server:
        return
    heard = core.receive(made.frame, 0.0)
    if isinstance(message, AgentResponsePart):
        assert heard == ([] if message.reasoning else [message]), where
    elif isinstance(message, PASSED_ON):
        assert heard == [message], where
    elif isinstance(message, MEANING_NOTHING):
        assert heard == [], where
    elif isinstance(message, Ping):
        assert [type(event) for event in heard] == [Answer], where
    elif isinstance(message, Interruption):
        assert heard in ([], [Interruption(message.event_id)]) or message.event_id is None, where
    elif isinstance(message, ToolCall):
        assert heard in ([message], []), where
        said_before = heard == []
        assert said_before == ((message.tool_call_id, message.tool_name) in calls), where
        if message.tool_call_id and not said_before:
            calls.append((message.tool_call_id, message.tool_name))
    elif isinstance(message, AgentToolResponse):
        assert len(heard) == 1, where
    elif isinstance(message, AgentToolRequest):
        assert [type(event) for event in heard] == [ToolStarted], where


@contextmanager
def memory_stays_flat() -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    try:
        yield
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        assert held < FLAT_BYTES
    finally:
        tracemalloc.stop()


def each_frame_is_what_it_was_made(seed: int, count: int) -> None:
    core = ClientConversation(approved_mcp_tools=["x"])
    core.receive(serialize(Metadata("conv_1")), 0.0)
    seen: Counter[tuple[bool, type[object]]] = Counter()
    calls: Calls = deque(maxlen=CALLS_REMEMBERED)
    numbered = enumerate(frames(seed, count))

    def check_each(some: Iterable[tuple[int, Made]]) -> None:
        for number, made in some:
            check(made, number, core, calls)
            seen[made.from_server, made.expected] += 1

    check_each(islice(numbered, count // 10))  # what is set up once is set up
    with memory_stays_flat():
        check_each(numbered)
    assert core.malformed_frames == seen[True, Malformed]
    assert core.unknown_frames == seen[True, Unknown]
    # Nothing was left out: neither a frame nor a class.
    assert seen.total() == count
    assert {kind for _, kind in seen} == CLASSES


def test_ten_thousand_frames_are_each_what_they_were_made() -> None:
    each_frame_is_what_it_was_made(seed=1, count=10_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_thousand_frames_are_each_what_they_were_made() -> None:
    each_frame_is_what_it_was_made(seed=2, count=200_000)


def test_the_same_seed_makes_the_same_frames() -> None:
    assert list(frames(7, 300)) == list(frames(7, 300))
    assert list(frames(7, 300)) != list(frames(8, 300))
