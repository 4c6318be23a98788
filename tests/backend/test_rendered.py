"""The fleet's page is drawn so often, and no more, however many look."""

import asyncio

from kiosk.backend.page.rendered import RenderedParts


class Drawing:
    """Takes its time, on a clock of its own."""

    def __init__(self, cost_s: float = 0.01) -> None:
        self.now_s = 100.0
        self.cost_s = cost_s
        self.drawn = 0
        self.parts = RenderedParts(lambda: self.now_s)

    async def draw(self) -> str:
        self.drawn += 1
        self.now_s += self.cost_s
        await asyncio.sleep(0)
        return f"page {self.drawn}"

    async def seen(self, tenant: str = "default", role: str = "viewer") -> str:
        return await self.parts.get(tenant, role, self.draw)


async def test_all_who_look_at_once_see_one_page() -> None:
    drawing = Drawing()
    assert set(await asyncio.gather(*(drawing.seen() for _ in range(20)))) == {"page 1"}
    assert drawing.drawn == 1
    assert await drawing.seen(role="admin") == "page 2"
    assert await drawing.seen("other") == "page 3"


async def test_it_is_drawn_anew_after_half_a_second() -> None:
    drawing = Drawing()
    await drawing.seen()
    assert drawing.parts.anew_in_s("default", "viewer") == 0.5
    drawing.now_s += 0.49
    assert await drawing.seen() == "page 1"
    drawing.now_s += 0.02
    assert drawing.parts.anew_in_s("default", "viewer") == 0
    assert await drawing.seen() == "page 2"


async def test_a_large_fleets_page_takes_a_tenth_of_the_time() -> None:
    drawing = Drawing(cost_s=0.4)
    await drawing.seen()
    assert round(drawing.parts.anew_in_s("default", "viewer"), 3) == 4.0


async def test_who_changed_something_sees_it() -> None:
    drawing = Drawing()
    await drawing.seen()
    await drawing.seen("other")
    drawing.parts.forget("default")
    assert await drawing.seen() == "page 3"
    assert await drawing.seen("other") == "page 2"


async def test_a_drawing_that_fails_is_tried_again() -> None:
    drawing = Drawing()

    async def fails() -> str:
        raise OSError

    for _ in range(2):
        try:
            await drawing.parts.get("default", "viewer", fails)
        except OSError:
            continue
        raise AssertionError
    assert await drawing.seen() == "page 1"
