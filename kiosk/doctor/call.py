"""A conversation, opened and closed again, where somebody asks for it: it costs some seconds at the
provider, and shows what nothing else does, whether the agent lets this kiosk's visitors speak.

The running kiosk opens it, in its own name and by the way that visits take.
"""

from collections.abc import Iterator, Mapping

from kiosk.doctor.findings import Finding, failed, passed, skipped
from kiosk.doctor.subject import Subject
from kiosk.ops.control import request_within

CHECK = "call"
COMMAND = "call_agent"
# Longer than a trial may take, with the lease before it.
ANSWER_S = 24.0
_STEP = "look at the agent with `kiosk backend agent check`, and at `kiosk logs` of this moment"


def not_asked() -> Finding:
    """Where nobody wants it."""
    return skipped(CHECK, "not asked for", "`kiosk doctor --call` opens a conversation")


def look(subject: Subject) -> Iterator[Finding]:
    if subject.service.status is None:
        trouble = subject.service.trouble or "no kiosk runs that could call"
        yield skipped(CHECK, trouble, "ask again as root, while it runs: `sudo kiosk doctor`")
        return
    yield finding(request_within(ANSWER_S, subject.settings.control.socket, COMMAND))


def finding(answer: Mapping[str, object]) -> Finding:
    """What the kiosk's answer means."""
    if (well := answer.get("well")) is None:
        return skipped(CHECK, f"not tried: {answer.get('why')}")
    if not well:
        return failed(CHECK, f"no conversation: {answer.get('why')}", _STEP)
    return passed(CHECK, f"a conversation was open after {answer.get('took_s')} s, and is closed")
