"""Temperature of the board. A Pi slows down from 80 degrees on."""

from pathlib import Path

_PROCESSOR = Path("/sys/class/thermal/thermal_zone0/temp")


def temperature_c(sensor: Path = _PROCESSOR) -> float | None:
    """None where there is no such sensor."""
    try:
        return int(sensor.read_text(encoding="ascii")) / 1000
    except (OSError, ValueError):
        return None
