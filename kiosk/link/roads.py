"""Roads to the agent: which one an opening takes. A road's library is imported when it is taken."""

from kiosk.link.credentials import Opening
from kiosk.link.transport import Transport
from kiosk.link.websocket import connect as open_socket


async def connect(opening: Opening) -> Transport:
    """Open a conversation's transport; the caller sets the deadline.

    Raises ConnectError and HandshakeRefusedError, whose texts name no secret. Cancelled in the
    middle it closes what was about to open, within `CLOSE_TIMEOUT_S`.
    """
    if opening.rooms is None:
        return await open_socket(opening.url)
    from kiosk.link.webrtc import connect as join_room

    return await join_room(opening.rooms, opening.token)
