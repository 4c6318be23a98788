"""The mind that asks by chat completions, with OpenAI's library, and a server that speaks them."""

import asyncio
import contextlib
import dataclasses
from typing import Any

import pytest
from pydantic import SecretStr

from kiosk.backend.mind.chat_model import open_chat_model
from kiosk.backend.mind.pacing import Pace, paced
from kiosk.backend.mind.persona import Persona, brief, read_persona
from kiosk.backend.mind.port import MindError, MindTurn
from kiosk.backend.mind.spending import Tokens
from kiosk.convai.speech_engine import Said
from kiosk.errors import ConfigError
from tests.backend.mind.completions_api import CompletionsApi, completions_api
from tests.slowness import patient_s

KEY = "sk-0123456789"
TALK = (Said("agent", "Welcome."), Said("user", "where are the whales"))
GUIDE = """
name = "Lotte"
biography = "You are the keeper."
knowledge = "The whales are in the main hall."
[model]
provider = "openai"
"""


def persona_at(url: str) -> Persona:
    return read_persona("guide.toml", f'{GUIDE}name = "small"\nbase_url = "{url}"\n')


class Asking:
    """What was answered, and what it took."""

    def __init__(self) -> None:
        self.took: list[tuple[str, Tokens]] = []

    def told(self, conversation_id: str, took: Tokens) -> None:
        self.took.append((conversation_id, took))

    async def ask(self, api: CompletionsApi, *talk: Said) -> list[str]:
        async with open_chat_model(brief(persona_at(api.url)), SecretStr(KEY), self.told) as mind:
            return [piece async for piece in mind.answer(MindTurn(talk or TALK, "conv_1"))]


async def test_its_text_comes_in_pieces_and_what_it_took_is_told() -> None:
    asking = Asking()
    async with completions_api() as api:
        assert await asking.ask(api) == ["The whales are ", "in the main hall."]
    (asked,) = api.asked
    assert asked["stream"] is True
    assert asked["max_tokens"] == 400
    system, *talk = asked["messages"]
    assert system["role"] == "system"
    assert "Lotte" in system["content"]
    assert talk == [
        {"role": "assistant", "content": "Welcome."},
        {"role": "user", "content": "where are the whales"},
    ]
    assert api.headers[0]["authorization"] == f"Bearer {KEY}"
    assert asking.took == [("conv_1", Tokens(read=36, cached=64, written=9))]


async def test_a_server_that_does_not_count_is_taken_as_it_is() -> None:
    asking = Asking()
    async with completions_api(counts=False) as api:
        await asking.ask(api, Said("agent", " "), Said("user", "hello"))
    assert api.asked[0]["messages"][1:] == [{"role": "user", "content": "hello"}]
    ((_, guessed),) = asking.took
    assert guessed.read > 100  # the instructions above all
    assert guessed.written == len("The whales are in the main hall.") // 3


async def test_an_answer_that_is_cut_costs_what_it_cost() -> None:
    asking = Asking()
    async with (
        completions_api(texts=("whale " * 50,) * 20, piece_bytes=300) as api,
        open_chat_model(brief(persona_at(api.url)), SecretStr(KEY), asking.told) as mind,
        contextlib.aclosing(mind.answer(MindTurn(TALK, "conv_1"))) as pieces,
    ):
        await anext(pieces)
    ((_, guessed),) = asking.took
    assert guessed.read > 100
    assert guessed.written == 100


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": {}},
        {"usage": {"prompt_tokens": None, "completion_tokens": None}},
        {"usage": {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}},
        {"choices": None},
        {"choices": [{"index": 0}]},
        {"choices": [{"index": 0, "delta": None, "finish_reason": None}]},
    ],
)
async def test_a_chunk_that_is_odd_costs_no_answer(odd: dict[str, Any]) -> None:
    asking = Asking()
    async with completions_api(odd=odd, counts=False) as api:
        assert await asking.ask(api) == ["The whales are ", "in the main hall."]
    assert all(count >= 0 for _, took in asking.took for count in dataclasses.astuple(took))


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_a_question_that_was_refused_costs_nothing(status: int) -> None:
    asking = Asking()
    async with completions_api(status=status) as api:
        with pytest.raises(MindError):
            await asking.ask(api)
    with pytest.raises(MindError):  # nor one that nobody heard
        await asking.ask(api)
    assert [took for _, took in asking.took] == [Tokens(), Tokens()]


async def test_only_an_answer_that_the_model_ended_is_whole() -> None:
    for stop_reason, is_whole in (("stop", True), ("length", False), ("content_filter", False)):
        wholes: list[bool] = []
        async with (
            completions_api(stop_reason=stop_reason) as api,
            open_chat_model(brief(persona_at(api.url)), SecretStr(KEY), lambda *_: None) as mind,
        ):
            turn = MindTurn(TALK)
            assert [piece async for piece in mind.ask(turn, lambda: wholes.append(True))]  # noqa: B023
        assert bool(wholes) is is_whole


@pytest.mark.parametrize("piece_bytes", [1, 2, 7])
async def test_a_stream_may_be_split_anywhere(piece_bytes: int) -> None:
    texts = ("Café, ", "naïve 🐋, ", "fin.")
    async with completions_api(texts=texts, piece_bytes=piece_bytes) as api:
        assert await Asking().ask(api) == list(texts)


async def test_what_the_model_refuses_is_unknown() -> None:
    async with completions_api(texts=(), stop_reason="content_filter") as api:
        assert await Asking().ask(api) == ["I do not know that. Please ask our staff."]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"status": 401}, "the model's server answers 401"),
        ({"status": 429}, "the model's server answers 429"),
        ({"status": 503}, "the model's server answers 503"),
        ({"texts": ()}, "the model says nothing"),
    ],
)
async def test_what_goes_wrong_is_said_without_words(how: dict[str, Any], why: str) -> None:
    async with completions_api(**how) as api:
        with pytest.raises(MindError, match=why) as error:
            await Asking().ask(api)
    assert "whales" not in str(error.value)


async def test_a_server_that_is_gone_or_breaks_off_is_said_to() -> None:
    async with completions_api() as api:
        pass
    with pytest.raises(MindError, match="cannot be had: APIConnectionError"):
        await Asking().ask(api)
    for cut_after in (0, 20, 200, 400):
        for is_chunked in (True, False):
            async with completions_api(cut_after=cut_after, is_chunked=is_chunked) as api:
                with pytest.raises(MindError):
                    await Asking().ask(api)


async def test_a_turn_that_is_cut_hangs_up() -> None:
    async with (
        completions_api(hangs_after=370) as api,
        open_chat_model(brief(persona_at(api.url)), SecretStr(KEY), lambda *_: None) as mind,
    ):
        pieces = paced(mind, MindTurn(TALK), Pace(filler_after_s=1000), lambda *_: None)
        async with contextlib.aclosing(pieces):
            assert await anext(pieces) == "The whales are "
        async with asyncio.timeout(patient_s(10)):
            await api.hung_up.wait()


def test_what_stands_nowhere_is_the_providers_usual() -> None:
    ours = read_persona("guide.toml", f'{GUIDE}name = "small"\n').model
    assert (ours.name, ours.base_url) == ("small", "https://api.openai.com/v1")
    with pytest.raises(ConfigError, match=r"model\.name: it must be given"):
        read_persona("guide.toml", GUIDE)
    with pytest.raises(ConfigError, match=r"guide.toml, line 6: model\.provider: "):
        read_persona("guide.toml", GUIDE.replace('"openai"', '"nobody"'))
