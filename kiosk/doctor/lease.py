"""A lease in dry run: the backend says whether a visit could begin now, and mints nothing.

A running kiosk asks in its own name, for it alone has its credential; without one the token file is
read.
"""

from collections.abc import Iterator, Mapping

from kiosk.base import patience
from kiosk.config import device_token, state_dir
from kiosk.doctor.findings import Finding, failed, passed, skipped, warned
from kiosk.doctor.subject import Subject
from kiosk.errors import ConfigError, CredentialError
from kiosk.link.backend import BackendClient
from kiosk.link.connecting import TOKEN_FILE
from kiosk.ops.control import request_within

_CHECK = "lease"
COMMAND = "check_lease"
_ANSWER_S = 10.0
_WAIT = "wait, or raise the limit with `kiosk backend limit`"
_ENROLL = "enroll it again: `kiosk backend enroll NAME --token-file FILE`, and hand it the token"

# What to do about each refusal of the backend's.
_STEPS: dict[str, str] = {
    "paused": "`kiosk backend resume` on the backend lets visits begin again",
    "closed": "nothing, if these are the hours: `kiosk backend site` shows them",
    "busy": _WAIT,
    "no-minutes-left": _WAIT,
    "too-many-presses": _WAIT,
    "too-many-leases": "wait some minutes: leases were asked for and not used",
}
# What the backend last heard from its provider, where that stops every visit.
_PROVIDER_STEPS: dict[str, str] = {
    "provider-key-refused": "give the backend a key that is good",
    "agent-unknown": "`kiosk backend agent check` on the backend",
    "provider-quota": "look at the account's plan and credit",
}


async def asked(client: BackendClient) -> dict[str, object]:
    """What came of asking, for the wire of the control socket."""
    try:
        prospect = await client.prospect()
    except CredentialError as error:
        return {"lease_error": str(error), "known": error.retryable}
    return {"prospect": None if prospect is None else prospect.model_dump()}


def look(subject: Subject) -> Iterator[Finding]:
    settings, service = subject.settings, subject.service
    if settings.credentials.mode == "public":
        yield skipped(_CHECK, "the agent is public: nobody gives leases")
    elif service.status is not None:
        answer = request_within(_ANSWER_S, settings.control.socket, COMMAND)
        yield _finding(answer, "the running kiosk")
    elif service.trouble is not None:
        yield skipped(_CHECK, service.trouble, "ask again as root: `sudo kiosk doctor`")
    else:
        yield _of_our_own(subject)


def _of_our_own(subject: Subject) -> Finding:
    settings = subject.settings
    try:
        token = device_token(settings)
    except ConfigError as error:
        if settings.credentials.device_token_file is None:
            step = "start the service, which has it as a credential, and ask again"
            return skipped(_CHECK, "this shell has no device token", step)
        return failed(_CHECK, str(error), _ENROLL)
    try:
        directory = state_dir(settings)
    except ConfigError:
        directory = None

    async def ask() -> dict[str, object]:
        file = directory / TOKEN_FILE if directory else None
        async with BackendClient(settings.credentials.backend_url, token, file) as client:
            return await asked(client)

    return _finding(patience.run(ask()), "the token file")


def _finding(answer: Mapping[str, object], who: str) -> Finding:
    if answer.get("ok") is False:
        step = "`sudo systemctl restart kiosk`: it may be of another version"
        return warned(_CHECK, f"the running kiosk: {answer.get('error')}", step)
    if (error := answer.get("lease_error")) is not None:
        if answer.get("known") is False:
            return failed(_CHECK, "the backend does not know this kiosk", _ENROLL)
        what, _, advice = str(error).partition("; ")
        return failed(_CHECK, what, advice or "see backend; else the backend's own log")
    prospect = answer.get("prospect")
    if not isinstance(prospect, dict):
        return skipped(
            _CHECK, "the token is there; this backend cannot be asked without taking a lease"
        )
    return _of_prospect(prospect, who)


def _of_prospect(prospect: Mapping[str, object], who: str) -> Finding:
    refusal, provider = prospect.get("refusal"), str(prospect.get("provider"))
    if refusal is not None:
        scope = prospect.get("scope")
        value = f"not now: {refusal}" + (f" ({scope})" if scope else "")
        return warned(_CHECK, value, _STEPS.get(str(refusal), "the backend's log tells more"))
    if (step := _PROVIDER_STEPS.get(provider)) is not None:
        return failed(_CHECK, f"the backend has no luck with its provider: {provider}", step)
    return passed(_CHECK, f"a visit could begin now, for {who}; the provider: {provider}")
