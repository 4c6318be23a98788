"""What stands in files beside the code and must agree with it."""

import re
from pathlib import Path

import pytest

from kiosk.causes import CAUSES, WARNING
from kiosk.ops.messages import catalog
from kiosk.visit.languages import load_language
from kiosk.visit.states import TOGGLE

ROOT = Path(__file__).parent.parent


def state_table() -> str:
    """The README's table of states, from the code."""
    rows = [
        f"| {state} | {event} | {then} | {', '.join(actions).replace('_', ' ')} |"
        for state, cells in TOGGLE.items()
        for event, (then, actions) in cells.items()
    ]
    return "\n".join(rows)


def test_the_readmes_table_of_states_is_the_codes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"|---|---|---|---|\n{state_table()}\n<!-- end of the table -->" in readme, (
        "paste this into README.md:\n" + state_table()
    )


def cause_table() -> str:
    """The README's table of apologies, from the table of causes and the English sentences."""
    sentences, rows = load_language("en").sentences, dict[tuple[str, str], list[str]]()
    for cause, meaning in CAUSES.items():
        if meaning.sentence is not None and meaning.severity <= WARNING:
            rows.setdefault((sentences[meaning.sentence], meaning.remedy), []).append(cause)
    return "\n".join(
        f"| {sentence} | {' '.join(f'`{cause}`' for cause in causes)} | {remedy} |"
        for (sentence, remedy), causes in sorted(rows.items())
    )


def test_the_readmes_table_of_apologies_is_the_codes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"|---|---|---|\n{cause_table()}\n<!-- end of the causes -->" in readme, (
        "paste this into README.md:\n" + cause_table()
    )


def test_the_journal_catalog_is_made_from_the_table_of_messages() -> None:
    assert (ROOT / "systemd" / "kiosk.catalog").read_text(encoding="utf-8") == catalog()


@pytest.mark.parametrize(
    ("name", "fewest"),
    [("requirements.txt", 11), ("requirements-dev.txt", 11), ("requirements-bench.txt", 1)],
)
def test_a_lock_has_hashes_and_no_addresses(name: str, fewest: int) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    pinned = re.findall(r"^[a-z0-9-]+==.*(?:\n    .*)*", text, flags=re.MULTILINE)
    assert len(pinned) >= fewest
    assert all("--hash=sha256:" in requirement for requirement in pinned)


def test_the_readme_shows_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "    make demo\n" in readme
    assert "    make test " in readme
