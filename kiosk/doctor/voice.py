"""The kiosk's own voice: what a visitor hears when nothing else works."""

from collections.abc import Iterator

from kiosk.audio.pcm import WavError, read_wav
from kiosk.base.espeak import DEBIAN_PACKAGE, PROGRAM, Espeak
from kiosk.doctor.findings import Finding, failed, passed, warned
from kiosk.doctor.subject import Subject
from kiosk.errors import ConfigError, UnavailableError
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
    try:
        samples, _ = read_wav(Espeak(voice, words_per_minute, _RENDER_S).speak_now("yes"))
    except (ConfigError, UnavailableError) as error:
        return str(error)
    except WavError:
        return f"{PROGRAM} gives no sound"
    return None if len(samples) else f"{PROGRAM} is silent"
