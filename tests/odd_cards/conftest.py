"""Machines of odd cards, in this process: libasound reads its configuration again when the file
that it is told of is another."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kiosk.devices import cards
from tests.odd_cards import OddCard, OddMachine, plug_ins

Machine = Callable[..., OddMachine]


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory whose path is short enough for a Unix socket's name."""
    directory = Path(tempfile.mkdtemp(prefix="kiosk-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Call it with the cards, and with `more` lines for asound.conf."""

    def make(*its: OddCard, more: str = "") -> OddMachine:
        made = OddMachine(tmp_path, list(its), more)
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(cards, "PROC_ASOUND", made.proc)
        return made

    plug_ins()
    return make
