"""Credentials: what opens a conversation, and who gives it: `kiosk.link.lease_keeper` from a
backend, or nobody where the agent is public."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlencode

from pydantic import JsonValue

from kiosk.base.ids import NewId, random_id
from kiosk.contract import EndVisit
from kiosk.link.conversation_token import fetch_token, token_url


@dataclass(frozen=True, slots=True)
class Rooms:
    """Where conversations over WebRTC are held, and how they are joined. `relay_only`: by a relay
    of the service's even where a direct way is open; `single_peer_connection`: first by the newer
    way to join, which older servers do not know."""

    url: str
    relay_only: bool = False
    single_peer_connection: bool = True


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens one conversation. `request_id` is the press's id too. The URL is a secret; with
    `rooms`, which are those of WebRTC, it is not, and the `token` is.

    `overrides` and `dynamic_variables` are what the backend wants in the initiation, unchecked;
    `max_s` is how long the visit may last; `kept`: so long that it may have grown stale;
    `language`: that for which it was asked, None: the kiosk's own.
    """

    url: str
    request_id: str
    visit_id: str | None = None  # the backend's, where it keeps an account
    overrides: Mapping[str, JsonValue] = field(default_factory=dict)
    dynamic_variables: Mapping[str, JsonValue] = field(default_factory=dict)
    max_s: float | None = None
    kept: bool = False
    language: str | None = None
    token: str = ""
    rooms: Rooms | None = None

    @property
    def secret(self) -> str:
        """What may not be shown, and is spent."""
        return self.token or self.url

    def __repr__(self) -> str:
        return f"Opening(url=***, request_id={self.request_id!r})"


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether the next press could open a conversation, or learn from the backend why it may not:
    for the kiosk's fitness."""

    ready: bool
    refused: bool = False


class Credentials(Protocol):
    """Where the visit gets its openings."""

    def next_press_id(self, language: str | None = None) -> str:
        """The id of the next press: that of the waiting credential, if one was fetched for it. For
        a language that is not the kiosk's own none was."""
        ...

    async def take(self, press_id: str, language: str | None = None) -> Opening:
        """An opening to use now, for a language that is not the kiosk's own; raises
        CredentialError."""
        ...

    def hurry(self) -> None:
        """Somebody needs a credential: do not wait out a retry interval."""
        ...

    def refused(self, opening: Opening) -> None:
        """The agent did not accept it: it must not be used again."""
        ...

    async def spend(self, opening: Opening, press_id: str) -> None:
        """Tell the backend that it is used; raises DeniedError if the visit may not go on."""
        ...

    async def live(self, opening: Opening, press_id: str, conversation_id: str | None) -> None:
        """Tell the backend that the conversation is open, once it knows that it is used."""
        ...

    def account_for(self, opening: Opening, end: EndVisit) -> None:
        """How the conversation that it opened went."""
        ...

    async def run(self, on_standing: Callable[[Availability], None]) -> None:
        """The task that keeps one at hand and tells how things stand."""
        ...


class PublicAgent:
    """Credentials of a public agent: its id is enough, no server is needed.

    `api_key` puts the account's key into the address. No contract knows this, and addresses end up
    in logs: it is for development, against servers that want it. With `rooms` each conversation
    needs a token, which the service gives to anybody for such an agent.
    """

    def __init__(
        self,
        agent_url: str,
        agent_id: str,
        api_key: str | None = None,
        new_id: NewId = random_id,
        rooms: Rooms | None = None,
    ) -> None:
        self._new_id = new_id
        self._rooms = rooms
        query = {"agent_id": agent_id} | ({} if api_key is None else {"xi-api-key": api_key})
        self._url = f"{agent_url.rstrip('/')}/v1/convai/conversation?{urlencode(query)}"
        self._token_url = token_url(agent_url, agent_id)

    def next_press_id(self, language: str | None = None) -> str:
        return self._new_id()

    async def take(self, press_id: str, language: str | None = None) -> Opening:
        if self._rooms is None:
            return Opening(self._url, press_id, language=language)
        token = await fetch_token(self._token_url)
        return Opening(self._rooms.url, press_id, language=language, token=token, rooms=self._rooms)

    def hurry(self) -> None:
        """Nothing is ever missing."""

    def refused(self, opening: Opening) -> None:
        """There is no other address to use next time."""

    async def spend(self, opening: Opening, press_id: str) -> None:
        """Nobody keeps an account."""

    async def live(self, opening: Opening, press_id: str, conversation_id: str | None) -> None:
        """Nobody keeps an account."""

    def account_for(self, opening: Opening, end: EndVisit) -> None:
        """Nobody keeps an account."""

    async def run(self, on_standing: Callable[[Availability], None]) -> None:
        on_standing(Availability(ready=True))
