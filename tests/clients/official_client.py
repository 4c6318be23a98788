"""The official Python client's names, from where the version that is found has them.

The third version calls the part `agents`, and says of a conversation's end only that it came.
"""

import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

VERSION = version("elevenlabs")
HAS_DETAILS = VERSION.startswith("2.")  # of how a conversation ended

with warnings.catch_warnings():
    # The client's modules name types that websockets keeps in a deprecated part of itself.
    warnings.filterwarnings("ignore", r"websockets\.[\w.]+ is deprecated", DeprecationWarning)
    from elevenlabs.client import ElevenLabs
    from elevenlabs.core.api_error import ApiError

    if TYPE_CHECKING:
        from elevenlabs.conversational_ai.conversation import (
            AudioInterface,
            Conversation,
            DisconnectionDetails,
        )
    else:
        _part = "conversational_ai" if VERSION.startswith("2.") else "agents"
        _module = import_module(f"elevenlabs.{_part}.conversation")
        AudioInterface = _module.AudioInterface
        Conversation = _module.Conversation
        DisconnectionDetails = getattr(_module, "DisconnectionDetails", None)

__all__ = [
    "HAS_DETAILS",
    "VERSION",
    "ApiError",
    "AudioInterface",
    "Conversation",
    "DisconnectionDetails",
    "ElevenLabs",
    "told_of_the_end",
]


def told_of_the_end(tell: Callable[[Any], None]) -> dict[str, Any]:
    """The argument of Conversation that has it call `tell` at its end: with the details, or None
    where the version has none."""
    if HAS_DETAILS:
        return {"callback_disconnect": tell}
    return {"callback_end_session": lambda: tell(None)}
