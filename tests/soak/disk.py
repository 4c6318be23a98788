"""A directory on which writing fails, by what the file system itself refuses: as root too."""

import shutil
from pathlib import Path

from kiosk.base.files import temporary_path


class Disk:
    """`directory` is a state directory. FILES are what a kiosk keeps there."""

    FILES = ("leases.json", "reports.json")

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._away = directory.with_name(f"{directory.name}-away")

    def format(self) -> None:
        """Empty it."""
        for each in (self.directory, self._away):
            shutil.rmtree(each, ignore_errors=True)
        self.directory.mkdir(parents=True)

    def fail(self, *, full: bool) -> None:
        """Until `mend` it is gone, or full: nothing new can be written, and what is there can be
        read and removed. In place of the new file a directory stands, so that the error is EISDIR;
        ENOSPC differs from it in the log's words only."""
        if not full and self.directory.exists():
            self.directory.rename(self._away)
        elif full and self.directory.exists():
            for path in self._in_the_way():
                path.mkdir(exist_ok=True)

    def mend(self) -> None:
        if self._away.exists():
            self._away.rename(self.directory)
        for path in self._in_the_way():
            if path.is_dir():
                path.rmdir()

    def _in_the_way(self) -> list[Path]:
        return [temporary_path(self.directory / name) for name in self.FILES]
