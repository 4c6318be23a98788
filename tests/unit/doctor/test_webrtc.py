"""The way that WebRTC needs: asked by STUN, and what follows from no answer."""

import socket
import threading
from collections.abc import Iterator

import pytest

from kiosk.doctor.findings import Result
from kiosk.doctor.webrtc import look
from tests.unit.doctor.subjects import is_good_form, subject

WEBRTC = {"transport": "webrtc", "url": "ws://127.0.0.1:1"}


@pytest.fixture(params=["good", "foreign", "late"])
def stun(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """A server by UDP that answers well, with something else, or the second time only."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)

        def serve() -> None:
            for number in range(3):
                asked, address = server.recvfrom(100)
                answer = b"\x01\x01\x00\x00" + asked[4:20]
                if request.param == "foreign":
                    server.sendto(answer[:-1] + b"?", address)
                elif number or request.param == "good":
                    server.sendto(answer, address)
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        yield request.param, server.getsockname()[1]
        thread.join()


def test_an_answer_by_udp_is_well_and_anything_else_is_none(stun: tuple[str, int]) -> None:
    kind, port = stun
    (finding,) = look(subject(agent=WEBRTC), port)
    is_good_form(finding)
    assert finding.result is (Result.WARN if kind == "foreign" else Result.PASS)
    assert "UDP" in finding.value


def test_over_the_websocket_nothing_is_asked() -> None:
    (finding,) = look(subject())
    assert finding.result is Result.SKIP


def test_where_nobody_answers_the_other_road_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    (finding,) = look(subject(agent=WEBRTC), port)
    assert finding.result is Result.WARN
    assert finding.next_step is not None
    assert '"websocket"' in finding.next_step
