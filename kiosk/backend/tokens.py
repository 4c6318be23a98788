"""Tokens: `kdk_<credential id>_<secret>` of a device, `kop_...` of an operator, and one-time codes.
Pure: no I/O, no clock, no database.

A token's secret has 256 random bits, so a plain SHA-256 at rest is enough: there is nothing to
guess, and a slow password hash would only let strangers keep the backend busy. The fixed prefix
lets secret scanners find a token that was pasted where it does not belong.
"""

import hmac
import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar, Self

# No 0, 1, I, L, O or U: a code is read out and typed.
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_GROUPS, _CODE_GROUP = 4, 4  # 78 bits


@dataclass(frozen=True, slots=True)
class Token:
    """What somebody shows to be let in; its repr never shows the secret."""

    prefix: ClassVar[str]

    credential_id: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """A token nobody has seen, from the operating system's random source."""
        return cls(new_id(), secrets.token_hex(32))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The token this text is, or None for anything else; never raises."""
        shape = re.fullmatch(f"{cls.prefix}_([0-9a-f]{{16}})_([0-9a-f]{{64}})", text)
        return cls(shape[1], shape[2]) if shape else None

    @classmethod
    def bearer(cls, header: str) -> Self | None:
        """The token in an `Authorization` header (RFC 6750), or None; never raises."""
        scheme, _, text = header.partition(" ")
        return cls.parse(text.strip(" ")) if scheme.lower() == "bearer" else None

    def reveal(self) -> str:
        """The whole token as text: for whom it is made, once, and for nobody else."""
        return f"{self.prefix}_{self.credential_id}_{self.secret}"

    def digest(self) -> str:
        """SHA-256 of the secret in hexadecimal: all that is kept."""
        return sha256(self.secret.encode("ascii")).hexdigest()

    def matches(self, digest: str) -> bool:
        """Whether the secret belongs to this digest, in time that does not tell how nearly."""
        return hmac.compare_digest(self.digest(), digest)


class DeviceToken(Token):
    """A kiosk's (`kiosk.contract.DEVICE_TOKEN`)."""

    __slots__ = ()
    prefix = "kdk"


class OperatorToken(Token):
    """An operator's."""

    __slots__ = ()
    prefix = "kop"


def new_id() -> str:
    """64 random bits in hexadecimal: names a row, and is no secret."""
    return secrets.token_hex(8)


def new_code() -> str:
    """A one-time code, such as `7KXM-2QRB-9TFD-WA3H`."""
    groups = (
        "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_GROUP)) for _ in range(_CODE_GROUPS)
    )
    return "-".join(groups)


def code_digest(code: str) -> str:
    """What is kept of a code, however its letters and dashes were typed."""
    return sha256(code.upper().replace("-", "").encode("utf-8")).hexdigest()
