"""The local agent's voice: espeak-ng, one child process for each new sentence.

It may not play anything, nor decide what is said. The WAV is read as espeak-ng streams it.
"""

import asyncio
import subprocess
from collections import OrderedDict
from collections.abc import Sequence

from kiosk.audio.pcm import Samples, WavError, read_wav, silence
from kiosk.audio.resample import resample
from kiosk.audio.synthesis import DEBIAN_PACKAGE, PROGRAM, espeak_command, trim_silence
from kiosk.errors import ConfigError, UnavailableError

# espeak-ng renders a minute of speech in about 0.15 s on a desktop core.
_LONGEST_RENDER_S = 10.0
# Sixteen sentences of 10 s at 48 kHz are 15 MB.
_REMEMBERED = 16


class AgentVoice:
    """Speaks text with one espeak-ng voice; for one event loop.

    `voice` is what `espeak-ng --voices` lists, with an optional variant ("en-gb-x-rp+f2").
    """

    def __init__(
        self, voice: str, words_per_minute: int = 165, *, longest_s: float = _LONGEST_RENDER_S
    ) -> None:
        self._voice = voice
        self._command = espeak_command(voice, words_per_minute)
        self._longest_s = longest_s
        self._rendered: OrderedDict[tuple[str, int], Samples] = OrderedDict()

    async def render(self, text: str, rate_hz: int) -> Samples:
        """The text as mono int16 samples, with at most 50 ms of silence on either side.

        Without a word in the text the array is empty. It may be shared with later callers and is
        read-only. Raises ConfigError for a voice espeak-ng does not know, UnavailableError when
        espeak-ng is absent, fails or takes too long.
        """
        asked = (text, rate_hz)
        if asked in self._rendered:
            self._rendered.move_to_end(asked)
            return self._rendered[asked]
        samples = self._samples(await self._speak(text), rate_hz)
        self._rendered[asked] = samples
        if len(self._rendered) > _REMEMBERED:
            self._rendered.popitem(last=False)
        return samples

    def _samples(self, wav: bytes, rate_hz: int) -> Samples:
        if not wav:  # espeak-ng had nothing to speak: the text holds no word
            return silence(0)
        try:
            spoken, spoken_hz = read_wav(wav)
        except WavError as error:
            raise UnavailableError(f"{PROGRAM} gave no WAV: {error}") from error
        # A copy: a trimmed view would keep the whole recording.
        samples = resample(trim_silence(spoken, spoken_hz), spoken_hz, rate_hz).copy()
        samples.flags.writeable = False
        return samples

    async def _speak(self, text: str) -> bytes:
        """Run espeak-ng once and return its WAV; it never outlives the call."""
        child = _Child(self._command)
        try:
            # In a thread from its start to its end: asyncio's own child processes can hang for ever
            # when they are given up, and answers are given up whenever a visitor speaks.
            status, wav, complaint = await asyncio.to_thread(
                child.run, text.encode(), self._longest_s
            )
        except FileNotFoundError as error:
            raise UnavailableError(
                f"{PROGRAM} is not installed: sudo apt install {DEBIAN_PACKAGE}"
            ) from error
        except OSError as error:
            raise UnavailableError(f"cannot start {PROGRAM}: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(
                f"{PROGRAM} did not finish {len(text)} characters in {self._longest_s:g} s"
            ) from error
        finally:
            child.give_up()
        if status != 0:
            raise self._failure(complaint.decode(errors="replace").strip(), status)
        return wav

    def _failure(self, complaint: str, status: int | None) -> ConfigError | UnavailableError:
        if "voice" in complaint.lower():
            return ConfigError(f"{PROGRAM} cannot use the voice {self._voice!r}: {complaint}")
        return UnavailableError(f"{PROGRAM} failed with status {status}: {complaint}")


class _Child:
    """One run of a program. Another thread may give it up before, while or after it runs."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._given_up = False

    def run(self, text: bytes, longest_s: float) -> tuple[int, bytes, bytes]:
        """Its status, output and complaints."""
        pipe = subprocess.PIPE
        with subprocess.Popen(  # noqa: S603  our own command; the text goes in by its input
            self._command, stdin=pipe, stdout=pipe, stderr=pipe
        ) as process:
            self._process = process
            if self._given_up:  # while it was being started
                process.kill()
            try:
                output, complaint = process.communicate(text, longest_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return process.returncode, output, complaint

    def give_up(self) -> None:
        self._given_up = True
        if self._process is not None:
            self._process.kill()
