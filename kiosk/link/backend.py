"""The kiosk's client of the backend: asks for one conversation, and accounts for it.

One request, one deadline.
"""

import asyncio
import uuid
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlsplit

from kiosk.contract import (
    END_PATH,
    IDEMPOTENCY_HEADER,
    REQUEST_ID_HEADER,
    START_PATH,
    VISITS_PATH,
    EndVisit,
    Grant,
    GrantError,
    StartVisit,
    read_grant,
    read_problem,
)
from kiosk.errors import ConfigError, CredentialError
from kiosk.link.account import DeniedError

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
        base = backend_url.rstrip("/")
        self._url = base + VISITS_PATH if path in ("", "/") else backend_url
        # Where visits are accounted for; another's token route keeps no account.
        keeps_account = self._url.endswith(VISITS_PATH)
        self._base = self._url.removesuffix(VISITS_PATH) if keeps_account else None
        self._authorization = f"Bearer {device_token}"
        self._client: httpx2.AsyncClient | None = None
        self._key: str | None = None  # of a request that was not answered

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
        # A lease whose answer was lost is asked for again. Not by the press's id: a visit that
        # connects anew needs another lease.
        key = self._key = self._key or uuid.uuid4().hex
        response = await self._post(self._url, {}, request_id, {IDEMPOTENCY_HEADER: key})
        if response.status_code < 500:
            self._key = None
        if response.status_code in (401, 403):
            raise CredentialError(
                f"the backend does not accept this kiosk (HTTP {response.status_code}): "
                "enrol it again with `kiosk backend enroll`",
                retryable=False,
            )
        if response.status_code != 200:
            raise CredentialError(f"the backend answered HTTP {response.status_code}")
        try:
            grant = read_grant(response.json())
        except GrantError as error:
            raise CredentialError(str(error)) from None
        except (ValueError, RecursionError):
            raise CredentialError("the backend's answer is not JSON") from None
        return grant if self._base is not None else replace(grant, visit_id=None)

    async def start(self, visit_id: str, start: StartVisit) -> None:
        """Spend a lease; raises DeniedError, and CredentialError when there is no answer."""
        path = START_PATH.format(visit_id=quote(visit_id, safe=""))
        await self._tell(path, start.model_dump(), start.press_id)

    async def end(self, visit_id: str, end: EndVisit) -> None:
        """Account for a visit; raises DeniedError, and CredentialError when there is no answer."""
        path = END_PATH.format(visit_id=quote(visit_id, safe=""))
        await self._tell(path, end.model_dump(mode="json", exclude_defaults=True), end.press_id)

    async def _tell(self, path: str, body: dict[str, object], request_id: str) -> None:
        assert self._base is not None
        response = await self._post(self._base + path, body, request_id, {})
        status = response.status_code
        if status == 204:
            return
        reason = read_problem(response.content)
        # What a proxy or a captive portal says is no decision of the backend's about this visit.
        if status >= 500 or reason is None:
            raise CredentialError(f"the backend answered HTTP {status}")
        raise DeniedError(reason)

    async def _post(
        self, url: str, body: dict[str, object], request_id: str, headers: dict[str, str]
    ) -> "httpx2.Response":
        import httpx2

        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False)
        sent = {"Authorization": self._authorization, REQUEST_ID_HEADER: request_id, **headers}
        try:
            # The client's timeout is for each step; a backend that trickles must not hold us up.
            async with asyncio.timeout(_TIMEOUT_S):
                return await self._client.post(url, json=body, headers=sent)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise CredentialError(f"the backend does not answer ({type(error).__name__})") from None
