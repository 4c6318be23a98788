"""Every fault script that ships: how its visit ends, and soon, and that the next one works.

Those of the wire are played in virtual time. Those that go wrong at the backend need processes, and
are played several at a time, for a visit is mostly waiting.
"""

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from kiosk.agent.guide import Guide
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.scenario import load_scenario, scenario_names
from kiosk.agent.server import AgentSettings, LocalAgent
from kiosk.cli import main
from kiosk.daemon.kiosk import Daemon
from kiosk.devices.virtual import Room
from kiosk.errors import ConfigError
from kiosk.lab.demo.commands import spoken
from kiosk.lab.demo.lines import rehearsed
from kiosk.lab.demo.report import scenario_report
from kiosk.lab.demo.runner import DemoRecord, DemoRunner, settings_for
from kiosk.lab.demo.servers import servers
from kiosk.lab.virtual_loop import running_clock
from kiosk.visit.states import State
from kiosk.visit.visit import NERVOUS_S
from tests.lockstep import in_lockstep
from tests.slowness import patient_s
from tests.virtual_kiosk import tones_for_sentences

pytestmark = pytest.mark.timeout(600)

# From the press until the kiosk knows how the visit ends.
LIMIT_S = 10.0
AT_ONCE = 8

SCENARIOS = scenario_names()
AT_THE_BACKEND = [name for name in SCENARIOS if name.startswith("rest_")]
ON_THE_WIRE = [name for name in SCENARIOS if name not in AT_THE_BACKEND]

# What a scenario's visit is besides its ending: figures of the report.
BESIDES: dict[str, dict[str, int]] = {
    "cut_every_time": {"conversations": 2, "reconnects": 1},
    "cut_once": {"conversations": 2, "reconnects": 1},
    "duplicates": {"answers": 1, "reconnects": 0},
    "error_and_on": {"conversations": 1, "answers": 1},
    "giant_frame": {"reconnects": 0},
    "half_sample": {"answers": 1},
    "internal_error": {"conversations": 2, "reconnects": 1},
    "internal_error_once": {"conversations": 2, "reconnects": 1},
    "interrupted": {"answers": 2},
    "jitter": {"answers": 1},
    "large_frame": {"conversations": 1, "answers": 1, "malformed_frames": 0},
    "llm_timeout": {"conversations": 2, "reconnects": 1},
    # The question is answered, though it was asked once only.
    "lost_while_speaking": {"reconnects": 1},
    "lost_while_thinking": {"conversations": 2, "answers": 1},
    "tool_blocked": {"conversations": 1, "answers": 1},
    "tool_slow": {"conversations": 1, "answers": 1, "sentences": 1},
    # Of the six frames five are told of; the others are counted only.
    "malformed_frames": {"conversations": 1, "answers": 1, "malformed_frames": 5},
    "missing_fields": {"conversations": 1, "answers": 1, "malformed_frames": 4},
    "not_heard": {"conversations": 2},
    "queue_admitted": {"conversations": 1, "answers": 1},
    "quota": {"conversations": 1, "reconnects": 0},
    "reordered": {"answers": 1},
    "rest_slow": {"conversations": 1, "answers": 1},
    "second_metadata": {"conversations": 1, "answers": 1},
    "slow_drip": {"answers": 1},
    "slow_metadata": {"conversations": 1, "answers": 1},
    "stalled": {"conversations": 1, "answers": 1},
    "tools": {"tool_calls": 3, "answers": 1},
    "unknown_types": {"answers": 1, "malformed_frames": 0},
}


Result: TypeAlias = dict[str, Any]


class Play:
    """One scenario on a kiosk of its own in a room of its own."""

    def __init__(self, name: str, directory: Path) -> None:
        self.scenario = load_scenario(name)
        self._directory = directory
        self._record = DemoRecord(Room(record=True, clock=running_clock()))
        self.stage = DemoRunner(self._record, lambda _: None)

    async def on_the_wire(self, guide: Guide, recogniser: Recogniser) -> dict[str, Any]:
        """With an agent that behaves afterwards, so that the next press can be tried."""
        settings = AgentSettings(port=0)
        agent = LocalAgent(settings, guide, recogniser, lambda _: None, self.scenario)

        async def press_again(daemon: Daemon) -> None:
            agent.scenario = None
            for states in ((State.LISTENING, State.SPEAKING), (State.IDLE,)):
                await asyncio.sleep(NERVOUS_S + 0.05)
                self.stage.press()
                await _until(lambda wanted=states: daemon.host.state in wanted)  # type: ignore[misc]

        async with agent.listening() as url:
            where = {"id": "agent_local", "url": url.replace("http", "ws")}
            changes = {"agent": where, "credentials": {"mode": "public"}}
            return await self._visit({}, changes, press_again)

    async def at_the_backend(self) -> dict[str, Any]:
        """With agent and backend as processes."""
        options = ["--scenario", self.scenario.name]
        async with servers(self._directory, options, self.stage.on_agent) as running:
            credentials = {
                "backend_url": running.backend_url,
                "device_token_file": running.device_token_file,
            }
            return await self._visit(credentials, {}, None)

    async def _visit(
        self, credentials: dict[str, Any], changes: dict[str, Any], afterwards: Any
    ) -> dict[str, Any]:
        scenario = self.scenario
        quickly = {"disclosure": False, "messages_dir": tones_for_sentences(self._directory)}
        # These rooms have no echo, and eight kiosks share one interpreter.
        anechoic: dict[str, Any] = {"mode": "off"}
        for name, table in {"visit": quickly, "echo": anechoic, **scenario.kiosk}.items():
            changes[name] = {**changes.get(name, {}), **table}
        changes["visit"] = {**quickly, **changes["visit"]}
        lines = await spoken(rehearsed(scenario.visitor), self._record.room.rate_hz)
        await self.stage.rehearse(
            settings_for(self._directory, credentials, changes),
            lines,
            hang_up=scenario.visitor.then == "hang_up",
            afterwards=afterwards,
        )
        return scenario_report(self._record, scenario)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(patient_s(5)):
        while not condition():  # noqa: ASYNC110  a state has no event of its own
            await asyncio.sleep(0.01)


async def _play_all(names: list[str], directory: Path) -> dict[str, Result | BaseException]:
    room = asyncio.Semaphore(AT_ONCE)

    async def play(name: str) -> Result:
        its_directory = directory / str(names.index(name))
        its_directory.mkdir()
        one = Play(name, its_directory)
        async with room, asyncio.timeout(patient_s(180)):  # eight at a time, each three processes
            return await one.at_the_backend()

    results = await asyncio.gather(*map(play, names), return_exceptions=True)
    await _nothing_is_left()
    return dict(zip(names, results, strict=True))


async def _nothing_is_left() -> None:
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, "tasks are left behind"


@contextlib.contextmanager
def _hooks_kept() -> Iterator[None]:
    """A daemon has its process to itself; here several put back what they found in any order."""
    hook = threading.excepthook
    yield
    threading.excepthook = hook


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> dict[str, Result | BaseException]:
    """How the visit of each selected scenario that needs processes went."""
    names = [
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.originalname == test_what_goes_wrong_at_the_backend_ends_as_it_says.__name__
    ]
    with tempfile.TemporaryDirectory(prefix="kiosk-", dir="/tmp") as directory, _hooks_kept():
        return asyncio.run(_play_all(names, Path(directory)))


@pytest.mark.parametrize("name", AT_THE_BACKEND)
def test_what_goes_wrong_at_the_backend_ends_as_it_says(
    name: str, results: dict[str, Result | BaseException]
) -> None:
    result = results[name]
    if isinstance(result, BaseException):
        raise result
    _judge(name, result)


@pytest.mark.parametrize("name", ON_THE_WIRE)
@in_lockstep
async def test_a_scenarios_visit_ends_as_it_says_and_the_next_press_works(
    name: str, short_dir: Path, guide: Guide, recogniser: Recogniser
) -> None:
    with _hooks_kept():
        async with asyncio.timeout(60):
            result = await Play(name, short_dir).on_the_wire(guide, recogniser)
    await _nothing_is_left()
    _judge(name, result)


def _judge(name: str, result: Result) -> None:
    assert result["errors"] == []
    assert result["ok"]
    # In virtual time no machine is slow.
    limit_s = LIMIT_S if name in ON_THE_WIRE else patient_s(LIMIT_S)
    assert result["ending_after_s"] < limit_s
    wanted = dict(BESIDES.get(name, {}))
    # Whether the greeting is heard as well depends on who is quicker, visitor or agent.
    assert result["answers"] >= wanted.pop("answers", 0)
    assert {figure: result[figure] for figure in wanted} == wanted


@in_lockstep
async def test_a_visitor_who_says_nothing_hangs_up_when_the_press_counts(
    short_dir: Path, guide: Guide, recogniser: Recogniser
) -> None:
    script = short_dir / "mute.toml"
    visitor = 'visitor = { says = [], then = "hang_up" }'
    script.write_text(f'summary = "A trial."\nending = "hung_up"\n{visitor}\n', encoding="utf-8")
    with _hooks_kept():
        result = await Play(str(script), short_dir).on_the_wire(guide, recogniser)
    assert result["errors"] == []
    assert result["ending_after_s"] > NERVOUS_S


def test_a_setting_that_no_kiosk_has_is_named_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "trial.toml"
    tables = '[kiosk.visit]\nfoo = 1\n[kiosk.capture]\ndriver = "x"\n'
    script.write_text(f'summary = "A trial."\nending = "hung_up"\n{tables}', encoding="utf-8")
    assert main(["demo", "--scenario", str(script)]) == ConfigError.exit_code
    out, err = capsys.readouterr()
    assert "starting" not in out
    assert set(err.removeprefix("kiosk: ").splitlines()) == {
        "scenario trial: kiosk.visit.foo: no such setting; config.example.toml lists them all",
        "scenario trial: kiosk.capture.driver: must be 'alsa' or 'virtual'",
    }


def test_every_scenario_says_what_it_does_in_a_line() -> None:
    assert len(SCENARIOS) > 40
    for name in SCENARIOS:
        summary = load_scenario(name).summary
        assert summary.endswith(".")
        assert len(summary) < 100
