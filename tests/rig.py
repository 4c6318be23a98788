"""A virtual sound card with a clock: PulseAudio as a child process, behind the real ALSA API.

Two null sinks stand for the two directions: tests play speech into `feed`, which the kiosk hears as
`vmic`; what the kiosk plays to `vspk` is recorded from `spkmon`. Nothing of the machine's own sound
configuration is read or changed.
"""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

_START_TIMEOUT_S = 10.0
_PACKAGE_ADVICE = "apt-get install pulseaudio pulseaudio-utils libasound2-plugins alsa-utils"


def missing() -> str | None:
    """Why the rig cannot run here, or None."""
    if shutil.which("pulseaudio") is None:
        return f"no pulseaudio: {_PACKAGE_ADVICE}"
    plugins = list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so"))
    return None if plugins else f"no ALSA plug-in for pulse: {_PACKAGE_ADVICE}"


@dataclass(frozen=True)
class Rig:
    """A running virtual card; `env` is what a process needs to see it."""

    directory: Path
    process: "subprocess.Popen[bytes]"
    env: dict[str, str]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(5)

    def run_with(self, code: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """A Python child that sees the card (ALSA reads its configuration once per process)."""
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def start(directory: Path, rate_hz: int = 48_000) -> Rig:
    """Start PulseAudio with its sockets and state inside `directory` (short path, mode 0700)."""
    directory.chmod(0o700)
    socket = directory / "pulse.sock"
    _write(
        directory / "default.pa",
        f"""
        .fail
        load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
        load-module module-null-sink sink_name=mic_feed rate={rate_hz} channels=2 norewinds=1
        load-module module-null-sink sink_name=spk rate={rate_hz} channels=2 norewinds=1
        """,
    )
    server = f'server "unix:{socket}"'
    _write(
        directory / "rig.asound.conf",
        f"""
        pcm.vmic {{ type pulse {server} device "mic_feed.monitor" }}
        pcm.vspk {{ type pulse {server} device "spk" }}
        pcm.feed {{ type pulse {server} device "mic_feed" }}
        pcm.spkmon {{ type pulse {server} device "spk.monitor" }}
        """,
    )
    _write(
        directory / "alsa.conf",
        f"""
        @hooks [ {{ func load files [
            "/usr/share/alsa/alsa.conf" "{directory}/rig.asound.conf" ] errors false }} ]
        """,
    )
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PULSE")},
        "HOME": str(directory),
        "XDG_RUNTIME_DIR": str(directory),
        "PULSE_STATE_PATH": str(directory),
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        "ALSA_CONFIG_PATH": str(directory / "alsa.conf"),
    }
    with (directory / "pulse.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "pulseaudio",
                "-n",
                "--daemonize=no",
                "--use-pid-file=no",
                "--exit-idle-time=-1",
                "--disable-shm=yes",
                "--realtime=no",
                "-F",
                str(directory / "default.pa"),
            ],
            env=env,
            stdout=log,
            stderr=log,
        )
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline_s:
            process.kill()
            process.wait()
            complaint = (directory / "pulse.log").read_text(errors="replace")
            raise RuntimeError(f"pulseaudio did not start: {complaint}")
        time.sleep(0.02)
    return Rig(directory, process, env)


def _write(path: Path, text: str) -> None:
    path.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
