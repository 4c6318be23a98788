"""Scripted mind: a flow, word for word, without a model and without a network."""

from collections.abc import AsyncGenerator
from importlib import resources
from pathlib import Path

from kiosk.backend.mind.flow import Flow, read_flow, standing
from kiosk.backend.mind.port import MindTurn
from kiosk.errors import ConfigError


class ScriptedMind:
    """Says what its flow says."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow

    async def answer(self, turn: MindTurn) -> AsyncGenerator[str, None]:
        """All of it at once: there is nothing to wait for."""
        answers = [said.content for said in turn.talk if said.role == "user"]
        yield standing(self.flow, answers).says


def load_flow(name_or_path: str) -> Flow:
    """A flow that comes with the package, by its name, or a file's; raises ConfigError."""
    shipped = resources.files("kiosk.backend.mind") / "flows"
    names = sorted(
        each.name.removesuffix(".toml") for each in shipped.iterdir() if each.name.endswith(".toml")
    )
    if name_or_path in names:
        name = f"{name_or_path}.toml"
        return read_flow(name, (shipped / name).read_text("utf-8"))
    path = Path(name_or_path)
    try:
        return read_flow(str(path), path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(
            f"cannot read the flow {name_or_path}: {reason}; with the package come "
            f"{', '.join(names)}"
        ) from error
