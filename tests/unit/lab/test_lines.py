"""What the demo's visitor says."""

from kiosk.backend.mind.flow import read_flow, standing
from kiosk.lab.demo.lines import hears, through

FLOW = read_flow(
    "flow.toml",
    """
name = "all"
greeting = "Hello."
summary = "{when} {who} {wish}"
farewell = "Goodbye."
unknown = "-"

[[topic]]
key = "visit"
ask = "When, and who?"
stay = "When, and who?"
facts = {when = ["Today", "tomorrow"], who = ["alone"]}
next = "wish"

[[topic]]
key = "left_out"
ask = "?"
stay = "?"
facts = {never = ["never"]}

[[topic]]
key = "wish"
ask = "What do you wish?"
stay = "Say more."
longer_than = 10
report = true

[[topic]]
key = "long"
ask = "Tell me all."
stay = "More!"
longer_than = 200
most_turns = 3
""",
)


def test_a_visitor_goes_through_any_flow() -> None:
    lines = through(FLOW)
    said = [line.text or "" for line in lines]
    assert [line.name for line in lines] == ["visit", "visit", "wish", "long", "long", "long"]
    assert said[:2] == ["today", "alone"]
    assert standing(FLOW, said).topic is None
    assert all(text in hears(FLOW) for text in said)
