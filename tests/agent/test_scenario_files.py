"""Fault scripts as files: a mistake is named where it is, and what to do next is said."""

import json
from pathlib import Path

import pytest

from kiosk.agent.behaviour import AgentBehaviour
from kiosk.agent.odd_frames import ODD_FRAMES
from kiosk.agent.scenario import Scenario, load_scenario, scenario_names
from kiosk.audio.pcm import FORMATS
from kiosk.cli import main
from kiosk.endings import Kind
from kiosk.errors import ConfigError

HEAD = 'summary = "A trial."\nending = "hung_up"\n'
# A step without a mistake, so that the mistake stands in the second.
FIRST = '[[step]]\non = "turn"\ndo = "delay"\nfor_s = 1\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trial.toml"


def step(*lines: str) -> str:
    return "\n".join([HEAD, FIRST, "[[step]]", *lines])


def complaint(path: Path, content: str) -> str:
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_scenario(str(path))
    return str(caught.value)


# --- the file -----------------------------------------------------------------------------------


def test_a_file_of_ones_own_is_read_and_named_after_itself(path: Path) -> None:
    path.write_text(step('on = "connected"', 'do = "close"', "code = 4300"), encoding="utf-8")
    scenario = load_scenario(str(path))
    assert scenario.name == "trial"
    assert scenario.summary == "A trial."
    assert [(each.on, each.do) for each in scenario.steps] == [
        ("turn", "delay"),
        ("connected", "close"),
    ]


@pytest.mark.parametrize("name", scenario_names())
def test_a_scenario_that_ships_is_found_by_its_name(name: str) -> None:
    assert load_scenario(name).name == name


@pytest.mark.parametrize(
    ("lines", "where", "what"),
    [
        (('on = "turn"', 'do = "close"', "code = 1"), "close code", "1000-1003"),
        (('on = "turn"', 'do = "close"', "code = 1006"), "close code", "no close frame may hold"),
        (('on = "turn"', 'do = "close"', "code = 5000"), "close code", "3000-4999"),
        (('on = "turn"', 'do = "close"'), "close code", "required"),
        (('on = "turn"', 'do = "close"', "code = 1000", "cod = 1"), "close cod", "not permitted"),
        (('on = "never"', 'do = "reset"'), "reset on", "'connected'"),
        (('do = "reset"',), "reset on", "required"),
        (('on = "turn"', 'do = "reset"', "nth = 0"), "reset nth", "greater than or equal to 1"),
        (('on = "turn"', 'do = "reset"', "after_s = -1"), "reset after_s", "equal to 0"),
        (('on = "turn"', 'do = "delay"', "for_s = 601"), "delay for_s", "equal to 600"),
        (('on = "turn"', 'do = "delay"', 'for_s = "long"'), "delay for_s", "valid number"),
        (('on = "turn"', 'do = "respond"', "status = 500"), "respond on", "'request'"),
        (('on = "request"', 'do = "respond"', "status = 700"), "respond status", "599"),
        (('on = "speaking"', 'do = "silence"'), "silence on", "'turn'"),
        (('on = "turn"', 'do = "queue"', 'status = "held"'), "queue status", "'waiting'"),
        (('on = "request"', 'do = "respond"', "status = 299"), "respond status", "no status 299"),
        (('on = "upgrade"', 'do = "slow_body"', "byte_s = 1"), "slow_body on", "'request'"),
        (('on = "upgrade"', 'do = "truncated_body"'), "truncated_body on", "'request'"),
        (('on = "turn"', 'do = "truncated_body"'), "truncated_body on", "'request'"),
        (('on = "connected"', 'do = "skip_turn"'), "skip_turn on", "'turn'"),
        *(
            ((f'on = "{moment}"', f'do = "{do}"', *more), f"{do} on", "'connected'")
            for moment in ("request", "upgrade")
            for do, *more in (
                ("close", "code = 1000"),
                ("report", "code = 1011"),
                ("stall", "for_s = 1"),
                ("disturb",),
                ("send", 'text = ""'),
                ("queue", 'status = "waiting"'),
                ("music", "for_s = 1"),
                ("say", 'text = "hello"'),
                ("silence",),
                ("call_tool", 'tool = "x"'),
                ("end_call",),
            )
        ),
        *(
            ((f'on = "{moment}"', f"{key} = 1", 'do = "reset"'), f"reset {key}", "nth counts")
            for moment in ("request", "upgrade")
            for key in ("conversation", "after_s")
        ),
    ],
)
def test_a_mistake_in_a_step_is_named_with_scenario_step_and_key(
    path: Path, lines: tuple[str, ...], where: str, what: str
) -> None:
    said = complaint(path, step(*lines))
    assert said.startswith(f"scenario trial: step 2 {where}: ")
    assert what in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("lines", "what"), [(('do = "explode"',), "'explode'"), ((), "discriminator 'do'")]
)
def test_an_action_that_does_not_exist_is_named_with_its_step(
    path: Path, lines: tuple[str, ...], what: str
) -> None:
    said = complaint(path, step('on = "turn"', *lines))
    assert said.startswith("scenario trial: step 2: ")
    assert what in said
    assert "\n" not in said


@pytest.mark.parametrize("lines", [(), ('text = "{}"', 'odd = "deep"')], ids=["neither", "both"])
def test_a_frame_is_sent_by_its_text_or_by_its_name(path: Path, lines: tuple[str, ...]) -> None:
    said = complaint(path, step('on = "turn"', 'do = "send"', *lines))
    assert said == "scenario trial: step 2 send: give either text or odd"


def test_an_odd_frame_that_does_not_exist_is_answered_with_those_that_do(path: Path) -> None:
    said = complaint(path, step('on = "turn"', 'do = "send"', 'odd = "very"'))
    assert said == f"scenario trial: step 2 send: odd is one of: {', '.join(ODD_FRAMES)}"


@pytest.mark.parametrize("line", ['text = ""', *(f'odd = "{name}"' for name in ODD_FRAMES)])
def test_text_and_every_odd_frame_can_be_sent(path: Path, line: str) -> None:
    path.write_text(step('on = "turn"', 'do = "send"', line), encoding="utf-8")
    assert len(load_scenario(str(path)).steps) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('ending = "hung_up"', "summary: Field required"),
        ('summary = "A trial."', "ending: Field required"),
        (f"{HEAD}steps = []", "steps: Extra inputs are not permitted"),
        (f"{HEAD}agent.ping_s = 0", "agent ping_s: Input should be greater than 0"),
        (
            f'{HEAD}agent.output_format = "mp3_44100"',
            f"agent output_format: unknown audio format 'mp3_44100'; known: {', '.join(FORMATS)}",
        ),
        (
            f'{HEAD}agent.input_format = "opus"',
            f"agent input_format: unknown audio format 'opus'; known: {', '.join(FORMATS)}",
        ),
        (f"{HEAD}visitor.shouts = true", "visitor shouts: Extra inputs are not permitted"),
        (
            f'{HEAD}visitor.then = "dance"',
            "visitor then: Input should be 'hang_up' or 'wait'",
        ),
    ],
)
def test_a_mistake_outside_the_steps_is_named_with_its_key(
    path: Path, content: str, said: str
) -> None:
    assert complaint(path, content) == f"scenario trial: {said}"


def test_an_ending_that_no_visit_has_is_answered_with_those_that_there_are(path: Path) -> None:
    said = complaint(path, 'summary = "A trial."\nending = "hungup"')
    assert said.startswith(
        "scenario trial: ending: Input should be 'hung_up', 'ended_by_operator', "
    )
    assert all(repr(kind.value) in said for kind in Kind)


@pytest.mark.parametrize("moment", ["request", "upgrade"])
def test_a_connection_can_be_delayed_cut_and_lost_before_the_conversation(
    path: Path, moment: str
) -> None:
    dos = ('"delay"\nfor_s = 1', '"reset"', '"vanish"')
    steps = [f'[[step]]\non = "{moment}"\nnth = 1\ndo = {do}' for do in dos]
    path.write_text("\n".join([HEAD, *steps]), encoding="utf-8")
    assert [each.do for each in load_scenario(str(path)).steps] == ["delay", "reset", "vanish"]


def test_an_announced_format_may_be_any(path: Path) -> None:
    path.write_text(f'{HEAD}agent.announced_output_format = "opus"', encoding="utf-8")
    assert load_scenario(str(path)).agent.announced_output_format == "opus"


def test_each_mistake_has_a_line_of_its_own(path: Path) -> None:
    content = step('on = "turn"', 'do = "delay"', "[[step]]", 'on = "x"', 'do = "reset"')
    lines = complaint(path, content).splitlines()
    assert [line.rpartition(": ")[0].partition(": Input")[0] for line in lines] == [
        "scenario trial: step 2 delay for_s",
        "scenario trial: step 3 reset on",
    ]


def test_what_is_no_toml_is_named_with_its_line(path: Path) -> None:
    said = complaint(path, f"{HEAD}agent = \nkiosk = 1\n")
    assert said.startswith("scenario trial, line 3: ")
    assert "line 3" in said


def test_everything_that_can_be_changed_of_the_agent_is_part_of_its_manner() -> None:
    changes = set(Scenario.model_fields["agent"].annotation.model_fields)  # type: ignore[union-attr]
    assert changes <= set(AgentBehaviour.__dataclass_fields__)


# --- the command line ---------------------------------------------------------------------------


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What the command says before it listens anywhere."""
    assert main(["agent", "--port", "0", *options]) == ConfigError.exit_code
    out, err = capsys.readouterr()
    assert out == ""
    return err.strip()


def test_a_name_that_nothing_has_says_where_the_names_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refused(capsys, "--scenario", "toolz") == (
        "kiosk: no scenario is called 'toolz'; `kiosk agent --list-scenarios` lists them, "
        "and a file of your own ends in .toml"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ("a directory", "Is a directory"),
        (b"summary = '\xff'", "not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_read_says_why_and_what_else_there_is(
    path: Path, capsys: pytest.CaptureFixture[str], content: bytes | str | None, reason: str
) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
    assert refused(capsys, "--scenario", str(path)) == (
        f"kiosk: --scenario: cannot read {path}: {reason}; the scenarios that ship are named "
        "without .toml, and `kiosk agent --list-scenarios` lists them"
    )


def test_the_command_names_a_mistake_in_a_file(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(step('on = "turn"', 'do = "close"'), encoding="utf-8")
    said = refused(capsys, "--scenario", str(path))
    assert said == "kiosk: scenario trial: step 2 close code: Field required"


@pytest.mark.parametrize("option", [("--scenario", "tools"), ("--dialect", "flat")])
def test_an_examination_is_by_the_contract_and_without_faults(
    option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, "--conformance", *option) == (
        "kiosk: --conformance examines by the published contract: "
        "leave out --dialect and --scenario"
    )


def test_the_list_has_a_line_for_each_scenario_and_starts_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["agent", "--list-scenarios"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == scenario_names()
    for line, name in zip(lines, scenario_names(), strict=True):
        assert line.removeprefix(name).strip() == load_scenario(name).summary


def test_the_list_as_json_is_one_line_with_what_each_scenario_should_come_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["agent", "--list-scenarios", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    scenarios = [load_scenario(name) for name in scenario_names()]
    assert json.loads(line) == [
        {"name": each.name, "summary": each.summary, "ending": each.ending} for each in scenarios
    ]


@pytest.mark.parametrize("port", ["-1", "65536", "99999", "http", ""])
def test_a_port_that_is_none_is_a_mistake_in_the_command_line(
    port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["agent", "--port", port])
    assert caught.value.code == 2
    assert f"--port: {port!r} is not a port: 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_key_is_not_taken_for_the_default_one(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_text(content, encoding="utf-8")
    assert refused(capsys, "--api-key-file", str(key)) == (
        f"kiosk: --api-key-file: {key} is empty; write the key into it"
    )
