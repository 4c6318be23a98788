"""Espeak-ng as a child process: a text in, a WAV file out."""

import asyncio
import subprocess

from kiosk.errors import ConfigError, UnavailableError

PROGRAM = "espeak-ng"
DEBIAN_PACKAGE = "espeak-ng"


class EspeakMissingError(UnavailableError):
    """Espeak-ng is not installed."""


class VoiceMissingError(ConfigError):
    """Espeak-ng has no such voice."""


def espeak_command(voice: str, words_per_minute: int) -> list[str]:
    """The argv that speaks the text on its standard input as a WAV file on its standard output.

    The text is never in argv: it would show in the process list, and could be taken for an option.
    """
    return [PROGRAM, "-v", voice, "-s", str(words_per_minute), "-b", "1", "--stdin", "--stdout"]


class Espeak:
    """One voice, as `espeak-ng --voices` lists it, with an optional variant ("en-gb-x-rp+f2")."""

    def __init__(self, voice: str, words_per_minute: int, longest_s: float) -> None:
        self._voice = voice
        self._longest_s = longest_s
        self.command = espeak_command(voice, words_per_minute)

    async def speak(self, text: str) -> bytes:
        """The WAV file, empty where the text holds no word; espeak-ng never outlives the call.

        Raises VoiceMissingError for a voice it does not know, EspeakMissingError where it is
        absent, UnavailableError when it fails or takes too long. What to do stands behind "; ".
        """
        child = _Child()
        try:
            # In a thread from its start to its end: asyncio's own child processes can hang for ever
            # when they are given up, and answers are given up whenever a visitor speaks.
            return await asyncio.to_thread(self._run, self.command, text, child)
        finally:
            child.give_up()

    def speak_now(self, text: str) -> bytes:
        """The same; blocks."""
        return self._run(self.command, text, _Child())

    def phonemes_now(self, word: str) -> list[str]:
        """A word's phonemes in espeak-ng's mnemonics, empty for what is not said; blocks, and
        raises as `speak` does."""
        command = [PROGRAM, "-v", self._voice, "-q", "-x", "--sep=_", "--stdin"]
        said = self._run(command, word, _Child()).decode("ascii", "replace").split()
        return "_".join(said).split("_") if said else []

    def _run(self, command: list[str], text: str, child: "_Child") -> bytes:
        try:
            status, output, complaint = child.run(command, text.encode(), self._longest_s)
        except FileNotFoundError as error:
            raise EspeakMissingError(
                f"{PROGRAM} is not installed; `sudo apt install {DEBIAN_PACKAGE}`"
            ) from error
        except OSError as error:
            raise UnavailableError(f"cannot start {PROGRAM}: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(
                f"{PROGRAM} did not finish {len(text)} characters in {self._longest_s:g} s"
            ) from error
        if status != 0:
            raise self._failure(complaint.decode(errors="replace").strip(), status)
        return output

    def _failure(self, complaint: str, status: int) -> ConfigError | UnavailableError:
        if "voice" in complaint.lower():
            return VoiceMissingError(
                f"{PROGRAM} cannot use the voice {self._voice!r} ({complaint.rstrip('.')}); "
                f"`{PROGRAM} --voices` lists those it has"
            )
        return UnavailableError(f"{PROGRAM} failed with status {status}: {complaint}")


class _Child:
    """One run of a program. Another thread may give it up before, while or after it runs."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._given_up = False

    def run(self, command: list[str], text: bytes, longest_s: float) -> tuple[int, bytes, bytes]:
        """Its status, output and complaints."""
        pipe = subprocess.PIPE
        with subprocess.Popen(  # noqa: S603  our own command; the text goes in by its input
            command, stdin=pipe, stdout=pipe, stderr=pipe
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
