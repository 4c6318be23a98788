import numpy as np
import pytest

from kiosk.audio.pcm import SampleFormat, Samples, samples_to_bytes
from kiosk.devices import mixer
from kiosk.doctor import cards
from kiosk.doctor.findings import Finding, Result
from tests.unit.devices.scripted_alsa import Card, Control, ScriptedAlsa
from tests.unit.doctor.subjects import barred, is_good_form, subject

RATE_HZ = 48_000


class Recording:
    """A `CapturePcm` that delivers these samples, and then no more."""

    has_converter = True

    def __init__(self, samples: Samples) -> None:
        self.rate_hz, self.channels, self.xruns = RATE_HZ, 1, 0
        self.channel: int | None = None
        self.sample_format = SampleFormat.S16_LE
        self._data = [samples_to_bytes(samples)]

    def read(self) -> bytes:
        return self._data.pop() if self._data else b""

    def available(self) -> int:
        return 0

    def drop(self) -> None: ...

    def muted_by(self) -> str | None:
        return None

    def check(self) -> None: ...

    def close(self) -> None: ...


def heard(samples: Samples) -> Finding:
    finding = cards._heard("capture_level", cards._recorded(Recording(samples)))
    assert is_good_form(finding)
    return finding


def noise(peak: float) -> Samples:
    return np.random.default_rng(1).uniform(-peak, peak, RATE_HZ).astype(np.int16)


def test_a_microphone_that_hears_passes_with_its_level() -> None:
    finding = heard(noise(1000))
    assert finding.result is Result.PASS
    assert finding.value == "-35 dBFS in 0.5 s"


@pytest.mark.parametrize("value", [0, -15_729])
def test_nothing_but_one_value_is_muted_or_dead(value: int) -> None:
    finding = heard(np.full(RATE_HZ, value, np.int16))
    assert finding.result is Result.FAIL
    assert "muted or dead" in finding.value
    assert "alsamixer" in str(finding.next_step)


def test_a1_an_offset_is_no_level() -> None:
    assert heard(noise(1000) + np.int16(3277)).value == "-35 dBFS in 0.5 s around an offset of 10%"


def test_hardly_anything_and_too_much_are_warned_of() -> None:
    assert heard(noise(1.5)).result is Result.WARN
    loud = np.where(np.arange(RATE_HZ) % 100 < 50, 32767, -32768).astype(np.int16)
    assert "clipped" in heard(loud).value


def test_a_card_that_delivers_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "FIRST_SOUND_S", 0.1)
    assert heard(np.zeros(0, np.int16)).result is Result.FAIL


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> ScriptedAlsa:
    machine = ScriptedAlsa()
    monkeypatch.setattr("kiosk.devices.alsa.load", machine.module)
    return machine


ALSA = {"driver": "alsa", "device": "plughw:CARD=Device"}


def test_a_card_that_is_away_is_named_and_its_level_waits(machine: ScriptedAlsa) -> None:
    card, level = cards.look_at_capture(subject(capture=ALSA))
    assert (card.result, level.result) == (Result.FAIL, Result.SKIP)
    assert "plughw:CARD=Device" in card.value
    assert "kiosk devices" in str(card.next_step)


def test_a_card_that_another_program_has_is_told_with_how_to_find_it(machine: ScriptedAlsa) -> None:
    machine.cards["plughw:CARD=Device"] = Card(refusal=16)
    [card] = cards.look_at_playback(subject(playback=ALSA))
    assert card.result is Result.FAIL
    assert "fuser" in f"{card.value} {card.next_step}"


def test_a_loudspeakers_volume_is_left_as_it_is_and_told(
    machine: ScriptedAlsa, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control(db=(-60.0, 0.0), value_db=0.0)
    control.value_db, control.muted = -18.06, False
    machine.cards["plughw:CARD=Device"] = Card()
    machine.mixers["hw:CARD=Device"] = {"PCM": control}

    def reading(setting: str, name: str) -> mixer.Reading | None:
        return mixer.reading(setting, name, machine.module)

    monkeypatch.setattr(cards, "reading", reading)
    [card] = cards.look_at_playback(subject(playback={**ALSA, "volume": 80}))
    assert card.result is Result.PASS
    assert "PCM at 50 %" in card.value
    assert control.value_db == -18.06
    assert machine.cards["plughw:CARD=Device"].closed == 1


def test_a_running_kiosk_tells_of_its_cards_and_they_are_not_opened(machine: ScriptedAlsa) -> None:
    machine.cards["plughw:CARD=Device"] = Card()
    status = {"microphone_open": False, "microphone": "unplugged"}
    card, level = cards.look_at_capture(subject(status, capture=ALSA))
    assert (card.result, card.value) == (Result.FAIL, "unplugged")
    assert level.result is Result.SKIP
    assert machine.cards["plughw:CARD=Device"].opened == 0


def test_a_microphone_that_gave_only_zeros_in_the_newest_visit_fails() -> None:
    status = {"microphone_open": True, "microphone": "fine", "peak_dbfs": -96.0, "room_dbfs": -96.0}
    _, level = cards.look_at_capture(subject(status))
    assert level.result is Result.FAIL


def test_who_may_not_ask_the_kiosk_opens_nothing(machine: ScriptedAlsa) -> None:
    of = barred(capture=ALSA, playback=ALSA)
    results = [each.result for each in (*cards.look_at_capture(of), *cards.look_at_playback(of))]
    assert results == [Result.SKIP] * 3
