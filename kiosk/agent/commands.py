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
    from kiosk.agent.mind_link import MindSettings
    from kiosk.agent.post_call import PostCallSettings
    from kiosk.agent.server import AgentSettings, LocalAgent

_HIGHEST_PORT = 65_535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=8090, help="0 takes any free port")
    parser.add_argument("--guide", type=Path, help="TOML of questions and answers")
    parser.add_argument(
        "--check", action="store_true", help="name all that is wrong with it, and stop"
    )
    parser.add_argument("--ask", metavar="TEXT", help="what it answers to that, and stop")
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
    _add_mind_arguments(parser)
    _add_webhook_arguments(parser)
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


def _add_mind_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mind-url",
        default="",
        metavar="URL",
        help="ask a backend with a mind for the answers, as the service does: "
        "ws://HOST:PORT/v1/mind/speech-engine, or http://HOST:PORT/v1/llm/chat/completions or "
        "/v1/llm/responses; the guide still says which questions are heard",
    )
    parser.add_argument(
        "--mind-secret-file", type=Path, help="what an http:// one is shown; ws:// needs the key"
    )


def _add_webhook_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--webhook-url", help="where each conversation's transcription is sent when it is over"
    )
    parser.add_argument("--webhook-secret-file", type=Path, help="the secret it is signed with")
    parser.add_argument("--webhook-after", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--webhook-twice", action="store_true", help="send each once more")
    parser.add_argument("--webhook-audio", action="store_true", help="and a recording, of silence")


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
    if args.check or args.ask is not None:
        return _try_guide(args, say)
    agent = _agent(args, say, examiner)

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with agent.listening() as url:
            say(f"listening on {url}")
            if not args.json and examiner is None:
                say(_how_to_talk(url, args.agent_id, private=args.private))
            await stop.wait()

    asyncio.run(serve())
    return 0


def _try_guide(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Look at a guide without serving it; raises ConfigError for its mistakes."""
    from kiosk.agent.guide import DEFAULT_GUIDE, load_guide
    from kiosk.agent.recogniser import Recogniser

    guide = load_guide(args.guide)
    if args.check:
        try:
            recogniser = Recogniser(guide.jsgf(), guide.ignore)
        except ConfigError as error:
            raise ConfigError(f"{args.guide or DEFAULT_GUIDE}: {error}") from error
        wordings = sum(len(entry.sentences) for entry in guide.entries)
        say(f"good: {len(guide.entries)} questions in {wordings} wordings")
        for word, phones in recogniser.guessed.items():
            say(f"  {word} is in no dictionary: it is heard as {phones}")
    if args.ask is None:
        return 0
    entry = guide.entry_for(args.ask)
    if entry is None:
        nearest = guide.nearest(args.ask)
        say("no question of the guide" + "".join(f"\n  like it: {each}" for each in nearest))
        return 1
    say(f"{entry.key}: {entry.say}")
    return 0


def _how_to_talk(url: str, agent_id: str, *, private: bool) -> str:
    """What a kiosk's configuration needs to talk with this agent."""
    where = url.replace("http", "ws", 1)
    lines = ["in a kiosk's configuration:", "    [agent]", f'    id = "{agent_id}"']
    lines += [f'    url = "{where}"', "    [credentials]"]
    if private:
        lines += [f'    mode = "backend"   # with `kiosk backend serve --provider-url {url}`']
    else:
        lines += ['    mode = "public"']
    return "\n".join(lines)


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
        if examiner is not None:
            return
        if args.json:
            say(json.dumps(event))
        elif (text := _for_reading(event)) is not None:
            say(text)

    return LocalAgent(
        settings, guide, Recogniser(guide.jsgf(), guide.ignore), timeline, scenario, examiner
    )


def _for_reading(event: dict[str, object]) -> str | None:
    """An event as whoever writes a guide reads it; None: of no interest to him."""
    match event:
        case {"event": "heard", "text": None}:
            return "hears something, and understands none of it"
        case {"event": "heard" | "read" as how, "text": text}:
            return f"{how.replace('heard', 'hears').replace('read', 'reads')}: {text}"
        case {"event": "agent_started", "text": text}:
            return f"answers: {text}"
        case {"event": "connected" | "closed" as what}:
            return f"a client: {what}"
    return None


def _settings(args: argparse.Namespace) -> "AgentSettings":
    from kiosk.agent.behaviour import AgentBehaviour, Manner
    from kiosk.agent.dialect import DIALECTS
    from kiosk.agent.server import DEFAULT_API_KEY, AgentSettings
    from kiosk.audio.pcm import FORMATS

    api_key = _secret("--api-key-file", args.api_key_file, "key") or DEFAULT_API_KEY
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
        api_key=api_key,
        public=not args.private,
        signature_life_s=args.signature_life,
        connect_delay_s=args.connect_delay_ms / 1000,
        behaviour=AgentBehaviour(input_format, args.output_format, manner=Manner(manner)),
        dialect=DIALECTS[args.dialect],
        allowed_overrides=_overrides(args.allow_override),
        post_call=_post_call(args),
        mind=_mind(args, api_key),
    )


def _mind(args: argparse.Namespace, api_key: str) -> "MindSettings | None":
    from kiosk.agent.mind_link import MindSettings

    url: str = args.mind_url
    if not url:
        return None
    if url.startswith(("ws://", "wss://")):
        return MindSettings(url, api_key)
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"--mind-url: {url!r} begins with neither ws:// nor http://")
    if not url.endswith(("/chat/completions", "/responses")):
        raise ConfigError(f"--mind-url: {url!r} ends with neither /chat/completions nor /responses")
    secret = _secret("--mind-secret-file", args.mind_secret_file, "secret")
    if secret is None:
        raise ConfigError("--mind-url: an http:// one needs --mind-secret-file")
    return MindSettings(url, secret)


def _post_call(args: argparse.Namespace) -> "PostCallSettings | None":
    from kiosk.agent.post_call import PostCallSettings

    if args.webhook_url is None:
        return None
    if not args.webhook_url.startswith(("http://", "https://")):
        raise ConfigError(f"--webhook-url: {args.webhook_url!r} is no address of HTTP")
    secret = _secret("--webhook-secret-file", args.webhook_secret_file, "secret")
    if secret is None:
        raise ConfigError("--webhook-url needs --webhook-secret-file: unsigned it is not believed")
    return PostCallSettings(
        args.webhook_url, secret, args.webhook_after, args.webhook_twice, args.webhook_audio
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


def _secret(option: str, path: Path | None, what: str) -> str | None:
    if path is None:
        return None
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{option}: cannot read {path}: {error}") from error
    if not secret:  # and must not mean the one that everybody knows
        raise ConfigError(f"{option}: {path} is empty; write the {what} into it")
    return secret
