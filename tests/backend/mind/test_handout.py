"""A script goes on where it stood, and what it made is the visitor's to take along."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from kiosk.backend.books.talks import Talks
from kiosk.backend.mind.access import MindAccess
from kiosk.backend.mind.files import load_flow
from kiosk.backend.mind.flow import Flow, read_flow, standing
from kiosk.backend.mind.handout_link import HandoutLink, read_link
from kiosk.backend.mind.memory import BookMemory
from kiosk.backend.mind.port import MindTurn
from kiosk.backend.mind.scripted import ScriptedMind
from kiosk.convai.fields import Json
from kiosk.convai.speech_engine import Said
from kiosk.errors import ConfigError
from tests.backend.conftest import API_KEY, Backend, BackendFactory
from tests.backend.test_ledger import END, lease, start, tell

MUSEUM = load_flow("museum")
HANDOUT = """
[handout]
title = "{time} in the Harbour Museum"
text = '''You come {who}.
You like {interest} <best>.

Have a good day.'''
hours = 2
"""
ANSWERS = ("yes please", "one hour", "with children", "the whales")


def text_of(flow: str) -> str:
    from importlib import resources

    return (resources.files("kiosk.backend.mind") / "flows" / f"{flow}.toml").read_text("utf-8")


WITH_HANDOUT: Flow = read_flow("museum.toml", text_of("museum") + HANDOUT)


class Told:
    """A mind with a memory in the backend's books, and the conversations that ask it."""

    def __init__(self, backend: Backend, flow: Flow = WITH_HANDOUT) -> None:
        self.now = datetime.now(UTC)
        self._flow = flow
        self._backend = backend
        self.mind = self.another()

    def another(self) -> ScriptedMind:
        """The mind of another server at the same books."""
        hours = self._flow.handout.hours if self._flow.handout else 0
        memory = BookMemory(self._backend.store.talks, hours, lambda: self.now)
        return ScriptedMind(self._flow, memory)

    async def tell(
        self, conversation_id: str, *answers: str, mind: ScriptedMind | None = None
    ) -> str:
        """What is answered to the last of these, in one conversation."""
        talk: list[Said] = [Said("agent", self._flow.greeting)]
        said = ""
        for answer in answers:
            talk.append(Said("user", answer))
            turn = MindTurn(tuple(talk), conversation_id)
            said = "".join([piece async for piece in (mind or self.mind).answer(turn)])
            talk.append(Said("agent", said))
        return said


# --- where it stands ------------------------------------------------------------------------------


async def test_a_conversation_that_is_opened_anew_goes_on_where_the_visit_was(
    backend: Backend,
) -> None:
    told = Told(backend)
    first, second, third = [await lease(backend, f"lease-{n}") for n in range(3)]
    await start(backend, first)
    await told.tell("conv_0", "yes please", "one hour")
    await start(backend, second)  # by the same press
    assert await told.tell("conv_1", "with children", mind=told.another()) == MUSEUM.topic[3].ask
    assert "you have one hour, you come with children" in await told.tell(
        "conv_1", "with children", "the whales"
    )
    await start(backend, third, "press-2")
    assert await told.tell("conv_2", "yes please") == MUSEUM.topic[1].ask


async def test_what_was_told_is_forgotten_in_time(backend: Backend) -> None:
    told = Told(backend)
    for number in range(2):
        await start(backend, await lease(backend, f"lease-{number}"))
    await told.tell("conv_0", "yes please", "one hour")
    told.now += timedelta(minutes=61)
    assert await told.tell("conv_1", "with children") != MUSEUM.topic[3].ask
    await backend.store.talks.forget("default", told.now + timedelta(hours=2))
    assert await backend.place.sql("select * from talks") == []


async def test_a_flow_that_is_another_now_begins_anew(backend: Backend) -> None:
    told = Told(backend)
    for number in range(2):
        await start(backend, await lease(backend, f"lease-{number}"))
    await told.tell("conv_0", "yes please", "one hour")
    for left in (
        '{"flow": "museum", "topic": "gone", "told": {}, "heard": []}',
        '{"flow": "zoo", "topic": null, "told": {}, "heard": []}',
    ):
        await backend.place.sql("update talks set standing = :it", it=left)
        assert await told.tell("conv_1", "yes please", mind=told.another()) == MUSEUM.topic[1].ask


async def test_nobodys_conversation_is_talked_with_and_not_kept(backend: Backend) -> None:
    told = Told(backend)
    for conversation_id in ("", "conv_of_nobody"):
        assert await told.tell(conversation_id, "yes please") == MUSEUM.topic[1].ask
    assert await backend.place.sql("select * from talks") == []


class Silent(Talks):
    """Books that do not answer."""

    def __init__(self) -> None:
        pass

    async def place(self, conversation_id: str, now: datetime) -> None:
        await asyncio.Event().wait()


async def test_books_that_do_not_answer_keep_nobody_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mind = ScriptedMind(MUSEUM, BookMemory(Silent(), 1))
    turn = MindTurn((Said("user", "yes please"),), "conv_0")
    assert [piece async for piece in mind.answer(turn)] == [MUSEUM.topic[1].ask]
    assert "a talk is not remembered: TimeoutError" in caplog.text


class Kept:
    """A memory that keeps what it is told, each conversation a visit of its own."""

    def __init__(self) -> None:
        self.talks: dict[str, Json] = {}

    async def recall(self, conversation_id: str) -> None:
        await asyncio.sleep(0)

    async def keep(self, conversation_id: str, standing: object, handout: object) -> None:
        await asyncio.sleep(0)
        self.talks[conversation_id] = (standing, handout)  # type: ignore[assignment]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["lobby", "cellar", "attic"]),
            st.sampled_from([*ANSWERS, "the whole afternoon", "hm", "alone", ""]),
        ),
        max_size=40,
    )
)
def test_visits_at_the_same_time_never_mix(turns: list[tuple[str, str]]) -> None:
    """Whatever order their turns come in, each stands as if it were alone."""

    async def talk() -> None:
        memory = Kept()
        mind = ScriptedMind(WITH_HANDOUT, memory)
        said: dict[str, list[str]] = {}

        async def ask(kiosk: str, answers: list[str]) -> None:
            talk: list[Said] = []
            for answer in answers:
                talk += [Said("agent", "?"), Said("user", answer)]
                turn = MindTurn(tuple(talk), kiosk)
                said.setdefault(kiosk, []).append("".join([p async for p in mind.answer(turn)]))

        by_kiosk: dict[str, list[str]] = {}
        for kiosk, answer in turns:
            by_kiosk.setdefault(kiosk, []).append(answer)
        await asyncio.gather(*(ask(*each) for each in by_kiosk.items()))
        for kiosk, answers in by_kiosk.items():
            alone = [standing(WITH_HANDOUT, answers[: n + 1]) for n in range(len(answers))]
            assert said[kiosk] == [each.says for each in alone]
            kept = memory.talks[kiosk]
            assert isinstance(kept, tuple)
            assert kept[0] == alone[-1].as_json(WITH_HANDOUT)

    asyncio.run(talk())


# --- what is taken along --------------------------------------------------------------------------


async def handed_out(backend: Backend, told: Told) -> str:
    """The path of a handout, as the kiosk is told it at the visit's end; empty: there is none."""
    visit_id = await lease(backend)
    await start(backend, visit_id)
    await told.tell("conv_0", *ANSWERS, "thank you")
    ended = await tell(backend, visit_id, "end", END)
    assert ended.status_code == 204
    link = ended.links.get("related", {}).get("url", "")
    assert link == "" or link.startswith("/v1/handouts/default~")
    return link


def access(*, makes_handouts: bool = True) -> MindAccess:
    return MindAccess(ScriptedMind(WITH_HANDOUT), SecretStr(API_KEY), makes_handouts=makes_handouts)


async def test_a_visitor_takes_along_what_was_told(
    backend_with: BackendFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "kiosk")
    async with backend_with(mind=access()) as backend:
        path = await handed_out(backend, Told(backend))
        page = await backend.client.get(path, headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert page.headers["Cache-Control"] == "no-store"
        assert "noindex" in page.headers["X-Robots-Tag"]
        assert "<h1>one hour in the Harbour Museum</h1>" in page.text
        assert "<p>You come with children.<br>You like the whales &lt;best&gt;.</p>" in page.text
        made = await backend.client.get(path, headers={"Accept": "application/json"})
        assert made.json() == {
            "title": "one hour in the Harbour Museum",
            "text": "You come with children.\nYou like the whales <best>.\n\nHave a good day.",
            "language": "en",
            "told": {
                "agreed": "yes please", "plan": "yes please", "time": "one hour",
                "stay": "one hour", "who": "with children", "company": "with children",
                "interest": "the whales", "likes": "the whales",
            },
        }  # fmt: skip
        for secret in (path.rpartition("~")[2], "with children", "whales"):
            assert secret not in "".join(
                record.getMessage() for record in caplog.records if "httpx" not in record.name
            )


async def test_another_server_forgets_it_no_sooner(backend_with: BackendFactory) -> None:
    async with backend_with(mind=access()) as backend:
        told = Told(backend)
        path = await handed_out(backend, told)
        until = await backend.place.sql("select forget_at from talks")
        told.now += timedelta(minutes=1)
        turns = [Said("user", answer) for answer in (*ANSWERS, "bye")]
        talk = tuple(each for turn in turns for each in (Said("agent", "?"), turn))
        late = told.another()
        said = [piece async for piece in late.answer(MindTurn(talk, "conv_0"))]
        assert said == [MUSEUM.farewell]
        assert await backend.place.sql("select forget_at from talks") == until
        assert (await backend.client.get(path)).status_code == 200


async def test_without_a_handout_none_is_made(backend_with: BackendFactory) -> None:
    async with backend_with(mind=access()) as backend:
        assert await handed_out(backend, Told(backend, MUSEUM)) == ""


async def test_a_mind_without_handouts_costs_no_question(backend_with: BackendFactory) -> None:
    async with backend_with(mind=access(makes_handouts=False)) as backend:
        assert await handed_out(backend, Told(backend)) == ""


async def test_a_link_ends_with_its_time_and_none_can_be_made(backend_with: BackendFactory) -> None:
    async with backend_with(mind=access()) as backend:
        path = await handed_out(backend, Told(backend))
        start_of, _, signature = path.rpartition("~")
        for wrong in (
            f"{start_of}~{'0' * 32}",
            f"{start_of}9~{signature}",
            path.replace("default", "another"),
            f"{path}x",
            "/v1/handouts/x",
        ):
            assert (await backend.client.get(wrong)).status_code == 404
        await backend.place.sql("update talks set forget_at = '2020-01-01 00:00:00+00:00'")
        assert (await backend.client.get(path)).status_code == 404


def test_a_link_is_read_until_its_time_is_over() -> None:
    key = SecretStr(API_KEY)
    link = HandoutLink("default", "0123456789abcdef", 1000)
    token = link.token(key)
    assert read_link(token, key, 999.9) == link
    assert read_link(token, key, 1000.0) is None
    assert read_link(token, SecretStr("another"), 0.0) is None


@pytest.mark.parametrize(
    ("handout", "said"),
    [
        ('title = "{when}"\ntext = "x"', "handout.title: {when} is neither"),
        ('title = "x"\ntext = "{time"', "handout.text: a brace without its other"),
        ('title = "x"', "handout.text: it must be given"),
        ('title = "x"\ntext = "x"\nhours = 1000', "handout.hours: "),
    ],
)
def test_mistakes_of_a_handout_are_named(handout: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_flow("museum.toml", f"{text_of('museum')}\n[handout]\n{handout}\n")
    assert said in str(error.value)
