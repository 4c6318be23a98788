"""The kiosk's side of its backend, made of the settings."""

import logging
import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from kiosk.base import service
from kiosk.base.ids import NewId, random_id
from kiosk.causes import fault
from kiosk.config import Settings, compat_api_key, device_token, state_dir
from kiosk.errors import ConfigError
from kiosk.link.account import Account, OnHandout
from kiosk.link.backend import BackendClient
from kiosk.link.credentials import Credentials, PublicAgent, Rooms
from kiosk.link.heartbeat import Heartbeats
from kiosk.link.lease_file import LeaseFile
from kiosk.link.lease_keeper import LeaseKeeper
from kiosk.link.report_file import ReportFile

log = logging.getLogger(__name__)

TOKEN_FILE = "device-token"  # noqa: S105  the name of a file
_REPORT_FILE = "reports.json"
_LEASE_FILE = "leases.json"


def _nothing() -> Mapping[str, float]:
    return {}


@dataclass(frozen=True, slots=True)
class BackendLink:
    """What opens conversations, and with a backend its client; where it is ours, also what tells
    it how the kiosk is, and what is counted here."""

    credentials: Credentials
    heartbeats: Heartbeats | None = None
    counters: Callable[[], Mapping[str, float]] = _nothing
    client: BackendClient | None = None


async def connect_backend(
    settings: Settings,
    stack: AsyncExitStack,
    jitter: Callable[[], float] = random.random,
    new_id: NewId = random_id,
    on_handout: OnHandout = lambda *_: None,
) -> BackendLink:
    """Raises ConfigError; `stack` closes what is opened. `on_handout` is given the address of what
    was made for a visitor."""
    credentials, rooms = settings.credentials, rooms_of(settings)
    if credentials.mode == "public":
        return BackendLink(_public_agent(settings, new_id, rooms))
    directory = state_dir(settings)
    url, token, language = credentials.backend_url, device_token(settings), settings.kiosk.language
    edition = settings.agent.edition
    token_file = directory / TOKEN_FILE if directory else None
    transport = settings.agent.transport
    client = BackendClient(url, token, token_file, language, edition, transport)
    await stack.enter_async_context(client)
    reports = ReportFile(directory / _REPORT_FILE) if directory else None
    account = Account(client, jitter, file=reports, on_handout=on_handout)
    stack.push_async_callback(account.close)
    in_memory = service.runtime_directory()
    # Of another backend, enrolled anew, of another language, edition or road, it has other leases.
    asked_with = (url, token, language, edition.model_dump_json(), transport)
    leases = LeaseFile(in_memory / _LEASE_FILE, *asked_with) if in_memory else None
    keeper = LeaseKeeper(
        client.fetch,
        credentials.policy,
        account=account,
        leases=credentials.leases,
        file=leases,
        jitter=jitter,
        new_id=new_id,
        rooms=rooms,
    )
    if not client.keeps_account:
        log.info("the backend is not ours: it is told nothing of visits and takes no heartbeats")
        return BackendLink(keeper, client=client)

    def counters() -> Mapping[str, float]:
        return {
            **({"leases": keeper.in_hand} if keeper.fetches_ahead else {}),
            "untold_reports": account.untold_reports,
            "dropped_reports": account.dropped_reports,
        }

    return BackendLink(keeper, Heartbeats(client, keeper.follow, jitter, new_id), counters, client)


def rooms_of(settings: Settings) -> Rooms | None:
    """Where conversations are held over WebRTC; None: the WebSocket is this kiosk's road. Raises
    ConfigError where what it needs is not installed."""
    if settings.agent.transport == "websocket":
        return None
    try:
        # Now, and not at the first press, which it would hold up for a third of a second.
        import livekit.rtc  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            'agent.transport: "webrtc" needs a package that is not installed: pip install '
            "'voice-kiosk[webrtc]', on a 64-bit system; or choose \"websocket\""
        ) from error
    webrtc = settings.webrtc
    return Rooms(
        webrtc.url or _rooms_url(settings.agent.url),
        webrtc.relay_only,
        webrtc.single_peer_connection,
    )


def _rooms_url(agent_url: str) -> str:
    """The rooms of a region have the region's host; a local agent has both in one place."""
    scheme, _, rest = agent_url.rstrip("/").partition("://")
    if rest.startswith("api.") and rest.endswith(".elevenlabs.io"):
        rest = f"livekit.rtc.{rest.removeprefix('api.')}"
    return f"{scheme}://{rest}"


def _public_agent(settings: Settings, new_id: NewId, rooms: Rooms | None) -> PublicAgent:
    api_key = compat_api_key(settings)
    if api_key is not None:
        log.warning(
            "convai.compat.api_key_file: the API KEY of the account stands in every "
            "address this kiosk opens, and in the logs of every server on the way; for "
            "development only: remove the line before visitors come",
            extra=fault("api_key_in_address"),
        )
    return PublicAgent(settings.agent.url, settings.agent.id, api_key, new_id, rooms)
