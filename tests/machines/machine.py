"""What a test can do with any machine, whether a container or a virtual one."""

import subprocess
from typing import Protocol


class Machine(Protocol):
    """A booted system; commands are the shell's, and run as root."""

    @property
    def name(self) -> str: ...

    def try_run(
        self, command: str, *, stdin: str = "", timeout_s: float = 120
    ) -> "subprocess.CompletedProcess[str]": ...

    def run(self, command: str, *, stdin: str = "", timeout_s: float = 120) -> str: ...
