"""`agent check`, `agent apply`, `agent test`: the agent at the provider. Prints nothing; cheap to
import.

What the characters send is known here; what kiosks send of their own (`agent.overrides` and
`agent.variables` in their configuration) is not, and is told by options.
"""

import argparse
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kiosk.backend.cli.answer_test_command import add_test_command, run_test
from kiosk.errors import ConfigError, KioskError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from kiosk.backend.provider.client import Provider
    from kiosk.backend.provider.findings import AgentFinding, Needs
    from kiosk.backend.settings import BackendSettings
    from kiosk.convai.fields import Json

Say = Callable[[str], None]
# The type of what `add_subparsers` returns has no public name.
SubParsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def add_agent_commands(commands: SubParsers, common: argparse.ArgumentParser) -> None:
    """Add `agent` with its commands; the choice is left in `agent_command`."""
    agent = commands.add_parser("agent", help="is the agent set up as kiosks need it?")
    words = agent.add_subparsers(dest="agent_command", metavar="COMMAND", required=True)
    needs = argparse.ArgumentParser(add_help=False, parents=[common])
    needs.add_argument("--provider-url", metavar="URL", help="where the ElevenLabs API is")
    needs.add_argument("--agent-id", metavar="ID", help="the agent visitors talk with")
    needs.add_argument("--characters", metavar="DIR", type=Path, help="its characters, *.toml")
    for option, what in (("--override", "an override"), ("--variable", "a dynamic variable")):
        needs.add_argument(
            option,
            metavar="NAME",
            action="append",
            default=[],
            help=f"{what} that kiosks send of their own (repeatable)",
        )
    needs.add_argument(
        "--language",
        metavar="LANGUAGE",
        action="append",
        default=[],
        help="a language that the kiosks' visitors may choose (repeatable)",
    )
    needs.add_argument(
        "--no-disclosure",
        action="store_true",
        help="the kiosks have visit.disclosure = false: the agent says that an AI answers",
    )
    for option, default, what in (
        ("--visit-max-s", 570.0, "the kiosks' visit.max_s"),
        ("--idle-s", 20.0, "the kiosks' visit.idle_s"),
        ("--longest-s", 900, "what a conversation may last at most, for its cost"),
        ("--retention-days", 30, "how long the provider may keep conversations"),
        ("--kiosks", 1, "how many kiosks there are"),
    ):
        needs.add_argument(
            option,
            metavar="N",
            type=_whole if isinstance(default, int) else _seconds,
            default=default,
            help=f"{what} ({default:g})",
        )
    check = words.add_parser("check", parents=[needs], help="say what is not, and what to do")
    check.add_argument("--json", action="store_true", help="one JSON object a line")
    apply = words.add_parser("apply", parents=[needs], help="change what can be changed")
    apply.add_argument("--yes", action="store_true", help="without asking")
    add_test_command(words, common)


def run_agent(args: argparse.Namespace, say: Say) -> None:
    """Raises KioskError, also for what breaks visits: exit code 1."""
    from kiosk.backend import settings as of

    if args.agent_command == "test":
        run_test(args, say)
        return
    names = ("database", "provider_url", "agent_id")
    settings = of.load_settings({name: getattr(args, name) for name in names})
    of.require_agent(settings)
    needs = _needs(args, settings)
    at = _Agent(settings, of.read_api_key(settings))
    if args.agent_command == "apply":
        _apply(at, needs, say, yes=args.yes)
    else:
        _check(at, needs, say, as_json=args.json)


def _check(at: "_Agent", needs: "Needs", say: Say, *, as_json: bool = False) -> None:
    import dataclasses
    import json

    from kiosk.backend.provider.agent_check import check

    findings = check(at.settings(), needs)
    for finding in findings:
        if as_json:
            say(json.dumps(dataclasses.asdict(finding)))
        else:
            say(f"{finding.severity}: {finding.id}: {finding.what}")
            say(f"      {finding.fix}")
    failed = sum(finding.severity == "fail" for finding in findings)
    if failed:
        raise KioskError(
            f"the agent {at.id} is not as kiosks need it: {failed} of {len(findings)} findings "
            f"break visits{_next_step(findings)}"
        )
    if not findings and not as_json:
        say(f"the agent {at.id} is as kiosks need it")


def _apply(at: "_Agent", needs: "Needs", say: Say, *, yes: bool) -> None:
    from kiosk.backend.provider.agent_check import check
    from kiosk.backend.provider.findings import difference, merged

    agent = at.settings()
    patch = merged(check(agent, needs))
    if patch:
        for line in difference(agent, patch):
            say(line)
        if not yes and not _agreed(say):
            say("nothing was changed")
            return
        at.change(patch)
        say(f"changed the agent {at.id}")
    else:
        say("there is nothing to change")
    _check(at, needs, say)


def _agreed(say: Say) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to be asked: give --yes to change the agent")
    say("change the agent so? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _next_step(findings: "list[AgentFinding]") -> str:
    if any(finding.patch for finding in findings):
        return "; `kiosk backend agent apply` changes what needs no human"
    return ""


def _needs(args: argparse.Namespace, settings: "BackendSettings") -> "Needs":
    from kiosk.backend.characters.files import load_characters
    from kiosk.backend.mind.files import load_flow_or_persona
    from kiosk.backend.provider.findings import Needs
    from kiosk.convai.overrides import OVERRIDE_NAMES

    for name in args.override:
        if name not in OVERRIDE_NAMES:
            known = ", ".join(sorted(OVERRIDE_NAMES))
            raise ConfigError(f"--override: no override is called {name!r}; known: {known}")
    chosen = {"agent.language"} if args.language else set()
    if settings.mind and load_flow_or_persona(settings.mind).greeting is not None:
        chosen.add("agent.first_message")
    directory = args.characters or settings.characters_dir
    characters = [] if directory is None else list(load_characters(directory).values())
    of_all = [character.variable_names() for character in characters]
    wanted = [each.wanted_variables() - each.variable_names() for each in characters]
    return Needs(
        overrides=frozenset(args.override).union(chosen, *(c.override_names() for c in characters)),
        # What one character brings and another does not is missing in the other's conversations.
        variables=frozenset(args.variable).union(frozenset.intersection(*of_all) if of_all else ()),
        wanted_variables=frozenset().union(*wanted),
        languages=frozenset(args.language).union(*(c.languages() for c in characters)),
        disclosed=not args.no_disclosure,
        visit_max_s=args.visit_max_s,
        idle_s=args.idle_s,
        longest_s=args.longest_s,
        kiosks=args.kiosks,
        retention_days=args.retention_days,
    )


class _Agent:
    """The agent at the provider; every failure is a KioskError, worded for the operator."""

    def __init__(self, settings: "BackendSettings", key: "SecretStr") -> None:
        self.id = settings.agent_id
        self._settings = settings
        self._key = key

    def settings(self) -> "dict[str, Json]":
        return self._ask(lambda provider: provider.agent())

    def change(self, patch: "dict[str, Json]") -> None:
        self._ask(lambda provider: provider.change_agent(patch))

    def _ask(
        self, question: "Callable[[Provider], Awaitable[dict[str, Json]]]"
    ) -> "dict[str, Json]":
        from kiosk.backend.cli.provider_words import for_the_operator
        from kiosk.backend.provider.client import AgentAccess, ProviderError, open_provider
        from kiosk.base import patience

        async def ask() -> "dict[str, Json]":
            access = AgentAccess(self._settings.provider_url, self.id)
            async with open_provider(access, self._key) as provider:
                return await question(provider)

        try:
            return patience.run(ask())
        except ProviderError as error:
            raise for_the_operator(error, self._settings) from None


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 7200:  # also what is no number at all
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to 7200")
    return value


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:9]) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 100000")
    return int(text)
