"""Service surroundings: the files and directories that systemd gives a unit."""

import os
from pathlib import Path


def credential(name: str) -> Path | None:
    """The file of a credential; None outside of a service, and where nobody stored it: a service
    starts without."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(directory) / name if directory else None
    return path if path is not None and path.exists() else None


def state_directory() -> Path | None:
    """Where what must outlive the process is kept; None outside of a service."""
    return _first_of("STATE_DIRECTORY")


def runtime_directory() -> Path | None:
    """Where what is forgotten when the machine starts anew is kept; None outside of a service."""
    return _first_of("RUNTIME_DIRECTORY")


def cache_directory() -> Path | None:
    """Where what can be made again is kept; None outside of a service."""
    return _first_of("CACHE_DIRECTORY")


def _first_of(variable: str) -> Path | None:
    """The unit's own; systemd names several with colons between."""
    first = os.environ.get(variable, "").partition(":")[0]
    return Path(first) if first else None
