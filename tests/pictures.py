"""Pictures of the README, taken anew: `make pictures`.

A visit is the demo's own; the screen stands beside a running daemon, whose agent is a script.
"""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kiosk.convai.server_messages import AgentResponse, UserTranscript
from tests.browser import browser_page
from tests.integration.test_screen import in_visit, kiosk_with_screen

PICTURES = Path(__file__).parents[1] / "deploy/pictures"
_QUESTION = "where is the cafe"
_ANSWER = "The café is in the old boat house, across the courtyard."
_VISIT, _SCREEN = {"width": 1000, "height": 620}, {"width": 800, "height": 480}


async def picture_of_a_visit(directory: Path, to: Path) -> None:
    """The demo's visit, as `kiosk demo --out` draws it."""
    demo = (sys.executable, "-m", "kiosk", "demo", "--out", str(directory))
    await asyncio.to_thread(subprocess.run, demo, check=True, stdout=subprocess.DEVNULL)
    async with browser_page(viewport=_VISIT) as page:
        await page.goto((directory / "visit.html").as_uri())
        await page.screenshot(path=to)


async def picture_of_the_screen(directory: Path, to: Path) -> None:
    """The page beside the kiosk, while an answer is read."""
    async with kiosk_with_screen(directory) as (running, _, page):
        await page.set_viewport_size(_SCREEN)
        connection = await in_visit(running)
        await connection.send(UserTranscript(_QUESTION, 1), AgentResponse(_ANSWER, 1))
        await page.get_by_text(_ANSWER).wait_for()
        await page.screenshot(path=to)


async def _all(directory: Path) -> None:
    PICTURES.mkdir(exist_ok=True)
    await picture_of_a_visit(directory / "demo", PICTURES / "visit.png")
    await picture_of_the_screen(directory, PICTURES / "screen.png")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="kiosk-") as name, pytest.MonkeyPatch.context() as its:
        its.setenv("KIOSK_CONTROL__CAPTIONS", "true")
        its.setenv("KIOSK_VISIT__DISCLOSURE", "false")
        its.setenv("KIOSK_CONTROL__READ_SOCKET", f"{name}/read.sock")
        asyncio.run(_all(Path(name)))
