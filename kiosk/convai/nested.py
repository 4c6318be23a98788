"""Nested tables by paths with dots, "agent.prompt.prompt". Pure: nothing is changed in place."""

from collections.abc import Iterator, Mapping

from kiosk.convai.fields import Json, JsonObject


def value_at(settings: JsonObject, path: str) -> Json:
    """What stands at a path; None if nothing does."""
    value: Json = dict(settings)
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def patch_of(path: str, value: Json) -> dict[str, Json]:
    """The patch that puts one value there."""
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def merged(settings: JsonObject, patch: JsonObject) -> dict[str, Json]:
    """The settings as a patch makes them; neither is changed."""
    result = dict(settings)
    for name, value in patch.items():
        old = result.get(name)
        if isinstance(value, dict):
            value = merged(old if isinstance(old, dict) else {}, value)
        result[name] = value
    return result


def leaves(patch: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    """Every path of a patch and the value it puts there."""
    for name, value in patch.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def set_paths(table: Mapping[str, Json]) -> Iterator[str]:
    """Every path at which something stands; nothing stands where it is null or an empty table."""
    return (path for path, value in leaves(table) if value is not None and value != {})
