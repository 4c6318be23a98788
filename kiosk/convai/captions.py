"""Captions: the part of the agent's text that is for reading. Pure: no I/O."""

import re

# Stage directions of expressive voices, such as [happy] or [laughs softly]: for the voice only.
# Before a parenthesis it is the text of a Markdown link.
_AUDIO_TAG = r"\[[a-z][a-z ,'-]{0,39}\](?!\()"
_TAGS = re.compile(_AUDIO_TAG, re.IGNORECASE)
# A tag leaves no blank before a stop; where none was, a blank is the agent's (French has them).
_TAGS_BEFORE_STOP = re.compile(rf"(?: ?{_AUDIO_TAG})+ ?(?=[.,;:!?])", re.IGNORECASE)
_BLANKS = re.compile(r"\s+")


def caption(text: str) -> str:
    """The agent's text as a screen shows it: without audio tags, on one line."""
    line = _TAGS_BEFORE_STOP.sub("", _BLANKS.sub(" ", text))
    return _BLANKS.sub(" ", _TAGS.sub(" ", line)).strip()
