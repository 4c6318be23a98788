"""What a test can do with any machine, whether a container or a virtual one."""

import subprocess
from abc import ABC, abstractmethod


class Machine(ABC):
    """A booted system; commands are the shell's, and run as root."""

    name: str

    def try_run(
        self, command: str, *, stdin: str = "", timeout_s: float = 120
    ) -> "subprocess.CompletedProcess[str]":
        """Run a shell command as root in the guest."""
        return subprocess.run(
            [*self._through(), command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def run(self, command: str, *, stdin: str = "", timeout_s: float = 120) -> str:
        """As `try_run`; the output, raises RuntimeError with everything if it fails."""
        done = self.try_run(command, stdin=stdin, timeout_s=timeout_s)
        if done.returncode != 0:
            raise RuntimeError(
                f"{self.name}: {command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    @abstractmethod
    def _through(self) -> list[str]:
        """The argv that takes a shell command to the guest."""
