"""Files that a mind is made of: flows and personas, by the name of one of ours or an operator's."""

from importlib import resources
from pathlib import Path

from kiosk.backend.mind.flow import Flow, read_flow
from kiosk.backend.mind.persona import Persona, read_persona
from kiosk.base.toml_lines import parse_toml
from kiosk.errors import ConfigError


def load_flow(name_or_path: str) -> Flow:
    """A flow that comes with the package, by its name, or a file's; raises ConfigError."""
    made_of = load_flow_or_persona(name_or_path)
    if isinstance(made_of, Persona):
        raise ConfigError(f"{name_or_path} is a persona; here a flow is needed, a file of topics")
    return made_of


def load_flow_or_persona(name_or_path: str) -> Flow | Persona:
    """The same; a file with a table `model` is a persona. Raises ConfigError."""
    name, text = _found(name_or_path)
    if "model" in parse_toml(name, text):
        return read_persona(name, text)
    return read_flow(name, text)


def _found(name_or_path: str) -> tuple[str, str]:
    """Its name for people, and its text."""
    shipped = resources.files("kiosk.backend.mind") / "flows"
    names = sorted(
        each.name.removesuffix(".toml") for each in shipped.iterdir() if each.name.endswith(".toml")
    )
    if name_or_path in names:
        name = f"{name_or_path}.toml"
        return name, (shipped / name).read_text("utf-8")
    try:
        return name_or_path, Path(name_or_path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(
            f"cannot read the flow {name_or_path}: {reason}; with the package come "
            f"{', '.join(names)}"
        ) from error
