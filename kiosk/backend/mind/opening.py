"""Opening of the mind that the settings name."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from pydantic import SecretStr

from kiosk.backend.books.talks import Talks
from kiosk.backend.mind.careful import CarefulMind, ModelMind
from kiosk.backend.mind.chat_model import open_chat_model
from kiosk.backend.mind.claude import open_claude
from kiosk.backend.mind.files import load_flow, load_flow_or_persona
from kiosk.backend.mind.flow import Flow
from kiosk.backend.mind.memory import BookMemory
from kiosk.backend.mind.pacing import Pace
from kiosk.backend.mind.persona import Brief, brief
from kiosk.backend.mind.port import Mind
from kiosk.backend.mind.scripted import ScriptedMind
from kiosk.backend.mind.spending import Spending, Spent, Tokens
from kiosk.backend.settings import MODEL_CREDENTIAL, PREFIX
from kiosk.errors import ConfigError


@dataclass(frozen=True, slots=True)
class OpenedMind:
    """A mind, the first message that goes with it, and its pace."""

    mind: Mind
    greeting: str | None = None
    pace: Pace = field(default_factory=Pace)
    makes_handouts: bool = False


_Opener: TypeAlias = Callable[[Brief, SecretStr, Spent], AbstractAsyncContextManager[ModelMind]]
_MODELS: Mapping[str, _Opener] = {"anthropic": open_claude, "openai": open_chat_model}


@asynccontextmanager
async def open_mind(
    name_or_path: str,
    model_key: SecretStr | None,
    spent: Callable[[str, int], None],
    talks: Talks | None = None,
) -> AsyncIterator[OpenedMind]:
    """The mind of a flow or a persona for as long as the block; `spent` is told how many tokens of
    which kind its model took, `talks` is where a flow's are remembered. Raises ConfigError and
    UnavailableError."""
    made_of = load_flow_or_persona(name_or_path)
    if isinstance(made_of, Flow):
        made = made_of.handout
        memory = None if talks is None else BookMemory(talks, made.hours if made else 0)
        scripted = ScriptedMind(made_of, memory)
        yield OpenedMind(scripted, made_of.greeting, makes_handouts=made is not None)
        return
    instead = None if made_of.instead is None else ScriptedMind(load_flow(made_of.instead))
    spending = Spending(made_of.budget)
    pace = Pace(apology=made_of.apology)

    def count(conversation_id: str, took: Tokens) -> None:
        spending.add(conversation_id, took, _today())
        for kind, tokens in asdict(took).items():
            spent(kind, tokens)

    async with _open_model(brief(made_of), model_key, count) as model:
        careful = CarefulMind(model, spending, instead, pace.apology_after_s, _today)
        yield OpenedMind(careful, made_of.greeting, pace)


@asynccontextmanager
async def open_judge(
    name_or_path: str, model_key: SecretStr | None, instructions: str
) -> AsyncIterator[Mind | None]:
    """The model of a persona, told to judge, for as long as the block; None for a flow, which has
    no model. Raises ConfigError and UnavailableError."""
    made_of = load_flow_or_persona(name_or_path)
    if isinstance(made_of, Flow):
        yield None
        return
    told = Brief(made_of.model, instructions, refusal="no")
    async with _open_model(told, model_key, lambda *_: None) as judge:
        yield judge


def _open_model(
    told: Brief, key: SecretStr | None, spent: Spent
) -> AbstractAsyncContextManager[ModelMind]:
    if key is None:
        raise ConfigError(
            f"no key for the model {told.model.name}: give systemd the credential "
            f"{MODEL_CREDENTIAL}, or set {PREFIX}MODEL_KEY_FILE to a file that holds it"
        )
    return _MODELS[told.model.provider](told, key, spent)


def _today() -> int:
    return datetime.now(UTC).toordinal()
