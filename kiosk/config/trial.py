"""Trial of settings on this machine: the files and directories that they name."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from kiosk.config.tables import Settings


def missing(settings: Settings) -> list[str]:
    """What is named and not there, or not to be used by whoever asks; each with its key."""
    return [*_files(settings), *_directories(settings)]


def _files(settings: Settings) -> Iterator[str]:
    for key, path in (
        ("credentials.device_token_file", settings.credentials.device_token_file),
        ("convai.compat.api_key_file", settings.convai.compat.api_key_file),
    ):
        if path is not None and not _is_there(path.is_file):
            yield f"{key}: {path} is no file, or not for this user to see"
        elif path is not None and not os.access(path, os.R_OK):
            yield f"{key}: {path} may not be read by this user"


def _directories(settings: Settings) -> Iterator[str]:
    for key, path in (
        ("visit.messages_dir", settings.visit.messages_dir),
        ("credentials.state_dir", settings.credentials.state_dir),
        ("control.read_socket", _above(settings.control.read_socket)),
        ("metrics.textfile", _above(settings.metrics.textfile)),
    ):
        if path is not None and not _is_there(path.is_dir):
            yield f"{key}: there is no directory {path}, or not for this user to see"


def _above(path: Path | None) -> Path | None:
    return None if path is None else path.parent


def _is_there(looks: Callable[[], bool]) -> bool:
    """False also where this user may not look."""
    try:
        return looks()
    except PermissionError:
        return False
