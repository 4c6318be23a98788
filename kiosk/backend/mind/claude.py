"""Mind that asks Claude, by Anthropic's own library."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
from pydantic import SecretStr

from kiosk.backend.mind.persona import Persona, instructions
from kiosk.backend.mind.port import MindError, MindTurn
from kiosk.convai.speech_engine import Said
from kiosk.errors import UnavailableError

if TYPE_CHECKING:
    import anthropic
    from anthropic.types import MessageParam, TextBlockParam

# Longer than anybody at a kiosk waits: the pacing has apologised before.
_ANSWERS_WITHIN_S = 20.0
# Whoever answers must be asked first: what stands for the visitor before the guide's greeting.
_ARRIVAL = "(A visitor has come.)"
# And after its own last words, when a tool of the agent's was called since.
_GO_ON = "(Please go on.)"
_REFUSED = "refusal"


class ClaudeMind:
    """Says what Claude says in a persona's place. The client stays the caller's to close."""

    def __init__(self, persona: Persona, client: "anthropic.AsyncAnthropic") -> None:
        self._persona = persona
        self._client = client
        self._system: list[TextBlockParam] = [{
            "type": "text", "text": instructions(persona), "cache_control": {"type": "ephemeral"},
        }]  # fmt: skip

    async def answer(self, turn: MindTurn) -> AsyncGenerator[str, None]:
        """Its text as it comes; what the persona says of the unknown where Claude refuses."""
        import anthropic

        model, said, stopped = self._persona.model, False, None
        try:
            async with self._client.messages.stream(
                model=model.name,
                max_tokens=model.most_tokens,
                system=self._system,
                messages=_messages(turn.talk),
            ) as stream:
                async for event in stream:
                    if event.type == "text" and event.text:
                        said = True
                        yield event.text
                    elif event.type == "message_delta":
                        stopped = event.delta.stop_reason
        except anthropic.APIStatusError as error:
            raise MindError(f"Claude's server answers {error.status_code}") from error
        except (anthropic.APIError, httpx2.HTTPError) as error:
            raise MindError(f"Claude's server cannot be had: {type(error).__name__}") from error
        if stopped is None:  # the library takes the end of the stream for the end of the answer
            raise MindError("Claude's server breaks off")
        if not said:
            if stopped != _REFUSED:
                raise MindError("Claude says nothing")
            yield self._persona.unknown


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
async def open_claude(persona: Persona, key: SecretStr) -> AsyncIterator[ClaudeMind]:
    """The mind for as long as the block; raises UnavailableError without Anthropic's library."""
    try:
        import anthropic
    except ImportError:
        raise UnavailableError(
            "a mind that asks Claude needs anthropic: pip install 'voice-kiosk[claude]'"
        ) from None
    async with anthropic.AsyncAnthropic(
        api_key=key.get_secret_value(),
        base_url=persona.model.base_url,
        timeout=_ANSWERS_WITHIN_S,
        max_retries=1,
    ) as client:
        yield ClaudeMind(persona, client)
