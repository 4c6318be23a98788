"""`kiosk agent`: the options, and running the server until a signal. It does not print: `say` does.

Heavy imports (websockets, pocketsphinx) happen when the command runs.
"""

import argparse
import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kiosk.errors import ConfigError

if TYPE_CHECKING:
    from kiosk.agent.examiner import ClientExaminer
    from kiosk.agent.server import AgentSettings, LocalAgent

_HIGHEST_PORT = 65_535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=8090, help="0 takes any free port")
    parser.add_argument("--guide", type=Path, help="TOML of questions and answers")
    parser.add_argument("--agent-id", default="agent_local")
    parser.add_argument("--api-key-file", type=Path, help="the key REST asks for")
    parser.add_argument("--private", action="store_true", help="only signed URLs open it")
    parser.add_argument("--signature-life", type=float, default=900.0, metavar="SECONDS")
    parser.add_argument(
        "--input-format", help="pcm_16000 unless given; pcm_24000 in an examination"
    )
    parser.add_argument("--output-format", default="pcm_16000")
    parser.add_argument("--connect-delay-ms", type=float, default=0.0)
    parser.add_argument(
        "--allow-override",
        action="append",
        default=[],
        metavar="NAME",
        help='an override clients may use, as agent.first_message, or "all" (repeatable)',
    )
    parser.add_argument(
        "--dialect", choices=("nested", "flat"), default="nested", help="flat: as guides spell it"
    )
    parser.add_argument(
        "--manner",
        choices=("captured", "guide"),
        help="order, ids and pieces of what is sent: as a recording of the live service has them "
        "(the default), or as guides describe them (with --dialect flat)",
    )
    parser.add_argument("--scenario", metavar="NAME|FILE", help="misbehave as a fault script says")
    parser.add_argument("--list-scenarios", action="store_true", help="what ships, and stop")
    parser.add_argument(
        "--conformance",
        action="store_true",
        help="examine the clients that connect, and report after each connection",
    )
    parser.add_argument(
        "--examined-tool",
        default="examined_tool",
        metavar="NAME",
        help="a tool of the client's that the examination calls",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON line for each event or each report, or for the list of scenarios",
    )


def _port(text: str) -> int:
    """Raises what argparse makes a usage error of."""
    if not (text.isascii() and text.isdecimal() and int(text) <= _HIGHEST_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to {_HIGHEST_PORT}")
    return int(text)


def run(
    args: argparse.Namespace,
    say: Callable[[str], None],
    examiner: "ClientExaminer | None" = None,
) -> int:
    """Serve until SIGTERM or SIGINT; raises KioskError. With an examiner only it reports."""
    if args.list_scenarios:
        return _list_scenarios(say, as_json=args.json)
    agent = _agent(args, say, examiner)

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with agent.listening() as url:
            say(f"listening on {url}")
            await stop.wait()

    asyncio.run(serve())
    return 0


def _agent(
    args: argparse.Namespace, say: Callable[[str], None], examiner: "ClientExaminer | None"
) -> "LocalAgent":
    from kiosk.agent.guide import load_guide
    from kiosk.agent.recogniser import Recogniser
    from kiosk.agent.scenario import load_scenario
    from kiosk.agent.server import LocalAgent

    settings = _settings(args)
    scenario = None if args.scenario is None else load_scenario(args.scenario)
    guide = load_guide(args.guide)

    def timeline(event: dict[str, object]) -> None:
        if args.json and examiner is None:
            say(json.dumps(event))

    return LocalAgent(
        settings, guide, Recogniser(guide.jsgf(), guide.ignore), timeline, scenario, examiner
    )


def _settings(args: argparse.Namespace) -> "AgentSettings":
    from kiosk.agent.behaviour import AgentBehaviour, Manner
    from kiosk.agent.dialect import DIALECTS
    from kiosk.agent.server import DEFAULT_API_KEY, AgentSettings
    from kiosk.audio.pcm import FORMATS

    # Not what clients send that do not look at what is announced.
    usual = "pcm_24000" if args.conformance else "pcm_16000"
    input_format = args.input_format or usual
    manner = args.manner or ("guide" if args.dialect == "flat" else "captured")
    for name in (input_format, args.output_format):
        if name not in FORMATS:
            raise ConfigError(f"unknown audio format {name!r}; known: {', '.join(FORMATS)}")
    return AgentSettings(
        host=args.host,
        port=args.port,
        agent_id=args.agent_id,
        api_key=_key(args.api_key_file) or DEFAULT_API_KEY,
        public=not args.private,
        signature_life_s=args.signature_life,
        connect_delay_s=args.connect_delay_ms / 1000,
        behaviour=AgentBehaviour(input_format, args.output_format, manner=Manner(manner)),
        dialect=DIALECTS[args.dialect],
        allowed_overrides=_overrides(args.allow_override),
    )


def _list_scenarios(say: Callable[[str], None], *, as_json: bool) -> int:
    from kiosk.agent.scenario import load_scenario, scenario_names

    scenarios = [load_scenario(name) for name in scenario_names()]
    if as_json:
        told = {"name", "summary", "ending"}
        say(json.dumps([each.model_dump(mode="json", include=told) for each in scenarios]))
        return 0
    width = max(len(each.name) for each in scenarios)
    for each in scenarios:
        say(f"{each.name:{width}}  {each.summary}")
    return 0


def _overrides(names: list[str]) -> frozenset[str]:
    from kiosk.agent.admission import ALL
    from kiosk.convai.overrides import OVERRIDE_NAMES

    for name in names:
        if name != ALL and name not in OVERRIDE_NAMES:
            known = ", ".join(sorted(OVERRIDE_NAMES))
            raise ConfigError(f"--allow-override: no override is called {name!r}; known: {known}")
    return frozenset(names)


def _key(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--api-key-file: cannot read {path}: {error}") from error
    if not key:  # and must not mean the key that everybody knows
        raise ConfigError(f"--api-key-file: {path} is empty; write the key into it")
    return key
