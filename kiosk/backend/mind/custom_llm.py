"""Door of a custom LLM: the service asks for each answer by itself, in either of OpenAI's forms.

It shows a secret that an operator gave it. When a visitor speaks over an answer, the service hangs
up: what stands behind the answer is cancelled then, and nothing more of it is made.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from kiosk.backend.mind.access import MindAccess
from kiosk.backend.mind.pacing import Told, paced
from kiosk.backend.mind.port import MindTurn
from kiosk.backend.web.problems import UnauthorizedError, UnusableError
from kiosk.backend.web.services import Here, Services
from kiosk.contract import CHAT_COMPLETIONS_PATH, GUIDES_LLM_PATH, RESPONSES_PATH
from kiosk.convai import custom_llm as wire

log = logging.getLogger(__name__)

# A whole talk, its instructions and its tools, again with each turn of the visitor's.
LARGEST_QUESTION_BYTES = 1 << 20

routes = APIRouter()


class _Streamed(StreamingResponse):
    """Server-sent events, given up when whoever asked has gone."""

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self.stream_response(send), name="answer")
        gone = asyncio.create_task(self.listen_for_disconnect(receive), name="gone")
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            gone.cancel()
            await asyncio.wait((sending, gone))
            await self._events.aclose()
        if not sending.cancelled():
            sending.result()


@routes.post(CHAT_COMPLETIONS_PATH, include_in_schema=False)
async def chat_completions(request: Request, services: Here) -> StreamingResponse:
    """Answer in the form of OpenAI's chat completions."""
    return await _answer(request, services, wire.Form.CHAT_COMPLETIONS)


@routes.post(RESPONSES_PATH, include_in_schema=False)
async def responses(request: Request, services: Here) -> StreamingResponse:
    """Answer in the form of OpenAI's responses."""
    return await _answer(request, services, wire.Form.RESPONSES)


@routes.post(GUIDES_LLM_PATH, include_in_schema=False)
async def guides_webhook(request: Request, services: Here) -> JSONResponse:
    """Answer in the form of a widely read guide, whole: the service asks in neither this form nor
    this place, but what was built by that guide does."""
    access = _let_in(request, services)
    with _usable():
        question, variables = wire.read_guides_question(await request.body())
    with access.counted():
        whole = replace(access.pace, filler="")  # of which nothing comes before the rest
        pieces = paced(access.mind, MindTurn(question.talk), whole, services.metrics.mind)
        async with contextlib.aclosing(pieces):
            text = "".join([piece async for piece in pieces])
    return JSONResponse(wire.write_guides_answer(text, variables))


def _let_in(request: Request, services: Services) -> MindAccess:
    """The access to the mind, for one who may ask and for whom there is room."""
    access = services.mind
    if access is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    if not access.knows_llm(request.headers.get("Authorization", "")):
        raise UnauthorizedError
    if access.is_full:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE)
    return access


@contextlib.contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except wire.QuestionError as error:
        log.warning("a question to the mind cannot be used: %s", error)
        raise UnusableError from None


async def _answer(request: Request, services: Services, form: wire.Form) -> StreamingResponse:
    access = _let_in(request, services)
    with _usable():
        question = wire.read_question(await request.body(), form)
    writer = wire.answer_writer(form, secrets.token_hex(12), question.model, time.time())
    return _Streamed(_events(access, question, writer, services.metrics.mind))


async def _events(
    access: MindAccess, question: wire.Question, writer: wire.AnswerWriter, told: Told
) -> AsyncGenerator[str, None]:
    turn = MindTurn(question.talk, kiosk=question.user_id)
    with access.counted():
        yield writer.begin()
        async with contextlib.aclosing(paced(access.mind, turn, access.pace, told)) as pieces:
            async for piece in pieces:
                yield writer.piece(piece)
        yield writer.end()
