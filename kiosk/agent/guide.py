"""The local agent's knowledge: which questions it understands and what it answers.

Pure but for `load_guide`, which reads one TOML file. It may not recognise, speak or touch the wire.
"""

import difflib
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kiosk.base.toml_lines import parse_toml
from kiosk.errors import ConfigError

DEFAULT_GUIDE = Path(__file__).with_name("guide.toml")
END_CALL = "end_call"

_TOOLS = (END_CALL,)
# Of a guide that does not say.
_LANGUAGE, _VOICE = "en", "en-gb"
_GREETING = "Hello. What would you like to know?"
_ASK_AGAIN = (
    "Sorry, I did not understand. Could you say that again?",
    "I am not sure I heard that right. Please ask me in other words.",
)
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

    def nearest(self, sentence: str) -> list[str]:
        """The wordings that are most like a sentence that no entry asks."""
        return difflib.get_close_matches(folded(sentence), self._by_sentence, n=3, cutoff=0.4)

    def entry_for(self, sentence: str) -> Entry | None:
        """The entry one of whose wordings the sentence is; case, spacing, the signs of a sentence
        and accents that the guide has not do not matter."""
        words = " ".join(folded(sentence).split())
        return self._by_sentence.get(words) or self._by_sentence.get(_without_accents(words))

    def answer(self, sentence: str) -> str:
        """What is said to it, the first time."""
        entry = self.entry_for(sentence)
        return self.ask_again[0] if entry is None else entry.say

    @cached_property
    def _by_sentence(self) -> dict[str, Entry]:
        return {sentence: entry for entry in self.entries for sentence in entry.sentences}


class PhraseError(ValueError):
    """A phrase is not in the notation; the message says where it stops making sense."""


def folded(phrase: str) -> str:
    """A phrase as it is said: no capitals, no signs."""
    return _SIGNS.sub(" ", phrase.lower().replace("\u2019", "'")).strip()


def _without_accents(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", text) if each.isascii())


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

    Raises ConfigError, which names the file, the line and the key of every mistake. Words unknown
    to the dictionary are not found here: the recogniser reports them.
    """
    path = path or DEFAULT_GUIDE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"cannot read the guide {path}: {reason}") from error
    return parse_guide(parse_toml(str(path), text), str(path), text)


def parse_guide(table: dict[str, Any], source: str, text: str = "") -> Guide:
    """A guide from parsed TOML; `source` names the file in errors (ConfigError, a line for each
    mistake), `text` is what stands in it, for their lines."""
    mistakes = _Mistakes(source, text)
    top = _Table(mistakes, table)
    raw_entries = table.get("entry")
    if not isinstance(raw_entries, list) or not raw_entries:
        mistakes.add("entry", "at least one [[entry]] is needed")
        raw_entries = []
    entries = [_entry(mistakes, number, raw) for number, raw in enumerate(raw_entries, 1)]
    _refuse_duplicates(mistakes, entries)
    guide = Guide(
        language=top.text("language", _LANGUAGE),
        voice=top.text("voice", _VOICE),
        words_per_minute=top.whole("words_per_minute", default=165, low=80, high=450),
        greeting=top.text("greeting", _GREETING),
        ask_again=top.texts("ask_again", _ASK_AGAIN),
        entries=tuple(entries),
        ignore=top.texts("ignore", ()),
    )
    _refuse_unreadable(mistakes, guide.ignore)
    top.refuse_unknown(*Guide.__dataclass_fields__.keys() - {"entries"}, "entry")
    mistakes.tell()
    return guide


def _entry(mistakes: "_Mistakes", number: int, raw: object) -> Entry:
    key = raw.get("key") if isinstance(raw, dict) else None
    named = f" {key!r}" if isinstance(key, str) else ""
    table = _Table(
        mistakes, raw if isinstance(raw, dict) else {}, number, f"entry {number}{named}: "
    )
    if not isinstance(raw, dict):
        mistakes.add(f"entry {number}", "is not a table: write [[entry]]")
        return Entry("", (), "", None, frozenset())
    name = table.text("key")
    if name and not _KEY.fullmatch(name):
        table.fail("key", "use lower-case letters, digits and underscores")
    ask = tuple(folded(phrase) for phrase in table.texts("ask"))
    sentences: set[str] = set()
    for phrase in ask:
        try:
            sentences |= expand_phrase(phrase)
        except PhraseError as error:
            table.fail("ask", f"in {phrase!r}: {error}")
    tool = table.text("tool") if "tool" in raw else None
    if tool and tool not in _TOOLS:
        table.fail("tool", f"{tool!r} is not known; known: {', '.join(_TOOLS)}")
    say = table.text("say")
    table.refuse_unknown("key", "ask", "say", "tool")
    return Entry(name, ask, say, tool, frozenset(sentences))


def _refuse_unreadable(mistakes: "_Mistakes", ignored: tuple[str, ...]) -> None:
    for words in ignored:
        try:
            expand_phrase(words)
        except PhraseError as error:
            mistakes.add("ignore", f"in {words!r}: {error}")


def _refuse_duplicates(mistakes: "_Mistakes", entries: list[Entry]) -> None:
    keys: set[str] = set()
    asked: dict[str, str] = {}
    for number, entry in enumerate(entries, 1):
        place = f"entry {number} {entry.key!r}: "
        if entry.key and entry.key in keys:
            mistakes.add("key", "there are two of this key", number, place)
        keys.add(entry.key)
        for sentence in sorted(entry.sentences):
            if asked.setdefault(sentence, entry.key) != entry.key:
                other = asked[sentence]
                mistakes.add("ask", f"{sentence!r} is also asked by {other!r}", number, place)


class _Mistakes:
    """What is wrong with a guide, all of it."""

    def __init__(self, source: str, text: str) -> None:
        self._source = source
        self._lines = text.splitlines()
        self._found: list[str] = []

    def add(self, key: str, problem: str, entry: int = 0, place: str = "") -> None:
        """One mistake; `entry`: of the how many-th, 0: of the guide's own keys."""
        line = self._line_of(key, entry)
        where = f"{self._source}, line {line}" if line else self._source
        self._found.append(f"{where}: {place}{key}: {problem}")

    def tell(self) -> None:
        """Raises ConfigError if there is any."""
        if self._found:
            raise ConfigError("\n".join(self._found))

    def _line_of(self, key: str, entry: int) -> int | None:
        """The line of a key, or of its entry's heading."""
        seen, heading = 0, None
        for number, line in enumerate(self._lines, 1):
            if line.strip().startswith("[["):
                seen += 1
                heading = number if seen == entry else heading
            elif seen == entry and re.match(rf"\s*{re.escape(key)}\s*=", line):
                return number
        return heading


@dataclass(frozen=True, slots=True)
class _Table:
    """One TOML table, with its place for the mistakes in it; what is wrong reads as empty."""

    mistakes: _Mistakes
    values: dict[str, Any]
    entry: int = 0
    place: str = ""

    def fail(self, key: str, problem: str) -> None:
        self.mistakes.add(key, problem, self.entry, self.place)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if value is None:
            self.fail(key, "is missing")
        elif not isinstance(value, str) or not value.strip():
            self.fail(key, "a text is needed")
        else:
            return value.strip()
        return ""

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of texts, or one text alone."""
        if key not in self.values:
            if default is None:
                self.fail(key, "is missing")
            return default or ()
        value = self.values[key]
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not items or not all(_is_text(item) for item in items):
            self.fail(key, "a list of texts is needed")
            return ()
        return tuple(item.strip() for item in items)

    def whole(self, key: str, *, default: int, low: int, high: int) -> int:
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.fail(key, f"a whole number from {low} to {high} is needed")
            return default
        return value

    def refuse_unknown(self, *known: str) -> None:
        for key in self.values:
            if key not in known:
                self.fail(key, f"unknown key; known: {', '.join(sorted(known))}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
