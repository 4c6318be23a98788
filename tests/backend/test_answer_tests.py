"""`agent test`: does an agent say what it should?"""

import argparse
import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from kiosk.agent.server import DEFAULT_AGENT_ID, DEFAULT_API_KEY
from kiosk.backend.agent_tests.asking import ask_mind, ask_provider
from kiosk.backend.agent_tests.form import AgentTest, read_tests
from kiosk.backend.agent_tests.verdict import AnswerOutcome, AnswerVerdict, judged
from kiosk.backend.cli.agent_commands import add_agent_commands, run_agent
from kiosk.backend.mind.files import load_flow
from kiosk.backend.mind.port import MindError, MindTurn
from kiosk.backend.mind.scripted import ScriptedMind
from kiosk.backend.provider.agent_test_runs import AgentTestRun, AgentTestRuns
from kiosk.backend.provider.client import (
    AgentAccess,
    Provider,
    QuotaError,
    UnreachableError,
    open_provider,
)
from kiosk.backend.settings import PREFIX
from kiosk.errors import ConfigError, KioskError
from tests.backend.mind.messages_api import KEY, messages_api
from tests.integration.conftest import StartAgent, guide, recogniser, start_agent
from tests.slowness import patient_s

__all__ = ["guide", "recogniser", "start_agent"]

SHIPPED = Path(__file__).parents[2] / "deploy" / "agent-tests"


EXIT: dict[str, Any] = {
    "chat_history": [{"role": "user", "message": "Where is the exit?"}],
    "success_examples": [{"response": "The exit is straight ahead, past the ticket desk."}],
}


def written(**changes: Any) -> dict[str, Any]:
    """A test as a file has it."""
    body: dict[str, Any] = {
        "name": "whales",
        "chat_history": [{"role": "user", "message": "Where are the whales?"}],
        "success_condition": "It says where they are.",
        "success_examples": [{"response": "In the main hall."}],
        "failure_examples": [{"response": "There are none."}],
    }
    return {**body, **changes}


def a_test(**changes: Any) -> AgentTest:
    (test,) = read_tests("tests.json", json.dumps(written(**changes)))
    return test


# --- the file -------------------------------------------------------------------------------------


def test_a_file_is_what_the_provider_takes_and_our_words_are_kept_from_it() -> None:
    test = a_test(kiosk={"must": ["main hall"]}, dynamic_variables={"name": "x"})
    assert test.must == ("main hall",)
    assert test.talk[-1].content == "Where are the whales?"
    assert test.official == {
        **written(),
        "type": "llm",
        "dynamic_variables": {"name": "x"},
        "chat_history": [
            {"role": "user", "message": "Where are the whales?", "time_in_call_secs": 0}
        ],
        "success_examples": [{"type": "success", "response": "In the main hall."}],
        "failure_examples": [{"type": "failure", "response": "There are none."}],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "tests.json: it is not JSON: "),
        ("[]", "tests.json: it is no list of tests"),
        ("7", "tests.json: it is no list of tests"),
        ("[7]", "tests.json, test 1: "),
        (json.dumps([written(), written()]), "several tests are called 'whales'"),
        (
            json.dumps([written(kiosk={"mut": []})]),
            "test 1 (whales): kiosk.mut: there is no such key; did you mean must?; these are: ",
        ),
        (
            json.dumps([written(chat_history=[{"role": "agent", "message": "Hello."}])]),
            'chat_history: it does not end with a message of "role": "user"',
        ),
        (json.dumps([written(success_condition=None)]), "success_condition: it says"),
        (json.dumps([written(kiosk={"must_not": ["**"]})]), "'**': only words are looked for"),
        (json.dumps([written(kiosk={"must": ["hall | ?"]})]), "only words are looked for"),
        (json.dumps([written(chat_history="x")]), "chat_history: must be a list"),
        ('[{"name": NaN}]', "tests.json: it is not JSON: NaN is no number"),
        (r'[{"name": "\ud800"}]', "tests.json: it is not JSON: "),
        (json.dumps([written(failure_examples=[])]), "failure_examples: one of each"),
    ],
)
def test_all_mistakes_are_named_with_their_test(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_tests("tests.json", text)
    assert said in str(error.value)


# --- the verdict ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "is_right", "outcome"),
    [
        ("It is in the MAIN hall!", None, "passed"),
        ("It is in the great hall.", None, "passed"),
        ("It is in the main hallway.", None, "failed"),
        ("In the main hall, it costs nothing.", None, "failed"),
        ("It is in the main hall.", False, "failed"),
        ("It is there.", True, "failed"),
    ],
)
def test_words_and_judge_must_agree(answer: str, is_right: bool | None, outcome: str) -> None:
    test = a_test(kiosk={"must": ["main hall | great hall"], "must_not": ["costs nothing"]})
    verdict = judged(test, answer, is_right)
    assert verdict.outcome == outcome
    assert bool(verdict.why) is (outcome == "failed")


def test_without_words_and_judge_nobody_knows() -> None:
    assert judged(a_test(), "Anything.", None).outcome is AnswerOutcome.NOT_JUDGED
    assert judged(a_test(), "Anything.", is_right=True).outcome is AnswerOutcome.PASSED


# --- a mind ---------------------------------------------------------------------------------------


class Saying:
    """Says the same to everybody, and keeps what it was asked."""

    def __init__(self, *pieces: str, fails: bool = False) -> None:
        self._pieces = pieces
        self._fails = fails
        self.asked: list[str] = []

    async def answer(self, turn: MindTurn) -> AsyncGenerator[str, None]:
        self.asked.append(turn.talk[-1].content)
        if self._fails:
            raise MindError("it is away")
        for piece in self._pieces:
            yield piece


async def verdicts(mind: Saying, judge: Saying | None, *tests: AgentTest) -> list[AnswerVerdict]:
    return [each async for each in ask_mind(mind, judge, tests or (a_test(),))]


async def test_a_mind_is_asked_and_its_answer_judged() -> None:
    mind, judge = Saying("In the ", "main hall."), Saying("Yes", ".")
    (verdict,) = await verdicts(mind, judge)
    assert verdict == AnswerVerdict("whales", AnswerOutcome.PASSED, "In the main hall.")
    assert mind.asked == ["Where are the whales?"]
    for told in ("Where are the whales?", "It says where they are.", "Good: In the main hall.",
                 "Bad: There are none.", "The answer: In the main hall."):  # fmt: skip
        assert told in judge.asked[0]
    (verdict,) = await verdicts(mind, Saying("Yesterday's answer was: no."))
    assert verdict.outcome is AnswerOutcome.FAILED
    (verdict,) = await verdicts(mind, Saying("no"))
    assert verdict.outcome is AnswerOutcome.FAILED
    assert verdict.why == ("the judge does not find: It says where they are.",)


async def test_a_mind_or_a_judge_that_is_away_is_said_to_be() -> None:
    (verdict,) = await verdicts(Saying(fails=True), Saying("yes"))
    assert (verdict.outcome, verdict.why) == (AnswerOutcome.FAILED, ("it is away",))
    (verdict,) = await verdicts(Saying("Here."), Saying(fails=True))
    assert verdict.outcome is AnswerOutcome.NOT_JUDGED
    assert verdict.why == ("the judge does not answer: it is away",)


async def test_what_is_no_single_question_is_the_providers() -> None:
    simulation = {"name": "s", "type": "simulation", "simulation_scenario": "a visit"}
    (test,) = read_tests("tests.json", json.dumps(simulation))
    mind = Saying("Here.")
    (verdict,) = await verdicts(mind, None, test)
    assert verdict.outcome is AnswerOutcome.SKIPPED
    assert mind.asked == []
    assert test.official == simulation


async def test_the_flow_that_ships_is_tested_word_for_word() -> None:
    flow = load_flow("museum")
    talk = [
        {"role": "agent", "message": flow.greeting},
        {"role": "user", "message": "yes please"},
        {"role": "agent", "message": flow.topic[1].ask},
        {"role": "user", "message": "one hour"},
    ]
    test = a_test(chat_history=talk, kiosk={"must": ["alone, or with children"]})
    (verdict,) = [each async for each in ask_mind(ScriptedMind(flow), None, [test])]
    assert verdict.outcome is AnswerOutcome.PASSED


# --- the command, at the provider's endpoints and elsewhere ---------------------------------------


def parsed(*options: str) -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--database")
    parser = argparse.ArgumentParser()
    add_agent_commands(parser.add_subparsers(), common)
    return parser.parse_args(["agent", "test", *options])


async def run(*options: str) -> list[str]:
    said: list[str] = []
    await asyncio.to_thread(run_agent, parsed(*options), said.append)
    return said


@pytest.fixture
def tests_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "key").write_text(DEFAULT_API_KEY)
    monkeypatch.setenv(f"{PREFIX}API_KEY_FILE", str(tmp_path / "key"))
    path = tmp_path / "tests.json"
    path.write_text(json.dumps([written()]))
    return path


async def test_the_museums_questions_are_answered_by_the_agent(
    tests_file: Path, start_agent: StartAgent
) -> None:
    shipped = str(SHIPPED / "museum.json")
    async with start_agent() as (url, _):
        where = (f"--provider-url={url}", f"--agent-id={DEFAULT_AGENT_ID}")
        said = await run(shipped, *where)
        assert said[-1] == "the agent says what it should: 38 passed"
        objects = [json.loads(line) for line in await run(shipped, *where, "--json")]
        assert {each["outcome"] for each in objects} == {"passed"}
        # Whales are not in its guide: it asks again, and that is not what the test wants.
        with pytest.raises(KioskError, match="does not say what it should: 1 failed") as error:
            await run(str(tests_file), *where)
        assert error.value.exit_code == 1


async def test_what_was_made_at_the_provider_is_removed(start_agent: StartAgent) -> None:
    async with (
        start_agent() as (url, _),
        open_provider(AgentAccess(url, DEFAULT_AGENT_ID), SecretStr(DEFAULT_API_KEY)) as provider,
    ):
        made: list[str] = []
        make = provider.make_test

        async def noted(body: Any) -> str:
            made.append(await make(body))
            return made[-1]

        provider.make_test = noted  # type: ignore[method-assign]  # it is watched
        with pytest.raises(UnreachableError):
            async for _verdict in ask_provider(provider, [a_test()], within_s=0):
                pass
        (test_id,) = made
        assert (await provider._ask("DELETE", f"/v1/convai/agent-testing/{test_id}")).status == 404


async def test_what_the_provider_does_not_take_is_told_by_its_test(
    tests_file: Path, start_agent: StartAgent
) -> None:
    tool = {"name": "lights", "type": "tool"}
    both = json.dumps([tool, written(name="exit", **EXIT)])
    await asyncio.to_thread(tests_file.write_text, both)
    async with start_agent() as (url, _):
        said: list[str] = []
        where = (f"--provider-url={url}", f"--agent-id={DEFAULT_AGENT_ID}")
        with pytest.raises(KioskError, match="1 failed, 1 passed"):
            await asyncio.to_thread(run_agent, parsed(str(tests_file), *where), said.append)
    assert said[:2] == [
        "failed: lights",
        "      the provider does not take this test (value_error)",
    ]


class Refusing(Provider):
    """A provider that makes and runs tests, and takes none away; what was asked of it."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    async def make_test(self, body: Any) -> str:
        return f"test_{body['name']}"

    async def run_tests(self, ids: Any) -> AgentTestRuns:
        return AgentTestRuns("s", tuple(AgentTestRun(each, True, True) for each in ids))

    async def remove_test(self, test_id: str) -> None:
        self.removed.append(test_id)
        raise QuotaError


async def test_that_one_cannot_be_removed_keeps_none_of_the_others() -> None:
    provider = Refusing()
    tests = [a_test(name=name) for name in "abc"]
    told = [each async for each in ask_provider(provider, tests, within_s=60)]
    assert [each.outcome for each in told] == [AnswerOutcome.PASSED] * 3
    assert provider.removed == ["test_a", "test_b", "test_c"]


class Pending:
    """A provider whose tests are never over; the ids that it still has."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.runs = asyncio.Event()
        self.url = ""

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"(?i)content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            body = json.dumps(self._answer(*head.split()[:2])).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, method: str, path: str) -> dict[str, Any]:
        if method == "DELETE":
            self.kept.discard(path.rpartition("/")[2])
            return {}
        if path.endswith("/create"):
            self.kept.add(named := f"test_{len(self.kept)}")
            return {"id": named}
        self.runs.set()
        waiting = [{"test_id": each, "status": "pending"} for each in sorted(self.kept)]
        return {"id": "suite", "test_runs": waiting}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_a_job_that_is_ended_leaves_no_test_behind(
    tests_file: Path, number: signal.Signals
) -> None:
    three = json.dumps([written(name=name) for name in "abc"])
    await asyncio.to_thread(tests_file.write_text, three)
    pending = Pending()
    async with await asyncio.start_server(pending.serve_one, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kiosk", "backend", "agent", "test", str(tests_file),
            f"--provider-url={url}", "--agent-id=agent_x", stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(patient_s(40)):
            await pending.runs.wait()
            assert pending.kept == {"test_0", "test_1", "test_2"}
            process.send_signal(number)
            _, complaint = await process.communicate()
    assert pending.kept == set()
    assert process.returncode
    assert b"Traceback" not in complaint


async def test_the_local_agent_is_started_for_it() -> None:
    said = await run(str(SHIPPED / "museum.json"), "--local")
    assert said[-1] == "the agent says what it should: 38 passed"


async def test_a_persona_is_tested_and_judged_by_its_own_model(
    tests_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model-key").write_text(KEY)
    monkeypatch.setenv(f"{PREFIX}MODEL_KEY_FILE", str(tmp_path / "model-key"))
    guide = (SHIPPED.parent / "backend" / "guide.toml").read_text("utf-8")
    async with messages_api(texts=("Yes", ", in the main hall.")) as api:
        (tmp_path / "guide.toml").write_text(f'{guide}\nbase_url = "{api.url}"\n')
        said = await run(str(tests_file), "--mind", str(tmp_path / "guide.toml"))
    assert said == ["passed: whales", "the agent says what it should: 1 passed"]
    guided, judging = (asked["system"][0]["text"] for asked in api.asked)
    assert "Lotte" in guided
    assert "You judge" in judging


async def test_nothing_judged_is_not_good(tests_file: Path) -> None:
    with pytest.raises(KioskError, match="nothing was judged: 1 not judged"):
        await run(str(tests_file), "--mind", "museum")


async def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*none.json: No such file"):
        await run(str(tmp_path / "none.json"), "--local")


def test_the_tests_that_ship_are_good() -> None:
    for path in sorted(SHIPPED.glob("*.json")):
        tests = read_tests(path.name, path.read_text("utf-8"))
        for test in tests:
            for good in test.good:
                assert judged(test, good, is_right=True).outcome is AnswerOutcome.PASSED, test.name
