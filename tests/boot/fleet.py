"""Two kiosks (Debian 12 and 13), a server with backend and collector, and the control machine.

The control machine is a copy of this checkout with an inventory of its own. ElevenLabs is played by
the local agent, whoever is told of alerts by a webhook of ours; both run here, on loopback.
"""

import json
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.machines.asking import until
from tests.machines.control import ROOT, Control, Provider, Run, copy_checkout
from tests.machines.guests import Guest, Key
from tests.machines.trees import tree

API_KEY = "sk_boot_test_0123456789"
NEXT_API_KEY = "sk_boot_test_9876543210"
AGENT_ID = "agent_boot"
BACKEND_PORT, PROVIDER_PORT, WEBHOOK_PORT = 18471, 18472, 18473
SUITES = {"north": "bookworm", "south": "trixie"}
SUDO_PASSWORDS = {"south": "open sesame"}
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


def trusts_whom_this_machine_trusts(guest: Guest) -> None:
    """Where packages come through a proxy with a certificate of its own, pip needs it there too."""
    own = Path("/etc/ssl/certs/ca-certificates.crt")
    shutil.copyfile(own, guest.file(str(own)))
    guest.run("tee -a /home/pi/.profile", stdin=f"export PIP_CERT={own}\n")
    guest.run("mkdir -p /etc/systemd/system.conf.d")
    environment = f"[Manager]\nDefaultEnvironment=PIP_CERT={own}\n"
    guest.run("tee /etc/systemd/system.conf.d/trust.conf", stdin=environment)
    guest.run("systemctl daemon-reexec")


@dataclass
class Fleet:
    """Everything, booted. `control` is where the technician types."""

    directory: Path
    control: Control
    provider: Provider
    guests: dict[str, Guest] = field(default_factory=dict)
    webhook: Webhook = field(default_factory=Webhook)
    commands: set[str] = field(default_factory=set)  # typed so far, here or on a machine

    @property
    def checkout(self) -> Path:
        return self.control.checkout

    @property
    def kiosks(self) -> list[Guest]:
        return [self.guests[name] for name in SUITES]

    @property
    def server(self) -> Guest:
        return self.guests["server"]

    def boot(self) -> None:
        with ThreadPoolExecutor() as beside:
            list(beside.map(tree, set(SUITES.values())))
        for number, (name, suite) in enumerate({**SUITES, "server": "trixie"}.items()):
            self.boot_guest(name, suite, 18401 + number)

    def boot_guest(self, name: str, suite: str, ssh_port: int) -> Guest:
        guest = Guest(name, tree(suite), self.directory / name, ssh_port)
        self.guests[name] = guest
        guest.prepare(self.control.key.public, SUDO_PASSWORDS.get(name, ""))
        guest.boot()
        return guest

    def close(self) -> None:
        self.provider.close()
        self.webhook.close()
        for guest in self.guests.values():
            guest.remove()

    def use_key(self, api_key: str) -> None:
        """ElevenLabs knows this one and no other."""
        self.provider.close()
        self.provider = Provider(self.directory, PROVIDER_PORT, AGENT_ID, api_key)

    def write_inventory(self, *, api_key: str = API_KEY, version: str = "0.1.0") -> None:
        def host(name: str) -> dict[str, object]:
            port = self.guests[name].ssh_port
            reached: dict[str, object] = {"ansible_host": "127.0.0.1", "ansible_port": port}
            if name in SUDO_PASSWORDS:
                reached["ansible_become_password"] = SUDO_PASSWORDS[name]
            return reached

        hosts: dict[str, object] = {
            "kiosks": {"hosts": {name: {**host(name), "kiosk_site": name} for name in SUITES}},
            "backend": {"hosts": {"server": host("server")}},
            "collector": {"hosts": {"server": {}}},
            "screens": {"hosts": {name: {} for name in SUITES}},
        }
        variables: dict[str, object] = {
            "backend_agent_id": AGENT_ID,
            "backend_api_key": api_key,
            "backend_port": BACKEND_PORT,
            "backend_settings": {"PROVIDER_URL": f"http://127.0.0.1:{PROVIDER_PORT}"},
            "kiosk_backend_url": f"http://127.0.0.1:{BACKEND_PORT}",
            "kiosk_version": version,
            "kiosk_settings": {
                **WITHOUT_HARDWARE,
                "agent": {"trial_calls": "gate"},
                "journal": {"alive_s": 20},
            },
            "monitoring_webhook_url": f"http://127.0.0.1:{WEBHOOK_PORT}/alert",
            "monitoring_silent_minutes": 1,
            "screen_browser": False,  # there is nothing to look at
        }
        self.control.write_inventory(hosts, variables)

    def typed(self, command: str, *, within: str = "deploy") -> Run:
        """A command as the technician types it at the control machine."""
        self.commands.update(command.splitlines())
        return self.control.typed(command, within=within)

    def played(self, command: str) -> Run:
        """A playbook that must succeed."""
        self.commands.add(command)
        return self.control.played(command)

    @contextmanager
    def playing(self, command: str) -> "Iterator[Future[Run]]":
        """A playbook that must succeed, beside what else is done meanwhile."""
        with ThreadPoolExecutor(1) as beside:
            run = beside.submit(self.played, command)
            yield run
            run.result()

    def typed_on(self, guest: Guest, command: str, *, stdin: str = "") -> str:
        """A command as the technician types it, logged in at a machine; what it says."""
        self.commands.add(command)
        line = f"su - pi -c {shlex.quote(command)}"
        return guest.run(line, stdin=stdin, timeout_s=_TYPED_TIMEOUT_S)


@contextmanager
def booted_fleet(directory: Path) -> Iterator[Fleet]:
    """Everything, running; gone again at the end."""
    programs = directory / "bin"
    programs.mkdir()
    (programs / "python3.13").symlink_to(_python313())
    control = Control(directory, Key.made_in(directory))
    control.programs = (control.checkout / ".venv-deploy/bin", programs)
    copy_checkout(control.checkout)
    fleet = Fleet(directory, control, Provider(directory, PROVIDER_PORT, AGENT_ID, API_KEY))
    try:
        fleet.boot()
        yield fleet
    finally:
        fleet.close()


def _python313() -> str:
    """The control machine has it under its own name."""
    found = subprocess.run([ROOT / ".ci/python313"], check=True, capture_output=True, text=True)
    return found.stdout.strip()
