"""Enrolment: a one-time code, exchanged at the backend for the first device token.

Blocking: for the command line.
"""

from pydantic import ValidationError

from kiosk.contract import DEVICE_TOKEN, ENROLL_PATH, Enroll, NewToken, read_problem
from kiosk.errors import ConfigError, UnavailableError
from kiosk.proxies import proxied

_TIMEOUT_S = 15.0


def exchanged(backend_url: str, code: str) -> str:
    """The device token for a code of `kiosk backend enroll NAME --code`.

    Raises ConfigError for a code or an address that is no good, UnavailableError when the backend
    does not answer, ProxyError. No text quotes the code.
    """
    import httpx2

    try:
        body = Enroll(code=code)
    except ValidationError:
        raise ConfigError(
            "that is not an enrolment code; `kiosk backend enroll NAME --code` says one"
        ) from None
    url = backend_url.rstrip("/") + ENROLL_PATH
    try:
        with proxied(lambda: httpx2.Client(timeout=_TIMEOUT_S, follow_redirects=False)) as client:
            response = client.post(url, json=body.model_dump())
    except httpx2.InvalidURL as error:
        raise ConfigError(f"credentials.backend_url: {backend_url}: {error}") from None
    except (httpx2.HTTPError, UnicodeError) as error:
        raise UnavailableError(
            f"{url} does not answer ({type(error).__name__}: {error}); "
            "`kiosk doctor` looks at the way there"
        ) from None
    reason = read_problem(response.content)
    if 400 <= response.status_code < 500 and reason is not None:
        raise ConfigError(
            f"the backend does not take this code ({reason}): it is good once and for ten "
            "minutes; ask for another"
        )
    try:
        token = NewToken.model_validate_json(response.content).device_token
    except ValidationError:
        token = ""
    if response.status_code != 200 or not DEVICE_TOKEN.fullmatch(token):
        raise UnavailableError(
            f"{url} answered HTTP {response.status_code}, and no device token: is that the "
            "backend's address, or does a proxy or a captive portal answer in its place?"
        )
    return token
