"""The kiosk's own voice: what a visitor hears when nothing else works."""

from collections.abc import Iterator

from kiosk.base.espeak import PROGRAM
from kiosk.doctor.findings import Finding, failed, passed, warned
from kiosk.doctor.subject import Subject
from kiosk.visit.languages import load_language
from kiosk.visit.speech import muteness, recorded

_CHECK = "voice"


def look(subject: Subject) -> Iterator[Finding]:
    kiosk, visit = subject.settings.kiosk, subject.settings.visit
    language = load_language(kiosk.language, kiosk.sentences_dir)
    voice, keys = visit.voice or language.voice, language.said(kiosk.institution)
    there = recorded(keys, visit.messages_dir)
    beside = f", {len(there)} of {len(keys)} sentences recorded" if there else ""
    found = muteness(voice, visit.words_per_minute)
    if found is None:
        yield passed(_CHECK, f"{PROGRAM} speaks ({voice}){beside}")
    elif len(there) == len(keys):
        step = f"{found.remedy}: reports to staff need it"
        yield warned(_CHECK, f"every sentence is recorded, but {found.why}", step)
    else:
        step = f"{found.remedy}, or put KEY.wav files into visit.messages_dir"
        yield failed(_CHECK, f"{found.why}{beside}", step)
