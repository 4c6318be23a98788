"""`kiosk demo`: its options, and one performance from curtain to summary. `show` prints."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kiosk.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from kiosk.agent.scenario import Scenario
    from kiosk.audio.pcm import Samples
    from kiosk.backend.mind.flow import Flow
    from kiosk.config import Settings
    from kiosk.devices.virtual import Room
    from kiosk.lab.demo.lines import ScriptLine
    from kiosk.lab.demo.runner import DemoRecord, DemoRunner

Show = Callable[[str], None]

ENGLISH = "en"
_BILINGUAL = (
    "the kiosk's own sentences are in {!r}; agent and visitor speak English, all that the local "
    "recogniser knows"
)

_RT60_S = 0.3
# From the loudspeaker's signal to the microphone: the agent's voice is there as loud as the
# visitor's.
_ECHO_DB = 0.0
# In place of the backend's address while there is none.
_SOMEWHERE = {"backend_url": "http://127.0.0.1:1"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--voice",
        type=Path,
        action="append",
        metavar="WAV",
        help="say this recording instead of the questions (8 to 48 kHz, repeatable)",
    )
    parser.add_argument(
        "--scenario",
        metavar="NAME|FILE",
        help="let the agent misbehave as a fault script says, and report how the visit ends",
    )
    parser.add_argument(
        "--mind",
        metavar="NAME|FILE",
        help="let a flow of the backend's give the answers, such as museum, and hear its summary",
    )
    parser.add_argument(
        "--language",
        default=ENGLISH,
        metavar="LANGUAGE",
        help="of the kiosk's own sentences, such as de; agent and visitor speak English",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="keep both sides' sound, timeline.json and a picture, visit.html",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="talk with it yourself, by this machine's sound cards; Enter is the button",
    )
    parser.add_argument(
        "--text", action="store_true", help="with --live: in writing, and without a sound card"
    )
    parser.add_argument(
        "--guide",
        type=Path,
        metavar="FILE",
        help="with --live: what the agent knows (default: the museum's guide)",
    )
    parser.add_argument(
        "--transport",
        choices=("websocket", "webrtc"),
        default="websocket",
        help="the road to the agent; webrtc needs the extras webrtc and dev, and a network address",
    )
    parser.add_argument("--json", action="store_true", help="print one object, and nothing else")


def run(args: argparse.Namespace, show: Show, aside: Show) -> int:
    """Exit code 0 if all went as it should; raises KioskError. `aside` shows what is for reading
    where `show` is for one object only."""
    told = aside if args.json else show
    from kiosk.config.tables import KioskTable
    from kiosk.visit.languages import load_language

    try:
        import rich  # noqa: F401
    except ImportError as error:
        raise UnavailableError(
            'the demo needs the extras: pip install "voice-kiosk[agent,backend]"'
        ) from error
    load_language(args.language, KioskTable().sentences_dir, key="--language")
    if args.transport == "webrtc":
        _find_a_way()
    if args.live:
        if args.voice or args.scenario or args.out:
            raise ConfigError("--live is without --voice, --scenario and --out")
        return asyncio.run(_live(args, show, told))
    if args.text or args.guide:
        raise ConfigError("--text and --guide belong to --live")
    if args.mind and (args.voice or args.scenario):
        raise ConfigError("--mind is without --voice and --scenario")
    if args.out is not None:  # before there is anything that could not be kept
        _make_room(args.out)
    return asyncio.run(_perform(args, show, told))


async def _perform(args: argparse.Namespace, show: Show, told: Show) -> int:
    from kiosk.agent.scenario import load_scenario
    from kiosk.backend.mind.files import load_flow
    from kiosk.lab.demo.lines import MUSEUM, recorded, rehearsed, through
    from kiosk.lab.demo.printer import DemoPrinter
    from kiosk.lab.demo.report import chains
    from kiosk.lab.demo.runner import DemoRecord, DemoRunner, Spoken, settings_for
    from kiosk.lab.demo.servers import AgentEvent, servers
    from kiosk.moments import Moment, What

    scenario = None if args.scenario is None else load_scenario(args.scenario)
    playbill = DemoPrinter(told, args.language, colour=sys.stdout.isatty())
    room = hall()
    flow = None if args.mind is None else load_flow(args.mind)
    lines = MUSEUM if scenario is None else rehearsed(scenario.visitor)
    if flow is not None:
        lines = through(flow)
    if args.voice:
        lines = recorded(_recordings(args.voice, room.rate_hz))
    lines = await spoken(lines, room.rate_hz)
    record = DemoRecord(room)

    def happened(event: Moment | Spoken | AgentEvent) -> None:
        playbill.happened(event)
        if isinstance(event, Moment) and event.what in (What.DRAINED, What.INTERRUPTED):
            for chain in chains(record)[playbill.chains :]:
                playbill.chain(chain)

    stage = DemoRunner(record, happened)
    with tempfile.TemporaryDirectory(prefix="kiosk-demo-") as name:
        directory = Path(name)
        prepared = partial(settings_for, directory, language=args.language)
        if scenario is not None:  # a mistake of the script's is told before anything starts
            prepared(_SOMEWHERE, scenario.kiosk, scenario.name)
        if args.language != ENGLISH and not args.json:
            playbill.note(_BILINGUAL.format(args.language))
        playbill.note("starting the local agent and the backend, each a process of its own")
        options = [] if args.scenario is None else ["--scenario", args.scenario]
        if flow is not None:
            options = ["--guide", str(_ears_for(flow, directory))]
        async with servers(directory, options, stage.on_agent, args.mind or "") as running:
            playbill.note("starting the kiosk on virtual devices; a visitor comes by")
            its = partial(prepared, running.credentials, agent=running.agent(args.transport))
            result = await _played(stage, record, its, lines, scenario or flow)
    if scenario is None:
        playbill.summary(result)
    else:
        playbill.outcome(result)
    if args.out is not None:
        _keep(args.out, record)
        playbill.note(f"kept visit.html, timeline.json and the sound in {args.out}")
    if args.json:
        show(json.dumps(result))
    return 0 if result["ok"] else 1


async def _played(
    stage: "DemoRunner",
    record: "DemoRecord",
    prepared: "Callable[..., Settings]",
    lines: tuple["ScriptLine", ...],
    by: "Scenario | Flow | None",
) -> dict[str, Any]:
    """A visit by a fault script, by a flow, or the museum's own; what is reported of it."""
    from kiosk.agent.guide import load_guide
    from kiosk.backend.mind.flow import Flow
    from kiosk.lab.demo.report import mind_report, report, scenario_report

    if by is None:
        await stage.play(prepared(), lines)
        return report(record, load_guide())
    if isinstance(by, Flow):
        await stage.converse(prepared(), lines)
        return mind_report(record, by)
    hang_up = by.visitor.then == "hang_up"
    await stage.rehearse(prepared(by.kiosk, by.name), lines, hang_up=hang_up)
    return scenario_report(record, by)


def _find_a_way() -> None:
    """Raises UnavailableError where the local agent can hold no room, or nobody get into it."""
    try:
        from kiosk.agent.room import addresses
    except ImportError as error:
        raise UnavailableError(
            "--transport webrtc needs more extras: "
            'pip install "voice-kiosk[agent,backend,dev,webrtc]"'
        ) from error
    if not addresses():
        raise UnavailableError(
            "--transport webrtc needs a network address besides loopback's, which WebRTC leaves "
            "out: connect this machine to a network"
        )


def _ears_for(flow: "Flow", directory: Path) -> Path:
    from kiosk.lab.demo.lines import hears

    guide = directory / "guide.toml"
    guide.write_text(hears(flow), encoding="utf-8")
    return guide


async def _live(args: argparse.Namespace, show: Show, told: Show) -> int:
    from kiosk.agent.guide import load_guide
    from kiosk.lab.demo.live import HELP, LiveRecord, LiveRunner, typed_lines
    from kiosk.lab.demo.printer import DemoPrinter
    from kiosk.lab.demo.runner import settings_for
    from kiosk.lab.demo.servers import servers

    load_guide(args.guide)  # a mistake in it is told before anything starts
    playbill = DemoPrinter(told, args.language, colour=sys.stdout.isatty(), live=True)
    record = LiveRecord()
    runner = LiveRunner(record, playbill.happened, text=args.text)
    driver = "virtual" if args.text else "alsa"
    cards = {"capture": {"driver": driver}, "playback": {"driver": driver}}
    options = [] if args.guide is None else ["--guide", str(args.guide)]
    with tempfile.TemporaryDirectory(prefix="kiosk-demo-") as name:
        directory = Path(name)
        playbill.note("starting the local agent and the backend, each a process of its own")
        async with servers(directory, options, runner.on_agent) as there:
            playbill.note(HELP)
            agent = there.agent(args.transport)
            its = settings_for(
                directory, there.credentials, cards, language=args.language, agent=agent
            )
            await runner.sit(its, typed_lines())
    result = record.result()
    playbill.talked(record.turns)
    if args.json:
        show(json.dumps(result))
    return 0


def hall() -> "Room":
    """The demo's room: a loudspeaker as loud at the microphone as the visitor, with reverberation,
    distortion, and a clock of its own."""
    from kiosk.audio.acoustics import impulse_response, kiosk_in
    from kiosk.devices.virtual import Echo, Room

    response = impulse_response(kiosk_in(_RT60_S, seed=1), Room.RATE_HZ)
    return Room(record=True, echo=Echo(0.03, _ECHO_DB, response, drive=1.5, drift_ppm=50))


def _recordings(paths: list[Path], rate_hz: int) -> "list[tuple[str, Samples]]":
    """Each recording's name and its sound at the room's rate."""
    from kiosk.audio.resample import resample
    from kiosk.audio.wav import WavError, read_wav

    sounds = []
    for path in paths:
        try:
            samples, file_rate_hz = read_wav(path.read_bytes())
        except (OSError, WavError) as error:
            raise UnavailableError(f"--voice {path}: {error}") from error
        sounds.append((path.name, resample(samples, file_rate_hz, rate_hz)))
    return sounds


async def spoken(lines: "tuple[ScriptLine, ...]", rate_hz: int) -> "tuple[ScriptLine, ...]":
    """The lines with the sound of each at the room's rate."""
    from kiosk.agent.voice import AgentVoice
    from kiosk.lab.demo.lines import VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE

    voice = AgentVoice(VISITOR_VOICE, VISITOR_WORDS_PER_MINUTE)
    return tuple(
        [
            line
            if line.samples is not None
            else replace(line, samples=await voice.render(line.text or "", rate_hz))
            for line in lines
        ]
    )


def _make_room(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise UnavailableError(f"--out {directory}: {error.strerror}") from error


def _keep(directory: Path, record: "DemoRecord") -> None:
    from kiosk.audio.wav import write_wav
    from kiosk.lab.demo.picture import page
    from kiosk.lab.demo.report import timeline

    room, span = record.room, (record.pressed_s, record.ended_s)
    microphone, speaker, happened = (
        room.microphone(*span),
        room.loudspeaker(*span),
        timeline(record),
    )
    try:
        for name, samples in (("microphone.wav", microphone), ("speaker.wav", speaker)):
            (directory / name).write_bytes(write_wav(samples, room.rate_hz))
        text = "[\n" + ",\n".join(map(json.dumps, happened)) + "\n]\n"
        (directory / "timeline.json").write_text(text, encoding="utf-8")
        picture = page(happened, microphone, speaker, room.rate_hz)
        (directory / "visit.html").write_text(picture, encoding="utf-8")
    except OSError as error:
        raise UnavailableError(f"--out {directory}: {error.strerror}") from error
