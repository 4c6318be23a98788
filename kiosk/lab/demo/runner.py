"""Plays the script: the daemon on virtual devices, and a visitor who presses and speaks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from kiosk.audio.levels import voiced_span
from kiosk.base.clock import loop_now_s
from kiosk.base.mistakes import in_words
from kiosk.config import Settings
from kiosk.daemon.kiosk import Daemon
from kiosk.devices.ports import Pattern
from kiosk.devices.virtual import Room
from kiosk.errors import ConfigError
from kiosk.lab.demo.lines import ScriptLine, When
from kiosk.lab.demo.servers import AgentEvent
from kiosk.lab.virtual_kiosk import VirtualDevices, running
from kiosk.measures import Measures
from kiosk.moments import Moment, What
from kiosk.visit.visit import NERVOUS_S

_READY_TIMEOUT_S = 20.0
_ANSWER_TIMEOUT_S = 20.0
_DRAIN_TIMEOUT_S = 60.0
# A person breathes before asking on, and lets the agent speak before cutting in.
_BREATH_S = 0.6
_PAUSES_S = {
    When.AFTER_ANSWER: _BREATH_S,
    When.WHEN_ADMITTED: _BREATH_S,
    When.OVER_ANSWER: 2.0,
}
_MARGIN_S = 0.1
_ANSWER = frozenset({What.AGENT_HEARD, What.VISIT_ENDED})


@dataclass(frozen=True, slots=True)
class Spoken:
    """A line as it was said: monotonic seconds of its start and of its last voiced sample."""

    line: ScriptLine
    started_s: float
    last_voiced_s: float


@dataclass(slots=True)
class DemoRecord:
    """Everything that happened, for the report."""

    room: Room
    moments: list[Moment] = field(default_factory=list)
    agent: list[AgentEvent] = field(default_factory=list)
    spoken: list[Spoken] = field(default_factory=list)
    lamps: list[tuple[float, Pattern]] = field(default_factory=list)
    measures: Measures = field(default_factory=Measures)
    pressed_s: float = 0.0
    ended_s: float = 0.0
    errors: list[str] = field(default_factory=list)
    fit_again: bool = False  # after the visit another one could be held


class DemoRunner:
    """One performance. `show` is told every moment as it happens."""

    def __init__(
        self, record: DemoRecord, show: Callable[[Moment | Spoken | AgentEvent], None]
    ) -> None:
        self._record = record
        self._show = show
        self._changed = asyncio.Event()
        self._devices = VirtualDevices(record.room)

    def on_agent(self, event: AgentEvent) -> None:
        self._record.agent.append(event)
        self._show(event)
        self._changed.set()

    async def rehearse(
        self,
        settings: Settings,
        lines: tuple[ScriptLine, ...],
        *,
        hang_up: bool,
        afterwards: Callable[[Daemon], Awaitable[None]] | None = None,
    ) -> None:
        """A visit in which things go wrong: what is said may stay unanswered, and the visit may
        end at any time. `afterwards` is awaited while the kiosk still runs."""
        record = self._record
        async with self._kiosk(settings) as daemon:
            record.pressed_s = self.press()
            for line in lines:
                spoken = await self._say(line)
                if spoken is None:
                    break
                await self._first_of(_ANSWER, spoken.last_voiced_s, _ANSWER_TIMEOUT_S)
            if hang_up and not self._has_happened(What.VISIT_ENDED):
                # Sooner, the press would be taken for a nervous second one.
                calm_s = record.pressed_s + NERVOUS_S + _MARGIN_S - loop_now_s()
                await asyncio.sleep(max(_BREATH_S, calm_s))
                self.press()
            await self._wait_for(What.VISIT_ENDED, record.pressed_s, _DRAIN_TIMEOUT_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_READY_TIMEOUT_S):
                    await self._fit(daemon)
            record.fit_again = daemon.host.cause is None
            self._take_note(daemon)
            if afterwards is not None:
                await afterwards(daemon)

    async def play(self, settings: Settings, lines: tuple[ScriptLine, ...]) -> None:
        """Hold the visit; what does not happen in time is an error in the record."""
        async with self._kiosk(settings) as daemon:
            self._record.pressed_s = self.press()
            for line in lines:
                if not await self._perform(line):
                    break
            await self._wait_for(What.VISIT_ENDED, self._record.pressed_s, _DRAIN_TIMEOUT_S)
            self._take_note(daemon)

    async def converse(self, settings: Settings, lines: tuple[ScriptLine, ...]) -> None:
        """Hold a visit with an agent that does not hang up: the visitor does, after the last
        answer."""
        record = self._record
        async with self._kiosk(settings) as daemon:
            record.pressed_s = self.press()
            for line in lines:
                if not await self._perform(line):
                    break
            if record.spoken and not self._has_happened(What.VISIT_ENDED):
                last_s = record.spoken[-1].last_voiced_s
                heard_s = await self._first_of(_ANSWER, last_s, _ANSWER_TIMEOUT_S)
                over = {What.DRAINED, What.VISIT_ENDED}
                await self._first_of(over, heard_s or last_s, _DRAIN_TIMEOUT_S)
                await asyncio.sleep(_BREATH_S)
                self.press()
            await self._wait_for(What.VISIT_ENDED, record.pressed_s, _DRAIN_TIMEOUT_S)
            self._take_note(daemon)

    def press(self) -> float:
        """Press the button; when that was."""
        return self._devices.button.press()

    def _take_note(self, daemon: Daemon) -> None:
        self._record.measures = daemon.host.measures
        self._record.ended_s = loop_now_s()
        self._record.lamps = self._devices.indicator.shown

    @contextlib.asynccontextmanager
    async def _kiosk(self, settings: Settings) -> AsyncIterator[Daemon]:
        clock = self._record.room.clock
        daemon = Daemon(settings, self._devices.hardware(), self._on_moment, clock=clock)
        async with running(daemon):
            try:
                async with asyncio.timeout(_READY_TIMEOUT_S):
                    await self._fit(daemon)
            except TimeoutError:
                self._record.errors.append("the kiosk did not become ready")
            yield daemon

    async def _fit(self, daemon: Daemon) -> None:
        while daemon.host.cause is not None:
            self._changed.clear()
            await self._changed.wait()

    def _on_moment(self, moment: Moment) -> None:
        self._record.moments.append(moment)
        self._show(moment)
        self._changed.set()

    async def _perform(self, line: ScriptLine) -> bool:
        """Say a line at its moment and wait for the answer; False if none came."""
        spoken = await self._say(line)
        if spoken is None:
            return False
        heard_s = await self._wait_for(What.AGENT_HEARD, spoken.last_voiced_s, _ANSWER_TIMEOUT_S)
        return heard_s is not None

    async def _say(self, line: ScriptLine) -> Spoken | None:
        """None if the visit is over before the line's moment."""
        record = self._record
        if not await self._moment_of(line):
            return None
        at_press = line.when is When.AT_PRESS
        start_s = record.pressed_s if at_press else loop_now_s() + _PAUSES_S[line.when]
        assert line.samples is not None
        _, end = voiced_span(line.samples, record.room.rate_hz)
        spoken = Spoken(line, start_s, start_s + end / record.room.rate_hz)
        record.room.say(line.samples, start_s)
        record.spoken.append(spoken)
        self._show(spoken)
        return spoken

    async def _moment_of(self, line: ScriptLine) -> bool:
        match line.when:
            case When.AFTER_ANSWER:
                since_s = self._record.spoken[-1].last_voiced_s
                heard_s = await self._first_of(_ANSWER, since_s, _ANSWER_TIMEOUT_S)
                over = {What.DRAINED, What.VISIT_ENDED}
                await self._first_of(over, heard_s or since_s, _DRAIN_TIMEOUT_S)
            case When.WHEN_ADMITTED:
                admitted = {What.ADMITTED, What.VISIT_ENDED}
                await self._first_of(admitted, self._record.pressed_s, _ANSWER_TIMEOUT_S)
        return not self._has_happened(What.VISIT_ENDED)

    def _has_happened(self, what: What) -> bool:
        return any(moment.what is what for moment in self._record.moments)

    async def _first_of(
        self, whats: Collection[What], after_s: float, timeout_s: float
    ) -> float | None:
        """When one of these first happened after a moment; None if none does in time.

        The end of the visit counts whenever it was: nothing comes after it.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    self._changed.clear()
                    for moment in self._record.moments:
                        late = moment.at_s > after_s or moment.what is What.VISIT_ENDED
                        if moment.what in whats and late:
                            return moment.at_s
                    await self._changed.wait()
        return None

    async def _wait_for(self, what: What, after_s: float, timeout_s: float) -> float | None:
        """The same of what must happen: if it does not, that is an error."""
        at_s = await self._first_of({what}, after_s, timeout_s)
        if at_s is None:
            self._record.errors.append(f"waited {timeout_s:g} s in vain for: {what}")
        return at_s


def settings_for(
    directory: Path,
    credentials: Mapping[str, Any],
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    scenario: str = "",
    language: str = "en",
    agent: Mapping[str, Any] = MappingProxyType({}),
) -> Settings:
    """The daemon's configuration: all default but where things are, the language of its own
    sentences, the road to the agent, and a scenario's `changes`.

    Raises ConfigError.
    """
    tables: dict[str, dict[str, Any]] = {
        "kiosk": {"name": "demo", "language": language},
        "agent": dict(agent),
        "credentials": dict(credentials),
        "button": {"driver": "none"},
        "indicator": {"driver": "none"},
        "capture": {"driver": "virtual"},
        "playback": {"driver": "virtual"},
        "control": {"socket": directory / "control.sock"},
    }
    for name, table in (changes or {}).items():
        tables[name] = {**tables.get(name, {}), **table}
    try:
        return Settings.model_validate(tables)
    except ValidationError as error:
        raise ConfigError("\n".join(_mistakes(error, scenario))) from error


def _mistakes(error: ValidationError, scenario: str) -> Iterator[str]:
    """A line for each: the key as a fault script has it, and what is wrong."""
    found = error.errors(include_url=False, include_input=False)
    unknown = "no such setting; config.example.toml lists them all"
    for mistake in in_words(found, Settings.model_json_schema(), unknown):
        said = f"{'.'.join(('kiosk', *mistake.keys))}: {mistake.what}"
        yield f"scenario {scenario}: {said}" if scenario else said
