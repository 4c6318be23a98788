"""What the kiosk says while nobody visits: a text that an operator gives it, and the report on
itself for staff, who hold the button for 10 s.

The hold must begin while the kiosk is idle. That press begins a visit, as any press does; if the
button is still down after 10 s, the visit is ended, and the report follows. Who speaks meanwhile is
a visitor who holds the button as on an intercom, and is not cut off. Where visitors hold the button
to speak (`button.mode = "hold"`) it is given only if no conversation came about meanwhile: whoever
has one may speak for as long as he likes. A press silences the kiosk.
"""

import asyncio
from collections.abc import Awaitable, Callable

from kiosk.base.clock import loop_now_s
from kiosk.visit.announcer import Announcer
from kiosk.visit.plan import Plan
from kiosk.visit.speech import Voice
from kiosk.visit.states import Event, State

HOLD_S = 10.0
# Who speaks for so long in all, the gate's hangover included, is a visitor; a noise in the hall is
# shorter.
SPOKE_S = 1.5
LONGEST_TEXT = 600  # characters, which take a minute
_KEY = "bulletin"


class Bulletin:
    """`run` is its task. `compose` writes the report, `hang_up` ends the visit under way."""

    def __init__(
        self,
        plan: Plan,
        announcer: Announcer,
        voice: Voice,
        compose: Callable[[], Awaitable[str]],
        hang_up: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._announcer = announcer
        self._voice = voice
        self._compose = compose
        self._hang_up = hang_up
        self._state = State.IDLE
        self._holding: asyncio.TimerHandle | None = None
        self._spoke_s = 0.0  # since the button went down
        self._speaks_since_s: float | None = None
        self._when_idle = False
        self._wanted = asyncio.Event()

    def on_button(self, *, pressed: bool) -> None:
        """The button itself went down or up."""
        self._let_go()
        if pressed and self._state is State.IDLE:
            loop = asyncio.get_running_loop()
            self._holding = loop.call_later(HOLD_S, self._held)
            self._spoke_s, self._speaks_since_s = 0.0, None

    def pressed(self) -> None:
        """Somebody wants a visit: be silent."""
        self._when_idle = False
        self._wanted.clear()
        self._announcer.hush(_KEY)

    def heard(self, event: Event) -> None:
        """Somebody began to speak, or ended."""
        now_s = loop_now_s()
        if event is Event.SPEECH_STARTED:
            self._speaks_since_s = now_s
        elif self._speaks_since_s is not None:
            self._spoke_s += now_s - self._speaks_since_s
            self._speaks_since_s = None

    def entered(self, state: State) -> None:
        """The visit's state changed."""
        self._state = state
        if state is State.LISTENING and self._plan.held_button:
            self._let_go()
        if state is State.IDLE and self._when_idle:
            self._when_idle = False
            self._wanted.set()

    async def say(self, text: str) -> str | None:
        """Say it now; why not, None if it is being said."""
        if self._state is not State.IDLE:
            return "a visit is under way"
        clip = await self._voice.spoken(text[:LONGEST_TEXT])
        if clip is None:
            return "there is no voice: is espeak-ng installed?"
        if self._state is not State.IDLE:
            return "a visit has begun"
        self._announcer.say_clip(_KEY, clip)
        return None

    async def run(self) -> None:
        """Report whenever it is wanted, until cancelled."""
        while True:
            await self._wanted.wait()
            self._announcer.say("one_moment")  # it takes some seconds to look
            text = await self._compose()
            if self._wanted.is_set():
                self._wanted.clear()
                await self.say(text)

    def _held(self) -> None:
        self._holding = None
        if self._speaks_since_s is not None or self._spoke_s >= SPOKE_S:
            return  # no member of staff who waits for a report
        if self._state is State.IDLE:
            self._wanted.set()
        else:
            self._when_idle = True
            self._hang_up()

    def _let_go(self) -> None:
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None
