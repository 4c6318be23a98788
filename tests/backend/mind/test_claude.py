"""The mind that asks Claude, by Anthropic's library, against a server that speaks its wire."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from kiosk.backend.mind.claude import open_claude
from kiosk.backend.mind.files import load_flow, load_flow_or_persona
from kiosk.backend.mind.opening import open_mind
from kiosk.backend.mind.pacing import Pace, paced
from kiosk.backend.mind.persona import Persona, brief, instructions, read_persona
from kiosk.backend.mind.port import MindError, MindTurn
from kiosk.convai.speech_engine import Said
from kiosk.errors import ConfigError
from tests.backend.mind.messages_api import KEY, MessagesApi, messages_api
from tests.slowness import patient_s

GUIDE = Path(__file__).parents[3] / "deploy" / "backend" / "guide.toml"
TALK = (Said("agent", "Welcome."), Said("user", "where are the whales"))


def persona_at(url: str) -> Persona:
    text = GUIDE.read_text(encoding="utf-8")
    return read_persona("guide.toml", f'{text}\nbase_url = "{url}"\n')


async def answer(api: MessagesApi, *talk: Said) -> list[str]:
    async with open_claude(brief(persona_at(api.url)), SecretStr(KEY), lambda *_: None) as mind:
        return [piece async for piece in mind.answer(MindTurn(talk or TALK))]


async def test_its_text_comes_in_pieces() -> None:
    async with messages_api() as api:
        assert await answer(api) == ["The whales are ", "in the main hall."]
    (asked,) = api.asked
    assert asked["stream"] is True
    assert asked["messages"] == [
        {"role": "user", "content": "(A visitor has come.)"},
        {"role": "assistant", "content": "Welcome."},
        {"role": "user", "content": "where are the whales"},
    ]
    (system,) = asked["system"]
    assert "Lotte" in system["text"]
    assert system["cache_control"] == {"type": "ephemeral"}
    assert api.headers[0]["authorization"] == f"Bearer {KEY}"


async def test_a_talk_is_sent_as_claude_takes_it() -> None:
    async with messages_api() as api:
        await answer(api, Said("user", "hello"), Said("agent", " "), Said("user", "the ships?"))
    assert api.asked[0]["messages"] == [
        {"role": "user", "content": "hello"},
        {"role": "user", "content": "the ships?"},
    ]
    async with messages_api() as api:
        await answer(api, Said("user", "lights off"), Said("agent", "One moment."))
    assert api.asked[0]["messages"][-1]["role"] == "user"


@pytest.mark.parametrize("piece_bytes", [1, 2, 7])
async def test_a_stream_may_be_split_anywhere(piece_bytes: int) -> None:
    texts = ("Café, ", "naïve 🐋, ", "fin.")
    async with messages_api(texts=texts, piece_bytes=piece_bytes) as api:
        assert await answer(api) == list(texts)


async def test_what_claude_refuses_is_unknown() -> None:
    async with messages_api(texts=(), stop_reason="refusal") as api:
        assert await answer(api) == [persona_at(api.url).unknown]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"status": 401}, "Claude's server answers 401"),
        ({"status": 429}, "Claude's server answers 429"),
        ({"status": 500}, "Claude's server answers 500"),
        ({"status": 529}, "Claude's server answers 529"),
        ({"texts": ()}, "Claude says nothing"),
        ({"usage": {}}, "Claude's server makes no sense: "),
    ],
)
async def test_what_goes_wrong_is_said_without_words(how: dict[str, Any], why: str) -> None:
    async with messages_api(**how) as api:
        with pytest.raises(MindError, match=why) as error:
            await answer(api)
    assert "whales" not in str(error.value)


async def test_a_server_that_is_gone_or_breaks_off_is_said_to() -> None:
    async with messages_api() as api:
        pass
    with pytest.raises(MindError, match="cannot be had: APIConnectionError"):
        await answer(api)
    for cut_after in (0, 20, 200, 700, 800):
        for is_chunked in (True, False):
            async with messages_api(cut_after=cut_after, is_chunked=is_chunked) as api:
                with pytest.raises(MindError):
                    await answer(api)


async def test_a_turn_that_is_cut_hangs_up() -> None:
    async with (
        messages_api(hangs_after=700) as api,
        open_claude(brief(persona_at(api.url)), SecretStr(KEY), lambda *_: None) as mind,
    ):
        pieces = paced(mind, MindTurn(TALK), Pace(filler_after_s=1000), lambda *_: None)
        async with contextlib.aclosing(pieces):
            assert await anext(pieces) == "The whales are "
        async with asyncio.timeout(patient_s(10)):
            await api.hung_up.wait()


def test_the_guide_that_comes_with_the_playbooks_is_good() -> None:
    guide = load_flow_or_persona(str(GUIDE))
    assert isinstance(guide, Persona)
    with pytest.raises(ConfigError, match="is a persona; here a flow is needed"):
        load_flow(str(GUIDE))
    told = instructions(guide)
    for words in (guide.biography, *guide.specialties, guide.unknown, guide.knowledge):
        assert words in told


def test_all_mistakes_of_a_persona_are_named_at_once() -> None:
    text = 'name = ""\nmost_words = 5\n[model]\nname = "x"\ntemperature = 1\n'
    with pytest.raises(ConfigError) as error:
        read_persona("guide.toml", text)
    said = str(error.value)
    for each in (
        "guide.toml, line 1: name: ",
        "biography: it must be given",
        "knowledge: it must be given",
        "guide.toml, line 2: most_words: ",
        "guide.toml, line 5: model.temperature: there is no such key",
    ):
        assert each in said


async def test_a_persona_without_a_key_says_where_it_goes() -> None:
    with pytest.raises(ConfigError, match=r"credential model-key, or set KIOSK_BACKEND_MODEL_KEY"):
        async with open_mind(str(GUIDE), None, lambda *_: None):
            pass
    async with open_mind(str(GUIDE), SecretStr(KEY), lambda *_: None) as opened:
        assert opened.pace.apology == "I am sorry, I lost my thread. Please ask me again."
