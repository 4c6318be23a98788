"""The two REST endpoints a backend asks for credentials, on the WebSocket's own port."""

import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from kiosk.agent.signatures import CONVERSATION_PATH, Signer

Handler = Callable[[dict[str, str], str], tuple[HTTPStatus, dict[str, object]]]


class Rest:
    """Answers everything that is not the conversation's WebSocket."""

    def __init__(self, agent_id: str, api_key: str, signer: Signer) -> None:
        self._agent_id = agent_id
        self._api_key = api_key
        self._signer = signer
        self._routes: dict[str, Handler] = {
            # The second spelling is the deprecated alias that older guides name.
            f"{CONVERSATION_PATH}/get-signed-url": self._signed_url,
            f"{CONVERSATION_PATH}/get_signed_url": self._signed_url,
            f"{CONVERSATION_PATH}/token": self._token,
        }

    def respond(self, request: Request) -> Response | None:
        """The answer, or None for the WebSocket's path."""
        url = urlsplit(request.path)
        if url.path == CONVERSATION_PATH:
            return None
        route = self._routes.get(url.path)
        if route is None:
            return json_response(HTTPStatus.NOT_FOUND, {"detail": "Not Found"})
        key = request.headers.get("xi-api-key", "")
        if not hmac.compare_digest(key.encode(), self._api_key.encode()):
            return _problem(HTTPStatus.UNAUTHORIZED, "invalid_api_key", "Invalid API key")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        agent_id = query.get("agent_id")
        if agent_id is None:
            missing = {"loc": ["query", "agent_id"], "msg": "Field required", "type": "missing"}
            return json_response(HTTPStatus.UNPROCESSABLE_ENTITY, {"detail": [missing]})
        if agent_id != self._agent_id:
            return _problem(HTTPStatus.NOT_FOUND, "agent_not_found", "Agent not found")
        return json_response(*route(query, request.headers.get("Host", "localhost")))

    def _signed_url(self, query: dict[str, str], host: str) -> tuple[HTTPStatus, dict[str, object]]:
        single_use = query.get("include_conversation_id", "").lower() == "true"
        conversation_id = new_conversation_id() if single_use else None
        signed = self._signer.query(self._agent_id, conversation_id, time.monotonic())
        return HTTPStatus.OK, {
            "signed_url": f"ws://{host}{CONVERSATION_PATH}?{signed}",
            # The real service leaves this out; ours may be told to sign for less than 15 minutes.
            "expires_in": self._signer.life_s,
        }

    def _token(self, _query: dict[str, str], _host: str) -> tuple[HTTPStatus, dict[str, object]]:
        # WebRTC needs a media server that this agent is not: the token has the right shape only.
        conversation_id = new_conversation_id()
        token = f"local.{secrets.token_urlsafe(24)}"
        return HTTPStatus.OK, {"token": token, "conversation_id": conversation_id}


def new_conversation_id() -> str:
    """`conv_` and letters and digits, as the real service's."""
    return f"conv_{secrets.token_hex(12)}"


def _problem(status: HTTPStatus, code: str, message: str) -> Response:
    return json_response(status, {"detail": {"status": code, "message": message}})


def json_response(status: HTTPStatus, body: Mapping[str, object]) -> Response:
    """A whole answer, after which the connection closes."""
    data = json.dumps(body).encode()
    headers = Headers(
        {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, data)
