"""`python -m tests.integration.far_visit LOSS ONE_WAY_S`: a visit over such a link; prints the
verdict on it as JSON. In a network namespace of its own."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from kiosk.convai.server_messages import AgentAudio, AgentResponse, UserTranscript
from kiosk.ops.control import request
from kiosk.visit.states import State
from tests.convai_server import scripted_server
from tests.far_network import FAR, NEAR, far_network
from tests.integration.sounds import quiet_room
from tests.virtual_kiosk import settings, virtual_kiosk

_TALK_S = 12.0
_SECOND = bytes(range(100, 132)) * 1000


async def visit(directory: Path) -> None:
    async with scripted_server(NEAR) as server:
        its = settings(directory, server.url.replace(NEAR, FAR))
        async with virtual_kiosk(its, quiet_room(noise_dbfs=-60.0)) as kiosk:
            kiosk.button.press()
            await kiosk.state(State.LISTENING)
            connection = await server.connection()
            await connection.send(
                UserTranscript("where is the exit", 1),
                AgentResponse("Over there.", 1),
                AgentAudio(_SECOND, 1),
            )
            await asyncio.sleep(_TALK_S)
            await asyncio.to_thread(request, its.control.socket, "end")
            await kiosk.state(State.IDLE)
            why = await asyncio.to_thread(request, its.control.socket, "why")
    print(json.dumps(why))


def main(loss: str, one_way_s: str) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="kiosk-") as name,
        far_network(float(loss), float(one_way_s)),
    ):
        asyncio.run(visit(Path(name)))


if __name__ == "__main__":
    main(*sys.argv[1:])
