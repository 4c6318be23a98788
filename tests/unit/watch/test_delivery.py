"""Alerts on their way: to a real mail server and a real webhook, which fail and come back."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from kiosk.watch.alerts import Notice
from kiosk.watch.channels import Channel, DeliveryError, Email, Webhook
from kiosk.watch.outbox import LIMIT, AlertOutbox, Waiting
from kiosk.watch.settings import EmailTable
from tests.unit.watch.desk import mail_server, webhook
from tests.virtual_time import virtual_time

FAST = 0.002  # in place of a wait of a second


def notice(kiosk: str = "lobby", cause: str = "microphone_lost") -> Notice:
    return Notice(
        what="raised",
        kiosk=kiosk,
        cause=cause,
        message="device_lost",
        priority=3,
        since="2026-01-01T00:00:00+00:00",
        at="2026-01-01T00:00:00+00:00",
        subject="A sound device is missing",
        remedy="Plug it in again.",
        told={"PRESS_ID": "p1"},
    )


def email(port: int) -> Email:
    table = EmailTable(
        host="127.0.0.1", port=port, tls="none", sender="kiosks@example.org", to=("a@b.c", "d@e.f")
    )
    return Email(table, "")


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def test_a_mail_says_what_is_wrong_where_and_what_to_do() -> None:
    async with mail_server() as box:
        await email(box.port).send(notice())
    [letter] = box.letters
    assert "Subject: [kiosk] lobby: microphone_lost" in letter
    assert "To: a@b.c, d@e.f" in letter
    assert "A sound device is missing" in letter
    assert "Plug it in again." in letter
    assert "PRESS_ID: p1" in letter


async def test_a_webhook_gets_one_object_with_a_text() -> None:
    async with webhook() as hook:
        await Webhook(hook.url).send(notice())
    [posted] = hook.posted
    assert posted["text"] == "lobby: microphone_lost. A sound device is missing"
    assert (posted["what"], posted["cause"], posted["kiosk"]) == (
        "raised",
        "microphone_lost",
        "lobby",
    )


async def test_what_is_not_taken_is_an_error_that_names_no_secret() -> None:
    async with webhook() as hook, mail_server() as box:
        hook.answers, box.refuses = [503], 1
        with pytest.raises(DeliveryError, match="HTTP 503") as refused:
            await Webhook(hook.url).send(notice())
        with pytest.raises(DeliveryError, match="451"):
            await email(box.port).send(notice())
    assert "secret" not in str(refused.value)
    gone = f"http://127.0.0.1:{unused_port()}/secret"
    for channel in (Webhook(gone), Webhook("no address"), email(unused_port())):
        with pytest.raises(DeliveryError) as unreachable:
            await channel.send(notice())
        assert "secret" not in str(unreachable.value)


async def test_a_proxy_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://user:secret@127.0.0.1:1080")
    with pytest.raises(DeliveryError, match="all_proxy names a proxy") as caught:
        await Webhook("https://hooks.test/secret").send(notice())
    assert "secret" not in str(caught.value)


class Flaky:
    """A channel that is down until it is not."""

    def __init__(self, name: str, down_s: float = 0.0) -> None:
        self.name = name
        self.taken: list[str] = []
        self.tries_s: list[float] = []
        self._down_s = down_s

    async def send(self, notice: Notice) -> None:
        now_s = asyncio.get_running_loop().time()
        self.tries_s.append(now_s)
        if now_s < self._down_s:
            raise DeliveryError("down")
        self.taken.append(notice.kiosk)


@asynccontextmanager
async def outbox(
    *channels: Channel, waiting: tuple[Waiting, ...] = (), changed: Callable[[], None] = print
) -> AsyncIterator[AlertOutbox]:
    box = AlertOutbox(channels, waiting, changed, jitter=lambda: 1.0)
    running = asyncio.create_task(box.run())
    try:
        yield box
    finally:
        running.cancel()
        await asyncio.wait((running,))


@virtual_time
async def test_a_webhook_that_is_down_for_an_hour_loses_no_alert() -> None:
    start_s = asyncio.get_running_loop().time()
    hook, mail = Flaky("webhook", start_s + 3600), Flaky("email")
    async with outbox(hook, mail) as box:
        await box.add([notice("lobby"), notice("shop")])
        await asyncio.sleep(1800)
        assert (hook.taken, mail.taken) == ([], ["lobby", "shop"])  # one holds up no other
        await box.add([notice("attic")])
        await asyncio.sleep(2400)
        assert hook.taken == ["lobby", "shop", "attic"]
        assert box.waiting == []
    gaps_s = [after - before for before, after in zip(hook.tries_s, hook.tries_s[1:], strict=False)]
    assert gaps_s[:4] == [1, 2, 4, 8]
    assert max(gaps_s) == 300
    assert len(hook.tries_s) < 30


@virtual_time
async def test_what_waited_when_the_watcher_stopped_is_delivered_by_the_next() -> None:
    down = Flaky("webhook", float("inf"))
    async with outbox(down, Flaky("email")) as box:
        await box.add([notice()])
        await asyncio.sleep(5)
        left = [Waiting.model_validate_json(each.model_dump_json()) for each in box.waiting]
    assert [each.channels for each in left] == [["webhook"]]
    hook, mail = Flaky("webhook"), Flaky("email")
    async with outbox(hook, mail, waiting=tuple(left)) as box:
        await asyncio.sleep(5)
    assert (hook.taken, mail.taken) == (["lobby"], [])


@virtual_time
async def test_a_channel_that_was_taken_away_is_not_waited_for() -> None:
    left = Waiting(notice=notice(), channels=["webhook"])
    async with outbox(Flaky("email"), waiting=(left,)) as box:
        assert box.waiting == []


@virtual_time
async def test_a_full_outbox_says_so() -> None:
    async with outbox(Flaky("webhook", float("inf"))) as box:
        await box.add([notice()] * (LIMIT - 1))
        assert not box.full
        await box.add([notice()])
        assert box.full


@virtual_time
async def test_a_failure_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with outbox(Flaky("webhook", float("inf"))) as box:
        await box.add([notice()])
        await asyncio.sleep(3600)
    assert [record.__dict__["journal"]["KIOSK_CAUSE"] for record in caplog.records] == [
        "alert_undelivered"
    ]
