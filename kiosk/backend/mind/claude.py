"""Mind that asks Claude, by Anthropic's own library."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx2
from pydantic import SecretStr

from kiosk.backend.mind.persona import ANSWERS_WITHIN_S, SENSELESS, Brief
from kiosk.backend.mind.port import MindError, MindTurn
from kiosk.backend.mind.spending import CHARACTERS_PER_TOKEN, Spent, Tokens
from kiosk.convai.speech_engine import Said
from kiosk.errors import UnavailableError

if TYPE_CHECKING:
    import anthropic
    from anthropic.types import MessageParam, TextBlockParam, Usage

# Whoever answers must be asked first: what stands for the visitor before the guide's greeting.
_ARRIVAL = "(A visitor has come.)"
# And after its own last words, when a tool of the agent's was called since.
_GO_ON = "(Please go on.)"
_ENDED, _REFUSED = "end_turn", "refusal"


class ClaudeMind:
    """Says what Claude says by its brief. The client stays the caller's to close; `spent`
    is told what each answer took."""

    def __init__(self, brief: Brief, client: "anthropic.AsyncAnthropic", spent: Spent) -> None:
        self._brief = brief
        self._client = client
        self._spent = spent
        self._system: list[TextBlockParam] = [{
            "type": "text", "text": brief.instructions, "cache_control": {"type": "ephemeral"},
        }]  # fmt: skip

    def answer(self, turn: MindTurn) -> AsyncGenerator[str, None]:
        """Its text as it comes; what the brief says instead where Claude refuses."""
        return self.ask(turn, lambda: None)

    async def ask(self, turn: MindTurn, whole: Callable[[], None]) -> AsyncGenerator[str, None]:
        """The same; `whole` is called at the end of one that Claude itself brought to an end."""
        import anthropic

        model, said, stopped = self._brief.model, 0, None
        took = Tokens()
        try:
            async with self._client.messages.stream(
                model=model.name,
                max_tokens=model.most_tokens,
                system=self._system,
                messages=_messages(turn.talk),
            ) as stream:
                async for event in stream:
                    if event.type == "text" and event.text:
                        said += len(event.text)
                        yield event.text
                    elif event.type == "message_start":
                        took = _read(event.message.usage)
                    elif event.type == "message_delta":
                        stopped = event.delta.stop_reason
                        took = replace(took, written=event.usage.output_tokens)
        except anthropic.APIStatusError as error:
            raise MindError(f"Claude's server answers {error.status_code}") from error
        except (anthropic.APIError, httpx2.HTTPError) as error:
            raise MindError(f"Claude's server cannot be had: {type(error).__name__}") from error
        except SENSELESS as error:
            raise MindError(f"Claude's server makes no sense: {type(error).__name__}") from error
        finally:
            # One that was cut was not counted to its end.
            written = max(took.written, said // CHARACTERS_PER_TOKEN)
            self._spent(turn.conversation_id, replace(took, written=written))
        if stopped is None:  # the library takes the end of the stream for the end of the answer
            raise MindError("Claude's server breaks off")
        if not said:
            if stopped != _REFUSED:
                raise MindError("Claude says nothing")
            yield self._brief.refusal
        if stopped == _ENDED:
            whole()


def _read(usage: "Usage") -> Tokens:
    """What it read before its first word; what it wrote in the end it tells at the end."""
    read = usage.input_tokens + (usage.cache_creation_input_tokens or 0)
    return Tokens(read, usage.cache_read_input_tokens or 0, usage.output_tokens)


def _messages(talk: Sequence[Said]) -> list["MessageParam"]:
    """The talk as Claude takes it: visitors begin and end it, and no turn is empty."""
    messages: list[MessageParam] = []
    for said in talk:
        if not said.content.strip():
            continue
        if said.role == "agent":
            if not messages:
                messages.append({"role": "user", "content": _ARRIVAL})
            messages.append({"role": "assistant", "content": said.content.strip()})
        else:
            messages.append({"role": "user", "content": said.content})
    if messages and messages[-1]["role"] == "assistant":
        messages.append({"role": "user", "content": _GO_ON})
    return messages


@asynccontextmanager
async def open_claude(brief: Brief, key: SecretStr, spent: Spent) -> AsyncIterator[ClaudeMind]:
    """The mind for as long as the block; raises UnavailableError without Anthropic's library."""
    try:
        import anthropic
    except ImportError:
        raise UnavailableError(
            "a mind that asks Claude needs anthropic: pip install 'voice-kiosk[models]'"
        ) from None
    async with anthropic.AsyncAnthropic(
        api_key=key.get_secret_value(),
        base_url=brief.model.base_url,
        timeout=ANSWERS_WITHIN_S,
        max_retries=1,
    ) as client:
        yield ClaudeMind(brief, client, spent)
