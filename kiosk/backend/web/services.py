"""Services that the routes work with, and how they get at them. No logic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from pydantic import SecretStr

from kiosk.backend.books.costs import Month
from kiosk.backend.books.store import Store
from kiosk.backend.characters.character import Character
from kiosk.backend.mind.access import MindAccess
from kiosk.backend.provider.client import Provider
from kiosk.backend.web.metrics import Metrics
from kiosk.backend.web.strangers import Strangers
from kiosk.backend.web.stream import Hub


@dataclass(frozen=True, slots=True)
class Services:
    """Made once by the server; the routes keep nothing of their own."""

    store: Store
    provider: Provider
    characters: Mapping[str, Character] = field(default_factory=dict)
    webhook_secrets: Sequence[SecretStr] = ()
    store_transcripts: bool = False
    hub: Hub = field(default_factory=Hub)
    metrics: Metrics = field(default_factory=Metrics)
    mind: MindAccess | None = None
    strangers: Strangers = field(default_factory=Strangers)
    monthly_budget: int = 0  # credits, of each tenant; 0: none
    # By tenant, as the upkeep reckoned last: too many visits for every look at the page.
    months: dict[str, Month] = field(default_factory=dict)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Here = Annotated[Services, Depends(_services)]
