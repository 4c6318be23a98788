"""Scripted mind: a flow, word for word, without a model and without a network."""

from collections.abc import AsyncGenerator, Sequence

from kiosk.backend.mind.flow import Flow, standing
from kiosk.backend.mind.port import MindTurn
from kiosk.convai.speech_engine import Said


class ScriptedMind:
    """Says what its flow says."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow

    async def answer(self, turn: MindTurn) -> AsyncGenerator[str, None]:
        """All of it at once: there is nothing to wait for."""
        yield standing(self.flow, _answers(turn.talk)).says


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
