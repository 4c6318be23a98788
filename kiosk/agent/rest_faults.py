"""Faults of REST requests and handshakes, before there is a conversation."""

from collections.abc import Iterable
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Response

from kiosk.agent import scenario as script
from kiosk.agent.client_wire import VANISHED_FOR_S, wait_while_open
from kiosk.agent.rest import json_response

_HANDSHAKE_S = 10.0
# Longer than all but the account of a long conversation.
_ANSWER_BYTES = 8000


class _Sent(Response):
    """An answer whose bytes are out already, or never come."""

    def serialize(self) -> bytes:
        return b""


def handshake_timeout_s(steps: Iterable[script.Step]) -> float:
    """How long requests and handshakes may take if these steps hold them."""
    timeout_s = _HANDSHAKE_S
    for step in steps:
        match step:
            case script.Delay(on="request" | "upgrade", for_s=for_s):
                timeout_s += for_s
            case script.Vanish(on="request" | "upgrade"):
                timeout_s += VANISHED_FOR_S
            case script.SlowBody(byte_s=byte_s):
                timeout_s += byte_s * _ANSWER_BYTES
            case _:
                pass
    return timeout_s


async def answer_badly(
    steps: Iterable[script.Step], answer: Response | None, connection: ServerConnection
) -> Response | None:
    """The answer to a request as the script changes it; None lets a handshake through."""
    for step in steps:
        match step:
            case script.Delay(for_s=for_s):
                await wait_while_open(connection, for_s)
            case script.Respond(status=status, reason=reason):
                detail = {"status": reason, "message": "so the scenario wants it"}
                answer = json_response(HTTPStatus(status), {"detail": detail})
            case script.TruncatedBody() if answer is not None:
                answer.body = answer.body[: len(answer.body) // 2]
            case script.SlowBody(byte_s=byte_s) if answer is not None:
                await _drip(answer, byte_s, connection)
                answer = _Sent(answer.status_code, answer.reason_phrase, answer.headers, b"")
            case script.Reset():
                return _cut(connection)
            case script.Vanish():
                connection.transport.pause_reading()
                await wait_while_open(connection, VANISHED_FOR_S)
                return _cut(connection)
            case _:
                pass
    return answer


def _cut(connection: ServerConnection) -> Response:
    """Cut the TCP connection; a refusal that nobody gets ends the handshake quietly."""
    connection.transport.abort()
    gone = HTTPStatus.SERVICE_UNAVAILABLE
    return _Sent(gone.value, gone.phrase, Headers(), b"")


async def _drip(answer: Response, byte_s: float, connection: ServerConnection) -> None:
    head = len(answer.serialize()) - len(answer.body)
    whole = answer.serialize()
    connection.transport.write(whole[:head])
    for at in range(head, len(whole)):
        if connection.transport.is_closing():
            return
        connection.transport.write(whole[at : at + 1])
        await wait_while_open(connection, byte_s)
