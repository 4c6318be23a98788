"""Asks ElevenLabs. The ONE module that holds the API key; it logs nothing.

Permission for conversations, what became of them, and the agent's own settings. What an answer
means is read in `answers`; here it is asked for, within a deadline and a size.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import httpx2
from pydantic import SecretStr

from kiosk.backend.provider.agent_test_runs import AgentTestRuns, read_runs
from kiosk.backend.provider.answers import (
    AgentUnknownError,
    ConversationSummary,
    KeyRefusedError,
    MalformedError,
    ProviderAnswer,
    ProviderConversation,
    ProviderError,
    QuotaError,
    UnreachableError,
    read_conversation,
    read_object,
    read_page,
    read_signed_url,
    read_token,
    refusal,
)
from kiosk.backend.provider.breaker import Breaker
from kiosk.base.names import LONG_ID
from kiosk.contract import REQUEST_ID_HEADER, AgentEdition, Grant
from kiosk.contract import conversation_id as checked_id
from kiosk.convai.fields import Json
from kiosk.proxies import proxied

__all__ = [
    "AgentAccess",
    "AgentUnknownError",
    "ConversationSummary",
    "KeyRefusedError",
    "MalformedError",
    "Provider",
    "ProviderConversation",
    "ProviderError",
    "QuotaError",
    "UnreachableError",
    "open_provider",
]

SIGNED_URL_PATH = "/v1/convai/conversation/get-signed-url"
TOKEN_PATH = "/v1/convai/conversation/token"  # noqa: S105  an address
AGENT_PATH = "/v1/convai/agents/"
CONVERSATIONS_PATH = "/v1/convai/conversations"
CONVERSATION_PATH = CONVERSATIONS_PATH + "/"
TESTS_PATH = "/v1/convai/agent-testing/"
TEST_RUNS_PATH = "/v1/convai/test-invocations/"
CONNECT_TIMEOUT_S = 3.0
# For the whole request; a visitor stands waiting, and the kiosk gives up at about ten seconds.
DEADLINE_S = 8.0
# The longest answer is a transcript, and hours of talking are not this long.
MAX_BODY_BYTES = 8 * 1024 * 1024

Transport: TypeAlias = Literal["websocket", "webrtc"]
_Method: TypeAlias = Literal["GET", "POST", "PATCH", "DELETE"]


# A day of the largest fleet takes 4,000; what is over it is asked for the next time.
_MOST_PAGES = 500


@dataclass(frozen=True, slots=True)
class AgentAccess:
    """Which agent to ask for, and where."""

    provider_url: str
    agent_id: str
    include_conversation_id: bool = True


class Provider:
    """Everything that is asked about one agent, see `open_provider`; raises ProviderError."""

    def __init__(
        self, access: AgentAccess, key: SecretStr, client: httpx2.AsyncClient, deadline_s: float
    ) -> None:
        self._access = access
        self._key = key
        self._client = client
        self._deadline_s = deadline_s
        self._running: set[asyncio.Timeout] = set()
        self._breaker = Breaker()
        self._failure = ProviderError()  # what was answered last to whoever asked for a credential

    @property
    def agent_id(self) -> str:
        """Whose conversations are minted here, ..."""
        return self._access.agent_id

    @property
    def names_conversations(self) -> bool:
        """... and whether each is known by its name from the start."""
        return self._access.include_conversation_id

    @property
    def is_spared(self) -> bool:
        """Whether it failed so often that it is asked for credentials now and then only."""
        return self._breaker.is_open

    async def mint(
        self,
        request_id: str,
        transport: Transport = "websocket",
        edition: AgentEdition = AgentEdition(),  # noqa: B008  frozen
        participant: str | None = None,
    ) -> Grant:
        """Permission for one conversation, with this edition of the agent. `participant`: the
        kiosk's name in a conversation over WebRTC; a signed URL has no place for one. A provider
        that keeps failing is not asked each time: the error is the last one's."""
        wait_s = self._breaker.wait_s(time.monotonic())
        if wait_s > 0:
            failure = self._failure
            raise type(failure)(failure.code, math.ceil(wait_s), was_asked=False)
        try:
            grant = await self._mint(request_id, transport, edition, participant)
        except AgentUnknownError:
            self._breaker.answered()  # what one kiosk asks for is wrong: others are not concerned
            raise
        except ProviderError as error:
            self._failure = error
            self._breaker.failed(time.monotonic())
            raise
        self._breaker.answered()
        return grant

    async def _mint(
        self, request_id: str, transport: Transport, edition: AgentEdition, participant: str | None
    ) -> Grant:
        chosen = edition.model_dump(include=set(AgentEdition.model_fields), exclude_none=True)
        query = {"agent_id": self._access.agent_id, **chosen}
        if transport == "webrtc":
            if participant is not None:
                query["participant_name"] = participant
            answer = await self._wanted("GET", TOKEN_PATH, query=query, request_id=request_id)
            grant = read_token(answer, time.time())
            if grant.conversation_id is None:
                # Nobody could say afterwards whose conversation it was.
                raise MalformedError
            return grant
        if self._access.include_conversation_id:
            query["include_conversation_id"] = "true"
        answer = await self._wanted("GET", SIGNED_URL_PATH, query=query, request_id=request_id)
        return read_signed_url(answer)

    async def conversation(
        self, conversation_id: str, request_id: str | None = None, *, with_transcript: bool = False
    ) -> ProviderConversation | None:
        """What became of it; None if the provider knows none. ValueError for what is no id."""
        answer = await self._ask("GET", _path_of(conversation_id), request_id=request_id)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise _of_another(answer)
        return read_conversation(answer, with_transcript=with_transcript)

    async def conversations(self, since: datetime) -> AsyncIterator[ConversationSummary]:
        """Every conversation of the agent that began after this; so many at most."""
        query = {
            "agent_id": self._access.agent_id,
            "call_start_after_unix": str(int(since.timestamp())),
            "page_size": "100",
        }
        for _ in range(_MOST_PAGES):
            lines, cursor = read_page(await self._wanted("GET", CONVERSATIONS_PATH, query=query))
            for line in lines:
                yield line
            if not cursor:
                return
            query["cursor"] = cursor

    async def forget(self, conversation_id: str, request_id: str | None = None) -> None:
        """Have the provider delete it; one that is gone is as good. ValueError for no id."""
        answer = await self._ask("DELETE", _path_of(conversation_id), request_id=request_id)
        if answer.status not in (200, 204, 404):
            raise _of_another(answer)

    async def agent(self) -> dict[str, Json]:
        """The agent's settings, as the provider has them."""
        return read_object(await self._wanted("GET", AGENT_PATH + self._access.agent_id))

    async def change_agent(self, patch: Mapping[str, Json]) -> dict[str, Json]:
        """Merge the patch into the agent's settings; what they are then."""
        answer = await self._ask("PATCH", AGENT_PATH + self._access.agent_id, body=patch)
        if answer.status != 200:
            raise _of_another(answer)
        return read_object(answer)

    async def make_test(self, body: Mapping[str, Json]) -> str:
        """A test at the provider; its id."""
        answer = await self._ask("POST", f"{TESTS_PATH}create", body=body)
        if answer.status != 200:
            raise _of_another(answer)
        return _test_id(read_object(answer).get("id"))

    async def run_tests(self, ids: Sequence[str]) -> AgentTestRuns:
        """Begin to run these tests with the agent."""
        path = f"{AGENT_PATH}{self._access.agent_id}/run-tests"
        body: dict[str, Json] = {"tests": [{"test_id": each} for each in ids]}
        return read_runs(read_object(await self._wanted("POST", path, body=body)))

    async def test_runs(self, runs_id: str) -> AgentTestRuns:
        """How they stand."""
        path = TEST_RUNS_PATH + _test_id(runs_id)
        return read_runs(read_object(await self._wanted("GET", path)))

    async def remove_test(self, test_id: str) -> None:
        """Have the provider delete it; one that is gone is as good."""
        answer = await self._ask("DELETE", TESTS_PATH + _test_id(test_id))
        if answer.status not in (200, 204, 404):
            raise _of_another(answer)

    def hurry(self, left_s: float) -> None:
        """Give the requests under way at most this long, because the server is stopping."""
        end = asyncio.get_running_loop().time() + left_s
        for limit in self._running:
            limit.reschedule(min(limit.when() or end, end))

    async def _wanted(
        self,
        method: _Method,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Json] | None = None,
        request_id: str | None = None,
    ) -> ProviderAnswer:
        answer = await self._ask(method, path, query=query, body=body, request_id=request_id)
        if answer.status != 200:
            raise refusal(answer)
        return answer

    async def _ask(
        self,
        method: _Method,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Json] | None = None,
        request_id: str | None = None,
    ) -> ProviderAnswer:
        # The key is a header of the request, not of the client: a client shows its headers.
        headers = {"xi-api-key": self._key.get_secret_value()}
        if request_id is not None:
            headers[REQUEST_ID_HEADER] = request_id
        request = self._client.build_request(
            method, self._access.provider_url + path, params=query, json=body, headers=headers
        )
        try:
            async with asyncio.timeout(self._deadline_s) as limit:
                self._running.add(limit)
                try:
                    return await self._answer(request)
                finally:
                    self._running.discard(limit)
        except (TimeoutError, httpx2.TransportError):
            raise UnreachableError from None
        except httpx2.HTTPError:  # such as a body that does not decompress
            raise MalformedError from None

    async def _answer(self, request: httpx2.Request) -> ProviderAnswer:
        """The whole answer, unless it is longer than any that is meant."""
        response = await self._client.send(request, stream=True)
        try:
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    raise MalformedError
            headers = {name.lower(): value for name, value in response.headers.items()}
            return ProviderAnswer(response.status_code, headers, bytes(body))
        finally:
            await response.aclose()


@asynccontextmanager
async def open_provider(
    access: AgentAccess,
    key: SecretStr,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    deadline_s: float = DEADLINE_S,
) -> AsyncIterator[Provider]:
    """A provider over one pool of connections, which never follows a redirect with the key; raises
    ProxyError."""

    def build() -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            follow_redirects=False,
            headers={"User-Agent": "voice-kiosk-backend"},
            timeout=httpx2.Timeout(deadline_s, connect=min(CONNECT_TIMEOUT_S, deadline_s)),
            transport=transport,
        )

    async with proxied(build) as client:
        yield Provider(access, key, client, deadline_s)


def _path_of(conversation_id: str) -> str:
    if checked_id(conversation_id) is None:
        raise ValueError("not the id of a conversation")
    return CONVERSATION_PATH + conversation_id


def _test_id(named: Json) -> str:
    """An id that may stand in an address. Raises MalformedError."""
    if not isinstance(named, str) or LONG_ID.fullmatch(named) is None:
        raise MalformedError
    return named


def _of_another(answer: ProviderAnswer) -> ProviderError:
    """The refusal of a question in which a 422 is not about the agent."""
    error = refusal(answer)
    return MalformedError(error.code) if answer.status == 422 else error
