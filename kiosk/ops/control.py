"""The control socket: JSON lines over a Unix socket, for operators and integrators.

A request is `{"command": NAME, ...}` with what the command needs beside it, the answer
`{"ok": true, "protocol": 1, ...}` or `{"ok": false, "protocol": 1, "error": TEXT}`. After the
answer to `subscribe` every line is an event, until the client hangs up: deploy/control.md has them
all. The protocol's number changes when a client that knows the old one would misread an answer.
The socket is readable and writable by its owner and group (0660), and by nobody else.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from kiosk.errors import ConfigError, KioskError, UnavailableError

Answer: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that more `lines` follow, until they end or the client goes. `close` is called at
    the end."""

    first: Answer
    lines: AsyncIterator[Answer]
    close: Callable[[], None]


# Takes the request; answers fields, or `{"ok": False, "error": TEXT}`, at once or in a while.
Command = Callable[[Mapping[str, object]], Answer | Stream | Awaitable[Answer]]

PROTOCOL = 1

_LINE_LIMIT_BYTES = 4096
_CLIENT_LIMIT = 16
_TIMEOUT_S = 5.0
# What takes longer than this is not answered.
_COMMAND_S = 30.0
# A subscriber takes what it was sent within this time, or is cut off.
_READS_WITHIN_S = 5.0


@contextlib.asynccontextmanager
async def serve(path: Path, commands: Mapping[str, Command]) -> AsyncIterator[None]:
    """Answer requests while the context lasts; raises ConfigError if the socket cannot be."""
    clients: set[asyncio.StreamWriter] = set()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.add(writer)
        try:
            if len(clients) <= _CLIENT_LIMIT:
                await _answer_all(reader, writer, commands)
        except (ConnectionError, asyncio.CancelledError):
            return  # it went away, or the kiosk stops
        finally:
            clients.discard(writer)
            writer.close()

    listening = _bind(path)
    server = await asyncio.start_unix_server(client, sock=listening, limit=_LINE_LIMIT_BYTES)
    try:
        yield
    finally:
        server.close()
        for writer in tuple(clients):
            writer.close()
        _remove(path)


def subscribe(path: Path, **fields: object) -> Iterator[dict[str, object]]:
    """The answer to `subscribe` and then its events, until the daemon ends; raises
    UnavailableError. Blocking: for the command line."""
    line = json.dumps({"command": "subscribe", **fields}).encode()
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(line + b"\n")
            connection.settimeout(None)
            with connection.makefile("rb") as lines:
                for received in lines:
                    yield json.loads(received)
    except (OSError, ValueError) as error:
        raise _nobody(path, error) from error


def request(path: Path, command: str, **fields: object) -> dict[str, object]:
    """Ask a running daemon; raises UnavailableError. Blocking: for the command line."""
    return request_within(_TIMEOUT_S, path, command, **fields)


def request_within(
    timeout_s: float, path: Path, command: str, **fields: object
) -> dict[str, object]:
    """The same for a command that takes its time."""
    line = json.dumps({"command": command, **fields}, ensure_ascii=False).encode(errors="replace")
    if len(line) >= _LINE_LIMIT_BYTES:
        raise KioskError(f"too long: a request has less than {_LINE_LIMIT_BYTES} bytes")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(line + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline())
    except (OSError, ValueError) as error:
        raise _nobody(path, error) from error
    if not isinstance(answer, dict):
        raise UnavailableError(f"{path}: not a kiosk's answer")
    return answer


def _nobody(path: Path, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"no kiosk answers on {path} ({error}); is the daemon running (`systemctl status kiosk`), "
        "and are you in its group?"
    )


async def _answer_all(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commands: Mapping[str, Command]
) -> None:
    while True:
        try:
            line = await reader.readline()
        except ValueError:  # longer than the limit: there is no telling where the next one starts
            line, refusal = b"", _error("a request is one short line of JSON")
            writer.write(json.dumps(refusal).encode() + b"\n")
        if not line:
            return
        answer = await _answer(line, commands)
        if isinstance(answer, Stream):
            await _stream(answer, reader, writer)
            return
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()


async def _stream(
    stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send its lines until they end, or the client goes, or does not read."""
    sending = asyncio.create_task(_send_all(stream, writer), name="subscriber")
    gone = asyncio.create_task(_gone(reader), name="subscriber's end")
    try:
        await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stream.close()
        for task in (sending, gone):
            task.cancel()
        await asyncio.wait((sending, gone))
        writer.transport.abort()  # what it has not read until now it never will


async def _send_all(stream: Stream, writer: asyncio.StreamWriter) -> None:
    first = {"ok": True, "protocol": PROTOCOL, **stream.first}
    with contextlib.suppress(ConnectionError):
        writer.write(json.dumps(first, ensure_ascii=False).encode() + b"\n")
        async for line in stream.lines:
            writer.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            try:
                async with asyncio.timeout(_READS_WITHIN_S):
                    await writer.drain()
            except TimeoutError:
                return  # it does not read


async def _gone(reader: asyncio.StreamReader) -> None:
    """Wait until the client hangs up; what it says meanwhile is not heard."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(_LINE_LIMIT_BYTES):
            pass


async def _answer(line: bytes, commands: Mapping[str, Command]) -> Answer | Stream:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        return _error("not JSON")
    if not isinstance(body, dict):
        body = {}
    name = body.get("command")
    command = commands.get(name) if isinstance(name, str) else None
    if command is None:
        return _error(f"commands: {', '.join(sorted(commands))}")
    answer = command(body)
    if isinstance(answer, Stream):
        return answer
    if isinstance(answer, Awaitable):
        try:
            async with asyncio.timeout(_COMMAND_S):
                answer = await answer
        except TimeoutError:
            return _error(f"no answer within {_COMMAND_S:g} s")
    return {"ok": True, "protocol": PROTOCOL, **answer}


def _error(text: str) -> dict[str, object]:
    return {"ok": False, "protocol": PROTOCOL, "error": text}


def _bind(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket():
            if _answers(path):
                raise ConfigError(f"control.socket: another kiosk already answers on {path}")
            path.unlink()  # left behind by one that was killed
        listening.bind(str(path))
        path.chmod(0o660)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"control.socket: cannot listen on {path}: {error.strerror or error}; "
            "name a place where this user may write"
        ) from error
    except ConfigError:
        listening.close()
        raise
    return listening


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
