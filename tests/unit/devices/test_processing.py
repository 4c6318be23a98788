import pytest

from kiosk.audio.echo import Canceller, EchoCanceller, HalfDuplex, Transparent
from kiosk.config import Settings
from kiosk.devices.played import PlayedSound
from kiosk.devices.processing import Processing


def processing(mode: str = "auto") -> Processing:
    settings = Settings.model_validate({"echo": {"mode": mode}})
    return Processing(settings, PlayedSound())


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("auto", EchoCanceller),
        ("cancel", EchoCanceller),
        ("half_duplex", HalfDuplex),
        ("off", Transparent),
    ],
)
def test_every_mode_has_its_canceller(mode: str, kind: type[Canceller]) -> None:
    assert isinstance(processing(mode).treatment().canceller, kind)


def test_what_the_canceller_knows_of_the_room_outlives_a_visit_and_the_gate_does_not() -> None:
    its = processing()
    its.prepare()
    first, second = its.treatment(), its.treatment()
    assert first.canceller is second.canceller
    assert first.gate is not second.gate
    assert first.gain is not second.gain
    assert first.played is second.played
    assert first.meter is second.meter is its.meter


def test_a_machine_that_is_too_slow_falls_back_once_and_stays_there() -> None:
    its = processing("auto")
    its.prepare()
    lesser = its.fall_back()
    assert isinstance(lesser, HalfDuplex)
    assert its.fall_back() is None
    assert its.treatment().canceller is lesser


@pytest.mark.parametrize("mode", ["cancel", "half_duplex", "off"])
def test_whoever_insists_on_a_mode_keeps_it(mode: str) -> None:
    its = processing(mode)
    before = its.treatment().canceller
    assert its.fall_back() is None
    assert its.treatment().canceller is before
