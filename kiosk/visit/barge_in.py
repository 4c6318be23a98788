"""Barge-in, this side of it: the loudspeaker steps back the moment a visitor speaks over it.

The agent is ducked at once. Whether it gives way is the server's decision, and takes a round trip
and more; until then, for `duck_s` at most, it is soft: somebody may only have coughed. The kiosk's
own sentences are its own to decide: it stops, and says later what must be said.
"""

import asyncio

from kiosk.base.clock import loop_now_s
from kiosk.devices.ports import Speaker
from kiosk.visit.announcer import Announcer
from kiosk.visit.states import Event, State
from kiosk.visit.timeline import Moment, Observer, What

_VISIT_IS_OVER = frozenset({State.CLOSING, State.IDLE})


class BargeIn:
    """Used in one event loop."""

    def __init__(
        self, speaker: Speaker, announcer: Announcer, duck_s: float, observe: Observer
    ) -> None:
        self._speaker = speaker
        self._announcer = announcer
        self._duck_s = duck_s
        self._observe = observe
        self._restoring: asyncio.TimerHandle | None = None

    def heard(self, event: Event, *, agent_speaks: bool) -> None:
        """The visitor's speech began or ended."""
        if event is Event.SPEECH_ENDED:
            self._announcer.resume()
        elif agent_speaks or self._announcer.busy:
            self._announcer.give_way()
            self._duck()

    def entered(self, state: State) -> None:
        """The visit went on: nobody is spoken over any more."""
        self._restore()
        if state is not State.QUEUED:
            self._announcer.forget("queued")
        if state is State.THINKING:  # what is owed comes before the answer
            self._announcer.resume()
        elif state in _VISIT_IS_OVER:
            self._announcer.forget()

    def _duck(self) -> None:
        if self._restoring is not None:
            self._restoring.cancel()
        self._restoring = asyncio.get_running_loop().call_later(self._duck_s, self._restore)
        self._speaker.duck(on=True)
        self._observe(Moment(What.DUCKED, loop_now_s()))

    def _restore(self) -> None:
        if self._restoring is not None:
            self._restoring.cancel()
            self._restoring = None
            self._speaker.duck(on=False)
