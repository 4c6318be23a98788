"""Frames without end from a seed, each with the class that a reader must make of it.

The class is known because the frame was built so. Only where bytes were damaged at random is it
read off the frame: by `json.loads`, and by what `shapes` says an event must hold.
"""

import base64
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from kiosk.convai.fields import Json
from kiosk.convai.frames import MAX_FRAME_BYTES, Ignored, Malformed, Unknown
from tests.unit.convai.shapes import ABSENT, CLIENT_SHAPES, IGNORED, SERVER_SHAPES, Field, Shape

Class: TypeAlias = type[object]
Object: TypeAlias = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Made:
    """A frame, who would have sent it, what it must be read as, and how it was made."""

    frame: str | bytes
    from_server: bool
    expected: Class
    how: str


def frames(seed: int, count: int) -> Iterator[Made]:
    """The same frames for the same seed."""
    dice = Random(seed)
    makers, weights = list(_MAKERS), list(_MAKERS.values())
    for maker in dice.choices(makers, weights, k=count):
        from_server = dice.random() < 0.7
        frame, expected = maker(dice, _SERVER if from_server else _CLIENT)
        yield Made(frame, from_server, expected, maker.__name__.strip("_"))


@dataclass(frozen=True, slots=True)
class _Side:
    """What one side of the wire may say."""

    shapes: Sequence[Shape]
    ignored: Class

    def having(self, wanted: Callable[[Shape], bool]) -> list[Shape]:
        return [shape for shape in self.shapes if wanted(shape)]


_SERVER = _Side(SERVER_SHAPES, Ignored)
_CLIENT = _Side(CLIENT_SHAPES, Unknown)

# What no reader may trip over; whether one of them fits is for the field to say.
_NO_OBJECTS: list[Json] = [
    *(None, True, False, 0, -1, 7, 10**400, 1.5, -1e308, 5e-324),
    *("", "x", "7", "9" * 40, "AAE=", "AAA", "AAAA=", "&&&&", "ä", "\0", "\ud800", "like"),
    *("\N{PARTY POPPER}", "e\N{COMBINING ACUTE ACCENT}", "\N{RIGHT-TO-LEFT OVERRIDE}"),
    [], [[]], [1, "x", None], ["like"], [{}],
]  # fmt: skip
_OBJECTS: list[Json] = [{}, {"": {}}, {"text": 7}, {"type": "ping"}]
_HOSTILE = [*_NO_OBJECTS, *_OBJECTS]


# --- whole messages -----------------------------------------------------------------------------


def _whole(dice: Random, side: _Side) -> tuple[str, Class]:
    shape = dice.choice(side.shapes)
    return _text(dice, _body(dice, shape)), shape.message


def _flat(dice: Random, side: _Side) -> tuple[str, Class]:
    shape = dice.choice(side.having(lambda shape: shape.is_read_flat))
    return _text(dice, _laid_out(dice, shape, _fields(dice, shape), flat=True)), shape.message


def _with_strange_extras(dice: Random, side: _Side) -> tuple[str, Class]:
    shape = dice.choice(side.shapes)
    strange: list[Json] = [
        *_HOSTILE,
        int("9" * dice.randint(18, 4000)),
        "\ud83d" * dice.randint(1, 9),
        "long " * dice.randint(1, 2000),
        _deep(dice.randint(1, 60)),
    ]
    extras = {f"x_{name}": dice.choice(strange) for name in range(dice.randint(1, 4))}
    return _text(dice, {**_body(dice, shape), **extras, "": dice.choice(strange)}), shape.message


def _with_wrong_options(dice: Random, side: _Side) -> tuple[str, Class]:
    shape = dice.choice(side.having(lambda shape: bool(shape.optional)))
    wrong = {name: dice.choice(_HOSTILE) for name in shape.optional if dice.random() < 0.7}
    return _text(dice, _laid_out(dice, shape, {**_fields(dice, shape), **wrong})), shape.message


def _with_a_key_twice(dice: Random, side: _Side) -> tuple[str, Class]:
    # The last one counts.
    shape = dice.choice(side.having(lambda shape: shape.type_name is not None))
    whole = json.dumps(_body(dice, shape))[1:-1]
    if dice.random() < 0.5:
        return f'{{"type":"x_first",{whole}}}', shape.message
    return f'{{{whole},"type":"x_last"}}', Unknown


def _of_a_mebibyte(dice: Random, side: _Side) -> tuple[str, Class]:
    shape = dice.choice(side.shapes)
    noise = base64.b64encode(dice.randbytes(786_432)).decode()
    sound = {field.names[0]: noise for field in shape.required if "audio" in field.names[0]}
    body = _laid_out(dice, shape, {**_fields(dice, shape), **(sound or {"x_noise": noise})})
    return json.dumps(body), shape.message


def _unknown(dice: Random, side: _Side) -> tuple[str, Class]:
    name = dice.choice(["x_new", "keep_alive", "Ping", " ping", "", "\0", "x" * 10_000, "ä\n"])
    return _text(dice, {**_body(dice, dice.choice(side.shapes)), "type": name}), Unknown


def _ignored(dice: Random, side: _Side) -> tuple[str, Class]:
    name = dice.choice(IGNORED)
    return _text(dice, {"type": name, f"{name}_event": dice.choice(_HOSTILE)}), side.ignored


# --- JSON that is no message --------------------------------------------------------------------


def _without_what_it_must_hold(dice: Random, side: _Side) -> tuple[str, Class]:
    shape, field = _required(dice, side, lambda field: not field.fits(ABSENT))
    rest = {k: v for k, v in _fields(dice, shape).items() if k not in field.names}
    return _text(dice, _laid_out(dice, shape, rest)), Malformed


def _with_wrong_what_it_must_hold(dice: Random, side: _Side) -> tuple[str, Class]:
    shape, field = _required(dice, side, lambda _: True)
    wrong = dice.choice([value for value in _HOSTILE if not field.fits(value)])
    rest = {k: v for k, v in _fields(dice, shape).items() if k not in field.names}
    return _text(dice, _laid_out(dice, shape, {**rest, dice.choice(field.names): wrong})), Malformed


def _without_a_type(dice: Random, side: _Side) -> tuple[str, Class]:
    body = _body(dice, dice.choice(side.shapes))
    body.pop("type", None)
    body.pop("user_audio_chunk", None)
    return dice.choice([_text(dice, body), "{}", '{"text":""}']), Malformed


def _with_an_odd_type(dice: Random, side: _Side) -> tuple[str, Class]:
    odd = dice.choice([value for value in _HOSTILE if not isinstance(value, str)] + ["\udfff"])
    return _text(dice, {**_body(dice, dice.choice(side.shapes)), "type": odd}), Malformed


def _no_object(dice: Random, side: _Side) -> tuple[str, Class]:
    body = _body(dice, dice.choice(side.shapes))
    values: list[Json] = [*_NO_OBJECTS, [body], json.dumps(body)]
    return _text(dice, dice.choice(values)), Malformed


# --- no JSON ------------------------------------------------------------------------------------


def _cut_off(dice: Random, side: _Side) -> tuple[str, Class]:
    whole = json.dumps(_body(dice, dice.choice(side.shapes)))
    return whole[: dice.randrange(len(whole))], Malformed


def _with_a_control_character(dice: Random, side: _Side) -> tuple[str, Class]:
    # Neither in a string nor between two tokens may it stand bare.
    whole = json.dumps(_body(dice, dice.choice(side.shapes)))
    at = dice.randrange(len(whole) + 1)
    return whole[:at] + dice.choice("\0\1\b\v\f\x1b\x1f") + whole[at:], Malformed


def _torn(dice: Random, side: _Side) -> tuple[str, Class]:
    whole = json.dumps(_body(dice, dice.choice(side.shapes)))
    ways = (
        *(whole + "}", "{" + whole, whole + whole, whole + ",", whole[:-1] + ",}", whole[1:]),
        *("\ufeff" + whole, whole.replace('"', "'"), "data: " + whole, whole + "\0", "", " ", "{"),
    )
    return dice.choice(ways), Malformed


def _with_a_number_too_long(dice: Random, side: _Side) -> tuple[str, Class]:
    whole = json.dumps(_body(dice, dice.choice(side.shapes)))
    return whole[:-1] + ',"x_n":' + dice.choice(["", "-"]) + "9" * 5000 + "}", Malformed


def _too_deep(dice: Random, side: _Side) -> tuple[str, Class]:
    # Far past what any supported Python follows: 3.11 stops near 1,000 levels, 3.13 at 10,000.
    whole = json.dumps(_body(dice, dice.choice(side.shapes)))
    opening, closing = dice.choice([("[", "]"), ('{"":', "}")])
    levels = 100_000
    return f'{whole[:-1]},"x_deep":{opening * levels}0{closing * levels}}}', Malformed


def _too_big(dice: Random, side: _Side) -> tuple[str, Class]:
    # In bytes: with the longer characters there are fewer of them than the limit has bytes.
    whole = json.dumps(_body(dice, dice.choice(side.shapes)))
    character = dice.choice(["x", "€"])
    filling = character * (MAX_FRAME_BYTES // len(character.encode()))
    return f'{whole[:-1]},"x_big":"{filling}"}}', Malformed


def _binary(dice: Random, side: _Side) -> tuple[bytes, Class]:
    whole = json.dumps(_body(dice, dice.choice(side.shapes))).encode()
    return dice.choice([whole, b"", dice.randbytes(40)]), Malformed


# --- damage -------------------------------------------------------------------------------------


def _damaged(dice: Random, side: _Side) -> tuple[str, Class]:
    data = bytearray(json.dumps(_body(dice, dice.choice(side.shapes))).encode())
    for _ in range(dice.randint(1, 4)):
        at, length = dice.randrange(len(data) + 1), dice.randint(1, 4)
        match dice.randrange(4):
            case 0:
                data[at : at + 1] = dice.randbytes(1)
            case 1:
                data[at:at] = dice.choice(b'{}[]",:0-9eE.\\u tfn').to_bytes()
            case 2:
                del data[at : at + length]
            case _:
                data[at:at] = data[at : at + length]
    # What is no UTF-8 never gets past the WebSocket.
    frame = data.decode(errors="replace")
    return frame, _class_of(frame, side)


def _class_of(frame: str, side: _Side) -> Class:
    try:
        body = json.loads(frame)
    except ValueError:
        return Malformed
    if not isinstance(body, dict):
        return Malformed
    name = body.get("type")
    if not isinstance(name, str) and (side is _SERVER or "type" in body):
        return Malformed
    if name in IGNORED:
        return side.ignored
    of_that_name = side.having(lambda shape: shape.type_name == name)
    if not of_that_name:
        return Malformed if name is None else _unless_half_a_character(name)
    for shape in of_that_name:
        found = next(
            (t for w in shape.wrappers if (t := body.get(w)) and isinstance(t, dict)), None
        )
        fields = found or (body if shape.is_read_flat or not shape.wrappers else {})
        if all(_holds(fields, field) for field in shape.required):
            return shape.message
    return Malformed


def _holds(fields: Mapping[str, Json], field: Field) -> bool:
    values: list[object] = [fields[name] for name in field.names if name in fields]
    return any(field.fits(value) for value in values or [ABSENT])


def _unless_half_a_character(name: str) -> Class:
    return Malformed if re.search("[\ud800-\udfff]", name) else Unknown


# --- building -----------------------------------------------------------------------------------


def _fields(dice: Random, shape: Shape) -> Object:
    fields = {dice.choice(field.names): field.right(dice) for field in shape.required}
    options = {name: right for name, right in shape.optional.items() if dice.random() < 0.5}
    return {**fields, **{name: right(dice) for name, right in options.items()}}


def _laid_out(dice: Random, shape: Shape, fields: Object, *, flat: bool = False) -> Object:
    if dice.random() < 0.3:
        fields = {**fields, "x_trace": dice.choice(_HOSTILE)}
    items = list(fields.items())
    dice.shuffle(items)
    body: Object = dict(items)
    if shape.wrappers and not flat:
        body = {dice.choice(shape.wrappers): body}
    named: Object = {} if shape.type_name is None else {"type": shape.type_name}
    return {**named, **body} if dice.random() < 0.8 else {**body, **named}


def _body(dice: Random, shape: Shape) -> Object:
    return _laid_out(dice, shape, _fields(dice, shape))


def _required(dice: Random, side: _Side, wanted: Callable[[Field], bool]) -> tuple[Shape, Field]:
    return dice.choice(
        [(shape, field) for shape in side.shapes for field in shape.required if wanted(field)]
    )


def _text(dice: Random, value: Json) -> str:
    """One of the ways to write the same JSON."""
    compact = dice.random() < 0.5
    text = json.dumps(
        value, ensure_ascii=dice.random() < 0.5, separators=(",", ":") if compact else None
    )
    return text if dice.random() < 0.9 else f" \n{text}\t"


def _deep(levels: int) -> Json:
    value: Json = math.pi
    for level in range(levels):
        value = [value] if level % 2 else {"": value}
    return value


# How often each is made; the long ones seldom, for they cost as much as thousands of the others.
_MAKERS: Mapping[Callable[[Random, _Side], tuple[str | bytes, Class]], float] = {
    _whole: 30,
    _flat: 10,
    _with_strange_extras: 6,
    _with_wrong_options: 10,
    _with_a_key_twice: 4,
    _of_a_mebibyte: 0.05,
    _unknown: 6,
    _ignored: 4,
    _without_what_it_must_hold: 8,
    _with_wrong_what_it_must_hold: 10,
    _without_a_type: 3,
    _with_an_odd_type: 3,
    _no_object: 3,
    _cut_off: 6,
    _with_a_control_character: 4,
    _torn: 5,
    _with_a_number_too_long: 1,
    _too_deep: 0.1,
    _too_big: 0.02,
    _binary: 2,
    _damaged: 25,
}
