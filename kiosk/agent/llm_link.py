"""Link to a mind that is asked as the service asks a custom LLM: a request for each answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import httpx2

from kiosk.convai.custom_llm import AnswerError, Form, read_piece, write_question
from kiosk.convai.speech_engine import Said
from kiosk.errors import UnavailableError

# The service's own patience with a model.
ANSWERS_WITHIN_S = 20.0
_CONNECTS_WITHIN_S = 5.0


class LlmLink:
    """A conversation's. `url` ends with the form's name; whoever is cancelled hangs up."""

    def __init__(
        self, client: httpx2.AsyncClient, url: str, secret: str, user_id: str = ""
    ) -> None:
        self._client = client
        self._url = url
        self._secret = secret
        self._user_id = user_id
        self._form = Form.RESPONSES if url.endswith("/responses") else Form.CHAT_COMPLETIONS

    async def answer(self, talk: Sequence[Said]) -> str:
        """The whole answer to the talk's last turn; raises UnavailableError if there is none."""
        text = ""
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                async for data in self._asked(talk):
                    piece = read_piece(data)
                    text += piece.text
                    if piece.is_last:
                        return text.strip()
        except (TimeoutError, httpx2.HTTPError, AnswerError) as error:
            raise UnavailableError(f"the mind does not answer: {error}") from error
        raise UnavailableError("the mind breaks off")

    async def _asked(self, talk: Sequence[Said]) -> AsyncIterator[str]:
        """The data of the server-sent events."""
        async with self._client.stream(
            "POST",
            self._url,
            json=write_question(talk, self._form, self._user_id),
            headers={"Authorization": f"Bearer {self._secret}"},
        ) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    yield line[5:].strip()


def llm_client() -> httpx2.AsyncClient:
    """A client for one link, to be closed by the caller."""
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(ANSWERS_WITHIN_S, connect=_CONNECTS_WITHIN_S), trust_env=False
    )
