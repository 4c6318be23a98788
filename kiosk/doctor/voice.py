"""The kiosk's own voice: what a visitor hears when nothing else works."""

from collections.abc import Iterator

from kiosk.base.espeak import PROGRAM
from kiosk.doctor.findings import Finding, failed, passed, warned
from kiosk.doctor.subject import Subject
from kiosk.visit.speech import Muteness, Voice, muteness, voice_of

_CHECK = "voice"


def look(subject: Subject) -> Iterator[Finding]:
    settings = subject.settings
    voices = [voice_of(settings, language=language) for language in settings.languages]
    own, words_per_minute = voices[0], settings.visit.words_per_minute
    there = own.recorded()
    beside = f", {len(there)} of {len(own.sentences)} sentences recorded" if there else ""
    mute = {voice: found for voice in voices if (found := muteness(voice.name, words_per_minute))}
    if (found := mute.get(own)) is not None:
        yield _silent(own, found, beside)
    elif mute:
        voice, found = next(iter(mute.items()))
        yield warned(_CHECK, f"{voice.language} stays silent: {found.why}", found.remedy)
    else:
        names = ", ".join(voice.name for voice in voices)
        yield passed(_CHECK, f"{PROGRAM} speaks ({names}){beside}")


def _silent(voice: Voice, found: Muteness, beside: str) -> Finding:
    if len(voice.recorded()) == len(voice.sentences):
        step = f"{found.remedy}: reports to staff need it"
        return warned(_CHECK, f"every sentence is recorded, but {found.why}", step)
    step = f"{found.remedy}, or put KEY.wav files into visit.messages_dir"
    return failed(_CHECK, f"{found.why}{beside}", step)
