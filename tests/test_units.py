"""What the units say to systemd."""

from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # published without annotations

ROOT = Path(__file__).parent.parent
UNITS = ROOT / "systemd"


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


RESTARTED = [
    unit
    for unit in sorted(UNITS.glob("*.service"))
    if any(line.startswith("Restart=") for line in lines(unit))
    and any(line.startswith("OnFailure=") for line in lines(unit))
]


def test_the_units_that_are_restarted_are_found() -> None:
    assert {unit.stem for unit in RESTARTED} == {"kiosk", "kiosk-backend", "kiosk-watch"}


@pytest.mark.parametrize("unit", RESTARTED, ids=lambda unit: unit.stem)
def test_only_what_is_not_started_again_is_reported_as_down(unit: Path) -> None:
    """systemd 254 and later have OnFailure= at each restart otherwise; 252 does not know the key,
    and needs none."""
    drop_in = UNITS / f"{unit.name}.d" / "10-trixie.conf"
    assert "RestartMode=direct" in lines(drop_in)
    assert not [line for line in lines(unit) if line.startswith("RestartMode=")]


def test_every_service_that_is_installed_gets_its_drop_in() -> None:
    tasks = ROOT / "deploy" / "roles" / "release" / "tasks"
    included = [
        task.get("ansible.builtin.include_tasks")
        for task in yaml.safe_load((tasks / "switch.yml").read_text(encoding="utf-8"))
    ]
    assert "drop_in.yml" in included
    *_, link = yaml.safe_load((tasks / "drop_in.yml").read_text(encoding="utf-8"))
    assert link["ansible.builtin.file"]["dest"].endswith(
        "/{{ release_service }}.service.d/10-trixie.conf"
    )


# They end, or wait for the next night, where there is no network.
TRY_ONCE = {"kiosk-backend.service", "kiosk-pull.service.j2"}


def test_what_tries_again_by_itself_does_not_wait_for_the_network_or_the_clock() -> None:
    """A kiosk without a network is there from the start, and says so."""
    units = [
        *UNITS.glob("*.service"),
        *(ROOT / "deploy" / "roles").glob("*/templates/*.service.j2"),
    ]
    waiting = {
        unit.name
        for unit in units
        for line in lines(unit)
        if line.startswith(("After=", "Wants=", "Requires="))
        and {"network-online.target", "time-sync.target"} & set(line.partition("=")[2].split())
    }
    assert waiting == TRY_ONCE
