"""The control machine: a copy of this checkout with an inventory of its own, and the local agent.

What a technician has on a laptop: `deploy/` to type in, and builds in `dist/`.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.machines.asking import until
from tests.machines.guests import Key

ROOT = Path(__file__).parent.parent.parent
_PLAYBOOK_TIMEOUT_S = 900


def copy_checkout(target: Path) -> None:
    """This project as `git clone` would give it, with what is not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


@dataclass
class Run:
    """What a typed command came to."""

    returncode: int
    output: str

    def changed(self) -> dict[str, int]:
        """Of a playbook: how much, on each host where anything was."""
        recap = self.output.partition("PLAY RECAP")[2]
        found = re.findall(r"^(\S+) +: .*\bchanged=(\d+)", recap, re.MULTILINE)
        return {host: int(many) for host, many in found if int(many)}

    def ran_on(self, host: str) -> bool:
        return f"[{host}" in self.output


@dataclass
class Control:
    """`checkout` is where the technician types; `programs` come first where commands are looked
    for."""

    directory: Path
    key: Key
    programs: tuple[Path, ...] = (Path(sys.executable).parent,)

    @property
    def checkout(self) -> Path:
        return self.directory / "checkout"

    def write_inventory(self, hosts: dict[str, object], variables: dict[str, object]) -> None:
        """What the technician makes of the example."""
        inventory = self.checkout / "deploy/inventory"
        (inventory / "group_vars").mkdir(parents=True, exist_ok=True)
        for example in ("hosts.yml", "group_vars/all.yml"):
            (inventory / example).unlink(missing_ok=True)
        reached = {
            "ansible_user": "pi",
            "ansible_ssh_private_key_file": str(self.key.path),
            "ansible_ssh_common_args": (
                "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
            ),
        }
        for name, content in (("hosts", hosts), ("group_vars/all", {**reached, **variables})):
            path = inventory / f"{name}.json"
            path.write_text(json.dumps(content, indent=2), encoding="utf-8")

    def typed(
        self, command: str, *, within: str = "deploy", timeout_s: float = _PLAYBOOK_TIMEOUT_S
    ) -> Run:
        """A command as the technician types it, in deploy/ of the checkout or elsewhere in it."""
        run = subprocess.Popen(
            ["bash", "-e", "-c", command],
            cwd=self.checkout / within,
            env={
                **os.environ,
                "PATH": ":".join((*map(str, self.programs), os.environ["PATH"])),
                "ANSIBLE_NOCOLOR": "1",
                "LC_ALL": "C.UTF-8",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = run.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            output, _ = run.communicate(timeout=10)
            output += f"\n(not done in {timeout_s:g} s)"
        with (self.directory / "typed.log").open("a", encoding="utf-8") as log:
            log.write(f"$ {command}\n{output}\n")
        return Run(run.returncode, output)

    def played(self, command: str) -> Run:
        """A playbook that must succeed."""
        run = self.typed(command)
        assert run.returncode == 0, run.output[-6000:]
        return run


class Provider:
    """ElevenLabs, played by the local agent on a loopback port, in a process of its own."""

    def __init__(self, directory: Path, port: int, agent_id: str, api_key: str) -> None:
        key_file = directory / "provider-key"
        key_file.write_text(api_key, encoding="ascii")
        self._told = directory / "provider.log"
        before = self._told.stat().st_size if self._told.exists() else 0
        with self._told.open("ab") as told:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "kiosk", "agent", "--port", str(port), "--private",
                    "--json", "--agent-id", agent_id, "--api-key-file", str(key_file),
                ],
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                cwd=ROOT,
            )  # fmt: skip
        until(lambda: b"listening" in self._told.read_bytes()[before:], 15, "the local agent")

    def events(self) -> list[dict[str, object]]:
        """What it heard and did, oldest first."""
        lines = self._told.read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
