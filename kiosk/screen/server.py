"""The screen's server, on this machine's loopback only: three files, and a WebSocket of views.

Any page that a browser here has open could ask for what visitors say, and a name on the internet
could lead here: so only the page's own address and origin are answered.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from kiosk.errors import KioskError, UnavailableError
from kiosk.screen.view import KINDS, Screen, View

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

log = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_AGAIN_S = 1.0
_GONE_S = 10.0
# Time to take out a telephone.
_TAKEN_S = 90.0
_ANSWERS_WITHIN_S = 5.0
_LONGEST_LINE_BYTES = 1 << 20
_MOST_BROWSERS = 8
_TAKES_WITHIN_S = 5.0
_VIEW_PATH = "/view"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/screen.css": ("screen.css", "text/css; charset=utf-8"),
    "/screen.js": ("screen.js", "text/javascript; charset=utf-8"),
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class ScreenServer:
    """Follows the kiosk behind a control socket, and shows it to whoever opens the page.
    `size_vh`: of the type, in hundredths of the display's height."""

    def __init__(self, socket: Path, screen: Screen, size_vh: float) -> None:
        self._socket = socket
        self._screen = screen
        self._changed = asyncio.Condition()
        self._browsers = 0
        self._files = {path: _read(name, size_vh) for path, (name, _) in _FILES.items()}
        self._told: str | None = None

    async def run(self, port: int, on_listening: Callable[[str], None]) -> None:
        """Serve until cancelled; raises KioskError if the port is taken."""
        from websockets.asyncio.server import serve

        try:
            server = await serve(
                self._show, _HOST, port, process_request=self._answer, compression=None,
                max_size=1024, ping_interval=20.0,
            )  # fmt: skip
        except OSError as error:
            raise UnavailableError(
                f"screen.port: {port} cannot be used: {error.strerror or error}"
            ) from error
        async with server:
            its = next(iter(server.sockets)).getsockname()[1]
            self._names = {f"{name}:{its}" for name in (_HOST, "localhost")}
            on_listening(f"http://{_HOST}:{its}/")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hush(), name="hush")
                tasks.create_task(self._put_away(), name="put away")
                await self._follow()

    # --- the kiosk ------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            try:
                async with contextlib.aclosing(self._events()) as events:
                    async for event in events:
                        self._take(event)
                        await self._tell_browsers()
            except (OSError, ValueError, KioskError) as error:
                self._tell(f"no kiosk answers on {self._socket}: {error}")
            self._screen.away()
            await self._tell_browsers()
            await asyncio.sleep(_AGAIN_S)

    async def _hush(self) -> None:
        """After what was said last, if nobody has said anything since."""
        while True:
            said = self._screen.view.said
            try:
                async with asyncio.timeout(_GONE_S), self._changed:
                    await self._changed.wait_for(lambda: self._screen.view.said != said)  # noqa: B023
            except TimeoutError:
                self._screen.hush()
                await self._tell_browsers()

    async def _put_away(self) -> None:
        """The code of a handout, when it was there for long enough."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._screen.view.code)
            code = self._screen.view.code
            try:
                async with asyncio.timeout(_TAKEN_S), self._changed:
                    await self._changed.wait_for(lambda: self._screen.view.code != code)  # noqa: B023
            except TimeoutError:
                self._screen.put_away()
                await self._tell_browsers()

    async def _tell_browsers(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _events(self) -> AsyncGenerator[Mapping[str, object], None]:
        """Raises OSError, ValueError, and KioskError if the kiosk refuses."""
        async with asyncio.timeout(_ANSWERS_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(
                self._socket, limit=_LONGEST_LINE_BYTES
            )
        try:
            request = {"command": "subscribe", "events": list(KINDS)}
            writer.write(json.dumps(request).encode() + b"\n")
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                line = await reader.readline()
            while line:
                event = json.loads(line)
                if isinstance(event, dict):
                    yield event
                line = await reader.readline()
        finally:
            writer.close()
        raise ConnectionError("it hung up")

    def _take(self, event: Mapping[str, object]) -> None:
        match event:
            case {"ok": False, "error": error}:
                raise KioskError(str(error))
            case {"snapshot": dict(fields)}:
                self._tell("the kiosk answers")
                self._screen.snapshot(fields)
            case _:
                self._screen.follow(event)

    def _tell(self, what: str) -> None:
        """Once, and again when it changes."""
        if what != self._told:
            self._told = what
            log.info("%s", what)

    # --- browsers -------------------------------------------------------------------------------

    async def _show(self, browser: "ServerConnection") -> None:
        """Send the view whenever it changed. Who is slow gets the newest, and not all of them."""
        from websockets.exceptions import ConnectionClosed

        shown: View | None = None
        self._browsers += 1
        watching = asyncio.create_task(browser.wait_closed(), name="browser's end")
        try:
            while self._browsers <= _MOST_BROWSERS:
                if shown != self._screen.view:
                    shown = self._screen.view
                    async with asyncio.timeout(_TAKES_WITHIN_S):
                        await browser.send(json.dumps(shown.as_json(), ensure_ascii=False))
                if not await self._next_change(shown, watching):
                    return
        except (ConnectionClosed, TimeoutError):
            return
        finally:
            self._browsers -= 1
            watching.cancel()

    async def _next_change(self, shown: View, watching: "asyncio.Task[None]") -> bool:
        """Wait until there is something else to show; False if the browser is gone."""

        async def changed() -> None:
            async with self._changed:
                await self._changed.wait_for(lambda: self._screen.view != shown)

        waiting = asyncio.create_task(changed(), name="change")
        await asyncio.wait((waiting, watching), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return not watching.done()

    def _answer(self, connection: "ServerConnection", request: "Request") -> "Response | None":
        """The page's files; None lets the WebSocket open."""
        if not self._names.issuperset(request.headers.get_all("Host") or [""]):
            return connection.respond(HTTPStatus.MISDIRECTED_REQUEST, "not this machine's page\n")
        if request.path == _VIEW_PATH:
            origins = {f"http://{name}" for name in self._names}
            if origins.issuperset(request.headers.get_all("Origin") or [""]):
                return None
            return connection.respond(HTTPStatus.FORBIDDEN, "not for another page\n")
        if request.path not in self._files:
            return connection.respond(HTTPStatus.NOT_FOUND, "no such page\n")
        response = connection.respond(HTTPStatus.OK, self._files[request.path])
        for name, value in (
            ("Content-Type", _FILES[request.path][1]),
            ("Content-Security-Policy", _POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):
            if name in response.headers:
                del response.headers[name]
            response.headers[name] = value
        return response


def _read(name: str, size_vh: float) -> str:
    text = (resources.files("kiosk.screen") / "page" / name).read_text("utf-8")
    return text.replace("var(--size)", f"{size_vh:.1f}vh")
