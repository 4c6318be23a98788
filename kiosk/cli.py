"""The command line: the only place that prints, and the only one that catches everything.

Exit codes: 0 ok, 1 failure, 2 usage, 69 unavailable, 78 configuration. Each command imports what it
needs when it runs, so that `kiosk status` on a Pi answers quickly.
"""

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from kiosk import __version__
from kiosk.causes import fault
from kiosk.errors import KioskError

DEFAULT_CONFIG = Path("/etc/kiosk/config.toml")
CONFIG_VARIABLE = "KIOSK_CONFIG"

Handler = Callable[[argparse.Namespace], int]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    args = _parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    handler: Handler = args.handler
    try:
        return handler(args)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output is gone; do not let the interpreter complain while it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        expected = next(_operators_errors(error), None)
        if expected is None:
            log = logging.getLogger("kiosk")
            log.exception("unexpected error, this is a bug", extra=fault("unexpected_error"))
            return 1
        _complain(expected)
        return expected.exit_code


def _joined(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--since -2h` in one: argparse takes what begins with a minus for another
    option."""
    joined: list[str] = []
    for each in arguments:
        if joined and joined[-1] == "--since" and re.match(r"-\d", each):
            joined[-1] += f"={each}"
        else:
            joined.append(each)
    return joined


def _operators_errors(error: BaseException) -> Iterator[KioskError]:
    """The KioskErrors in an error or in a group of nothing else."""
    if isinstance(error, KioskError):
        yield error
    elif isinstance(error, ExceptionGroup):
        inner = [list(_operators_errors(member)) for member in error.exceptions]
        if all(inner):
            yield from (found for each in inner for found in each)


def _parser() -> argparse.ArgumentParser:
    from kiosk.agent import commands as agent
    from kiosk.backend.cli import commands as backend
    from kiosk.lab.demo import commands as demo
    from kiosk.lab.simulation import commands as simulation
    from kiosk.ops import logs
    from kiosk.screen import commands as screen
    from kiosk.watch import commands as watch

    parser = argparse.ArgumentParser(
        prog="kiosk", description="A voice kiosk for ElevenLabs ConvAI agents."
    )
    parser.add_argument("--version", action="version", version=f"kiosk {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, handler: Handler, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(handler=handler)
        return sub

    def with_config(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            help=f"TOML settings (default: ${CONFIG_VARIABLE}, else {DEFAULT_CONFIG} if it exists)",
        )
        return sub

    with_config(command("run", _run, "run the kiosk daemon"))
    demo.add_arguments(command("demo", _demo, "hold a whole conversation on this machine"))
    check = with_config(command("check", _check, "say whether the configuration is right"))
    check.add_argument(
        "--full", action="store_true", help="print every setting, not only what is not usual"
    )
    _add_sentences(command, with_config)
    command("devices", _devices, "list sound devices and GPIO chips, and how to select them")
    doctor = with_config(command("doctor", _doctor, "say what is wrong, and what to do about it"))
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    _add_what_is_asked_for(doctor)
    _add_operators_commands(command, with_config)
    enroll = with_config(
        command("enroll", _enroll, "exchange a one-time code (typed or piped) for a device token")
    )
    enroll.add_argument(
        "--backend-url", metavar="URL", help="default: the configuration's credentials.backend_url"
    )
    logs.add_arguments(command("logs", _logs, "what the journal holds: visits, faults, one visit"))
    screen.add_arguments(
        with_config(command("screen", _screen, "serve the page for a display beside the kiosk"))
    )
    watch.add_arguments(command("watch", _watch, "alert when a kiosk of the fleet needs somebody"))
    agent.add_arguments(command("agent", _agent, "run the local ConvAI agent"))
    of_backend = command("backend", _backend, "the backend that holds the API key")
    hung_in = backend.add_commands(of_backend)
    simulation.add_simulate_command(*hung_in).set_defaults(handler=_simulate)
    return parser


def _add_what_is_asked_for(doctor: argparse.ArgumentParser) -> None:
    """What the doctor never does by itself: it costs, or is heard."""
    either = doctor.add_mutually_exclusive_group()
    either.add_argument(
        "--call", action="store_true", help="open a conversation, and close it: it costs seconds"
    )
    either.add_argument(
        "--sound",
        action="store_true",
        help="measure the sound, and nothing else: play a sweep, and listen to it",
    )
    doctor.add_argument(
        "--write", action="store_true", help="with --sound: set in the file what it proposes"
    )
    doctor.add_argument(
        "--keep",
        action="store_true",
        help="with --sound: what is measured is what the sound shall be from now on",
    )


def _add_sentences(
    command: Callable[[str, Handler, str], argparse.ArgumentParser],
    with_config: Callable[[argparse.ArgumentParser], argparse.ArgumentParser],
) -> None:
    sentences = with_config(
        command("sentences", _sentences, "print what the kiosk says itself, for whoever records it")
    )
    sentences.add_argument(
        "--language", metavar="LANGUAGE", help="default: the configuration's kiosk.language"
    )
    sentences.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write KEY.wav for each, in the synthetic voice; refuses to replace a file",
    )


def _add_operators_commands(
    command: Callable[[str, Handler, str], argparse.ArgumentParser],
    with_config: Callable[[argparse.ArgumentParser], argparse.ArgumentParser],
) -> None:
    """Those that ask a running daemon, and what is done with its answers."""
    status = with_config(command("status", _status, "ask the running daemon how it stands"))
    status.add_argument("--json", action="store_true", help="print one JSON object")
    press = with_config(command("press", _press, "press the running daemon's button"))
    press.add_argument(
        "--language", metavar="LANGUAGE", help="the key of this language, as `kiosk check` has them"
    )
    press.add_argument(
        "--variable",
        action="append",
        default=[],
        type=_variable,
        metavar="NAME=VALUE",
        help="a dynamic variable of the visit that begins, for the agent's prompt (repeatable)",
    )
    with_config(command("end", _end, "end the visit under way"))
    with_config(command("ring", _ring, "sound a chime: which kiosk is it?"))
    mute = with_config(command("mute", _mute, "let the visit under way hear nothing"))
    mute.add_argument("--off", action="store_true", help="let it hear again")
    volume = with_config(command("volume", _volume, "play more softly until the visit ends"))
    volume.add_argument("db", type=float, help="by so many decibels: 0 is as loud as it is set")
    events = with_config(command("events", _events, "print what happens, a line of JSON each"))
    events.add_argument(
        "--event",
        action="append",
        metavar="KIND",
        help="only this kind (repeatable): state, lamp, cause, caption and others",
    )
    ask = with_config(command("ask", _ask_agent, "ask the agent in a visitor's place, in writing"))
    ask.add_argument("text", help="it answers as if a visitor had said it")
    say = with_config(command("say", _say_text, "have the kiosk say something, while it is idle"))
    say.add_argument("text", help="in its own voice; refused during a visit")
    tell = with_config(command("tell", _tell, "let the agent know something, without a turn"))
    tell.add_argument("text", help="what it should know; it does not answer")
    trace = with_config(command("trace", _trace, "print what one of the last visits was made of"))
    trace.add_argument("press_id", nargs="?", help="default: the last visit; no words are in it")
    trace.add_argument(
        "--html", type=Path, metavar="FILE", help="write a picture of it there, and print nothing"
    )
    why = with_config(command("why", _why, "say whether a visit was good, and what spoilt it"))
    why.add_argument("press_id", nargs="?", help="default: the last visit")
    why.add_argument("--json", action="store_true", help="print one JSON object, with its record")
    replay = command("replay", _replay, "play a trace again: exit 1 if this version differs")
    replay.add_argument("file", type=Path, help="what `kiosk trace` printed")


def _complain(error: KioskError) -> None:
    """To the journal where the log goes there, with its cause; to stderr otherwise."""
    from kiosk.ops import journal

    if journal.connected():
        logging.getLogger("kiosk").error("%s", error, extra=fault(error.cause))
    else:
        print(f"kiosk: {error}", file=sys.stderr)


def _say(text: str) -> None:
    print(text, flush=True)


def _say_aside(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _config_path(args: argparse.Namespace) -> Path | None:
    if args.config is not None:
        return Path(args.config)
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named)
    return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None


def _run(args: argparse.Namespace) -> int:
    from kiosk.config import load_settings
    from kiosk.daemon import kiosk
    from kiosk.ops import journal

    journal.setup("info")
    path = _config_path(args)
    settings = load_settings(path)
    journal.set_level(settings.journal.level)
    return kiosk.run(settings, lambda: load_settings(path))


def _demo(args: argparse.Namespace) -> int:
    from kiosk.lab.demo import commands as demo

    return demo.run(args, _say, _say_aside)


def _check(args: argparse.Namespace) -> int:
    from kiosk.config import load_settings
    from kiosk.config.doubts import doubtful
    from kiosk.config.written import as_toml
    from kiosk.daemon.command_tools import unusable
    from kiosk.link.connecting import rooms_of
    from kiosk.visit.rehearsal import speechless

    path = _config_path(args)
    settings = load_settings(path)
    rooms_of(settings)
    found = (speechless(settings), *doubtful(settings), *unusable(settings.tools))
    warnings = [warning for warning in found if warning]
    print(f"# {path or 'no file: the defaults'}: every setting is right")
    if text := as_toml(settings, full=args.full):
        print("# All of them:" if args.full else "# These are not the usual ones:")
        print(text)
    for warning in warnings:
        print(f"kiosk: {warning}", file=sys.stderr)
    return 0


def _sentences(args: argparse.Namespace) -> int:
    from kiosk.config import load_settings
    from kiosk.visit.rehearsal import keep_recordings, spoken_in

    voice = spoken_in(load_settings(_config_path(args)), args.language)
    for key, text in voice.sentences.items():
        print(f"{key:20} {text}")
    if args.out is not None:
        keep_recordings(voice, args.out)
    return 0


def _devices(_: argparse.Namespace) -> int:
    from kiosk.devices.listing import list_devices

    for line in list_devices():
        print(line)
    return 0


def _status(args: argparse.Namespace) -> int:
    from kiosk.config import control_socket
    from kiosk.ops.control import request

    answer = request(control_socket(_config_path(args)), "status")
    if args.json:
        print(json.dumps(answer))
    else:
        for name, value in answer.items():
            if name not in ("ok", "protocol"):
                print(f"{name.replace('_', ' '):16} {'-' if value is None else value}")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from kiosk.base import patience
    from kiosk.doctor import report
    from kiosk.doctor.examination import examine
    from kiosk.doctor.subject import admit

    path = _config_path(args)
    if args.sound:
        return _doctor_of_sound(args, path)
    if args.write or args.keep:
        raise KioskError("--write and --keep go with --sound")
    subject, findings = patience.run(examine(lambda: admit(path), calls=args.call))
    if args.json:
        print(report.as_json(subject.name, findings))
    else:
        for line in report.lines(findings):
            print(line)
    return 0 if report.is_well(findings) else 1


def _doctor_of_sound(args: argparse.Namespace, path: Path | None) -> int:
    from kiosk.base import patience
    from kiosk.doctor import report
    from kiosk.doctor.sounding import examine_sound, write
    from kiosk.doctor.subject import admit

    path = None if path is None else path.resolve()  # GPIO's library changes the directory
    say = _say_aside if sys.stdin.isatty() else None
    subject, sounded = patience.run(examine_sound(lambda: admit(path), say, keep=args.keep))
    if args.json:
        print(report.as_json(subject.name, sounded.findings, sounded.proposed))
    else:
        for line in report.lines(sounded.findings):
            print(line)
    if args.write and sounded.proposed:
        write(path, sounded.proposed)
    if not args.json:
        for line in report.proposal(sounded.proposed, written=args.write):
            print(line)
    return 0 if report.is_well(sounded.findings) else 1


def _variable(text: str) -> tuple[str, str]:
    """Raises what argparse makes a usage error of."""
    name, is_given, value = text.partition("=")
    if not is_given or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _press(args: argparse.Namespace) -> int:
    wanted = {"variables": dict(args.variable), "language": args.language}
    answer = _answer(args, "press", **{name: value for name, value in wanted.items() if value})
    print(f"{str(answer['did']).replace('_', ' ')}: {answer['state']}")
    return 0


def _events(args: argparse.Namespace) -> int:
    from kiosk.config import control_socket
    from kiosk.ops.control import subscribe

    wanted = {"events": args.event} if args.event else {}
    for event in subscribe(control_socket(_config_path(args)), **wanted):
        if event.get("ok") is False:
            raise KioskError(str(event.get("error")))
        print(json.dumps(event, ensure_ascii=False), flush=True)
    return 0


def _ask_agent(args: argparse.Namespace) -> int:
    return _ask(args, "ask", text=args.text)


def _ring(args: argparse.Namespace) -> int:
    return _ask(args, "ring")


def _mute(args: argparse.Namespace) -> int:
    return _ask(args, "mute", on=not args.off)


def _volume(args: argparse.Namespace) -> int:
    return _ask(args, "volume", db=-abs(args.db))


def _end(args: argparse.Namespace) -> int:
    return _ask(args, "end")


def _say_text(args: argparse.Namespace) -> int:
    return _ask(args, "say", text=args.text)


def _tell(args: argparse.Namespace) -> int:
    return _ask(args, "tell", text=args.text)


def _ask(args: argparse.Namespace, command: str, **fields: object) -> int:
    _answer(args, command, **fields)
    return 0


def _answer(args: argparse.Namespace, command: str, **fields: object) -> Mapping[str, object]:
    """Of the running daemon; raises KioskError if it refuses."""
    from kiosk.config import control_socket
    from kiosk.ops.control import request

    answer = request(control_socket(_config_path(args)), command, **fields)
    if answer.get("ok") is not True:
        raise KioskError(str(answer.get("error")))
    return answer


def _trace(args: argparse.Namespace) -> int:
    wanted = {} if args.press_id is None else {"press_id": args.press_id}
    answer = _answer(args, "trace", **wanted).get("lines")
    lines = [str(line) for line in answer] if isinstance(answer, list) else []
    if args.html is not None:
        from kiosk.lab import trace_picture

        try:
            args.html.write_text(trace_picture.page(lines), encoding="utf-8")
        except OSError as error:
            raise KioskError(f"--html {args.html}: {error.strerror}") from error
        return 0
    for line in lines:
        print(line)
    return 0


def _why(args: argparse.Namespace) -> int:
    wanted = {} if args.press_id is None else {"press_id": args.press_id}
    answer = _answer(args, "why", **wanted)
    if args.json:
        print(json.dumps({name: value for name, value in answer.items() if name != "ok"}))
    else:
        print(f"{answer['press_id']} ({answer['kind']}): {answer['sentence']}")
    return 0


def _replay(args: argparse.Namespace) -> int:
    from kiosk.visit.replay import difference

    try:
        text = args.file.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise KioskError(f"{args.file}: {error}") from error
    try:
        differs = difference(text)
    except KioskError as error:
        raise KioskError(f"{args.file}: {error}") from error
    print(differs or "the same")
    return 0 if differs is None else 1


def _enroll(args: argparse.Namespace) -> int:
    from kiosk.config import load_settings
    from kiosk.link.enrolment import exchanged

    url = args.backend_url or load_settings(_config_path(args)).credentials.backend_url
    if sys.stdin.isatty():
        print(f"The code that `kiosk backend enroll NAME --code` said at {url}:", file=sys.stderr)
    # The token is all that goes to stdout: it is meant for a file or for systemd-creds.
    print(exchanged(url, sys.stdin.readline().strip()))
    return 0


def _logs(args: argparse.Namespace) -> int:
    from kiosk.ops import logs

    return logs.run(args, _say)


def _screen(args: argparse.Namespace) -> int:
    from kiosk.config import load_settings
    from kiosk.screen import commands as screen

    return screen.run(args, load_settings(_config_path(args)), _say_aside)


def _watch(args: argparse.Namespace) -> int:
    from kiosk.watch import commands as watch

    return watch.run(args, _say)


def _agent(args: argparse.Namespace) -> int:
    from kiosk.agent import commands as agent

    if not args.conformance:
        return agent.run(args, _say)
    from kiosk.lab.conformance import commands as conformance

    return agent.run(args, _say, conformance.examiner(args, _say))


def _backend(args: argparse.Namespace) -> int:
    from kiosk.backend.cli import commands as backend

    return backend.run(args, _say)


def _simulate(args: argparse.Namespace) -> int:
    from kiosk.backend.cli import commands as backend
    from kiosk.lab.simulation import commands as simulation

    backend.require_extra()
    simulation.run_simulate(args, _say)
    return 0
