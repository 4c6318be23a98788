"""The kiosk's own voice: what a visitor hears when nothing else works."""

import subprocess
from collections.abc import Iterator

from kiosk.audio.pcm import WavError, read_wav
from kiosk.audio.synthesis import DEBIAN_PACKAGE, PROGRAM, espeak_command
from kiosk.doctor.findings import Finding, failed, passed, warned
from kiosk.doctor.subject import Subject
from kiosk.visit.speech import load_sentences

_CHECK = "voice"
_RENDER_S = 6.0


def look(subject: Subject) -> Iterator[Finding]:
    visit = subject.settings.visit
    keys = load_sentences(subject.settings.kiosk.language)
    directory = visit.messages_dir
    recorded = [key for key in keys if directory and (directory / f"{key}.wav").is_file()]
    why = _silent(visit.voice, visit.words_per_minute)
    beside = f", {len(recorded)} of {len(keys)} sentences recorded" if recorded else ""
    if why is None:
        yield passed(_CHECK, f"{PROGRAM} speaks ({visit.voice}){beside}")
    elif len(recorded) == len(keys):
        step = f"`sudo apt install {DEBIAN_PACKAGE}`: reports to staff need it"
        yield warned(_CHECK, f"every sentence is recorded, but {why}", step)
    else:
        step = f"`sudo apt install {DEBIAN_PACKAGE}`, or put KEY.wav files into visit.messages_dir"
        yield failed(_CHECK, f"{why}{beside}", step)


def _silent(voice: str, words_per_minute: int) -> str | None:
    """Why espeak-ng says nothing, None: it speaks."""
    command = espeak_command(voice, words_per_minute)
    try:
        done = subprocess.run(  # noqa: S603  our own command
            command, input=b"yes", capture_output=True, timeout=_RENDER_S, check=False
        )
        samples, _ = read_wav(done.stdout)
    except FileNotFoundError:
        return f"{PROGRAM} is not installed"
    except (OSError, subprocess.TimeoutExpired):
        return f"{PROGRAM} does not answer"
    except WavError:
        return f"{PROGRAM} has no voice {voice!r}"
    return None if len(samples) else f"{PROGRAM} is silent"
