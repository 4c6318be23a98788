"""The device token and its replacement, kept so that no crash shuts the kiosk out.

The backend's rule: the old token stays good until the new one is first used; two are good at most,
and whoever asks again gets another in place of the one never used. So a new token is used only when
it is on the disk for good, and the file keeps beside it the one that was in use: whichever of the
two the backend knows, it is at hand.

Every method reads or writes files: call it with `asyncio.to_thread`, one at a time.
"""

import logging
from pathlib import Path

from kiosk.base.files import remove, sync_directory, write_whole
from kiosk.causes import fault
from kiosk.contract import DEVICE_TOKEN

log = logging.getLogger(__name__)

_KEPT = 2


class DeviceTokens:
    """The tokens a kiosk may try: those of its state file, then the one it was provisioned with.

    `provisioned` is the token's text; without a `state_file` there is nothing else.
    """

    def __init__(self, provisioned: str, state_file: Path | None) -> None:
        self._provisioned = provisioned
        self._file = state_file
        self._in_use: str | None = None
        self._ended: str | None = None  # by the one in use
        self._refused: set[str] = set()
        self._lasting = False  # whether a power cut would leave the file as it is

    @property
    def can_rotate(self) -> bool:
        """Whether a new token could be kept at all: without, do not ask for one."""
        return self._file is not None

    def candidates(self) -> list[str]:
        """The tokens to try, in order; at least one."""
        kept = self._read()
        if kept and not self._made_lasting():
            # The file may be gone tomorrow, and with it a new token that had ended the old one.
            kept.reverse()
        return list(dict.fromkeys((*kept, self._provisioned)))

    def adopt(self, token: str) -> bool:
        """Keep a new token. True: it is safe on the disk, use it. False: go on with the old one,
        and do NOT use the new one, for that would end the old one."""
        if self._file is None:
            return False
        if not DEVICE_TOKEN.fullmatch(token):
            log.warning(
                "the backend's new device token is malformed: the old one stays",
                extra=fault("token_malformed"),
            )
            return False
        before = self._in_use or self.candidates()[0]
        self._lasting = False
        try:
            write_whole(self._file, f"{token}\n{before}\n")
        except OSError as error:
            log.warning(
                "cannot keep a new device token in %s, the old one stays: %s",
                self._file,
                error.strerror,
                extra=fault("state_unwritable"),
            )
            return False
        self._lasting = True
        self._refused.discard(token)
        return True

    def accepted(self, token: str) -> None:
        """The backend knows this token. If that is the provisioned one, after it refused all that
        the state file holds, the operator has enrolled the kiosk anew: the file is stale."""
        if self._in_use is not None and token == self._ended:
            return  # an answer to an older request, come late
        if self._in_use != token:
            self._in_use, self._ended = token, self._in_use
        self._refused.discard(token)
        if self._file is None or token != self._provisioned or not self._refused:
            return
        # Not with one that nobody has tried: such an answer may also come after `adopt`.
        if self._refused.issuperset(set(self._read()) - {token}):
            try:
                remove(self._file)
            except OSError as error:
                log.warning(
                    "cannot remove the stale %s: %s",
                    self._file,
                    error.strerror,
                    extra=fault("state_unwritable"),
                )
            else:
                self._refused.clear()

    def rejected(self, token: str) -> str | None:
        """The backend does not know this token (401): the one to try next. None after the last:
        begin again later, for a proxy may have said so; nothing is thrown away."""
        self._refused.add(token)
        if self._in_use == token:
            self._in_use = None
        for candidate in self.candidates():
            if candidate not in self._refused:
                return candidate
        self._refused.clear()
        return None

    def _made_lasting(self) -> bool:
        if self._file is not None and not self._lasting:
            try:
                sync_directory(self._file)
            except OSError as error:
                log.warning(
                    "%s may not outlive a power cut: %s",
                    self._file,
                    error.strerror,
                    extra=fault("state_unwritable"),
                )
            else:
                self._lasting = True
        return self._lasting

    def _read(self) -> list[str]:
        if self._file is None:
            return []
        try:
            lines = self._file.read_text(encoding="ascii", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning(
                "cannot read the device token in %s: %s",
                self._file,
                error.strerror,
                extra=fault("state_unreadable"),
            )
            return []
        tokens = [line for line in lines if DEVICE_TOKEN.fullmatch(line)]
        if not tokens:
            log.warning("%s holds no device token", self._file, extra=fault("state_unreadable"))
        return tokens[:_KEPT]
