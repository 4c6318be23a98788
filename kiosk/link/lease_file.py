"""The leases in hand, kept for the next start of the daemon: a kiosk that is started over and over
would ask for so many that the backend lets it wait.

They are secrets, and worth nothing after their time: the file belongs in a directory in memory.
Every method reads or writes files: call it in a thread, one at a time.
"""

import contextlib
import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kiosk.base.files import remove, write_whole
from kiosk.causes import fault
from kiosk.contract import GrantError, read_grant, write_grant
from kiosk.link.leases import Lease

log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class LeaseFile:
    """One file. Its leases' times are those of the monotonic clock, which means something until the
    machine is started anew: then it is as if the file were not there; so it is where `asked_with`,
    all that a lease depends on, was another. Of that no more than a digest is kept."""

    def __init__(self, path: Path, *asked_with: str) -> None:
        self._path = path
        self._text = ""  # in it, as far as is known
        digest = hashlib.sha256("\0".join(asked_with).encode()).hexdigest()
        self._of = {"asked_with": digest, "boot_id": _boot_id()}

    def load(self) -> list[Lease]:
        """What was in hand. Whatever cannot be used is left out: another lease is soon there."""
        try:
            self._text = self._path.read_text("ascii")
            kept = json.loads(self._text)
            if {name: kept[name] for name in self._of} != self._of:
                return []
            return [_read(each) for each in kept["leases"]]
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning(
                "cannot read %s: %s", self._path, error.strerror, extra=fault("state_unreadable")
            )
        except (ValueError, LookupError, TypeError, GrantError):
            log.warning(
                "%s makes no sense; it is not used", self._path, extra=fault("state_unreadable")
            )
        return []

    def save(self, leases: Sequence[Lease]) -> None:
        """These and no others."""
        kept = {**self._of, "leases": [_written(lease) for lease in leases]}
        text = json.dumps(kept) if leases else ""
        if text == self._text:
            return
        try:
            if text:
                write_whole(self._path, text)
            else:
                remove(self._path)
            self._text = text
        except OSError as error:
            log.warning(
                "cannot write %s: %s", self._path, error.strerror, extra=fault("state_unwritable")
            )
            # What stands there may be spent: it must not be the next start's.
            with contextlib.suppress(OSError):
                remove(self._path)
                self._text = ""


def _written(lease: Lease) -> dict[str, Any]:
    return {
        "grant": write_grant(lease.grant),
        "request_id": lease.request_id,
        "expires_s": lease.expires_s,
        "renew_s": lease.renew_s,
        "used": lease.used,
    }


def _read(kept: dict[str, Any]) -> Lease:
    grant = read_grant(kept["grant"])
    secret = grant.signed_url or grant.conversation_token
    assert secret is not None
    return Lease(
        grant,
        secret,
        str(kept["request_id"]),
        float(kept["expires_s"]),
        float(kept["renew_s"]),
        bool(kept["used"]),
    )


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
