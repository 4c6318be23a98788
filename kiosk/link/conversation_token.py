"""Conversation token of a public agent: the service gives one for WebRTC to anybody who asks."""

import asyncio
from urllib.parse import urlencode, urlsplit, urlunsplit

from kiosk.contract import GrantError, read_grant
from kiosk.errors import CredentialError, ProxyError
from kiosk.proxies import proxied

_TIMEOUT_S = 8.0
_SECURE = {"wss": "https", "ws": "http"}


def token_url(agent_url: str, agent_id: str) -> str:
    """Where such a token is had; `agent_url` is that of the agent's WebSocket, ws:// or wss://."""
    scheme, host, path, _, _ = urlsplit(agent_url)
    path = f"{path.rstrip('/')}/v1/convai/conversation/token"
    query = urlencode({"agent_id": agent_id})
    return urlunsplit((_SECURE.get(scheme, scheme), host, path, query, ""))


async def fetch_token(url: str) -> str:
    """A token for one conversation; raises CredentialError, whose text names no secret."""
    import httpx2

    try:
        async with asyncio.timeout(_TIMEOUT_S), proxied(httpx2.AsyncClient) as client:
            answer = await client.get(url, timeout=_TIMEOUT_S)
    except ProxyError as error:
        raise CredentialError(str(error)) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
        text = f"the agent's service does not answer ({type(error).__name__})"
        raise CredentialError(text) from None
    if answer.status_code in (401, 403, 404):
        text = "the agent is not public, or there is none of this agent.id"
        raise CredentialError(f"{text} (HTTP {answer.status_code})", retryable=False)
    if answer.status_code != 200:
        raise CredentialError(f"the agent's service answered HTTP {answer.status_code}")
    try:
        token = read_grant(answer.json()).conversation_token
    except (GrantError, ValueError, RecursionError):
        token = None
    if token is None:
        raise CredentialError("the agent's service answered without a conversation token")
    return token
