"""The page beside the kiosk, in a real browser, and who else asks for it."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from kiosk.convai.server_messages import AgentResponse, UserTranscript
from tests.convai_server import Connection, scripted_server
from tests.integration.daemon import RunningKiosk, running_kiosk
from tests.integration.test_events import config
from tests.slowness import patient_s

pytest.importorskip("playwright", reason="make browser fetches it")
from playwright.async_api import Page, expect

from tests.browser import CHROMIUM, browser_page, grave_faults

SIZES = ((480, 320), (800, 480), (1920, 1080), (1080, 1920))
HOSTILE = "<img src=x onerror='document.title=1'><script>document.title=2</script>"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="make browser installs Chromium")


@asynccontextmanager
async def screen_of(running: RunningKiosk) -> AsyncIterator[str]:
    """The address of the page of `kiosk screen` beside this kiosk."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kiosk", "screen", "--port", "0", "--config",
        str(running.socket.parent / "config.toml"),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(patient_s(15)):
            while not (line := (await process.stderr.readline()).decode()).startswith("http:"):
                assert line, "kiosk screen ended"
        yield line.strip()
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def kiosk_with_screen(
    directory: Path, *, captions: bool = True
) -> AsyncIterator[tuple[RunningKiosk, str, Page]]:
    async with (
        scripted_server() as server,
        running_kiosk(directory, config(server.url, captions=captions)) as running,
        screen_of(running) as address,
        browser_page() as page,
    ):
        running.server = server  # type: ignore[attr-defined]
        await page.goto(address)
        yield running, address, page


async def in_visit(running: RunningKiosk) -> Connection:
    await running.ask("press")
    connection: Connection = await running.server.connection()  # type: ignore[attr-defined]
    await running.wait_for_state("listening")
    return connection


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, short_dir: Path) -> None:
    monkeypatch.setenv("KIOSK_CONTROL__CAPTIONS", "true")
    monkeypatch.setenv("KIOSK_VISIT__DISCLOSURE", "false")  # another sentence to be read
    monkeypatch.setenv("KIOSK_CONTROL__READ_SOCKET", str(short_dir / "read.sock"))


async def test_a_visit_is_read_on_the_page_and_gone_with_its_end(short_dir: Path) -> None:
    async with kiosk_with_screen(short_dir) as (running, _, page):
        await expect(page.locator("h1")).to_have_text("Press the button and speak")
        pressed_s = time.monotonic()
        connection = await in_visit(running)
        await expect(page.locator("body")).to_have_attribute("data-mode", "listening")
        assert time.monotonic() - pressed_s < patient_s(5)
        await connection.send(
            UserTranscript("where is the marzipan", 1), AgentResponse("Upstairs.", 1)
        )
        await expect(page.locator("#asked")).to_have_text("where is the marzipan")
        await expect(page.locator("#said")).to_have_text("Upstairs.")
        await running.ask("end")
        await expect(page.locator("body")).to_have_attribute("data-mode", "idle")
        await expect(page.locator("#asked")).to_have_text("")
        assert "marzipan" not in await page.content()


async def test_captions_are_text_and_nothing_else(short_dir: Path) -> None:
    async with kiosk_with_screen(short_dir) as (running, _, page):
        connection = await in_visit(running)
        await connection.send(UserTranscript(HOSTILE, 1), AgentResponse(HOSTILE, 1))
        await expect(page.locator("#said")).to_have_text(HOSTILE)
        assert await page.title() == "Kiosk"
        assert await page.locator("img, main script").count() == 0
        await connection.send(AgentResponse("x" * 200_000 + " the end", 1))
        await expect(page.locator("#said")).to_contain_text("the end")
        await running.wait_for_state("listening")


async def test_the_page_serves_everybody_at_every_size(short_dir: Path) -> None:
    async with kiosk_with_screen(short_dir) as (running, _, page):
        connection = await in_visit(running)
        await connection.send(
            UserTranscript("where is the exit please", 1),
            AgentResponse("The exit is behind the main hall, beside the shop. " * 9, 1),
        )
        await expect(page.locator("#said")).to_contain_text("beside the shop")
        for width, height in SIZES:
            await page.set_viewport_size({"width": width, "height": height})
            assert await grave_faults(page) == []
            shown = await page.evaluate(
                "() => [document.documentElement.scrollWidth, innerWidth, "
                "parseFloat(getComputedStyle(said).fontSize) / innerHeight, "
                "headline.getBoundingClientRect().bottom]"
            )
            assert shown[0] <= shown[1], "nothing is beside the page"
            assert shown[2] == pytest.approx(0.09, abs=0.002), "the type is of the size it must be"
            assert shown[3] < height


async def test_a_long_answer_is_in_view_as_far_as_it_is_spoken(short_dir: Path) -> None:
    async with kiosk_with_screen(short_dir) as (running, _, page):
        await page.set_viewport_size({"width": 480, "height": 320})
        await page.clock.install(time=0)
        await page.clock.pause_at(1)
        await page.reload()
        connection = await in_visit(running)
        await connection.send(AgentResponse("The exit is behind the main hall. " * 17, 1))
        await expect(page.locator("#said")).to_contain_text("The exit")
        top, shown, whole = "said.scrollTop", "said.clientHeight", "said.scrollHeight"
        assert await page.evaluate(f"() => [{top}, {whole} > 2 * {shown}]") == [0, True]
        await page.clock.run_for(15_000)
        assert await page.evaluate(f"() => {top} > 0 && {top} + {shown} < {whole} - 20")
        await page.clock.run_for(60_000)
        assert await page.evaluate(f"() => {top} + {shown} >= {whole} - 2")


async def test_who_wants_no_motion_sees_none(short_dir: Path) -> None:
    async with kiosk_with_screen(short_dir) as (_, _address, page):
        moves = "() => getComputedStyle(headline).animationName"
        await expect(page.locator("body")).to_have_attribute("data-mode", "idle")
        assert await page.evaluate(moves) == "breathe"
        await page.emulate_media(reduced_motion="reduce")
        assert await page.evaluate(moves) == "none"


async def test_a_kiosk_that_starts_again_is_shown_again(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        browser_page() as page,
        contextlib.AsyncExitStack() as stack,
    ):
        text = config(server.url, captions=False)
        async with running_kiosk(short_dir, text) as running:
            await page.goto(await stack.enter_async_context(screen_of(running)))
            await expect(page.locator("body")).to_have_attribute("data-mode", "idle")
        await expect(page.locator("h1")).to_have_text("I will be right back")
        async with running_kiosk(short_dir, text):
            await expect(page.locator("body")).to_have_attribute("data-mode", "idle")


async def test_nobody_but_the_page_hears_of_a_visit(short_dir: Path) -> None:
    async with kiosk_with_screen(short_dir) as (_, address, _page):
        view = address.replace("http", "ws", 1) + "view"
        origin = Origin(address.rstrip("/"))
        async with connect(view, origin=origin) as socket:
            assert json.loads(await socket.recv())["mode"] == "idle"
        for refused, headers, status in (
            (Origin("http://evil.example"), {}, 403),
            (None, {}, 403),
            (origin, {"Host": "evil.example:80"}, 421),
        ):
            with pytest.raises(InvalidStatus) as error:
                await connect(view, origin=refused, additional_headers=headers)
            assert error.value.response.status_code == status


async def test_browsers_that_do_not_read_slow_nobody(short_dir: Path) -> None:
    async with kiosk_with_screen(short_dir) as (running, address, page):
        view, origin = address.replace("http", "ws", 1) + "view", Origin(address.rstrip("/"))
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(7):
                deaf = await stack.enter_async_context(
                    connect(view, origin=origin, close_timeout=0)
                )
                deaf.transport.pause_reading()
            connection = await in_visit(running)
            for number in range(50):
                await connection.send(AgentResponse(f"answer {number} " * 100, number))
            await expect(page.locator("#said")).to_contain_text("answer 49")
            with pytest.raises(Exception, match=r"closed|received 1"):
                async with connect(view, origin=origin) as ninth:
                    await ninth.recv()
