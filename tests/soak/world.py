"""A kiosk, an agent and a backend in one loop, the player of visits, and what must always hold."""

import abc
import asyncio
import contextlib
import functools
import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

from kiosk.base.clock import loop_now_s
from kiosk.devices.ports import ButtonEdge
from kiosk.endings import RULES, Kind
from kiosk.lab.virtual_loop import VirtualLoop
from kiosk.moments import FieldValue, Moment, What
from kiosk.visit.fitness import Cause
from kiosk.visit.host import Host
from kiosk.visit.states import Event, State
from kiosk.visit.visit import NERVOUS_S
from tests.soak.devices import Lamps
from tests.soak.disk import Disk
from tests.soak.endings import explained
from tests.soak.material import Material
from tests.soak.office import OK, Office
from tests.soak.visitors import Act, Visit

LEAD_S = 1.5  # before the first press: a fault may be there already
MAX_S = 90.0
# From the press: the longest visit, what may still be said then, and a queue before it.
LIMIT_S = MAX_S + 120.0 + 60.0 + 60.0
# Whatever went wrong, the kiosk is fit again this soon after it is right.
HEALED_S = 120.0
LAMP_TURNS = 2

MODES: tuple[dict[str, str], ...] = (
    {"mode": "toggle"},
    {"mode": "toggle", "while_speaking": "cut_turn"},
    {"mode": "hold"},
)


@dataclass(frozen=True)
class Broken:
    """Something that must hold and did not."""

    what: str  # wedged, unexplained, lamp, lease
    detail: str


class Microphone(Protocol):
    """The card and who speaks before it. `running`: the card itself."""

    @property
    def running(self) -> bool: ...

    def sound(self, seconds: float, *, speech: bool) -> None: ...

    def fail(self, how: str, late_s: float = 0.0) -> None: ...

    def mend(self) -> None: ...


class Loudspeaker(Protocol):
    """The other card."""

    @property
    def sounds(self) -> bool: ...

    def fail(self, how: str) -> None: ...

    def mend(self) -> None: ...


class World(abc.ABC):
    """`play` one visit after another; what is broken is in `broken`."""

    level: ClassVar[str]
    # Visits until another kiosk is started, with another way of using the button.
    life: ClassVar[int] = 250
    limits: ClassVar[dict[str, float]] = {
        "max_s": MAX_S, "warning_s": 10, "idle_s": 8, "answer_s": 8, "queue_s": 30
    }  # fmt: skip
    # What cannot be done at this level.
    without: ClassVar[frozenset[str]] = frozenset()
    # How much sooner visitors do what they do.
    hurry: ClassVar[float] = 1.0
    # Endings that need no more explanation.
    usual: ClassVar[frozenset[Kind]] = frozenset()
    # How long a lamp may differ from its card: turns of the loop, each so long.
    lamp_turns: ClassVar[tuple[int, float]] = (LAMP_TURNS, 0.0)

    host: Host
    _lamps: Lamps
    _microphone: Microphone
    _speaker: Loudspeaker
    _office: Office

    def __init__(self, what: Material, mode: int, seed: int) -> None:
        self.broken: list[Broken] = []
        self.endings: Counter[str] = Counter()
        self.moments: list[Moment] = []
        self.visits = 0
        self.tasks = 0  # more than after the first visit
        self._first_tasks: int | None = None
        self.trace = hashlib.sha256()
        self._what = what
        self._button = MODES[mode]
        self._held = self._button["mode"] == "hold"
        self._directory = what.directory / f"kiosk-{seed}"
        self._disk = Disk(self._directory)
        self._disk_failed = False
        self._wall_ahead_s = 0.0
        self._listener_takes_s = 0.0
        self._rng = random.Random(seed)
        self._tasks: list[asyncio.Task[None]] = []
        self._began: tuple[float, int] | None = None  # the visit under way: when, and its number
        self._visit: Visit | None = None
        self._cause: FieldValue = None  # why no visit can be held
        self._pressed_s = float("-inf")  # the last press that was no nervous second one

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        self._disk.format()
        async with self._site():
            await self._begin()
            try:
                yield self
            finally:
                await self._stop()

    # --- the kiosk --------------------------------------------------------------------------------

    @abc.abstractmethod
    def _site(self) -> contextlib.AbstractAsyncContextManager[None]:
        """All that the kiosk needs and that outlives it: an agent, a backend."""

    @abc.abstractmethod
    async def _begin(self) -> None:
        """Start the kiosk: `host`, and what it is beset with."""

    @abc.abstractmethod
    async def _closed(self) -> None:
        """What is to be done when its tasks have ended."""

    @abc.abstractmethod
    def _plays(self, script: str | None) -> None:
        """The agent, from now on."""

    @abc.abstractmethod
    def _goodbye(self) -> None:
        """The visitor says it."""

    def _push(self, edge: ButtonEdge) -> None:
        self.host.on_button(edge)

    async def _settle(self) -> None:
        """What was done is heard of by everybody."""
        await turns()

    def _new_id(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def _in_hand(self) -> int:
        """Leases that are neither spent nor told of."""
        return 0

    def _traced(self, moment: Moment) -> str:
        return f"{moment.what} {moment.at_s:.9f} {sorted(moment.fields.items())}\n"

    async def _stop(self) -> None:
        if self._disk_failed:
            # What was fetched meanwhile is not in the file, which is written at the next change.
            self._office.write_off()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            await asyncio.wait((task,))
            if not task.cancelled() and (error := task.exception()) is not None:
                self._break("wedged", f"{task.get_name()} failed: {_innermost(error)!r}")
        await self._closed()
        await self._settle()
        self._lamps.recording(on=False)  # as its line is given back
        self._began = None

    # --- a visit ----------------------------------------------------------------------------------

    async def play(self, visit: Visit) -> None:
        """Hold it, mend what it broke, and look whether the kiosk is as it was."""
        visit = visit.at_level(self.without, self.hurry)
        self.visits += 1
        self._visit, self._disk_failed = visit, False
        self._plays(visit.script)
        zero_s = loop_now_s() + LEAD_S
        for act in visit.acts:
            await asyncio.sleep(max(0.0, zero_s + act.at_s - loop_now_s()))
            await self._do(act)
        await self._idle(LIMIT_S, "the visit goes on")
        await self._mend()
        self._settle_accounts()
        self.moments.clear()
        count = len(asyncio.all_tasks())
        self._first_tasks = self._first_tasks or count
        self.tasks = count - self._first_tasks

    async def _do(self, act: Act) -> None:
        match act.do:
            case "press":
                await self._press()
            case "key":
                await self._press(str(act.value))
            case "network_gone" | "network_back":
                self.host.on_surroundings(network=act.do == "network_back", clock=True)
            case "down" | "up":
                await self._edge(pressed=act.do == "down")
            case "say":
                self._microphone.sound(float(act.value), speech=True)
            case "goodbye":
                self._goodbye()
            case "noise":
                self._microphone.sound(float(act.value), speech=False)
            case "backend":
                self._office.mode = str(act.value)
            case "backend_ok":
                self._office.mode = OK
            case "microphone_lost" | "microphone_busy" | "microphone_stuck" | "microphone_slow":
                self._microphone.fail(act.do.removeprefix("microphone_"), float(act.value))
            case "microphone_back":
                self._microphone.mend()
            case "speaker_lost" | "speaker_busy" | "speaker_stuck":
                self._speaker.fail(act.do.removeprefix("speaker_"))
            case "speaker_back":
                self._speaker.mend()
            case "stall":
                _stall(float(act.value))
            case "listener_stalls":
                self._listener_takes_s = float(act.value)
            case "listener_ok":
                self._listener_takes_s = 0.0
            case "disk_gone" | "disk_full":
                self._disk_failed = True
                self._disk.fail(full=act.do == "disk_full")
            case "disk_back":
                self._disk.mend()
            case "clock":
                self._wall_ahead_s += float(act.value)
                self._office.jumped_s = loop_now_s()
            case "end":
                self.host.post(Event.HANG_UP)
            case "pause":
                self.host.on_instructions(["paused"], None, True)
            case "stop":
                await self._stop()
                self._office.restarted_s = loop_now_s()
                await self._begin()
        await self._settle()
        self._look()

    async def _press(self, key: str | None = None) -> None:
        await self._edge(pressed=True, key=key)
        if self._held:
            await asyncio.sleep(0.2)
        await self._edge(pressed=False, key=key)

    async def _edge(self, *, pressed: bool, key: str | None = None) -> None:
        now_s, was = loop_now_s(), self.host.state
        calm = self._held or now_s - self._pressed_s >= NERVOUS_S
        # The key of another language is meant, however soon it comes.
        if pressed and (calm or key not in (None, self.host.language)):
            self._pressed_s = now_s
        heard, was_mute = len(self.moments), self._cause == Cause.NO_SPEAKER
        self._push(ButtonEdge(pressed, now_s, key))
        if pressed and calm and was is State.IDLE and not self._speaker.sounds:
            await self._settle()
            answered = was_mute or self.host.state is not State.IDLE or self._speaker.sounds
            answered = answered or any(m.what is What.VISIT_STARTED for m in self.moments[heard:])
            # Without a loudspeaker the lamp is all that there is, and it has been saying so.
            answered = answered or self.host.cause is Cause.NO_SPEAKER
            if not answered:
                self._break("wedged", f"a press without light or sound in {was}")

    async def _idle(self, limit_s: float, otherwise: str) -> None:
        until_s = loop_now_s() + limit_s
        while self.host.state is not State.IDLE or self._microphone.running:
            self._look()
            if any(task.done() for task in self._tasks):
                limit_s = until_s = 0.0
            if loop_now_s() > until_s:
                self._break("wedged", f"{otherwise}: {self.host.state} after {limit_s:g} s")
                await self._stop()
                await self._begin()
                return
            await asyncio.sleep(0.25)

    async def _mend(self) -> None:
        """Everything that was broken is whole again."""
        self._plays(None)
        self._office.mode = OK
        self._listener_takes_s = 0.0
        self.host.on_surroundings(network=True, clock=True)
        self._disk.mend()
        self._microphone.mend()
        self._speaker.mend()
        self.host.on_instructions([], None, False)
        until_s = loop_now_s() + HEALED_S
        # What the last visits failed for is shown until another goes well.
        while self.host.cause or self.host.shown is Cause.PAUSED or self._speaker.sounds:
            await asyncio.sleep(0.25)
            if loop_now_s() > until_s:
                self._break("wedged", f"still {self.host.shown} after {HEALED_S:g} s")
                await self._stop()
                await self._begin()
                until_s = loop_now_s() + HEALED_S
        await self._idle(LIMIT_S, "a second visit goes on")
        await asyncio.sleep(1.1)  # the next press is nobody's nervous second one

    # --- what must hold ---------------------------------------------------------------------------

    def _look(self) -> None:
        """The recording lamp is lit exactly while the card runs, within a turn of the loop."""
        if self._is_dark_wrongly():
            self._look_again(self._microphone, self.host.state, self.lamp_turns[0])

    def _look_again(self, microphone: Microphone, state: State, turns: int) -> None:
        """One turn is for the card's word, one for who hears of it."""
        if microphone is not self._microphone or not self._is_dark_wrongly():
            return
        if turns:
            loop, turn_s = asyncio.get_running_loop(), self.lamp_turns[1]
            soon = functools.partial(loop.call_later, turn_s) if turn_s else loop.call_soon
            soon(self._look_again, microphone, state, turns - 1)
        else:
            self._break("lamp", f"the card runs: {microphone.running}, in {state}")

    def _is_dark_wrongly(self) -> bool:
        idle = self.host.state in (State.IDLE, State.CLOSING)
        running = self._microphone.running
        return self._lamps.recording_lit != running or (running and idle)

    def _settle_accounts(self) -> None:
        lost = self._office.lost(self._in_hand())
        if lost > 0:
            self._break("lease", f"{lost} neither spent nor kept nor expired")
        for untrue in self._office.untrue:
            self._break("lease", untrue)
        self._office.untrue.clear()
        self._office.forget_old()

    def _break(self, what: str, detail: str) -> None:
        self.broken.append(Broken(what, detail))

    def _observe(self, moment: Moment) -> None:
        self.trace.update(self._traced(moment).encode())
        if self._listener_takes_s:
            _stall(self._listener_takes_s)
        self.moments.append(moment)
        del self.moments[:-500]
        match moment.what:
            case What.FITNESS:
                self._cause = moment.fields["cause"]
            case What.VISIT_STARTED:
                self._began = (moment.at_s, self.visits)
            case What.VISIT_ENDED:
                self._on_ended(moment.fields.get("kind"), moment.at_s)
        asyncio.get_running_loop().call_soon(
            lambda: asyncio.get_running_loop().call_soon(self._look)
        )

    def _on_ended(self, kind: FieldValue, at_s: float) -> None:
        self.endings[str(kind)] += 1
        known = {str(each) for each in RULES}
        if kind not in known:
            self._break("unexplained", f"{kind} is no ending of the table")
        elif self._visit is not None and Kind(str(kind)) not in self._explained(self._visit):
            self._break("unexplained", str(kind))
        if self._began is None:
            self._break("wedged", "a visit ended that had not begun")
        elif at_s - self._began[0] > LIMIT_S:
            self._break("wedged", f"a visit of {at_s - self._began[0]:.0f} s")
        self._began = None

    def _explained(self, visit: Visit) -> set[Kind]:
        kinds = explained(visit, self._held) | self.usual
        if self._office.saw_forgotten:
            # On a full disk the old file stays, and what it holds is taken up at the next start.
            self._office.saw_forgotten = False
            kinds.add(Kind.LEASE_REFUSED)
        return kinds


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _stall(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.clock.stall(seconds)


async def turns(count: int = 12) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
