"""Two ways to spell the wire: the true one, and that of popular guides. Pure: no I/O.

`nested` is the published contract, and strict: what it does not know is refused. `flat` is what
guides describe: fields at the top level, no conversation id, no event ids, and frames that belong
to other sockets (a bare blank, `{"text": ""}`). A client that must meet both is tested with both.
"""

import json
from dataclasses import replace
from typing import TypeAlias

from kiosk.convai import fields
from kiosk.convai.client_messages import ClientMessage, ContextualUpdate, UserActivity
from kiosk.convai.client_parsing import parse_client
from kiosk.convai.fields import Json
from kiosk.convai.frames import Malformed, Unknown, json_object, serialize
from kiosk.convai.server_messages import AgentAudio, AgentResponsePart, Ping, UserTranscript
from kiosk.convai.server_parsing import ServerMessage


class EndOfStream:
    """The guides' goodbye."""


Read: TypeAlias = ClientMessage | Unknown | Malformed | EndOfStream


class Nested:
    """The published contract."""

    name = "nested"
    opens_with_initiation = True
    numbers_turns = True

    def write(self, message: ServerMessage) -> str:
        return serialize(message)

    def read(self, frame: str | bytes) -> Read:
        return parse_client(frame)


class Flat:
    """What popular guides describe."""

    name = "flat"
    opens_with_initiation = False
    numbers_turns = False

    def write(self, message: ServerMessage) -> str:
        return json.dumps(self._body(message), separators=(",", ":"), ensure_ascii=False)

    def read(self, frame: str | bytes) -> Read:
        if isinstance(frame, str) and frame.strip() == "":
            return UserActivity()
        body = json_object(frame)
        if isinstance(body, Malformed):
            return body
        if body == {"text": ""}:
            return EndOfStream()
        context = fields.text(body, "context")
        if body.get("type") == "contextual_update" and context is not None:
            return ContextualUpdate(context)
        return parse_client(frame)

    def _body(self, message: ServerMessage) -> dict[str, Json]:
        body = message.body()
        match message:
            case AgentAudio():
                event = fields.table(body, "audio_event")
                return {"type": "audio", "audio_event": {"audio": event["audio_base_64"]}}
            case UserTranscript(text):
                return {"type": body["type"], "user_transcript": {"user_transcription": text}}
            case AgentResponsePart():  # it has a type of its own: nobody could tell them apart
                return replace(message, event_id=None).body()
        flat: dict[str, Json] = {"type": body["type"]}
        for value in body.values():
            if isinstance(value, dict):
                flat.update(value)
        if not isinstance(message, Ping):
            flat.pop("event_id", None)
        flat.pop("conversation_id", None)
        return flat


Dialect: TypeAlias = Nested | Flat
DIALECTS: dict[str, Dialect] = {"nested": Nested(), "flat": Flat()}
