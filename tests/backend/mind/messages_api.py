"""A small Messages API: speaks Anthropic's wire, in pieces of any size, and fails on demand."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

KEY = "sk-ant-0123456789"


@dataclass
class MessagesApi:
    """What it answers, and what it was asked. `cut_after`: so many bytes of the stream, and then
    it hangs up; `hangs_after`: and then it says nothing more."""

    texts: Sequence[str] = ("The whales are ", "in the main hall.")
    stop_reason: str = "end_turn"
    status: int = 200
    piece_bytes: int = 4096
    is_chunked: bool = True  # else the answer ends when it hangs up
    cut_after: int | None = None
    hangs_after: int | None = None
    usage: dict[str, Any] = field(default_factory=lambda: {"input_tokens": 10, "output_tokens": 1})
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one question."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
            headers = {name.lower(): value for name, _, value in lines}
            body = await reader.readexactly(int(headers["content-length"]))
            self.headers.append(headers)
            self.asked.append(json.loads(body))
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind = "text/event-stream" if self.status == 200 else "application/json"
        length = "Transfer-Encoding: chunked\r\n" if self.is_chunked else ""
        head = f"HTTP/1.1 {self.status} X\r\nContent-Type: {kind}\r\n{length}"
        writer.write(f"{head}Connection: close\r\n\r\n".encode())
        if self.status != 200:
            error = {"type": "error", "error": {"type": "some_error", "message": "whales"}}
            self._write(writer, json.dumps(error).encode())
            self._write(writer, b"")
            await writer.drain()
            return
        most = self.hangs_after if self.cut_after is None else self.cut_after
        stream = self._stream()[:most]
        for at in range(0, len(stream), self.piece_bytes):
            self._write(writer, stream[at : at + self.piece_bytes])
            await writer.drain()
            await asyncio.sleep(0)
        if self.hangs_after is not None:
            await reader.read()
            self.hung_up.set()
        elif self.cut_after is None:
            self._write(writer, b"")

    def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(b"%x\r\n%b\r\n" % (len(data), data) if self.is_chunked else data)

    def _stream(self) -> bytes:
        message: dict[str, Any] = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": self.usage,
        }  # fmt: skip
        events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
        if self.texts:
            start = {"type": "text", "text": ""}
            events.append({"type": "content_block_start", "index": 0, "content_block": start})
            events += [
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "text_delta", "text": text},
                }
                for text in self.texts
            ]
            events.append({"type": "content_block_stop", "index": 0})
        delta = {"stop_reason": self.stop_reason, "stop_sequence": None}
        events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9}})
        events.append({"type": "message_stop"})
        return b"".join(
            f"event: {each['type']}\ndata: {json.dumps(each, ensure_ascii=False)}\n\n".encode()
            for each in events
        )


@contextlib.asynccontextmanager
async def messages_api(**how: Any) -> AsyncIterator[MessagesApi]:
    """It, at its `url`."""
    api = MessagesApi(**how)
    async with await asyncio.start_server(api.serve_one, "127.0.0.1", 0) as server:
        api.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield api
