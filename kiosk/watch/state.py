"""State of the watcher, in one file that no crash leaves half written."""

import logging
from pathlib import Path

from pydantic import BaseModel, ValidationError

from kiosk.base.files import put_aside, write_whole
from kiosk.causes import fault
from kiosk.errors import UnavailableError
from kiosk.watch.alerts import Memory
from kiosk.watch.outbox import Waiting

log = logging.getLogger(__name__)


class WatcherState(BaseModel):
    """`cursors`: how far each host's journal was read; None: never."""

    cursors: dict[str, str] | None = None
    memory: Memory = Memory()
    outbox: list[Waiting] = []


class StateFile:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> WatcherState:
        """What was kept; a file that makes no sense is put aside, and told of."""
        try:
            return WatcherState.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return WatcherState()
        except OSError as error:
            raise UnavailableError(f"cannot read {self._path}: {error.strerror}") from error
        except ValidationError:
            put_aside(self._path)
            return WatcherState()

    def save(self, state: WatcherState) -> bool:
        """False: it could not be written, and the next try may do better."""
        try:
            write_whole(self._path, state.model_dump_json(ensure_ascii=True))
        except OSError as error:
            log.warning(
                "cannot write %s: %s",
                self._path,
                error.strerror,
                extra=fault("state_unwritable"),
            )
            return False
        return True
