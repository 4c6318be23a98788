"""What was measured against what was kept at installation."""

from dataclasses import replace
from pathlib import Path

import pytest

from kiosk.audio.measuring import SoundFigures, Way
from kiosk.config import Settings
from kiosk.doctor.findings import Finding, Result
from kiosk.doctor.sound_reference import FILE, compared
from tests.unit.doctor.subjects import is_good_form, settings
from tests.unit.planted_sound import Planted, shelved


@pytest.fixture(scope="module")
def figures() -> SoundFigures:
    return Planted().figures()


def placed(directory: Path) -> Settings:
    return settings(credentials={"state_dir": directory})


def against(directory: Path, figures: SoundFigures) -> Finding:
    finding = compared(placed(directory), figures, keep=False)
    assert is_good_form(finding)
    return finding


def test_what_was_kept_is_found_again(tmp_path: Path, figures: SoundFigures) -> None:
    assert against(tmp_path, figures).result is Result.SKIP
    assert compared(placed(tmp_path), figures, keep=True).result is Result.PASS
    assert against(tmp_path, figures).value == "as at installation"


@pytest.mark.parametrize(
    ("planted", "says"),
    [
        (Planted(gain_db=-24.0), "-4 dB at 250 Hz"),
        (Planted(delay_s=0.028), "+8 ms"),
        (Planted(response=shelved(2900, -7)), "-7 dB at 4000 Hz"),
    ],
)
def test_what_changed_is_told(
    tmp_path: Path, figures: SoundFigures, planted: Planted, says: str
) -> None:
    compared(placed(tmp_path), figures, keep=True)
    found = against(tmp_path, planted.figures())
    assert found.result is Result.WARN
    assert says in found.value


@pytest.mark.parametrize(
    "planted",
    [
        Planted(gain_db=-22.0),
        Planted(delay_s=0.024),
        Planted(noise_dbfs=-50),
        Planted(drift_ppm=40),
    ],
)
def test_what_changes_by_itself_is_no_change(
    tmp_path: Path, figures: SoundFigures, planted: Planted
) -> None:
    compared(placed(tmp_path), figures, keep=True)
    assert against(tmp_path, planted.figures()).result is Result.PASS


@pytest.mark.parametrize("text", ["", "[]", '{"bands_db": 3}', "\x00"])
def test_a_damaged_reference_is_told(tmp_path: Path, figures: SoundFigures, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert against(tmp_path, figures).result is Result.WARN


def test_without_a_place_or_a_sound_nothing_is_kept(figures: SoundFigures, tmp_path: Path) -> None:
    found = compared(settings(), figures, keep=True)
    assert (found.result, found.value) == (Result.WARN, "not kept")
    unheard = replace(figures, way=None)
    assert compared(placed(tmp_path), unheard, keep=True).result is Result.SKIP
    assert isinstance(figures.way, Way)
    assert not list(tmp_path.iterdir())
