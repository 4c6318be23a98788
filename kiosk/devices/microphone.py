"""The capture thread: card -> 16 kHz chunks with a verdict -> event loop."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from kiosk.audio.capture import CaptureChain, CaptureLayout, Treatment
from kiosk.audio.channels import ChannelMix
from kiosk.audio.deadline import DeadlineMeter
from kiosk.audio.echo import Canceller
from kiosk.audio.pcm import frames_of
from kiosk.base.clock import REAL, Clock
from kiosk.devices.bridge import FIRST_SOUND_S, POLL_S, STALL_S, DeviceThread, Outbox
from kiosk.devices.ports import (
    CapturePcm,
    Lost,
    MicrophoneEvent,
    MutedError,
    Opened,
    Overloaded,
    Running,
    SilentError,
)
from kiosk.errors import DeviceError

# A card that from its start on has delivered one value for so long hears nothing: no converter is
# silent to the last bit, and what a microphone with a gate of its own sends begins with sound.
SILENT_S = 2.0
# How often, and for how long, such a card is listened to, with the recording lamp lit.
_PROVE_AGAIN_S, _PROVE_S = 10.0, 0.5
# 10 s of chunks: a loop that stalls for less loses nothing.
_OUTBOX_LIMIT = 500


class Treating(Protocol):
    """Where a visit's treatment comes from; used in the capture thread."""

    def prepare(self) -> None:
        """Called before the card is opened, and so before anybody waits."""
        ...

    def treatment(self) -> Treatment: ...

    def fall_back(self) -> Canceller | None:
        """The next lesser canceller, for a machine that does not keep up; None: there is none."""
        ...


class MicrophoneThread(DeviceThread[CapturePcm]):
    """A `Microphone` over any CapturePcm. Between visits the card is open and not running."""

    def __init__(
        self,
        open_pcm: Callable[[], CapturePcm],
        treating: Treating,
        handler: Callable[[MicrophoneEvent], None],
        loop: asyncio.AbstractEventLoop,
        clock: Clock = REAL,
    ) -> None:
        super().__init__("microphone", self._proven, clock)
        self._open_pcm = open_pcm
        self._doubt: SilentError | None = None
        self._prove_at_s = 0.0
        self._treating = treating
        self._outbox = Outbox(loop, handler, _OUTBOX_LIMIT)
        self._wanted = False
        self._overloaded = False
        self.xruns = 0  # of the card as it is open now; read by any thread

    @property
    def dropped_chunks(self) -> int:
        return self._outbox.dropped

    def start(self) -> None:
        self._wanted = True
        self._wake.set()

    def stop(self) -> None:
        self._wanted = False
        self._wake.set()

    def _prepare(self) -> None:
        self._treating.prepare()

    def _proven(self) -> CapturePcm:
        """The card, open; one that heard nothing must prove that it hears again."""
        doubt = self._doubt
        if doubt is None:
            return self._open_pcm()
        if self._clock.now_s() < self._prove_at_s:
            raise type(doubt)(str(doubt))
        device = self._open_pcm()
        try:
            self._listen(device)
        except DeviceError:
            device.close()
            raise
        return device

    def _listen(self, device: CapturePcm) -> None:
        """Raises SilentError if the card still delivers one value only."""
        self._outbox.put(Running(running=True))
        try:
            until_s = self._clock.now_s() + FIRST_SOUND_S
            mix, heard = ChannelMix(device.channels, device.channel), set[int]()
            while self._clock.now_s() < until_s and not self._stopping:
                if data := device.read():
                    if not heard:
                        until_s = self._clock.now_s() + _PROVE_S
                    frames = frames_of(data, device.channels, device.sample_format)
                    heard |= set(mix.push(frames, quiet=True).tolist())
                    if len(heard) > 1:
                        self._doubt = None
                        return
                self._wake.clear()
                self._wake.wait(POLL_S)
            raise self._silent(device)
        finally:
            device.drop()
            self._outbox.put(Running(running=False))

    def _silent(self, device: CapturePcm) -> SilentError:
        control = device.muted_by()
        if control is None:
            self._doubt = SilentError(
                "the microphone delivers one value and nothing else: switch its mute off, on the "
                "device; if it has none, it is dead, or its driver is: plug it in anew"
            )
        else:
            self._doubt = MutedError(
                f"the microphone is silenced by {control!r} in its card's mixer: turn that up with "
                "`alsamixer`, or set capture.volume"
            )
        self._prove_at_s = self._clock.now_s() + _PROVE_AGAIN_S
        return self._doubt

    def _serve(self, device: CapturePcm) -> None:
        mix = ChannelMix(device.channels, device.channel)
        while self._awake():
            if self._wanted:
                self._capture(device, mix)
            else:
                self._rest(device)

    def _capture(self, device: CapturePcm, mix: ChannelMix) -> None:
        """One run of the card, from its start to `stop`."""
        data, waiting, read_s = self._read(device)  # starts the card: nothing may come before it
        self._outbox.put(Running(running=True))
        layout = CaptureLayout(
            device.rate_hz, device.channels, device.sample_format, device.channel
        )
        chain = CaptureChain(layout, self._treating.treatment(), mix)
        deadline, looks = DeadlineMeter(), Looks()
        frame_bytes = device.sample_format.sample_bytes * device.channels
        progress_s, patience_s = self._clock.now_s(), FIRST_SOUND_S
        try:
            while self._wanted and not self._stopping:
                if data:
                    frames = len(data) // frame_bytes + waiting
                    progress_s, patience_s = read_s, STALL_S
                    completed = self._process(
                        chain, deadline, data, read_s - frames / device.rate_hz
                    )
                    if device.has_converter and chain.constant_s >= SILENT_S:
                        raise self._silent(device)
                    piece_s = len(data) / frame_bytes / device.rate_hz
                    looks.found(read_s, piece_s, chain.missing_s if completed else None)
                    if completed and not waiting:
                        self._wake.wait(looks.due_in_s(self._clock.now_s()))
                else:
                    if read_s - progress_s > patience_s:
                        raise DeviceError(f"the microphone delivered nothing for {patience_s:g} s")
                    self._wake.wait(looks.next_in_s(read_s))
                data, waiting, read_s = self._read(device)
                self.xruns = device.xruns
            device.drop()
        finally:
            self._outbox.put(Running(running=False))

    def _process(
        self, chain: CaptureChain, deadline: DeadlineMeter, data: bytes, captured_at_s: float
    ) -> bool:
        """Whether a chunk was completed."""
        # The thread's own time: what others take from it is no reason to do less from now on.
        started_s, completed = self._clock.thread_time_s(), False
        for chunk in chain.push(data, captured_at_s):
            self._outbox.put(chunk)
            completed = True
            ended_s = self._clock.thread_time_s()
            if not deadline.push(ended_s - started_s):
                self._relieve(chain, deadline.share)
                deadline.restart()
            started_s = ended_s
        return completed

    def _read(self, device: CapturePcm) -> tuple[bytes, int, float]:
        """What was captured, how many more frames wait, and when that was so.

        The time is taken last, so that what follows from it may be too late (a thread can be kept
        from the processor at any moment), never too early.
        """
        data = device.read()
        waiting = device.available() if data else 0
        return data, waiting, self._clock.now_s()

    def _relieve(self, chain: CaptureChain, share: float) -> None:
        """The machine does not keep up: do less, and say so once."""
        lesser = self._treating.fall_back()
        if lesser is not None:
            chain.treatment.canceller = lesser
        elif self._overloaded:
            return
        else:
            self._overloaded = True
        self._outbox.put(Overloaded(share, half_duplex=lesser is not None))

    def _report_opened(self, device: CapturePcm) -> None:
        self._outbox.put(Opened(f"{device.rate_hz} Hz, {device.channels} channel(s)"))

    def _report_lost(self, error: DeviceError) -> None:
        self._outbox.put(Lost(error))


class Looks:
    """When to look at a card that captures: just before the next chunk can be complete, and from
    then on soon, but ever more seldom. A chunk that waited for the next of steady looks, 8 ms
    apart, came 4 ms later to the wire.

    A sound server hands on whole pieces and nothing in between. If such a piece must come before
    the chunk can be complete, it is waited for: without that four looks of five found nothing, and
    the fifth came up to 8 ms late.
    """

    _EARLY_S = 0.0005
    _SOONEST_S = 0.001
    _PIECES = 4

    def __init__(self) -> None:
        self._due_s = 0.0
        self._again_s = self._SOONEST_S
        self._pieces_s: deque[float] = deque(maxlen=self._PIECES)
        self._came_s = 0.0  # when the last piece did, as far as is known
        self._found_none = True

    def found(self, read_s: float, piece_s: float, lacking_s: float | None) -> None:
        """So much was read; with it a chunk was completed, and the next one lacks so much (None:
        none was)."""
        self._again_s = self._SOONEST_S  # behind a sound server more may come with the next look
        if self._found_none or not self._piece_s:
            self._came_s = read_s
        else:  # the first look may find what came long ago: this thread was kept waiting
            self._came_s = min(read_s, self._came_s + self._piece_s)
        self._found_none = False
        self._pieces_s.append(piece_s)
        if lacking_s is not None:
            self._due_s = read_s + lacking_s - self._EARLY_S

    def due_in_s(self, now_s: float) -> float:
        """Until the next chunk can be complete."""
        return max(0.0, self._due_s - now_s)

    def next_in_s(self, now_s: float) -> float:
        """After a look that found nothing."""
        if now_s < self._due_s:
            return self.due_in_s(now_s)
        self._found_none = True
        piece_in_s = self._came_s + self._piece_s - self._EARLY_S - now_s
        if piece_in_s > 0:
            return piece_in_s
        again_s, self._again_s = self._again_s, min(1.5 * self._again_s, POLL_S)
        return again_s

    @property
    def _piece_s(self) -> float:
        """The smallest of the last ones: a late look finds two as one, and the first one of a run
        may be whatever the card held. 0: not known yet."""
        return min(self._pieces_s) if len(self._pieces_s) == self._PIECES else 0.0
