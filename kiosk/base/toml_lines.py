"""Lines of a TOML file: where a key stands, for whoever must mend it. Pure."""

import tomllib
from collections import Counter
from typing import Any

from kiosk.base.mistakes import toml_mistake
from kiosk.errors import ConfigError

_MULTI_LINE = ('"""', "'''")


def parse_toml(name: str, text: str) -> dict[str, Any]:
    """What a file says; `name` is for people. Raises ConfigError, with the line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        number, what = toml_mistake(text, str(error))
        raise ConfigError(f"{name}, line {number}: {what}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: its lists or tables are nested too deeply") from error
    except ValueError as error:  # Python's own bound
        raise ConfigError(f"{name}: a number has too many digits") from error


def line_of(text: str, keys: list[str]) -> int | None:
    """The line on which a key stands, its table's heading if the key itself is not there."""
    heading_line, table, wanted, open_quotes = None, "", ".".join(keys), ""
    before: Counter[str] = Counter()  # of the tables of one name, [[rule]]
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if open_quotes:  # the lines of a long text look like anything
            if open_quotes in stripped:
                open_quotes = ""
            continue
        open_quotes = next((q for q in _MULTI_LINE if stripped.count(q) == 1), "")
        if stripped.startswith("["):
            table = stripped.strip("[] ").split("#")[0].strip("[] ")
            if stripped.startswith("[["):
                before[table] += 1
                table = f"{table}.{before[table] - 1}"
            if keys and table in (keys[0], ".".join(keys[:2])):
                heading_line = number
            if table == wanted:
                return number
        elif "=" in stripped and not stripped.startswith("#"):
            key = stripped.split("=")[0].strip().strip('"')
            full = f"{table}.{key}" if table else key
            if keys and full == keys[0]:  # a table in braces, or what stands in a table's place
                heading_line = number
            # Inside a free table, such as agent.variables, the mistake is deeper than the key.
            if wanted == full or ("." in full and wanted.startswith(f"{full}.")):
                return number
    return heading_line
