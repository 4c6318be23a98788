"""Amending a configuration file: single values, and everything else as it was, comments too.
Pure: it works on text."""

import copy
import re
from collections.abc import Mapping
from typing import Any

from kiosk.base.toml_lines import line_of, parse_toml
from kiosk.config.written import as_value
from kiosk.errors import ConfigError

# A line's key, its value (a text may have a # in it), and the comment.
_LINE = re.compile(r"""^(\s*[^=]+?\s*=\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^"'#\[{]*?)(\s*(?:#.*)?)$""")


def amended(name: str, text: str, changes: Mapping[str, str | int | float]) -> str:
    """A file's text with these values, each by `table.key`. Raises ConfigError where the file is
    written in a way that only its author can change."""
    new = text
    for dotted, value in changes.items():
        table, key = dotted.split(".")
        new = _with(new, table, key, as_value(value))
    wanted = copy.deepcopy(parse_toml(name, text))
    for dotted, value in changes.items():
        table, key = dotted.split(".")
        wanted.setdefault(table, {})[key] = value
    if not _says(new, wanted):
        why = "its tables are written in another way; write the lines yourself"
        raise ConfigError(f"{name}: {why}")
    return new


def _says(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return parse_toml("", text) == wanted
    except ConfigError:
        return False


def _with(text: str, table: str, key: str, value: str) -> str:
    lines = text.splitlines()
    number = line_of(text, [table, key])
    if number is None:
        return "\n".join([*lines, *([""] if lines else []), f"[{table}]", f"{key} = {value}", ""])
    at = number - 1
    found = None if lines[at].lstrip().startswith("[") else _LINE.match(lines[at])
    if found is None:
        lines.insert(number, f"{key} = {value}")
    else:
        lines[at] = f"{found[1]}{value}{found[3]}"
    return "\n".join(lines) + "\n"
