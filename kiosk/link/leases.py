"""The credentials in hand: how many, which is used first, when another is due. No I/O, no clock:
the caller says what time it is."""

from collections.abc import Callable
from dataclasses import dataclass

from kiosk.contract import Grant


@dataclass(slots=True, eq=False)
class Lease:
    """One credential, with the id of the request that brought it. `secret`: what opens the
    conversation, a signed URL or a conversation token."""

    grant: Grant
    secret: str
    request_id: str
    expires_s: float
    renew_s: float
    used: bool = False

    @property
    def asked_s(self) -> float:
        """When its request was sent."""
        return self.expires_s - self.grant.life_s

    @property
    def reusable(self) -> bool:
        """It opens more than one conversation."""
        return not self.grant.single_use and self.grant.visit_id is None


class Leases:
    """As many as are wanted; of those that can be used again, one is enough."""

    def __init__(self, wanted: int) -> None:
        self._most = wanted
        self._held: list[Lease] = []  # the first to expire first

    def valid(self, now_s: float) -> list[Lease]:
        """Those that open a conversation still, the oldest first."""
        return [lease for lease in self._held if now_s < lease.expires_s]

    def oldest(self, now_s: float) -> Lease | None:
        """The one to use."""
        return next(iter(self.valid(now_s)), None)

    @property
    def held(self) -> tuple[Lease, ...]:
        """All of them, the first to expire first."""
        return tuple(self._held)

    def add(self, lease: Lease, now_s: float) -> None:
        """In the place of the oldest, where there are enough."""
        held = sorted([*self.valid(now_s), lease], key=lambda each: each.expires_s)
        self._held = held[-self._wanted(held) :]

    def remove(self, lease: Lease) -> None:
        """It is spent."""
        self._held = [other for other in self._held if other is not lease]

    def remove_secret(self, secret: str) -> bool:
        """It opens nothing; whether it was there."""
        return self._retain(lambda lease: lease.secret != secret)

    def remove_asked_before(self, at_s: float) -> bool:
        """They are too old; whether there were any."""
        return self._retain(lambda lease: lease.asked_s >= at_s)

    def clear(self) -> None:
        self._held = []

    def due_s(self, now_s: float) -> float:
        """When another is to be fetched: now, or before one of enough expires."""
        valid = self.valid(now_s)
        if len(valid) < self._wanted(valid):
            return now_s
        return min(lease.renew_s for lease in valid)

    def last_until_s(self, now_s: float) -> float | None:
        """When the last of them expires."""
        return max((lease.expires_s for lease in self.valid(now_s)), default=None)

    def _retain(self, good: Callable[[Lease], bool]) -> bool:
        before = len(self._held)
        self._held = list(filter(good, self._held))
        return len(self._held) < before

    def _wanted(self, held: list[Lease]) -> int:
        return 1 if any(lease.reusable for lease in held) else self._most
