"""Rules and dashboard speak of metrics that there are, and a line of the page of each rule."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from kiosk.backend.web.metrics import Metrics
from kiosk.listeners.metrics import KioskMetrics
from kiosk.listeners.visit_record import FIELDS, LOSSES, VisitRecords
from kiosk.measures import Measures
from kiosk.moments import FieldValue, What
from tests.moments import a_moment

HERE = Path(__file__).parents[1] / "deploy"
RULES = HERE / "prometheus" / "kiosk.rules.yml"
DASHBOARD = HERE / "prometheus" / "dashboard.json"

PROMTOOL = Path(sys.executable).parent / "promtool"

needs_promtool = pytest.mark.skipif(not PROMTOOL.exists(), reason="make promtool fetches it")


def page(directory: Path, *, visits: int = 1) -> str:
    """The file of a kiosk that held visits."""
    measures = Measures()
    measures.mic_to_wire.add(20.0)
    measures.wire_to_speaker.add(90.0)
    counters = dict.fromkeys(LOSSES, 0)
    records = VisitRecords(lambda: measures, lambda: counters, 0.6)
    metrics = KioskMetrics(
        records,
        lambda: {"state": "idle", "cause": "no_network", "peak_dbfs": -20.0, "room_dbfs": None},
        lambda: {
            "visits": 3.0, "visits_failed": 0.0, "microphone_xruns": 2.0, "speaker_xruns": 0.0,
            "leases": 1.0, "uptime_s": 3600.0, "temperature_c": 51.5,
        },
        lambda: measures,
    )  # fmt: skip
    ended: dict[str, FieldValue] = {"kind": "hung_up", "severity": 6, "code": None, "detail": ""}
    for number in range(visits):
        at_s = 100.0 + 100 * number
        for moment in (
            a_moment(What.PRESSED, at_s),
            a_moment(What.VISIT_STARTED, at_s, {"press_id": f"p{number}"}),
            a_moment(What.STATE, at_s + 0.3, {"state": "listening"}),
            a_moment(What.CONNECTED, at_s + 0.3),
            a_moment(What.SPEECH_STARTED, at_s + 1),
            a_moment(What.SPEECH_ENDED, at_s + 3),
            a_moment(What.TRANSCRIPT, at_s + 3, words="marzipan"),
            a_moment(What.AGENT_HEARD, at_s + 3.5),
            a_moment(What.LINK, at_s + 40, {"round_trip_ms": 45.0, "sent_segments": 900}),
            a_moment(What.VISIT_ENDED, at_s + 40, ended),
        ):
            records.observe(moment)
            metrics.observe(moment)
    file = directory / "kiosk.prom"
    metrics.write(file)
    return file.read_text("utf-8")


def value(text: str, name: str) -> float:
    [found] = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found)


def names(text: str) -> set[str]:
    """The metrics of an exposition, with the series of histograms."""
    return set(re.findall(r"^(\w+)(?:\{| )", text, re.MULTILINE))


def used(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:kiosk|node)_\w+", expression))


def rules() -> Iterator[dict[str, str]]:
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]:
        yield from group["rules"]


def test_a_visit_is_counted_and_timed(tmp_path: Path) -> None:
    text = page(tmp_path, visits=3)
    assert value(text, "kiosk_button_presses_total") == 3
    assert value(text, 'kiosk_visits_ended_total{ending="hung_up",verdict="good"}') == 3
    assert value(text, 'kiosk_connections_total{result="open"}') == 3
    assert value(text, "kiosk_segments_sent_total") == 2700
    assert value(text, "kiosk_response_latency_seconds_count") == 3
    # From the last voiced sample, which was before the gate closed.
    assert value(text, "kiosk_response_latency_seconds_sum") == pytest.approx(3 * 1.1)
    assert value(text, "kiosk_setup_seconds_sum") == pytest.approx(0.9)
    assert value(text, "kiosk_round_trip_seconds_sum") == pytest.approx(0.135)


def test_how_the_kiosk_stands_is_told(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert value(text, 'kiosk_state{state="idle"}') == 1
    assert value(text, 'kiosk_state{state="listening"}') == 0
    assert value(text, 'kiosk_unfit{cause="no_network"}') == 1
    assert value(text, 'kiosk_level_dbfs{of="peak"}') == -20
    assert value(text, 'kiosk_own_share_seconds{percentile="99",way="wire_to_speaker"}') == 0.09
    assert value(text, "kiosk_microphone_xruns_total") == 2
    assert value(text, "kiosk_temperature_celsius") == 51.5


def test_no_word_and_no_id_is_a_metric(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert "marzipan" not in text
    assert "p0" not in text
    assert set(FIELDS) & {"press_id", "conversation_id"} == set()


def test_every_metric_that_is_asked_for_exists(tmp_path: Path) -> None:
    backend = Metrics()
    backend.request("/v1/visits", "POST", 200, 0.1)
    backend.minted("ok", 0.1)
    text = page(tmp_path) + backend.render(0, 0.0, {"online": 1}, 0).decode()
    asked = {name for rule in rules() for name in used(rule["expr"])}
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            asked |= used(target["expr"])
    asked -= {"node_textfile_mtime_seconds", "kiosk_backend"}
    assert asked - names(text) == set()


def test_every_alert_has_its_line_in_the_page() -> None:
    lines = (HERE / "monitoring.md").read_text("utf-8")
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert set(re.findall(r"^\| `(Kiosk\w+)` \|", lines, re.MULTILINE)) == alerts


@needs_promtool
@pytest.mark.wide
def test_the_rules_alert_when_they_should() -> None:
    for command in (["check", "rules", RULES.name], ["test", "rules", "kiosk.test.yml"]):
        ran = subprocess.run(
            [PROMTOOL, *command], cwd=RULES.parent, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_promtool
@pytest.mark.wide
def test_every_alert_is_tried() -> None:
    tests = yaml.safe_load((RULES.parent / "kiosk.test.yml").read_text("utf-8"))["tests"]
    fired = {each["alertname"] for test in tests for each in test["alert_rule_test"]
             if each["exp_alerts"]}  # fmt: skip
    assert fired == {rule["alert"] for rule in rules() if "alert" in rule}


@needs_promtool
@pytest.mark.wide
def test_prometheus_has_nothing_to_say_of_the_file(tmp_path: Path) -> None:
    ran = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=page(tmp_path), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
