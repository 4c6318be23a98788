"""What the pages about minds say can be typed."""

import json
import re
import shlex
import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import jsonschema
import pytest

from kiosk.backend.mind.files import load_flow_or_persona
from kiosk.backend.mind.flow import Flow, Topic
from kiosk.backend.mind.persona import Budget, Model, Persona
from kiosk.backend.mind.schemas import schema_of
from kiosk.cli import _parser

DEPLOY = Path(__file__).parents[3] / "deploy"
PAGES = {name: (DEPLOY / name).read_text("utf-8") for name in ("mind.md", "claude-guide.md")}


def commands(page: str) -> set[str]:
    indented = re.findall(r"^    (?:\.venv/bin/)?(kiosk .+)$", page, re.MULTILINE)
    inline = re.findall(r"`(kiosk [^`]+)`", page.replace("\n", " "))
    return {line.partition(" #")[0].strip() for line in (*indented, *inline)}


@pytest.mark.parametrize(
    "line", sorted({each for page in PAGES.values() for each in commands(page)})
)
def test_every_command_is_one(line: str) -> None:
    words = shlex.split(line)[1:]
    if words[-1] in ("--mind-url",):  # named without what it takes
        words.append("ws://127.0.0.1:1")
    if words == ["backend", "agent", "test"]:
        words.append("x.json")
    _parser().parse_args(words)


def test_the_way_to_a_guide_is_short() -> None:
    assert len(PAGES["claude-guide.md"].splitlines()) <= 100


def test_every_key_of_a_file_is_told_of() -> None:
    page = PAGES["mind.md"] + (DEPLOY / "backend" / "guide.toml").read_text("utf-8")
    for table in (Flow, Topic, Persona, Model, Budget):
        for key in table.model_fields:
            assert re.search(rf"\b{key}\b", page), key


def test_the_example_of_a_persona_on_the_page_is_good(tmp_path: Path) -> None:
    part = PAGES["mind.md"].partition("## A persona")[2].partition("All keys")[0]
    file = tmp_path / "guide.toml"
    file.write_text("\n".join(line.removeprefix("    ") for line in part.splitlines()))
    assert isinstance(load_flow_or_persona(str(file)), Persona)


@pytest.mark.parametrize(
    ("kind", "example"),
    [
        ("flow", resources.files("kiosk.backend.mind") / "flows" / "museum.toml"),
        ("persona", DEPLOY / "backend" / "guide.toml"),
    ],
)
def test_the_schemas_for_editors_are_of_today(kind: str, example: Traversable) -> None:
    """They are written by `print(schema_of(kind), end="")`."""
    schema = schema_of(kind)
    assert (DEPLOY / f"{kind}.schema.json").read_text("utf-8") == schema
    validator = jsonschema.Draft202012Validator(json.loads(schema))
    good = tomllib.loads(example.read_text("utf-8"))
    assert list(validator.iter_errors(good)) == []
    assert list(validator.iter_errors({**good, "nam": 1})) != []
