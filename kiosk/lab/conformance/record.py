"""Record of one connection: what its client did, counted. Pure: no I/O, no clock.

It keeps counters, running figures and the names of fields; no sound, and nothing that was said. The
rules in `rules` read it when the connection is over.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from kiosk.agent.dialect import Read
from kiosk.audio.pcm import FORMATS, PcmFormat
from kiosk.convai.client_messages import Initiation, UserAudio
from kiosk.convai.fields import Json, flag, table, text
from kiosk.convai.frames import Malformed, Unknown, json_object
from kiosk.convai.nested import set_paths
from kiosk.convai.overrides import OVERRIDE_NAMES
from kiosk.lab.conformance.figures import Noted, Pongs, ToneFinder, ToolCalls, UplinkFigures

# A secret in a URL ends in every log on the way.
_SECRETS = ("xi-api-key", "xi_api_key", "authorization")
# What the witness reads of what is sent fits; large odd frames do not concern it.
_READ_UP_TO = 4096
# Its place differs between versions of the contract; both are right.
_TWO_PLACES = {"agent.native_mcp_server_ids"}

# Fields of the contract whose type the parser does not insist on, or of which it tells no name.
_TYPES: Mapping[str, Mapping[str, type]] = {
    "conversation_initiation_client_data": {
        "conversation_config_override": dict,
        "custom_llm_extra_body": dict,
        "dynamic_variables": dict,
        "source_info": dict,
        "user_id": str,
    },
    "client_tool_result": {"tool_call_id": str, "result": str, "is_error": bool},
    "contextual_update": {"text": str, "context_id": str},
    "user_message": {"text": str},
    "mcp_tool_approval_result": {"tool_call_id": str, "is_approved": bool},
}
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "client_tool_result": ("tool_call_id", "result", "is_error"),
    "contextual_update": ("text",),
    "user_message": ("text",),
}


@dataclass(slots=True)
class PlayedAudio:
    """A probe of the examination's, and the ping that followed it (None: not yet)."""

    name: str
    at_s: float
    ping: int | None = None


class ConnectionRecord:
    """The witness of one connection. `input_format` is the one that is announced to the client."""

    def __init__(
        self, path: str, user_agent: str, input_format: PcmFormat, output_format: PcmFormat
    ) -> None:
        self.output_format = output_format
        self.user_agent = user_agent
        self.source = self.version = ""
        query = {name.lower() for name in parse_qs(urlsplit(path).query, keep_blank_values=True)}
        self.secrets_in_url = sorted(query.intersection(_SECRETS))
        # Frames
        self.frames = 0
        self.first_was_initiation = False
        self.initiations = 0
        self.text_only = False
        self.overrides = 0
        self.misplaced = Noted()
        self.binary = 0
        self.bare = 0
        self.not_objects = 0
        self.unknown = Noted()
        self.ill_formed = Noted()
        # What goes to and fro
        self.pongs = Pongs()
        self.tools = ToolCalls()
        self.uplink = UplinkFigures(input_format)
        self.tone = ToneFinder(input_format)
        self.played: list[PlayedAudio] = []
        self.on_pong: Callable[[], None] = lambda: None
        # The beginning, the probe under way, the end
        self.metadata_frame: str | None = None
        self.metadata_s: float | None = None
        self._probe: PlayedAudio | None = None
        self.close_code: int | None = None
        self.closed_by_agent = False
        self.closed_s = 0.0

    # --- what the link tells --------------------------------------------------------------------

    def received(self, frame: str | bytes, read: Read, at_s: float) -> None:
        self.frames += 1
        self.closed_s = at_s  # as far as is known
        if isinstance(read, UserAudio):
            self._hear(read.audio, at_s)
        elif isinstance(frame, bytes):
            self.binary += 1
        elif not frame.strip():
            self.bare += 1
        else:
            body = json_object(frame)
            if isinstance(body, Malformed):
                self.not_objects += 1
            elif set(body) == {"text"}:  # another service's end of stream
                self.bare += 1
            else:
                self._read(body, read, at_s)

    def sent(self, frame: str | bytes, at_s: float) -> None:
        if isinstance(frame, bytes) or len(frame) > _READ_UP_TO:
            return
        body = json_object(frame)
        if isinstance(body, Malformed):
            return
        match body.get("type"):
            case "conversation_initiation_metadata" if self.metadata_frame is None:
                self.metadata_frame, self.metadata_s = frame, at_s
            case "ping":
                # Behind a probe's frames a ping waits for them: its time says nothing.
                self.pongs.sent(
                    table(body, "ping_event").get("event_id"), at_s, timed=self._probe is None
                )
            case "client_tool_call":
                call = table(body, "client_tool_call")
                self.tools.sent(
                    text(call, "tool_call_id") or "",
                    text(call, "tool_name") or "",
                    flag(call, "expects_response", default=True),
                    at_s,
                )

    def closed(self, code: int | None, at_s: float) -> None:
        self.close_code, self.closed_s = code, at_s

    # --- what the examination and the server tell -----------------------------------------------

    def probe_begins(self, name: str, at_s: float) -> None:
        self._probe = PlayedAudio(name, at_s)
        self.played.append(self._probe)

    def probe_sent(self) -> None:
        """The ping that was sent last followed the probe."""
        assert self._probe is not None
        self._probe.ping = self.pongs.count

    def probe_over(self) -> None:
        """Pings tell of the client's promptness again."""
        self._probe = None

    def refused(self, why: str) -> None:
        """Even a lenient agent cannot talk on what the client asked for."""
        self.ill_formed.add(f"initiation ({why})")

    # --- frames ---------------------------------------------------------------------------------

    def _hear(self, audio: bytes, at_s: float) -> None:
        if not audio:
            self.ill_formed.add("user_audio_chunk (empty)")
        elif self.uplink.announced.encoding == "pcm" and len(audio) % 2:
            self.ill_formed.add("user_audio_chunk (half a sample)")
        self.uplink.came(len(audio), at_s)
        self.tone.came(audio, at_s)

    def _read(self, body: Mapping[str, Json], read: Read, at_s: float) -> None:
        name = body.get("type")
        if isinstance(read, Unknown):
            self.unknown.add(read.type_name)
            return
        wrong = list(_wrong_fields(name, body)) if isinstance(name, str) else []
        if isinstance(read, Malformed) and not wrong:
            wrong = [read.why]
        for each in wrong:
            self.ill_formed.add(each)
        if name == "conversation_initiation_client_data":
            self._initiate(body, read)
        elif name == "pong":
            self.pongs.came(body.get("event_id"), at_s)
            self.on_pong()
        elif name == "client_tool_result":
            self.tools.came(
                body.get("tool_call_id"),
                is_text=isinstance(body.get("result"), str),
                is_error=body.get("is_error") is True,
                at_s=at_s,
            )

    def _initiate(self, body: Mapping[str, Json], read: Read) -> None:
        self.initiations += 1
        self.first_was_initiation = self.first_was_initiation or self.frames == 1
        if self.initiations > 1 or not isinstance(read, Initiation):
            return
        self.source, self.version = read.source or "", read.version or ""
        overrides = table(body, "conversation_config_override")
        for path in set_paths(overrides):
            self.overrides += 1
            if path not in OVERRIDE_NAMES and path not in _TWO_PLACES:
                self.misplaced.add(path)
        conversation = table(overrides, "conversation")
        self.text_only = flag(conversation, "text_only", default=False) or flag(
            overrides, "text_only", default=False
        )


def new_record(path: str, user_agent: str, input_name: str, output_name: str) -> ConnectionRecord:
    """For a connection that begins; the formats by their names on the wire."""
    return ConnectionRecord(path, user_agent, FORMATS[input_name], FORMATS[output_name])


def _wrong_fields(type_name: str, body: Mapping[str, Json]) -> Iterator[str]:
    for name, wanted in _TYPES.get(type_name, {}).items():
        if name not in body:
            if name in _REQUIRED.get(type_name, ()):
                yield f"{type_name} (no {name})"
        elif not isinstance(body[name], wanted):
            yield f"{type_name} ({name})"
