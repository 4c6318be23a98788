"""Whole visits on virtual devices against a scripted server: what visitors can trust."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from kiosk.audio.levels import rms_dbfs
from kiosk.audio.pcm import FORMATS, Samples, samples_to_bytes
from kiosk.audio.resample import resample
from kiosk.base.clock import loop_now_s
from kiosk.convai.client_messages import Initiation, Pong
from kiosk.convai.server_messages import (
    AgentAudio,
    AgentResponse,
    ErrorReport,
    Interruption,
    Ping,
    UserTranscript,
)
from kiosk.convai.server_tools import AgentToolResponse
from kiosk.endings import Kind
from kiosk.moments import What
from kiosk.visit.states import State
from tests.convai_server import Connection, scripted_server
from tests.integration.sounds import RATE_HZ, as_captured, pitch_hz, quiet_room, tone, words
from tests.lockstep import in_lockstep
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk


def audio(samples: Samples, event_id: int, *, final: bool = False) -> AgentAudio:
    return AgentAudio(samples_to_bytes(samples), event_id, final)


async def connected(kiosk: VirtualKiosk, connection: Connection) -> Connection:
    await kiosk.state(State.LISTENING)
    return connection


def level_dbfs(kiosk: VirtualKiosk, from_s: float, to_s: float) -> float:
    return rms_dbfs(kiosk.room.loudspeaker(from_s, to_s))


@pytest.mark.parametrize("delay_ms", [0, 300, 2000])
@in_lockstep
async def test_b11_the_first_word_arrives_whole_however_long_connecting_takes(
    short_dir: Path, delay_ms: int
) -> None:
    speech = words(1.5)
    async with (
        scripted_server(metadata_delay_s=delay_ms / 1000) as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.room.say(speech, kiosk.button.press())
        connection = await server.connection()
        await kiosk.until(lambda: len(connection.audio) >= len(speech) + RATE_HZ // 2)
        received = connection.audio
    # Sound cannot be captured before the card runs: what came before its first sample is lost,
    # and that may be 5 ms of the source; from there on every sample is the source's.
    assert any(
        np.array_equal(received[: len(speech) - lost], as_captured(speech[lost:])[: -RATE_HZ // 2])
        for lost in range(RATE_HZ // 200)
    )


@in_lockstep
async def test_light_and_capture_start_with_the_press_and_the_lamp_goes_with_the_card(
    short_dir: Path,
) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        assert kiosk.indicator.recorded == []
        kiosk.button.press()
        await kiosk.until(lambda: [on for _, on in kiosk.indicator.recorded] == [True])
        await asyncio.sleep(1.05)
        kiosk.button.press()
        await kiosk.state(State.IDLE)
        await kiosk.until(lambda: [on for _, on in kiosk.indicator.recorded] == [True, False])


@in_lockstep
async def test_the_first_frame_is_the_initiation_and_pings_are_answered(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await connection.send(Ping(7), Ping("8"))
        await kiosk.until(lambda: len(connection.of_type(Pong)) == 2)
    assert isinstance(connection.messages[0][1], Initiation)
    assert connection.of_type(Pong) == [Pong(7), Pong("8")]


@in_lockstep
async def test_an_interruption_silences_the_speaker_and_its_late_audio_is_dropped(
    short_dir: Path,
) -> None:
    cut, following = tone(440, 3.0), tone(880, 0.6)
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await connection.send(audio(cut, 1, final=True))
        await kiosk.state(State.SPEAKING)
        await asyncio.sleep(0.5)
        await connection.send(Interruption(1), audio(cut, 1))
        interrupted = await kiosk.moment(What.INTERRUPTED)
        await asyncio.sleep(0.4)
        before = level_dbfs(kiosk, interrupted.at_s - 0.2, interrupted.at_s)
        after = level_dbfs(kiosk, interrupted.at_s + 0.03, interrupted.at_s + 0.4)
        assert kiosk.host.state is State.LISTENING
        resumed_s = loop_now_s()
        await connection.send(audio(following, 2, final=True))
        await kiosk.moment(What.AGENT_HEARD, resumed_s)
        await kiosk.moment(What.DRAINED, resumed_s)
        played = kiosk.room.loudspeaker(resumed_s, loop_now_s())
    assert before > -20
    assert after == -96.0, "not one sample of the cut turn is left"
    assert abs(pitch_hz(played, RATE_HZ) - 880) < 5


@in_lockstep
async def test_the_goodbye_is_heard_to_its_end_and_then_the_socket_closes_with_1000(
    short_dir: Path,
) -> None:
    goodbye = tone(440, 1.2)
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        await asyncio.sleep(0.6)  # the chime is over
        sent_s = loop_now_s()
        await connection.send(audio(goodbye, 1, final=True), AgentToolResponse("end_call"))
        await asyncio.wait_for(connection.closed.wait(), 5)
        closed_s = loop_now_s()
        await kiosk.state(State.IDLE)
        played = kiosk.room.loudspeaker(sent_s, closed_s)
    heard_s = np.count_nonzero(np.abs(played) > 100) / RATE_HZ
    assert connection.close_code == 1000
    assert heard_s > 1.15
    ended = await kiosk.moment(What.VISIT_ENDED)
    assert ended.fields["kind"] == Kind.AGENT_ENDED


@in_lockstep
async def test_a_goodbye_that_follows_the_hanging_up_is_heard_too(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        await connection.send(AgentToolResponse("end_call"))
        await asyncio.sleep(0.3)
        sent_s = loop_now_s()
        await connection.send(audio(tone(440, 0.8), 1, final=True))
        await asyncio.wait_for(connection.closed.wait(), 5)
        played = kiosk.room.loudspeaker(sent_s, loop_now_s())
    assert np.count_nonzero(np.abs(played) > 100) / RATE_HZ > 0.7


@in_lockstep
async def test_half_a_surrogate_pair_hurts_nobody(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await connection.socket.send('{"type":"ping","ping_event":{"event_id":"\\ud800"}}')
        await connection.send(Ping(3))
        await kiosk.until(lambda: connection.of_type(Pong) == [Pong(3)])
        assert kiosk.count(What.MALFORMED) == 1
        assert kiosk.host.state is State.LISTENING


@in_lockstep
async def test_pressing_again_hangs_up_with_1000(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await asyncio.sleep(1.05)
        kiosk.button.press()
        await kiosk.state(State.IDLE)
        await asyncio.wait_for(connection.closed.wait(), 5)
    assert connection.close_code == 1000


@in_lockstep
async def test_a_nervous_second_press_does_nothing(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        kiosk.button.press()
        await kiosk.state(State.LISTENING)
        kiosk.button.press()
        await asyncio.sleep(0.2)
        assert kiosk.host.state is State.LISTENING
        assert kiosk.host.visits == 1


@in_lockstep
async def test_a_press_while_the_last_visit_closes_begins_the_next(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        await asyncio.sleep(1.05)
        await connection.close(1002, "This request exceeds your quota limit.")
        await kiosk.state(State.CLOSING)
        kiosk.button.press()
        await server.connection(2)
        await kiosk.state(State.LISTENING)
        assert kiosk.host.visits == 2


@in_lockstep
async def test_a_thousand_presses_never_make_two_visits_at_once(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        for _ in range(1000):
            kiosk.button.press()
            await asyncio.sleep(0.005)
            open_now = [c for c in server.connections if not c.closed.is_set()]
            assert len(open_now) <= 1
        await asyncio.sleep(1.1)
        if kiosk.host.state is not State.IDLE:
            kiosk.button.press()
        await kiosk.state(State.IDLE)
        assert kiosk.host.visits == kiosk.count(What.VISIT_STARTED) == kiosk.count(What.VISIT_ENDED)
        assert kiosk.host.visits >= 2


@in_lockstep
async def test_a_press_can_cut_the_agents_turn_instead(short_dir: Path) -> None:
    configured = {"while_speaking": "cut_turn"}
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url, button=configured), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await connection.send(audio(tone(440, 1.0), 1))
        await kiosk.state(State.SPEAKING)
        await asyncio.sleep(1.0)
        kiosk.button.press()
        await kiosk.state(State.LISTENING)
        cut_s = loop_now_s()
        await connection.send(audio(tone(440, 1.0), 1, final=True))
        await asyncio.sleep(0.3)
        assert level_dbfs(kiosk, cut_s + 0.05, cut_s + 0.3) == -96.0
        await connection.send(audio(tone(880, 0.3), 2, final=True))
        await kiosk.state(State.SPEAKING)


@pytest.mark.parametrize("button", [{"mode": "hold"}, {"while_speaking": "cut_turn"}])
@in_lockstep
async def test_a_cut_turn_does_not_come_back_when_its_text_comes_late(
    short_dir: Path, button: dict[str, str]
) -> None:
    """In the service's order: the text after the sound, no last chunk, a next turn unannounced."""
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url, button=button), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        kiosk.button.release()
        await connection.send(UserTranscript("Where is it?", 37), audio(tone(440, 2.0), 37))
        await kiosk.state(State.SPEAKING)
        await asyncio.sleep(1.1)
        kiosk.button.press()
        await kiosk.state(State.LISTENING)
        cut_s = loop_now_s()
        await connection.send(audio(tone(440, 1.0), 37), AgentResponse("It is there.", 37))
        await connection.send(audio(tone(440, 1.0), 37))
        await asyncio.sleep(0.4)
        resumed_s = loop_now_s()
        assert level_dbfs(kiosk, cut_s + 0.05, resumed_s) == -96.0
        kiosk.button.release()
        await connection.send(*[audio(tone(880, 0.4), 80) for _ in range(3)])
        await kiosk.moment(What.DRAINED, resumed_s)
        played = kiosk.room.loudspeaker(resumed_s, loop_now_s())
    heard_s = np.count_nonzero(np.abs(played) > 100) / RATE_HZ
    assert heard_s > 1.1, "the next turn is heard whole"
    assert abs(pitch_hz(played, RATE_HZ) - 880) < 5


@in_lockstep
async def test_a_held_button_sends_speech_only_while_it_is_held(short_dir: Path) -> None:
    speech = words(4.0)
    async with (
        scripted_server() as server,
        virtual_kiosk(
            settings(short_dir, server.url, button={"mode": "hold"}), quiet_room()
        ) as kiosk,
    ):
        kiosk.room.say(speech, kiosk.button.press())
        connection = await server.connection()
        await asyncio.sleep(1.0)
        kiosk.button.release()
        released = len(connection.audio)
        await kiosk.state(State.THINKING)
        await kiosk.until(lambda: len(connection.audio) >= released + RATE_HZ)
        after = connection.audio[released + RATE_HZ // 10 :]
        assert rms_dbfs(connection.audio[:released]) > -30
        assert not after.any()
        kiosk.button.press()
        await kiosk.state(State.LISTENING)
        again = len(connection.audio)
        await kiosk.until(lambda: connection.audio[again:].any())


@in_lockstep
async def test_a_lost_connection_is_opened_again_within_the_visit(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        first = await server.connection()
        await kiosk.state(State.LISTENING)
        await first.close(1011, "internal error")
        await server.connection(2)
        await kiosk.state(State.LISTENING)
        assert kiosk.host.visits == 1


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (1002, "This request exceeds your quota limit.", Kind.QUOTA),
        (
            1008,
            "Override for field 'first_message' is not allowed by config.",
            Kind.OVERRIDE_REFUSED,
        ),
        (3000, "The AI agent you are trying to reach does not exist.", Kind.AGENT_MISSING),
        (4300, "queue timed out", Kind.BUSY),
    ],
)
@in_lockstep
async def test_what_retrying_cannot_mend_is_said_and_not_retried(
    short_dir: Path, code: int, reason: str, kind: Kind
) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        await connection.send(ErrorReport(code, reason))
        await connection.close(code, reason)
        await kiosk.moment(What.SENTENCE_HEARD)
        ended = await kiosk.moment(What.VISIT_ENDED)
        await kiosk.state(State.IDLE)
        assert ended.fields["kind"] == kind
        assert len(server.connections) == 1


@in_lockstep
async def test_a_kiosk_that_reaches_nobody_says_so_and_is_ready_again(short_dir: Path) -> None:
    visit = {"connect_s": 1.0, "reconnects": 1}
    configured = settings(short_dir, "ws://127.0.0.1:9", visit=visit)
    async with virtual_kiosk(configured, quiet_room()) as kiosk:
        pressed_s = kiosk.button.press()
        await kiosk.moment(What.SENTENCE_HEARD, pressed_s)
        ended = await kiosk.moment(What.VISIT_ENDED)
        await kiosk.state(State.IDLE)
        assert ended.fields["kind"] == Kind.UNREACHABLE
        assert kiosk.host.cause is None


@in_lockstep
async def test_an_abandoned_visit_is_asked_once_and_ended(short_dir: Path) -> None:
    configured = {"idle_s": 1.0}
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url, visit=configured), quiet_room()) as kiosk,
    ):
        kiosk.button.press()
        await kiosk.state(State.IDLE, timeout_s=1)
        await kiosk.state(State.LISTENING)
        await kiosk.state(State.IDLE)
        ended = await kiosk.moment(What.VISIT_ENDED)
        assert ended.fields["kind"] == Kind.ABANDONED
        assert kiosk.count(What.SENTENCE_HEARD) == 2  # "still there?" and "goodbye"


@in_lockstep
async def test_a_visit_is_warned_and_ended_when_its_time_is_up(short_dir: Path) -> None:
    configured = {"max_s": 2.0, "warning_s": 1.0}
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url, visit=configured), quiet_room()) as kiosk,
    ):
        pressed_s = kiosk.button.press()
        warned = await kiosk.moment(What.SENTENCE_HEARD)
        connection = await server.connection()
        await asyncio.wait_for(connection.closed.wait(), 5)
        assert 0.9 < warned.at_s - pressed_s < 1.6
        await kiosk.state(State.IDLE)
        ended = await kiosk.moment(What.VISIT_ENDED)
        assert ended.fields["kind"] == Kind.TIME_UP
    assert connection.close_code == 1000


@pytest.mark.parametrize("name", sorted(FORMATS))
@in_lockstep
async def test_every_format_of_the_wire_is_heard_and_sent_at_its_true_pitch(
    short_dir: Path, name: str
) -> None:
    format_ = FORMATS[name]
    async with (
        scripted_server(input_format=name, output_format=name) as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.room.say(tone(700, 1.0), kiosk.button.press() + 0.2)
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        await asyncio.sleep(0.5)
        sent_s = loop_now_s()
        answer = format_.encode(resample(tone(440, 0.6), RATE_HZ, format_.rate_hz))
        await connection.send(AgentAudio(answer, 1, is_final=True))
        await kiosk.moment(What.DRAINED, sent_s)
        played = kiosk.room.loudspeaker(sent_s, loop_now_s())
        await kiosk.until(lambda: len(connection.audio) > 1.1 * format_.rate_hz)
        said = connection.audio
    assert abs(pitch_hz(played, RATE_HZ) - 440) < 5
    assert abs(pitch_hz(said, format_.rate_hz) - 700) < 5


@asynccontextmanager
async def token_route(answer: dict[str, object]) -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """Somebody's own backend: one HTTP route; its address and the headers it was asked with."""
    asked: list[dict[str, str]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head)
        }
        await reader.readexactly(int(headers.get("content-length", "0")))
        asked.append(headers)
        body = json.dumps(answer).encode()
        length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + length.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/token", asked


@in_lockstep
async def test_the_press_id_is_the_request_id_of_the_backend_that_was_asked(
    short_dir: Path,
) -> None:
    token_file = short_dir / "device-token"
    token_file.write_text("kdk_1_secret\n", encoding="utf-8")
    async with (
        scripted_server() as server,
        token_route({"signedUrl": f"{server.url}/?signature=s"}) as (url, asked),
    ):
        credentials = {"mode": "backend", "backend_url": url, "device_token_file": token_file}
        configured = settings(short_dir, server.url, credentials=credentials)
        async with virtual_kiosk(configured, quiet_room()) as kiosk:
            assert len(asked) == 1, "the URL waits for the press"
            kiosk.button.press()
            await server.connection()
            started = await kiosk.moment(What.VISIT_STARTED)
    assert started.fields["press_id"] == asked[0]["x-request-id"]
    assert asked[0]["authorization"] == "Bearer kdk_1_secret"
