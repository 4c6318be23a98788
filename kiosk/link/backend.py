"""The kiosk's client of the backend: asks for one conversation, accounts for it, tells how the
kiosk is.

One request, one deadline.
"""

import asyncio
import re
import uuid
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlsplit

from pydantic import ValidationError

from kiosk.contract import (
    END_PATH,
    HANDOUT_PATH,
    HANDOUT_RELATION,
    HEARTBEAT_PATH,
    IDEMPOTENCY_HEADER,
    LIVE_PATH,
    PROBLEM_TYPE,
    PROSPECT_PATH,
    REQUEST_ID_HEADER,
    ROTATE_PATH,
    START_PATH,
    VISITS_PATH,
    AgentEdition,
    EndVisit,
    Grant,
    GrantError,
    Heartbeat,
    Instructions,
    LeaseRequest,
    LiveVisit,
    NewToken,
    Prospect,
    StartVisit,
    Transport,
    read_grant,
    read_problem,
)
from kiosk.errors import ConfigError, CredentialError, ProxyError
from kiosk.link.account import UNAUTHORIZED, DeniedError
from kiosk.link.device_token import CurrentToken
from kiosk.link.token_file import DeviceTokens
from kiosk.proxies import proxied

if TYPE_CHECKING:
    import httpx2

_TIMEOUT_S = 8.0
_HANDOUT = re.compile(HANDOUT_PATH.replace("{token}", "[A-Za-z0-9._~-]{1,256}"))


class BackendClient:
    """Fetches grants with the kiosk's device token. An async context manager.

    `backend_url` without a path means our backend; with one it is the whole address of any token
    route that answers in a shape `read_grant` knows. `state_file` is where a device token that
    replaces the given one is kept.
    """

    def __init__(
        self,
        backend_url: str,
        device_token: str,
        state_file: Path | None = None,
        language: str | None = None,
        edition: AgentEdition = AgentEdition(),  # noqa: B008  frozen
        transport: Transport = "websocket",
    ) -> None:
        try:
            path = urlsplit(backend_url).path
        except ValueError as error:
            raise ConfigError(f"credentials.backend_url: not an address: {error}") from None
        base = backend_url.rstrip("/")
        self._url = base + VISITS_PATH if path in ("", "/") else backend_url
        # Where visits are accounted for; another's token route keeps no account.
        self.keeps_account = self._url.endswith(VISITS_PATH)
        self._base = self._url.removesuffix(VISITS_PATH)
        request = LeaseRequest(language=language, transport=transport, **edition.model_dump())
        self._transport: Transport = transport
        # Another's route knows of none of it.
        self._request = request.model_dump(exclude_defaults=True) if self.keeps_account else {}
        # What replaces the token is for our backend only.
        self._token = CurrentToken(
            DeviceTokens(device_token, state_file if self.keeps_account else None)
        )
        self._client: httpx2.AsyncClient | None = None
        self._keys: dict[str | None, str] = {}  # of requests that were not answered

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

    async def fetch(self, request_id: str, language: str | None = None) -> Grant:
        """Ask for one conversation, in a language that is not the kiosk's own; raises
        CredentialError, whose text names no secret."""
        # A lease whose answer was lost is asked for again. Not by the press's id: a visit that
        # connects anew needs another lease.
        key = self._keys.setdefault(language, uuid.uuid4().hex)
        wanted = self._request
        if language is not None and self.keeps_account:
            wanted = {**wanted, "language": language}
        response = await self._post(self._url, wanted, request_id, {IDEMPOTENCY_HEADER: key})
        if response.status_code < 500:
            self._keys.pop(language, None)
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            grant = read_grant(response.json(), self._transport)
        except GrantError as error:
            raise CredentialError(str(error)) from None
        except (ValueError, RecursionError):
            raise CredentialError("the backend's answer is not JSON") from None
        return grant if self.keeps_account else replace(grant, visit_id=None)

    async def start(self, visit_id: str, start: StartVisit) -> None:
        """Spend a lease; raises DeniedError, and CredentialError when there is no answer."""
        path = START_PATH.format(visit_id=quote(visit_id, safe=""))
        await self._tell(path, start.model_dump(), start.press_id)

    async def live(self, visit_id: str, live: LiveVisit) -> None:
        """The conversation is open; raises DeniedError, and CredentialError without an answer."""
        path = LIVE_PATH.format(visit_id=quote(visit_id, safe=""))
        await self._tell(path, live.model_dump(exclude_defaults=True), live.press_id)

    async def end(self, visit_id: str, end: EndVisit) -> str | None:
        """Account for a visit; the address of what was made for the visitor, if anything was.
        Raises DeniedError, and CredentialError when there is no answer."""
        path = END_PATH.format(visit_id=quote(visit_id, safe=""))
        body = end.model_dump(mode="json", exclude_defaults=True)
        response = await self._tell(path, body, end.press_id)
        made = response.links.get(HANDOUT_RELATION, {}).get("url", "")
        # A path of the backend's own; never a link to somewhere else.
        return self._base + made if _HANDOUT.fullmatch(made) else None

    async def beat(self, heartbeat: Heartbeat) -> Instructions | None:
        """What the backend wants; None where it is older and takes no heartbeats. Raises
        CredentialError."""
        body = heartbeat.model_dump(mode="json")
        response = await self._post(self._base + HEARTBEAT_PATH, body, uuid.uuid4().hex, {})
        if response.status_code == 404 and _is_in_our_words(response):
            return None
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            return Instructions.model_validate_json(response.content)
        except ValidationError:
            raise CredentialError("the backend's instructions cannot be read") from None

    async def prospect(self) -> Prospect | None:
        """Whether a visit could begin now, at no cost; None where it cannot be asked without
        taking a lease. Raises CredentialError."""
        if not self.keeps_account:
            return None
        response = await self._ask("GET", self._base + PROSPECT_PATH, None, uuid.uuid4().hex, {})
        if response.status_code in (404, 405) and _is_in_our_words(response):
            return None  # a backend of ours that is older
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            return Prospect.model_validate_json(response.content)
        except ValidationError:
            raise CredentialError("the backend's prospect cannot be read") from None

    async def rotate(self) -> bool:
        """Have the device token replaced; False: the old one stays. Raises CredentialError."""
        if not self._token.can_rotate:
            return False
        response = await self._post(self._base + ROTATE_PATH, {}, uuid.uuid4().hex, {})
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            new = NewToken.model_validate_json(response.content)
        except ValidationError:
            raise CredentialError("the backend's new device token cannot be read") from None
        return await self._token.adopt(new.device_token)

    async def _tell(self, path: str, body: dict[str, object], request_id: str) -> "httpx2.Response":
        assert self.keeps_account
        response = await self._post(self._base + path, body, request_id, {})
        status = response.status_code
        if status == 204:
            return response
        reason = read_problem(response.content)
        # What a proxy or a captive portal says is no decision of the backend's about this visit.
        if status >= 500 or reason is None:
            raise self._no_answer(response)
        raise DeniedError(reason)

    async def _post(
        self, url: str, body: dict[str, object], request_id: str, headers: dict[str, str]
    ) -> "httpx2.Response":
        return await self._ask("POST", url, body, request_id, headers)

    async def _ask(
        self,
        method: str,
        url: str,
        body: dict[str, object] | None,
        request_id: str,
        headers: dict[str, str],
    ) -> "httpx2.Response":
        import httpx2

        sent = {REQUEST_ID_HEADER: request_id, **headers}
        try:
            if self._client is None:
                self._client = proxied(
                    lambda: httpx2.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False)
                )
            # The client's timeout is for each step; a backend that trickles must not hold us up.
            async with asyncio.timeout(_TIMEOUT_S):
                return await self._authorized(self._client, method, url, body, sent)
        except ProxyError as error:
            raise CredentialError(str(error)) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise CredentialError(f"the backend does not answer ({type(error).__name__})") from None

    async def _authorized(
        self,
        client: "httpx2.AsyncClient",
        method: str,
        url: str,
        body: dict[str, object] | None,
        headers: dict[str, str],
    ) -> "httpx2.Response":
        """Show each token that may be good, until the backend knows one."""
        token = await self._token.token()
        while True:
            shown = {"Authorization": f"Bearer {token}", **headers}
            response = await client.request(method, url, json=body, headers=shown)
            if not self._is_unknown(response):
                # In trouble it may not have looked at the token, and a portal never does.
                if response.is_success or read_problem(response.content) is not None:
                    await self._token.accepted(token)
                return response
            following = await self._token.rejected(token)
            if following is None:
                return response
            token = following

    def _is_unknown(self, response: "httpx2.Response") -> bool:
        """Whether the backend, and nothing on the way there, does not know the token."""
        if response.status_code not in (401, 403):
            return False
        if self.keeps_account:
            return read_problem(response.content) == UNAUTHORIZED
        return "html" not in response.headers.get("Content-Type", "")

    def _refusal(self, response: "httpx2.Response") -> CredentialError:
        """Why there is nothing; the text names no secret."""
        status = response.status_code
        if self._is_unknown(response):
            mend = "enrol it again with `kiosk backend enroll`"
            if not self.keeps_account:
                mend = "give it a token that is good"
            text = f"the backend does not accept this kiosk (HTTP {status}): {mend}"
            return CredentialError(text, retryable=False)
        reason = read_problem(response.content) if status < 500 else None
        if reason is not None:
            text = f"the backend says no: {reason}"
            return CredentialError(text, reason=reason, retry_after_s=_retry_after_s(response))
        return self._no_answer(response)

    def _no_answer(self, response: "httpx2.Response") -> CredentialError:
        """It is not the backend that answered, or it is in trouble."""
        status = response.status_code
        if not self.keeps_account or status >= 500 or _is_in_our_words(response):
            return CredentialError(f"the backend answered HTTP {status}")
        return CredentialError(
            f"not the backend answered HTTP {status}, but something on the way there, such as a "
            "proxy or a captive portal"
        )


def _is_in_our_words(response: "httpx2.Response") -> bool:
    """Whether our backend said it: it has such a document for every failure, that of an unknown
    route as well."""
    kind: str = response.headers.get("Content-Type", "")
    return kind.startswith(PROBLEM_TYPE)


def _retry_after_s(response: "httpx2.Response") -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
