from collections.abc import Iterator
from pathlib import Path

import pytest

from kiosk.devices.cards import Direction, present, read_cards
from kiosk.devices.ports import BusyError, CardRefusedError, StuckError
from kiosk.devices.reopening import STUCK_S, Opener
from kiosk.errors import DeviceError

THERE = " 1 [Device         ]: USB-Audio - USB PnP Sound Device\n                      C-Media\n"
IT_HAS = "01-00: USB Audio : USB Audio : capture 1\n"


class Stage:
    """An opener over a script of outcomes, a file of cards and a clock that are in our hands."""

    def __init__(self, proc: Path, setting: str = "plughw:CARD=Device") -> None:
        self.now_s = 1000.0
        self.outcome: Exception | str = CardRefusedError("No such device")
        self._cards = proc / "cards"
        (proc / "pcm").write_text(IT_HAS, encoding="utf-8")
        self.opener = Opener(
            self._open,
            lambda: present(setting, Direction.CAPTURE, read_cards(proc)),
            lambda: self.now_s,
        )

    def plug(self) -> None:
        self._cards.write_text(THERE, encoding="utf-8")

    def unplug(self) -> None:
        self._cards.write_text("--- no soundcards ---\n", encoding="utf-8")

    def tries(self, seconds: float) -> Iterator[DeviceError]:
        """What an opening each second raises, for so long."""
        until_s = self.now_s + seconds
        while self.now_s <= until_s:
            with pytest.raises(DeviceError) as caught:
                self.opener()
            yield caught.value
            self.now_s += 1.0

    def _open(self) -> str:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_card_that_was_open_is_there_and_cannot_be_opened_for_long_is_stuck(
    stage: Stage,
) -> None:
    stage.plug()
    stage.outcome, refused = "a card", stage.outcome
    stage.opener()
    stage.outcome = refused
    errors = list(stage.tries(STUCK_S))
    assert not any(isinstance(error, StuckError) for error in errors[:-1])
    assert isinstance(errors[-1], StuckError)
    assert str(errors[-1]).startswith("No such device; the card has been there for 30 s")


def test_c1_a_card_that_was_there_from_the_start_and_never_opened_is_not_stuck(
    stage: Stage,
) -> None:
    stage.plug()
    stage.outcome = CardRefusedError("Invalid argument")
    assert not any(isinstance(error, StuckError) for error in stage.tries(10 * STUCK_S))


def test_a_card_that_is_away_is_waited_for_without_end(stage: Stage) -> None:
    stage.unplug()
    assert not any(isinstance(error, StuckError) for error in stage.tries(10 * STUCK_S))


def test_the_time_counts_from_when_the_card_came_back(stage: Stage) -> None:
    stage.unplug()
    list(stage.tries(2 * STUCK_S))
    stage.plug()
    errors = list(stage.tries(STUCK_S))
    assert [isinstance(error, StuckError) for error in errors[-2:]] == [False, True]


def test_the_time_counts_anew_after_each_opening(stage: Stage) -> None:
    stage.plug()
    list(stage.tries(STUCK_S - 1))
    stage.outcome = "a card"
    assert stage.opener() == "a card"
    stage.outcome = CardRefusedError("Input/output error")
    assert not any(isinstance(error, StuckError) for error in stage.tries(STUCK_S - 1))


def test_a_card_that_another_program_has_is_not_stuck(stage: Stage) -> None:
    stage.plug()
    stage.outcome = BusyError("busy")
    assert not any(isinstance(error, StuckError) for error in stage.tries(3 * STUCK_S))


def test_what_the_settings_ask_in_vain_is_not_stuck(stage: Stage) -> None:
    stage.plug()
    stage.outcome = DeviceError("there is no capture.channel = 4")
    assert not any(isinstance(error, StuckError) for error in stage.tries(3 * STUCK_S))


@pytest.mark.parametrize("setting", ["vmic", "plughw:CARD=Device,DEV=3", "USB Device 0x46d:0x825"])
def test_a_pcm_that_names_nothing_that_is_there_is_never_stuck(
    tmp_path: Path, setting: str
) -> None:
    stage = Stage(tmp_path, setting=setting)
    stage.plug()
    assert not any(isinstance(error, StuckError) for error in stage.tries(3 * STUCK_S))
