"""Asks ElevenLabs for signed URLs. The ONE module that holds the API key; it logs nothing.

What the provider says about a failure stays here: it decides which error is raised, and only a
short code leaves. The signed URL is opaque: it is passed on as it came, never rebuilt.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlsplit

import httpx2
from pydantic import SecretStr

from kiosk.contract import REQUEST_ID_HEADER, Grant, conversation_id, read_grant

SIGNED_URL_PATH = "/v1/convai/conversation/get-signed-url"
CONNECT_TIMEOUT_S = 3.0
# For the whole request; a visitor stands waiting, and the kiosk gives up at about ten seconds.
DEADLINE_S = 8.0

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class ProviderError(Exception):
    """No signed URL. `code` is the provider's own short word for it, if it gave one."""

    def __init__(self, code: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(code or "no code")
        self.code = code
        self.retry_after_s = retry_after_s


class KeyRefusedError(ProviderError):
    """The provider does not accept our API key (401, 403)."""


class AgentUnknownError(ProviderError):
    """The provider does not know the agent (404, 422)."""


class QuotaError(ProviderError):
    """Too many conversations or no credit left (402, 429, or a 401 that says so)."""


class UnreachableError(ProviderError):
    """No answer in time, or one that says the provider itself is in trouble (408, 5xx)."""


class MalformedError(ProviderError):
    """An answer that nobody can use."""


@dataclass(frozen=True, slots=True)
class AgentAccess:
    """Which agent to ask for, and where."""

    provider_url: str
    agent_id: str
    include_conversation_id: bool = True


class Provider:
    """Mints grants for one agent; see `open_provider`."""

    def __init__(
        self, access: AgentAccess, key: SecretStr, client: httpx2.AsyncClient, deadline_s: float
    ) -> None:
        self._url = access.provider_url + SIGNED_URL_PATH
        self._query = {"agent_id": access.agent_id}
        if access.include_conversation_id:
            self._query["include_conversation_id"] = "true"
        self._key = key
        self._client = client
        self._deadline_s = deadline_s
        self._running: set[asyncio.Timeout] = set()

    async def mint(self, request_id: str) -> Grant:
        """Permission for one conversation; raises ProviderError."""
        # The key is a header of the request, not of the client: a client shows its headers.
        headers = {"xi-api-key": self._key.get_secret_value(), REQUEST_ID_HEADER: request_id}
        try:
            async with asyncio.timeout(self._deadline_s) as limit:
                self._running.add(limit)
                try:
                    answer = await self._client.get(self._url, params=self._query, headers=headers)
                finally:
                    self._running.discard(limit)
        except (TimeoutError, httpx2.TransportError):
            raise UnreachableError from None
        except httpx2.HTTPError:  # such as a body that does not decompress
            raise MalformedError from None
        if answer.status_code != 200:
            raise _refusal(answer)
        return _grant(answer)

    def hurry(self, left_s: float) -> None:
        """Give the requests under way at most this long, because the server is stopping."""
        end = asyncio.get_running_loop().time() + left_s
        for limit in self._running:
            limit.reschedule(min(limit.when() or end, end))


@asynccontextmanager
async def open_provider(
    access: AgentAccess,
    key: SecretStr,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    deadline_s: float = DEADLINE_S,
) -> AsyncIterator[Provider]:
    """A provider over one pool of connections, which never follows a redirect with the key."""
    client = httpx2.AsyncClient(
        follow_redirects=False,
        headers={"User-Agent": "voice-kiosk-backend"},
        timeout=httpx2.Timeout(deadline_s, connect=min(CONNECT_TIMEOUT_S, deadline_s)),
        transport=transport,
    )
    async with client:
        yield Provider(access, key, client, deadline_s)


def _grant(answer: httpx2.Response) -> Grant:
    try:
        grant = read_grant(answer.json())
    except (ValueError, OverflowError, RecursionError):  # all that JSON from a stranger can do
        raise MalformedError from None
    if grant.signed_url is None:
        raise MalformedError
    return replace(grant, conversation_id=_conversation_id(grant.signed_url))


def _conversation_id(signed_url: str) -> str | None:
    """Read for the record only; a URL that names no conversation is as good."""
    try:
        found = parse_qs(urlsplit(signed_url).query).get("conversation_id", [""])[0]
    except ValueError:
        return None
    return conversation_id(found)


def _refusal(answer: httpx2.Response) -> ProviderError:
    status, (code, text) = answer.status_code, _detail(answer)
    wait = answer.headers.get("Retry-After", "")
    retry_after_s = int(wait) if re.fullmatch(r"[0-9]{1,4}", wait) else None
    # An exhausted quota also comes as 401 with the status "quota_exceeded".
    if status in (402, 429) or (status in (401, 403) and "quota" in f"{code} {text}".lower()):
        return QuotaError(code, retry_after_s)
    if status in (401, 403):
        return KeyRefusedError(code)
    if status in (404, 422):
        return AgentUnknownError(code)
    if status == 408 or status >= 500:
        return UnreachableError(code, retry_after_s)
    return MalformedError(code)


def _detail(answer: httpx2.Response) -> tuple[str | None, str]:
    """The short code and the text of `{"detail": {"status", "message"}}`, `{"detail": "text"}` or
    a 422's `{"detail": [{"type", "msg"}]}`; nothing for anything else."""
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return None, ""
    detail = body.get("detail") if isinstance(body, Mapping) else None
    if isinstance(detail, list) and detail:
        detail = detail[0]
    if isinstance(detail, str):
        return None, detail
    if not isinstance(detail, Mapping):
        return None, ""
    code = detail.get("status", detail.get("type"))
    known = isinstance(code, str) and _CODE.fullmatch(code)
    return (code if known else None), str(detail.get("message", detail.get("msg", "")))
