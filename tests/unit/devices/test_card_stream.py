import numpy as np
import pytest

from kiosk.audio.pcm import Samples
from kiosk.audio.resample import resample
from kiosk.base.clock import RealClock
from kiosk.devices.card_stream import KEPT_S, CardStream
from kiosk.devices.played import PlayedSound
from kiosk.devices.ports import Source
from kiosk.devices.virtual import Room, VirtualPlayback
from tests.unit.sounds import noise, rms

CARD_HZ = 48_000
REFERENCE_HZ = 16_000
SAMPLE_S = 1 / REFERENCE_HZ


class Clock(RealClock):
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self._now_s = 5000.0

    def now_s(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        self._now_s += seconds


@pytest.fixture
def time() -> Clock:
    return Clock()


def sound(seconds: float, rate_hz: int, seed: int = 1) -> Samples:
    """Noise below 1750 Hz, so that no conversion takes anything of it away."""
    return resample(noise(seconds, 4000, 6000, seed), 4000, rate_hz)


class Scene:
    """A stream to a card in a room, and what the room and the reference have of it."""

    def __init__(
        self,
        time: Clock,
        wake_lead_ms: int = 0,
        software_gain: float = 1.0,
        card: type[VirtualPlayback] = VirtualPlayback,
        *,
        keep_running: bool = False,
    ) -> None:
        self.time = time
        self.room = Room(CARD_HZ, noise_dbfs=None, record=True, clock=time)
        self.played = PlayedSound(time)
        self.card = card(self.room)
        self.card.software_gain = software_gain
        self.stream = CardStream(
            self.card, self.played, wake_lead_ms, time, keep_running=keep_running
        )

    def append(self, samples: Samples, rate_hz: int, source: Source = Source.AGENT) -> float:
        """All of it, in slices of 20 ms; when its first sample is heard."""
        times_s = []
        for at in range(0, len(samples), rate_hz // 50):
            while self.stream.room() <= 0:
                self.stream.write_out()
                self.time.sleep(0.008)
            piece = samples[at : at + rate_hz // 50]
            times_s.append(self.stream.append(piece, rate_hz, source))
            self.stream.write_out()
        return times_s[0]

    def finish(self) -> float:
        """Play everything out; returns when that was."""
        self.stream.append_tail()
        return self.run_dry()

    def run_dry(self) -> float:
        while self.stream.left_ms() > 0:
            self.time.sleep(0.008)
        self.time.sleep(0.008)
        return self.time.now_s()

    def lag_s(self, from_s: float, to_s: float) -> float:
        """How much later the reference has a sound than the card; it must be the same sound."""
        margin_s = 0.005
        count = round((to_s - from_s + 2 * margin_s) * REFERENCE_HZ)
        reference = resample(self.played.get(from_s - margin_s, count), REFERENCE_HZ, CARD_HZ)
        heard = self.room.loudspeaker(from_s, to_s).astype(float)
        likeness = np.correlate(reference.astype(float), heard, mode="valid")
        at = int(np.argmax(likeness))
        same = reference[at : at + len(heard)]
        # Half a sample off is all that rounding to whole samples may leave.
        assert rms(same - heard) < 0.15 * rms(heard)
        return at / CARD_HZ - margin_s


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 48_000])
@pytest.mark.parametrize("software_gain", [1.0, 0.25])
def test_the_reference_is_what_the_card_plays_in_step_from_end_to_end(
    time: Clock, rate_hz: int, software_gain: float
) -> None:
    scene = Scene(time, software_gain=software_gain)
    from_s = scene.append(sound(0.3, rate_hz), rate_hz)
    scene.finish()
    for at_s in (0.01, 0.1, 0.2):
        assert abs(scene.lag_s(from_s + at_s, from_s + at_s + 0.08)) < 1.1 * SAMPLE_S
    assert scene.card.xruns == 0


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 48_000])
def test_the_reference_has_the_last_milliseconds_too(time: Clock, rate_hz: int) -> None:
    scene = Scene(time)
    from_s = scene.append(np.full(rate_hz // 10, 9000, dtype=np.int16), rate_hz)
    scene.finish()
    heard = scene.room.loudspeaker(from_s - 0.02, from_s + 0.15) > 4500
    reference = scene.played.get(from_s - 0.02, round(0.17 * REFERENCE_HZ)) > 4500
    assert np.count_nonzero(heard) / CARD_HZ == pytest.approx(0.1, abs=2 * SAMPLE_S)
    assert np.count_nonzero(reference) / REFERENCE_HZ == pytest.approx(0.1, abs=2 * SAMPLE_S)


def test_sounds_of_several_rates_in_a_row_stay_in_step(time: Clock) -> None:
    """An earcon, a sentence, the agent: one stream, three rates."""
    scene = Scene(time)
    row = [
        (16_000, Source.EARCON),
        (22_050, Source.SPEECH),
        (16_000, Source.AGENT),
        (48_000, Source.AGENT),
    ]
    starts = [
        scene.append(sound(0.15, rate_hz, seed), rate_hz, source)
        for seed, (rate_hz, source) in enumerate(row)
    ]
    scene.finish()
    lags = [scene.lag_s(at_s + 0.02, at_s + 0.13) for at_s in starts]
    assert max(map(abs, lags)) < 1.6 * SAMPLE_S


def test_after_a_drop_the_reference_is_silent_and_the_next_sound_is_in_step(time: Clock) -> None:
    scene = Scene(time)
    from_s = scene.append(sound(0.15, 16_000), 16_000)
    scene.stream.drop()
    assert scene.played.get(from_s, REFERENCE_HZ // 100).any()
    assert not scene.played.get(time.now_s(), REFERENCE_HZ).any()
    time.sleep(0.02)
    again_s = scene.append(sound(0.15, 16_000, 2), 16_000)
    scene.finish()
    assert abs(scene.lag_s(again_s + 0.01, again_s + 0.14)) < 1.1 * SAMPLE_S


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_after_the_card_ran_dry_the_reference_is_in_step_again(time: Clock, rate_hz: int) -> None:
    scene = Scene(time)
    first_s = scene.append(sound(0.1, rate_hz), rate_hz)
    scene.run_dry()
    time.sleep(0.0301)
    again_s = scene.append(sound(0.2, rate_hz, 2), rate_hz)
    scene.finish()
    assert scene.card.xruns == 1
    assert abs(scene.lag_s(first_s + 0.01, first_s + 0.09)) < 1.1 * SAMPLE_S
    assert abs(scene.lag_s(again_s + 0.01, again_s + 0.19)) < 1.1 * SAMPLE_S


class CoarseCard(VirtualPlayback):
    """Tells of whole periods of 10 ms only, as many real ones do."""

    def queued(self) -> int:
        return -(-super().queued() // 480) * 480


def test_a_card_that_tells_of_whole_periods_only_keeps_the_reference_in_step(time: Clock) -> None:
    scene = Scene(time, card=CoarseCard)
    for seed in (1, 2):  # the second time it ran dry before
        at_s = scene.append(sound(0.3, 16_000, seed), 16_000)
        scene.run_dry()
        for from_s in (at_s + 0.01, at_s + 0.15):
            assert abs(scene.lag_s(from_s, from_s + 0.1)) < 1.1 * SAMPLE_S
        time.sleep(0.0333)
    assert scene.card.xruns == 1


def test_a_sound_is_known_before_it_is_heard(time: Clock) -> None:
    scene = Scene(time)
    asked_s = time.now_s()
    heard_at_s = scene.append(sound(0.02, 16_000), 16_000)
    assert heard_at_s - asked_s >= 0.01
    assert time.now_s() == asked_s
    assert scene.played.get(heard_at_s, 320).any()


def test_a_stream_without_a_reference_plays_as_well(time: Clock) -> None:
    room = Room(CARD_HZ, clock=time)
    card = VirtualPlayback(room)
    stream = CardStream(card, clock=time)
    at_s = stream.append(noise(0.02, CARD_HZ), CARD_HZ, Source.AGENT)
    stream.write_out()
    time.sleep(0.1)
    stream.drop()
    np.testing.assert_array_equal(room.loudspeaker(at_s, at_s + 0.02), noise(0.02, CARD_HZ))


# --- the silence before a sound -----------------------------------------------------------------

LEAD_MS = 60
LEAD_S = LEAD_MS / 1000
KNOWN_S = 0.01  # what the echo canceller needs to know of a sound in time


def beep(scene: Scene) -> float:
    """Play a short sound out; how long after it was asked for it was heard."""
    asked_s = scene.time.now_s()
    scene.append(np.full(480, 9000, dtype=np.int16), CARD_HZ, Source.EARCON)
    scene.run_dry()
    heard = scene.room.loudspeaker(asked_s, scene.time.now_s())
    assert np.count_nonzero(heard) == 480
    return int(np.argmax(heard != 0)) / CARD_HZ


def test_a14_each_new_stream_begins_with_the_silence_that_a_television_swallows(
    time: Clock,
) -> None:
    scene = Scene(time, wake_lead_ms=LEAD_MS)
    for pause_s in (0.1, 1.1, 0.0):
        assert beep(scene) == pytest.approx(LEAD_S, abs=0.0001)
        scene.stream.drop()
        time.sleep(pause_s)


def test_a14_so_does_one_that_ran_dry(time: Clock) -> None:
    scene = Scene(time, wake_lead_ms=LEAD_MS)
    scene.append(sound(2.0, CARD_HZ), CARD_HZ)
    scene.run_dry()
    assert beep(scene) == pytest.approx(LEAD_S, abs=0.0001)


def kept(time: Clock) -> Scene:
    """A card that is kept running, and has been for 0.2 s."""
    scene = Scene(time, keep_running=True)
    keep(scene, 0.2)
    return scene


def keep(scene: Scene, duration_s: float) -> None:
    until_s = scene.time.now_s() + duration_s
    while scene.time.now_s() < until_s:
        scene.stream.left_ms()
        scene.stream.fill()
        scene.time.sleep(scene.stream.next_look_s())


def test_a13_a_card_that_is_kept_running_never_runs_dry(time: Clock) -> None:
    scene = kept(time)
    for _ in range(3):
        from_s = scene.append(sound(0.1, CARD_HZ), CARD_HZ)
        scene.stream.append_tail()
        keep(scene, 0.3)
        assert abs(scene.lag_s(from_s + 0.01, from_s + 0.09)) < 1.1 * SAMPLE_S
        assert scene.stream.left_ms() == 0
    assert scene.card.xruns == 0
    assert scene.stream.started


def test_a13_a_sound_is_heard_20_ms_later_there_and_not_more(time: Clock) -> None:
    scene = kept(time)
    asked_s = time.now_s()
    assert scene.append(sound(0.1, CARD_HZ), CARD_HZ) - asked_s <= KEPT_S + 0.005


def test_a13_a_flush_takes_effect_within_25_ms_without_stopping_the_card(time: Clock) -> None:
    scene = kept(time)
    scene.append(sound(1.0, CARD_HZ), CARD_HZ)
    asked_s = time.now_s()
    silent_s = scene.stream.silence_s()
    assert asked_s < silent_s <= asked_s + 0.025
    keep(scene, 0.3)
    assert scene.room.loudspeaker(asked_s, silent_s - 0.001).any()
    assert not scene.room.loudspeaker(silent_s + 0.001, silent_s + 0.2).any()
    assert not scene.played.get(silent_s, REFERENCE_HZ // 5).any()
    assert scene.card.xruns == 0
    from_s = scene.append(sound(0.1, CARD_HZ), CARD_HZ)
    scene.stream.append_tail()
    keep(scene, 0.2)
    assert abs(scene.lag_s(from_s + 0.01, from_s + 0.09)) < 1.1 * SAMPLE_S


def test_an_amplifier_that_never_sleeps_gets_what_the_canceller_needs_only(time: Clock) -> None:
    assert beep(Scene(time)) == pytest.approx(KNOWN_S, abs=0.0001)
