"""Settings as the TOML that would bring them about. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kiosk.config.tables import Settings

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def as_toml(settings: Settings, *, full: bool) -> str:
    """The settings that are not the usual ones, or all of them: `full`. What is not set at all is
    left out."""
    return "\n".join(_lines(settings.model_dump(mode="json", exclude_defaults=not full), ()))


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    within = {key: it for key, it in table.items() if isinstance(it, dict)}
    own = [
        f"{_key(key)} = {as_value(it)}"
        for key, it in table.items()
        if key not in within and it is not None
    ]
    if path and (own or not within):
        yield f"[{'.'.join(map(_key, path))}]"
    yield from own
    for key, it in within.items():
        yield from _lines(it, (*path, key))


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else as_value(name)


def as_value(value: Any) -> str:
    """A value as TOML writes it, on one line."""
    if isinstance(value, dict):
        inside = ", ".join(
            f"{_key(k)} = {as_value(it)}" for k, it in value.items() if it is not None
        )
        return f"{{{inside}}}"
    if isinstance(value, list):
        return f"[{', '.join(as_value(it) for it in value if it is not None)}]"
    # A text of JSON's is one of TOML's, but for a character that nobody types.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
