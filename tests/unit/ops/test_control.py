"""The control socket over a real Unix socket; the client blocks, so it runs in a thread."""

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kiosk.errors import ConfigError, UnavailableError
from kiosk.ops import control
from kiosk.ops.control import request, request_within, serve
from tests.slowness import patient_s


class Kiosk:
    """What the socket commands."""

    def __init__(self) -> None:
        self.presses = 0

    def status(self, _: Mapping[str, object]) -> Mapping[str, object]:
        return {"state": "idle", "visits": 3, "unfit": None}

    def press(self, _: Mapping[str, object]) -> Mapping[str, object]:
        self.presses += 1
        return {}

    def tell(self, request: Mapping[str, object]) -> Mapping[str, object]:
        text = request.get("text")
        return (
            {"told": text} if text else {"ok": False, "protocol": 1, "error": "tell needs a text"}
        )


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Kiosk]:
    kiosk = Kiosk()
    async with serve(path, {"status": kiosk.status, "press": kiosk.press, "tell": kiosk.tell}):
        yield kiosk


async def ask(path: Path, command: str, **fields: str) -> dict[str, object]:
    return await asyncio.to_thread(request, path, command, **fields)


async def say(path: Path, data: bytes) -> list[dict[str, object]]:
    """Send raw bytes, hang up, and return every answer."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    writer.write_eof()
    answers = (await reader.read()).splitlines()
    writer.close()
    await writer.wait_closed()
    return [json.loads(answer) for answer in answers]


def mode_of(path: Path) -> str | None:
    return stat.filemode(path.stat().st_mode) if path.exists() else None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


async def test_status_answers_what_it_is_given(path: Path) -> None:
    async with serving(path):
        answer = await ask(path, "status")
    assert answer == {"ok": True, "protocol": 1, "state": "idle", "visits": 3, "unfit": None}


async def test_a_command_gets_what_stands_beside_it_and_may_refuse(path: Path) -> None:
    async with serving(path):
        told = await ask(path, "tell", text="The café closes in ten minutes. ☕")
        assert told == {"ok": True, "protocol": 1, "told": "The café closes in ten minutes. ☕"}
        assert await ask(path, "tell") == {"ok": False, "protocol": 1, "error": "tell needs a text"}


async def test_a_press_presses(path: Path) -> None:
    async with serving(path) as kiosk:
        assert await ask(path, "press") == {"ok": True, "protocol": 1}
        assert kiosk.presses == 1


async def test_an_unknown_command_is_told_the_known_ones(path: Path) -> None:
    async with serving(path):
        answer = await ask(path, "explode")
    assert answer["ok"] is False
    assert "press, status" in str(answer["error"])


async def test_owner_and_group_may_speak_and_nobody_else(path: Path) -> None:
    async with serving(path):
        assert mode_of(path) == "srw-rw----"


async def test_the_socket_goes_with_the_kiosk(path: Path) -> None:
    async with serving(path):
        assert mode_of(path) is not None
    assert mode_of(path) is None
    with pytest.raises(UnavailableError, match="is the daemon running"):
        await ask(path, "status")


async def test_one_connection_may_ask_many_times(path: Path) -> None:
    async with serving(path) as kiosk:
        answers = await say(path, b'{"command":"press"}\n' * 50)
        assert answers == [{"ok": True, "protocol": 1}] * 50
        assert kiosk.presses == 50


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b'{"command": 7}',
        b'{"command": ["press"]}',
        b'{"command": "press"',
        b"\xff\xfe\x00",
        b"[" * 4000,
    ],
)
async def test_a_junk_line_is_answered_and_the_next_one_understood(path: Path, line: bytes) -> None:
    async with serving(path) as kiosk:
        refused, accepted = await say(path, line + b'\n{"command":"press"}\n')
        assert refused["ok"] is False
        assert refused["error"]
        assert accepted == {"ok": True, "protocol": 1}
        assert kiosk.presses == 1


async def test_too_long_a_line_is_refused_and_the_connection_closed(path: Path) -> None:
    async with serving(path) as kiosk:
        [refused] = await say(path, b"x" * 100_000 + b'\n{"command":"press"}\n')
        assert refused["ok"] is False
        assert kiosk.presses == 0
        assert (await ask(path, "press"))["ok"] is True


async def test_a_line_without_an_end_is_still_answered(path: Path) -> None:
    async with serving(path):
        assert await say(path, b'{"command":"press"}') == [{"ok": True, "protocol": 1}]


async def test_one_client_too_many_is_hung_up_on_and_the_others_are_served(path: Path) -> None:
    async with serving(path):
        idle = [await asyncio.open_unix_connection(path) for _ in range(16)]
        with pytest.raises(UnavailableError):
            await ask(path, "press")
        for reader, writer in idle:
            writer.write(b'{"command":"press"}\n')
            assert await reader.readline() == b'{"ok": true, "protocol": 1}\n'
            writer.close()
            await writer.wait_closed()


async def test_stopping_hangs_up_on_idle_clients(path: Path) -> None:
    async with serving(path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command":"press"}\n')
        await reader.readline()
    async with asyncio.timeout(2):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


# --- the place of the socket --------------------------------------------------------------------


async def test_a_socket_left_behind_is_replaced(path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    async with serving(path):
        assert (await ask(path, "status"))["ok"] is True


async def test_a_second_kiosk_on_one_socket_is_refused(path: Path) -> None:
    async with serving(path):
        with pytest.raises(ConfigError, match="another kiosk") as caught:
            async with serving(path):
                pass
        assert caught.value.exit_code == 78
        assert (await ask(path, "status"))["ok"] is True  # the first one goes on


async def test_a_file_in_the_way_is_not_removed(path: Path) -> None:
    await asyncio.to_thread(path.write_text, "important")
    with pytest.raises(ConfigError, match=r"control\.socket"):
        async with serving(path):
            pass
    assert await asyncio.to_thread(path.read_text) == "important"


async def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "control.sock"
    with pytest.raises(ConfigError, match=str(path)):
        async with serving(path):
            pass


async def test_too_long_a_path_is_the_operators_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"control\.socket"):
        async with serving(tmp_path / ("x" * 200)):
            pass


# --- the client ---------------------------------------------------------------------------------


async def test_a_command_may_take_its_time_and_others_are_answered_meanwhile(path: Path) -> None:
    go = asyncio.Event()

    async def slow(_: Mapping[str, object]) -> Mapping[str, object]:
        await go.wait()
        return {"late": True}

    async with serve(path, {"slow": slow, "status": lambda _: {"state": "idle"}}):
        late = asyncio.create_task(asyncio.to_thread(request_within, 10.0, path, "slow"))
        await asyncio.sleep(0.05)
        assert (await ask(path, "status"))["state"] == "idle"
        go.set()
        assert await late == {"ok": True, "protocol": 1, "late": True}


async def test_a_command_that_takes_for_ever_is_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: Mapping[str, object]) -> Mapping[str, object]:
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(control, "_COMMAND_S", 0.05)
    async with serve(path, {"never": never}):
        assert await ask(path, "never") == {
            "ok": False,
            "protocol": 1,
            "error": "no answer within 0.05 s",
        }


async def test_without_a_kiosk_the_client_says_what_to_look_at(path: Path) -> None:
    with pytest.raises(UnavailableError, match="systemctl status kiosk") as caught:
        await ask(path, "status")
    assert caught.value.exit_code == 69


@pytest.mark.parametrize("answer", [b"", b"hello\n", b"[]\n", b"\xff\n"])
async def test_something_else_on_the_socket_is_no_kiosk(path: Path, answer: bytes) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(other, path):
        with pytest.raises(UnavailableError):
            await ask(path, "status")


# --- streams ------------------------------------------------------------------------------------


class Ticker:
    """A command that goes on answering."""

    def __init__(self, lines: int | None = None) -> None:
        self.lines = lines
        self.closed = 0
        self.sent = 0

    def subscribe(self, _: Mapping[str, object]) -> control.Stream:
        return control.Stream({"snapshot": {"state": "idle"}}, self._ticks(), self._close)

    async def _ticks(self) -> AsyncIterator[Mapping[str, object]]:
        while self.lines is None or self.sent < self.lines:
            self.sent += 1
            yield {"event": "tick", "text": "ж" * 1000}
            await asyncio.sleep(0)

    def _close(self) -> None:
        self.closed += 1


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(patient_s(20)):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_stream_is_an_answer_and_then_its_lines(path: Path) -> None:
    ticker = Ticker(lines=3)
    async with serve(path, {"subscribe": ticker.subscribe}):
        answers = await asyncio.to_thread(lambda: list(control.subscribe(path)))
    assert answers[0] == {"ok": True, "protocol": 1, "snapshot": {"state": "idle"}}
    assert answers[1:] == [{"event": "tick", "text": "ж" * 1000}] * 3
    assert ticker.closed == 1


async def test_a_subscriber_that_hangs_up_is_forgotten(path: Path) -> None:
    ticker = Ticker()
    async with serve(path, {"subscribe": ticker.subscribe}):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command": "subscribe"}\n')
        await reader.readline()
        writer.close()
        await until(lambda: ticker.closed)


async def test_one_that_does_not_read_holds_up_nobody_and_is_cut_off_with_its_stream(
    path: Path,
) -> None:
    ticker, kiosk = Ticker(), Kiosk()
    async with serve(path, {"subscribe": ticker.subscribe, "status": kiosk.status}):
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command": "subscribe"}\n')
        await until(lambda: ticker.sent > 50)
        assert (await ask(path, "status"))["visits"] == 3
        writer.transport.abort()
        await until(lambda: ticker.closed)


async def test_those_that_do_not_read_keep_nobody_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_READS_WITHIN_S", 0.2)
    tickers, kiosk = [Ticker() for _ in range(16)], Kiosk()
    streams = iter(tickers)
    commands: dict[str, control.Command] = {
        "subscribe": lambda _: next(streams).subscribe({}),
        "status": kiosk.status,
    }
    async with serve(path, commands):
        writers = []
        for _ in tickers:
            _, writer = await asyncio.open_unix_connection(path)
            writer.write(b'{"command": "subscribe"}\n')
            writers.append(writer)
        await until(lambda: all(ticker.closed for ticker in tickers))
        assert (await ask(path, "status"))["visits"] == 3
        for writer in writers:
            writer.transport.abort()


async def test_a_subscriber_may_say_what_it_wants_and_is_not_heard(path: Path) -> None:
    ticker = Ticker()
    async with serve(path, {"subscribe": ticker.subscribe}):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command": "subscribe"}\n' + b"x" * 1_000_000 + b"\n")
        for _ in range(5):
            assert await reader.readline()
        writer.close()


async def test_a_kiosk_that_stops_ends_its_streams(path: Path) -> None:
    ticker = Ticker()
    async with serve(path, {"subscribe": ticker.subscribe}):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command": "subscribe"}\n')
        await reader.readline()
    async with asyncio.timeout(patient_s(10)):
        while await reader.read(65536):
            pass
    writer.close()
    await until(lambda: ticker.closed)


async def test_where_nobody_answers_nothing_is_subscribed_to(path: Path) -> None:
    with pytest.raises(UnavailableError, match="no kiosk answers"):
        await asyncio.to_thread(lambda: list(control.subscribe(path)))
