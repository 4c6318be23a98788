"""The report that staff hears: who the kiosk is, where, and what is wrong."""

import socket
from collections.abc import Mapping, Sequence

from kiosk import __version__
from kiosk.config import Settings
from kiosk.doctor.examination import examine
from kiosk.doctor.findings import Finding, Result
from kiosk.doctor.subject import in_use

_MOST = 4  # faults by name: who stands there remembers no more
# Nothing is sent to these: they only ask which way out there is.
_AWAY = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


async def report(settings: Settings, words: Mapping[str, str]) -> str:
    """Examine the kiosk that runs with these settings, and say how it is, in a language's words.
    Takes up to 20 s."""
    _, findings = await examine(lambda: in_use(settings))
    return text(words, settings.kiosk.name, own_address(), findings)


def text(
    words: Mapping[str, str], name: str, address: str | None, findings: Sequence[Finding]
) -> str:
    """The report in a language's words; what it has no words for is left out."""
    version = f" {words.get('dot', '.')} ".join(__version__.split("."))
    faults = [finding.id for finding in findings if finding.result is Result.FAIL]
    said = [words.get("who", "").format(name=name, version=version)]
    if address is None:
        said.append(words.get("no_address", ""))
    else:
        said.append(words.get("address", "").format(address=spelled(address, words)))
    if faults:
        said += [words.get(key, "") for key in ("ill", *faults[:_MOST])]
        said += [words.get("more", "")] if len(faults) > _MOST else []
    else:
        said.append(words.get("well", ""))
        if any(finding.result is Result.WARN for finding in findings):
            said.append(words.get("warnings", ""))
    return " ".join(filter(None, said))


def spelled(address: str, words: Mapping[str, str]) -> str:
    """Digit by digit: `1 0 dot 0 dot 0 dot 7`."""
    named = {".": words.get("dot", "."), ":": words.get("colon", ":")}
    return " ".join(named.get(character, character) for character in address)


def own_address() -> str | None:
    """The address by which this machine goes out; None without a network."""
    for family, away in _AWAY:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            try:
                asking.connect((away, 9))
            except OSError:
                continue
            found: str = asking.getsockname()[0]
            return found
    return None
