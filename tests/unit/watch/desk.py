"""What is around a watcher: a mail server, a webhook, and entries to write down."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kiosk.causes import CAUSES
from kiosk.ops.messages import MESSAGES


def entry(name: str, kiosk: str = "lobby", **fields: str) -> dict[str, str]:
    """A kiosk's journal entry, as it is in the journal."""
    known = MESSAGES.get(name) or CAUSES[name]
    cause = {} if name in MESSAGES else {"KIOSK_CAUSE": name}
    priority = str(getattr(known, "priority", 4))
    return {
        "MESSAGE": "the visitor said marzipan",
        "MESSAGE_ID": known.id,
        "KIOSK_EVENT": name,
        "KIOSK_ID": kiosk,
        "PRIORITY": priority,
        **cause,
        **fields,
    }


@dataclass
class Mailbox:
    """What a mail server took; `refuses`: how many more messages it does not take."""

    port: int = 0
    refuses: int = 0
    letters: list[str] = field(default_factory=list)


@asynccontextmanager
async def mail_server() -> AsyncIterator[Mailbox]:
    """A small SMTP server."""
    box = Mailbox()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def answer(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        answer("220 desk")
        while line := (await reader.readline()).decode().strip():
            command = line.split()[0].upper()
            if command == "DATA" and box.refuses:
                box.refuses -= 1
                answer("451 later")
            elif command == "DATA":
                answer("354 go on")
                letter = (await reader.readuntil(b"\r\n.\r\n")).decode()
                box.letters.append(letter)
                answer("250 taken")
            elif command == "QUIT":
                answer("221 bye")
                break
            else:
                answer("250 fine")
        writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    async with server:
        yield box


@dataclass
class Hook:
    """What was posted; `answers`: statuses to come, then 204."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    posted: list[dict[str, object]] = field(default_factory=list)
    asked: int = 0


@asynccontextmanager
async def webhook() -> AsyncIterator[Hook]:
    """A small HTTP server."""
    hook = Hook()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        body = await reader.readexactly(length)
        hook.asked += 1
        status = hook.answers.pop(0) if hook.answers else 204
        if status < 300:
            hook.posted.append(json.loads(body))
        writer.write(
            f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    hook.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook/secret"
    async with server:
        yield hook
