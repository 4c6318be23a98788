"""Device tokens: `kdk_<credential id>_<secret>`. Pure: no I/O, no clock, no database.

The secret has 256 random bits, so a plain SHA-256 at rest is enough: there is nothing to guess, and
a slow password hash would only let strangers keep the backend busy. The fixed prefix lets secret
scanners find a token that was pasted where it does not belong.
"""

import hmac
import secrets
from dataclasses import dataclass, field
from hashlib import sha256

from kiosk.contract import DEVICE_TOKEN


@dataclass(frozen=True, slots=True)
class DeviceToken:
    """What a kiosk shows to be let in; its repr never shows the secret."""

    credential_id: str
    secret: str = field(repr=False)

    def reveal(self) -> str:
        """The whole token as text: for the operator, once, and for nobody else."""
        return f"kdk_{self.credential_id}_{self.secret}"

    def digest(self) -> str:
        """SHA-256 of the secret in hexadecimal: all that is kept."""
        return sha256(self.secret.encode("ascii")).hexdigest()

    def matches(self, digest: str) -> bool:
        """Whether the secret belongs to this digest, in time that does not tell how nearly."""
        return hmac.compare_digest(self.digest(), digest)


def new_id() -> str:
    """64 random bits in hexadecimal: names a row, and is no secret."""
    return secrets.token_hex(8)


def new_token() -> DeviceToken:
    """A token nobody has seen, from the operating system's random source."""
    return DeviceToken(new_id(), secrets.token_hex(32))


def parse_token(text: str) -> DeviceToken | None:
    """The token this text is, or None for anything else; never raises."""
    shape = DEVICE_TOKEN.fullmatch(text)
    return DeviceToken(shape[1], shape[2]) if shape else None


def parse_bearer(header: str) -> DeviceToken | None:
    """The token in an `Authorization` header (RFC 6750), or None; never raises."""
    scheme, _, text = header.partition(" ")
    return parse_token(text.strip(" ")) if scheme.lower() == "bearer" else None
