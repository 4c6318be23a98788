"""The visit's core: what happens goes in with the time, and ordered effects come out.

Pure: no asyncio, no clock, no threads, no I/O. Time is an argument, and `wake_at_s` the only timer;
chance comes in with the input that needs it. The same inputs at the same times have the same
effects, always: so a visit can be played again, and a year of visits tried in a minute.

THEORY OF OPERATION

*One way in.* `handle(input, now_s)` takes one `Input` and returns the `Effect`s it has. Whoever
drives the core (the host) does them in their order, calls `handle(Wake(), now_s)` when `wake_at_s`
has come, and nothing else. The core calls nobody.

*The order of effects.* What the visitor sees comes first (the lamp, then the card, which lights the
recording lamp), then what is heard and the conversation, and last the moments for listeners. The
order is the effects' own (`Effect.urgency`), so that no rule of the visit can get it wrong.

*What decides.* The table in `states` decides where the visit stands and what is done on the way.
Around it stand six rules that are no cells of a table, because they depend on more than one event:

  fitness     whether a visit can be held at all. It is a value made of the cards, the leases, the
              kiosk's voice, the backend's word and how the last visits ended, recomputed whenever
              one of them changes. In IDLE it decides between PRESS and PRESS_UNFIT, and which lamp
              is lit. What a press may find to be over is only shown: there a press is the trial.
  gestures    what a press is: `_press_means` finds the event. On a visit that was left it is the
              next visitor's, after the warning a wish for more time, after some visits of seconds
              a game. Who was heard with the button held has another table for that visit.
  deadlines   each state's own limit, the visit's, the idle question, the warning, the wait before
              a reconnection, ducking, the farewell. All of them stand in `Visit.due`.
  coughs      an interruption after which nobody says anything was a noise: when the gate has
              heard no voice for a while, and the agent has shown no sign of having heard a turn,
              the rest of its answer is played out of memory.
  turns       a turn of the visitor's that ended while the agent could not answer yet is waited for
              when it can; an agent that skips a turn may say so before the gate closes.
  languages   a key of another language changes the visit to it: another conversation follows, with
              what was said. An agent that changes by itself takes the kiosk's sentences with it.
  staff       who holds the button for HOLD_S from IDLE on without speaking is no visitor.

*One object per visit.* `Visit` is made at the press and dropped when the kiosk is idle again. What
is in it cannot outlive the visit. It holds the plan of its press: settings that are read again are
the plan of the next visit. What belongs to the kiosk and not to a visit stands in `Kept`: the two
objects, the state and the plan are all that the core remembers, and all that a trace begins with.

*Closing.* A visit closes in two steps. If its ending lets the agent finish, HearOut is asked for
and `HeardOut` waited for. Then the kiosk says its own last word while the conversation closes, and
both are waited for. Each step has its limit, so that no visit lasts for ever. A press meanwhile is
remembered: when the kiosk is idle the core asks to be woken at once, and begins the next visit.

*The kiosk's own sounds.* Whether something sounds is the loudspeaker's to say; the host reports it
as `OwnSound` before it passes on anything else. Between asking for a sound and that report the core
takes it to sound: a farewell is not over because it has not begun.
"""

from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from typing import Any

from kiosk import moments
from kiosk.audio.earcons import Earcon
from kiosk.devices.ports import ButtonEdge
from kiosk.endings import Ending, Farewell, Kind
from kiosk.visit import effects as do
from kiosk.visit import inputs
from kiosk.visit.feedback import ANSWERS, EARCONS, SILENCES, Deadline
from kiosk.visit.fitness import Cause
from kiosk.visit.inputs import OwnSound
from kiosk.visit.plan import Plan
from kiosk.visit.states import TOGGLE_HELD, Action, Event, State, step
from kiosk.visit.visit import (
    ENDINGS,
    FAREWELL_LIMIT_S,
    HEAR_OUT_LIMIT_S,
    HOLD_S,
    LOST_CARDS,
    NERVOUS_S,
    Hold,
    Kept,
    Leaving,
    Timer,
    Visit,
)

# The sentences that answer presses.
_ANSWERS: dict[Event, str] = {Event.PRESS_MASHED: "too_soon"}


class VisitCore:
    """The kiosk's visits, one at a time. `plan` is the next visit's.

    `cause`: why a visit cannot be held now; None means fit. `shown`: the cause that operators and
    the lamp show: also a pause, which a press asks about.
    """

    def __init__(self, plan: Plan, kept: Kept | None = None) -> None:
        self.plan = plan
        self.state = State.IDLE
        self.visit: Visit | None = None
        self.kept = Kept() if kept is None else kept
        self.cause: Cause | None
        self.shown: Cause | None
        self._fit()
        self._now_s = 0.0
        self._effects: list[do.Effect] = []
        self._do = self._effects.append
        self._actions: dict[Action, Callable[[Ending | None], None]] = {
            Action.START_CAPTURE: lambda _: self._do(do.StartCapture()),
            Action.OPEN: self._open,
            Action.SAY_CAUSE: self._say_cause,
            Action.SAY_TOO_SOON: lambda _: self._say("too_soon"),
            Action.EXTEND: self._extend,
            Action.CHANGE_LANGUAGE: self._change_language,
            Action.SAY_QUEUED: lambda _: self._say("queued"),
            Action.CUT_TURN: lambda _: self._do(do.CutTurn()),
            Action.OPEN_TALK: lambda _: self._allow_talk(allowed=True),
            Action.CLOSE_TALK: lambda _: self._allow_talk(allowed=False),
            Action.CLOSE: self._close,
            Action.REMEMBER_PRESS: lambda _: self._remember_press(remember=True),
            Action.FORGET_PRESS: lambda _: self._remember_press(remember=False),
        }

    @property
    def wake_at_s(self) -> float | None:
        """When `Wake` is due; None: only another input can change anything."""
        if self.kept.press_waits:
            return self._now_s
        due = [] if self.visit is None else list(self.visit.due.values())
        if self.kept.hold is not None:
            due.append(self.kept.hold.until_s)
        ends = (self.kept.told_until_s, self.kept.failing_until_s, self.kept.trial_at_s)
        due += [at_s for at_s in ends if at_s is not None]
        return min(due, default=None)

    def handle(self, happened: inputs.Input, now_s: float) -> list[do.Effect]:
        """The effects of an input, the most urgent first. `now_s`: monotonic, never going back."""
        self._now_s = now_s
        self._effects.clear()
        self._take(happened)
        self._leave_if_done()
        self._show()
        return sorted(self._effects, key=attrgetter("urgency"))

    def _take(self, happened: inputs.Input) -> None:
        match happened:
            case ButtonEdge(pressed, at_s, language):
                self._button(pressed=pressed, at_s=at_s, key=language)
            case inputs.OperatorPress(language):
                self._press(self._now_s, language)
            case inputs.Speech(began, at_s):
                self._speech(began=began, at_s=at_s)
            case inputs.SpeechHeld():
                self._speech_held()
            case inputs.TurnTaken(heard):
                if self.visit is not None:
                    self.visit.turn_taken(heard=heard)
            case inputs.GoneOn():
                if self.visit is not None:
                    self.visit.goes_on = False
            case inputs.Happened(event, ending):
                if self.visit is None or not self.visit.is_stale(event, ending):
                    self._step(event, ending)
            case inputs.ConversationOver(ending, chance):
                self._conversation_over(ending, chance)
            case inputs.HeardOut():
                self._heard_out()
            case inputs.LimitedTo(max_s):
                if self.visit is not None:
                    self.visit.limit(max_s, self._now_s)
            case inputs.AgentWorks(for_s):
                if self.visit is not None and self.visit.ending is None:
                    self.visit.agent_works(for_s, self.state, self._now_s)
            case inputs.AgentSpeaks(language):
                visit, language = self.visit, self._foreign(language)
                idle = visit is None or visit.ending is not None or visit.changes
                if visit is not None and not idle and visit.language != language:
                    self._change_to(visit, language, by="agent")
            case inputs.CardOpened() | inputs.CardLost():
                self._card(happened)
            case inputs.LeaseAvailability(ready, refused):
                self._fit(credential=ready, refused=refused)
            case inputs.OwnVoice(can_disclose):
                self._fit(voice=can_disclose or not self.plan.disclosure)
            case inputs.Instructed(cause, for_s, end_visit):
                self._fit(told=cause)
                self.kept.told_until_s = None if for_s is None else self._now_s + for_s
                if end_visit:
                    self._step(Event.ENDED, Ending(Kind.PAUSED, None, "ended by an operator"))
            case inputs.Surroundings(network, clock):
                self._fit(network=network, clock=clock)
            case inputs.AgentTried(well):
                self.kept.agent_tried(well=well, now_s=self._now_s)
                self._fit(failing=self.kept.failing_until_s is not None)
            case OwnSound():
                self.kept.own_sound = happened
            case inputs.Wake():
                self._wake()

    # --- the button -----------------------------------------------------------------------------

    def _button(self, *, pressed: bool, at_s: float, key: str | None) -> None:
        hold, self.kept.hold = self.kept.hold, None
        if pressed:
            if self.state is State.IDLE:
                self.kept.hold = Hold(self._now_s + HOLD_S)
            self.kept.down = key
            self._press(at_s, key)
        elif key != self.kept.down:
            self.kept.hold = hold  # another one is held still
        elif self._plan_now.held_button:
            self.kept.meant = Event.RELEASE
            self._step(Event.RELEASE)
        elif hold is not None and hold.talks(self._now_s):
            self._is_held_to_talk()

    def _is_held_to_talk(self) -> None:
        if self.visit is not None and not self.visit.plan.held_button:
            self.visit.plan = replace(self.visit.plan, table=TOGGLE_HELD)

    def _press(self, at_s: float, key: str | None) -> None:
        self.kept.meant = None
        if not self._plan_now.held_button:
            acted_at_s = self.kept.acted_at_s
            nervous = acted_at_s is not None and at_s - acted_at_s < NERVOUS_S
            if nervous and not self._asks_for_another(key):
                return
            self.kept.acted_at_s = at_s
        self.kept.key = key
        self._pressed(at_s)

    def _pressed(self, at_s: float) -> None:
        self.kept.report_when_idle = self.kept.press_waits = False
        self._do(do.DropReport())
        self._notify(moments.ButtonPressed(at_s))
        event = self.kept.meant = self._press_means()
        if event is None:
            return
        if self.state is State.IDLE:
            self._use_language(self._foreign(self.kept.key))
            answer = _ANSWERS.get(event) if self.cause is None else self.cause.sentence
            if answer is not None and answer in self.kept.own_sound.keys:
                return  # this press is being answered
            self._do(do.FallSilent())  # what is left of an apology
        self._step(event)

    def _press_means(self) -> Event | None:
        """What a press is, where it depends on more than the state; None: nothing."""
        visit, now_s = self.visit, self._now_s
        if visit is None:
            if self.cause is not None:
                return Event.PRESS_UNFIT
            return Event.PRESS_MASHED if self.kept.is_mashed(now_s) else Event.PRESS
        another = self._asks_for_another(self.kept.key)
        return visit.press_means(self.state, now_s, another_language=another)

    # --- languages ------------------------------------------------------------------------------

    def _foreign(self, language: str | None) -> str | None:
        """A language that is not the kiosk's own, else None."""
        return None if language == self.plan.language else language

    def _asks_for_another(self, key: str | None) -> bool:
        """Whether it is the key of another language than the visit's."""
        visit = self.visit
        return visit is not None and key is not None and self._foreign(key) != visit.language

    def _use_language(self, language: str | None) -> None:
        if language != self.kept.language:
            self.kept.language = language
            self._do(do.UseLanguage(language))

    def _change_to(self, visit: Visit, language: str | None, *, by: str) -> None:
        visit.language = language
        self._use_language(language)
        code = language or visit.plan.language
        self._notify(moments.LanguageChanged(self._now_s, language=code, by=by))

    def _change_language(self, _: Ending | None) -> None:
        visit = self._visit_now
        self._change_to(visit, self._foreign(self.kept.key), by="visitor")
        self._do(do.SilenceAgent())
        if visit.plan.disclosure:
            self._say("disclosure_short")
        if visit.warned:  # in words that are understood
            self._warn(visit)
        visit.due[Timer.REOPEN] = self._now_s + visit.change_settles_s(self._now_s)
        if visit.conversing and not visit.changes:
            visit.changes = True
            self._do(do.CloseConversation(Ending(Kind.LANGUAGE_CHANGED)))

    # --- the table ------------------------------------------------------------------------------

    def _step(self, event: Event, ending: Ending | None = None) -> None:
        """Follow the table, and the rules around it."""
        before = self.state
        if before is State.IDLE and event is Event.PRESS:
            self.visit = Visit(self.plan, self._foreign(self.kept.key))
        visit = self.visit
        self.state, actions = step(self._plan_now.table, before, event)
        if self.state is not before or event in ANSWERS:
            if (event, self.state) in SILENCES:
                self._do(do.FallSilent())
            self._chime(event)
        if ending is None and event in ENDINGS:
            ending = Ending(ENDINGS[event])
        for action in actions:
            self._actions[action](ending)
        if visit is None:
            return
        visit.set_deadlines(event, before, self.state, self._now_s)
        if self.state is not before:
            self._entered(visit)
        if (following := visit.turn_follows(event, before)) is not None:
            self._step(following)

    def _entered(self, visit: Visit) -> None:
        """What follows from the new state alone."""
        state = self.state
        self._notify(moments.StateChanged(self._now_s, state=state))
        self._unduck(visit)
        if state is not State.QUEUED:
            self._do(do.Forget("queued"))
        if state is State.LISTENING and visit.takes_later():
            self._say("disclosure_later")
        if state is State.THINKING:  # what is owed comes before the answer
            self._do(do.SayOwed())
        elif state in (State.CLOSING, State.IDLE):
            self._do(do.Forget())
        elif state is State.LISTENING and visit.plan.held_button:
            self.kept.hold = None  # a visitor who speaks, for as long as he likes
        if state is State.IDLE:
            self._idle(visit)

    def _idle(self, visit: Visit) -> None:
        assert visit.ending is not None
        self.visit = None
        self._use_language(None)
        self.kept.visit_over(visit, self._now_s)
        self._fit(failing=self.kept.failing_until_s is not None)
        answered = self.cause is not None and self.cause.sentence == visit.ending.meaning.sentence
        if visit.press_waits and not answered:
            self.kept.press_waits = True
        elif self.kept.report_when_idle:
            self.kept.report_when_idle = False
            self._do(do.ComposeReport())

    # --- actions --------------------------------------------------------------------------------

    def _open(self, _: Ending | None) -> None:
        visit = self._visit_now
        self._do(do.BeginVisit())
        self._notify(moments.VisitStarted(self._now_s, press_id=""))
        if visit.language is not None:
            self._change_to(visit, visit.language, by="visitor")
        if visit.plan.disclosure:
            self._say("disclosure")
        visit.begin(self._now_s)
        self._converse(visit)

    def _extend(self, _: Ending | None) -> None:
        self._visit_now.extend(self._now_s)
        self._do(do.Hush("warning"))  # it was obeyed

    def _reopen(self, visit: Visit) -> None:
        """Open another conversation, once the last one is over and it is time."""
        if not visit.conversing and visit.due.get(Timer.REOPEN, 0.0) <= self._now_s:
            visit.due.pop(Timer.REOPEN, None)
            self._converse(visit)

    def _converse(self, visit: Visit) -> None:
        self._do(do.Converse(visit.conversed, visit.language))
        visit.conversing = visit.conversed = True

    def _say_cause(self, _: Ending | None) -> None:
        self._do(do.HurryLease())
        if self.cause is not None:
            self._say(self.cause.sentence)

    def _allow_talk(self, *, allowed: bool) -> None:
        self._visit_now.talk_allowed = allowed
        self._do(do.AllowTalk(allowed))

    def _remember_press(self, *, remember: bool) -> None:
        self._visit_now.press_waits = remember

    # --- the conversation and the visitor's speech ----------------------------------------------

    def _conversation_over(self, ending: Ending, chance: float) -> None:
        visit = self.visit
        if visit is None:
            return
        visit.conversing = False
        if visit.ending is not None:
            return  # the kiosk ended it
        if visit.changes:  # and it is opened in another language when that is settled
            visit.changes = False
            self._reopen(visit)
            return
        lost = visit.reopen(ending, chance, self._now_s)
        if lost is None:
            self._step(Event.ENDED, ending)
            return
        self._notify(lost)
        self._step(Event.LOST)

    def _speech(self, *, began: bool, at_s: float) -> None:
        visit = self.visit
        if visit is None or visit.ending is not None or not visit.talk_allowed:
            return
        self._notify(moments.SpeechStarted(at_s) if began else moments.SpeechEnded(at_s))
        if self.kept.hold is not None:
            self.kept.hold.note(began=began, now_s=self._now_s)
        if not began:
            self._do(do.SayOwed())
        elif self.state is State.SPEAKING or self.kept.own_sound.busy:
            visit.owes_later |= "disclosure" in self.kept.own_sound.keys
            self._do(do.GiveWay())
            self._do(do.Duck(on=True))
            self._notify(moments.AgentDucked(self._now_s))
            visit.due[Timer.UNDUCK] = self._now_s + visit.plan.duck_s
        self._step(Event.SPEECH_STARTED if began else Event.SPEECH_ENDED)

    def _speech_held(self) -> None:
        """While the rest of a turn is heard nobody but the kiosk can notice an interruption."""
        if self.visit is not None and self.visit.goes_on and self.state is State.SPEAKING:
            self._do(do.SilenceAgent())
            self._step(Event.INTERRUPTED)

    def _unduck(self, visit: Visit) -> None:
        if visit.due.pop(Timer.UNDUCK, None) is not None:
            self._do(do.Duck(on=False))

    # --- closing --------------------------------------------------------------------------------

    def _close(self, ending: Ending | None) -> None:
        assert ending is not None
        visit = self._visit_now
        self._unduck(visit)
        visit.ending = ending
        visit.due.clear()
        self._do(do.StopCapture())
        if ending.rule.farewell is Farewell.FINISH:
            visit.leaving = Leaving.HEARING_OUT
            visit.due[Timer.FAREWELL] = self._now_s + HEAR_OUT_LIMIT_S
            self._do(do.HearOut())
        else:
            self._last_word(visit, ending)

    def _heard_out(self) -> None:
        visit = self.visit
        if visit is None or visit.ending is None or visit.leaving is not Leaving.HEARING_OUT:
            return
        self._last_word(visit, visit.ending)

    def _last_word(self, visit: Visit, ending: Ending) -> None:
        visit.leaving = Leaving.LAST_WORD
        visit.due[Timer.FAREWELL] = self._now_s + FAREWELL_LIMIT_S
        self._do(do.SilenceAgent())
        # Not to whoever pressed meanwhile: another visitor, or one who begins anew.
        if ending.meaning.sentence is not None and not visit.press_waits:
            self._say(ending.meaning.sentence)
        if visit.conversing:
            self._do(do.CloseConversation(ending))

    def _leave_if_done(self) -> None:
        visit = self.visit
        if visit is None or visit.ending is None or visit.leaving is not Leaving.LAST_WORD:
            return
        if not visit.conversing and not self.kept.own_sound.busy:
            self._notify(visit.over(visit.ending, self._now_s))
            self._step(Event.CLOSED)

    def _farewell_too_long(self, visit: Visit) -> None:
        if visit.leaving is Leaving.HEARING_OUT or self.kept.own_sound.busy:
            self._do(do.PlaybackStuck())
        if visit.leaving is Leaving.HEARING_OUT:
            self._heard_out()
            return
        if visit.conversing:
            visit.conversing = False
            self._do(do.AbandonConversation())
        self.kept.own_sound = OwnSound()  # as far as this visit is concerned

    # --- time -----------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Do what is due, the earliest first."""
        if self.kept.press_waits:
            self._pressed(self._now_s)  # in the language that was asked for then
        while self.visit is not None and (timer := self.visit.next_due(self._now_s)) is not None:
            self._ring(self.visit, timer)
        if self.kept.hold is not None and self.kept.hold.until_s <= self._now_s:
            self._held(self.kept.hold)
        if no_more := self.kept.over_by(self._now_s):
            self._fit(**no_more)
        free = self.visit is None and self.shown is Cause.NOT_ANSWERED
        if self.kept.trial_is_due(self._now_s, allowed=self.plan.trial_calls, free=free):
            self._do(do.TryAgent())

    def _ring(self, visit: Visit, timer: Timer | Deadline) -> None:
        match timer:
            case Timer.ONE_MOMENT:
                self._say("one_moment")
            case Timer.WARNING:
                visit.warned = True
                self._warn(visit)
            case Timer.TIME_UP:
                self._step(Event.TIME_UP)
            case Timer.REOPEN:
                self._reopen(visit)
            case Timer.UNDUCK:
                self._do(do.Duck(on=False))
            case Timer.READY:
                if not visit.speaking:
                    self._sound(Earcon.READY, polite=True)
            case Timer.GO_ON:
                if visit.may_go_on(self.state):
                    self._do(do.GoOn())
            case Timer.FAREWELL:
                self._farewell_too_long(visit)
            case Deadline.CONNECT | Deadline.QUEUE:
                self._step(Event.ENDED, visit.overdue(timer))
            case Deadline.ANSWER:
                self._step(Event.NO_ANSWER)
            case Deadline.IDLE if visit.asked:
                self._step(Event.ABANDONED)
            case Deadline.IDLE:
                visit.asked, visit.asked_at_s = True, self._now_s
                self._say("still_there")
                visit.due[Deadline.IDLE] = self._now_s + visit.plan.idle_s

    def _warn(self, visit: Visit) -> None:
        self._say("warning" if visit.will_extend else "last_warning")

    def _held(self, hold: Hold) -> None:
        self.kept.hold = None
        if not hold.is_staff():
            self._is_held_to_talk()
            return
        if self.state is State.IDLE:
            self._use_language(None)
            self._do(do.ComposeReport())
        else:
            self.kept.report_when_idle = True
            self._step(Event.HANG_UP, Ending(Kind.HUNG_UP, None, "by staff, who want a report"))

    # --- fitness, lamp and sounds ---------------------------------------------------------------

    def _card(self, its: inputs.CardOpened | inputs.CardLost) -> None:
        use, detail, opened = its.use, its.detail, isinstance(its, inputs.CardOpened)
        # A card that stays away is tried every second, and reported once.
        if self.kept.cards.get(use) != (opened, detail):
            self.kept.cards[use] = (opened, detail)
            self._notify(its.moment(self._now_s))
        self._fit(**{use.value: opened})
        if not opened:
            self._step(Event.ENDED, Ending(LOST_CARDS[use], None, detail))

    def _fit(self, **inputs_: Any) -> None:
        self.kept.condition = replace(self.kept.condition, **inputs_)
        self.cause, self.shown = self.kept.condition.cause(), self.kept.condition.shown()

    def _show(self) -> None:
        """Let the lamp and the listeners follow what is now."""
        fitness = self.shown or "fit"
        if fitness != self.kept.fitness:
            self.kept.fitness = fitness
            self._notify(moments.FitnessChanged(self._now_s, cause=fitness))
        light = do.Light(self.state, self.state is State.IDLE and self.shown is not None)
        if light != self.kept.light:
            self.kept.light = light
            self._effects.insert(0, light)

    def _chime(self, event: Event) -> None:
        earcon = EARCONS.get((event, self.state))
        if earcon is not None:
            self._sound(earcon)

    def _sound(self, earcon: Earcon, *, polite: bool = False) -> None:
        self.kept.own_sound = OwnSound(True, self.kept.own_sound.keys)
        self._do(do.Chime(earcon, polite))

    def _say(self, key: str) -> None:
        self.kept.own_sound = OwnSound(True, (*self.kept.own_sound.keys, key))
        self._do(do.Announce(key))

    # --- small words ----------------------------------------------------------------------------

    @property
    def _plan_now(self) -> Plan:
        return self.plan if self.visit is None else self.visit.plan

    @property
    def _visit_now(self) -> Visit:
        assert self.visit is not None
        return self.visit

    def _notify(self, moment: moments.Moment) -> None:
        self._do(do.Notify(moment))
