"""Serves the backend over HTTP until a signal says stop. No routes, no SQL.

It owns the listening socket and the signals: uvicorn would end the process by the signal itself,
and an operator's `systemctl stop` is not a failure.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import uvicorn
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError
from starlette.types import ASGIApp

from kiosk.backend.books.database import PRESS_S, DatabaseDownError
from kiosk.backend.books.store import Store, open_store
from kiosk.backend.characters.character import Character
from kiosk.backend.connections import BoundedConnection, take_files
from kiosk.backend.mind.access import MindAccess
from kiosk.backend.mind.opening import open_mind
from kiosk.backend.provider.client import AgentAccess, open_provider
from kiosk.backend.settings import BackendSettings
from kiosk.backend.upkeep import Keep, run_upkeep
from kiosk.backend.web.app import create_app
from kiosk.backend.web.metrics import Metrics
from kiosk.backend.web.services import Services
from kiosk.errors import UnavailableError

log = logging.getLogger(__name__)

# What a request under way may still take after a signal; the rest of the two seconds is for
# uvicorn, which looks every 0.1 s.
_LAST_CALL_S = 0.5
_SHUTDOWN_S = 1
_LAST_FLUSH_S = 3
# Then it ends, whatever hangs: a disk for example, in a thread.
_STOP_S = 9
# So many connections may wait to be accepted. A process that has no file left for them logs each of
# these places with a traceback, again and again: with uvicorn's own 2048, megabytes a second.
_BACKLOG = 64
# Longer than a proxy keeps an idle connection (deploy/backend/Caddyfile: two minutes): it must not
# send a press into one that is closed here at that moment.
_KEEP_ALIVE_S = 130
# A whole talk, again with each turn of the visitor's.
_LARGEST_FRAME_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is read from files when the server starts, and stands nowhere else."""

    api_key: SecretStr
    webhooks: Sequence[SecretStr] = ()
    llm: Sequence[SecretStr] = ()
    model_key: SecretStr | None = None


async def serve(
    settings: BackendSettings,
    secrets: Secrets,
    characters: Mapping[str, Character],
    listening: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT; calls `listening` with the URL once connections are accepted.

    Must run in the main thread. Raises UnavailableError if the address cannot be had.
    """
    take_files()
    metrics = Metrics()
    access = AgentAccess(settings.provider_url, settings.agent_id, settings.include_conversation_id)
    async with (
        open_store(settings.database_url, usual_s=PRESS_S) as store,
        open_provider(access, secrets.api_key) as provider,
        _access_to_mind(settings, secrets, metrics, store) as mind,
    ):
        services = Services(
            store=store,
            provider=provider,
            characters=characters,
            webhook_secrets=secrets.webhooks,
            store_transcripts=settings.store_transcripts,
            metrics=metrics,
            mind=mind,
            monthly_budget=settings.monthly_budget,
        )
        with contextlib.closing(_listen(settings.host, settings.port)) as sock:
            url = _url(sock)
            config = server_config(create_app(services), websockets=mind is not None)
            keep = Keep(
                timedelta(days=settings.transcript_days), timedelta(days=settings.visit_days)
            )
            server = _Server(config, lambda: listening(url))

            def stop() -> None:
                signal.alarm(_STOP_S)
                server.should_exit = True
                services.hub.close()
                provider.hurry(_LAST_CALL_S)

            with _on_signals(stop):
                async with asyncio.TaskGroup() as tasks:
                    upkeep = run_upkeep(services, keep)
                    beside = tasks.create_task(upkeep, name="upkeep")
                    await server.serve(sockets=[sock])
                    beside.cancel()
            await _flush_last(store)


@contextlib.asynccontextmanager
async def _access_to_mind(
    settings: BackendSettings, secrets: Secrets, metrics: Metrics, store: Store
) -> AsyncIterator[MindAccess | None]:
    if not settings.mind:
        yield None
        return
    opening = open_mind(settings.mind, secrets.model_key, metrics.spent, store.talks)
    async with opening as opened:
        yield MindAccess(
            opened.mind,
            secrets.api_key,
            secrets.llm,
            opened.pace,
            opened.greeting,
            makes_handouts=opened.makes_handouts,
        )


def server_config(app: ASGIApp, *, websockets: bool = False) -> uvicorn.Config:
    """How uvicorn serves it; WebSockets only where somebody may open one."""
    return uvicorn.Config(
        app,
        access_log=False,  # it would log query strings
        backlog=_BACKLOG,
        http=BoundedConnection,
        lifespan="off",
        log_config=None,
        log_level="warning",
        loop="asyncio",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        timeout_keep_alive=_KEEP_ALIVE_S,
        ws="websockets-sansio" if websockets else "none",
        ws_max_size=_LARGEST_FRAME_BYTES,
        ws_ping_interval=20,
        ws_ping_timeout=20,
    )


async def _flush_last(store: Store) -> None:
    """Write the heartbeats that wait, unless the database is what a stop would wait for."""
    try:
        async with asyncio.timeout(_LAST_FLUSH_S):
            await store.liveness.flush()
    except (DBAPIError, DatabaseDownError, TimeoutError) as error:
        log.warning("the last heartbeats are not written: %s", type(error).__name__)


class _Server(uvicorn.Server):
    """uvicorn that leaves the signals alone and says when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._listening()


@contextlib.contextmanager
def _on_signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    signal.signal(signal.SIGALRM, _end_now)
    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _end_now(_number: int, _frame: object) -> None:
    """What hangs is left: an operator's stop is no failure."""
    log.error("something hangs: stopped without waiting for it")
    logging.shutdown()
    os._exit(0)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, port), family=family)
    except OSError as error:
        raise UnavailableError(f"cannot listen on {host} port {port}: {error.strerror}") from None
    # asyncio does this only for sockets made with an explicit protocol; without it every answer
    # waits 40 ms for the client's delayed acknowledgement of its headers.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
