"""Two kiosks (Debian 12 and 13), a server with backend and collector, and the control machine.

The control machine is a copy of this checkout with an inventory of its own. ElevenLabs is played by
the local agent, whoever is told of alerts by a webhook of ours; both run here, on loopback.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.machines.asking import until
from tests.machines.guests import Guest, Key
from tests.machines.trees import tree

ROOT = Path(__file__).parent.parent.parent
API_KEY = "sk_boot_test_0123456789"
NEXT_API_KEY = "sk_boot_test_9876543210"
AGENT_ID = "agent_boot"
BACKEND_PORT, PROVIDER_PORT, WEBHOOK_PORT, AGENT_PORT = 18471, 18472, 18473, 18472
SUITES = {"north": "bookworm", "south": "trixie"}
WITHOUT_HARDWARE = {
    "capture": {"driver": "virtual"},
    "playback": {"driver": "virtual"},
    "button": {"driver": "none"},
    "indicator": {"driver": "none"},
}

_TYPED_TIMEOUT_S = 600


class Webhook:
    """Keeps what the watcher posts."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, object]] = []
        alerts = self.alerts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                alerts.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", WEBHOOK_PORT), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def await_alert(self, cause: str, kiosk: str, *, timeout_s: float) -> None:
        def told() -> bool:
            return any(each["cause"] == cause and each["kiosk"] == kiosk for each in self.alerts)

        until(told, timeout_s, f"an alert of {cause} at {kiosk}")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


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


def trusts_whom_this_machine_trusts(guest: Guest) -> None:
    """Where packages come through a proxy with a certificate of its own, pip needs it there too."""
    own = Path("/etc/ssl/certs/ca-certificates.crt")
    shutil.copyfile(own, guest.file(str(own)))
    guest.run("tee -a /home/pi/.profile", stdin=f"export PIP_CERT={own}\n")


@dataclass
class Playbook:
    """What a run of ansible-playbook came to."""

    returncode: int
    output: str

    def recap(self, host: str) -> dict[str, int]:
        """`ok`, `changed`, `failed` ... of one host, from the last lines."""
        line = next(
            line
            for line in reversed(self.output.splitlines())
            if line.split(":")[0].strip() == host and "ok=" in line
        )
        return {
            name: int(number)
            for name, _, number in (word.partition("=") for word in line.split(":")[1].split())
        }

    def ran_on(self, host: str) -> bool:
        return f"[{host}" in self.output

    def changed(self) -> dict[str, int]:
        """How much, on each host where anything was."""
        lines = self.output.partition("PLAY RECAP")[2].splitlines()
        hosts = [line.split(":")[0].strip() for line in lines if "ok=" in line]
        return {host: many for host in hosts if (many := self.recap(host)["changed"])}


@dataclass
class Fleet:
    """Everything, booted. `checkout` is where the technician types."""

    directory: Path
    guests: dict[str, Guest] = field(default_factory=dict)
    webhook: Webhook = field(default_factory=Webhook)
    commands: set[str] = field(default_factory=set)  # typed so far, here or on a machine
    _agent: "subprocess.Popen[bytes] | None" = None

    @property
    def checkout(self) -> Path:
        return self.directory / "checkout"

    @property
    def kiosks(self) -> list[Guest]:
        return [self.guests[name] for name in SUITES]

    @property
    def server(self) -> Guest:
        return self.guests["server"]

    # --- making it ------------------------------------------------------------------------------

    def start(self) -> None:
        self._key = Key.made_in(self.directory)
        with ThreadPoolExecutor() as beside:
            list(beside.map(tree, set(SUITES.values())))
        for number, (name, suite) in enumerate({**SUITES, "server": "trixie"}.items()):
            self.guests[name] = self.booted(name, suite, 18401 + number)
        copy_checkout(self.checkout)
        self._find_python313()
        self.start_agent()

    def booted(self, name: str, suite: str, ssh_port: int) -> Guest:
        guest = Guest(name, tree(suite), self.directory / name, ssh_port)
        guest.prepare(self._key.public)
        guest.boot()
        return guest

    def stop(self) -> None:
        self.stop_agent()
        self.webhook.close()
        for guest in self.guests.values():
            guest.remove()

    def start_agent(self, api_key: str = API_KEY) -> None:
        key_file = self.directory / "provider-key"
        key_file.write_text(api_key, encoding="ascii")
        self._agent = subprocess.Popen(
            [
                sys.executable, "-m", "kiosk", "agent", "--port", str(AGENT_PORT), "--private",
                "--agent-id", AGENT_ID, "--api-key-file", str(key_file),
            ],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )  # fmt: skip
        assert self._agent.stdout is not None
        assert b"listening" in self._agent.stdout.readline()

    def stop_agent(self) -> None:
        if self._agent is not None:
            self._agent.send_signal(signal.SIGTERM)
            self._agent.communicate(timeout=10)
            self._agent = None

    def _find_python313(self) -> None:
        """The control machine has it under its own name."""
        found = subprocess.run(
            [ROOT / ".ci/python313"], check=True, capture_output=True, text=True
        ).stdout.strip()
        (self.directory / "bin").mkdir()
        (self.directory / "bin/python3.13").symlink_to(found)

    def write_inventory(self, api_key: str = API_KEY) -> None:
        """What the technician makes of the example."""

        def host(name: str) -> dict[str, object]:
            return {"ansible_host": "127.0.0.1", "ansible_port": self.guests[name].ssh_port}

        inventory = self.checkout / "deploy/inventory"
        for example in ("hosts.yml", "group_vars/all.yml"):
            (inventory / example).unlink(missing_ok=True)
        hosts = {
            "kiosks": {"hosts": {name: {**host(name), "kiosk_site": name} for name in SUITES}},
            "backend": {"hosts": {"server": host("server")}},
            "collector": {"hosts": {"server": {}}},
        }
        variables = {
            "ansible_user": "pi",
            "ansible_ssh_private_key_file": str(self._key.path),
            "ansible_ssh_common_args": (
                "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
            ),
            "backend_agent_id": AGENT_ID,
            "backend_api_key": api_key,
            "backend_port": BACKEND_PORT,
            "backend_settings": {"PROVIDER_URL": f"http://127.0.0.1:{PROVIDER_PORT}"},
            "kiosk_backend_url": f"http://127.0.0.1:{BACKEND_PORT}",
            "kiosk_settings": {**WITHOUT_HARDWARE, "journal": {"alive_s": 20}},
            "monitoring_webhook_url": f"http://127.0.0.1:{WEBHOOK_PORT}/alert",
            "monitoring_silent_minutes": 1,
        }
        for name, content in (("hosts", hosts), ("group_vars/all", variables)):
            path = inventory / f"{name}.json"
            path.write_text(json.dumps(content, indent=2), encoding="utf-8")

    # --- using it -------------------------------------------------------------------------------

    def typed(self, command: str, *, directory: str = "deploy") -> Playbook:
        """A command as the technician types it, in deploy/ of the checkout."""
        self.commands.update(command.splitlines())
        environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
        own = f"{self.checkout}/.venv-deploy/bin:{self.directory}/bin"
        environment["PATH"] = f"{own}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-e", "-c", command],
            cwd=self.checkout / directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TYPED_TIMEOUT_S,
        )
        with (self.directory / "typed.log").open("a", encoding="utf-8") as log:
            log.write(f"$ {command}\n{done.stdout}\n")
        return Playbook(done.returncode, done.stdout)

    def played(self, command: str) -> Playbook:
        """A playbook that must succeed."""
        run = self.typed(command)
        assert run.returncode == 0, run.output[-6000:]
        return run

    @contextmanager
    def playing(self, command: str) -> "Iterator[Future[Playbook]]":
        """A playbook that must succeed, beside what else is done meanwhile."""
        with ThreadPoolExecutor(1) as beside:
            playbook = beside.submit(self.played, command)
            yield playbook
            playbook.result()

    def typed_on(self, guest: Guest, command: str, *, stdin: str = "") -> str:
        """A command as the technician types it, logged in at a machine; what it says."""
        self.commands.add(command)
        line = f"su - pi -c {shlex.quote(command)}"
        return guest.run(line, stdin=stdin, timeout_s=_TYPED_TIMEOUT_S)
