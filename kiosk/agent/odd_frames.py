"""Frames that no server should send, and some that it may: each a client should survive. Pure.

By name, for fault scripts and for the examination of clients.
"""

import base64
from dataclasses import dataclass

from kiosk.convai.frames import MAX_FRAME_BYTES, serialize
from kiosk.convai.server_messages import AgentAudio, Metadata

_HUSH = base64.b64encode(bytes(640)).decode()
_LARGE = 12 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class OddFrame:
    """A frame, made when it is asked for: some are large."""

    why: str
    text: str = ""
    padding: int = 0  # so many characters in a field nobody knows
    binary: bool = False

    def frame(self) -> str | bytes:
        if self.binary:
            return self.text.encode()
        return self.text.replace("PADDING", "x" * self.padding) if self.padding else self.text


ODD_FRAMES: dict[str, OddFrame] = {
    "unknown_type": OddFrame(
        "an event of next year's contract",
        '{"type":"brand_new","brand_new_event":{"event_id":1}}',
    ),
    "unknown_field": OddFrame(
        "a known event with a field of next year's contract",
        '{"type":"vad_score","vad_score_event":{"vad_score":0.1,"new":1},"trace":"x"}',
    ),
    "no_type": OddFrame("a frame without a type", '{"audio_event":{"event_id":1}}'),
    "malformed": OddFrame("half a frame", '{"type":"audio","audio_event":{"audio_base_'),
    "blank": OddFrame("a bare blank", " "),
    "not_an_object": OddFrame("JSON, but no object", "[1,2,3]"),
    "no_payload": OddFrame("audio without its payload", '{"type":"audio"}'),
    "bad_base64": OddFrame(
        "sound that is no base64", '{"type":"audio","audio_event":{"audio_base_64":"%%%"}}'
    ),
    "half_sample": OddFrame(
        "sound that ends in half a sample",
        serialize(AgentAudio(bytes(641))),
    ),
    "audio_without_id": OddFrame(
        "sound without an id",
        f'{{"type":"audio","audio_event":{{"audio_base_64":"{_HUSH}"}}}}',
    ),
    "ping_without_ms": OddFrame(
        "a ping that measured nothing", '{"type":"ping","ping_event":{"event_id":900001}}'
    ),
    "response_without_id": OddFrame(
        "text without its optional fields",
        '{"type":"agent_response","agent_response_event":{"agent_response":""}}',
    ),
    "interruption_without_id": OddFrame(
        "an interruption that names no turn",
        '{"type":"interruption","interruption_event":{}}',
    ),
    "wrong_types": OddFrame(
        "fields of other types than the contract's",
        '{"type":"vad_score","vad_score_event":{"vad_score":"high"}}',
    ),
    "half_surrogate": OddFrame(
        "text that no UTF-8 can hold",
        '{"type":"agent_response","agent_response_event":{"agent_response":"\\ud83d"}}',
    ),
    "deep": OddFrame("ten thousand brackets", "[" * 10_000 + "]" * 10_000),
    "second_metadata": OddFrame(
        "the first frame once more", serialize(Metadata("conv_again", "pcm_16000", "pcm_16000"))
    ),
    "large": OddFrame(
        "12 MiB in one frame", '{"type":"brand_new","brand_new_event":"PADDING"}', _LARGE
    ),
    "giant": OddFrame(
        "more than a frame may hold",
        '{"type":"brand_new","brand_new_event":"PADDING"}',
        MAX_FRAME_BYTES + 1,
    ),
    "binary": OddFrame("a binary frame", '{"type":"user_activity"}', binary=True),
}
