"""What the settings say about visits, as the visit's core has it."""

import pytest

from kiosk.config import Settings
from kiosk.visit.planning import plan_of
from kiosk.visit.states import HOLD, TOGGLE, TOGGLE_CUTTING, Transitions


@pytest.mark.parametrize(("setting", "is_said"), [(True, True), (False, False), ("sign", False)])
def test_the_disclosure_is_said_unless_a_sign_says_it(setting: object, is_said: bool) -> None:
    settings = Settings.model_validate({"visit": {"disclosure": setting}})
    assert plan_of(settings).disclosure is is_said


@pytest.mark.parametrize(
    ("button", "table"),
    [
        ({}, TOGGLE),
        ({"while_speaking": "cut_turn"}, TOGGLE_CUTTING),
        ({"mode": "hold"}, HOLD),
        ({"mode": "hold", "while_speaking": "cut_turn"}, HOLD),
    ],
)
def test_the_button_chooses_the_table(button: dict[str, str], table: Transitions) -> None:
    plan = plan_of(Settings.model_validate({"button": button}))
    assert plan.table is table
    assert plan.held_button is (table is HOLD)
