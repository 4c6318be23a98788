"""A conversation over virtual cards, watched from outside: the kiosk's, or the official client's.

Both talk with the same server in this process over loopback, and their microphone and loudspeaker
are the same two cards of the rig. What is known of a client is what comes over the wire, and what
passes the cards.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kiosk.audio.pcm import Samples, samples_to_bytes
from tests import rig as rigs
from tests.bench.kiosk_process import kiosk_process
from tests.bench.tape import RATE_HZ, Tape
from tests.convai_server import Connection, scripted_server
from tests.integration.cards import card_config

# A visit that ends when the measurement is done with it.
ENDLESS = "idle_s = 3600\nanswer_s = 3600\nmax_s = 7000"
_DEFAULT_DEVICE = """
pcm.!default { type asym
    playback.pcm "vspk"
    capture.pcm "vmic" }
"""


@dataclass
class CardVisit:
    """A client that is connected, and the tapes of its two cards."""

    rig: rigs.Rig
    connection: Connection
    heard: Tape  # what its microphone's card gets
    played: Tape


@asynccontextmanager
async def feeding(rig: rigs.Rig, samples: Samples) -> AsyncIterator[None]:
    """Play into the microphone, mono at the tape's rate; what is left at the end is not heard."""
    path = rig.directory / "feed.raw"
    path.write_bytes(samples_to_bytes(samples))
    player = await asyncio.create_subprocess_exec(
        "pacat",
        "--playback",
        f"--server={rig.microphone.server}",
        f"--device={rig.microphone.sink}",
        f"--rate={RATE_HZ}",
        "--channels=1",
        "--format=s16le",
        "--raw",
        "--latency-msec=100",
        str(path),
        env=rig.env,
    )
    try:
        yield
    finally:
        if player.returncode is None:
            player.terminate()
        await player.wait()


@contextmanager
def cards() -> Iterator[rigs.Rig]:
    """The rig in a directory of its own; with the devices of `default` for the peer."""
    directory = Path(tempfile.mkdtemp(prefix="kiosk-", dir="/tmp"))
    try:
        (directory / "rig").mkdir()
        rig = rigs.start(directory / "rig")
        try:
            yield rig
        finally:
            rig.stop()
    finally:
        shutil.rmtree(directory)


@asynccontextmanager
async def kiosk_visit(more: str = "") -> AsyncIterator[CardVisit]:
    """`kiosk run` with its default sound, but for a gate that stands open; and `more`."""
    with cards() as rig:
        async with scripted_server() as server:
            config = card_config(
                server.url,
                visit=ENDLESS,
                more=f'[gate]\nmode = "open"\n{more}',
            )
            async with kiosk_process(rig.directory, config, rig.env) as kiosk:
                with Tape(rig, rig.microphone) as heard, Tape(rig, rig.speaker) as played:
                    await kiosk.ask("press")
                    yield CardVisit(rig, await server.connection(), heard, played)
                    await kiosk.ask("end")


@asynccontextmanager
async def peer_visit(*options: str) -> AsyncIterator[CardVisit]:
    """The official client; ALSA's default device is the rig's."""
    with cards() as rig:
        configuration = rig.directory / "peer.conf"
        alsa = (rig.directory / "alsa.conf").read_text(encoding="utf-8")
        default = rig.directory / "peer.asound.conf"
        default.write_text(_DEFAULT_DEVICE, encoding="utf-8")
        own = f'{rig.directory}/rig.asound.conf"'
        configuration.write_text(alsa.replace(own, f'{own} "{default}"'), encoding="utf-8")
        env = {**rig.env, "ALSA_CONFIG_PATH": str(configuration)}
        async with scripted_server() as server:
            with Tape(rig, rig.microphone) as heard, Tape(rig, rig.speaker) as played:
                url = server.url.replace("ws", "http", 1)
                with _peer([url, *options], env):
                    yield CardVisit(rig, await server.connection(), heard, played)


@contextmanager
def _peer(arguments: list[str], env: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.peer", *arguments],
        env={**env, "PYTHONPATH": str(Path.cwd())},
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # PortAudio tries every device that ALSA could have
    )
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def noise(seconds: float) -> Samples:
    """Noise of the band that every client sends, at the tape's rate, at -25 dBFS."""
    count = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(count))
    spectrum[round(6000 * seconds) :] = 0
    spectrum[: round(200 * seconds)] = 0
    sound = np.fft.irfft(spectrum, count)
    loud: Samples = np.round(sound * (1850 / np.sqrt(np.mean(sound**2)))).astype(np.int16)
    return loud
