"""Moments by the name of their kind, with what a test does not care for left to be plain."""

from collections.abc import Mapping
from dataclasses import MISSING, fields

from kiosk import moments
from kiosk.moments import FieldValue, Moment, What

_KINDS: dict[What, type[Moment]] = {
    kind.what: kind
    for kind in vars(moments).values()
    if isinstance(kind, type) and issubclass(kind, Moment) and kind is not Moment
}
assert set(_KINDS) == set(What)
_PLAIN: dict[object, FieldValue] = {str: "", int: 0, float: 0.0, int | None: None, str | None: None}


def a_moment(
    what: What,
    at_s: float,
    given: Mapping[str, FieldValue] | None = None,
    words: str | None = None,
) -> Moment:
    """One of this kind; what is not a field of it is left out."""
    kind = _KINDS[what]
    values: dict[str, FieldValue] = {}
    for each in fields(kind):
        if each.name in ("at_s", "words"):
            continue
        if given is not None and each.name in given:
            values[each.name] = given[each.name]
        elif each.default is MISSING:
            values[each.name] = _PLAIN[each.type]
    return kind(at_s, words=words, **values)
