from pathlib import Path

from kiosk.ops.temperature import temperature_c


def test_the_boards_temperature_is_in_degrees(tmp_path: Path) -> None:
    sensor = tmp_path / "temp"
    sensor.write_text("48312\n")
    assert temperature_c(sensor) == 48.312


def test_a_board_without_a_sensor_has_none(tmp_path: Path) -> None:
    assert temperature_c(tmp_path / "none") is None
    (tmp_path / "odd").write_text("hot")
    assert temperature_c(tmp_path / "odd") is None
