"""Opening of the mind that the settings name."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pydantic import SecretStr

from kiosk.backend.mind.access import MindAccess
from kiosk.backend.mind.claude import open_claude
from kiosk.backend.mind.files import load_flow_or_persona
from kiosk.backend.mind.flow import Flow
from kiosk.backend.mind.pacing import Pace
from kiosk.backend.mind.scripted import ScriptedMind
from kiosk.backend.settings import MODEL_CREDENTIAL, PREFIX, BackendSettings
from kiosk.errors import ConfigError


@asynccontextmanager
async def open_mind(
    settings: BackendSettings,
    api_key: SecretStr,
    llm_secrets: Sequence[SecretStr],
    model_key: SecretStr | None,
) -> AsyncIterator[MindAccess | None]:
    """The access to it for as long as the block, None if there is none; raises ConfigError and
    UnavailableError."""
    made_of = load_flow_or_persona(settings.mind) if settings.mind else None
    if made_of is None:
        yield None
    elif isinstance(made_of, Flow):
        yield MindAccess(ScriptedMind(made_of), api_key, llm_secrets)
    elif model_key is None:
        raise ConfigError(
            f"no key for the model of {settings.mind}: give systemd the credential "
            f"{MODEL_CREDENTIAL}, or set {PREFIX}MODEL_KEY_FILE to a file that holds it"
        )
    else:
        async with open_claude(made_of, model_key) as mind:
            yield MindAccess(mind, api_key, llm_secrets, Pace(apology=made_of.apology))
