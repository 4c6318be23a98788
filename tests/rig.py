"""Virtual sound cards with a clock: PulseAudio as child processes, behind the real ALSA API.

Two cards, a daemon each: tests play speech into `feed`, which the kiosk hears as `vmic`; what the
kiosk plays to `vspk` is recorded from `spkmon`. Nothing of the machine's own sound configuration
is read or changed.

What stands for what: killing a card's daemon is pulling its plug (the streams on it fail at once,
opening it again is refused), starting it on the same socket is plugging it in; a suspended sink is
a card that is still there and has stopped, without an error.
"""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_START_TIMEOUT_S = 10.0
_PACKAGE_ADVICE = "apt-get install pulseaudio pulseaudio-utils libasound2-plugins alsa-utils"
# ALSA's own order, so that nothing is remixed on the way.
_CHANNEL_MAPS = {
    1: "mono",
    2: "front-left,front-right",
    4: "front-left,front-right,rear-left,rear-right",
}


def missing() -> str | None:
    """Why the rig cannot run here, or None."""
    if shutil.which("pulseaudio") is None:
        return f"no pulseaudio: {_PACKAGE_ADVICE}"
    plugins = list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so"))
    return None if plugins else f"no ALSA plug-in for pulse: {_PACKAGE_ADVICE}"


@dataclass(frozen=True)
class Shape:
    """What a card can do."""

    rate_hz: int = 48_000
    channels: int = 2


@dataclass
class Card:
    """One virtual card: a null sink in a daemon of its own."""

    sink: str
    shape: Shape
    directory: Path
    env: Mapping[str, str]
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def server(self) -> str:
        return f"unix:{self.directory}/pulse.sock"

    def plug(self) -> None:
        """Start the daemon; returns when it can be used."""
        socket = self.directory / "pulse.sock"
        _write(
            self.directory / "default.pa",
            f"""
            .fail
            load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
            load-module module-null-sink sink_name={self.sink} rate={self.shape.rate_hz} \
            channels={self.shape.channels} channel_map={_CHANNEL_MAPS[self.shape.channels]} \
            norewinds=1
            """,
        )
        with (self.directory / "pulse.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "pulseaudio",
                    "-n",
                    "--daemonize=no",
                    "--use-pid-file=no",
                    "--exit-idle-time=-1",
                    "--disable-shm=yes",
                    "--realtime=no",
                    "-F",
                    str(self.directory / "default.pa"),
                ],
                env={
                    **self.env,
                    "HOME": str(self.directory),
                    "XDG_RUNTIME_DIR": str(self.directory),
                    "PULSE_STATE_PATH": str(self.directory),
                },
                stdout=log,
                stderr=log,
            )
        self._await_sink()

    def unplug(self) -> None:
        """Kill the daemon: every stream on the card breaks, and opening it is refused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(5)
            self._process = None
            (self.directory / "pulse.sock").unlink(missing_ok=True)

    def suspend(self) -> None:
        """The card stops, and says nothing of it."""
        self._pactl("suspend-sink", self.sink, "1")

    def resume(self) -> None:
        self._pactl("suspend-sink", self.sink, "0")

    def describe(self) -> str:
        """PulseAudio's own account of the sink, its volume among it."""
        return self._pactl("list", "sinks")

    def _pactl(self, *arguments: str) -> str:
        command = ["pactl", "--server", self.server, *arguments]
        done = subprocess.run(command, env=self.env, check=True, capture_output=True, timeout=10)
        return done.stdout.decode()

    def _await_sink(self) -> None:
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not (self.directory / "pulse.sock").exists():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.unplug()
                complaint = (self.directory / "pulse.log").read_text(errors="replace")
                raise RuntimeError(f"pulseaudio did not start: {complaint}")
            time.sleep(0.02)


@dataclass(frozen=True)
class Rig:
    """Two virtual cards; `env` is what a process needs to see them."""

    directory: Path
    env: dict[str, str]
    microphone: Card
    speaker: Card

    def stop(self) -> None:
        self.microphone.unplug()
        self.speaker.unplug()

    def run_with(self, code: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """A Python child that sees the cards (ALSA reads its configuration once per process)."""
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def start(
    directory: Path,
    *,
    microphone: Shape = Shape(),
    speaker: Shape = Shape(),
) -> Rig:
    """Plug in both cards; sockets and state are inside `directory` (short path, mode 0700)."""
    rig = prepare(directory, microphone=microphone, speaker=speaker)
    rig.microphone.plug()
    rig.speaker.plug()
    return rig


def prepare(
    directory: Path,
    *,
    microphone: Shape = Shape(),
    speaker: Shape = Shape(),
) -> Rig:
    """Both cards known to ALSA, and not plugged in yet."""
    directory.chmod(0o700)
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PULSE")},
        "HOME": str(directory),
        "XDG_RUNTIME_DIR": str(directory),
        "PULSE_STATE_PATH": str(directory),
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        "ALSA_CONFIG_PATH": str(directory / "alsa.conf"),
    }
    cards = []
    for name, sink, shape in (("mic", "mic_feed", microphone), ("spk", "spk", speaker)):
        (directory / name).mkdir(mode=0o700)
        cards.append(Card(sink, shape, directory / name, env))
    heard, played = (f'type pulse server "{card.server}"' for card in cards)
    _write(
        directory / "rig.asound.conf",
        f"""
        pcm.vmic {{ {heard} device "mic_feed.monitor" }}
        pcm.feed {{ {heard} device "mic_feed" }}
        pcm.vspk {{ {played} device "spk" }}
        pcm.spkmon {{ {played} device "spk.monitor" }}
        ctl.vspk {{ {played} sink "spk" }}
        """,
    )
    _write(
        directory / "alsa.conf",
        f"""
        @hooks [ {{ func load files [
            "/usr/share/alsa/alsa.conf" "{directory}/rig.asound.conf" ] errors false }} ]
        """,
    )
    return Rig(directory, env, *cards)


def _write(path: Path, text: str) -> None:
    path.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
