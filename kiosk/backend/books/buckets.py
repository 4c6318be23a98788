"""Token buckets as data: how often something may be done. No I/O, no clock.

A bucket is kept wherever its owner likes (memory, a row) as `tokens` at a moment; nothing ticks.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

# What a refill may miss by rounding. It is owed afterwards: a bucket may hold so little below none,
# and no rounding adds up to a token.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Rate:
    """`capacity` tokens at once, then one every `every_s` seconds."""

    capacity: int
    every_s: float

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ValueError("a rate's capacity is at least 1")
        if not (math.isfinite(self.every_s) and self.every_s > 0):
            raise ValueError("a rate's every_s is a number of seconds above 0")


@dataclass(frozen=True, slots=True)
class Bucket:
    """So many tokens at this moment."""

    tokens: float
    at: datetime


def take(bucket: Bucket | None, rate: Rate, now: datetime, cost: int = 1) -> tuple[Bucket, float]:
    """Take `cost` tokens; the bucket then, and 0.0 or the seconds to wait, with nothing taken.

    None is a bucket that nobody has taken from: a full one.
    """
    if not 1 <= cost <= rate.capacity:
        raise ValueError("the cost is at least 1 and at most the capacity")
    bucket = _counted(bucket, rate, now)
    tokens = _tokens(bucket, rate, now)
    if tokens >= cost - _ROUNDING:
        return Bucket(tokens - cost, max(bucket.at, now)), 0.0
    # The bucket stays as it was, for a refill that is written down is rounded.
    wait_s = (cost - tokens) * rate.every_s + max(0.0, _passed_s(now, bucket.at))
    return bucket, math.ceil(wait_s * 1e6) / 1e6  # a datetime counts microseconds


def give_back(bucket: Bucket, rate: Rate, cost: int = 1) -> Bucket:
    """As if `cost` tokens had not been taken: what they were for did not take place."""
    if cost < 1:
        raise ValueError("the cost is at least 1")
    return Bucket(min(bucket.tokens + cost, float(rate.capacity)), bucket.at)


def _counted(bucket: Bucket | None, rate: Rate, now: datetime) -> Bucket:
    """A bucket to count from. Ahead of `now` it refills only when the clock has caught up, so that
    no second counts twice; unless that takes longer than to fill it: its clock was wrong then."""
    if bucket is None:
        return Bucket(float(rate.capacity), now)
    if _passed_s(now, bucket.at) > rate.capacity * rate.every_s:
        return Bucket(bucket.tokens, now)
    return bucket


def _tokens(bucket: Bucket, rate: Rate, now: datetime) -> float:
    refill = max(0.0, _passed_s(bucket.at, now)) / rate.every_s
    return min(bucket.tokens + refill, float(rate.capacity))


def _passed_s(since: datetime, until: datetime) -> float:
    return (until - since) / timedelta(seconds=1)
