"""Mind that asks a model by OpenAI's chat completions, with their own library: OpenAI's, or one of
the many servers that speak as they do."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
from pydantic import SecretStr

from kiosk.backend.mind.persona import ANSWERS_WITHIN_S, SENSELESS, Brief
from kiosk.backend.mind.port import MindError, MindTurn
from kiosk.backend.mind.spending import CHARACTERS_PER_TOKEN, Spent, Tokens
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

    def answer(self, turn: MindTurn) -> AsyncGenerator[str, None]:
        """Its text as it comes; what the brief says instead where the model refuses."""
        return self.ask(turn, lambda: None)

    async def ask(self, turn: MindTurn, whole: Callable[[], None]) -> AsyncGenerator[str, None]:
        """The same; `whole` is called at the end of one that the model itself brought to an end."""
        import openai

        messages = self._messages(turn.talk)
        said, stopped = 0, None
        took: Tokens | None = Tokens()  # nothing, until the model has taken the question
        try:
            async with await self._client.chat.completions.create(
                model=self._brief.model.name,
                messages=messages,
                stream=True,
                stream_options={"include_usage": True},
                extra_body=self._limit,
            ) as stream:
                took = None
                async for chunk in stream:
                    took = took if chunk.usage is None else _tokens(chunk.usage)
                    for choice in (chunk.choices or [])[:1]:
                        stopped = choice.finish_reason or stopped
                        text = getattr(choice.delta, "content", None)
                        if text:
                            said += len(text)
                            yield text
        except openai.APIStatusError as error:
            raise MindError(f"the model's server answers {error.status_code}") from error
        except (openai.APIError, httpx2.HTTPError) as error:
            raise MindError(f"the model's server cannot be had: {type(error).__name__}") from error
        except SENSELESS as error:  # also a line that is not JSON
            raise MindError(f"the model's server makes no sense: {type(error).__name__}") from error
        finally:
            took = _guessed(messages, said) if took is None else took
            self._spent(turn.conversation_id, took)
        if stopped is None:  # the library takes the end of the stream for the end of the answer
            raise MindError("the model's server breaks off")
        if not said:
            if stopped != "content_filter":
                raise MindError("the model says nothing")
            yield self._brief.refusal
        if stopped == "stop":
            whole()

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


def _tokens(usage: "CompletionUsage") -> Tokens | None:
    """None: nothing that can be counted. Others than OpenAI leave out what they like."""
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens if details else 0) or 0
    read, written = usage.prompt_tokens or 0, usage.completion_tokens or 0
    if read + written <= 0:
        return None
    return Tokens(max(0, read - cached), max(0, cached), max(0, written))


def _guessed(messages: Sequence["ChatCompletionMessageParam"], said: int) -> Tokens:
    """Of an answer that was cut before it was counted, or that nobody counts: it cost all the
    same."""
    asked = sum(len(str(message.get("content", ""))) for message in messages)
    return Tokens(read=asked // CHARACTERS_PER_TOKEN, written=said // CHARACTERS_PER_TOKEN)


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
