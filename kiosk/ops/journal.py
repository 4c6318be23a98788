"""Logging: typed fields in the journal, readable lines on stderr anywhere else.

Fields never hold a secret, a URL, or anything visitor or agent said.
"""

import logging
import os
import sys
from collections.abc import Mapping

from kiosk.ops.journald import Journald
from kiosk.ops.messages import MESSAGES

NOTICE = 25

_PRIORITIES = {3: logging.ERROR, 4: logging.WARNING, 5: NOTICE, 6: logging.INFO, 7: logging.DEBUG}
_LEVELS = {name: number for number, name in _PRIORITIES.items()}
_NAMES = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": NOTICE,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_events = logging.getLogger("kiosk")

# Fields of every entry that this process writes; a process is one kiosk.
_process: dict[str, str] = {}


def setup(level: str) -> None:
    """Send the log to the journal if stderr is connected to it, else to stderr."""
    logging.addLevelName(NOTICE, "NOTICE")
    root = logging.getLogger()
    root.handlers = [JournalHandler() if _stderr_is_journal() else _stderr_handler()]
    set_level(level)
    for chatty in ("websockets", "httpx2", "httpcore2"):  # their lines quote URLs
        logging.getLogger(chatty).setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """From now on."""
    logging.getLogger().setLevel(_NAMES[level])


def connected() -> bool:
    """Whether the log goes to the journal."""
    return any(isinstance(handler, JournalHandler) for handler in logging.getLogger().handlers)


def dropped_entries() -> int:
    """How many entries the journal never got, since the process was started."""
    handlers = logging.getLogger().handlers
    return sum(each.dropped for each in handlers if isinstance(each, JournalHandler))


class Journal:
    """Records events by name, each with the fields that hold for every entry of this kiosk."""

    def __init__(self, kiosk: str, site: str, version: str) -> None:
        self._fixed = {"KIOSK_VERSION": version}
        self._context: dict[str, str] = {}
        self._sequence = 0
        self.rename(kiosk, site)

    def rename(self, kiosk: str, site: str) -> None:
        """Who this is from now on."""
        self._fixed |= {"KIOSK_ID": kiosk, "KIOSK_SITE": site}
        _process.update(self._fixed)

    def remember(self, name: str, value: str | None) -> None:
        """A field of every entry from now on, such as CONVERSATION_ID; None ends it."""
        if value is None:
            self._context.pop(name, None)
            _process.pop(name, None)
        else:
            self._context[name] = _process[name] = value

    def record(self, name: str, fields: Mapping[str, object], priority: int | None = None) -> None:
        """An entry for an event in the table; events that are not in it are not logged."""
        message = MESSAGES.get(name)
        if message is None:
            return
        self._sequence += 1
        typed = {
            **self._fixed,
            **self._context,
            "MESSAGE_ID": message.id,
            "KIOSK_EVENT": name,
            "KIOSK_SEQ": str(self._sequence),
            **{
                f"KIOSK_{key.upper()}": str(value)
                for key, value in fields.items()
                if value is not None
            },
        }
        level = _PRIORITIES[message.priority if priority is None else priority]
        shown = {key: "" if value is None else value for key, value in fields.items()}
        text = " ".join(message.text.format_map(shown).split())
        _events.log(level, text, extra={"journal": typed})


class JournalHandler(logging.Handler):
    """A record with its typed fields to journald."""

    def __init__(self) -> None:
        super().__init__()
        self._journald = Journald()

    @property
    def dropped(self) -> int:
        return self._journald.dropped

    def flush(self) -> None:
        self._journald.flush()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)  # with the traceback, if there is one
        fields = {
            "PRIORITY": str(_LEVELS.get(record.levelno, 6)),
            "SYSLOG_IDENTIFIER": "kiosk",
            "LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
            **_process,
            **getattr(record, "journal", {}),
        }
        self._journald.put({"MESSAGE": text, **fields})


def _stderr_handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
    )
    return handler


def _stderr_is_journal() -> bool:
    """systemd names the device and inode of the stream it connected (sd_journal_stream_fd(3))."""
    stream = os.environ.get("JOURNAL_STREAM")
    if not stream:
        return False
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"
