"""The demo without a script: whoever sits at this machine presses, asks, and hears or reads.

Enter is the button, and a line of text is a question in writing. The microphone and the loudspeaker
are this machine's, or nobody's where all is in writing.
"""

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from kiosk.base.clock import REAL, loop_now_s
from kiosk.config import Settings
from kiosk.daemon.kiosk import Daemon
from kiosk.devices.hardware import Hardware, configured_hardware
from kiosk.devices.virtual import Room
from kiosk.endings import Ending, Kind
from kiosk.lab.demo.servers import AgentEvent
from kiosk.lab.virtual_kiosk import VirtualDevices, running
from kiosk.moments import Moment, What
from kiosk.visit.states import Event, State

HELP = (
    "Enter is the button: it begins a visit, and ends it. Type a question, and Enter asks it in "
    "writing. Ctrl-D ends."
)
_FIT_WITHIN_S = 20.0
_GOODBYE_WITHIN_S = 30.0
_PIECE_BYTES = 65_536

Happened = Callable[[Moment | AgentEvent], None]


@dataclass(slots=True)
class Exchange:
    """A question, as the agent took it, and its answer. `asked_s`: its last sound, or its Enter."""

    asked_s: float
    heard: str | None
    said: str | None = None
    answered_s: float | None = None


@dataclass(slots=True)
class LiveRecord:
    """What was asked and answered, for the table at the end."""

    turns: list[Exchange] = field(default_factory=list)

    def on_agent(self, event: AgentEvent) -> None:
        """What the agent heard or read, and what it says."""
        match event:
            case {"event": "heard", "text": text, "last_voiced_received_s": float(at_s)}:
                self.turns.append(Exchange(at_s, None if text is None else str(text)))
            case {"event": "read", "text": str(text), "at_s": float(at_s)}:
                self.turns.append(Exchange(at_s, text))
            case {"event": "agent_started", "text": str(said)} if self.turns:
                turn = self.turns[-1]
                turn.said = turn.said or said

    def on_moment(self, moment: Moment) -> None:
        """When the answer was heard."""
        if moment.what is What.AGENT_HEARD and self.turns:
            turn = self.turns[-1]
            if turn.answered_s is None and turn.said is not None:
                turn.answered_s = moment.at_s

    def result(self) -> dict[str, object]:
        """The turns, as the table and `--json` have them."""
        turns = [
            {
                "heard": turn.heard,
                "said": turn.said,
                "response_latency_ms": None
                if turn.answered_s is None
                else round((turn.answered_s - turn.asked_s) * 1000),
            }
            for turn in self.turns
        ]
        return {"turns": turns}


class LiveRunner:
    """One sitting. `happened` is told everything; `text`: all is in writing, and silent."""

    def __init__(self, record: LiveRecord, happened: Happened, *, text: bool) -> None:
        self._record = record
        self._happened = happened
        self._text = text
        self._changed = asyncio.Event()

    def on_agent(self, event: AgentEvent) -> None:
        self._record.on_agent(event)
        self._happened(event)

    async def sit(self, settings: Settings, lines: AsyncIterator[str]) -> None:
        """Take lines until there are no more; a visit that is under way then is ended."""
        daemon = Daemon(settings, self._hardware(settings), self._on_moment, clock=REAL)
        async with running(daemon):
            await self._until(lambda: daemon.host.cause is None, _FIT_WITHIN_S)
            async for line in lines:
                await self._take(daemon, line.strip())
            if daemon.host.state is not State.IDLE:
                self._button(daemon)
                await self._until(lambda: daemon.host.state is State.IDLE, _GOODBYE_WITHIN_S)

    async def _take(self, daemon: Daemon, line: str) -> None:
        host = daemon.host
        if not line:
            self._button(daemon)
            return
        if host.state is State.IDLE:
            host.press()
            await host.what_a_press_did()
        await self._until(lambda: host.state is not State.OPENING, _FIT_WITHIN_S)
        if not host.ask(line):
            self._record.turns.append(Exchange(loop_now_s(), line))  # nobody listens

    def _button(self, daemon: Daemon) -> None:
        """Whoever sits there reads and types: it is his visit also when nobody has spoken."""
        if daemon.host.state is State.IDLE:
            daemon.host.press()
        else:
            daemon.host.post(Event.HANG_UP, Ending(Kind.HUNG_UP))

    def _hardware(self, settings: Settings) -> Hardware:
        return VirtualDevices(Room()).hardware() if self._text else configured_hardware(settings)

    def _on_moment(self, moment: Moment) -> None:
        self._record.on_moment(moment)
        self._happened(moment)
        self._changed.set()

    async def _until(self, condition: Callable[[], bool], within_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()


async def typed_lines(stdin: int = 0) -> AsyncIterator[str]:
    """What is typed on the terminal, or comes from a pipe or a file, line by line."""
    if stat.S_ISREG(os.fstat(stdin).st_mode):  # which is there at once
        with os.fdopen(os.dup(stdin), errors="replace") as file:
            for line in file:
                yield line
        return
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def take() -> None:
        loop.remove_reader(stdin)  # the next piece, or the end, waits until this one is used
        try:
            pieces.put_nowait(os.read(stdin, _PIECE_BYTES))
        except OSError:  # the terminal is gone
            pieces.put_nowait(b"")

    async def piece_of_it() -> bytes:
        # Not by the loop's own pipe, by which the terminal would not wait for what is shown.
        loop.add_reader(stdin, take)
        return await pieces.get()

    try:
        text = b""
        while piece := await piece_of_it():
            *whole, text = (text + piece).split(b"\n")
            for each in whole:
                yield each.decode(errors="replace")
        if text:
            yield text.decode(errors="replace")
    finally:
        loop.remove_reader(stdin)
