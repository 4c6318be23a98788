"""File of an operator's, in TOML: all of its mistakes at once, each with its line. Pure."""

import tomllib
from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kiosk.base.toml_lines import line_of
from kiosk.errors import ConfigError

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class OperatorsTable(BaseModel):
    """A table of such a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


T = TypeVar("T", bound=OperatorsTable)


def parse_toml(name: str, text: str) -> dict[str, object]:
    """The file's values; `name` is for people. Raises ConfigError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from error


def read_table(kind: type[T], name: str, text: str) -> T:
    """Raises ConfigError with a line for each mistake."""
    try:
        return kind.model_validate(parse_toml(name, text))
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False)
        raise ConfigError("\n".join(_explained(name, text, each) for each in mistakes)) from None


def _explained(name: str, text: str, mistake: Mapping[str, object]) -> str:
    where = mistake["loc"]
    keys = [str(part) for part in where] if isinstance(where, tuple) else []
    what = str(mistake["msg"]).removeprefix("Value error, ")
    if mistake["type"] == "extra_forbidden":
        what = "there is no such key"
    line = line_of(text, keys)
    place = f"{name}, line {line}" if line else name
    return f"{place}: {'.'.join(keys)}: {what}" if keys else f"{place}: {what}"
