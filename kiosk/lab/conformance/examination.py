"""Plays the probes to a client, a ping behind each, so that what it does not survive has a name."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Collection

from kiosk.agent.faults import Faults, FaultStage
from kiosk.agent.odd_frames import ODD_FRAMES
from kiosk.agent.scenario import Moment, Step
from kiosk.audio.pcm import silence
from kiosk.base.clock import loop_now_s
from kiosk.convai.frames import serialize
from kiosk.convai.server_messages import AgentAudio, AgentResponseCorrection, Interruption, Ping
from kiosk.convai.server_tools import ToolCall
from kiosk.lab.conformance.figures import tone
from kiosk.lab.conformance.probes import (
    EXAMINED_TOOL,
    INTERRUPTION,
    NOBODYS_TOOL,
    PROBES,
    TOOL_CALLS,
    Probe,
)
from kiosk.lab.conformance.record import ConnectionRecord, new_record
from kiosk.lab.conformance.report import ConformanceReport

# Ids of its own, far from those of the talk's pings.
_FIRST_PING_ID = 500_000
# How long a client may take to answer its first ping.
_PATIENCE_S = 2.0
_PINGS = 4
_PING_EVERY_S = 0.2
# Between what a client survived and the next probe.
_PAUSE_S = 0.1
# How long a client may take to answer the tool calls before the next probe begins.
_TOOLS_S = 0.5
_CUT_AFTER_S = 1.0
_CUT_SENTENCE = "This sentence is cut short on purpose, and nothing of it should be heard any more."


class Examination:
    """A fault script's steps and the probes of one connection, from the metadata on; those in
    `settled` are left out."""

    def __init__(
        self,
        record: ConnectionRecord,
        settled: Collection[str],
        tool: str,
        examined: Callable[[], None],
        script: Faults,
    ) -> None:
        self._script = script
        self._examining: asyncio.Task[None] | None = None
        self._record = record
        self._probes = [probe for probe in PROBES if probe.name not in settled]
        self._tool = tool
        self._examined = examined
        self._ping_id = _FIRST_PING_ID
        self._pong = asyncio.Event()
        record.on_pong = self._pong.set

    async def at(self, moment: Moment, stage: FaultStage) -> bool:
        go_on = await self._script.at(moment, stage)
        if moment == "connected":
            self._examining = asyncio.create_task(self._examine(stage), name="examination")
        return go_on

    def stop(self) -> None:
        self._script.stop()
        if self._examining is not None:
            self._examining.cancel()

    async def _examine(self, stage: FaultStage) -> None:
        await self._ping(stage)
        await self._answered(_PATIENCE_S)
        for probe in self._probes:
            if probe.name == INTERRUPTION and self._record.text_only:
                continue
            if probe.name == INTERRUPTION:
                stage.begin_turn(_CUT_SENTENCE)
                await asyncio.sleep(_CUT_AFTER_S)
            if not await self._survives(probe, stage):
                return  # what follows would be laid to its charge
            if probe.name == TOOL_CALLS:
                await asyncio.sleep(_TOOLS_S)
                for _ in range(_PINGS):
                    await self._ping(stage)
                    await asyncio.sleep(_PING_EVERY_S)
        await asyncio.sleep(self._record.tone.until_s - loop_now_s())
        self._examined()

    async def _survives(self, probe: Probe, stage: FaultStage) -> bool:
        # Whoever hangs up between a probe and its pong looks like dying of it: that time is short.
        self._record.probe_begins(probe.name, loop_now_s())
        match probe.name:
            case "tool_calls":
                await self._call_tools(stage)
            case "interruption":
                await self._interrupt(stage)
            case _:
                await stage.link.send_frame(await self._odd_frame(probe.name, stage))
        await self._ping(stage)
        self._record.probe_sent()
        if not await self._answered(probe.patience_s):
            return False
        self._record.probe_over()
        await asyncio.sleep(_PAUSE_S)
        return True

    async def _call_tools(self, stage: FaultStage) -> None:
        for name, expects_response in (
            (self._tool, True),
            (self._tool, False),
            (NOBODYS_TOOL, True),
        ):
            call_id = f"tool_{stage.new_id()[:8]}"
            call = ToolCall(name, call_id, {}, expects_response, stage.event_id)
            await stage.link.send(call)
            if name == self._tool and expects_response:
                await stage.link.send(call)  # the very same, once more: it is answered once

    async def _interrupt(self, stage: FaultStage) -> None:
        """Cut what is being said, and let a tone come late that belongs to it. As seen live, the
        interruption has a number of its own, above the cut turn's."""
        stage.fall_silent()
        cut = stage.spoken_id
        await stage.link.send(Interruption(stage.take_event_id()))
        late = self._record.output_format.encode(tone(stage.output_rate_hz))
        await stage.link.send(AgentAudio(late, cut))
        self._record.tone.listen(loop_now_s())
        await stage.link.send(AgentResponseCorrection(_CUT_SENTENCE, "This sentence...", cut))

    async def _odd_frame(self, name: str, stage: FaultStage) -> str | bytes:
        match name:
            case "second_metadata":  # the very same: another one would change the formats
                return self._record.metadata_frame or ""
            case "half_sample" | "split_samples" | "bad_base64":
                # Odd in one way only: the id is that of a turn that nobody cut.
                await stage.play(silence(stage.output_rate_hz // 50))
                if name == "half_sample":
                    return serialize(AgentAudio(bytes(641), stage.event_id))
                if name == "split_samples":  # the second half of one is in the next chunk
                    await stage.link.send(AgentAudio(bytes(641), stage.event_id))
                    return serialize(AgentAudio(bytes(639), stage.event_id))
                event = {"audio_base_64": "%%%", "event_id": stage.event_id}
                return json.dumps({"type": "audio", "audio_event": event})
        return ODD_FRAMES[name].frame()

    async def _ping(self, stage: FaultStage) -> None:
        self._ping_id += 1
        await stage.link.send(Ping(self._ping_id))

    async def _answered(self, within_s: float) -> bool:
        """Whether the newest ping, or one sent after it, is answered in time."""
        number = self._record.pongs.count
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._record.pongs.highest < number:
                    self._pong.clear()
                    await self._pong.wait()
        return self._record.pongs.highest >= number


class Examiner:
    """Examines the clients of one server; `tell` gets a client's report when a connection ends.

    Connections of one `User-Agent` are one client's: what else it says of itself comes too late to
    choose its probes by. `examined` is called when a client survived everything there is: it may
    hang up.
    """

    def __init__(
        self,
        tell: Callable[[ConformanceReport], None],
        examined: Callable[[], None] = lambda: None,
        tool: str = EXAMINED_TOOL,
    ) -> None:
        self._reports: dict[str, ConformanceReport] = {}
        self._tell = tell
        self._examined = examined
        self._tool = tool

    def begin(
        self, path: str, user_agent: str, input_format: str, output_format: str
    ) -> "ExaminedClient":
        """A client connects; the formats by their names on the wire."""
        return ExaminedClient(self, new_record(path, user_agent, input_format, output_format))

    def examination(self, record: ConnectionRecord, script: Faults) -> Examination:
        """What is played to a client that begins to talk."""
        settled = self._report(record).settled
        return Examination(record, settled, self._tool, self._examined, script)

    def end(self, record: ConnectionRecord) -> None:
        """A connection is over."""
        report = self._report(record)
        report.add(record)
        self._tell(report)

    def _report(self, record: ConnectionRecord) -> ConformanceReport:
        """That of the connection's client; those that say nothing of themselves share one."""
        return self._reports.setdefault(record.user_agent, ConformanceReport())


class ExaminedClient:
    """One connection of a client's, as the local agent's server knows it."""

    def __init__(self, examiner: Examiner, record: ConnectionRecord) -> None:
        self.witness = record
        self._examiner = examiner

    def refused(self, why: str) -> None:
        self.witness.refused(why)

    def faults(self, steps: tuple[Step, ...], conversation: int) -> Examination:
        return self._examiner.examination(self.witness, Faults(steps, conversation))

    def end(self, *, closed_by_agent: bool) -> None:
        self.witness.closed_by_agent = closed_by_agent
        self._examiner.end(self.witness)
