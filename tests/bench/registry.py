"""What is measured, in its order: latencies first, while nothing else runs; the sweeps, which only
compute, at last and side by side."""

import sys
import time
import traceback
from functools import partial

from kiosk.errors import KioskError
from tests.bench import (
    agent,
    coughs,
    echo_sweep,
    gates,
    instructions,
    latency,
    machine,
    resampling,
    roads,
    stages,
    visits,
)
from tests.bench.figures import AT_MOST, Figure, Measurement

PARTS: dict[str, Measurement] = {
    "latency": latency.figures,
    "share": visits.share_figures,
    "press": visits.press_figures,
    "dead-peer": visits.death_figures,
    "agent": agent.figures,
    "idle": machine.idle_figures,
    "conversation": machine.conversation_figures,
    "stages": stages.figures,
    "instructions": instructions.figures,
    "roads": roads.figures,
}
# Cut so small, and the longest first, that two cores are done with them at about the same time.
SWEEPS: dict[str, Measurement] = {
    "echo-alone": echo_sweep.alone_figures,
    "understood-far": partial(echo_sweep.understood_figures, "RT60 1 s", 1.0, None),
    "understood-babble": partial(echo_sweep.understood_figures, "babble 10 dB", None, 10.0),
    "understood-clean": partial(echo_sweep.understood_figures, "clean", None, None),
    "understood-near": partial(echo_sweep.understood_figures, "RT60 0.3 s", 0.3, None),
    "echo-barge-in": echo_sweep.barge_in_figures,
    "echo-both-talk": echo_sweep.both_talk_figures,
    "gate": gates.figures,
    "coughs": coughs.figures,
    "echo-loss": echo_sweep.loss_figures,
    "resampling": resampling.figures,
}


def timed(name: str, measurement: Measurement) -> list[Figure]:
    """The figures of one part; one that could not be had if it fails, and the others go on."""
    began_s = time.monotonic()
    _tell(f"measuring {name} ...")
    try:
        figures = list(measurement())
    except (AssertionError, OSError, RuntimeError, KioskError):
        traceback.print_exc()
        figures = [Figure(f"{name}: failed", "", None, AT_MOST(0))]
    _tell(f"measured {name} in {time.monotonic() - began_s:.0f} s")
    return figures


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
