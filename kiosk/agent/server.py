"""The local agent as a server: REST and conversations on one port.

It refuses what the real service refuses, with its close codes and texts.
"""

import asyncio
import contextlib
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from importlib.util import find_spec
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from kiosk.agent.admission import ALL, INVALID_MESSAGE, NotAdmittedError, admit
from kiosk.agent.answer_tests import AnswerTests
from kiosk.agent.archive import Archive
from kiosk.agent.behaviour import AgentBehaviour
from kiosk.agent.client_wire import Connection, Link
from kiosk.agent.dialect import DIALECTS, Dialect
from kiosk.agent.document import Document
from kiosk.agent.examiner import ClientExaminer, ExaminedConnection
from kiosk.agent.faults import FaultPlayer, Faults
from kiosk.agent.guide import Guide
from kiosk.agent.mind_link import MindLink, MindSettings, mind_link
from kiosk.agent.post_call import PostCallSettings, PostCallWebhook
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.requests import RestConnection
from kiosk.agent.rest import Rest, json_response, new_conversation_id, refusal_of_body
from kiosk.agent.rest_faults import answer_badly, handshake_timeout_s
from kiosk.agent.scenario import Scenario, Step
from kiosk.agent.signatures import ROOM_PATH, Claim, Signer, UrlSignatureError
from kiosk.agent.talk import Talk, TimelineSink, Tongue
from kiosk.agent.turn_schedule import Chance
from kiosk.agent.voice import AgentVoice
from kiosk.base.clock import loop_now_s
from kiosk.base.ids import NewId, random_id
from kiosk.convai.client_messages import Initiation
from kiosk.convai.fields import table, text
from kiosk.convai.frames import MAX_FRAME_BYTES
from kiosk.convai.server_messages import ErrorReport, Metadata
from kiosk.errors import UnavailableError

DEFAULT_AGENT_ID = "agent_local"
DEFAULT_API_KEY = "local-agent"

_INITIATION_TIMEOUT_S = 10.0
# A client that never sends its first frame is examined without.
_LENIENCY_S = 2.0
_UNAUTHORIZED = "Could not authorize the conversation."


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Where the agent listens, and what it takes to talk with it. Port 0 takes any free one.

    `allowed_overrides` are dotted names, as "agent.first_message", or "all". Text only needs no
    permission: a client without sound could not talk at all.
    """

    host: str = "127.0.0.1"
    port: int = 8090
    agent_id: str = DEFAULT_AGENT_ID
    api_key: str = field(default=DEFAULT_API_KEY, repr=False)
    public: bool = True  # without a signature, the agent's id is enough
    signature_life_s: float = 900.0
    # Waits this long before the metadata, as a far server does.
    connect_delay_s: float = 0.0
    behaviour: AgentBehaviour = field(default_factory=AgentBehaviour)
    dialect: Dialect = DIALECTS["nested"]
    allowed_overrides: frozenset[str] = frozenset()
    post_call: PostCallSettings | None = None
    mind: MindSettings | None = None  # whoever answers in the guide's place


class LocalAgent:
    """Holds conversations with any number of clients; `listening` is its context.

    `scenario` may be changed at any time; it counts for what begins after that. With an `examiner`
    the agent is lenient: what no client should send is written down, and the talk goes on.
    `translations` are the same guide in other languages, as the live service's presets: a client
    that may override the language gets one, and a visitor who is understood in one is answered in
    it. Whether the recogniser knows them is its own matter: pocketsphinx knows English.
    """

    def __init__(
        self,
        settings: AgentSettings,
        guide: Guide,
        recogniser: Recogniser,
        timeline: TimelineSink,
        scenario: Scenario | None = None,
        examiner: ClientExaminer | None = None,
        voice: AgentVoice | None = None,
        new_id: NewId = random_id,
        chance: Chance = random.random,
        translations: Collection[Guide] = (),
    ) -> None:
        self._new_id = new_id
        self._chance = chance
        self.scenario = scenario
        self._examiner = examiner
        self._settings = settings
        self._recogniser = recogniser
        self._timeline = timeline
        self._tongues = [Tongue(guide, voice or AgentVoice(guide.voice, guide.words_per_minute))]
        self._tongues += [
            Tongue(other, AgentVoice(other.voice, other.words_per_minute)) for other in translations
        ]
        self._signer = Signer(secrets.token_bytes(32), settings.signature_life_s)
        self._document = Document(
            settings.agent_id,
            guide.greeting,
            guide.language,
            settings.behaviour,
            public=settings.public,
            allowed_overrides=settings.allowed_overrides,
            presets=[other.language for other in translations],
        )
        self._archive = Archive(settings.agent_id)
        self._rest = Rest(
            settings.agent_id,
            settings.api_key,
            self._signer,
            self._document,
            self._archive,
            AnswerTests(settings.agent_id, guide.answer, new_id),
            new_id,
        )
        self._webhook = None if settings.post_call is None else PostCallWebhook(settings.post_call)
        self._webhooks: set[asyncio.Task[bool]] = set()  # under way
        self._arrivals: Counter[str] = Counter()
        self._arriving: set[ServerConnection] = set()
        self._room_claims: dict[ServerConnection, Claim] = {}  # of those that come in

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Serve while the context lasts; yields the base URL, `http://HOST:PORT`."""
        host, port = self._settings.host, self._settings.port
        steps = () if self.scenario is None else self.scenario.steps
        try:
            server = await serve(
                self._converse,
                host,
                port,
                process_request=self._process_request,
                create_connection=RestConnection,
                select_subprotocol=_select_subprotocol,
                max_size=MAX_FRAME_BYTES,
                open_timeout=handshake_timeout_s(steps),
                ping_interval=None,
                compression=None,
                close_timeout=1,
            )
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {host}:{port}: {error.strerror}; choose another --port"
            ) from error
        async with server:
            port = next(iter(server.sockets)).getsockname()[1]
            try:
                yield f"http://{host}:{port}"
            finally:
                # A server waits for its handshakes, and a script may hold them for minutes.
                for connection in self._arriving:
                    connection.transport.abort()
                for webhook in self._webhooks:
                    webhook.cancel()

    # --- before the conversation ----------------------------------------------------------------

    async def _process_request(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        assert isinstance(connection, RestConnection)
        if connection.refused is not None:
            return refusal_of_body(connection.refused)
        answer = self._rest.respond(request, connection.method, connection.body)
        path = urlsplit(request.path).path
        # A client that was not let in asks there why.
        if path in (ROOM_PATH, f"{ROOM_PATH}/validate"):
            answer = self._admit_to_room(connection, request) or answer
        moment = "upgrade" if answer is None else "request"
        self._arriving.add(connection)
        try:
            return await answer_badly(self._steps_at(moment), answer, connection)
        finally:
            self._arriving.discard(connection)

    def _admit_to_room(self, connection: RestConnection, request: Request) -> Response | None:
        """None, or the refusal of whoever shows no good token; of everybody, where there is nothing
        to hold a room with."""
        if find_spec("aiortc") is None or find_spec("livekit") is None:
            text = "this local agent holds no rooms: pip install aiortc livekit-protocol"
            return json_response(HTTPStatus.NOT_IMPLEMENTED, {"detail": text})
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        shown = shown or parse_qs(urlsplit(request.path).query).get("access_token", [""])[0]
        try:
            self._room_claims[connection] = self._signer.check_token(shown, loop_now_s())
        except UrlSignatureError as refusal:
            return json_response(HTTPStatus.UNAUTHORIZED, {"detail": str(refusal)})
        return None

    def _steps_at(self, moment: str) -> list[Step]:
        self._arrivals[moment] += 1
        steps = () if self.scenario is None else self.scenario.steps
        number = self._arrivals[moment]
        return [step for step in steps if step.on == moment and step.nth in (None, number)]

    def _claim(self, request: Request) -> Claim:
        """Who wants in; raises SignatureError."""
        settings = self._settings
        claim = self._signer.check(request.path, loop_now_s())
        if claim.agent_id != settings.agent_id:
            raise UrlSignatureError("The AI agent you are trying to reach does not exist.")
        key = parse_qs(urlsplit(request.path).query).get("xi-api-key")
        if key is not None and self._examiner is None:
            # No contract has this; only guides do, whose dialect takes it.
            if settings.dialect.opens_with_initiation or key != [settings.api_key]:
                raise UrlSignatureError(_UNAUTHORIZED)
        elif not (claim.signed or self._document.public or key == [settings.api_key]):
            raise UrlSignatureError(_UNAUTHORIZED)
        return claim

    # --- the conversation -----------------------------------------------------------------------

    async def _converse(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self._arrivals["conversation"] += 1
        if urlsplit(connection.request.path).path == ROOM_PATH:
            await self._converse_in_room(connection)
            return
        try:
            claim = self._claim(connection.request)
        except UrlSignatureError as refusal:
            await connection.close(3000, str(refusal))
            return
        if self._examiner is None:
            await self._hold(connection, claim, None)
            return
        examined = self._begin_examination(self._examiner, connection.request)
        try:
            await self._hold(connection, claim, examined)
        finally:
            examined.end(closed_by_agent=_agent_closed(connection))

    async def _converse_in_room(self, signalling: ServerConnection) -> None:
        """The same over WebRTC; what that needs is there for tests and the demo only."""
        from kiosk.agent.room import open_room

        claim = self._room_claims.pop(signalling)
        async with open_room(signalling, f"room_{claim.conversation_id}") as room:
            await self._hold(room, claim, None)

    async def _hold(
        self, connection: Connection, claim: Claim, examined: ExaminedConnection | None
    ) -> None:
        witness = None if examined is None else examined.witness
        link = Link(
            connection,
            self._settings.dialect,
            sends=self._document.sends,
            strict=witness is None,
            witness=witness,
        )
        conversation_id = claim.conversation_id or new_conversation_id(self._new_id)
        initiation = await self._initiation(link)
        if initiation is None:
            await link.close(1008, INVALID_MESSAGE)
            return
        await asyncio.sleep(self._settings.connect_delay_s)
        self._archive.begin(conversation_id)
        try:
            async with contextlib.AsyncExitStack() as stack:
                mind = await self._mind(stack, conversation_id, initiation.user_id or "")
                talk = await self._talk(link, initiation, conversation_id, examined, mind)
                if talk is None:
                    return
                self._tell("connected", conversation_id)
                try:
                    await talk.run()
                finally:
                    self._tell("closed", conversation_id, code=connection.close_code)
        finally:
            self._archive.end(
                conversation_id,
                connection.close_code,
                connection.close_reason or "",
                by_agent=_agent_closed(connection),
            )
            self._send_webhook(conversation_id)

    async def _mind(
        self, stack: contextlib.AsyncExitStack, conversation_id: str, user_id: str
    ) -> MindLink | None:
        """The conversation's own link to the mind, if there is one that answers."""
        settings = self._settings.mind
        if settings is None:
            return None
        try:
            return await stack.enter_async_context(mind_link(settings, conversation_id, user_id))
        except UnavailableError as error:
            self._tell("mind_failed", conversation_id, error=str(error))
            return None

    def _send_webhook(self, conversation_id: str) -> None:
        account = self._archive.as_json(conversation_id)
        if self._webhook is not None and account is not None:
            sending = asyncio.create_task(self._webhook.send(account), name="webhook")
            self._webhooks.add(sending)
            sending.add_done_callback(self._webhooks.discard)

    async def _initiation(self, link: Link) -> Initiation | None:
        """The first frame; None if it is not what it must be."""
        if not link.dialect.opens_with_initiation:
            return Initiation()
        lenient = self._examiner is not None
        try:
            async with asyncio.timeout(_LENIENCY_S if lenient else _INITIATION_TIMEOUT_S):
                first = await link.receive()
        except TimeoutError:
            return Initiation() if lenient else None
        if first is not None and lenient and not isinstance(first, Initiation):
            return Initiation()
        return first if isinstance(first, Initiation) else None

    async def _talk(
        self,
        link: Link,
        initiation: Initiation,
        conversation_id: str,
        examined: ExaminedConnection | None,
        mind: MindLink | None,
    ) -> Talk | None:
        """What follows an initiation; None if the client is refused."""
        scenario, settings = self.scenario, self._settings
        behaviour = self._document.behaviour(settings.behaviour)
        if scenario is not None:
            behaviour = replace(behaviour, **scenario.agent.model_dump(exclude_none=True))
        system = {
            "system__agent_id": settings.agent_id,
            "system__conversation_id": conversation_id,
        }
        tongues = self._tongues_for(initiation)
        greeting = tongues[0].guide.greeting if behaviour.greeting is None else behaviour.greeting
        try:
            allowed = self._document.allowed_overrides if examined is None else {ALL}
            wishes = admit(initiation, greeting, allowed, system)
        except NotAdmittedError as refusal:
            if examined is not None:
                examined.refused(str(refusal))
            # The service accepts first and looks then: connected does not mean accepted.
            formats = behaviour.output_format, behaviour.input_format
            await link.send(Metadata(conversation_id, *formats))
            await link.send(ErrorReport(refusal.code, str(refusal), refusal.error_type))
            await link.close(refusal.code, str(refusal))
            return None
        return Talk(
            conversation_id,
            behaviour,
            wishes,
            tongues,
            self._recogniser,
            link,
            self._faults(examined),
            self._note,
            self._new_id,
            self._chance,
            mind,
        )

    def _tongues_for(self, initiation: Initiation) -> list[Tongue]:
        """Those of the agent's languages, that of the client's choice first."""
        wanted = text(table(initiation.overrides, "agent"), "language")
        return sorted(self._tongues, key=lambda tongue: tongue.guide.language != wanted)

    def _faults(self, examined: ExaminedConnection | None) -> FaultPlayer:
        """What is played to a client: a script, and to one that is examined, the probes."""
        steps = () if self.scenario is None else self.scenario.steps
        number = self._arrivals["conversation"]
        return Faults(steps, number) if examined is None else examined.faults(steps, number)

    def _begin_examination(self, examiner: ClientExaminer, request: Request) -> ExaminedConnection:
        behaviour = self._document.behaviour(self._settings.behaviour)
        user_agent = " ".join(request.headers.get_all("User-Agent"))
        formats = behaviour.input_format, behaviour.output_format
        return examiner.begin(request.path, user_agent, *formats)

    def _tell(self, event: str, conversation_id: str, **fields: object) -> None:
        entry = {"at_s": loop_now_s(), "event": event, "conversation_id": conversation_id}
        self._timeline({**entry, **fields})

    def _note(self, event: dict[str, object]) -> None:
        self._archive.follow(event)
        self._timeline(event)


def _agent_closed(connection: Connection) -> bool:
    """Whether the agent was the first to close."""
    protocol = connection.protocol
    return protocol.close_sent is not None and not protocol.close_rcvd_then_sent


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """`convai` when the client offers it (a browser insists), none when it offers none."""
    convai = Subprotocol("convai")
    return convai if convai in offered else None
