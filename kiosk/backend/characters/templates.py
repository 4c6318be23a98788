"""Texts with gaps: `{kiosk}`, `{time}` and the others, filled in when a visit begins. No I/O.

ElevenLabs' own `{{variable}}` is left as it is, and so is every brace around something that is not
a single word: a prompt may show JSON.
"""

import re
from collections.abc import Mapping

# The first branch takes what belongs to ElevenLabs, so that the second never sees it.
_GAP = re.compile(r"\{\{[^{}]*\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def gaps(template: str) -> frozenset[str]:
    """The names a template wants filled in."""
    return frozenset(match[1] for match in _GAP.finditer(template) if match[1])


def filled(template: str, values: Mapping[str, str]) -> str:
    """`values` has all its gaps; what is filled in is not looked at again."""
    return _GAP.sub(lambda match: values[match[1]] if match[1] else match[0], template)


def variables(text: str) -> frozenset[str]:
    """The names of ElevenLabs' own `{{variables}}` in a text."""
    return frozenset(_VARIABLE.findall(text))
