"""Failures of the provider, worded for whoever typed the command."""

from kiosk.backend.provider import client as provider
from kiosk.backend.settings import BackendSettings
from kiosk.errors import ConfigError, KioskError, UnavailableError


def for_the_operator(error: provider.ProviderError, settings: BackendSettings) -> KioskError:
    """The error to raise instead."""
    code = f" ({error.code})" if error.code else ""
    match error:
        case provider.KeyRefusedError():
            return ConfigError(
                f"{settings.provider_url} refuses the API key{code}: it needs the right to read "
                "and to change agents"
            )
        case provider.AgentUnknownError():
            return ConfigError(f"{settings.provider_url} knows no agent {settings.agent_id}{code}")
        case provider.QuotaError():
            return UnavailableError(f"{settings.provider_url} allows no more for now{code}")
        case provider.UnreachableError():
            return UnavailableError(f"{settings.provider_url} does not answer{code}")
        case _:
            return UnavailableError(f"{settings.provider_url} does not answer as expected{code}")
