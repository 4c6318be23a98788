"""Statistics of a room: the few figures that are told of the many which WebRTC's library has.

Pure: their shape is that of W3C's "Identifiers for WebRTC's Statistics API".
"""

from collections.abc import Iterable
from typing import Any, Protocol

from kiosk.link.path import RoomPath

# Opus has 48 samples a millisecond in them, whatever is played.
_SAMPLES_PER_MS = 48


class Statistics(Protocol):
    """The library's, of both directions."""

    publisher_stats: list[Any]
    subscriber_stats: list[Any]


def _of(kind: str, all_: Iterable[Any]) -> list[Any]:
    return [getattr(each, kind) for each in all_ if each.WhichOneof("stats") == kind]


def _is_sound(each: Any) -> bool:
    return bool(each.stream.kind == "audio")


def received(statistics: Statistics) -> int:
    """A count of all that came, with what only keeps the way open: it grows while anything does."""
    both = (*statistics.publisher_stats, *statistics.subscriber_stats)
    pairs = _of("candidate_pair", both)
    kept_open: int = sum(each.candidate_pair.responses_received for each in pairs)
    data: int = sum(each.candidate_pair.bytes_received for each in pairs)
    return kept_open + data


def room_path(statistics: Statistics) -> RoomPath | None:
    """What is known of the way; None while there is none."""
    both = (*statistics.publisher_stats, *statistics.subscriber_stats)
    pairs = [each.candidate_pair for each in _of("candidate_pair", both)]
    used = [each for each in pairs if each.nominated]
    if not used:
        return None
    ways = {each.rtc.id: each.candidate for each in _of("local_candidate", both)}
    way = ways.get(used[0].local_candidate_id)
    sent = [each for each in _of("outbound_rtp", both) if _is_sound(each)]
    missed = [each for each in _of("remote_inbound_rtp", both) if _is_sound(each)]
    came = [each for each in _of("inbound_rtp", both) if _is_sound(each)]
    made_up = sum(
        each.inbound.concealed_samples - each.inbound.silent_concealed_samples for each in came
    )
    return RoomPath(
        round_trip_ms=round(1000 * used[0].current_round_trip_time, 1),
        jitter_ms=round(1000 * max((each.received.jitter for each in came), default=0.0), 1),
        sent_packets=sum(each.sent.packets_sent for each in sent),
        lost_packets=sum(max(each.received.packets_lost, 0) for each in missed),
        received_packets=sum(each.received.packets_received for each in came),
        missed_packets=sum(max(each.received.packets_lost, 0) for each in came),
        concealed_ms=max(made_up, 0) // _SAMPLES_PER_MS,
        sent_bytes=sum(each.bytes_sent for each in used),
        received_bytes=sum(each.bytes_received for each in used),
        way="" if way is None else _way_name(way),
    )


def _way_name(candidate: Any) -> str:
    """The name of a candidate's kind, in small letters."""
    field = candidate.DESCRIPTOR.fields_by_name["candidate_type"]
    name: str = field.enum_type.values_by_number[candidate.candidate_type].name
    return name.lower()
