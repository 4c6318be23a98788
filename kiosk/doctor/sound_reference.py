"""The reference: how the sound was when the kiosk was installed, kept in its state directory."""

import json
from collections.abc import Iterator
from pathlib import Path

from kiosk.audio.measuring import SoundFigures, Way
from kiosk.base.files import write_whole
from kiosk.config import Settings, state_dir
from kiosk.doctor.findings import Finding, passed, skipped, warned
from kiosk.errors import ConfigError

FILE = "sound.json"
_CHECK = "sound_reference"
_MOST_DB, _MOST_MS = 3.0, 5.0
_KEEP = "`kiosk doctor --sound --keep` keeps what is measured, when all is as it should be"
_NO_PLACE = (
    "there is no state directory to keep it in; ask the running kiosk, or set credentials.state_dir"
)
_LOOK = (
    "look for what was moved, covered or turned down; if it shall be so, "
    "`kiosk doctor --sound --keep`"
)


def compared(settings: Settings, figures: SoundFigures, *, keep: bool) -> Finding:
    """What was measured against the reference; `keep`: it becomes the reference."""
    way = figures.way
    if way is None:
        return skipped(_CHECK, "the loudspeaker is not heard")
    try:
        place = state_dir(settings)
        if keep:
            return _kept(place, way)
        known = None if place is None else _read(place / FILE)
    except (OSError, ConfigError) as error:
        return warned(_CHECK, f"cannot be used: {error}", _KEEP)
    if known is None:
        return skipped(_CHECK, "none is kept", _KEEP)
    if differences := list(_differences(known, way)):
        return warned(_CHECK, f"otherwise than at installation: {', '.join(differences)}", _LOOK)
    return passed(_CHECK, "as at installation")


def _kept(place: Path | None, way: Way) -> Finding:
    if place is None:
        return warned(_CHECK, "not kept", _NO_PLACE)
    bands_db = {str(hz): round(level_db, 1) for hz, level_db in way.bands_db.items()}
    body = {"delay_ms": round(way.delay_ms, 1), "bands_db": bands_db}
    write_whole(place / FILE, json.dumps(body) + "\n")
    return passed(_CHECK, f"kept in {place / FILE}")


def _read(path: Path) -> dict[str, object] | None:
    """Raises ConfigError for what is no reference."""
    try:
        body = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("bands_db"), dict):
        raise ConfigError(f"{path}: no reference")
    return body


def _differences(known: dict[str, object], way: Way) -> Iterator[str]:
    delay_ms, bands_db = known.get("delay_ms"), known["bands_db"]
    if isinstance(delay_ms, int | float) and abs(way.delay_ms - delay_ms) > _MOST_MS:
        yield f"{way.delay_ms - delay_ms:+.0f} ms"
    assert isinstance(bands_db, dict)
    for hz, level_db in way.bands_db.items():
        before_db = bands_db.get(str(hz))
        if isinstance(before_db, int | float) and abs(level_db - before_db) > _MOST_DB:
            yield f"{level_db - before_db:+.0f} dB at {hz} Hz"
