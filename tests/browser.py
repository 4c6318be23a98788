"""A real browser for the pages, and what it says of how they serve everybody."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, async_playwright, expect

from tests.slowness import patient_s

CHROMIUM = shutil.which("chromium")
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_GRAVE = ("serious", "critical")


@asynccontextmanager
async def browser_page(*flags: str, **context: object) -> AsyncIterator[Page]:
    """A page in a window of its own, patient as this machine needs it. `flags`: more of
    Chromium's."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=(*_FLAGS, *flags))
        its = await browser.new_context(**context)
        page = await its.new_page()
        page.set_default_timeout(patient_s(10) * 1000)
        expect.set_options(timeout=patient_s(10) * 1000)
        yield page
        await browser.close()


async def grave_faults(page: Page) -> list[str]:
    """What keeps somebody from using the page, as axe-core finds it: rules, with the elements."""
    found = (await Axe().run(page)).response["violations"]
    return [
        f"{each['id']}: {node['html']}"
        for each in found
        if each["impact"] in _GRAVE
        for node in each["nodes"]
    ]
