"""One fleet for all the tests here, which run in the order in which they stand."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot.fleet import Fleet, booted_fleet
from tests.machines import trees


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    reason = trees.missing()
    if reason is not None:
        pytest.fail(reason, pytrace=False)
    directory = tmp_path_factory.mktemp("fleet")
    with booted_fleet(directory) as fleet:
        try:
            yield fleet
        finally:
            _keep_logs(fleet, directory)


def _keep_logs(fleet: Fleet, directory: Path) -> None:
    """What was typed and what each machine's journal says, for whoever reads a failed run."""
    kept = Path("build/boot-test")
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    if (typed := directory / "typed.log").exists():
        shutil.copy(typed, kept)
    for guest in fleet.guests.values():
        journal = guest.try_run("journalctl --no-pager --output=short-precise").stdout
        (kept / f"{guest.name}.journal.txt").write_text(journal, encoding="utf-8")
