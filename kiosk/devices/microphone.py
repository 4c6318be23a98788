"""The capture thread: card -> 16 kHz chunks with a verdict -> event loop."""

import asyncio
import time
from collections.abc import Callable

from kiosk.audio.capture import CaptureChain
from kiosk.audio.gate import Gate
from kiosk.devices.bridge import POLL_S, STALL_S, DeviceThread, Outbox
from kiosk.devices.ports import CapturePcm, Lost, MicrophoneEvent, Opened, Running
from kiosk.errors import DeviceError

# 10 s of chunks: a loop that stalls for less loses nothing.
_OUTBOX_LIMIT = 500


class MicrophoneThread(DeviceThread[CapturePcm]):
    """A `Microphone` over any CapturePcm. Between visits the card is open and not running."""

    def __init__(
        self,
        open_pcm: Callable[[], CapturePcm],
        new_gate: Callable[[], Gate],
        handler: Callable[[MicrophoneEvent], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__("microphone", open_pcm)
        self._new_gate = new_gate
        self._outbox = Outbox(loop, handler, _OUTBOX_LIMIT)
        self._wanted = False

    @property
    def dropped_chunks(self) -> int:
        return self._outbox.dropped

    def start(self) -> None:
        self._wanted = True
        self._wake.set()

    def stop(self) -> None:
        self._wanted = False
        self._wake.set()

    def _serve(self, device: CapturePcm) -> None:
        while self._awake():
            if self._wanted:
                self._capture(device)
            else:
                self._wake.wait()

    def _capture(self, device: CapturePcm) -> None:
        """One run of the card, from its start to `stop`."""
        data = device.read()  # this starts the card, so nothing may come before it
        self._outbox.put(Running(running=True))
        chain = CaptureChain(device.rate_hz, device.channels, self._new_gate())
        frame_bytes = 2 * device.channels
        progress_s = time.monotonic()
        try:
            while self._wanted and not self._stopping:
                now_s = time.monotonic()
                if data:
                    waiting = len(data) // frame_bytes + device.available()
                    for chunk in chain.push(data, now_s - waiting / device.rate_hz):
                        self._outbox.put(chunk)
                    progress_s = now_s
                else:
                    if now_s - progress_s > STALL_S:
                        raise DeviceError(f"the microphone delivered nothing for {STALL_S:g} s")
                    self._wake.wait(POLL_S)
                    self._wake.clear()
                data = device.read()
            device.drop()
        finally:
            self._outbox.put(Running(running=False))

    def _report_opened(self, device: CapturePcm) -> None:
        self._outbox.put(Opened(f"{device.rate_hz} Hz, {device.channels} channel(s)"))

    def _report_lost(self, error: DeviceError) -> None:
        self._outbox.put(Lost(error))
