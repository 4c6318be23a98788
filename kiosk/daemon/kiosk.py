"""The daemon: wires the rooms together, and owns the task group, the signals and the threads' end.

Nothing here knows how a visit goes or what a frame means.
"""

import asyncio
import contextlib
import logging
import random
import signal
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from kiosk.audio.ambience import speech_ear
from kiosk.base import patience
from kiosk.base.clock import REAL, Clock
from kiosk.base.ids import NewId, random_id
from kiosk.causes import fault
from kiosk.config import Settings
from kiosk.convai.fields import Json
from kiosk.daemon.command_tools import command_tools, time_limits_s
from kiosk.daemon.commands import OperatorCommands, kiosk_info
from kiosk.daemon.failures import failures
from kiosk.daemon.morning_check import MorningCheck
from kiosk.daemon.reloading import Reloading
from kiosk.daemon.sound_check import SoundCheck
from kiosk.devices.hardware import Hardware, configured_hardware
from kiosk.devices.microphone import MicrophoneThread
from kiosk.devices.ports import (
    Button,
    ButtonEdge,
    ButtonEvent,
    Indicator,
    KeyPressed,
    LineTrouble,
    Lost,
    MicrophoneEvent,
    SpeakerEvent,
    StuckError,
)
from kiosk.devices.sound import Sound
from kiosk.devices.speaker import SpeakerThread
from kiosk.doctor import spoken
from kiosk.link import surroundings
from kiosk.link.connecting import connect_backend
from kiosk.link.heartbeat import Vitals
from kiosk.listeners.backend_events import BackendEvents
from kiosk.listeners.counters import Counters
from kiosk.listeners.events import EventStream
from kiosk.listeners.journal_entries import JournalEntries
from kiosk.listeners.status import StatusReport
from kiosk.listeners.visit_record import VisitRecords
from kiosk.moments import Moment, Observer, What
from kiosk.ops import control, journal, systemd
from kiosk.ops.temperature import temperature_c
from kiosk.visit.host import Host
from kiosk.visit.planning import plan_of
from kiosk.visit.speech import default_cache_dir
from kiosk.visit.states import State
from kiosk.visit.tools import Tool, Tools
from kiosk.visit.voices import Voices, voices_of

if TYPE_CHECKING:
    from kiosk.listeners.metrics import KioskMetrics

log = logging.getLogger(__name__)

# READY does not wait longer than this for the cards to say whether they could be opened.
_DEVICES_TIMEOUT_S = 3.0

_SWITCH_INTERVAL_S = 0.001
# What an operator at the backend wants said is meant for ten minutes.
_SAY_TRIES, _SAY_AGAIN_S = 120, 5.0


def run(settings: Settings, load: Callable[[], Settings]) -> int:
    """Run until SIGTERM or SIGINT and return 0; raises KioskError for what an operator can mend.
    SIGHUP has the settings read again by `load`."""
    # A sound thread that wants the interpreter waits this long at most until it is let in.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    # The one place where a cancellation ends: a signal asked for it.
    with contextlib.suppress(asyncio.CancelledError):
        daemon = Daemon(settings, configured_hardware(settings), load=load)
        patience.run(_run_until_signalled(daemon))
    return 0


async def _run_until_signalled(daemon: "Daemon") -> None:
    main = asyncio.current_task()
    assert main is not None
    loop = asyncio.get_running_loop()

    def stop() -> None:
        systemd.notify("STOPPING=1")
        main.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if not sys.stdin.isatty():  # a terminal that closes sends it too, and means the end
        loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    await daemon.run()


class Listener(Protocol):
    """Who is told of every moment, and returns at once."""

    def observe(self, moment: Moment) -> None: ...


class Daemon:
    """One kiosk. `run` it once; `ready` is set when a press can be answered."""

    def __init__(
        self,
        settings: Settings,
        hardware: Hardware,
        observer: Observer | None = None,
        load: Callable[[], Settings] | None = None,
        clock: Clock = REAL,
        chance: Callable[[], float] = random.random,
        new_id: NewId = random_id,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._new_id = new_id
        self.ready = asyncio.Event()
        self._settings = settings
        self._hardware = hardware
        self._observer = observer
        self._records = VisitRecords(
            lambda: self._host.measures,
            lambda: {**self._sound.counters(), **self._host.losses()},
            settings.gate.hangover_ms / 1000,
        )
        self._entries = JournalEntries(settings.kiosk, self._records)
        self._metrics = self._made_metrics() if settings.metrics.textfile else None
        self._reloading = Reloading(
            settings,
            load or (lambda: settings),
            self._entries,
            lambda plan: self._host.follow(plan),
        )
        self._reported = {"microphone": asyncio.Event(), "speaker": asyncio.Event()}
        self._events = BackendEvents()
        self._counters = Counters()
        self._stream = EventStream(
            lambda: self._host.status(),
            lambda key: self._host.text_of(key),
            lambda: self._host.level_dbfs(),
            self._records,
            captions=settings.control.captions,
        )
        self._status_report = StatusReport(settings.kiosk.name, clock)
        self._buttons: tuple[Button, ...] = ()
        self._stuck: StuckError | None = None
        self._listeners: list[Listener] = [
            self._records, self._events, self._counters, self._status_report, self._entries,
            self._stream,
        ]  # fmt: skip
        if self._metrics is not None:
            self._listeners.append(self._metrics)

    @property
    def host(self) -> Host:
        """Exists once `ready` is set."""
        return self._host

    async def run(self) -> None:
        """Serve visits until cancelled; devices are closed and joined whatever happens."""
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            self._failed = stack.enter_context(failures(loop))
            voices = await self._prepared_voices()
            self._backend = await connect_backend(
                self._settings, stack, self._chance, self._new_id, self._stream.hand_out
            )
            credentials = self._backend.credentials
            self._sound = Sound(
                self._settings, self._hardware, self._on_microphone, self._on_speaker, self._clock
            )
            microphone, speaker = self._sound.microphone, self._sound.speaker
            indicator = self._hardware.open_indicator(loop)
            stack.callback(indicator.close)
            self._host = self._make_host(indicator, voices)
            self._open_buttons(stack, loop)
            self.sound_check = SoundCheck(
                self._settings, self._hardware, self._host, (microphone, speaker), self._clock
            )
            commands = OperatorCommands(
                self._host,
                self._backend.client,
                self._status,
                self._clock,
                self._stream,
                self._records,
                self.sound_check,
                held_to_talk=self._settings.button.mode == "hold",
            )
            await self._serve(commands, stack)
            for thread in (microphone, speaker):
                thread.open()
                stack.callback(_close, thread)
            stack.callback(self._entries.stopping)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_raise(self._failed), name="failures")
                tasks.create_task(self._host.run(), name="host")
                tasks.create_task(credentials.run(self._host.on_leases), name="credentials")
                tasks.create_task(systemd.feed_watchdog(), name="watchdog")
                tasks.create_task(self.sound_check.run(), name="sound check")
                if self._settings.sound.check_at:
                    morning = MorningCheck(self._settings, self.sound_check)
                    tasks.create_task(morning.run(), name="morning check")
                if (heartbeats := self._backend.heartbeats) is not None:
                    beating = heartbeats.run(
                        self._vitals,
                        self._host.on_instructions,
                        lambda ring, say: self._obey(tasks, ring, say),
                    )
                    tasks.create_task(beating, name="heartbeats")
                self._start_the_rest(tasks)
                await self._devices_reported()
                systemd.notify("READY=1", f"STATUS={self._summary()}")
                self._entries.ready()
                self.ready.set()

    def reload(self) -> None:
        """Read the settings again; nothing while the kiosk is not ready yet."""
        if self.ready.is_set():
            self._reloading.reload()

    # --- making the parts -----------------------------------------------------------------------

    def _made_metrics(self) -> "KioskMetrics":
        from kiosk.listeners.metrics import KioskMetrics  # 0.1 s that other kiosks do without

        metrics = KioskMetrics(
            self._records,
            lambda: self._status(),
            lambda: {
                **self._vitals().counters,
                **self._presses(),
                **_known(temperature_c=temperature_c()),
            },
            lambda: self._host.measures,
        )
        for handler in logging.getLogger().handlers:
            handler.addFilter(metrics.count_fault)
        return metrics

    def _make_host(self, indicator: Indicator, voices: Voices) -> Host:
        return Host(
            plan_of(self._settings),
            self._sound.microphone,
            self._sound.speaker,
            indicator,
            voices,
            self._backend.credentials,
            self._made_tools(),
            self._observe,
            lambda: spoken.report(self._reloading.settings, voices.own.report),
            chance=self._chance,
            take_events=self._events.take,
            judge=self._records.judge,
            ear=speech_ear,
        )

    async def _prepared_voices(self) -> Voices:
        voices = voices_of(self._settings, default_cache_dir())
        await voices.own.prepare()  # the others, which few visitors want, are not waited for
        return voices

    def _made_tools(self) -> Tools:
        own: dict[str, Tool] = {"kiosk_info": lambda _: self._kiosk_info()}
        commands = self._settings.tools
        return Tools(
            {**own, **command_tools(commands)},
            self._settings.agent.tool_timeout_s,
            time_limits_s(commands),
        )

    async def _kiosk_info(self) -> Json:
        return kiosk_info(self._reloading.settings.kiosk, self._host.language)

    async def _serve(self, commands: OperatorCommands, stack: contextlib.AsyncExitStack) -> None:
        table = self._settings.control
        await stack.enter_async_context(control.serve(table.socket, commands.table()))
        if table.read_socket is not None:
            reading = control.serve(table.read_socket, commands.reading())
            await stack.enter_async_context(reading)

    def _open_buttons(
        self, stack: contextlib.AsyncExitStack, loop: asyncio.AbstractEventLoop
    ) -> None:
        button = self._hardware.open_button(self._on_button, loop)
        stack.callback(button.close)
        keys = self._hardware.open_keys(self._on_button, loop)
        for key in keys:
            stack.callback(key.close)
        self._buttons = (button, *keys)

    def losses(self) -> dict[str, int]:
        """Losses of sound and of the journal's entries since the kiosk was started."""
        return {
            **self._sound.losses(),
            **self._host.losses(),
            "journal_dropped_entries": journal.dropped_entries(),
        }

    def _presses(self) -> dict[str, int]:
        """How often the buttons were pressed since the kiosk was started, and bounced. Not for the
        backend, which takes sixteen counters."""
        return {
            "button_presses": sum(button.presses for button in self._buttons),
            "button_bounces": sum(button.bounces for button in self._buttons),
        }

    def _vitals(self) -> Vitals:
        """How this kiosk is, for its backend."""
        counters = {
            **self._counters.counters(),
            **self._backend.counters(),
            **self.losses(),
            "uptime_s": self._status_report.uptime_s,
        }
        return Vitals(self._host.state, self._host.shown, counters)

    def _start_the_rest(self, tasks: asyncio.TaskGroup) -> None:
        """What no visit waits for."""
        tasks.create_task(self._tell_alive(), name="signs of life")
        tasks.create_task(self._watch_surroundings(), name="surroundings")
        tasks.create_task(self._stream.tell_levels(), name="levels")
        textfile = self._settings.metrics.textfile
        if self._metrics is not None and textfile is not None:
            tasks.create_task(self._metrics.keep(textfile), name="metrics")

    async def _watch_surroundings(self) -> None:
        credentials = self._settings.credentials
        public = credentials.mode == "public"
        url = self._settings.agent.url if public else credentials.backend_url
        await surroundings.watch([url], self._host.on_surroundings)

    async def _tell_alive(self) -> None:
        """Tell the journal, again and again, that there is nothing new."""
        while True:
            await asyncio.sleep(self._reloading.settings.journal.alive_s)
            counters = {**self._vitals().counters, **self._presses()}
            self._entries.alive({**counters, "temperature_c": temperature_c()})

    # --- what devices and operators report ------------------------------------------------------

    def _obey(self, tasks: asyncio.TaskGroup, ring: bool, text: str | None) -> None:
        """Do what an operator at the backend wants done."""
        if ring:
            self._host.ring()
        if text:
            tasks.create_task(self._say(text), name="an operator's words")

    async def _say(self, text: str) -> None:
        """Between visits: a visitor who is there now is not talked over."""
        for _ in range(_SAY_TRIES):
            refused = await self._host.say(text)
            if refused is None:
                return
            await asyncio.sleep(_SAY_AGAIN_S)
        log.info("what an operator wanted said is not said: %s", refused)

    def _on_button(self, event: ButtonEvent | KeyPressed) -> None:
        if isinstance(event, LineTrouble):
            self._entries.button(event)
            return
        self._host.on_button(event)
        if isinstance(event, ButtonEdge):
            self._status_report.on_button(event)

    def _on_microphone(self, event: MicrophoneEvent) -> None:
        self._host.on_microphone(event)
        if isinstance(event, Lost):
            self._card_lost(event)

    def _on_speaker(self, event: SpeakerEvent) -> None:
        self._host.on_speaker(event)
        if isinstance(event, Lost):
            self._card_lost(event)

    def _card_lost(self, event: Lost) -> None:
        if isinstance(event.error, StuckError):
            self._stuck = event.error
            self._end_if_stuck()

    def _end_if_stuck(self) -> None:
        """End the process, for systemd to start it again, where only that brings a card back; not
        before a visit's last words are said."""
        idle = self._host.state is State.IDLE
        if self._stuck is not None and idle and not self._failed.done():
            self._failed.set_exception(self._stuck)

    async def _devices_reported(self) -> None:
        try:
            async with asyncio.timeout(_DEVICES_TIMEOUT_S):
                for reported in self._reported.values():
                    await reported.wait()
        except TimeoutError:
            log.warning(
                "a sound device has neither opened nor failed; going on without it",
                extra=fault("device_unanswered"),
            )

    def _status(self) -> Mapping[str, object]:
        """What `kiosk status` shows."""
        standing = self._status_report.status(self._buttons, ready=self.ready.is_set())
        counts = {**self.losses(), **self._presses()}
        return {**self._host.status(), **standing, **self._sound.status(), **counts}

    def _observe(self, moment: Moment) -> None:
        for listener in self._listeners:
            listener.observe(moment)
        if moment.what is What.STATE:
            self._end_if_stuck()
        if moment.what in (What.DEVICE_OPENED, What.DEVICE_LOST):
            self._reported[str(moment.fields["device"])].set()
        if moment.what in (What.STATE, What.FITNESS) and self.ready.is_set():
            systemd.notify(f"STATUS={self._summary()}")
        if self._observer is not None:
            self._observer(moment)

    def _summary(self) -> str:
        """For systemd: a line."""
        cause = self._host.shown
        return f"{self._host.state}, {self._host.visits} visits" + (f", {cause}" if cause else "")


def _known(**values: float | None) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _close(thread: MicrophoneThread | SpeakerThread) -> None:
    if not thread.close():
        log.error("a sound thread did not end; its driver hangs", extra=fault("driver_hangs"))


async def _raise(failed: "asyncio.Future[None]") -> None:
    await failed
