"""Access to the mind: who may ask it, and how many at a time."""

import contextlib
import hmac
import time
from collections.abc import Iterator, Sequence

from pydantic import SecretStr

from kiosk.backend.mind.handout_link import HandoutLink, read_link
from kiosk.backend.mind.pacing import Pace
from kiosk.backend.mind.port import Mind
from kiosk.convai import speech_engine

# Longer than the provider lets a conversation last: two hours.
_LONGEST_S = 7500.0


class MindAccess:
    """What the doors work with. A speech engine shows what only an account with `api_key` can sign,
    a custom LLM one of `llm_secrets`; `most` may be asking at a time, none longer than
    `longest_s`. `greeting` is the first message of every visit, if it is the mind's to say;
    `makes_handouts`: visitors may get a page to take along."""

    def __init__(
        self,
        mind: Mind,
        api_key: SecretStr,
        llm_secrets: Sequence[SecretStr] = (),
        pace: Pace | None = None,
        greeting: str | None = None,
        *,
        makes_handouts: bool = False,
        most: int = 2000,
        longest_s: float = _LONGEST_S,
    ) -> None:
        self.mind = mind
        self.greeting = greeting
        self.makes_handouts = makes_handouts
        self.longest_s = longest_s
        self.pace = pace or Pace()
        self._api_key = api_key
        self._llm_secrets = llm_secrets
        self._most = most
        self._asking = 0

    def refuses_engine(self, header: str) -> str:
        """Why the speech engine that shows this is not let in, for the log; empty: come in."""
        try:
            speech_engine.verify(header, self._api_key.get_secret_value(), time.time())
        except speech_engine.NotTheServiceError as error:
            return str(error)
        return "too many are asking" if self.is_full else ""

    def knows_llm(self, authorization: str) -> bool:
        """Whether this header shows a secret of the custom LLM's."""
        scheme, _, shown = authorization.partition(" ")
        return scheme.lower() == "bearer" and any(
            hmac.compare_digest(shown.strip().encode(), secret.get_secret_value().encode())
            for secret in self._llm_secrets
        )

    def token_of(self, link: HandoutLink) -> str:
        """The last part of a handout's address."""
        return link.token(self._api_key)

    def read_link(self, token: str, now_s: float) -> HandoutLink | None:
        """The link with that token; None if it is not ours, or its time is over."""
        return read_link(token, self._api_key, now_s)

    @property
    def is_full(self) -> bool:
        """Whether one more would be too many."""
        return self._asking >= self._most

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Somebody is asking for as long as the block."""
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1
