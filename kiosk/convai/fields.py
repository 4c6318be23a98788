"""Reading single fields out of untrusted JSON. Pure: no I/O; never raises."""

import base64
import binascii
import math
from collections.abc import Mapping
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = Mapping[str, Json]


def text(body: JsonObject, *names: str) -> str | None:
    """The first of these fields that is a string."""
    for name in names:
        value = body.get(name)
        if isinstance(value, str) and _is_text(value):
            return value
    return None


def whole_number(body: JsonObject, name: str) -> int | None:
    """An integer, or a string that spells one: the guides send ids as strings."""
    value = body.get(name)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and len(value) <= 18 and value.isascii() and value.isdigit():
        return int(value)
    return None


def number(body: JsonObject, name: str) -> float | None:
    """A finite number, as a float."""
    return _finite(body.get(name))


def numbers(body: JsonObject, name: str) -> tuple[float, ...]:
    """The finite numbers of a list; what else it holds is left out."""
    found = (_finite(value) for value in _list(body, name))
    return tuple(value for value in found if value is not None)


def texts(body: JsonObject, name: str) -> tuple[str, ...]:
    """The strings of a list; what else it holds is left out."""
    return tuple(v for v in _list(body, name) if isinstance(v, str) and _is_text(v))


def tables(body: JsonObject, name: str) -> tuple[dict[str, Json], ...]:
    """The objects of a list; what else it holds is left out."""
    return tuple(value for value in _list(body, name) if isinstance(value, dict))


def echoed_id(body: JsonObject, name: str) -> int | str | None:
    """An id exactly as it came, to be sent back with the same JSON type."""
    value = body.get(name)
    if isinstance(value, str):
        return value if _is_text(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def flag(body: JsonObject, name: str, *, default: bool) -> bool:
    value = body.get(name)
    return value if isinstance(value, bool) else default


def table(body: JsonObject, name: str) -> dict[str, Json]:
    """A nested object; an empty one if the field is absent or something else."""
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def base64_bytes(body: JsonObject, *names: str) -> bytes | None:
    encoded = text(body, *names)
    if encoded is None:
        return None
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    # Python 3.11 lets padding pass that 3.13 refuses.
    return decoded if len(encoded) == (len(decoded) + 2) // 3 * 4 else None


def _list(body: JsonObject, name: str) -> list[Json]:
    value = body.get(name)
    return value if isinstance(value, list) else []


def _finite(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        converted = float(value)
    except OverflowError:  # JSON's integers have no end
        return None
    return converted if math.isfinite(converted) else None


def _is_text(value: str) -> bool:
    """False for half a surrogate pair: JSON can spell it, but no log and no frame can carry it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
