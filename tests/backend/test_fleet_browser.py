"""The fleet's page in a real browser: it renews itself, and serves everybody."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import uvicorn

from kiosk.backend.books.operators import Role
from kiosk.backend.server import server_config
from kiosk.backend.tokens import OperatorToken
from kiosk.backend.upkeep import flush
from kiosk.backend.web.app import create_app
from kiosk.contract import Heartbeat
from tests.backend.conftest import Backend, enrolled
from tests.slowness import patient_s

pytest.importorskip("playwright", reason="make browser fetches it")
from playwright.async_api import Page, expect

from tests.browser import CHROMIUM, browser_page, grave_faults

pytestmark = [
    pytest.mark.wide,
    pytest.mark.skipif(CHROMIUM is None, reason="make browser installs Chromium"),
    pytest.mark.parametrize("place", ["sqlite"], indirect=True),
]

KIOSKS = 500
SIZES = ((360, 640), (1440, 900))


@contextlib.asynccontextmanager
async def served(backend: Backend) -> AsyncIterator[str]:
    """Its address, over HTTP; heartbeats are written as the server does it."""

    async def write() -> None:
        while True:
            await asyncio.sleep(0.2)
            await flush(backend.services)

    server = uvicorn.Server(server_config(create_app(backend.services)))
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        writing = asyncio.create_task(write())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/fleet"
        writing.cancel()
        backend.services.hub.close()
        server.should_exit = True
        await serving


async def sign_in(backend: Backend, page: Page, address: str, role: Role = Role.ADMIN) -> None:
    token, now = OperatorToken.new(), datetime.now(UTC)
    assert await backend.store.operators.add("default", "ada", role, token, now)
    await page.goto(address)
    await page.get_by_label("Operator's token").fill(token.reveal())
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def beat(backend: Backend, state: str = "idle", cause: str = "fit") -> None:
    heartbeat = Heartbeat(boot_id="b", sequence=1, state=state, cause=cause, version="0.1.0")
    backend.store.liveness.beat(backend.kiosk, heartbeat, datetime.now(UTC))


async def test_a_press_shows_among_five_hundred_kiosks(backend: Backend) -> None:
    for number in range(KIOSKS):
        await enrolled(backend.store, f"kiosk-{number:03}", f"site-{number % 20}")
    visit_id = (await backend.ask()).json()["visit_id"]
    bearer = {"Authorization": f"Bearer {backend.token.reveal()}"}
    async with served(backend) as address, browser_page() as page:
        await sign_in(backend, page, address, Role.VIEWER)
        lobby = page.locator("#kiosk-lobby .lamp")
        await expect(lobby).to_have_text("never seen")
        assert await page.locator("li.kiosk").count() == KIOSKS + 1
        beat(backend)
        await expect(lobby).to_have_text("ready")
        await asyncio.sleep(1)  # nothing is on its way any more
        pressed_s = time.monotonic()
        start = f"/v1/visits/{visit_id}/start"
        await backend.client.post(start, headers=bearer, json={"press_id": "p1"})
        await expect(lobby).to_have_text("in a visit")
        print(f"a press shows after {time.monotonic() - pressed_s:.2f} s")
        assert time.monotonic() - pressed_s < patient_s(5)


async def test_an_operator_pauses_a_kiosk_and_has_it_say_something(backend: Backend) -> None:
    beat(backend)
    async with served(backend) as address, browser_page() as page:
        await sign_in(backend, page, address)
        kiosk = page.locator("#kiosk-lobby")
        await kiosk.get_by_text("Do something with lobby").click()
        await kiosk.get_by_role("button", name="Pause lobby").click()
        await expect(kiosk.locator(".lamp")).to_have_text("paused")
        await kiosk.get_by_text("Do something with lobby").click()
        await kiosk.get_by_label("What lobby says").fill("The café closes.")
        # What is written is not taken away by what happens elsewhere.
        beat(backend, cause="no_microphone")
        await asyncio.sleep(1.5)
        await kiosk.get_by_label("What lobby says").press("Enter")
        await expect(kiosk.locator(".waiting")).to_have_text(
            "waits for the next heartbeat: say: The café closes."
        )
    audit = await backend.store.operators.audit("default", 2)
    assert [line.action for line in audit] == ["ordered_say", "paused"]


async def test_who_is_shut_out_is_at_the_door_again(backend: Backend) -> None:
    async with served(backend) as address, browser_page() as page:
        await sign_in(backend, page, address)
        await backend.store.operators.revoke("default", "ada", datetime.now(UTC))
        beat(backend)
        await expect(page.get_by_label("Operator's token")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_serves_everybody(backend: Backend, scheme: str) -> None:
    beat(backend, cause="no_microphone")
    await enrolled(backend.store, "a-kiosk-with-a-name-that-is-as-long-as-a-name-of-a-kiosk-may-be")
    async with served(backend) as address, browser_page(color_scheme=scheme) as page:
        await page.goto(address)
        assert await grave_faults(page) == []
        await sign_in(backend, page, address)
        await page.locator("#kiosk-lobby summary").first.click()
        for width, height in SIZES:
            await page.set_viewport_size({"width": width, "height": height})
            assert await grave_faults(page) == []
            sizes = "() => [document.documentElement.scrollWidth, innerWidth]"
            wide, shown = await page.evaluate(sizes)
            assert wide <= shown, "nothing is beside the page"


async def test_the_page_is_used_with_the_keyboard(backend: Backend) -> None:
    beat(backend)
    async with served(backend) as address, browser_page() as page:
        await sign_in(backend, page, address)
        await page.locator("#kiosk-lobby summary").first.focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("#kiosk-lobby .lamp")).to_have_text("paused")
