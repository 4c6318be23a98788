"""Signed URLs: made with a secret, checked, expiring. Pure: time comes in as an argument.

A signature names the agent, the moment it expires and, when it was minted for one conversation,
that conversation's id.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

CONVERSATION_PATH = "/v1/convai/conversation"
# Where rooms of WebRTC are joined (LiveKit's older way; the newer one is not there).
ROOM_PATH = "/rtc"
_TOKEN = "local."  # noqa: S105  how one begins


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signed URL says."""

    agent_id: str
    conversation_id: str | None
    signed: bool


class UrlSignatureError(ValueError):
    """The URL opens nothing; the message is the close reason the real service uses."""


class Signer:
    """Mints and checks the queries of signed URLs. `secret` never leaves it."""

    def __init__(self, secret: bytes, life_s: float) -> None:
        self._secret = secret
        self.life_s = life_s
        self._spent: dict[str, float] = {}  # single-use ids and when they expire

    def query(self, agent_id: str, conversation_id: str | None, now_s: float) -> str:
        """The query string of a signed URL."""
        expires = f"{now_s + self.life_s:.3f}"
        mac = self._mac(agent_id, conversation_id or "", expires)
        fields = {"agent_id": agent_id, "conversation_signature": f"cvs_{expires}_{mac}"}
        if conversation_id is not None:
            fields["conversation_id"] = conversation_id
        return urlencode(fields)

    def token(self, agent_id: str, conversation_id: str, now_s: float) -> str:
        """A conversation token, for a room."""
        query = self.query(agent_id, conversation_id, now_s)
        return _TOKEN + base64.urlsafe_b64encode(query.encode()).decode()

    def check_token(self, token: str, now_s: float) -> Claim:
        """Read a conversation token; raises UrlSignatureError."""
        try:
            query = base64.urlsafe_b64decode(token.removeprefix(_TOKEN)).decode()
        except ValueError:
            query = ""
        claim = self.check(f"?{query}", now_s)
        if not claim.signed:
            raise UrlSignatureError("Could not authorize the conversation.")
        return claim

    def check(self, path: str, now_s: float) -> Claim:
        """Read a request's path and query; raises UrlSignatureError."""
        query = parse_qs(urlsplit(path).query, keep_blank_values=True)
        agent_id = query.get("agent_id", [""])[0]
        conversation_id = query.get("conversation_id", [None])[0]
        signature = query.get("conversation_signature", [None])[0]
        if signature is None:
            return Claim(agent_id, None, signed=False)
        _, _, rest = signature.partition("_")
        expires, _, mac = rest.partition("_")
        genuine = self._mac(agent_id, conversation_id or "", expires)
        if not hmac.compare_digest(mac.encode(), genuine.encode()) or float(expires) < now_s:
            raise UrlSignatureError("Could not authorize the conversation.")
        if conversation_id is not None:
            self._spend(conversation_id, float(expires), now_s)
        return Claim(agent_id, conversation_id, signed=True)

    def _spend(self, conversation_id: str, expires_s: float, now_s: float) -> None:
        self._spent = {spent: until for spent, until in self._spent.items() if until >= now_s}
        if conversation_id in self._spent:
            raise UrlSignatureError("Could not authorize the conversation.")
        self._spent[conversation_id] = expires_s

    def _mac(self, *parts: str) -> str:
        return hmac.new(self._secret, "\0".join(parts).encode(), hashlib.sha256).hexdigest()
