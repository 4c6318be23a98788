"""The REST endpoints beside the conversation's WebSocket, on its own port: credentials for a
conversation, what became of it, and the agent's settings."""

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from kiosk.agent.answer_tests import AnswerTestError, AnswerTests
from kiosk.agent.archive import Archive
from kiosk.agent.document import ChangeError, Document
from kiosk.agent.signatures import CONVERSATION_PATH, ROOM_PATH, Signer
from kiosk.base.clock import loop_now_s
from kiosk.base.ids import NewId, random_id
from kiosk.convai.fields import Json

_TOKEN_PATH = f"{CONVERSATION_PATH}/token"
AGENTS_PATH = "/v1/convai/agents/"
CONVERSATIONS_PATH = "/v1/convai/conversations/"
TESTS_PATH = "/v1/convai/agent-testing/"
TEST_RUNS_PATH = "/v1/convai/test-invocations/"


@dataclass(frozen=True, slots=True)
class RestCall:
    """A request as the endpoints see it; `id` is the last part of the path."""

    id: str
    query: dict[str, str]
    host: str
    body: bytes


Handler = Callable[[RestCall], Response]


class Rest:
    """Answers everything that is not the conversation's WebSocket."""

    def __init__(
        self,
        agent_id: str,
        api_key: str,
        signer: Signer,
        document: Document,
        archive: Archive,
        tests: AnswerTests,
        new_id: NewId = random_id,
    ) -> None:
        self._new_id = new_id
        self._agent_id = agent_id
        self._api_key = api_key
        self._signer = signer
        self._document = document
        self._archive = archive
        self._tests = tests
        self._routes: dict[str, dict[str, Handler]] = {
            # The second spelling is the deprecated alias that older guides name.
            f"{CONVERSATION_PATH}/get-signed-url": {"GET": self._signed_url},
            f"{CONVERSATION_PATH}/get_signed_url": {"GET": self._signed_url},
            _TOKEN_PATH: {"GET": self._token},
            AGENTS_PATH: {"GET": self._agent, "PATCH": self._change_agent},
            CONVERSATIONS_PATH.rstrip("/"): {"GET": self._conversations},
            CONVERSATIONS_PATH: {"GET": self._conversation, "DELETE": self._forget},
            f"{TESTS_PATH}create": {"POST": self._make_test},
            TESTS_PATH: {"DELETE": self._forget_test},
            f"{AGENTS_PATH}{agent_id}/run-tests": {"POST": self._run_tests},
            TEST_RUNS_PATH: {"GET": self._test_runs},
        }

    def respond(self, request: Request, method: str = "GET", body: bytes = b"") -> Response | None:
        """The answer, or None for a WebSocket's path."""
        url = urlsplit(request.path)
        if url.path in (CONVERSATION_PATH, ROOM_PATH):
            return None if method == "GET" else _not_allowed(["GET"])
        if url.path.startswith(f"{ROOM_PATH}/"):
            # The newer way to join, which is not ours; a client in a browser must be let read that.
            unknown = json_response(HTTPStatus.NOT_FOUND, {"detail": "Not Found"})
            unknown.headers["Access-Control-Allow-Origin"] = "*"
            return unknown
        parent, _, last = url.path.rpartition("/")
        methods = self._routes.get(url.path) if last else None
        if methods is None and last:
            methods = self._routes.get(f"{parent}/")
        if methods is None:
            return json_response(HTTPStatus.NOT_FOUND, {"detail": "Not Found"})
        if method not in methods:
            return _not_allowed(methods)
        key = request.headers.get("xi-api-key", "")
        for_anybody = url.path == _TOKEN_PATH and self._document.public and not key
        if not (for_anybody or hmac.compare_digest(key.encode(), self._api_key.encode())):
            return _problem(HTTPStatus.UNAUTHORIZED, "invalid_api_key", "Invalid API key")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        return methods[method](
            RestCall(last, query, request.headers.get("Host", "localhost"), body)
        )

    def _signed_url(self, call: RestCall) -> Response:
        if refusal := self._not_ours(call):
            return refusal
        single_use = call.query.get("include_conversation_id", "").lower() == "true"
        conversation_id = new_conversation_id(self._new_id) if single_use else None
        signed = self._signer.query(self._agent_id, conversation_id, loop_now_s())
        body = {
            "signed_url": f"ws://{call.host}{CONVERSATION_PATH}?{signed}",
            # The real service leaves this out; ours may be told to sign for less than 15 minutes.
            "expires_in": self._signer.life_s,
        }
        return json_response(HTTPStatus.OK, body)

    def _token(self, call: RestCall) -> Response:
        if refusal := self._not_ours(call):
            return refusal
        conversation_id = new_conversation_id(self._new_id)
        token = self._signer.token(self._agent_id, conversation_id, loop_now_s())
        return json_response(HTTPStatus.OK, {"token": token, "conversation_id": conversation_id})

    def _not_ours(self, call: RestCall) -> Response | None:
        """The refusal of a request whose query does not name this agent."""
        agent_id = call.query.get("agent_id")
        if agent_id is None:
            missing = {"loc": ["query", "agent_id"], "msg": "Field required", "type": "missing"}
            return json_response(HTTPStatus.UNPROCESSABLE_ENTITY, {"detail": [missing]})
        return None if agent_id == self._agent_id else _unknown_agent()

    def _agent(self, call: RestCall) -> Response:
        if call.id != self._agent_id:
            return _unknown_agent()
        return json_response(HTTPStatus.OK, self._document.as_json())

    def _change_agent(self, call: RestCall) -> Response:
        if call.id != self._agent_id:
            return _unknown_agent()
        try:
            patch: Json = json.loads(call.body)
            if not isinstance(patch, dict):
                return _invalid("body", "Input should be an object")
            self._document.change(patch)
        except ChangeError as error:
            return _invalid(f"body.{error.path}".rstrip("."), str(error))
        except (ValueError, RecursionError):
            return _invalid("body", "JSON decode error")
        return json_response(HTTPStatus.OK, self._document.as_json())

    def _conversations(self, call: RestCall) -> Response:
        since, size = (
            call.query.get("call_start_after_unix", "0"),
            call.query.get("page_size", "30"),
        )
        if not (since.isdecimal() and size.isdecimal() and 1 <= int(size) <= 100):
            return _invalid("query", "Input should be a valid integer")
        if call.query.get("agent_id", self._agent_id) != self._agent_id:
            return json_response(HTTPStatus.OK, Archive(self._agent_id).page(0, None, 1))
        page = self._archive.page(int(since), call.query.get("cursor"), int(size))
        return json_response(HTTPStatus.OK, page)

    def _conversation(self, call: RestCall) -> Response:
        account = self._archive.as_json(call.id)
        return _unknown_conversation() if account is None else json_response(HTTPStatus.OK, account)

    def _forget(self, call: RestCall) -> Response:
        if not self._archive.forget(call.id):
            return _unknown_conversation()
        return json_response(HTTPStatus.OK, {"status": "ok"})

    def _make_test(self, call: RestCall) -> Response:
        return _of_tests(lambda body: {"id": self._tests.make(body)}, call)

    def _run_tests(self, call: RestCall) -> Response:
        return _of_tests(self._tests.run, call)

    def _test_runs(self, call: RestCall) -> Response:
        runs = self._tests.told(call.id)
        return _unknown_test() if runs is None else json_response(HTTPStatus.OK, runs)

    def _forget_test(self, call: RestCall) -> Response:
        if not self._tests.forget(call.id):
            return _unknown_test()
        return json_response(HTTPStatus.OK, {})


def new_conversation_id(new_id: NewId) -> str:
    """`conv_` and letters and digits, as the real service's."""
    return f"conv_{new_id()[:24]}"


def refusal_of_body(status: HTTPStatus) -> Response:
    """The answer to a request whose body was not read."""
    return json_response(status, {"detail": status.phrase})


def _problem(status: HTTPStatus, code: str, message: str) -> Response:
    return json_response(status, {"detail": {"status": code, "message": message}})


def _unknown_agent() -> Response:
    return _problem(HTTPStatus.NOT_FOUND, "agent_not_found", "Agent not found")


def _unknown_conversation() -> Response:
    return _problem(HTTPStatus.NOT_FOUND, "conversation_not_found", "Conversation not found")


def _of_tests(answer: Callable[[Json], Mapping[str, object]], call: RestCall) -> Response:
    try:
        return json_response(HTTPStatus.OK, answer(json.loads(call.body)))
    except AnswerTestError as error:
        return _invalid(error.path, str(error))
    except (ValueError, RecursionError):
        return _invalid("body", "JSON decode error")


def _unknown_test() -> Response:
    return _problem(HTTPStatus.NOT_FOUND, "test_not_found", "Test not found")


def _invalid(path: str, message: str) -> Response:
    mistake = {"loc": path.split("."), "msg": message, "type": "value_error"}
    return json_response(HTTPStatus.UNPROCESSABLE_ENTITY, {"detail": [mistake]})


def _not_allowed(methods: Mapping[str, object] | list[str]) -> Response:
    answer = json_response(HTTPStatus.METHOD_NOT_ALLOWED, {"detail": "Method Not Allowed"})
    answer.headers["Allow"] = ", ".join(methods)
    return answer


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
