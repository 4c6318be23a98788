import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory whose path is short enough for a Unix socket's name."""
    directory = Path(tempfile.mkdtemp(prefix="kiosk-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory)
