"""Trial of an agent: a conversation without a visitor, closed when it is open."""

import asyncio
import logging
from dataclasses import dataclass
from typing import TypeVar

from kiosk.base.clock import loop_now_s
from kiosk.contract import EndVisit, conversation_id
from kiosk.convai.client_messages import Initiation
from kiosk.convai.conversation import ClientConversation, Connected, Refused
from kiosk.convai.frames import serialize
from kiosk.endings import Kind
from kiosk.errors import CredentialError
from kiosk.link.account import DeniedError
from kiosk.link.credentials import Credentials, Opening
from kiosk.link.roads import connect
from kiosk.link.transport import (
    ConnectError,
    HandshakeRefusedError,
    Transport,
    TransportClosedError,
)
from kiosk.visit.initiation import initiation_of

log = logging.getLogger(__name__)

_LIMIT_S = 15.0
# The service accepts first and looks then: so long after it what it refuses is refused.
_REFUSES_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it: whether the agent would listen to a visitor now, None: it could not be
    tried; `why` it is not well, in words for the operator; and how long it took."""

    well: bool | None
    why: str = ""
    took_s: float = 0.0


async def try_agent(credentials: Credentials, initiation: Initiation, press_id: str) -> Trial:
    """Open a conversation, and close it."""
    try:
        opening = await credentials.take(press_id)
    except CredentialError as error:
        log.info("the agent was not tried: %s", error)
        return Trial(None, str(error))
    began_s = loop_now_s()
    core = ClientConversation()
    well: bool | None = False
    why = ""
    try:
        async with asyncio.timeout(_LIMIT_S):
            await credentials.spend(opening, press_id)
            refused = await _refusal(opening, initiation, core)
            well, why = refused is None, refused or ""
    except DeniedError as error:
        log.info("the agent was not tried: %s", error)
        well, why = None, f"the backend lets no visit begin: {error}"
    except (ConnectError, HandshakeRefusedError, TransportClosedError) as error:
        log.info("the agent was tried in vain: %s", error)
        why = str(error)
        if isinstance(error, HandshakeRefusedError):
            credentials.refused(opening)  # what it opened with may be why
    except TimeoutError:
        why = f"no conversation in {_LIMIT_S:g} s"
        log.info("the agent was tried in vain: %s", why)
    finally:
        account = EndVisit(
            press_id=press_id,
            outcome=Kind.TRIAL,
            duration_s=loop_now_s() - began_s,
            conversation_id=conversation_id(core.conversation_id),
        )
        credentials.account_for(opening, account)
    return Trial(well, why, loop_now_s() - began_s)


async def _refusal(
    opening: Opening, initiation: Initiation, core: ClientConversation
) -> str | None:
    """Why the conversation cannot be held; None if it can."""
    transport = await connect(opening)
    try:
        await transport.send(serialize(initiation_of(initiation, opening)))
        await _first(Connected, transport, core)
        try:
            async with asyncio.timeout(_REFUSES_WITHIN_S):
                refused = await _first(Refused, transport, core)
        except TimeoutError:
            return None
        return f"{refused.ending.kind} {refused.ending.detail}".strip()
    finally:
        await transport.close()


E = TypeVar("E", Connected, Refused)


async def _first(kind: type[E], transport: Transport, core: ClientConversation) -> E:
    """The first such event; raises TransportClosedError."""
    while True:
        for event in core.receive(await transport.receive(), loop_now_s()):
            if isinstance(event, kind):
                return event
