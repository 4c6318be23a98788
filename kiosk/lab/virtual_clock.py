"""Virtual time, in which threads and a loop take turns.

One party runs at a time, and the clock moves only when all of them wait: hours pass in seconds, and
the same causes have the same consequences, on a busy machine too.
"""

import sys
import threading
from collections.abc import Callable
from types import TracebackType

from kiosk.base.clock import WakeUp, Worker


class Party:
    """Who takes turns: a thread, or a loop. It has the turn while `go` is not locked by it."""

    def __init__(self, name: str, order: int) -> None:
        self.name = name
        self.order = order
        self.go = threading.Lock()
        self.go.acquire()
        self.woken_as: int | None = None  # the how many-th waking; None: it was not woken
        self.until_s: float | None = None  # None: only a waking ends its wait
        self.waits = True
        self.ended = False


class VirtualClock:
    """Time that stands still while anybody runs. Who was woken runs first, in the order of waking;
    when nobody was, the clock moves on to the earliest end of a wait."""

    real = False

    def __init__(self, start_s: float = 1000.0) -> None:
        self._now_s = start_s
        self._parties: list[Party] = []
        self._wakings = 0
        self._closed = False
        self._mine = threading.local()

    def now_s(self) -> float:
        return self._now_s

    def thread_time_s(self) -> float:
        return 0.0  # by it a slow machine would do something else

    def wake_up(self) -> WakeUp:
        return _VirtualWakeUp(self)

    def worker(self, name: str, run: Callable[[], None]) -> Worker:
        return _VirtualWorker(self, name, run)

    def adopt(self, name: str) -> Party:
        """The calling thread takes part from now on, and has the turn."""
        party = self.add(name)
        party.waits = False
        self._mine.party = party
        return party

    def add(self, name: str) -> Party:
        party = Party(name, len(self._parties))
        self._parties.append(party)
        return party

    def me(self) -> Party:
        """The calling thread."""
        party: Party = self._mine.party
        return party

    def wake(self, party: Party) -> None:
        """End its wait, this or the next; callable by who has the turn."""
        if party.woken_as is None:
            self._wakings += 1
            party.woken_as = self._wakings

    def wait(self, party: Party, timeout_s: float | None) -> None:
        """Let the others run until it is woken, or the time is over."""
        if party.woken_as is None:
            party.until_s = None if timeout_s is None else self._now_s + max(0.0, timeout_s)
            party.waits = True
            following = self._next()
            if following is not party:
                following.go.release()
                party.go.acquire()
            party.waits = False
            if self._closed:
                sys.exit()  # ends this thread only
        party.woken_as = None

    def end(self, party: Party) -> None:
        """It takes no more turns."""
        party.ended = party.waits = True
        party.until_s = party.woken_as = None
        if not self._closed:
            self._next().go.release()

    def begin(self, party: Party, run: Callable[[], None]) -> None:
        """The body of a party's thread."""
        party.go.acquire()
        party.waits = False
        self._mine.party = party
        with _Ending(self, party):
            if not self._closed:
                run()

    def stall(self, seconds: float) -> None:
        """Everybody stands still for so long, as on a machine that does something else."""
        self._now_s += seconds

    def close(self) -> None:
        """Whoever still waits ends. Called by who has the turn, at the end of all."""
        self._closed = True
        for party in self._parties:
            if party.waits and not party.ended:
                party.go.release()

    def _next(self) -> Party:
        there = [party for party in self._parties if party.waits and not party.ended]
        woken = [party for party in there if party.woken_as is not None]
        if woken:
            return min(woken, key=lambda party: party.woken_as or 0)
        timed = [(each.until_s, each.order, each) for each in there if each.until_s is not None]
        if not timed:
            names = ", ".join(party.name for party in there)
            raise RuntimeError(f"all wait for something that never happens: {names}")
        until_s, _, party = min(timed)
        self._now_s = max(self._now_s, until_s)
        return party


class _Ending:
    """Hands the turn on when a thread ends, after what it failed with was reported."""

    def __init__(self, clock: VirtualClock, party: Party) -> None:
        self._clock = clock
        self._party = party

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if kind is not None and not issubclass(kind, SystemExit):
            args = (kind, error, trace, threading.current_thread())
            threading.excepthook(threading.ExceptHookArgs(args))
        self._clock.end(self._party)
        return True


class _VirtualWakeUp:
    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._set = False
        self._waiting: Party | None = None

    def set(self) -> None:
        self._set = True
        if self._waiting is not None:
            self._clock.wake(self._waiting)

    def wait(self, timeout_s: float) -> bool:
        if not self._set:
            self._waiting = self._clock.me()
            self._clock.wait(self._waiting, timeout_s)
            self._waiting = None
        came, self._set = self._set, False
        return came

    def clear(self) -> None:
        self._set = False


class _VirtualWorker:
    def __init__(self, clock: VirtualClock, name: str, run: Callable[[], None]) -> None:
        self._clock = clock
        self._name = name
        self._run = run
        self._party: Party | None = None
        self._joined: list[Party] = []

    def start(self) -> None:
        party = self._party = self._clock.add(self._name)
        party.until_s = self._clock.now_s()  # as soon as somebody waits
        begin = self._clock.begin
        threading.Thread(
            target=begin, args=(party, self._body), name=self._name, daemon=True
        ).start()

    def join(self, timeout_s: float) -> bool:
        if self._party is None or self._party.ended:
            return True
        me = self._clock.me()
        self._joined.append(me)
        until_s = self._clock.now_s() + timeout_s
        while not self._over() and (left_s := until_s - self._clock.now_s()) > 0:
            self._clock.wait(me, left_s)
        return self._over()

    def _body(self) -> None:
        try:
            self._run()
        finally:
            for party in self._joined:
                self._clock.wake(party)

    def _over(self) -> bool:
        return self._party is not None and self._party.ended
