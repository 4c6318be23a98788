"""Visits over a real network that loses packets, or takes its time, are known as such."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

TUN = Path("/dev/net/tun")
UNSHARE = ("unshare", "--net", *(("--user", "--map-root-user") if os.getuid() else ()))


@pytest.mark.skipif(not os.access(TUN, os.R_OK | os.W_OK), reason=f"{TUN} is not to be had here")
@pytest.mark.parametrize(
    ("loss", "one_way_s", "verdict", "cause"),
    [
        ("0", "0.02", "good", None),
        ("0.08", "0.02", "spoilt", "lossy_link"),
        ("0", "0.3", "spoilt", "slow_link"),
    ],
)
async def test_what_the_network_does_to_a_visit_is_named(
    loss: str, one_way_s: str, verdict: str, cause: str | None
) -> None:
    process = await asyncio.create_subprocess_exec(
        *UNSHARE, sys.executable, "-m", "tests.integration.far_visit", loss, one_way_s,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    why = json.loads(await process.stdout.read())
    await process.wait()
    assert (why["verdict"], why["spoilt_by"]) == (verdict, cause), why
