"""Reads the characters of a directory, one NAME.toml each."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from kiosk.backend.characters.character import Character, read_character
from kiosk.base.names import NAME
from kiosk.errors import ConfigError


def load_characters(directory: Path) -> Mapping[str, Character]:
    """All of them by name; raises ConfigError with a line for each mistake in any."""
    try:
        paths = sorted(each for each in directory.iterdir() if each.suffix == ".toml")
    except OSError as error:
        raise ConfigError(f"cannot read characters from {directory}: {error.strerror}") from None
    found, mistakes = {}, []
    for path in paths:
        try:
            found[path.stem] = _load(path)
        except ConfigError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return MappingProxyType(found)


def _load(path: Path) -> Character:
    if not NAME.fullmatch(path.stem):
        raise ConfigError(
            f"{path}: a character's name is 1 to 64 letters, digits, dots, dashes or underscores"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"cannot read {path}: {reason}") from None
    return replace(read_character(str(path), text), name=path.stem)
