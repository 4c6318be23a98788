"""Doubts about settings that are right: the files and directories that they name on this machine,
and who could read what is sent."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from kiosk.base.hosts import is_loopback
from kiosk.config.tables import Settings


def doubtful(settings: Settings) -> list[str]:
    """What is named and not there, or not to be used by whoever asks, and what everybody on the way
    could read; each with its key."""
    return [*_files(settings), *_directories(settings), *_in_the_clear(settings)]


def _in_the_clear(settings: Settings) -> Iterator[str]:
    addresses = [("agent.url", settings.agent.url, "what visitors say")]
    if settings.credentials.mode == "backend":
        url = settings.credentials.backend_url
        addresses.append(("credentials.backend_url", url, "the device token"))
    for key, url, what in addresses:
        parts = urlsplit(url)
        if parts.scheme in ("http", "ws") and not is_loopback(parts.hostname or ""):
            yield f"{key}: {what} can be read by everybody on the way; use {parts.scheme}s://"


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
    """False also where this user may not look, or what is written cannot be a path."""
    try:
        return looks()
    except OSError:
        return False
