"""Values set in a configuration file, which stays what it was else."""

import tomllib

import pytest

from kiosk.config.amending import amended
from kiosk.errors import ConfigError

FILE = """# The lobby's kiosk, by Ana.
[kiosk]
name = "lobby"   # on the wall

[capture]
device = "USB #1"  # the left one
# channel = 1
rate_hz = 48000

[playback]   # active speaker
volume = 80
"""


def test_a_value_is_replaced_and_its_comment_stays() -> None:
    new = amended("x", FILE, {"playback.volume": 64, "capture.device": 'a "b" \\ c'})
    assert "volume = 64\n" in new
    assert 'device = "a \\"b\\" \\\\ c"  # the left one\n' in new
    pairs = zip(FILE.split("\n"), new.split("\n"), strict=True)
    assert sum(old != its for old, its in pairs) == 2


def test_a_key_that_is_not_there_comes_into_its_table() -> None:
    new = amended("x", FILE, {"capture.channel": 2, "capture.channels": 2})
    assert tomllib.loads(new)["capture"]["channel"] == 2
    assert set(FILE.splitlines()) <= set(new.splitlines())


def test_a_table_that_is_not_there_comes_at_the_end() -> None:
    new = amended("x", FILE, {"echo.mode": "half_duplex", "gain.fixed_db": -3.5})
    assert new.startswith(FILE)
    assert tomllib.loads(new)["echo"] == {"mode": "half_duplex"}
    assert tomllib.loads(new)["gain"] == {"fixed_db": -3.5}
    assert tomllib.loads(amended("x", "", {"echo.mode": "off"})) == {"echo": {"mode": "off"}}


@pytest.mark.parametrize("text", ["capture.rate_hz = 1 # x\n", "a = 1\n[capture]\nrate_hz = 1"])
def test_other_ways_to_write_a_key_and_an_end_without_a_line_are_understood(text: str) -> None:
    assert tomllib.loads(amended("x", text, {"capture.rate_hz": 2}))["capture"]["rate_hz"] == 2


@pytest.mark.parametrize(
    "text",
    [
        'capture = {device = "x", rate_hz = 1}\n',
        "capture.device = 1\n",
        '[capture]\nrate_hz = """\n1"""\n',
    ],
)
def test_what_cannot_be_done_safely_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write the lines yourself"):
        amended("x", text, {"capture.rate_hz": 2})


def test_a_mistake_in_the_file_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError, match="line 2"):
        amended("x", "[capture]\nrate_hz = \n", {"capture.rate_hz": 2})
