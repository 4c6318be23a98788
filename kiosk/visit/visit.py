"""The visit under way, and what a kiosk keeps between visits. Pure: time is an argument.

Beside the state itself these are all that the visit's core remembers.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from kiosk import moments
from kiosk.base.backoff import backoff_s
from kiosk.endings import Ending, Kind
from kiosk.visit.effects import Light
from kiosk.visit.feedback import DEADLINES, Deadline
from kiosk.visit.fitness import Condition
from kiosk.visit.inputs import CardUse, OwnSound
from kiosk.visit.plan import Plan
from kiosk.visit.states import TOGGLE_HELD, Event, State

ONE_MOMENT_S = 4.0
# A press this soon after the one that did something is a nervous second press.
NERVOUS_S = 1.0
# What the kiosk still says, and the conversation's closing, are waited for so long.
FAREWELL_LIMIT_S = 60.0
# An agent that never stops: what it was heard out for, at the most.
HEAR_OUT_LIMIT_S = 300.0
FIRST_RETRY_S = 1.0
LAST_RETRY_S = 4.0
HOLD_S = 10.0

# So long after the connection whoever waits is told that somebody listens; an agent that greets, or
# has a queue, has begun by then.
READY_S = 0.2
# Who speaks for so long in all, the gate's hangover included, is a visitor; a noise in the hall is
# shorter.
SPOKE_S = 1.5
# After an interruption and so long without a voice nobody has meant it.
COUGH_S = 2.0
# Who speaks for so long has said something, however long the agent needs to show that it heard it.
MEANT_S = 1.7
# When nobody has said anything for so long, a press is that of another visitor.
LEFT_S = 5.0
# A press in the warning gives so much more.
EXTRA_S = 60.0
# ... and another one this soon after it is the same hand.
_EXTENDED_S = 4.0
# Keys of languages that are pressed within so long of each other are tried: ...
_TRIES_KEYS_S = 5.0
# ... then so much calm is waited for; and more changes than these are a game.
SETTLE_S = 1.5
_MOST_CHANGES = 6
# Who is heard for so long while holding the button speaks as on an intercom.
HELD_TALK_S = 0.5
# Who ends visits sooner than this, time and again, plays with the button: ...
_SHORT_S = 5.0
_MOST_SHORT = 2
# ... then a visit begins no sooner than this after the last, until one was held.
_CALM_S = 10.0

LOST_CARDS: dict[CardUse, Kind] = {
    CardUse.MICROPHONE: Kind.MICROPHONE_LOST,
    CardUse.SPEAKER: Kind.SPEAKER_LOST,
}
# The endings that events mean which carry none.
ENDINGS: dict[Event, Kind] = {
    Event.PRESS: Kind.HUNG_UP,
    Event.PRESS_LEFT: Kind.ABANDONED,
    Event.HANG_UP: Kind.ENDED_BY_OPERATOR,
    Event.TIME_UP: Kind.TIME_UP,
    Event.ABANDONED: Kind.ABANDONED,
    Event.NO_ANSWER: Kind.NO_ANSWER,
}
# What the next visit fails for too, unless somebody does something.
_LASTING = frozenset({
    Kind.UNREACHABLE, Kind.NO_METADATA, Kind.QUOTA, Kind.OVERRIDE_REFUSED, Kind.VARIABLE_MISSING,
    Kind.AGENT_MISSING, Kind.AGENT_MISCONFIGURED, Kind.REFUSED, Kind.PROTOCOL,
})  # fmt: skip
# One may fail by chance. Whatever it was may be over without a press that shows it.
_MOST_FAILED = 2
_FAILING_S = 900.0
# Where it may be tried without a visitor: so long after the failure, and after each trial in vain.
_TRIALS_S = (60.0, 300.0, 900.0)

_NEVER = float("inf")
_OF_CONVERSATION = frozenset({
    Event.CONNECTED, Event.QUEUED, Event.ADMITTED, Event.AGENT_STARTED, Event.DRAINED,
    Event.INTERRUPTED, Event.TURN_SKIPPED,
})  # fmt: skip
_LEAVES_CONVERSATION = frozenset({Event.LOST, Event.PRESS_LANGUAGE})
_SILENT_AFTER = frozenset({
    Event.DRAINED, Event.INTERRUPTED, Event.ADMITTED, Event.PRESS, Event.PRESS_LANGUAGE,
})  # fmt: skip
# Who waits for these may be waiting for the agent.
_AGENTS_TURN = (Deadline.IDLE, Deadline.ANSWER)


class Timer(StrEnum):
    """What may be waited for, beside the deadlines of states."""

    ONE_MOMENT = "one_moment"
    WARNING = "warning"
    TIME_UP = "time_up"
    REOPEN = "reopen"
    UNDUCK = "unduck"
    GO_ON = "go_on"
    READY = "ready"
    FAREWELL = "farewell"


class Leaving(StrEnum):
    """The steps in which a visit closes."""

    HEARING_OUT = "hearing_out"  # the agent has the last word but one
    LAST_WORD = "last_word"


@dataclass(slots=True)
class Visit:
    """Made at the press, dropped when the kiosk is idle again. `due`: when each timer rings."""

    plan: Plan
    language: str | None = None  # None: the kiosk's own
    due: dict[Timer | Deadline, float] = field(default_factory=dict)
    began_at_s: float = 0.0
    connected: bool = False  # and once was enough
    answered: bool = False  # the agent was heard
    ends_at_s: float = _NEVER
    latest_s: float = _NEVER  # to which the end may be put off
    extended_at_s: float = -_NEVER
    leased: bool = False  # and that is the lease's word
    quiet_since_s: float = _NEVER  # in LISTENING
    working_until_s: float = -_NEVER  # the agent, on a tool
    agent_sounds: bool = False
    speaks_since_s: float | None = None  # the visitor
    spoke_s: float = 0.0  # at the last time
    turn_heard: bool = False  # by the agent, before the gate closed
    interrupted: bool = False  # and nobody has said anything yet
    goes_on: bool = False  # what is heard is the rest of a turn that a noise had cut
    conversing: bool = False  # a conversation was asked for and is not over
    conversed: bool = False  # one was asked for before
    changes: bool = False  # another follows, in another language
    changed: int = 0  # how often, the last time at ...
    changed_at_s: float = -_NEVER
    reconnects: int = 0
    talk_allowed: bool = True
    speaking: bool = False
    asked: bool = False  # whether the visitor is still there
    asked_at_s: float = -_NEVER
    warned: bool = False
    unanswered_turn: bool = False  # it ended when the agent could not answer
    skip_came_first: bool = False  # the agent skipped the turn before the gate closed
    ending: Ending | None = None
    leaving: Leaving | None = None
    press_waits: bool = False  # it came while closing, and begins the next visit
    owes_later: bool = False  # who answers for the AI: the disclosure was spoken over

    def begin(self, now_s: float) -> None:
        """The button was pressed: the plan's limit holds, and what the service itself allows."""
        self.began_at_s = now_s
        self._end_at(now_s + self.plan.max_s, now_s)
        self.latest_s = self.ends_at_s + self.plan.warning_s

    def limit(self, max_s: float, now_s: float) -> None:
        """Let it go on for `max_s` from now at the most, as a lease says; of several the first to
        end counts."""
        if self.ending is None:
            latest_s = now_s + max_s
            self.latest_s = min(self.latest_s, latest_s) if self.leased else latest_s
            self.leased = True
            if self.latest_s < self.ends_at_s:
                self._end_at(self.latest_s, now_s)

    @property
    def may_extend(self) -> bool:
        """Whether its end may be put off by a press, now that it is warned of."""
        return self.warned and self.ending is None and self.will_extend

    @property
    def will_extend(self) -> bool:
        """Whether a press would put its end off once it is warned of."""
        return self.latest_s > self.ends_at_s

    def extend(self, now_s: float) -> None:
        """Put its end off, and warn of that one too."""
        self.warned, self.extended_at_s = False, now_s
        self._end_at(min(self.ends_at_s + EXTRA_S, self.latest_s), now_s)

    def _end_at(self, ends_at_s: float, now_s: float) -> None:
        self.ends_at_s = ends_at_s
        left_s = ends_at_s - now_s
        lead_s = self.plan.warning_s if self.plan.warning_s < left_s else left_s / 2
        if not self.warned:
            self.due[Timer.WARNING] = ends_at_s - lead_s
        self.due[Timer.TIME_UP] = ends_at_s

    def press_means(self, state: State, now_s: float, *, another_language: bool) -> Event | None:
        """What a press is in this visit; None: nothing. `another_language`: of the key of one."""
        if another_language and state is not State.CLOSING:
            if self.is_left(state, now_s):
                return Event.PRESS_LEFT
            return None if self.changed >= _MOST_CHANGES else Event.PRESS_LANGUAGE
        if self.was_extended(now_s) and not self.plan.held_button:
            return None
        if self.asked and self.is_left(state, now_s):
            return Event.PRESS_LEFT
        if self.may_extend:
            return Event.PRESS_WARNED
        return Event.PRESS_LEFT if self.is_left(state, now_s) else Event.PRESS

    def reopen(
        self, ending: Ending, chance: float, now_s: float
    ) -> moments.ConversationLost | None:
        """Have another conversation tried in a while; None: none is."""
        if self.reconnects >= min(ending.rule.retries, self.plan.reconnects):
            return None
        # Full jitter, so that a room full of kiosks does not come back at once.
        delay_s = chance * backoff_s(self.reconnects + 1, FIRST_RETRY_S, LAST_RETRY_S)
        self.reconnects += 1
        self.due[Timer.REOPEN] = now_s + delay_s
        return moments.ConversationLost(
            now_s,
            kind=ending.kind,
            code=ending.code,
            detail=ending.detail,
            attempt=self.reconnects,
            delay_ms=round(delay_s * 1000),
        )

    def over(self, ending: Ending, now_s: float) -> moments.VisitEnded:
        """For whoever listens: how it ended."""
        return moments.VisitEnded(
            now_s,
            kind=ending.kind,
            code=ending.code,
            detail=ending.detail,
            severity=ending.meaning.severity,
        )

    def overdue(self, deadline: Deadline) -> Ending:
        """How it ends by a deadline of those who wait for a conversation."""
        if deadline is Deadline.CONNECT:
            why = f"no conversation in {self.plan.connect_s:g} s"
            return Ending(Kind.UNREACHABLE, None, why)
        return Ending(Kind.BUSY, None, f"nobody became free in {self.plan.queue_s:g} s")

    def change_settles_s(self, now_s: float) -> float:
        """The language is another now. How long to wait before a conversation is opened in it: who
        tries one key after the other costs nobody a conversation for each."""
        wait_s = SETTLE_S if now_s - self.changed_at_s < _TRIES_KEYS_S else 0.0
        self.changed, self.changed_at_s = self.changed + 1, now_s
        return wait_s

    def is_stale(self, event: Event, ending: Ending | None) -> bool:
        """Whether it is of the conversation that the visitor has left for another language."""
        if event is Event.ENDED:
            return self.changes and ending is not None and ending.kind is Kind.AGENT_ENDED
        return self.changes and event in _OF_CONVERSATION

    def takes_later(self) -> bool:
        """Whether it is the moment for what is owed of the disclosure; then it is owed no more."""
        due = self.owes_later and self.answered and not self.speaking
        self.owes_later = self.owes_later and not due
        return due

    def is_left(self, state: State, now_s: float) -> bool:
        """Whether its visitor has gone, as far as anybody can hear. A visitor who speaks with the
        button held may think for longer between two turns."""
        if state is not State.LISTENING or self.speaking or now_s < self.working_until_s:
            return False
        if self.plan.held_button or self.plan.table is TOGGLE_HELD:
            # Who is asked answers by pressing.
            return self.asked and now_s - self.asked_at_s >= LEFT_S
        return self.asked or now_s - self.quiet_since_s >= LEFT_S

    def was_extended(self, now_s: float) -> bool:
        """Whether a press has just put its end off: its chime may still wait behind the agent."""
        return now_s - self.extended_at_s < _EXTENDED_S

    def was_short(self, now_s: float) -> bool:
        """Whether it was begun and ended by the button and nothing else."""
        by_button = self.ending is not None and self.ending.kind is Kind.HUNG_UP
        spoke = self.spoke_s > 0 or self.speaking
        return by_button and not spoke and now_s - self.began_at_s < _SHORT_S

    def next_due(self, now_s: float) -> Timer | Deadline | None:
        """The timer that has rung first, taken out; None while none has."""
        rung = [(at_s, timer) for timer, at_s in self.due.items() if at_s <= now_s]
        if not rung:
            return None
        _, timer = min(rung)
        del self.due[timer]
        return timer

    def set_deadlines(self, event: Event, before: State, state: State, now_s: float) -> None:
        """Start and stop the clocks of an event that led from one state to another or the same."""
        if event in (Event.SPEECH_STARTED, Event.AGENT_STARTED):
            self.asked = False
        self.connected |= event is Event.CONNECTED
        if event is Event.AGENT_STARTED:
            self.agent_sounds = self.answered = True
        elif event in _SILENT_AFTER:
            self.agent_sounds = False
        if event is Event.SPEECH_STARTED:
            self.speaking = True
        elif event in (Event.SPEECH_ENDED, Event.RELEASE):
            self.speaking = False
        if event in _LEAVES_CONVERSATION:
            self.working_until_s = -_NEVER  # the tool was that conversation's
            self.turn_heard = False  # the next one gets the turn again
        if state is State.LISTENING and (state is not before or event is Event.SPEECH_ENDED):
            self.quiet_since_s = now_s
        self._watch_interruption(event, now_s)
        if state is not before or event is Event.PRESS_LANGUAGE:
            for timer in (*Deadline, Timer.ONE_MOMENT, Timer.READY):
                self.due.pop(timer, None)
            self._start(DEADLINES.get(state), now_s)
            if event is Event.CONNECTED:
                self.due[Timer.READY] = now_s + READY_S
        elif event is Event.SPEECH_STARTED:
            self.due.pop(Deadline.IDLE, None)
            self.due.pop(Timer.ONE_MOMENT, None)  # nobody talks over a visitor
        elif event is Event.SPEECH_ENDED and state is State.LISTENING:
            self._start(Deadline.IDLE, now_s)

    def _watch_interruption(self, event: Event, now_s: float) -> None:
        """Wait for a sign that somebody meant it; without one the answer goes on."""
        match event:
            case Event.INTERRUPTED if self.unanswered_turn and self.spoke_s > MEANT_S:
                self.meant()  # confirmed after it ended
            case Event.INTERRUPTED:
                self.interrupted, self.goes_on = True, False
                if not self.speaking:
                    self.due[Timer.GO_ON] = now_s + COUGH_S
            case Event.SPEECH_STARTED:
                self.speaks_since_s = now_s
                self.due.pop(Timer.GO_ON, None)
            case Event.SPEECH_ENDED if self.speaks_since_s is not None:
                # The gate stays open for a while after the last voice.
                quiet_s = self.plan.hangover_s
                self.spoke_s = now_s - self.speaks_since_s - quiet_s
                self.speaks_since_s = None
                if self.spoke_s > MEANT_S:
                    self.meant()
                elif self.interrupted:
                    self.due[Timer.GO_ON] = now_s + max(0.0, COUGH_S - quiet_s)
            case Event.TURN_SKIPPED | Event.RELEASE | Event.LOST | Event.PRESS_LANGUAGE:
                self.meant()

    def turn_taken(self, *, heard: bool) -> None:
        """The agent has heard the visitor's turn, or has something new to say."""
        self.turn_heard |= heard
        self.meant()

    def meant(self) -> None:
        """Somebody meant the interruption, or it does not matter any more."""
        self.interrupted = self.goes_on = False
        self.due.pop(Timer.GO_ON, None)

    def may_go_on(self, state: State) -> bool:
        """Whether the answer may go on now; from here on it does."""
        self.goes_on = self.interrupted and state in (State.LISTENING, State.THINKING)
        self.interrupted = False
        return self.goes_on

    def agent_works(self, for_s: float, state: State, now_s: float) -> None:
        """A tool of the agent's runs, which may take so long; 0: it has run. What waits for the
        agent waits so much longer."""
        self.working_until_s = max(self.working_until_s, now_s + for_s) if for_s else now_s
        self.due.pop(Timer.ONE_MOMENT, None)
        deadline = DEADLINES.get(state)
        if deadline in _AGENTS_TURN and deadline in self.due:
            self._start(deadline, now_s)

    def turn_follows(self, event: Event, before: State) -> Event | None:
        """The event that comes of one that was acted on in the state `before`, if any does."""
        match event:
            case Event.SPEECH_STARTED:
                self.unanswered_turn = self.skip_came_first = self.turn_heard = False
            case Event.SPEECH_ENDED:
                # The agent could not hear it yet, or was speaking; and not its answer to it.
                could_not = before in (State.OPENING, State.SPEAKING)
                self.unanswered_turn = could_not and not self.turn_heard
                if self.skip_came_first:
                    self.skip_came_first = False
                    return Event.TURN_SKIPPED
            case Event.TURN_SKIPPED:
                # The gate waits longer than the agent may to say that a turn is over: an agent that
                # will not answer says so before the kiosk thinks it could.
                self.skip_came_first = before is State.LISTENING
            case Event.LOST | Event.PRESS_LANGUAGE if before is State.THINKING:
                self.unanswered_turn = True  # it goes to the next conversation
            case Event.PRESS_LANGUAGE if before is State.SPEAKING:
                self.unanswered_turn = False  # the answer that is silenced was to it
            case Event.DRAINED:
                self.unanswered_turn = False  # the agent heard it and went on: it was no turn
            case Event.CONNECTED if self.agent_sounds:
                return Event.AGENT_STARTED  # what a lost conversation had said already
            case Event.CONNECTED | Event.INTERRUPTED if self.unanswered_turn:
                self.unanswered_turn = False
                return Event.SPEECH_ENDED  # now an answer is waited for
        return None

    def _start(self, deadline: Deadline | None, now_s: float) -> None:
        if deadline is None or (deadline is Deadline.IDLE and self.speaking):
            return  # whoever came here speaking is not idle
        limits = {
            Deadline.CONNECT: self.plan.connect_s,
            Deadline.QUEUE: self.plan.queue_s,
            Deadline.IDLE: self.plan.idle_s,
            Deadline.ANSWER: self.plan.answer_s,
        }
        if deadline in _AGENTS_TURN and now_s < self.working_until_s:
            self.due[deadline] = self.working_until_s + limits[deadline]
            self.due[Timer.ONE_MOMENT] = now_s + ONE_MOMENT_S
            return
        self.due[deadline] = now_s + limits[deadline]
        if deadline is Deadline.CONNECT:
            self.due[Timer.ONE_MOMENT] = now_s + ONE_MOMENT_S


@dataclass(slots=True)
class Hold:
    """A button held since the kiosk was idle, until it is known to be staff's or a visitor's."""

    until_s: float
    spoke_s: float = 0.0  # the gate's hangover included
    speaks_since_s: float | None = None

    def note(self, *, began: bool, now_s: float) -> None:
        """Speech began or ended."""
        if began:
            self.speaks_since_s = now_s
        elif self.speaks_since_s is not None:
            self.spoke_s += now_s - self.speaks_since_s
            self.speaks_since_s = None

    def talks(self, now_s: float) -> bool:
        """Whether somebody speaks as on an intercom."""
        speaks_s = 0.0 if self.speaks_since_s is None else now_s - self.speaks_since_s
        return self.spoke_s + speaks_s >= HELD_TALK_S

    def is_staff(self) -> bool:
        return self.speaks_since_s is None and self.spoke_s < SPOKE_S


@dataclass(slots=True)
class Kept:
    """What a kiosk keeps from visit to visit. `cards`: whether each is open, and its detail."""

    own_sound: OwnSound = field(default_factory=OwnSound)
    condition: Condition = field(default_factory=Condition)
    cards: dict[CardUse, tuple[bool, str]] = field(default_factory=dict)
    acted_at_s: float | None = None  # the last press that did something
    short_visits: int = 0  # one after the other, the last of which was over at ...
    over_at_s: float = -_NEVER
    hold: Hold | None = None
    key: str | None = None  # that of the last press, by its language; None: the button
    down: str | None = None  # the one that is held, or was
    meant: Event | None = None  # what the last press was; None: nothing
    language: str | None = None  # that of its sentences; None: its own
    told_until_s: float | None = None  # what the backend said holds
    failing_until_s: float | None = None  # what the last visits ended for is shown
    failed_visits: int = 0  # one after the other, for what the next may fail for too
    trial_at_s: float | None = None  # when the agent is tried without a visitor
    trials: int = 0  # in vain, since it failed
    press_waits: bool = False  # it came while a visit closed, and is answered now
    report_when_idle: bool = False
    light: Light | None = None
    fitness: str | None = None  # as it was last reported

    def visit_over(self, visit: Visit, now_s: float) -> None:
        """Count those that somebody begins and ends for fun."""
        self.short_visits = self.short_visits + 1 if visit.was_short(now_s) else 0
        self.over_at_s = now_s
        assert visit.ending is not None
        fails = visit.ending.kind in _LASTING and not visit.answered
        if fails:
            self.failed_visits += 1
            if self.failed_visits >= _MOST_FAILED:
                self._fails(now_s, trial=visit.plan.trial_calls)
        elif visit.answered or visit.connected:
            self._is_well()

    def agent_tried(self, *, well: bool | None, now_s: float) -> None:
        """What the trial of an agent that failed came to; None: it could not be tried."""
        if self.failing_until_s is None:
            return  # a visitor was faster
        if well is None:
            self.trial_at_s = now_s + _TRIALS_S[0]
        elif well:
            self._is_well()
        else:
            self.trials += 1
            self._fails(now_s, trial=True)

    def trial_is_due(self, now_s: float, *, allowed: bool, free: bool) -> bool:
        """Whether the agent is to be tried now; it is said once. `free`: nobody is served, and
        nothing else is in the way; otherwise it waits."""
        if self.trial_at_s is None or self.trial_at_s > now_s:
            return False
        waits = allowed and not free and self.failing_until_s is not None
        self.trial_at_s = now_s + _TRIALS_S[0] if waits else None
        return allowed and free

    def _fails(self, now_s: float, *, trial: bool) -> None:
        wait_s = _TRIALS_S[min(self.trials, len(_TRIALS_S) - 1)]
        self.trial_at_s = now_s + wait_s if trial else None
        self.failing_until_s = now_s + _FAILING_S + (wait_s if trial else 0.0)

    def _is_well(self) -> None:
        self.failed_visits = self.trials = 0
        self.failing_until_s = self.trial_at_s = None

    def over_by(self, now_s: float) -> dict[str, Any]:
        """What of the condition holds no more: what was said or seen for a time."""
        no_more: dict[str, Any] = {}
        if self.told_until_s is not None and self.told_until_s <= now_s:
            self.told_until_s, no_more["told"] = None, None
        if self.failing_until_s is not None and self.failing_until_s <= now_s:
            self.failing_until_s, no_more["failing"] = None, False
        return no_more

    def is_mashed(self, now_s: float) -> bool:
        """Whether a press now is one of many."""
        return self.short_visits >= _MOST_SHORT and now_s - self.over_at_s < _CALM_S

    def copy(self) -> "Kept":
        hold = None if self.hold is None else replace(self.hold)
        return replace(self, hold=hold, cards=dict(self.cards))
