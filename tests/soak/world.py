"""A kiosk, an agent and a backend in one loop, the player of visits, and what must always hold."""

import asyncio
import contextlib
import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from kiosk.agent.guide import Guide, load_guide
from kiosk.agent.hearing import Heard, Recogniser
from kiosk.agent.manner import Manner
from kiosk.agent.scenario import load_scenario
from kiosk.agent.server import AgentSettings, LocalAgent
from kiosk.agent.voice import Voice as AgentVoice
from kiosk.audio.pcm import Samples, silence
from kiosk.base.clock import loop_now_s
from kiosk.config import Settings
from kiosk.convai.endings import RULES, Kind, classify_denial
from kiosk.devices.ports import ButtonEdge, Opened
from kiosk.lab.virtual_loop import VirtualLoop
from kiosk.link.account import Account
from kiosk.link.keeper import CredentialKeeper
from kiosk.link.lease_file import LeaseFile
from kiosk.link.report_file import ReportFile
from kiosk.visit.fitness import Cause
from kiosk.visit.host import NERVOUS_S, Host
from kiosk.visit.planning import plan_of
from kiosk.visit.speech import Voice
from kiosk.visit.states import Event, State
from kiosk.visit.timeline import FieldValue, Moment, What
from kiosk.visit.tools import Tools
from tests.soak.devices import BUSY, LOST, STUCK, CountedMicrophone, CountedSpeaker, Lamps
from tests.soak.disk import Disk
from tests.soak.office import DOWN, OK, REFUSALS, Office
from tests.soak.visitors import Act, Visit

LEAD_S = 1.5  # before the first press: a fault may be there already
MAX_S = 90.0
# From the press: the longest visit, what may still be said then, and a queue before it.
LIMIT_S = MAX_S + 120.0 + 60.0 + 60.0
# Whatever went wrong, the kiosk is fit again this soon after it is right.
HEALED_S = 120.0
LAMP_TURNS = 2
# What the wall clock says when the loop's is zero.
_LONG_AGO_S = 1.7e9

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


class _Recogniser(Recogniser):
    """Understands what is in the script, and never listens."""

    def __init__(self, guide: Guide) -> None:
        self.says_goodbye = False
        self._questions = [min(entry.sentences) for entry in guide.entries if not entry.tool]
        self._goodbye = [min(entry.sentences) for entry in guide.entries if entry.tool]
        self._asked = 0

    def recognise(self, samples: Samples) -> Heard:
        self._asked += 1
        if self.says_goodbye and self._goodbye:
            return Heard(self._goodbye[0], 0.9)
        if self._asked % 7 == 0:
            return Heard(None, 0.1)
        return Heard(self._questions[self._asked % len(self._questions)], 0.9)


class _AgentVoice(AgentVoice):
    """Silence, as long as the text."""

    async def render(self, text: str, rate_hz: int) -> Samples:
        return silence(round(min(6.0, 0.06 * len(text)) * rate_hz))


class World:
    """`play` one visit after another; what is broken is in `broken`."""

    def __init__(
        self, directory: Path, voice: Voice, speech: Samples, button: dict[str, str], seed: int
    ) -> None:
        self.broken: list[Broken] = []
        self.endings: Counter[str] = Counter()
        self.moments: list[Moment] = []
        self.visits = 0
        self.tasks = 0  # more than after the first visit
        self._first_tasks: int | None = None
        self.trace = hashlib.sha256()
        self._directory = directory / "state"
        self._disk = Disk(self._directory)
        self._disk_failed = False
        self._wall_ahead_s = 0.0
        self._listener_takes_s = 0.0
        self._voice = voice
        self._speech = speech
        self._rng = random.Random(seed)
        limits = {"max_s": MAX_S, "warning_s": 10, "idle_s": 8, "answer_s": 8, "queue_s": 30}
        self._settings = Settings.model_validate(
            {
                "agent": {"id": "agent_local"},
                "button": {"driver": "none", **button},
                "visit": limits,
            }
        )
        self._held = button["mode"] == "hold"
        guide = load_guide()
        self._recogniser = _Recogniser(guide)
        manner = Manner(output_format="ulaw_8000", no_input_s=1000.0)
        self.agent = LocalAgent(
            AgentSettings(port=0, manner=manner), guide, self._recogniser, lambda _: None,
            voice=_AgentVoice("en-gb"), new_id=self._new_id,
        )  # fmt: skip
        self._began: tuple[float, int] | None = None  # the visit under way: when, and its number
        self._visit: Visit | None = None
        self._pressed_s = float("-inf")  # the last press that was no nervous second one

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        self._disk.format()
        async with self.agent.listening() as url:
            self._office = Office(url.replace("http", "ws"))
            await self._begin()
            try:
                yield self
            finally:
                await self._stop()

    # --- the kiosk --------------------------------------------------------------------------------

    async def _begin(self) -> None:
        self._pressed_s = float("-inf")
        self._lamps = Lamps()
        reports = ReportFile(self._directory / "reports.json")
        self._account = Account(self._office, self._rng.random, reports, self._wall_s)
        self._keeper = CredentialKeeper(
            self._office.fetch,
            "warm",
            self._rng.random,
            account=self._account,
            file=LeaseFile(self._directory / "leases.json", "soak"),
            new_id=self._new_id,
        )
        self._microphone = CountedMicrophone(
            lambda event: self.host.on_microphone(event), self._speech
        )
        self._speaker = CountedSpeaker(lambda event: self.host.on_speaker(event))
        self.host = Host(
            plan_of(self._settings), self._microphone, self._speaker, self._lamps, self._voice,
            self._keeper, Tools({}, 5.0), self._observe, self._report, self._rng.random,
        )  # fmt: skip
        self._speaker.tell(lambda event: self.host.on_speaker(event))
        self._tasks = [
            asyncio.create_task(self.host.run(), name="host"),
            asyncio.create_task(self._keeper.run(self.host.health.standing), name="keeper"),
        ]
        self.host.on_microphone(Opened("a card"))
        self.host.on_speaker(Opened("a card"))

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
        await self._account.close()
        self._microphone.stop()
        await _turns()
        self._lamps.recording(on=False)  # as its line is given back
        self._began = None

    async def _report(self) -> str:
        return ""

    def _new_id(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def _wall_s(self) -> float:
        return _LONG_AGO_S + loop_now_s() + self._wall_ahead_s

    # --- a visit ----------------------------------------------------------------------------------

    async def play(self, visit: Visit) -> None:
        """Hold it, mend what it broke, and look whether the kiosk is as it was."""
        self.visits += 1
        self._visit, self._disk_failed = visit, False
        self._recogniser.says_goodbye = False
        self.agent.scenario = None if visit.script is None else load_scenario(visit.script)
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
            case "down" | "up":
                await self._edge(pressed=act.do == "down")
            case "say":
                self._microphone.sound(float(act.value), speech=True)
            case "goodbye":
                self._recogniser.says_goodbye = True
                self._microphone.sound(1.0, speech=True)
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
                self.host.health.paused(True, end_visit=True)
            case "stop":
                await self._stop()
                self._office.restarted_s = loop_now_s()
                await self._begin()
        await _turns()
        self._look()

    async def _press(self) -> None:
        if self._held:
            await self._edge(pressed=True)
            await asyncio.sleep(0.2)
            await self._edge(pressed=False)
            return
        await self._edge(pressed=True)
        await self._edge(pressed=False)

    async def _edge(self, *, pressed: bool) -> None:
        now_s, was = loop_now_s(), self.host.state
        calm = self._held or now_s - self._pressed_s >= NERVOUS_S
        if pressed and calm:
            self._pressed_s = now_s
        heard = len(self.moments)
        self.host.on_button(ButtonEdge(pressed, now_s))
        if pressed and calm and was is State.IDLE and not self._speaker.sounds:
            await _turns()
            answered = self.host.state is not State.IDLE or self._speaker.sounds
            answered = answered or any(m.what is What.VISIT_STARTED for m in self.moments[heard:])
            # Without a loudspeaker the lamp is all that there is, and it has been saying so.
            answered = answered or self.host.health.cause is Cause.NO_SPEAKER
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
        self.agent.scenario = None
        self._office.mode = OK
        self._listener_takes_s = 0.0
        self._disk.mend()
        self._microphone.mend()
        self._speaker.mend()
        self.host.health.paused(False)
        until_s = loop_now_s() + HEALED_S
        while self.host.health.shown is not None or self._speaker.sounds:
            await asyncio.sleep(0.25)
            if loop_now_s() > until_s:
                self._break("wedged", f"still {self.host.health.shown} after {HEALED_S:g} s")
                await self._stop()
                await self._begin()
                until_s = loop_now_s() + HEALED_S
        await self._idle(LIMIT_S, "a second visit goes on")
        await asyncio.sleep(1.1)  # the next press is nobody's nervous second one

    # --- what must hold ---------------------------------------------------------------------------

    def _look(self) -> None:
        """The recording lamp is lit exactly while the card runs, within a turn of the loop."""
        if self._is_dark_wrongly():
            self._look_again(self._microphone, self.host.state, LAMP_TURNS)

    def _look_again(self, microphone: CountedMicrophone, state: State, turns: int) -> None:
        """One turn is for the card's word, one for who hears of it."""
        if microphone is not self._microphone or not self._is_dark_wrongly():
            return
        if turns:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._look_again, microphone, state, turns - 1)
        else:
            self._break("lamp", f"the card runs: {microphone.running}, in {state}")

    def _is_dark_wrongly(self) -> bool:
        idle = self.host.state in (State.IDLE, State.CLOSING)
        running = self._microphone.running
        return self._lamps.recording_lit != running or (running and idle)

    def _settle_accounts(self) -> None:
        lost = self._office.lost(self._keeper.in_hand + self._account.untold_reports)
        if lost > 0:
            self._break("lease", f"{lost} neither spent nor kept nor expired")
        for untrue in self._office.untrue:
            self._break("lease", untrue)
        self._office.untrue.clear()
        self._office.forget_old()

    def _break(self, what: str, detail: str) -> None:
        self.broken.append(Broken(what, detail))

    def _observe(self, moment: Moment) -> None:
        fields = sorted(moment.fields.items())
        self.trace.update(f"{moment.what} {moment.at_s:.9f} {fields}\n".encode())
        _stall(self._listener_takes_s)
        self.moments.append(moment)
        del self.moments[:-500]
        match moment.what:
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
        elif self._visit is not None and Kind(str(kind)) not in explained(self._visit, self._held):
            self._break("unexplained", str(kind))
        if self._began is None:
            self._break("wedged", "a visit ended that had not begun")
        elif at_s - self._began[0] > LIMIT_S:
            self._break("wedged", f"a visit of {at_s - self._began[0]:.0f} s")
        self._began = None


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _stall(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.clock.stall(seconds)


async def _turns(count: int = 12) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# --- what explains an ending --------------------------------------------------------------------

_ALWAYS = frozenset({Kind.ABANDONED, Kind.TIME_UP})
_LINE = frozenset({Kind.PEER_DEAD, Kind.NETWORK_LOST, Kind.UNREACHABLE, Kind.NO_METADATA})


def explained(visit: Visit, held: bool) -> set[Kind]:
    """The endings that what was done and what went wrong in this visit explain."""
    kinds = set(_ALWAYS)
    presses = sum(act.do in ("press", "down") for act in visit.acts)
    if presses > 1 or any(act.do in ("end", "down") for act in visit.acts):
        kinds.add(Kind.HUNG_UP)
    for act in visit.acts:
        kinds |= _BY_ACT.get(act.do, _nothing)(act)
    if visit.script is not None:
        kinds |= _by_script(visit.script)
    return kinds


def _by_backend(act: Act) -> frozenset[Kind]:
    if act.value == DOWN:
        return frozenset({Kind.BACKEND_UNREACHABLE})
    if act.value in REFUSALS:
        return frozenset({classify_denial(str(act.value)).kind})
    return frozenset()


def _microphone_lost(_: Act) -> frozenset[Kind]:
    return frozenset({Kind.MICROPHONE_LOST})


def _speaker_lost(_: Act) -> frozenset[Kind]:
    return frozenset({Kind.SPEAKER_LOST})


def _nothing(_: Act) -> frozenset[Kind]:
    return frozenset()


_BY_ACT: dict[str, Callable[[Act], frozenset[Kind]]] = {
    "goodbye": lambda _: frozenset({Kind.AGENT_ENDED}),
    "noise": lambda _: frozenset({Kind.NO_ANSWER}),
    "backend": _by_backend,
    **{f"microphone_{how}": _microphone_lost for how in (LOST, BUSY, STUCK)},
    **{f"speaker_{how}": _speaker_lost for how in (LOST, BUSY, STUCK)},
    "stall": lambda _: _LINE,
    "listener_stalls": lambda _: _LINE,
    # What was in hand may have been spent just before, and its file not written yet.
    "stop": lambda _: frozenset({Kind.LEASE_REFUSED}),
    "pause": lambda _: frozenset({Kind.PAUSED}),
}


def _by_script(name: str) -> frozenset[Kind]:
    return frozenset({Kind(load_scenario(name).ending)})
