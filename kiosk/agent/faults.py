"""Plays a scenario's steps at their moments. What each step does is a table of small functions.

A `FaultStage` is what a talk lets a script do. REST and handshakes are the business of
`rest_faults`.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import numpy as np

from kiosk.agent import scenario as script
from kiosk.agent.client_wire import Link, Shape
from kiosk.agent.odd_frames import ODD_FRAMES
from kiosk.audio.pcm import Samples
from kiosk.base.ids import NewId
from kiosk.convai.server_messages import ErrorReport, QueueStatus
from kiosk.convai.server_tools import SKIP_TURN, AgentToolRequest, AgentToolResponse


class FaultStage(Protocol):
    """The talk, as far as a script can direct it."""

    link: Link
    on_hold: bool
    new_id: NewId

    @property
    def output_rate_hz(self) -> int: ...

    @property
    def event_id(self) -> int: ...

    @property
    def spoken_id(self) -> int: ...

    def take_event_id(self) -> int: ...

    def begin_turn(self, text: str) -> None: ...

    def fall_silent(self) -> None: ...

    async def speak(self, text: str) -> None: ...

    async def play(self, samples: Samples) -> None: ...

    async def call_tool(self, name: str, *, expects_response: bool) -> None: ...

    async def end_call(self) -> None: ...


class FaultPlayer(Protocol):
    """What disturbs one talk."""

    async def at(self, moment: script.Moment, stage: FaultStage) -> bool:
        """Called at every moment; False if the agent should leave it at that."""
        ...

    def stop(self) -> None:
        """The talk is over."""
        ...


class Faults:
    """The steps of one connection. `at` is called at every moment and says whether to go on."""

    def __init__(self, steps: tuple[script.Step, ...], conversation: int) -> None:
        self._steps = [
            step for step in steps if step.conversation is None or step.conversation == conversation
        ]
        self._seen: Counter[str] = Counter()
        self._later: set[asyncio.Task[None]] = set()

    async def at(self, moment: script.Moment, stage: FaultStage) -> bool:
        """Play what is due now; False if the agent should leave it at that."""
        self._seen[moment] += 1
        go_on = True
        for step in self._due(moment):
            if step.after_s:
                self._start(self._play_later(step, stage))
            else:
                await self._play(step, stage)
            go_on = go_on and not isinstance(step, script.Silence | script.SkipTurn)
        return go_on

    def stop(self) -> None:
        """The conversation is over: what was still to come does not."""
        for task in self._later:
            task.cancel()

    def _due(self, moment: script.Moment) -> list[script.Step]:
        count = self._seen[moment]
        return [step for step in self._steps if step.on == moment and step.nth in (None, count)]

    def _start(self, playing: Any) -> None:
        task = asyncio.create_task(playing, name="fault")
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _play_later(self, step: script.Step, stage: FaultStage) -> None:
        await asyncio.sleep(step.after_s)
        await self._play(step, stage)

    async def _play(self, step: script.Step, stage: FaultStage) -> None:
        await _ACTIONS[type(step)](step, stage)


async def _delay(step: script.Delay, stage: FaultStage) -> None:
    await stage.link.pause(step.for_s)


async def _close(step: script.CloseStep, stage: FaultStage) -> None:
    await stage.link.close(step.code, step.reason)


async def _report(step: script.ReportStep, stage: FaultStage) -> None:
    await stage.link.send(ErrorReport(step.code, step.message, step.error_type))


async def _reset(_: script.Reset, stage: FaultStage) -> None:
    stage.link.reset()


async def _vanish(_: script.Vanish, stage: FaultStage) -> None:
    stage.link.vanish()


async def _stall(step: script.Stall, stage: FaultStage) -> None:
    stage.link.stall(on=True)
    try:
        await stage.link.pause(step.for_s)
    finally:
        stage.link.stall(on=False)


async def _disturb(step: script.Disturb, stage: FaultStage) -> None:
    stage.link.shape = Shape(step.jitter_ms, step.duplicate, step.swap_audio)


async def _send(step: script.Send, stage: FaultStage) -> None:
    frame = step.text if step.odd is None else ODD_FRAMES[step.odd].frame()
    await stage.link.send_frame(frame or "")


async def _queue(step: script.Queue, stage: FaultStage) -> None:
    stage.on_hold = step.status == "waiting"
    await stage.link.send(QueueStatus(step.status))


async def _music(step: script.Music, stage: FaultStage) -> None:
    await stage.play(_arpeggio(step.for_s, stage.output_rate_hz))


async def _say(step: script.Say, stage: FaultStage) -> None:
    await stage.speak(step.text)


async def _silence(_: script.Silence, __: FaultStage) -> None:
    """The answer that does not come is `Faults.at` answering False."""


async def _skip_turn(_: script.SkipTurn, stage: FaultStage) -> None:
    call_id = f"tool_{stage.new_id()[:8]}"
    await stage.link.send(
        AgentToolResponse(SKIP_TURN, call_id, event_id=stage.event_id, status="success")
    )


async def _call_tool(step: script.CallTool, stage: FaultStage) -> None:
    await stage.call_tool(step.tool, expects_response=step.expects_response)


async def _use_tool(step: script.UseTool, stage: FaultStage) -> None:
    call_id, event_id = f"tool_{stage.new_id()[:8]}", stage.event_id
    if step.announced:
        timeout_s = round(step.timeout_s)
        await stage.link.send(AgentToolRequest(step.tool, call_id, "webhook", event_id, timeout_s))
    await stage.link.pause(step.takes_s)
    await stage.link.send(
        AgentToolResponse(
            step.tool,
            call_id,
            "webhook",
            is_error=step.status == "error",
            is_called=step.status != "skipped",
            event_id=event_id,
            is_blocked=step.status == "blocked",
            status=step.status,
        )
    )


async def _end_call(_: script.EndCall, stage: FaultStage) -> None:
    await stage.end_call()


_ACTIONS: dict[type[script.Step], Callable[[Any, FaultStage], Awaitable[None]]] = {
    script.Delay: _delay,
    script.CloseStep: _close,
    script.ReportStep: _report,
    script.Reset: _reset,
    script.Vanish: _vanish,
    script.Stall: _stall,
    script.Disturb: _disturb,
    script.Send: _send,
    script.Queue: _queue,
    script.Music: _music,
    script.Say: _say,
    script.Silence: _silence,
    script.SkipTurn: _skip_turn,
    script.CallTool: _call_tool,
    script.UseTool: _use_tool,
    script.EndCall: _end_call,
}


def _arpeggio(seconds: float, rate_hz: int) -> Samples:
    """Hold music: four notes over and over."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    notes_hz = np.array([262.0, 330.0, 392.0, 523.0])[(time_s * 4).astype(int) % 4]
    phase = 2 * np.pi * np.cumsum(notes_hz) / rate_hz
    music: Samples = np.round(5000 * np.sin(phase)).astype(np.int16)
    return music
