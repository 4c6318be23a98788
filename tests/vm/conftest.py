"""One virtual machine for all the tests here, which run in the order in which they stand."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines import trees, virtual
from tests.vm.installation import Place, installed


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    reason = trees.missing() or virtual.missing()
    if reason is not None:
        pytest.fail(reason, pytrace=False)
    directory = tmp_path_factory.mktemp("vm")
    try:
        with installed(directory) as place:
            yield place
            _keep_journal(place)
    finally:
        _keep(directory / "typed.log", directory / "provider.log")


_KEPT = Path("build/vm-test")


def _keep_journal(place: Place) -> None:
    """What the machine said, for whoever reads a failed run."""
    _KEPT.mkdir(parents=True, exist_ok=True)
    journal = place.kiosk.try_run("journalctl --no-pager --output=short-precise").stdout
    (_KEPT / "lobby.journal.txt").write_text(journal, encoding="utf-8")
    (_KEPT / "lobby.console.txt").write_text(place.kiosk.console(), encoding="utf-8")


def _keep(*logs: Path) -> None:
    _KEPT.mkdir(parents=True, exist_ok=True)
    for log in logs:
        if log.exists():
            shutil.copy(log, _KEPT)
