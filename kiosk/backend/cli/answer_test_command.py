"""`agent test`: does the agent say what it should? Prints nothing; cheap to import."""

import argparse
import asyncio
import contextlib
import json
import select
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from kiosk.errors import ConfigError, KioskError, UnavailableError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from kiosk.backend.agent_tests.form import AgentTest
    from kiosk.backend.agent_tests.verdict import AnswerVerdict
    from kiosk.backend.settings import BackendSettings

Say = Callable[[str], None]

_LOCAL_AGENT, _LOCAL_KEY = "agent_local", "local"
# Of all tests together, at the provider.
_WITHIN_S = 600.0
_STARTS_WITHIN_S = 60.0


def add_test_command(
    words: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Add `test` to the words of `agent`."""
    test = words.add_parser("test", parents=[common], help="ask it, and judge what it says")
    test.add_argument("files", metavar="FILE", type=Path, nargs="+", help="tests, as JSON")
    test.add_argument("--provider-url", metavar="URL", help="where the ElevenLabs API is")
    test.add_argument("--agent-id", metavar="ID", help="the agent visitors talk with")
    whom = test.add_mutually_exclusive_group()
    whom.add_argument(
        "--local", action="store_true", help="the local agent instead, started for it"
    )
    whom.add_argument("--mind", metavar="NAME|FILE", help="a mind of yours instead")
    test.add_argument("--json", action="store_true", help="one JSON object a line")


def run_test(args: argparse.Namespace, say: Say) -> None:
    """Raises KioskError, also for what is not as it should be: exit code 1."""
    from kiosk.backend import settings as of
    from kiosk.base import patience

    tests = _read(args.files)
    names = ("database", "provider_url", "agent_id")
    verdicts: Counter[str] = Counter()

    def tell(verdict: "AnswerVerdict") -> None:
        verdicts[verdict.outcome] += 1
        if args.json:
            say(json.dumps(asdict(verdict)))
            return
        say(f"{verdict.outcome}: {verdict.name}")
        for line in verdict.why:
            say(f"      {line}")
        if verdict.why and verdict.answer:
            say(f"      it said: {verdict.answer}")

    settings = of.load_settings({name: getattr(args, name) for name in names})
    if args.mind is not None:
        patience.run(_ask_mind(args.mind, of.read_model_key(settings), tests, tell))
    elif args.local:
        with _local_agent() as (url, key):
            local = settings.model_copy(update={"provider_url": url, "agent_id": _LOCAL_AGENT})
            _ask_provider(local, key, tests, tell)
    else:
        of.require_agent(settings)
        _ask_provider(settings, of.read_api_key(settings), tests, tell)
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(verdicts.items()))
    if verdicts["failed"]:
        raise KioskError(f"the agent does not say what it should: {told}")
    if not verdicts["passed"]:
        raise KioskError(f"nothing was judged: {told}; give tests words that must be in the answer")
    if not args.json:
        say(f"the agent says what it should: {told}")


def _read(files: Sequence[Path]) -> "list[AgentTest]":
    from kiosk.backend.agent_tests.form import read_tests

    tests: list[AgentTest] = []
    for path in files:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"cannot read {path}: {reason}") from None
        tests += read_tests(str(path), text)
    return tests


async def _ask_mind(
    name_or_path: str,
    key: "SecretStr | None",
    tests: "Sequence[AgentTest]",
    tell: "Callable[[AnswerVerdict], None]",
) -> None:
    from kiosk.backend.agent_tests.asking import JUDGE, ask_mind
    from kiosk.backend.mind.opening import open_judge, open_mind

    async with (
        open_mind(name_or_path, key, lambda *_: None) as opened,
        open_judge(name_or_path, key, JUDGE) as judge,
        contextlib.aclosing(ask_mind(opened.mind, judge, tests)) as verdicts,
    ):
        async for verdict in verdicts:
            tell(verdict)


def _ask_provider(
    settings: "BackendSettings",
    key: "SecretStr",
    tests: "Sequence[AgentTest]",
    tell: "Callable[[AnswerVerdict], None]",
) -> None:
    from kiosk.backend.agent_tests.asking import ask_provider
    from kiosk.backend.cli.provider_words import for_the_operator
    from kiosk.backend.provider.client import AgentAccess, ProviderError, open_provider
    from kiosk.base import patience

    async def ask() -> None:
        _cancelled_by_signals()
        access = AgentAccess(settings.provider_url, settings.agent_id)
        async with (
            open_provider(access, key) as provider,
            contextlib.aclosing(ask_provider(provider, tests, _WITHIN_S)) as verdicts,
        ):
            async for verdict in verdicts:
                tell(verdict)

    try:
        patience.run(ask())
    except ProviderError as error:
        raise for_the_operator(error, settings) from None
    except asyncio.CancelledError:
        raise KioskError("stopped, and the provider was asked to remove the tests") from None


def _cancelled_by_signals() -> None:
    """What ends a job ends this too, but not before its tests are removed."""
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(RuntimeError, ValueError):  # signals are the main thread's
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)


@contextlib.contextmanager
def _local_agent() -> "Iterator[tuple[str, SecretStr]]":
    """The local agent in a process of its own, for as long as the block: its URL and its key."""
    from pydantic import SecretStr

    with tempfile.TemporaryDirectory(prefix="kiosk-") as directory:
        key = Path(directory) / "key"
        key.write_text(_LOCAL_KEY)
        command = [sys.executable, "-m", "kiosk", "agent", "--json", "--port=0"]
        command += [f"--agent-id={_LOCAL_AGENT}", f"--api-key-file={key}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:  # noqa: S603
            try:
                assert agent.stdout is not None
                # Its first line, whole: it has said nothing before.
                is_there, _, _ = select.select([agent.stdout], [], [], _STARTS_WITHIN_S)
                said = agent.stdout.readline().split() if is_there else []
                if said[:2] != ["listening", "on"]:
                    raise UnavailableError("the local agent does not start")
                yield said[2], SecretStr(_LOCAL_KEY)
            finally:
                agent.terminate()
