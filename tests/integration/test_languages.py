"""Whole visits in each language that comes with the kiosk, and changes in the middle.

The local agent's ears are English, so a script recognises what the visitor says: any speech is its
next line. Everything else is the agent's: its voices, the override of the language, its tool.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from kiosk.agent.guide import Guide, parse_guide
from kiosk.agent.recogniser import Recognised, Recogniser
from kiosk.agent.scenario import load_scenario
from kiosk.agent.server import AgentSettings, LocalAgent
from kiosk.audio.pcm import Samples
from kiosk.base.clock import loop_now_s
from kiosk.convai.client_messages import ContextualUpdate, Initiation
from kiosk.convai.server_messages import AgentResponse
from kiosk.convai.server_tools import AgentToolResponse
from kiosk.devices.ports import Clip
from kiosk.endings import Kind
from kiosk.moments import What
from kiosk.visit.languages import load_language, shipped_languages
from kiosk.visit.states import State
from tests.convai_server import Connection, scripted_server
from tests.integration.sounds import quiet_room, words
from tests.lockstep import in_lockstep
from tests.virtual_kiosk import VirtualKiosk, settings, virtual_kiosk

# A question and its answer, as a guide of a museum has them; and a greeting.
SAID: dict[str, tuple[str, str, str]] = {
    "de": ("Wo ist die Garderobe?", "Die Garderobe ist im Erdgeschoss, gleich neben der Kasse.",
           "Willkommen im Museum."),
    "en": ("Where is the cloakroom?", "The cloakroom is on the ground floor, next to the desk.",
           "Welcome to the museum."),
    "es": ("¿Dónde está el guardarropa?", "El guardarropa está en la planta baja, junto a la caja.",
           "Bienvenido al museo."),
    "fr": ("Où est le vestiaire ?", "Le vestiaire est au rez-de-chaussée, à côté de la caisse.",
           "Bienvenue dans le musée."),
    "it": ("Dov'è il guardaroba?", "Il guardaroba è al piano terra, accanto alla cassa.",
           "Benvenuti al museo."),
    "nl": ("Waar is de garderobe?", "De garderobe is op de begane grond, naast de kassa.",
           "Welkom in het museum."),
    "pl": ("Gdzie jest szatnia?", "Szatnia jest na parterze, tuż obok kasy.",
           "Witamy w muzeum."),
    "uk": ("Де гардероб?", "Гардероб є на першому поверсі, поруч із касою.",
           "Ласкаво просимо до музею."),
}  # fmt: skip


class ScriptedEars:
    """Ears that take any speech for their next line."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)

    def recognise(self, samples: Samples) -> Recognised:
        return Recognised(next(self._lines).lower().strip(" ?¿"), 0.9)

    def asks_for_nothing(self, samples: Samples) -> bool:
        return False


def guide(language: str) -> Guide:
    ask, say, greeting = SAID[language]
    entry = {"key": "cloakroom", "ask": [ask], "say": say}
    voice = load_language(language).voice
    return parse_guide(
        {"language": language, "voice": voice, "greeting": greeting, "ask_again": "?",
         "entry": [entry]},
        language,
    )  # fmt: skip


def agent(
    lines: Iterable[str], *languages: str, allowed: Collection[str] = ("agent.language",)
) -> tuple[LocalAgent, list[dict[str, object]]]:
    events: list[dict[str, object]] = []
    return LocalAgent(
        AgentSettings(port=0, allowed_overrides=frozenset(allowed)),
        guide("en"),
        cast("Recogniser", ScriptedEars(lines)),
        events.append,
        translations=[guide(language) for language in languages],
    ), events


@asynccontextmanager
async def visited(
    its_agent: LocalAgent, directory: Path, **kiosk: object
) -> AsyncIterator[VirtualKiosk]:
    """A kiosk that says its own sentences, and an agent in its own loop."""
    async with its_agent.listening() as url:
        table = {"institution": "", **kiosk}
        its_settings = settings(directory, url.replace("http", "ws"), kiosk=table)
        async with virtual_kiosk(its_settings, quiet_room()) as running:
            yield running


async def asks(kiosk: VirtualKiosk) -> None:
    """The visitor says something, and hears the answer to its end."""
    await kiosk.state(State.LISTENING)
    asked_s = loop_now_s()
    kiosk.room.say(words(1.2), asked_s)
    await kiosk.moment(What.TRANSCRIPT, asked_s)
    await kiosk.moment(What.DRAINED, asked_s)


def said(events: list[dict[str, object]]) -> list[object]:
    """The agent's words, turn by turn."""
    return [event["text"] for event in events if event["event"] == "agent_started"]


# --- a visit in each language -------------------------------------------------------------------


@pytest.mark.parametrize("language", shipped_languages())
@in_lockstep
async def test_a_visit_in_each_language(short_dir: Path, language: str) -> None:
    question, answer, greeting = SAID[language]
    others = [] if language == "en" else [language]
    its_agent, events = agent([question], *others)
    async with visited(its_agent, short_dir, languages=others) as kiosk:
        await asyncio.sleep(0.1)
        kiosk.host.press(language)
        await kiosk.moment(What.AGENT_HEARD)
        await kiosk.moment(What.DRAINED)
        await asks(kiosk)
        assert kiosk.host.language == language
        pressed_s = loop_now_s()
        await asyncio.sleep(1.1)
        kiosk.host.press(language)
        ended = await kiosk.moment(What.VISIT_ENDED, pressed_s)
        assert kiosk.host.language == "en", "back to the site's own"
    assert ended.fields["kind"] == Kind.HUNG_UP
    assert said(events) == [greeting, answer]


@in_lockstep
async def test_a_visitor_changes_the_language_in_the_middle(short_dir: Path) -> None:
    lines = [SAID[code][0] for code in ("en", "de", "fr")]
    its_agent, events = agent(lines, "de", "fr", allowed=["all"])
    async with visited(its_agent, short_dir, languages=["de", "fr"]) as kiosk:
        kiosk.host.press()
        await kiosk.moment(What.DRAINED)
        await asks(kiosk)
        for language in ("de", "fr"):
            pressed_s = loop_now_s()
            kiosk.host.press(language)
            await kiosk.moment(What.CONNECTED, pressed_s)
            await asks(kiosk)
            assert kiosk.host.language == language
        assert kiosk.count(What.VISIT_STARTED) == 1
        assert kiosk.count(What.LOST) == 0
    assert said(events) == [SAID["en"][2], *[SAID[code][1] for code in ("en", "de", "fr")]]
    known = [str(event["text"]) for event in events if event["event"] == "context"]
    assert len(known) == 2
    assert SAID["en"][1] in known[0], "the next one knows what was said"


@in_lockstep
async def test_an_agent_that_detects_the_language_takes_the_kiosks_sentences_with_it(
    short_dir: Path,
) -> None:
    its_agent, events = agent([SAID["de"][0], SAID["de"][0]], "de")
    async with visited(its_agent, short_dir, languages=["de", "fr"]) as kiosk:
        kiosk.host.press()
        await kiosk.moment(What.DRAINED)
        await asks(kiosk)
        await kiosk.until(lambda: kiosk.host.language == "de")
        assert kiosk.count(What.CONNECTED) == 1, "in the same conversation"
        (changed,) = [moment for moment in kiosk.moments if moment.what is What.LANGUAGE]
        assert changed.fields == {"language": "de", "by": "agent"}
    assert said(events) == [SAID["en"][2], SAID["de"][1]]


@in_lockstep
async def test_the_kiosks_own_sentences_are_in_the_visitors_language(short_dir: Path) -> None:
    its_agent, _ = agent([], "de")
    async with visited(its_agent, short_dir, languages=["de"]) as kiosk:
        voices = kiosk.host._voices
        await kiosk.until(lambda: voices.others["de"].sentence("goodbye"))
        german, english = voices.others["de"], voices.own
        spoken: list[Clip] = []
        speaker = kiosk.host._announcer._speaker
        play = speaker.play

        def note(clip: Clip) -> int:
            spoken.append(clip)
            return play(clip)

        speaker.play = note  # type: ignore[method-assign]
        kiosk.host.press("de")
        await kiosk.moment(What.DRAINED)
        await kiosk.moment(What.VISIT_ENDED, timeout_s=120.0)  # nobody says anything
        await asyncio.sleep(1.1)
        kiosk.host.press()
        await kiosk.moment(What.VISIT_ENDED, loop_now_s(), timeout_s=120.0)
    texts = [clip for clip in spoken if clip.source == "speech"]
    assert [clip.name for clip in texts] == ["still_there", "goodbye"] * 2
    for clip, voice in zip(texts, (german, german, english, english), strict=True):
        sentence = voice.sentence(clip.name)
        assert sentence is not None
        assert clip.samples is sentence.samples


@in_lockstep
async def test_an_agent_that_greets_in_any_case_is_not_heard_greeting_twice(
    short_dir: Path,
) -> None:
    its_agent, events = agent([SAID["en"][0], SAID["de"][0]], "de", allowed=["agent.language"])
    async with visited(its_agent, short_dir, languages=["de"]) as kiosk:
        kiosk.host.press()
        await kiosk.moment(What.DRAINED)
        await asks(kiosk)
        pressed_s = loop_now_s()
        kiosk.host.press("de")
        await kiosk.moment(What.CONNECTED, pressed_s)
        await asks(kiosk)
        assert kiosk.host.language == "de"
        heard = [m for m in kiosk.moments if m.what is What.AGENT_HEARD and m.at_s > pressed_s]
    assert said(events)[-2:] == [SAID["de"][2], SAID["de"][1]]
    assert len(heard) == 1


# --- an agent that permits no other language ------------------------------------------------------

NO_OVERRIDE = "Override for field 'language' is not allowed by config."


@in_lockstep
async def test_an_agent_that_permits_no_other_language_is_told_of_it(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(
            settings(short_dir, server.url, kiosk={"languages": ["de"]}), quiet_room()
        ) as kiosk,
    ):
        kiosk.host.press("de")
        first = await server.connection()
        await first.close(1008, NO_OVERRIDE)
        second = await server.connection(2)
        await kiosk.state(State.LISTENING)
        assert language_of(first) == "de"
        assert language_of(second) is None
        await kiosk.until(lambda: second.of_type(ContextualUpdate))
        (told,) = second.of_type(ContextualUpdate)
        assert isinstance(told, ContextualUpdate)
        assert "'de'" in told.text
        assert kiosk.count(What.LOST) == 0, "the visitor notices nothing"
        # It has learnt it: the next visit asks for nothing that is refused.
        await asyncio.sleep(1.1)
        kiosk.host.press()
        await kiosk.state(State.IDLE)
        await asyncio.sleep(1.1)
        kiosk.host.press("de")
        assert language_of(await server.connection(3)) is None


def language_of(connection: Connection) -> object:
    """What the kiosk asked for."""
    (initiation,) = connection.of_type(Initiation)
    assert isinstance(initiation, Initiation)
    its_agent = initiation.overrides.get("agent", {})
    return its_agent.get("language") if isinstance(its_agent, dict) else None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Ja, gerne. Die Garderobe ist im Erdgeschoss.", "de"),
        ("Hmm.", "en"),
        ("Vaatesäilö on pohjakerroksessa.", "en"),
        ("Szatnia jest na parterze, obok kasy.", "en"),
    ],
)
@in_lockstep
async def test_only_a_language_that_the_kiosk_has_counts(
    short_dir: Path, text: str, language: str
) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(
            settings(short_dir, server.url, kiosk={"languages": ["de"]}), quiet_room()
        ) as kiosk,
    ):
        kiosk.host.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        await connection.send(AgentResponse("Die Kasse ist nebenan.", 1))
        await connection.send(
            AgentToolResponse("language_detection", "t1", status="success"), AgentResponse(text, 2)
        )
        await asyncio.sleep(0.5)
        assert kiosk.host.language == language


@in_lockstep
async def test_a_tool_that_failed_changes_nothing(short_dir: Path) -> None:
    async with (
        scripted_server() as server,
        virtual_kiosk(
            settings(short_dir, server.url, kiosk={"languages": ["de"]}), quiet_room()
        ) as kiosk,
    ):
        kiosk.host.press()
        connection = await server.connection()
        await kiosk.state(State.LISTENING)
        failed = AgentToolResponse("language_detection", "t1", is_error=True, status="error")
        await connection.send(failed, AgentResponse("Die Kasse ist nebenan.", 2))
        await asyncio.sleep(0.5)
        assert kiosk.host.language == "en"


@in_lockstep
async def test_what_is_told_into_a_connection_that_fails_hides_no_verdict(short_dir: Path) -> None:
    its_agent, _ = agent([], allowed=[])
    its_agent.scenario = load_scenario("giant_frame")
    async with visited(its_agent, short_dir, languages=["de"]) as kiosk:
        kiosk.host.press("de")
        ended = await kiosk.moment(What.VISIT_ENDED, timeout_s=60.0)
    assert (ended.fields["kind"], ended.fields["code"]) == (Kind.PROTOCOL, 1009)
