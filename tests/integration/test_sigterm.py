"""SIGTERM at any moment: a clean end in time, a proper close, and a card that is free again."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from kiosk.agent.voice import AgentVoice
from kiosk.audio.wav import write_wav
from kiosk.convai.server_messages import AgentAudio
from tests.convai_server import ScriptedServer, scripted_server
from tests.integration.daemon import RunningKiosk, running_kiosk
from tests.rig import Rig

pytestmark = pytest.mark.rig

CONFIG = """
[agent]
id = "agent_local"
url = "{url}"
[credentials]
mode = "public"
[button]
driver = "none"
[indicator]
driver = "none"
[visit]
disclosure = false
[playback]
device = "vspk"
[capture]
{capture}
"""
ALSA_MICROPHONE = 'device = "vmic"'
REOPEN = """
    from kiosk.devices.alsa import AlsaCapture, AlsaPlayback, CardSettings
    for kind, device in ((AlsaCapture, "vmic"), (AlsaPlayback, "vspk")):
        kind(CardSettings(device, 48000, 1, 20, 80)).close()
"""


async def bring_to(state: str, kiosk: RunningKiosk, server: ScriptedServer) -> None:
    """Lead a visit to this state."""
    if state == "idle":
        return
    await kiosk.ask("press")
    if state == "opening":
        await server.accepted()
        await kiosk.wait_for_state("opening")
        return
    connection = await server.connection()
    if state == "speaking":
        await connection.send(AgentAudio(b"\x00\x10" * 48_000, 1))
    if state == "closing":
        await kiosk.wait_for_state("listening")
        await connection.send(AgentAudio(b"\x00\x10" * 48_000, 1))
        await kiosk.wait_for_state("speaking")
        await connection.close(1002, "This request exceeds your quota limit.")
    await kiosk.wait_for_state(state)


async def assert_ended_well(kiosk: RunningKiosk, took_s: float, rig: Rig) -> None:
    assert kiosk.process.returncode == 0
    assert took_s < 2.0
    said = kiosk.stderr.decode()
    assert "Warning" not in said, said
    assert "Traceback" not in said, said
    assert "stopping" in said
    reopening = rig.run_with(REOPEN)
    _, complaint = await asyncio.to_thread(reopening.communicate)
    assert reopening.returncode == 0, complaint


@pytest.mark.parametrize(
    "state", ["idle", "opening", "listening", "thinking", "speaking", "closing"]
)
async def test_sigterm_ends_the_daemon_cleanly_in_every_state(
    rig: Rig, short_dir: Path, state: str
) -> None:
    capture = ALSA_MICROPHONE
    if state == "thinking":
        recording = short_dir / "question.wav"
        speech = await AgentVoice("en-us+f2").render("where are the dinosaurs", 16_000)
        recording.write_bytes(write_wav(speech, 16_000))
        capture = f'driver = "virtual"\nfile = "{recording}"'
    async with scripted_server(metadata_delay_s=3.0 if state == "opening" else 0.0) as server:
        config = CONFIG.format(url=server.url, capture=capture)
        async with running_kiosk(short_dir, config, rig.env, "-X", "dev") as kiosk:
            await bring_to(state, kiosk, server)
            took_s = await kiosk.terminate()
        assert bool(server.sockets) == (state != "idle")
        for socket in server.sockets:
            await asyncio.wait_for(socket.wait_closed(), 2)
            assert socket.close_code == (1002 if state == "closing" else 1000)
    await assert_ended_well(kiosk, took_s, rig)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_sigterm_ends_the_daemon_cleanly_at_a_hundred_random_moments(
    rig: Rig, short_dir: Path
) -> None:
    moments = random.Random(7)
    for _ in range(100):
        async with scripted_server(metadata_delay_s=moments.uniform(0, 0.3)) as server:
            config = CONFIG.format(url=server.url, capture=ALSA_MICROPHONE)
            async with running_kiosk(short_dir, config, rig.env, "-X", "dev") as kiosk:
                await kiosk.ask("press")
                until_s = time.monotonic() + moments.uniform(0, 2.5)
                while time.monotonic() < until_s:
                    for connection in server.connections:
                        if not connection.closed.is_set():
                            await connection.send(AgentAudio(b"\x00\x10" * 1600, 1))
                    await asyncio.sleep(0.1)
                took_s = await kiosk.terminate()
            for socket in server.sockets:
                await asyncio.wait_for(socket.wait_closed(), 2)
                assert socket.close_code == 1000
        await assert_ended_well(kiosk, took_s, rig)
