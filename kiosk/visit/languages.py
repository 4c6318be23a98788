"""Languages of the kiosk's own sentences: those that come with it, and what an operator changes.

A file LANGUAGE.toml in the operator's directory replaces single sentences of a language, or adds
one. Every mistake in it becomes a ConfigError that names the file, the line and the key.
"""

import contextlib
import difflib
import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from kiosk.base.toml_lines import line_of, parse_toml
from kiosk.config import read_text
from kiosk.config.tables import LANGUAGE_CODE, VOICE_NAME
from kiosk.errors import ConfigError

MODEL = "en"  # the language that has every key

_VOICE = "voice.espeak"
_LATER = "disclosure_later"
_SCREEN = "screen."
_TABLES = ("voice", "report", "screen")

Texts = dict[str, str]


@dataclass(frozen=True, slots=True)
class Language:
    """Key to text: `sentences` are for visitors, `report` is what the report to staff is made of,
    `screen` is what a screen shows. `voice` is espeak-ng's."""

    code: str
    sentences: Mapping[str, str]
    report: Mapping[str, str]
    screen: Mapping[str, str]
    voice: str

    def said(self, institution: str) -> Texts:
        """The sentences as visitors hear them: where there is an institution, the disclosure names
        it, also to who spoke over it."""
        said, named = dict(self.sentences), institution.strip()
        disclosure = said.pop("disclosure_named")
        if not named:
            del said[_LATER]
            return said
        said["disclosure"] = disclosure.format(institution=named)
        said[_LATER] = said[_LATER].format(institution=named)
        return said


def load_language(
    code: str, directory: Path | None = None, *, key: str = "kiosk.language"
) -> Language:
    """The language, with what its file in the directory changes; raises ConfigError. `key` is what
    asked for it."""
    shipped = _shipped()
    texts = _flat(shipped[code]) if code in shipped else None
    could_be = re.fullmatch(LANGUAGE_CODE, code) is not None
    own = None if directory is None or not could_be else directory / f"{code}.toml"
    changed = None if own is None else _changed(own, whole=texts is None)
    if texts is None and changed is None:
        there = ", ".join(sorted({*shipped, *_in(directory)}))
        another = f"{own or 'a file beside them'}, with every key of {shipped[MODEL]}"
        raise ConfigError(
            f"{key}: no sentences in {code!r}; there are: {there}"
            + (f". Another language is {another}" if could_be else "")
        )
    if changed is not None and "disclosure" in changed:
        # An operator's own words count, also where they name no institution.
        changed.setdefault("disclosure_named", changed["disclosure"])
        changed.setdefault(_LATER, changed["disclosure_named"])
    # An operator's own language may be one that no screen shows.
    shown = {key: text for key, text in _flat(shipped[MODEL]).items() if key.startswith(_SCREEN)}
    return _language(code, {**shown, **(texts or {}), **(changed or {})})


def shipped_languages() -> list[str]:
    """Those that come with the kiosk."""
    return sorted(_shipped())


def _shipped() -> dict[str, Traversable]:
    tables = (resources.files("kiosk.visit") / "sentences").iterdir()
    return {each.name.removesuffix(".toml"): each for each in tables if each.name.endswith(".toml")}


def _in(directory: Path | None) -> list[str]:
    with contextlib.suppress(OSError):
        return [] if directory is None else [path.stem for path in directory.glob("*.toml")]
    return []


def _flat(table: Traversable) -> Texts:
    """By dotted keys, as `report.well`."""
    return {key: str(text) for key, text in _entries(tomllib.loads(table.read_text("utf-8")))}


def _entries(values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if key in _TABLES and isinstance(value, dict):
            yield from ((f"{key}.{inner}", text) for inner, text in value.items())
        else:
            yield key, value


def _language(code: str, texts: Texts) -> Language:
    sentences = {key: text for key, text in texts.items() if "." not in key}
    return Language(
        code, sentences, _table(texts, "report"), _table(texts, "screen"), texts[_VOICE]
    )


def _table(texts: Texts, name: str) -> Texts:
    return {
        key.removeprefix(f"{name}."): text
        for key, text in texts.items()
        if key.startswith(f"{name}.")
    }


def _changed(path: Path, *, whole: bool) -> Texts | None:
    """What the operator's file says, None where there is none. `whole`: it must have every key."""
    try:
        text = read_text(path)
    except ConfigError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return None
        raise
    found = dict(_entries(parse_toml(str(path), text)))
    model = _flat(_shipped()[MODEL])
    mistakes = [
        f"{_place(path, text, key)}: {key}: {what}"
        for key, value in found.items()
        if (what := _mistake(key, value, model)) is not None
    ]
    needed = [key for key in model if key != _LATER and not key.startswith(_SCREEN)]
    if whole and (missing := [key for key in needed if key not in found]):
        mistakes.append(
            f"{path}: a language has every key; these are missing: {', '.join(missing)}"
        )
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return {key: str(value) for key, value in found.items()}


def _place(path: Path, text: str, key: str) -> str:
    line = line_of(text, key.split("."))
    return f"{path}, line {line}" if line else str(path)


def _mistake(key: str, value: object, model: Texts) -> str | None:
    if key in _TABLES:
        return f"a table is wanted, [{key}]"
    if key not in model:
        return f"no such key; did you mean {_nearest(key, model)}?"
    if not isinstance(value, str):
        return f"a text in quotes is wanted, not {'a table' if isinstance(value, dict) else value}"
    if not value.strip():
        return "is empty"
    if key == _VOICE:
        return None if re.fullmatch(VOICE_NAME, value) else f"{value!r} is no name of a voice"
    return _wrong_places(value, model[key])


def _nearest(key: str, model: Texts) -> str:
    """That of the same name in another table, else the one that is written most alike."""
    name = key.rpartition(".")[2]
    for known in model:
        if known.rpartition(".")[2] == name:
            return known
    return difflib.get_close_matches(key, model, n=1, cutoff=0)[0]


def _wrong_places(text: str, model: str) -> str | None:
    """What is wrong with the places in braces, which are filled in."""
    known = places(model) or set()
    found = places(text)
    if found is not None and found <= known:
        return None
    if not known:
        return "nothing is filled in here: leave the braces out"
    return f"in braces stands nothing but {', '.join(f'{{{place}}}' for place in sorted(known))}"


def places(text: str) -> set[str] | None:
    """The places in braces that are filled in; None where the braces make no sense."""
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError:
        return None
    if any(spec or conversion for _, _, spec, conversion in parsed):
        return None
    return {name for _, name, _, _ in parsed if name is not None}
