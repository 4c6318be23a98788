"""Tokens: `kdk_<credential id>_<secret>` of a device, `kop_...` of an operator, tickets that an
operator's token gives, and one-time codes.
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


@dataclass(frozen=True, slots=True)
class StreamTicket:
    """Opens an operator's stream for a short while, for a browser, which sends no header with one.

    It is signed with what is kept of the operator's token: every server knows it, nothing is kept
    of the ticket itself, and it ends with the token. `ends_at` is in whole seconds of the epoch.
    """

    credential_id: str
    ends_at: int
    signature: str = field(repr=False)

    @classmethod
    def of(cls, credential_id: str, digest: str, ends_at: int) -> Self:
        """A new one."""
        return cls(credential_id, ends_at, _signed(digest, credential_id, ends_at))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The ticket this text is, or None for anything else; never raises."""
        shape = re.fullmatch(r"kst_([0-9a-f]{16})_([0-9]{1,12})_([0-9a-f]{64})", text)
        return cls(shape[1], int(shape[2]), shape[3]) if shape else None

    def reveal(self) -> str:
        """As text."""
        return f"kst_{self.credential_id}_{self.ends_at}_{self.signature}"

    def is_good(self, digest: str, now_s: float) -> bool:
        """Whether it is this token's, and not over."""
        right = _signed(digest, self.credential_id, self.ends_at)
        return hmac.compare_digest(right, self.signature) and now_s < self.ends_at


def _signed(digest: str, credential_id: str, ends_at: int) -> str:
    words = f"stream {credential_id} {ends_at}"
    return hmac.new(digest.encode("ascii"), words.encode("ascii"), sha256).hexdigest()


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
