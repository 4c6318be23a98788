"""Strangers: conversations that the provider held with our agent, and no visit of ours had. No I/O,
no clock."""

# A list is asked for again and again, and webhooks come besides.
_REMEMBERED = 10_000


class Strangers:
    """Those that were told of, each once."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}

    def is_new(self, conversation_id: str) -> bool:
        """Whether it is heard of for the first time."""
        if conversation_id in self._known:
            return False
        self._known[conversation_id] = None
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return True
