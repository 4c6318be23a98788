"""The sound of a running kiosk, measured between visits: its threads lend their cards for so long,
the recording lamp is lit, and a visitor who comes ends it."""

import asyncio
from collections.abc import Mapping, Sequence

from kiosk.base.clock import Clock
from kiosk.config import Settings
from kiosk.devices.hardware import Hardware
from kiosk.devices.microphone import MicrophoneThread
from kiosk.devices.ports import Running
from kiosk.devices.speaker import SpeakerThread
from kiosk.devices.whole_cards import whole_cards
from kiosk.doctor.findings import failed
from kiosk.doctor.sound import Measurement
from kiosk.doctor.sound_findings import Judged
from kiosk.doctor.sounding import LIMIT_S, Sounded, as_answer, collect, lamp
from kiosk.visit.host import Host

_LEND_S, _LOOK_S = 2.0, 0.02
_HELD = "ask again between visits; else `sudo systemctl stop kiosk`, measure, and start it again"


class SoundCheck:
    """`run` is its task; `ask` begins a measurement, and `answer` tells how far it is."""

    def __init__(
        self,
        settings: Settings,
        hardware: Hardware,
        host: Host,
        threads: Sequence[MicrophoneThread | SpeakerThread],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._cards = whole_cards(settings, hardware)
        self._host = host
        self._threads = threads
        self._clock = clock
        self._asked: asyncio.Queue[tuple[str, bool]] = asyncio.Queue(1)
        self._under_way = False
        self._found: Sounded | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody is there, and nothing is being measured."""
        return not self._under_way and self._host.at_rest

    def ask(self, what: str, *, keep: bool = False) -> str | None:
        """Begin to measure the `sound` or the level of `speech`; why not, None if it has begun.
        `keep`: it becomes the reference."""
        if self._under_way:
            return "it is being measured already"
        if not self._host.at_rest:
            return "a visit is under way"
        self._under_way, self._found = True, None
        self._asked.put_nowait((what, keep))
        return None

    def answer(self) -> Mapping[str, object]:
        """What was found; before that, that it is not done."""
        return {"done": False} if self._found is None else as_answer(self._found)

    async def run(self) -> None:
        """Measure whenever it is asked for, until cancelled."""
        while True:
            what, keep = await self._asked.get()
            self._found = await self.measured(what, keep=keep)

    async def measured(self, what: str, *, keep: bool = False) -> Sounded:
        """With the cards lent for so long."""
        found = Sounded()
        self._under_way = True
        for thread in self._threads:
            thread.lend()
        try:
            if await self._lent():
                await self._measure(what, found, keep=keep)
            else:
                check = "sound_heard" if what == "sound" else "sound_speech"
                found.add(Judged(failed(check, "the kiosk's threads keep the cards", _HELD), {}))
        finally:
            for thread in self._threads:
                thread.take_back()
            self._under_way = False
        return found

    async def _lent(self) -> bool:
        for _ in range(round(_LEND_S / _LOOK_S)):
            if all(thread.away for thread in self._threads):
                return True
            await asyncio.sleep(_LOOK_S)
        return False

    async def _measure(self, what: str, found: Sounded, *, keep: bool) -> None:
        measurement = Measurement(
            self._settings,
            self._cards,
            self._clock,
            lambda: self._host.at_rest,
            keep=keep,
        )
        self._host.on_microphone(Running(running=True))
        try:
            if what == "sound":
                found.add(Judged(lamp(self._settings), {}))
            judge = {"sound": measurement.judged, "speech": measurement.said}[what]
            await collect(LIMIT_S, judge, found, self._clock)
        finally:
            measurement.stop()
            self._host.on_microphone(Running(running=False))
