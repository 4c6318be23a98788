"""How long things may last: each state's deadline, the visit's own limit, and the idle question."""

from collections.abc import Callable

from kiosk.base.clock import loop_now_s
from kiosk.convai.endings import Ending, Kind
from kiosk.visit.feedback import DEADLINES, Deadline
from kiosk.visit.plan import Plan
from kiosk.visit.states import Event, State
from kiosk.visit.timers import Timers

ONE_MOMENT_S = 4.0
_NEVER = float("-inf")  # there is no visit to end


class Clocks:
    """Posts what a clock running out means; `say` speaks a sentence of the kiosk's by its key."""

    def __init__(
        self,
        plan: Plan,
        timers: Timers,
        post: Callable[[Event, Ending | None], None],
        say: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._timers = timers
        self._post = post
        self._say = say
        self._asked = False  # whether the visitor is still there
        self._speaking = False
        self._warned = False
        self._ends_s = _NEVER

    def visit_began(self) -> None:
        self._asked = self._speaking = self._warned = False
        self._ends_s = float("inf")
        self.limit(self._plan.max_s)

    def limit(self, max_s: float) -> None:
        """The visit may go on for so long from now; never for longer than it might before."""
        ends_s = loop_now_s() + max_s
        if ends_s >= self._ends_s:
            return
        self._ends_s = ends_s
        lead_s = self._plan.warning_s if self._plan.warning_s < max_s else max_s / 2
        if not self._warned:
            self._timers.set("warning", max_s - lead_s, self._warn)
        self._timers.set("time up", max_s, lambda: self._post(Event.TIME_UP, None))

    def followed(self, event: Event, before: State, state: State) -> None:
        """An event was acted on, and led from one state to another or the same."""
        if state is State.CLOSING:
            self._ends_s = _NEVER
        if event in (Event.SPEECH_STARTED, Event.AGENT_STARTED):
            self._asked = False
        if event is Event.SPEECH_STARTED:
            self._speaking = True
        elif event in (Event.SPEECH_ENDED, Event.RELEASE):
            self._speaking = False
        if state is not before:
            self._timers.cancel(*Deadline, "one moment")
            self._start(state)
        elif event is Event.SPEECH_STARTED:
            self._timers.cancel(Deadline.IDLE)
        elif event is Event.SPEECH_ENDED and state is State.LISTENING:
            self._start(state)

    def _start(self, state: State) -> None:
        """Start the clock of a state."""
        plan, deadline = self._plan, DEADLINES.get(state)
        match deadline:
            case Deadline.CONNECT:
                limit = f"no conversation in {plan.connect_s:g} s"
                self._timers.set("one moment", ONE_MOMENT_S, lambda: self._say("one_moment"))
                self._end_after(deadline, plan.connect_s, Ending(Kind.UNREACHABLE, None, limit))
            case Deadline.QUEUE:
                limit = f"nobody became free in {plan.queue_s:g} s"
                self._end_after(deadline, plan.queue_s, Ending(Kind.BUSY, None, limit))
            case Deadline.IDLE:
                if not self._speaking:  # whoever came here speaking is not idle
                    self._timers.set(deadline, plan.idle_s, self._idle)
            case Deadline.ANSWER:
                self._timers.set(deadline, plan.answer_s, lambda: self._post(Event.NO_ANSWER, None))
            case None:
                pass

    def _warn(self) -> None:
        self._warned = True
        self._say("warning")

    def _end_after(self, deadline: Deadline, seconds: float, ending: Ending) -> None:
        self._timers.set(deadline, seconds, lambda: self._post(Event.ENDED, ending))

    def _idle(self) -> None:
        if self._asked:
            self._post(Event.ABANDONED, None)
        else:
            self._asked = True
            self._say("still_there")
            self._start(State.LISTENING)
