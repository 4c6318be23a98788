"""Scripted mind: a flow, word for word, without a model and without a network."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from kiosk.backend.mind.flow import Flow, handout, standing
from kiosk.backend.mind.port import MindTurn
from kiosk.convai.fields import Json
from kiosk.convai.speech_engine import Said


class TalkMemory(Protocol):
    """Who remembers where talks stand. It lets nobody wait for long, and never fails: what it does
    not know is None, what it cannot keep is lost."""

    async def recall(self, conversation_id: str) -> Mapping[str, Json] | None:
        """How the talk stood where an earlier conversation of the same visit broke off."""
        ...

    async def keep(
        self,
        conversation_id: str,
        standing: Mapping[str, Json],
        handout: Mapping[str, Json] | None,
    ) -> None:
        """How it stands now, and what was made for the visitor, if anything."""
        ...


class ScriptedMind:
    """Says what its flow says. Without a memory each conversation begins at its beginning."""

    def __init__(self, flow: Flow, memory: TalkMemory | None = None) -> None:
        self.flow = flow
        self._memory = memory

    async def answer(self, turn: MindTurn) -> AsyncGenerator[str, None]:
        """All of it at once: there is nothing to wait for but the memory."""
        before = None
        if self._memory is not None:
            before = await self._memory.recall(turn.conversation_id)
        now = standing(self.flow, _answers(turn.talk), before)
        if self._memory is not None and now.sums_up:  # what is spoken of is there
            made = handout(self.flow, now.told)
            await self._memory.keep(turn.conversation_id, now.as_json(self.flow), made)
        yield now.says
        if self._memory is not None and not now.sums_up:
            await self._memory.keep(turn.conversation_id, now.as_json(self.flow), None)


def _answers(talk: Sequence[Said]) -> list[str]:
    """The visitor's, each whole: of one that was cut short and went on, the agent said nothing in
    between."""
    answers: list[str] = []
    before = None
    for said in talk:
        if said.role == "user" and before == "user":
            answers[-1] += f" {said.content}"
        elif said.role == "user":
            answers.append(said.content)
        before = said.role
    return answers
