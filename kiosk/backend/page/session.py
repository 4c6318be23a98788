"""Session of an operator in a browser: the token in a cookie, and what a form must carry. Pure.

The cookie is the operator's token: shutting the operator out ends every session at once, and there
is nothing to keep here. A script cannot read it, and no other site's page can send it.
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import urlsplit

from kiosk.backend.tokens import OperatorToken

COOKIE = "kiosk_fleet"
LIFE_S = 12 * 3600
_OWN = ("same-origin", "none")


def form_key(token: OperatorToken) -> str:
    """What a form of this operator's carries, and a stranger's page cannot know."""
    return hmac.new(token.secret.encode("ascii"), b"fleet form", sha256).hexdigest()


def is_own_form(token: OperatorToken, given: str) -> bool:
    """Whether a form came from this operator's page."""
    return hmac.compare_digest(form_key(token).encode(), given.encode())


def is_own_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser sends this from one of our pages, as far as it tells."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in _OWN  # behind a proxy that wants no referrer, the origin is "null"
    return origin is None or urlsplit(origin).netloc == headers.get("host")
