"""File of an operator's, in TOML: all of its mistakes at once, each with its line. Pure."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kiosk.base.mistakes import Mistake, in_words
from kiosk.base.toml_lines import line_of, parse_toml
from kiosk.errors import ConfigError

Key = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]{0,31}$",
        description="may have small letters, digits and underscores, up to 32, and begins with a "
        "letter",
    ),
]
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class OperatorsTable(BaseModel):
    """A table of such a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


T = TypeVar("T", bound=OperatorsTable)


def read_table(kind: type[T], name: str, text: str) -> T:
    """`name` is for people: the file's. Raises ConfigError with a line for each mistake."""
    values = parse_toml(name, text)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        mistakes = in_words(found, kind.model_json_schema())
        raise ConfigError("\n".join(_placed(name, text, each) for each in mistakes)) from None


def _placed(name: str, text: str, mistake: Mistake) -> str:
    line = line_of(text, list(mistake.keys))
    place = f"{name}, line {line}" if line else name
    key = ".".join(mistake.keys)
    return f"{place}: {key}: {mistake.what}" if key else f"{place}: {mistake.what}"
