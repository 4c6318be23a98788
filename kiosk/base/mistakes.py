"""Mistakes in what an operator wrote, in an operator's words. Pure.

pydantic names them for programmers: by types, and by regular expressions. Here a key is followed
through the schema of its file, which knows the keys beside it and what a text must look like: a
field with a `pattern` has a `description` that says so.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

# By pydantic's names; what is in braces it tells with the mistake.
_WORDS: Mapping[str, str] = {
    "missing": "it must be given",
    "string_type": "must be a text, in quotes",
    "string_too_short": "must have {min_length} characters or more",
    "string_too_long": "must have {max_length} characters at most",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} at most",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "list_type": "must be a list, in square brackets",
    "tuple_type": "must be a list, in square brackets",
    "too_short": "must have {min_length} entries or more",
    "too_long": "must have {max_length} entries at most",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "mapping_type": "must be a table",
    "path_type": "must be a path, in quotes",
    "union_tag_invalid": "{discriminator} must be {expected_tags}",
    "union_tag_not_found": "{discriminator} must be given",
}
_NEAR = 0.6
# So many keys of a table are listed.
_FEW = 8


@dataclass(frozen=True, slots=True)
class Mistake:
    """One key, and what is wrong with it."""

    keys: tuple[str, ...]
    what: str


def in_words(
    errors: Sequence[Mapping[str, Any]], schema: Schema, unknown: str = "there is no such key"
) -> list[Mistake]:
    """The mistakes that pydantic found, each key once, in their order. `schema` is the file's JSON
    Schema; `unknown` is said of a key that is not in it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for error in errors:
        keys, node, known = _follow(schema, error["loc"])
        if error["type"] == "extra_forbidden":
            name = str(error["loc"][len(keys)])
            what = unknown + _nearest(name, known, schema, keys)
            keys = (*keys, name)
        else:
            what = _what(error, schema, node)
        said = found.setdefault(keys, [])
        if what not in said:
            said.append(what)
    return [Mistake(keys, ", or ".join(said)) for keys, said in found.items()]


def keys_with_kinds(schema: Schema) -> Iterator[tuple[tuple[str, ...], frozenset[str]]]:
    """Every key of a file, from the top, and what kinds of value it may have, as JSON Schema names
    them."""
    yield from _keys_below(schema, schema, ())


def _keys_below(
    schema: Schema, node: Schema, keys: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], frozenset[str]]]:
    for option in _options(schema, node):
        for name, each in option.get("properties", {}).items():
            kinds = (it["type"] for it in _options(schema, each) if "type" in it)
            yield (*keys, name), frozenset(kinds)
            yield from _keys_below(schema, each, (*keys, name))


def _what(error: Mapping[str, Any], schema: Schema, node: Schema) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "string_pattern_mismatch":
        for option in _options(schema, node):
            if option.get("pattern") == context["pattern"]:
                return str(option.get("description") or node["description"])
        return next(_described(schema, context["pattern"]), "cannot be such a text")  # a key
    if kind in _WORDS:
        if context.get("min_length") == 1:
            return "must not be empty"
        told = {key: f"{it:g}" if isinstance(it, float) else it for key, it in context.items()}
        return _WORDS[kind].format(**told)
    return str(error["msg"]).removeprefix("Value error, ")


def _described(part: Any, pattern: str) -> Iterator[str]:
    """What is said anywhere in a schema of texts with this pattern."""
    if isinstance(part, dict):
        if part.get("pattern") == pattern and "description" in part:
            yield str(part["description"])
        for each in part.values():
            yield from _described(each, pattern)


def _follow(
    schema: Schema, location: Sequence[str | int]
) -> tuple[tuple[str, ...], Schema, frozenset[str]]:
    """The keys of a location that are an operator's, what the schema says of the last of them, and
    the keys that it may have. pydantic appends names of its own where a key may be of several
    kinds."""
    keys: list[str] = []
    node = schema
    for part in location:
        below = next(_below(schema, node, part), None)
        if below is None:
            break
        keys.append(str(part))
        node = below
    known = (name for each in _options(schema, node) for name in each.get("properties", ()))
    return tuple(keys), node, frozenset(known)


def _below(schema: Schema, node: Schema, part: str | int) -> Iterator[Schema]:
    for option in _options(schema, node):
        if isinstance(part, int):
            if "items" in option:
                yield option["items"]
            continue
        if part in option.get("properties", ()):
            yield option["properties"][part]
        elif "patternProperties" in option:
            fits = (it for at, it in option["patternProperties"].items() if re.search(at, part))
            yield next(fits, {})
        elif isinstance(more := option.get("additionalProperties"), dict):
            yield more
        elif more is True:
            yield {}


def _options(schema: Schema, node: Schema) -> Iterator[Schema]:
    """What a node may be: itself, what it refers to, each of several kinds."""
    if "$ref" in node:
        yield from _options(schema, schema["$defs"][str(node["$ref"]).rpartition("/")[2]])
    for several in ("anyOf", "oneOf", "allOf"):
        for each in node.get(several, ()):
            yield from _options(schema, each)
    yield node


def _nearest(name: str, known: frozenset[str], schema: Schema, keys: tuple[str, ...]) -> str:
    """What may have been meant: a key that is spelt alike, or that of another table; and all that
    there are, if these are few."""
    said = ""
    elsewhere = [table for table in _tables_with(name, schema) if table != ".".join(keys)]
    if near := difflib.get_close_matches(name, sorted(known), n=1, cutoff=_NEAR):
        said = f"; did you mean {near[0]}?"
    elif len(elsewhere) == 1:
        said = f"; it belongs to [{elsewhere[0]}]"
    if len(known) <= _FEW:
        said += f"; these are: {', '.join(sorted(known))}"
    return said


def _tables_with(name: str, schema: Schema) -> Iterator[str]:
    for table, node in schema.get("properties", {}).items():
        if any(name in option.get("properties", ()) for option in _options(schema, node)):
            yield table


# --- TOML -----------------------------------------------------------------------------------------

_BYTE_ORDER_MARK = "\ufeff"
_QUOTES = re.compile("[\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb]")
_PLACE = re.compile(r" \(at line (\d+), column \d+\)$| \(at end of document\)$")
_WRONG_VALUES = (
    (re.compile(r"[Tt]rue|TRUE|[Ff]alse|FALSE|yes|no|on|off|Yes|No|On|Off"),
     "write true or false, in small letters"),
    (re.compile(r"[+-]?\d+,\d+"), "a number has a decimal point, no comma"),
    (re.compile(r"None|null|nil"), "leave the line out instead"),
    (re.compile(r"[^\W\d].*"), "a text stands in quotes"),
)  # fmt: skip


def toml_mistake(text: str, message: str) -> tuple[int, str]:
    """The line of the first place where a text is not TOML, and what is wrong there; `message` is
    tomllib's."""
    if text.startswith(_BYTE_ORDER_MARK):
        return 1, (
            "the file begins with a byte order mark (BOM), as some editors write it; save it as "
            "UTF-8 without one"
        )
    place = _PLACE.search(message)
    lines = text.splitlines()
    number = int(place[1]) if place is not None and place[1] else len(lines)
    line = lines[number - 1] if number <= len(lines) else ""
    if quotes := _QUOTES.findall(line):
        return number, f'typographic quotes ({" ".join(quotes)}); write straight ones: "'
    said = _PLACE.sub("", message)
    value = line.partition("=")[2].partition("#")[0].strip()
    if said == "Invalid value":
        for pattern, words in _WRONG_VALUES:
            if pattern.fullmatch(value):
                return number, f"{value}: {words}"
    if "\\" in value and value.startswith('"'):
        return number, f"{value}: a backslash in \"...\" is written twice, or the text in '...'"
    if said.startswith(("Expected '='", "Invalid statement")) and ":" in line:
        return number, f'{line.strip()}: a key and its value are written with "="'
    if said.startswith("Illegal character"):  # the line's end, in a text of one line
        said = "Unterminated string"
    return number, _PLAIN.get(said, said)


_PLAIN: Mapping[str, str] = {
    "Invalid value": "there is no value of a kind that TOML has",
    "Invalid statement": "this is neither a key with its value nor a [table]",
    "Expected '=' after a key in a key/value pair": 'a key and its value are written with "="',
    "Expected newline or end of document after a statement": "there is something after the value",
    "Cannot overwrite a value": "this key stands in its table twice",
    "Unclosed array": "a list is not closed with ]",
    "Unterminated string": "a text is not closed with a quote",
    "Expected ']' at the end of a table declaration": "a table's name is not closed with ]",
    "Expected ']]' at the end of an array declaration": "a table's name is not closed with ]]",
}
