"""A client's connection that knows when it last heard anything. Imported when one is opened."""

import asyncio
from typing import Any

from websockets.asyncio.client import ClientConnection


class HeardConnection(ClientConnection):
    """`heard_s`: when the last byte came, on the loop's clock."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heard_s = asyncio.get_running_loop().time()

    def data_received(self, data: bytes) -> None:
        self.heard_s = asyncio.get_running_loop().time()
        super().data_received(data)
