"""What is told of a conversation's way, whichever road it took."""

from kiosk.link.path import Path, RoomPath
from kiosk.moments import LinkMeasured, RoomMeasured
from kiosk.visit.link_figures import measured_of


def test_of_a_socket_the_systems_figures_are_told() -> None:
    assert measured_of(Path(40.26, 900, 3), 110.0, 100.0) == LinkMeasured(
        110.0, round_trip_ms=40.3, sent_segments=900, resent_segments=3
    )


def test_of_a_room_bit_rates_are_told_over_the_time_it_was_open() -> None:
    path = RoomPath(41.0, 2.5, 500, 5, 480, 4, 120, 100_000, 50_000, "relay")
    told = measured_of(path, 110.0, 100.0)
    assert isinstance(told, RoomMeasured)
    assert (told.sent_kbit_s, told.received_kbit_s) == (80.0, 40.0)
    assert (told.lost_packets, told.missed_packets, told.concealed_ms) == (5, 4, 120)
    assert told.way == "relay"


def test_where_nothing_is_known_nothing_is_told() -> None:
    assert measured_of(None, 110.0, 100.0) is None
