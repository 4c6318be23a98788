"""A small server of chat completions, as OpenAI and many others speak them; it fails on demand."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from tests.backend.mind.messages_api import MessagesApi


@dataclass
class CompletionsApi(MessagesApi):
    """What it answers; `counts`: it tells the tokens, as not every one does."""

    stop_reason: str = "stop"
    counts: bool = True
    odd: dict[str, Any] | None = None  # a chunk that is like this

    def _stream(self) -> bytes:
        def chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
            same = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "small"}
            return {**same, "choices": list(choices), **more}

        def choice(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
            return {"index": 0, "delta": delta, "finish_reason": finish}

        chunks = [chunk(choice({"role": "assistant", "content": ""}))]
        chunks += [chunk(choice({"content": text})) for text in self.texts]
        if self.odd is not None:
            chunks.append({**chunk(), **self.odd})
        chunks.append(chunk(choice({}, self.stop_reason)))
        if self.counts:
            cached = {"cached_tokens": 64}
            usage = {"prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109}
            chunks.append(chunk(usage={**usage, "prompt_tokens_details": cached}))
        data = [json.dumps(each, ensure_ascii=False) for each in chunks]
        return "".join(f"data: {each}\n\n" for each in [*data, "[DONE]"]).encode()


@contextlib.asynccontextmanager
async def completions_api(**how: Any) -> AsyncIterator[CompletionsApi]:
    """It, at its `url`."""
    api = CompletionsApi(**how)
    async with await asyncio.start_server(api.serve_one, "127.0.0.1", 0) as server:
        api.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield api
