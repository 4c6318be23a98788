"""Mind that asks a model by OpenAI's chat completions, with their own library: OpenAI's, or one of
the many servers that speak as they do."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
from pydantic import SecretStr

from kiosk.backend.mind.persona import ANSWERS_WITHIN_S, Brief
from kiosk.backend.mind.port import MindError, MindTurn
from kiosk.backend.mind.spending import Spent, Tokens
from kiosk.convai.speech_engine import Role, Said
from kiosk.errors import UnavailableError

if TYPE_CHECKING:
    import openai
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletionMessageParam

# Their own newest models know only the newer name of the limit, and others only the older.
_THEIRS = "https://api.openai.com/"
_LIMITS: Mapping[bool, str] = {True: "max_completion_tokens", False: "max_tokens"}
_ROLES: Mapping[Role, str] = {"user": "user", "agent": "assistant"}


class ChatModelMind:
    """Says what a model says by its brief. The client stays the caller's to close; `spent`
    is told what each answer took."""

    def __init__(self, brief: Brief, client: "openai.AsyncOpenAI", spent: Spent) -> None:
        self._brief = brief
        self._client = client
        self._spent = spent
        limit = _LIMITS[brief.model.base_url.startswith(_THEIRS)]
        self._limit = {limit: brief.model.most_tokens}

    async def answer(self, turn: MindTurn) -> AsyncGenerator[str, None]:
        """Its text as it comes; what the brief says instead where the model refuses."""
        import openai

        said, stopped, took = False, None, Tokens()
        try:
            async with await self._client.chat.completions.create(
                model=self._brief.model.name,
                messages=self._messages(turn.talk),
                stream=True,
                stream_options={"include_usage": True},
                extra_body=self._limit,
            ) as stream:
                async for chunk in stream:
                    took = took if chunk.usage is None else _tokens(chunk.usage)
                    for choice in chunk.choices[:1]:
                        stopped = choice.finish_reason or stopped
                        if choice.delta.content:
                            said = True
                            yield choice.delta.content
        except openai.APIStatusError as error:
            raise MindError(f"the model's server answers {error.status_code}") from error
        except (openai.APIError, httpx2.HTTPError, ValueError) as error:
            # ValueError: a line of the stream is not JSON.
            raise MindError(f"the model's server cannot be had: {type(error).__name__}") from error
        finally:
            self._spent(turn.conversation_id, took)
        if stopped is None:  # the library takes the end of the stream for the end of the answer
            raise MindError("the model's server breaks off")
        if not said:
            if stopped != "content_filter":
                raise MindError("the model says nothing")
            yield self._brief.refusal

    def _messages(self, talk: Sequence[Said]) -> list["ChatCompletionMessageParam"]:
        """The talk as the model takes it; no turn of it is empty."""
        told: list[Mapping[str, str]] = [
            {"role": "system", "content": self._brief.instructions},
            *(
                {"role": _ROLES[said.role], "content": said.content}
                for said in talk
                if said.content.strip()
            ),
        ]
        return told  # type: ignore[return-value]  # the library has a type for each role


def _tokens(usage: "CompletionUsage") -> Tokens:
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens if details else 0) or 0
    return Tokens(usage.prompt_tokens - cached, cached, usage.completion_tokens)


@asynccontextmanager
async def open_chat_model(
    brief: Brief, key: SecretStr, spent: Spent
) -> AsyncIterator[ChatModelMind]:
    """The mind for as long as the block; raises UnavailableError without OpenAI's library."""
    try:
        import openai
    except ImportError:
        raise UnavailableError(
            "a mind that asks a model needs openai: pip install 'voice-kiosk[models]'"
        ) from None
    async with openai.AsyncOpenAI(
        api_key=key.get_secret_value(),
        base_url=brief.model.base_url,
        timeout=ANSWERS_WITHIN_S,
        max_retries=1,
    ) as client:
        yield ChatModelMind(brief, client, spent)
