"""Fixtures for whole paths: the virtual card, the local agent, a running daemon."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from kiosk.agent.guide import Guide, load_guide
from kiosk.agent.recogniser import Recogniser
from kiosk.agent.server import AgentSettings, LocalAgent
from tests import rig as rigs
from tests.lockstep import is_in_lockstep


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is not in virtual time needs the machine's: `make test-wide`."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and not is_in_lockstep(getattr(item, "function", None)):
            item.add_marker(pytest.mark.wide)


AgentEvents = list[dict[str, object]]


@pytest.fixture(scope="session")
def guide() -> Guide:
    return load_guide()


@pytest.fixture(scope="session")
def recogniser(guide: Guide) -> Recogniser:
    return Recogniser(guide.jsgf(), guide.ignore)


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory whose path is short enough for a Unix socket's name."""
    directory = Path(tempfile.mkdtemp(prefix="kiosk-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def rig(short_dir: Path) -> Iterator[rigs.Rig]:
    """A virtual sound card; skipped, with the reason, where it cannot be had."""
    if reason := rigs.missing():
        pytest.skip(reason)
    directory = short_dir / "rig"
    directory.mkdir()
    card = rigs.start(directory)
    yield card
    card.stop()


StartAgent = Callable[..., AbstractAsyncContextManager[tuple[str, AgentEvents]]]


@pytest.fixture
def start_agent(guide: Guide, recogniser: Recogniser) -> StartAgent:
    """`async with start_agent(**settings) as (url, events)`: a local agent in this loop."""

    @asynccontextmanager
    async def start(
        its_guide: Guide | None = None, its_recogniser: Recogniser | None = None, **settings: object
    ) -> AsyncIterator[tuple[str, AgentEvents]]:
        events: AgentEvents = []
        agent = LocalAgent(
            AgentSettings(port=0, **settings),  # type: ignore[arg-type]
            its_guide or guide,
            its_recogniser or recogniser,
            events.append,
        )
        async with agent.listening() as url:
            yield url, events

    return start
