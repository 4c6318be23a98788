"""Verdicts on a rule, and the rule's own form. Pure: no I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from kiosk.lab.conformance.record import ConnectionRecord


class RuleVerdict(StrEnum):
    """From the gravest on."""

    FAIL = "fail"
    WARN = "warn"
    PASS = "pass"  # noqa: S105 no password
    UNSEEN = "unseen"


class Judgement(NamedTuple):
    """A verdict and what it was measured by."""

    verdict: RuleVerdict
    measured: str


@dataclass(frozen=True, slots=True)
class ClientRule:
    """`reference`: the part of the published contract that it rests on."""

    name: str
    reference: str
    judge: Callable[[ConnectionRecord], Judgement]


def failed(measured: str) -> Judgement:
    return Judgement(RuleVerdict.FAIL, measured)


def warned(measured: str) -> Judgement:
    return Judgement(RuleVerdict.WARN, measured)


def passed(measured: str) -> Judgement:
    return Judgement(RuleVerdict.PASS, measured)


def unseen(measured: str) -> Judgement:
    return Judgement(RuleVerdict.UNSEEN, measured)


def within(value: float, pass_to: float, warn_to: float, measured: str) -> Judgement:
    """The less the better."""
    if value <= pass_to:
        return passed(measured)
    return warned(measured) if value <= warn_to else failed(measured)
