"""The local agent's knowledge: which questions it understands and what it answers.

Pure but for `load_guide`, which reads one TOML file. It may not recognise, speak or touch the wire.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from kiosk.errors import ConfigError

DEFAULT_GUIDE = Path(__file__).with_name("guide.toml")
END_CALL = "end_call"

_TOOLS = (END_CALL,)
_MOST_SENTENCES = 500  # of one phrase; more is a slip of nesting, not a question
_MOST_GROUPS = 20
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_TOKEN = re.compile(r"\s*([()\[\]|]|[^\W\d_](?:[^\W\d_]|['.-])*)")
# What people write and nobody says.
_SIGNS = re.compile(r"[?!,;:…¿¡\"„“”«»]|\.(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One question in all its wordings, and the answer.

    `ask` holds phrases in JSGF's notation, lower case, words, `(a | b)` and `[optional]` only,
    without the signs of a sentence;
    `sentences` is every word sequence they stand for. `tool` is called after `say` is spoken.
    """

    key: str
    ask: tuple[str, ...]
    say: str
    tool: str | None
    sentences: frozenset[str]


@dataclass(frozen=True)
class Guide:
    """Everything the local agent knows. `voice` is an espeak-ng voice name. `ignore`: words that
    ask for nothing, and interrupt nobody."""

    language: str
    voice: str
    words_per_minute: int
    greeting: str
    ask_again: tuple[str, ...]
    entries: tuple[Entry, ...]
    ignore: tuple[str, ...] = ()

    def jsgf(self) -> str:
        """The grammar of every question, for the recogniser."""
        rules = [f"<{entry.key}> = {' | '.join(entry.ask)};" for entry in self.entries]
        question = " | ".join(f"<{entry.key}>" for entry in self.entries)
        return "\n".join(
            ("#JSGF V1.0;", "grammar guide;", f"public <question> = {question};", *rules, "")
        )

    def entry_for(self, sentence: str) -> Entry | None:
        """The entry one of whose wordings the sentence is; case, spacing and the signs of a
        sentence do not matter."""
        return self._by_sentence.get(" ".join(folded(sentence).split()))

    @cached_property
    def _by_sentence(self) -> dict[str, Entry]:
        return {sentence: entry for entry in self.entries for sentence in entry.sentences}


class PhraseError(ValueError):
    """A phrase is not in the notation; the message says where it stops making sense."""


def folded(phrase: str) -> str:
    """A phrase as it is said: no capitals, no signs."""
    return _SIGNS.sub(" ", phrase.lower().replace("\u2019", "'")).strip()


def expand_phrase(phrase: str) -> frozenset[str]:
    """Every sentence a phrase stands for: words, `(a | b)`, `[optional]`; raises PhraseError."""
    tokens = _tokens(phrase)
    if tokens.count("(") + tokens.count("[") > _MOST_GROUPS:
        raise PhraseError(f"it has more than {_MOST_GROUPS} groups")
    sentences, rest = _alternatives(tokens)
    if rest:
        raise PhraseError(f"{rest[0]!r} has no beginning")
    if () in sentences:
        raise PhraseError("it is optional as a whole")
    return frozenset(" ".join(words) for words in sentences)


_Sentences = set[tuple[str, ...]]


def _tokens(phrase: str) -> list[str]:
    tokens, at, text = [], 0, phrase.strip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise PhraseError(f"cannot read {text[at:].strip()!r}: words, () | [] only")
        tokens.append(found.group(1))
        at = found.end()
    return tokens


def _alternatives(tokens: list[str]) -> tuple[_Sentences, list[str]]:
    sentences, rest = _sequence(tokens)
    while rest and rest[0] == "|":
        more, rest = _sequence(rest[1:])
        sentences |= more
    return sentences, rest


def _sequence(tokens: list[str]) -> tuple[_Sentences, list[str]]:
    sentences: _Sentences = {()}
    rest, parts = tokens, 0
    while rest and rest[0] not in ("|", ")", "]"):
        part, rest = _part(rest)
        parts += 1
        if len(sentences) * len(part) > _MOST_SENTENCES:
            raise PhraseError(f"it stands for more than {_MOST_SENTENCES} sentences")
        sentences = {(*head, *tail) for head in sentences for tail in part}
    if not parts:
        raise PhraseError("a word is missing" + (f" before {rest[0]!r}" if rest else " at the end"))
    return sentences, rest


def _part(tokens: list[str]) -> tuple[_Sentences, list[str]]:
    closing = {"(": ")", "[": "]"}.get(tokens[0])
    if closing is None:
        return {(tokens[0],)}, tokens[1:]
    inner, rest = _alternatives(tokens[1:])
    if not rest or rest[0] != closing:
        raise PhraseError(f"{tokens[0]!r} is not closed by {closing!r}")
    return (inner | {()} if closing == "]" else inner), rest[1:]


def load_guide(path: Path | None = None) -> Guide:
    """Read a guide; None is the museum guide that ships with the project.

    Raises ConfigError naming the file and the key. Words unknown to the dictionary are not found
    here: the recogniser reports them.
    """
    path = path or DEFAULT_GUIDE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the guide {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return parse_guide(table, str(path))


def parse_guide(table: dict[str, Any], source: str) -> Guide:
    """A guide from parsed TOML; `source` names the file in errors (ConfigError)."""
    top = _Table(source, "", table)
    raw_entries = table.get("entry")
    if not isinstance(raw_entries, list) or not raw_entries:
        top.fail("entry", "at least one [[entry]] is needed")
    entries: list[Entry] = []
    for number, raw in enumerate(raw_entries, 1):
        entries.append(_entry(source, number, raw))
    _refuse_duplicates(source, entries)
    guide = Guide(
        language=top.text("language"),
        voice=top.text("voice"),
        words_per_minute=top.whole("words_per_minute", default=165, low=80, high=450),
        greeting=top.text("greeting"),
        ask_again=top.texts("ask_again"),
        entries=tuple(entries),
        ignore=tuple(top.texts("ignore")) if "ignore" in table else (),
    )
    _refuse_unreadable(top, guide.ignore)
    top.refuse_unknown(*Guide.__dataclass_fields__.keys() - {"entries"}, "entry")
    return guide


def _entry(source: str, number: int, raw: object) -> Entry:
    if not isinstance(raw, dict):
        raise ConfigError(f"{source}: entry {number} is not a table: write [[entry]]")
    key = raw.get("key")
    named = f" {key!r}" if isinstance(key, str) else ""
    table = _Table(source, f"entry {number}{named}: ", raw)
    if not _KEY.fullmatch(table.text("key")):
        table.fail("key", "use lower-case letters, digits and underscores")
    ask = tuple(folded(phrase) for phrase in table.texts("ask"))
    sentences: set[str] = set()
    for phrase in ask:
        try:
            sentences |= expand_phrase(phrase)
        except PhraseError as error:
            table.fail("ask", f"in {phrase!r}: {error}")
    tool = table.text("tool") if "tool" in raw else None
    if tool is not None and tool not in _TOOLS:
        table.fail("tool", f"{tool!r} is not known; known: {', '.join(_TOOLS)}")
    table.refuse_unknown("key", "ask", "say", "tool")
    return Entry(table.text("key"), ask, table.text("say"), tool, frozenset(sentences))


def _refuse_unreadable(top: "_Table", ignored: tuple[str, ...]) -> None:
    for words in ignored:
        try:
            expand_phrase(words)
        except PhraseError as error:
            top.fail("ignore", f"in {words!r}: {error}")


def _refuse_duplicates(source: str, entries: list[Entry]) -> None:
    keys: set[str] = set()
    asked: dict[str, str] = {}
    for entry in entries:
        if entry.key in keys:
            raise ConfigError(f"{source}: entry {entry.key!r}: key: there are two of this key")
        keys.add(entry.key)
        for sentence in sorted(entry.sentences):
            if sentence in asked:
                raise ConfigError(
                    f"{source}: entry {entry.key!r}: ask: {sentence!r} is also asked by"
                    f" {asked[sentence]!r}"
                )
            asked[sentence] = entry.key


@dataclass(frozen=True, slots=True)
class _Table:
    """One TOML table, with its place for error messages."""

    source: str
    place: str
    values: dict[str, Any]

    def fail(self, key: str, problem: str) -> NoReturn:
        raise ConfigError(f"{self.source}: {self.place}{key}: {problem}")

    def text(self, key: str) -> str:
        value = self._required(key)
        if not isinstance(value, str) or not value.strip():
            self.fail(key, "a text is needed")
        return value.strip()

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, or one text alone."""
        value = self._required(key)
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not items or not all(_is_text(item) for item in items):
            self.fail(key, "a list of texts is needed")
        return tuple(item.strip() for item in items)

    def whole(self, key: str, *, default: int, low: int, high: int) -> int:
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.fail(key, f"a whole number from {low} to {high} is needed")
        return value

    def refuse_unknown(self, *known: str) -> None:
        for key in self.values:
            if key not in known:
                self.fail(key, f"unknown key; known: {', '.join(sorted(known))}")

    def _required(self, key: str) -> Any:
        if key not in self.values:
            self.fail(key, "is missing")
        return self.values[key]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
