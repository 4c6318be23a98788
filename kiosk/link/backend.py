"""The kiosk's client of the backend: asks for one conversation. One request, one deadline."""

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from kiosk.contract import REQUEST_ID_HEADER, VISITS_PATH, Grant, GrantError, read_grant
from kiosk.errors import ConfigError, CredentialError

if TYPE_CHECKING:
    import httpx2

_TIMEOUT_S = 8.0


class BackendClient:
    """Fetches grants with the kiosk's device token. An async context manager.

    `backend_url` without a path means our backend; with one it is the whole address of any token
    route that answers in a shape `read_grant` knows.
    """

    def __init__(self, backend_url: str, device_token: str) -> None:
        try:
            path = urlsplit(backend_url).path
        except ValueError as error:
            raise ConfigError(f"credentials.backend_url: not an address: {error}") from None
        self._url = backend_url.rstrip("/") + VISITS_PATH if path in ("", "/") else backend_url
        self._authorization = f"Bearer {device_token}"
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def fetch(self, request_id: str) -> Grant:
        """Ask for one conversation; raises CredentialError, whose text names no secret."""
        import httpx2

        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False)
        try:
            # The client's timeout is for each step; a backend that trickles must not hold us up.
            async with asyncio.timeout(_TIMEOUT_S):
                response = await self._client.post(
                    self._url,
                    json={},
                    headers={"Authorization": self._authorization, REQUEST_ID_HEADER: request_id},
                )
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise CredentialError(f"the backend does not answer ({type(error).__name__})") from None
        if response.status_code in (401, 403):
            raise CredentialError(
                f"the backend does not accept this kiosk (HTTP {response.status_code}): "
                "enrol it again with `kiosk backend enroll`",
                retryable=False,
            )
        if response.status_code != 200:
            raise CredentialError(f"the backend answered HTTP {response.status_code}")
        try:
            return read_grant(response.json())
        except GrantError as error:
            raise CredentialError(str(error)) from None
        except (ValueError, RecursionError):
            raise CredentialError("the backend's answer is not JSON") from None
