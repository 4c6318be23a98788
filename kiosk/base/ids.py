"""Ids that nothing else has. Chance is a parameter: a seeded source gives the same ones again."""

import uuid
from collections.abc import Callable
from typing import TypeAlias

# 32 hexadecimal digits.
NewId: TypeAlias = Callable[[], str]


def random_id() -> str:
    """By the system's chance."""
    return uuid.uuid4().hex
