"""Reports that the backend has not taken, kept for the next start of the daemon.

Every method reads or writes files: call it in a thread, one at a time.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kiosk.base.files import put_aside, remove, write_whole
from kiosk.base.name_fields import ShortId
from kiosk.causes import fault
from kiosk.contract import EndVisit

log = logging.getLogger(__name__)


class KeptReport(BaseModel):
    """How a visit went, and when that was given to be told, by the wall clock."""

    model_config = ConfigDict(frozen=True)

    visit_id: ShortId
    given_at: Annotated[float, Field(allow_inf_nan=False)]
    end: EndVisit


_REPORTS = TypeAdapter(list[KeptReport])


class ReportFile:
    """One file, which is there only while it holds something."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[KeptReport]:
        """What was left untold. What cannot be read is moved aside, and told of."""
        try:
            return _REPORTS.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning(
                "cannot read %s: %s", self._path, error.strerror, extra=fault("state_unreadable")
            )
            return []
        except ValidationError:
            put_aside(self._path)
            return []

    def save(self, reports: Sequence[KeptReport]) -> None:
        """These and no others; raises OSError."""
        if not reports:
            remove(self._path)
            return
        write_whole(
            self._path,
            json.dumps(_REPORTS.dump_python(list(reports), mode="json", exclude_defaults=True)),
        )
