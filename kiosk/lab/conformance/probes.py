"""Probes that a client is examined with, from benign to lethal. Pure data."""

from dataclasses import dataclass

# A tool that the client may have, if somebody wants its results examined, and one that none has.
EXAMINED_TOOL = "examined_tool"
NOBODYS_TOOL = "nobodys_tool"

TOOL_CALLS = "tool_calls"
INTERRUPTION = "interruption"


@dataclass(frozen=True, slots=True)
class Probe:
    """`name` is that of an odd frame, or one of the two above; `patience_s`: how long a ping behind
    it may take before the client counts as deaf."""

    name: str
    reference: str
    patience_s: float = 3.0


_EVENT = "events: optional fields"
_FRAMES = "events: frames"
_UNKNOWN = "events: unknown types"

PROBES = (
    Probe(TOOL_CALLS, "events: client_tool_call"),
    Probe(INTERRUPTION, "interruption semantics"),
    Probe("unknown_type", _UNKNOWN),
    Probe("unknown_field", _UNKNOWN),
    Probe("response_without_id", _EVENT),
    Probe("ping_without_ms", "events: ping"),
    Probe("audio_without_id", _EVENT),
    Probe("interruption_without_id", "interruption semantics"),
    Probe("wrong_types", _EVENT),
    Probe("half_sample", "audio: encoding"),
    Probe("split_samples", "audio: encoding"),
    Probe("no_payload", _EVENT),
    Probe("bad_base64", "audio: encoding"),
    Probe("no_type", _FRAMES),
    Probe("not_an_object", _FRAMES),
    Probe("malformed", _FRAMES),
    Probe("binary", _FRAMES),
    Probe("deep", _FRAMES),
    Probe("second_metadata", "events: conversation_initiation_metadata"),
    # On a slow network 12 MiB take their time.
    Probe("large", _FRAMES, patience_s=15.0),
)
