"""Figures of a conversation's way, as the moment that tells them. Pure."""

from dataclasses import asdict

from kiosk.link.path import Path, RoomPath
from kiosk.moments import LinkMeasured, Moment, RoomMeasured


def measured_of(path: Path | RoomPath | None, at_s: float, since_s: float) -> Moment | None:
    """What is told of a connection that was open since `since_s`; None where nothing is known."""
    match path:
        case Path():
            return LinkMeasured(
                at_s,
                round_trip_ms=round(path.round_trip_ms, 1),
                sent_segments=path.sent_segments,
                resent_segments=path.resent_segments,
            )
        case RoomPath():
            known = asdict(path)
            bits_ms = max((at_s - since_s) * 1000, 1.0) / 8
            return RoomMeasured(
                at_s,
                sent_kbit_s=round(known.pop("sent_bytes") / bits_ms, 1),
                received_kbit_s=round(known.pop("received_bytes") / bits_ms, 1),
                **known,
            )
        case None:
            return None
