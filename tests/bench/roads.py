"""The two roads side by side, on a network that loses packets: when a word reaches the agent.

In a network of the bench's own, without delay: over the WebSocket what is lost is sent again within
a fifth of a second at best. Clicks in silence, from the moment the chunk is whole to the moment it
is with the agent, whose buffer waits at most four packets for one that is lost. A click is hardly
longer than a packet, and our server makes up nothing: what is lost of it is missing there. Client
and server are one process; what a conversation costs is measured of a daemon of its own. As root,
with nftables; elsewhere nothing.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from shutil import which

import numpy as np

from kiosk.audio.capture import CHUNK_SAMPLES, CapturedChunk
from kiosk.audio.gate import Verdict
from kiosk.audio.pcm import CHUNK_MS, PCM_16000, Samples, silence
from kiosk.base.clock import loop_now_s
from kiosk.contract import Transport
from kiosk.convai.client_messages import UserAudio
from tests import own_network
from tests.bare_conversation import bare_conversation
from tests.bench import machine
from tests.bench.figures import Figure, percentile
from tests.convai_server import Connection, scripted_server

_CLICKS = 40
_EVERY_CHUNKS = 20
_AUDIBLE = 4000
_NAMES: dict[Transport, str] = {"websocket": "WebSocket", "webrtc": "WebRTC"}
_CONNECTIONS = 10


def _click() -> Samples:
    time_s = np.arange(CHUNK_SAMPLES) / PCM_16000.rate_hz
    return np.round(20_000 * np.sin(2 * np.pi * 440 * time_s)).astype(np.int16)


def _arrivals(connection: Connection) -> list[float]:
    """When each click came: the first loud chunk after some that were not."""
    came, quiet = list[float](), 10
    for at_s, message in connection.messages:
        if isinstance(message, UserAudio):
            loud = np.abs(PCM_16000.decode(message.audio).astype(np.int32)).max(initial=0)
            if loud >= _AUDIBLE and quiet >= 5:
                came.append(at_s)
            quiet = 0 if loud >= _AUDIBLE else quiet + 1
    return came


@dataclass(frozen=True)
class Loss:
    """What the network does to packets."""

    name: str
    percent: int = 0
    in_a_row: bool = False

    def happening(self) -> AbstractContextManager[None]:
        """While the block lasts."""
        if not self.percent:
            return nullcontext()
        return own_network.losing(self.percent, in_a_row=self.in_a_row)


_LOSSES = (
    Loss("0 % lost"),
    Loss("2 % lost", 2),
    Loss("5 % lost", 5),
    Loss("10 % lost", 10),
    Loss("5 of 100 in a row lost", 5, in_a_row=True),
)


async def _delays_ms(road: Transport, loss: Loss) -> list[float]:
    """Of each click that arrived before the next was sent."""
    sent: list[float] = []
    click, quiet = _click(), silence(CHUNK_SAMPLES)
    async with (
        scripted_server(road=road) as server,
        bare_conversation(server.url, transport=road) as kiosk,
    ):
        connection = await server.connection()
        await kiosk.connected()
        with loss.happening():
            began_s = loop_now_s()
            for number in range(_CLICKS * _EVERY_CHUNKS):
                due_s = began_s + number * CHUNK_MS / 1000
                await asyncio.sleep(max(0.0, due_s - loop_now_s()))
                clicks = number % _EVERY_CHUNKS == _EVERY_CHUNKS - 1
                if clicks:
                    sent.append(loop_now_s())
                samples = click if clicks else quiet
                kiosk.uplink.push(CapturedChunk(samples, loop_now_s(), Verdict(True, True)))
            await asyncio.sleep(2.0)
        came = _arrivals(connection)
    found = []
    for at_s in sent:
        after = [each for each in came if each >= at_s]
        if after:
            found.append(1000 * (after[0] - at_s))
    return [each for each in found if each < _EVERY_CHUNKS * CHUNK_MS]


async def _connecting_ms(road: Transport) -> list[float]:
    """From the wish to the agent's metadata."""
    took = []
    async with scripted_server(road=road) as server:
        for _ in range(_CONNECTIONS):
            began_s = loop_now_s()
            async with bare_conversation(server.url, transport=road) as kiosk:
                await kiosk.connected()
                took.append(1000 * (loop_now_s() - began_s))
    return took


def figures() -> Iterator[Figure]:
    why = own_network.missing() or (None if which("nft") else "there is no `nft`")
    if why is not None:
        print(f"the roads are not compared: {why}", file=sys.stderr)
        return
    with own_network.own_network():
        for road, name in _NAMES.items():
            connecting = asyncio.run(_connecting_ms(road))
            yield Figure(f"connecting over {name}, p50", "ms", percentile(connecting, 50))
            cost = machine.cost_of_a_conversation(road)
            talking = f"in conversation over {name}"
            yield Figure(f"{talking}: processor", "% of a core", cost.cpu_percent)
            yield Figure(f"{talking}: memory at most", "MB", cost.memory_mb)
        for loss in _LOSSES:
            for road, name in _NAMES.items():
                delays = asyncio.run(_delays_ms(road, loss))
                what = f"a word to the agent over {name}, {loss.name}"
                yield Figure(f"{what}, p50", "ms", percentile(delays, 50))
                yield Figure(f"{what}, p95", "ms", percentile(delays, 95))
                yield Figure(f"{what}, in time", "%", 100 * len(delays) / _CLICKS)
