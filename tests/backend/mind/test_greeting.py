"""The mind's greeting is in the lease: ready before anybody presses."""

from pydantic import SecretStr

from kiosk.backend.characters.character import read_character
from kiosk.backend.mind.access import MindAccess
from kiosk.backend.mind.files import load_flow
from kiosk.backend.mind.scripted import ScriptedMind
from tests.backend.conftest import API_KEY, BackendFactory

MIND = ScriptedMind(load_flow("museum"))


async def test_a_lease_brings_the_greeting_of_the_mind(backend_with: BackendFactory) -> None:
    access = MindAccess(
        MIND, SecretStr(API_KEY), greeting="Welcome to {site}, {{name}}. I am {kiosk}."
    )
    async with backend_with(mind=access) as backend:
        lease = (await backend.ask()).json()
    said = f"Welcome to {backend.kiosk.site}, {{{{name}}}}. I am {backend.kiosk.name}."
    assert lease["overrides"] == {"agent": {"first_message": said}}


async def test_a_mind_without_one_leaves_it_to_the_agent(backend_with: BackendFactory) -> None:
    async with backend_with(mind=MindAccess(MIND, SecretStr(API_KEY))) as backend:
        assert "overrides" not in (await backend.ask()).json()


async def test_what_a_character_says_of_itself_goes_before(backend_with: BackendFactory) -> None:
    access = MindAccess(MIND, SecretStr(API_KEY), greeting="Welcome.")
    characters = {
        "loud": read_character("loud.toml", 'first_message = "Ahoy!"'),
        "slow": read_character("slow.toml", "[voice]\nspeed = 0.8"),
    }
    async with backend_with(mind=access, characters=characters) as backend:
        for character, overrides in (
            ("loud", {"agent": {"first_message": "Ahoy!"}}),
            ("slow", {"agent": {"first_message": "Welcome."}, "tts": {"speed": 0.8}}),
        ):
            await backend.place.sql(f"update kiosks set character = '{character}'")
            assert (await backend.ask()).json()["overrides"] == overrides
