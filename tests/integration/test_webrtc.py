"""The other road to the agent: what is WebRTC's own, in a network of the tests' own."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiosk.agent.voice import AgentVoice
from kiosk.audio.wav import write_wav
from kiosk.base.clock import loop_now_s
from kiosk.convai.client_messages import Initiation
from kiosk.convai.frames import serialize
from kiosk.convai.server_messages import AgentAudio
from kiosk.endings import Kind
from kiosk.link.credentials import Rooms
from kiosk.link.transport import (
    CLOSE_TIMEOUT_S,
    ConnectError,
    HandshakeRefusedError,
    TransportClosedError,
)
from kiosk.moments import What
from kiosk.visit.states import State
from tests import own_network
from tests.bare_conversation import bare_conversation
from tests.convai_server import scripted_server
from tests.integration.conftest import StartAgent
from tests.integration.daemon import running_kiosk
from tests.integration.sounds import RATE_HZ, quiet_room
from tests.integration.test_demo import demo
from tests.slowness import patient_s
from tests.virtual_kiosk import settings, virtual_kiosk

CONFIG = """
[agent]
id = "agent_local"
url = "{url}"
transport = "{transport}"
[credentials]
mode = "public"
[button]
driver = "none"
[indicator]
driver = "none"
[capture]
driver = "virtual"
[playback]
driver = "virtual"
[visit]
disclosure = false
"""


@pytest.fixture
def network() -> Iterator[None]:
    with own_network.own_network():
        yield


pytestmark = pytest.mark.usefixtures("network")


async def test_a_visitor_asks_and_is_answered_over_webrtc(
    short_dir: Path, start_agent: StartAgent
) -> None:
    question = await AgentVoice("en-us+f2").render("where are the dinosaurs", RATE_HZ)
    async with start_agent() as (url, events):
        agent = {"transport": "webrtc", "url": url.replace("http", "ws"), "id": "agent_local"}
        its = settings(short_dir, "", agent=agent)
        async with virtual_kiosk(its, quiet_room()) as kiosk:
            kiosk.button.press()
            await kiosk.moment(What.AGENT_HEARD, timeout_s=20)
            await kiosk.moment(What.DRAINED, timeout_s=20)
            asked_s = loop_now_s()
            kiosk.room.say(question, asked_s)
            answer = await kiosk.moment(What.AGENT_HEARD, asked_s, timeout_s=20)
            await kiosk.moment(What.DRAINED, answer.at_s, timeout_s=20)
            kiosk.button.press()
            await kiosk.state(State.IDLE)
            measured = await kiosk.moment(What.ROOM)
            assert kiosk.count(What.MALFORMED) == 0
    assert measured.fields["way"] == "host"
    assert measured.fields["sent_packets"]
    assert measured.fields["received_packets"]
    assert [event["text"] for event in events if event["event"] == "heard"] == [
        "where are the dinosaurs"
    ]


@pytest.mark.parametrize("single", [True, False], ids=["newer way first", "older way"])
async def test_a_room_is_joined_and_left_time_and_again(single: bool) -> None:
    from kiosk.link.webrtc import connect

    async with scripted_server(road="webrtc") as server:
        rooms = Rooms(server.url, single_peer_connection=single)
        for number in range(1, 11):
            async with asyncio.timeout(patient_s(10)):
                transport = await connect(rooms, "any")
                await transport.send(serialize(Initiation()))
                connection = await server.connection(number)
                assert b"conv_test" in str(await transport.receive()).encode()
                await transport.send_audio(bytes(640))
                left_s = loop_now_s()
                await transport.close()
                assert loop_now_s() - left_s < CLOSE_TIMEOUT_S + patient_s(1)
                await connection.closed.wait()
            with pytest.raises(TransportClosedError):
                await transport.send("{}")
            assert connection.close_code == 1000


async def test_whom_the_service_does_not_let_in_it_refuses_with_a_status(
    start_agent: StartAgent,
) -> None:
    from kiosk.link.webrtc import connect

    async with start_agent() as (url, _):
        with pytest.raises(HandshakeRefusedError) as caught:
            await connect(Rooms(url.replace("http", "ws")), "local.s3cret")
    assert caught.value.status == 401
    assert "s3cret" not in str(caught.value)


async def test_where_nobody_listens_there_is_no_connection() -> None:
    from kiosk.link.webrtc import connect

    with pytest.raises(ConnectError, match="nobody listens there"):
        await connect(Rooms("ws://127.0.0.1:9"), "any")


async def test_who_gives_up_while_a_room_opens_leaves_it() -> None:
    from kiosk.link.webrtc import connect

    async with scripted_server(road="webrtc") as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await connect(Rooms(server.url), "any")
        for socket in server.sockets:
            async with asyncio.timeout(patient_s(10)):
                await socket.wait_closed()


@pytest.mark.timeout(90)
async def test_a_network_that_is_gone_is_noticed_and_the_conversation_is_lost() -> None:
    async with (
        scripted_server(road="webrtc") as server,
        bare_conversation(server.url, transport="webrtc") as kiosk,
    ):
        await server.connection()
        await kiosk.connected()
        own_network.run("link set lo down")
        try:
            async with asyncio.timeout(patient_s(40)):
                ending = await kiosk.ending()
        finally:
            own_network.run("link set lo up")
    assert ending.kind in (Kind.PEER_DEAD, Kind.NETWORK_LOST)
    assert ending.rule.retries


@pytest.mark.parametrize("state", ["opening", "listening", "speaking"])
async def test_sigterm_ends_the_daemon_cleanly(short_dir: Path, state: str) -> None:
    delay_s = 3.0 if state == "opening" else 0.0
    async with scripted_server(road="webrtc", metadata_delay_s=delay_s) as server:
        config = CONFIG.format(url=server.url, transport="webrtc")
        async with running_kiosk(short_dir, config, None, "-X", "dev") as kiosk:
            await kiosk.ask("press")
            if state == "opening":
                await server.accepted()
            else:
                connection = await server.connection()
                await kiosk.wait_for_state("listening")
                if state == "speaking":
                    await connection.send(AgentAudio(b"\x00\x10" * 48_000, 1))
                    await kiosk.wait_for_state("speaking")
            took_s = await kiosk.terminate()
        for socket in server.sockets:
            async with asyncio.timeout(patient_s(10)):
                await socket.wait_closed()
    said = kiosk.stderr.decode()
    assert kiosk.process.returncode == 0
    assert took_s < patient_s(3)
    assert "Traceback" not in said, said
    assert "panicked" not in said, said
    assert "Warning" not in said, said


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_sigterm_ends_the_daemon_cleanly_at_thirty_random_moments(short_dir: Path) -> None:
    moments = random.Random(7)
    for _ in range(30):
        async with scripted_server(road="webrtc") as server:
            config = CONFIG.format(url=server.url, transport="webrtc")
            async with running_kiosk(short_dir, config, None, "-X", "dev") as kiosk:
                await kiosk.ask("press")
                await asyncio.sleep(moments.uniform(0, 2.0))
                took_s = await kiosk.terminate()
        said = kiosk.stderr.decode()
        assert kiosk.process.returncode == 0, said
        assert took_s < patient_s(3)
        assert "Traceback" not in said, said
        assert "panicked" not in said, said


@pytest.mark.parametrize("transport", ["websocket", "webrtc"])
async def test_the_library_is_loaded_only_where_it_is_chosen(
    short_dir: Path, transport: str
) -> None:
    async with scripted_server(road=transport) as server:
        config = CONFIG.format(url=server.url, transport=transport)
        async with running_kiosk(short_dir, config) as kiosk:
            await kiosk.ask("press")
            await server.connection()
            await kiosk.wait_for_state("listening")
            maps = Path(f"/proc/{kiosk.process.pid}/maps")
            loaded = await asyncio.to_thread(maps.read_text, "utf-8")
    assert ("liblivekit" in loaded) == (transport == "webrtc")


async def test_the_demo_takes_this_road_too(tmp_path: Path) -> None:
    speech = await AgentVoice("en-us+f2", 150).render("tell me about the blue whale", RATE_HZ)
    recording = tmp_path / "question.wav"
    recording.write_bytes(write_wav(speech, RATE_HZ))
    _, said, complaint = await demo("--transport", "webrtc", "--voice", str(recording), "--json")
    # A busy machine may spoil the performance: it has two servers, a kiosk and two of WebRTC's.
    assert any(turn["heard"] for turn in json.loads(said)["turns"]), complaint


def test_the_demo_says_what_this_road_needs() -> None:
    ran = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "kiosk", "demo", "--transport", "webrtc"],
        capture_output=True,
        text=True,
        timeout=patient_s(30),
    )
    assert ran.returncode == 69
    assert "needs a network address besides loopback's" in ran.stderr


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_kiosk_without_the_package_says_what_is_missing(tmp_path: Path, command: str) -> None:
    (tmp_path / "livekit").mkdir()
    (tmp_path / "livekit" / "__init__.py").write_text("raise ImportError('none here')\n")
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(url="ws://127.0.0.1:9", transport="webrtc"))
    ran = subprocess.run(
        [sys.executable, "-m", "kiosk", command, "--config", str(config)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=patient_s(30),
    )
    assert ran.returncode == 78
    assert "pip install 'voice-kiosk[webrtc]'" in ran.stderr
    assert "Traceback" not in ran.stderr
