"""Trial of an agent that failed: a conversation without a visitor, closed when it is open."""

import asyncio
import logging

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


async def try_agent(credentials: Credentials, initiation: Initiation, press_id: str) -> bool | None:
    """Whether the agent would listen to a visitor now; None: it could not be tried."""
    try:
        opening = await credentials.take(press_id)
    except CredentialError as error:
        log.info("the agent was not tried: %s", error)
        return None
    began_s = loop_now_s()
    core = ClientConversation()
    well: bool | None = False
    try:
        async with asyncio.timeout(_LIMIT_S):
            await credentials.spend(opening, press_id)
            well = await _opens(opening, initiation, core)
    except DeniedError as error:
        log.info("the agent was not tried: %s", error)
        well = None
    except (ConnectError, HandshakeRefusedError, TransportClosedError, TimeoutError) as error:
        log.info("the agent was tried in vain: %s", error)
        if isinstance(error, HandshakeRefusedError):
            credentials.refused(opening)  # what it opened with may be why
    finally:
        account = EndVisit(
            press_id=press_id,
            outcome=Kind.TRIAL,
            duration_s=loop_now_s() - began_s,
            conversation_id=conversation_id(core.conversation_id),
        )
        credentials.account_for(opening, account)
    return well


async def _opens(opening: Opening, initiation: Initiation, core: ClientConversation) -> bool:
    transport = await connect(opening)
    try:
        await transport.send(serialize(initiation_of(initiation, opening)))
        while not await _next_of(Connected, transport, core):
            pass
        try:
            async with asyncio.timeout(_REFUSES_WITHIN_S):
                while not await _next_of(Refused, transport, core):
                    pass
        except TimeoutError:
            return True
        return False
    finally:
        await transport.close()


async def _next_of(
    kind: type[Connected] | type[Refused], transport: Transport, core: ClientConversation
) -> bool:
    """Whether the next frame has such an event; raises TransportClosedError."""
    events = core.receive(await transport.receive(), loop_now_s())
    return any(isinstance(event, kind) for event in events)
