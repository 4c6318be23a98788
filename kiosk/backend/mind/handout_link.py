"""Links to handouts: whoever has one may read it, until its time is over. Pure.

A link is signed with the key that only this installation has, so that nobody asks the database with
links of their own making.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass

from pydantic import SecretStr

_PURPOSE = b"handouts"
_TOKEN = re.compile(r"([A-Za-z0-9._-]{1,64})~([A-Za-z0-9_-]{1,64})~([0-9]{1,12})~([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class HandoutLink:
    """Whose handout it is, and until when it may be read, in seconds since 1970."""

    tenant: str
    visit_id: str
    until_s: int

    def token(self, api_key: SecretStr) -> str:
        """The last part of its address."""
        said = f"{self.tenant}~{self.visit_id}~{self.until_s}"
        return f"{said}~{_signature(said, api_key)}"


def read_link(token: str, api_key: SecretStr, now_s: float) -> HandoutLink | None:
    """The link with that token; None if it is not ours, or its time is over."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    tenant, visit_id, until_s, shown = match.groups()
    signature = _signature(f"{tenant}~{visit_id}~{until_s}", api_key)
    if not hmac.compare_digest(signature, shown) or int(until_s) <= now_s:
        return None
    return HandoutLink(tenant, visit_id, int(until_s))


def _signature(said: str, api_key: SecretStr) -> str:
    secret = hmac.digest(api_key.get_secret_value().encode(), _PURPOSE, hashlib.sha256)
    return hmac.digest(secret, said.encode(), hashlib.sha256).hex()[:32]
