"""What the doctor makes of cards and rooms with known faults: one cause, and one next step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from kiosk.audio.pcm import samples_to_bytes, to_int16
from kiosk.config import Settings
from kiosk.devices.cards import Direction
from kiosk.devices.ports import CapturePcm, PlaybackPcm
from kiosk.devices.virtual import Echo, Room, VirtualCapture, VirtualPlayback
from kiosk.devices.whole_cards import WholeCards
from kiosk.doctor import sound_findings as judging
from kiosk.doctor.findings import Finding, Result
from kiosk.doctor.sound import Measurement
from kiosk.doctor.sound_findings import SOUND_CHECKS, Judged
from kiosk.errors import DeviceError
from kiosk.lab.virtual_clock import VirtualClock
from tests.unit.doctor.subjects import is_good_form, settings
from tests.unit.planted_sound import Planted, reverberant, shelved

RATE_HZ = 24_000
HEALTHY = Echo(delay_s=0.021, gain_db=-18)


class Microphone(VirtualCapture):
    """Two channels, each the room's sound times a factor, with an offset beside."""

    def __init__(self, room: Room, signs: Sequence[float], offset: float, lost: int) -> None:
        super().__init__(room, 1)
        self.channels = len(signs)
        self._signs, self._offset, self._lost = np.array(signs), offset, lost

    def read(self) -> bytes:
        data = super().read()
        samples = np.frombuffer(data, "<i2").astype(np.float64)[:: self.channels]
        self.xruns, self._lost = self.xruns + self._lost, 0
        frames = samples[:, None] * self._signs + 32768 * self._offset
        return samples_to_bytes(to_int16(frames).reshape(-1))


@dataclass
class Machine:
    """The cards of a machine, by what selects them. A card that is named in neither map is not
    there."""

    clock: VirtualClock
    echo: Echo = HEALTHY
    noise_dbfs: float = -72.0
    signs: Sequence[float] = (1.0, 0.97)
    offset: float = 0.0
    gain: float = 1.0  # of the loudspeaker
    hears: str = "default"
    sounds: str = "default"
    others: Sequence[str] = ()
    losses: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.room = Room(RATE_HZ, echo=self.echo, noise_dbfs=self.noise_dbfs, clock=self.clock)
        self.elsewhere = Room(RATE_HZ, noise_dbfs=-66, clock=self.clock)

    def cards(self) -> WholeCards:
        return WholeCards(self._capture, self._playback, self._others)

    def _capture(self, name: str) -> CapturePcm:
        lost = self.losses.pop() if self.losses else 0
        room = self.room if name == self.hears else self.elsewhere
        return Microphone(room, self.signs, self.offset, lost)

    def _playback(self, name: str) -> PlaybackPcm:
        if name == "HDMI":
            raise DeviceError("sound device 'HDMI': No such device")
        room = self.room if name == self.sounds else self.elsewhere
        playback = VirtualPlayback(room, 1)
        playback.software_gain = self.gain
        return playback

    def _others(self, direction: Direction) -> Sequence[str]:
        return self.others


def judged(machine: Machine, its: Settings | None = None) -> list[Judged]:
    found = list(Measurement(its or settings(), machine.cards(), machine.clock).judged())
    assert all(is_good_form(each.finding) for each in found)
    assert {each.finding.id for each in found} <= set(SOUND_CHECKS)
    assert {key for each in found for key in each.proposed} <= judging.SETTINGS
    return found


def faults(found: Sequence[Judged]) -> list[Finding]:
    return [each.finding for each in found if each.finding.result in (Result.FAIL, Result.WARN)]


def the_fault(found: Sequence[Judged]) -> Judged:
    [bad] = [each for each in found if each.finding.result is Result.FAIL]
    return bad


# --- a healthy one ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"signs": (1.0,)},
        {"noise_dbfs": -55.0},
        {"echo": Echo(delay_s=0.004, gain_db=-30, drift_ppm=40)},
        {"echo": Echo(delay_s=0.045, gain_db=-8, drift_ppm=-90, drive=0.5)},
        {"losses": [1, 1]},  # and once not
    ],
)
def test_a_healthy_kiosk_has_no_fault(clock: VirtualClock, change: dict[str, object]) -> None:
    found = judged(Machine(clock, **change))  # type: ignore[arg-type]
    assert faults(found) == []
    assert {key for each in found for key in each.proposed} == set()


# --- the five faults ----------------------------------------------------------------------------


def test_a_wrong_microphone_is_told_by_the_one_that_hears(clock: VirtualClock) -> None:
    machine = Machine(clock, hears="USB PnP", others=("Webcam", "USB PnP"))
    bad = the_fault(judged(machine))
    assert bad.finding.id == "sound_heard"
    assert "wrong card" in bad.finding.value
    assert bad.finding.next_step == 'set capture.device = "USB PnP"'
    assert bad.proposed == {"capture.device": "USB PnP"}


def test_a_wrong_loudspeaker_is_told_by_the_one_that_is_heard(clock: VirtualClock) -> None:
    machine = Machine(clock, sounds="Headphones", others=("HDMI", "Headphones"))
    bad = the_fault(judged(machine))
    assert "wrong card" in bad.finding.value
    assert bad.proposed == {"playback.device": "Headphones"}


@pytest.mark.parametrize("change", [{"signs": (0.0, 0.0)}, {"hears": "none", "noise_dbfs": -72}])
def test_a_muted_microphone_is_told_from_a_silent_loudspeaker(
    clock: VirtualClock, change: dict[str, object]
) -> None:
    bad = the_fault(judged(Machine(clock, **change)))  # type: ignore[arg-type]
    assert bad.finding.id == "sound_heard"
    muted = "signs" in change
    assert ("muted" in bad.finding.value) is muted
    assert ("alsamixer" in str(bad.finding.next_step)) is muted


def test_a_muted_microphone_beside_one_that_hears_names_both(clock: VirtualClock) -> None:
    class Muted(Machine):
        def _capture(self, name: str) -> CapturePcm:
            signs = (0.0,) if name == "default" else self.signs
            return Microphone(self.room, signs, 0.0, 0)

    bad = the_fault(judged(Muted(clock, others=("Webcam",))))
    assert "muted" in bad.finding.value
    assert 'set capture.device = "Webcam"' in str(bad.finding.next_step)
    assert bad.proposed == {}


def test_a_visitor_ends_the_search_for_the_right_card(clock: VirtualClock) -> None:
    machine = Machine(clock, hears="none", others=("Webcam", "USB PnP"))
    began_s = clock.now_s()
    measuring = Measurement(
        settings(), machine.cards(), clock, lambda: clock.now_s() < began_s + 17
    )
    [bad] = faults(list(measuring.judged()))
    assert bad.value == "a visitor came"
    assert clock.now_s() - began_s < 17.1


def test_opposite_phase_is_told_with_the_channel_to_listen_to(clock: VirtualClock) -> None:
    found = judged(Machine(clock, signs=(-0.97, 1.0)))
    [bad] = [each for each in found if each.finding.id == "sound_channels"]
    assert bad.finding.result is Result.WARN, "a kiosk hears it all the same"
    assert "opposite phase" in bad.finding.value
    assert bad.proposed == {"capture.channels": 2, "capture.channel": 2}


def test_who_listens_to_one_channel_is_not_told_of_their_phase(clock: VirtualClock) -> None:
    its = settings(capture={"channels": 2, "channel": 1})
    assert faults(judged(Machine(clock, signs=(-1.0, 1.0)), its)) == []


@pytest.mark.parametrize(
    ("echo", "why"),
    [(Echo(0.02, gain_db=14), "clipped"), (Echo(0.02, gain_db=-20, drive=4.0), "distorts")],
)
def test_a_loudspeaker_too_loud_is_told_with_a_volume(
    clock: VirtualClock, echo: Echo, why: str
) -> None:
    bad = the_fault(judged(Machine(clock, echo=echo), settings(playback={"volume": 90})))
    assert bad.finding.id == "sound_volume"
    assert "too loud" in bad.finding.value
    assert why in bad.finding.value
    assert bad.proposed == {"playback.volume": 72}


def test_a_floating_line_is_told_by_its_edges() -> None:
    found = judging.line({17: 312, 5: 0}, 3)
    assert found.result is Result.FAIL
    assert "GPIO 17: 312" in found.value
    assert "floats" in found.value
    assert "resistor" in str(found.next_step)
    assert judging.line({17: 0, 5: 2}, 3).result is Result.PASS


# --- the rest -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "check", "says", "proposed"),
    [
        ({"echo": Echo(0.08)}, "sound_delay", "ALSA's account", {}),
        ({"echo": Echo(0.33)}, "sound_delay", "echo canceller", {"echo.mode": "half_duplex"}),
        ({"echo": Echo(0.7)}, "sound_delay", "echo canceller", {}),
        ({"echo": Echo(0.02, drift_ppm=240)}, "sound_drift", "+240 ppm", {}),
        ({"offset": -0.06}, "sound_offset", "-6.00%", {}),
        ({"noise_dbfs": -38}, "sound_room", "loud", {"gate.preroll_ms": 600}),
        ({"echo": Echo(0.02, -50), "noise_dbfs": -58}, "sound_volume", "hardly louder", {}),
        ({"signs": (0.0, 1.0)}, "sound_channels", "zeros",
         {"capture.channels": 2, "capture.channel": 2}),
    ],
)  # fmt: skip
def test_each_fault_is_told_alone(
    clock: VirtualClock,
    change: dict[str, object],
    check: str,
    says: str,
    proposed: dict[str, object],
) -> None:
    found = judged(Machine(clock, **change))  # type: ignore[arg-type]
    assert [finding.id for finding in faults(found)] == [check]
    assert says in faults(found)[0].value
    assert [each.proposed for each in found if each.finding.id == check] == [proposed]


@pytest.mark.parametrize(
    ("planted", "check", "result", "says"),
    [
        (Planted(mains=(50.0, -47.0)), "sound_hum", Result.WARN, "-47 dBFS of 50 Hz"),
        (Planted(mains=(60.0, -66.0)), "sound_hum", Result.PASS, "60 Hz"),
        (Planted(response=shelved(3000, -11)), "sound_response", Result.WARN, "muffled"),
        (Planted(response=shelved(3000, -3)), "sound_response", Result.PASS, "-3 dB at 7 kHz"),
        (Planted(response=reverberant(1.9)), "sound_room", Result.WARN, "long"),
        (Planted(response=reverberant(0.7)), "sound_room", Result.PASS, "0.7 s"),
        (Planted(loudspeakers=(0.5, -0.47)), "sound_channels", Result.FAIL, "cancel each other"),
        (Planted(loudspeakers=(1.0, 0.0)), "sound_channels", Result.PASS, "2 of these is not"),
        (Planted(rate_hz=8000), "sound_response", Result.SKIP, "do not reach"),
        (Planted(noise_dbfs=-45), "sound_room", Result.PASS, "noise -45"),
    ],
)
def test_what_figures_mean(planted: Planted, check: str, result: Result, says: str) -> None:
    found = {
        each.finding.id: each.finding
        for each in judging.judged(planted.figures(), settings(), queued_ms=80, volume=100)
    }
    assert all(map(is_good_form, found.values()))
    assert found[check].result is result
    assert says in found[check].value


def test_a_loudspeaker_whose_mixer_is_shut_is_told_so() -> None:
    figures = Planted(gain_db=-200).figures()
    shut = judging.unheard(figures, "PCM at 0 %, muted").finding
    assert "PCM at 0 %, muted" in shut.value
    assert "playback.volume" in str(shut.next_step)
    silent = judging.unheard(Planted(gain_db=-200, noise_dbfs=-90).figures(), None).finding
    assert "the microphone is muted" in silent.value


def test_a_lively_room_gets_a_longer_preroll() -> None:
    figures = Planted(noise_dbfs=-45).figures()
    proposed = [each.proposed for each in judging.judged(figures, settings(), 80, 100)]
    assert {"gate.preroll_ms": 400} in proposed
    its = settings(gate={"preroll_ms": 500})
    assert not any(each.proposed for each in judging.judged(figures, its, 80, 100))


def test_a_card_that_loses_sound_each_time_is_a_fault(clock: VirtualClock) -> None:
    [bad] = faults(judged(Machine(clock, losses=[1, 1, 1])))
    assert "lost sound" in bad.value
    assert "busy" in str(bad.next_step)


def test_a_card_that_cannot_be_opened_is_told_in_its_own_words(clock: VirtualClock) -> None:
    [bad] = faults(judged(Machine(clock), settings(playback={"device": "HDMI"})))
    assert "No such device" in bad.value


@pytest.fixture
def speaking(clock: VirtualClock) -> Callable[..., Judged]:
    def spoken(peak: float, *signs: float) -> Judged:
        machine = Machine(clock, signs=signs or (1.0, 0.97))
        time_s = np.arange(2 * RATE_HZ) / RATE_HZ
        words = peak * np.sin(2 * np.pi * 300 * time_s) * (np.sin(2 * np.pi * 2 * time_s) > -0.5)
        machine.room.say(to_int16(words), clock.now_s() + 1.5)
        [found] = Measurement(settings(), machine.cards(), clock).said()
        return found

    return spoken


def test_a_sentence_in_opposite_phase_is_heard_as_the_kiosk_hears_it(
    speaking: Callable[..., Judged],
) -> None:
    found = speaking(3300, -1.0, 1.0).finding
    assert (found.result, found.value[:8]) == (Result.PASS, "-23 dBFS")


@pytest.mark.parametrize(
    ("peak", "says", "proposed"),
    [
        (1500, "-30 dBFS", {"gain.fixed_db": 7}),
        (3300, "-23 dBFS", {}),
        (25_000, "too loud", {}),
        (60, "too soft", {}),
        (0, "no sentence", {}),
    ],
)
def test_the_level_of_a_sentence_is_judged(
    speaking: Callable[..., Judged], peak: float, says: str, proposed: dict[str, object]
) -> None:
    found = speaking(peak)
    assert says in found.finding.value
    assert found.proposed == proposed
