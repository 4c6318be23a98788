"""A client's connection that knows when it last heard anything. Imported when one is opened."""

from typing import Any

from websockets.asyncio.client import ClientConnection

from kiosk.base.clock import loop_now_s


class ConnectionWithLastHeard(ClientConnection):
    """`heard_s`: when the last byte came, on the loop's clock."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heard_s = loop_now_s()

    def data_received(self, data: bytes) -> None:
        self.heard_s = loop_now_s()
        super().data_received(data)
