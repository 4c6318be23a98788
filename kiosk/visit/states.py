"""The visit as a table. Pure: `step` is a lookup; no asyncio, no clock, no I/O.

One task, the host, owns the state; everybody else posts events. An event that has no cell in a
state changes nothing there. What follows from a state alone (lamp, deadline) or from an event alone
(earcon) is in `feedback`, not here.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias


class State(StrEnum):
    """Where a visit stands; the README's table is generated from here."""

    IDLE = "idle"
    OPENING = "opening"
    QUEUED = "queued"  # connected, but nobody is free yet
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    CLOSING = "closing"


class Event(StrEnum):
    """What can happen to it."""

    PRESS = "press"
    PRESS_UNFIT = "press_unfit"  # a press while a visit cannot be held
    PRESS_MASHED = "press_mashed"  # one of many, each of which would begin a visit and end it
    PRESS_WARNED = "press_warned"  # a press while the visit's end is near and may be put off
    PRESS_LEFT = "press_left"  # a press on a visit that its visitor has left: the next one's
    PRESS_LANGUAGE = "press_language"  # a press of another language's key
    RELEASE = "release"
    CONNECTED = "connected"
    QUEUED = "queued"
    ADMITTED = "admitted"
    SPEECH_STARTED = "speech_started"
    SPEECH_ENDED = "speech_ended"
    AGENT_STARTED = "agent_started"
    TURN_SKIPPED = "turn_skipped"  # the agent chose not to answer
    INTERRUPTED = "interrupted"
    DRAINED = "drained"
    LOST = "lost"  # the connection, while another may be tried
    ENDED = "ended"  # an ending with nothing left to try
    HANG_UP = "hang_up"  # by an operator
    TIME_UP = "time_up"
    ABANDONED = "abandoned"
    NO_ANSWER = "no_answer"
    CLOSED = "closed"


class Action(StrEnum):
    """What the host does on the way."""

    START_CAPTURE = "start_capture"
    OPEN = "open"
    SAY_CAUSE = "say_cause"
    SAY_TOO_SOON = "say_too_soon"
    EXTEND = "extend"
    CHANGE_LANGUAGE = "change_language"
    SAY_QUEUED = "say_queued"
    CUT_TURN = "cut_turn"
    OPEN_TALK = "open_talk"
    CLOSE_TALK = "close_talk"
    CLOSE = "close"
    REMEMBER_PRESS = "remember_press"
    FORGET_PRESS = "forget_press"


Cell: TypeAlias = tuple[State, tuple[Action, ...]]
Transitions: TypeAlias = Mapping[State, Mapping[Event, Cell]]

_CLOSE: Cell = (State.CLOSING, (Action.CLOSE,))
_LIVE_ENDINGS: dict[Event, Cell] = {
    Event.ENDED: _CLOSE,
    Event.HANG_UP: _CLOSE,
    Event.TIME_UP: _CLOSE,
    Event.LOST: (State.OPENING, ()),  # what the agent has said already is still heard
}
_PRESSES: dict[Event, Cell] = {
    Event.PRESS: _CLOSE,
    Event.PRESS_LANGUAGE: (State.OPENING, (Action.CHANGE_LANGUAGE,)),
}
_TALKING: dict[Event, Cell] = {
    **_LIVE_ENDINGS,
    **_PRESSES,
    Event.QUEUED: (State.QUEUED, (Action.SAY_QUEUED,)),
}
_CLOSING: dict[Event, Cell] = {
    Event.PRESS: (State.CLOSING, (Action.REMEMBER_PRESS,)),
    Event.CLOSED: (State.IDLE, ()),
}

# The button starts a visit and, pressed again, ends it.
TOGGLE: Transitions = MappingProxyType(
    {
        State.IDLE: {
            Event.PRESS: (State.OPENING, (Action.START_CAPTURE, Action.OPEN)),
            Event.PRESS_UNFIT: (State.IDLE, (Action.SAY_CAUSE,)),
            Event.PRESS_MASHED: (State.IDLE, (Action.SAY_TOO_SOON,)),
        },
        State.OPENING: {
            **_LIVE_ENDINGS,
            **_PRESSES,
            Event.PRESS_WARNED: (State.OPENING, (Action.EXTEND,)),
            Event.CONNECTED: (State.LISTENING, ()),
        },
        State.QUEUED: {
            **_LIVE_ENDINGS,
            **_PRESSES,
            Event.PRESS_WARNED: (State.QUEUED, (Action.EXTEND,)),
            Event.ADMITTED: (State.LISTENING, ()),
        },
        State.LISTENING: {
            **_TALKING,
            Event.PRESS_WARNED: (State.LISTENING, (Action.EXTEND,)),
            Event.PRESS_LEFT: (State.CLOSING, (Action.REMEMBER_PRESS, Action.CLOSE)),
            Event.SPEECH_ENDED: (State.THINKING, ()),
            Event.AGENT_STARTED: (State.SPEAKING, ()),
            Event.ABANDONED: _CLOSE,
        },
        State.THINKING: {
            **_TALKING,
            Event.PRESS_WARNED: (State.THINKING, (Action.EXTEND,)),
            Event.TURN_SKIPPED: (State.LISTENING, ()),
            Event.SPEECH_STARTED: (State.LISTENING, ()),
            Event.AGENT_STARTED: (State.SPEAKING, ()),
            Event.NO_ANSWER: _CLOSE,
        },
        State.SPEAKING: {
            **_TALKING,
            Event.PRESS_WARNED: (State.SPEAKING, (Action.EXTEND,)),
            Event.INTERRUPTED: (State.LISTENING, ()),
            Event.DRAINED: (State.LISTENING, ()),
        },
        State.CLOSING: _CLOSING,
    }
)


def _with(table: Transitions, changes: Mapping[State, Mapping[Event, Cell]]) -> Transitions:
    return MappingProxyType(
        {state: {**cells, **changes.get(state, {})} for state, cells in table.items()}
    )


# The same, but a press while the agent speaks cuts its turn and gives the visitor the word.
TOGGLE_CUTTING: Transitions = _with(
    TOGGLE, {State.SPEAKING: {Event.PRESS: (State.LISTENING, (Action.CUT_TURN,))}}
)

# The same for a visitor who was seen to hold the button while speaking: a press is the beginning of
# a turn, as on an intercom, and ends no visit. The microphone stays open.
TOGGLE_HELD: Transitions = _with(
    TOGGLE_CUTTING,
    {
        State.OPENING: {Event.PRESS: (State.OPENING, ())},
        State.QUEUED: {Event.PRESS: (State.QUEUED, ())},
        State.LISTENING: {Event.PRESS: (State.LISTENING, ())},
        State.THINKING: {Event.PRESS: (State.LISTENING, ())},
    },
)

_CHANGE_AND_TALK: Cell = (State.OPENING, (Action.CHANGE_LANGUAGE, Action.OPEN_TALK))
_TALK: Cell = (State.LISTENING, (Action.OPEN_TALK,))
_TALK_ON: Cell = (State.LISTENING, (Action.EXTEND, Action.OPEN_TALK))
_LISTEN_ON: dict[Event, Cell] = {
    Event.PRESS: _TALK,
    Event.RELEASE: (State.THINKING, (Action.CLOSE_TALK,)),
}

# Speak while the button is held, as on an intercom. A visit ends by the agent or by the clock.
HOLD: Transitions = _with(
    TOGGLE,
    {
        State.IDLE: {
            Event.PRESS: (
                State.OPENING,
                (Action.START_CAPTURE, Action.OPEN_TALK, Action.OPEN),
            )
        },
        **{
            state: {
                Event.PRESS: (state, (Action.OPEN_TALK,)),
                Event.PRESS_WARNED: (state, (Action.EXTEND, Action.OPEN_TALK)),
                Event.PRESS_LANGUAGE: _CHANGE_AND_TALK,
                Event.RELEASE: (state, (Action.CLOSE_TALK,)),
            }
            for state in (State.OPENING, State.QUEUED)
        },
        State.LISTENING: {
            **_LISTEN_ON,
            Event.PRESS_WARNED: _TALK_ON,
            Event.PRESS_LANGUAGE: _CHANGE_AND_TALK,
            # Between words of a held button the turn is not over.
            Event.SPEECH_ENDED: (State.LISTENING, ()),
        },
        # A tap without a word needs no answer.
        State.THINKING: {
            Event.PRESS: _TALK,
            Event.PRESS_WARNED: _TALK_ON,
            Event.PRESS_LANGUAGE: _CHANGE_AND_TALK,
            Event.NO_ANSWER: (State.LISTENING, ()),
        },
        State.SPEAKING: {
            Event.PRESS: (State.LISTENING, (Action.CUT_TURN, Action.OPEN_TALK)),
            Event.PRESS_WARNED: (
                State.LISTENING,
                (Action.EXTEND, Action.CUT_TURN, Action.OPEN_TALK),
            ),
            Event.PRESS_LANGUAGE: _CHANGE_AND_TALK,
            Event.RELEASE: (State.SPEAKING, (Action.CLOSE_TALK,)),
        },
        # Whoever has let go before the next visit could begin does not hold the button any more.
        State.CLOSING: {Event.RELEASE: (State.CLOSING, (Action.FORGET_PRESS,))},
    },
)


# By what the button does.
TABLES: Mapping[str, Transitions] = MappingProxyType(
    {
        "toggle": TOGGLE,
        "toggle_cutting": TOGGLE_CUTTING,
        "toggle_held": TOGGLE_HELD,
        "hold": HOLD,
    }
)


def table_for(mode: str, while_speaking: str) -> Transitions:
    """The table of `button.mode` and `button.while_speaking`."""
    if mode == "hold":
        return HOLD
    return TOGGLE_CUTTING if while_speaking == "cut_turn" else TOGGLE


def step(table: Transitions, state: State, event: Event) -> Cell:
    """The next state and what to do on the way; no cell means nothing happens."""
    return table[state].get(event, (state, ()))
