"""The next version of the official Python client, a pre-release, talks with the local agent too.

It is installed beside the tests' environment when it is first asked for, and found before the
pinned one by a child process, which holds the conversations of the pinned one's tests with it.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
LOCK = HERE / "requirements-next.txt"
CONVERSATIONS = HERE / "test_python_client.py"
_LONGEST_FETCH_S = 90.0


def version() -> str:
    found = re.match(r"elevenlabs==(\S+)", LOCK.read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def installed() -> Path:
    """The directory that holds it; skips where it cannot be fetched."""
    directory = ROOT / ".venv" / f"elevenlabs-{version()}"
    if directory.is_dir():
        return directory
    unfinished = directory.with_name(f"{directory.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    command = [sys.executable, "-m", "pip", "install", *options, "--retries", "1"]
    command += ["--require-hashes", "--target", str(unfinished), "--requirement", str(LOCK)]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_LONGEST_FETCH_S
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip did not fetch elevenlabs {version()} within {_LONGEST_FETCH_S:g} s")
    assert "DO NOT MATCH THE HASHES" not in done.stderr, done.stderr
    if done.returncode != 0:
        complaint = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        pytest.skip(f"pip cannot install elevenlabs {version()}: {complaint}")
    unfinished.rename(directory)
    return directory


async def run(directory: Path, *arguments: str) -> tuple[int | None, str]:
    """Status and output of a Python that finds the client there."""
    path = os.pathsep.join([str(directory), str(ROOT), os.environ.get("PYTHONPATH", "")])
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
    return child.returncode, out.decode()


@pytest.mark.timeout(240)  # half of it for pip
async def test_the_next_official_python_client_holds_the_conversations_of_the_pinned_one() -> None:
    directory = await asyncio.to_thread(installed)
    names_its_version = "from tests.clients.official_client import VERSION; print(VERSION)"
    assert await run(directory, "-c", names_its_version) == (0, f"{version()}\n")
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(CONVERSATIONS)]
    status, out = await run(directory, *tests)
    print(out)
    assert status == 0, out
    assert re.search(r"\b[1-9]\d* passed\b", out), out
