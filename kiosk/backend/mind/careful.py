"""Mind that is careful with a model: it does not ask twice what is asked often, spends no more than
its budget, and lets a script answer while the model fails."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from kiosk.backend.mind.common_answers import CommonAnswers
from kiosk.backend.mind.port import Mind, MindError, MindTurn
from kiosk.backend.mind.spending import Spending
from kiosk.base.clock import loop_now_s

# So many failures in a row, whoever asked; then one question tries again, each time after so long.
_FAILURES = 3
_TRIES_AGAIN_S = 30.0


class ModelMind(Mind, Protocol):
    """Mind that is asked with care."""

    def ask(self, turn: MindTurn, whole: Callable[[], None]) -> AsyncGenerator[str, None]:
        """As a mind answers; `whole` is called at the end of an answer that is complete, and not
        cut short or refused."""
        ...


class CarefulMind:
    """Asks `model` where it may, and else `instead`, if there is one. `late_s`: without a word for
    so long, the model has failed, though whoever asked has gone."""

    def __init__(
        self,
        model: ModelMind,
        spending: Spending,
        instead: Mind | None,
        late_s: float,
        today: Callable[[], int],
    ) -> None:
        self._model = model
        self._spending = spending
        self._instead = instead
        self._late_s = late_s
        self._today = today
        self._common = CommonAnswers()
        self._failures = 0
        self._tries_at_s = 0.0

    async def answer(self, turn: MindTurn) -> AsyncGenerator[str, None]:
        """The model's pieces, what it said to the same words before, or the script's."""
        if (known := self._common.find(turn.talk)) is not None:
            yield known
            return
        script = self._instead
        refused = self._spending.refuses(turn.conversation_id, self._today())
        if script is None:
            if refused:
                raise MindError(refused)
            stream = self._ask_model(turn)
        elif refused or self._rests():
            stream = script.answer(turn)
        else:
            stream = self._ask_either(turn, script)
        async with contextlib.aclosing(stream) as pieces:
            async for piece in pieces:
                yield piece

    async def _ask_either(self, turn: MindTurn, script: Mind) -> AsyncGenerator[str, None]:
        said = False
        try:
            async with contextlib.aclosing(self._ask_model(turn)) as pieces:
                async for piece in pieces:
                    said = True
                    yield piece
        except MindError:
            if said or self._failures < _FAILURES:
                raise
        else:
            return
        async with contextlib.aclosing(script.answer(turn)) as pieces:
            async for piece in pieces:
                yield piece

    async def _ask_model(self, turn: MindTurn) -> AsyncGenerator[str, None]:
        said: list[str] = []
        wholes: list[bool] = []
        waits_since_s: float | None = loop_now_s()  # None: whoever asked is waited for
        try:
            async with contextlib.aclosing(
                self._model.ask(turn, lambda: wholes.append(True))
            ) as pieces:
                async for piece in pieces:
                    said.append(piece)
                    waits_since_s = None
                    yield piece
                    waits_since_s = loop_now_s()
        except MindError:
            self._failed()
            raise
        except (asyncio.CancelledError, GeneratorExit):
            if waits_since_s is not None and loop_now_s() - waits_since_s >= self._late_s:
                self._failed()
            raise
        self._failures = 0
        if wholes:
            self._common.keep(turn.talk, "".join(said))

    def _failed(self) -> None:
        self._failures += 1
        self._tries_at_s = loop_now_s() + _TRIES_AGAIN_S

    def _rests(self) -> bool:
        """Whether the model is left alone; one that asks all the same keeps others from it."""
        if self._failures < _FAILURES:
            return False
        if loop_now_s() < self._tries_at_s:
            return True
        self._tries_at_s = loop_now_s() + _TRIES_AGAIN_S
        return False
