"""The commands of the pages, so that each can be held to having been typed as it stands there."""

import re
from pathlib import Path

# A comment in the page says that the block below is typed, and where.
_BLOCK = re.compile(r"<!-- typed on: .*? -->\n((?: *\n)*(?: {4,}.*\n)+)")

# For Raspberry Pis, on a machine that is none: the test of the builds for them types it.
RUN_ELSEWHERE = frozenset({"./build-release --arch aarch64"})


def commands_of(page: Path) -> set[str]:
    """Every line that a reader is told to type."""
    text = page.read_text(encoding="utf-8")
    return {line.strip() for block in _BLOCK.findall(text) for line in block.splitlines()} - {""}
