"""The wire as JSON Schemas, and checks that name the message and the place where a frame departs.

Written from the published contract by hand and apart from kiosk's own readers and writers, so that
an error in those does not excuse itself.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

_DIRECTORY = Path(__file__).parent
_MAX_PART = 160  # an error quotes what it is about, which may be a second of sound


def check_client(frame: str) -> None:
    """Raise AssertionError, saying what and where, unless a client may write this frame."""
    _check("client", frame)


def check_server(frame: str) -> None:
    """Raise AssertionError, saying what and where, unless a server may write this frame."""
    _check("server", frame)


@cache
def _validators(side: str) -> dict[str, Draft202012Validator]:
    """One for each message: a frame is held against its own type's schema, not against them all."""
    schema = json.loads((_DIRECTORY / f"{side}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    references = [message["$ref"] for message in schema["oneOf"]]
    return {
        reference.removeprefix("#/$defs/"): Draft202012Validator(
            {"$schema": schema["$schema"], "$ref": reference, "$defs": schema["$defs"]}
        )
        for reference in references
    }


def _check(side: str, frame: str) -> None:
    assert isinstance(frame, str), f"the {side} wrote a binary frame"
    try:
        message = json.loads(frame, parse_constant=_refuse)
    except ValueError as error:
        raise AssertionError(f"the {side} wrote what is not JSON: {error}") from None
    assert isinstance(message, dict), f"the {side} wrote JSON that is not an object"
    name = _name(side, message)
    validator = _validators(side).get(name)
    assert validator is not None, f"no {side} message is called {name!r}"
    errors = sorted(validator.iter_errors(message), key=lambda error: error.json_path)
    complaints = [f"  {error.json_path}: {_short(error.message)}" for error in errors]
    assert not complaints, "\n".join([f"not a {name} of the {side}:", *complaints])


def _name(side: str, message: dict[str, Any]) -> str:
    """The message's type; microphone sound alone has none."""
    if side == "client" and "type" not in message:
        return "user_audio_chunk"
    assert isinstance(message.get("type"), str), f"the {side} wrote a message without a type"
    return str(message["type"])


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is Python's, not JSON's")


def _short(text: str) -> str:
    half = _MAX_PART // 2
    return text if len(text) <= _MAX_PART else f"{text[:half]} ... {text[-half:]}"
