import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from kiosk.devices.bridge import CHECK_INTERVAL_S, DeviceThread, Outbox
from kiosk.errors import DeviceError
from tests.unit.devices.cards import CaptureCard, Slot, TurnDetector


async def test_what_threads_put_arrives_in_order_and_in_the_loop() -> None:
    here, heard = threading.current_thread(), list[int]()
    done = asyncio.Event()

    def handler(item: int) -> None:
        assert threading.current_thread() is here
        heard.append(item)
        if item == 999:
            done.set()

    def put_all() -> None:
        for item in range(1000):
            outbox.put(item)

    outbox = Outbox(asyncio.get_running_loop(), handler, 2000)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(put_all)
        await done.wait()
    assert heard == list(range(1000))
    assert outbox.dropped == 0


async def test_when_the_loop_stands_still_the_oldest_are_dropped_and_counted() -> None:
    heard: list[int] = []
    outbox = Outbox(asyncio.get_running_loop(), heard.append, 10)
    for item in range(25):
        outbox.put(item)
    assert heard == []
    await asyncio.sleep(0)
    assert heard == list(range(15, 25))
    assert outbox.dropped == 15


async def test_what_the_handler_puts_arrives_too() -> None:
    heard: list[int] = []

    def handler(item: int) -> None:
        heard.append(item)
        if item < 3:
            outbox.put(item + 1)

    outbox = Outbox(asyncio.get_running_loop(), handler, 10)
    outbox.put(0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert heard == [0, 1, 2, 3]


async def test_items_after_a_delivery_are_delivered_too() -> None:
    heard: list[int] = []
    outbox = Outbox(asyncio.get_running_loop(), heard.append, 10)
    for item in range(3):
        outbox.put(item)
        await asyncio.sleep(0)
    assert heard == [0, 1, 2]


def test_a_closed_loop_is_nobody_listening() -> None:
    heard: list[int] = []
    loop = asyncio.new_event_loop()
    outbox = Outbox(loop, heard.append, 10)
    loop.close()
    outbox.put(1)
    outbox.put(2)
    assert heard == []


class Resting(DeviceThread[CaptureCard]):
    """A device thread that only rests, and tells what became of its card."""

    def __init__(self, slot: Slot[CaptureCard], outbox: Outbox[str]) -> None:
        super().__init__("resting", slot.open)
        self._outbox = outbox

    def _serve(self, device: CaptureCard) -> None:
        while self._awake():
            self._rest(device)

    def _report_opened(self, device: CaptureCard) -> None:
        self._outbox.put("opened")

    def _report_lost(self, error: DeviceError) -> None:
        self._outbox.put(str(error))


async def test_a_card_that_goes_while_it_rests_is_noticed_and_the_next_one_is_opened() -> None:
    ears = TurnDetector[str]()
    first, second = CaptureCard(), CaptureCard()
    outbox = Outbox(asyncio.get_running_loop(), ears.hear, 100)
    thread = Resting(Slot(first, second), outbox)
    thread.open()
    await ears.until(lambda: ears.events == ["opened"])
    first.lost.set()
    await ears.until(lambda: "unplugged" in ears.events, 2 * CHECK_INTERVAL_S)
    await ears.until(lambda: ears.events == ["opened", "unplugged", "opened"])
    assert first.closed
    assert first.began_s is None  # it was asked without being started
    assert thread.close()
    assert second.closed
