"""Metrics of a kiosk, for Prometheus: a text file that node_exporter's textfile collector reads.

Imported only where the settings want the file. No id and no text of anybody's is ever a label.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kiosk import __version__
from kiosk.base.files import OneAtATime, write_whole
from kiosk.causes import CAUSES, fault
from kiosk.contract import Worth
from kiosk.endings import Kind
from kiosk.listeners.verdicts import SIGNS, VISITOR_LEFT
from kiosk.listeners.visit_record import VisitRecords, VisitSummary
from kiosk.measures import Latencies, Measures
from kiosk.moments import (
    ButtonPressed,
    ConversationConnected,
    ConversationLost,
    FieldValue,
    Moment,
    VisitEnded,
)
from kiosk.visit.states import State

log = logging.getLogger(__name__)

PREFIX = "kiosk_"
_EVERY_S = 15.0
_READABLE = 0o644  # there is nothing in it that is anybody's
_SECONDS = (0.1, 0.2, 0.3, 0.5, 0.8, 1, 1.5, 2, 3, 5, 8)
# What the rules count from its first event on.
_ALERTED = (Kind.QUOTA, Kind.NO_MINUTES_LEFT, Kind.BUSY)
_FAULTS = (
    "microphone_lost",
    "microphone_silent",
    "microphone_muted",
    "speaker_lost",
    "button_stuck",
    "button_flutters",
)
_LENGTHS = (10, 30, 60, 120, 300, 600, 1800)

# Counted from the figures of each visit, with its part of a second.
_ADDED: dict[str, tuple[str, str, float]] = {
    "turns": ("turns", "Turns of visitors'", 1),
    "interruptions": ("interruptions", "Turns of the agent's that visitors cut", 1),
    "gaps": ("agent_gaps", "Gaps in the agent's sound", 1),
    "gaps_ms": ("agent_gap_seconds", "How long they were", 0.001),
    "sent_segments": ("segments_sent", "TCP segments with data, sent to the agent", 1),
    "resent_segments": ("segments_resent", "TCP segments that were sent again", 1),
    "sent_packets": ("packets_sent", "Packets of visitors' sound, over WebRTC", 1),
    "lost_packets": ("packets_lost", "Packets of visitors' sound that were lost", 1),
    "received_packets": ("packets_received", "Packets of the agent's sound, over WebRTC", 1),
    "missed_packets": ("packets_missed", "Packets of the agent's sound that were lost", 1),
    "concealed_ms": ("concealed_seconds", "Sound of the agent's made up in their place", 0.001),
    "tools_failed": ("tools_failed", "Calls of tools that failed", 1),
}
_TIMED: dict[str, tuple[str, str]] = {
    "lease_ms": ("lease_seconds", "From the press until a lease is in hand"),
    "listening_ms": ("setup_seconds", "From the press until the agent listens"),
    "round_trip_ms": ("round_trip_seconds", "Round trip of a conversation's connection"),
}


class KioskMetrics:
    """An observer of moments. `records` observes them before it; the functions tell how the kiosk
    stands when the file is written: `status`, `counters` since the start, `measures`."""

    def __init__(
        self,
        records: VisitRecords,
        status: Callable[[], Mapping[str, object]],
        counters: Callable[[], Mapping[str, float]],
        measures: Callable[[], Measures],
    ) -> None:
        self._records = records
        self._registry = CollectorRegistry()
        self._presses = self._counter("button_presses", "Presses of the button")
        self._connections = self._counter("connections", "Conversations", "result")
        self._ended = self._counter("visits_ended", "Visits by ending", "ending", "verdict")
        self._spoilt = self._counter("visits_spoilt", "What was not good in visits", "cause")
        # A counter that comes into being with its first event shows no increase by it.
        for cause in (*(sign.cause for sign in SIGNS), VISITOR_LEFT):
            self._spoilt.labels(cause)
        for kind in _ALERTED:
            self._ended.labels(kind, "lost")
        self._verdicts = self._counter("visit_verdicts", "Visits by verdict", "verdict")
        for worth in get_args(Worth):
            self._verdicts.labels(worth)
        self._faults = self._counter("faults", "Entries of the journal by their cause", "cause")
        for cause in _FAULTS:
            self._faults.labels(cause)
        self._answers = self._histogram(
            "response_latency_seconds",
            "From the last voiced sample of a turn to the first audible one of its answer",
        )
        self._lengths = self._histogram("visit_seconds", "Length of visits", _LENGTHS)
        self._timed = {
            figure: self._histogram(name, what) for figure, (name, what) in _TIMED.items()
        }
        self._added = {
            figure: (self._counter(name, what), unit)
            for figure, (name, what, unit) in _ADDED.items()
        }
        self._registry.register(_Standing(status, counters, measures))

    def observe(self, moment: Moment) -> None:
        match moment:
            case ButtonPressed():
                self._presses.inc()
            case ConversationConnected():
                self._connections.labels("open").inc()
            case ConversationLost():
                self._connections.labels("lost").inc()
            case VisitEnded():
                if (record := self._records.of(None)) is not None:
                    self._visit_ended(record)

    def count_fault(self, record: logging.LogRecord) -> bool:
        """A filter of log records, which counts the causes of faults and lets all pass."""
        cause = getattr(record, "journal", {}).get("KIOSK_CAUSE")
        if cause in CAUSES:
            self._faults.labels(cause).inc()
        return True

    async def keep(self, path: Path) -> None:
        """Write the file again and again, until cancelled. A disk that hangs is waited for: one
        thread does, and there is no other try."""
        files, failed = OneAtATime(), False
        while True:
            try:
                await files.do(lambda: self.write(path))
                failed = False
            except (OSError, RuntimeError) as error:  # the second: no thread is left
                if not failed:
                    reason = error.strerror if isinstance(error, OSError) else str(error)
                    log.warning(
                        "metrics.textfile: %s cannot be written: %s",
                        path,
                        reason,
                        extra=fault("metrics_unwritten"),
                    )
                failed = True
            await asyncio.sleep(_EVERY_S)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all; raises OSError."""
        write_whole(path, generate_latest(self._registry).decode(), _READABLE)

    def _visit_ended(self, record: VisitSummary) -> None:
        verdict, figures = record.verdict, record.figures
        self._ended.labels(record.kind, verdict.worth).inc()
        self._verdicts.labels(verdict.worth).inc()
        if verdict.cause is not None:
            self._spoilt.labels(verdict.cause).inc()
        self._lengths.observe(_number(figures.get("duration_s")))
        for answer_ms in record.answers_ms:
            self._answers.observe(answer_ms / 1000)
        for figure, histogram in self._timed.items():
            if figures.get(figure) is not None:
                histogram.observe(_number(figures[figure]) / 1000)
        for figure, (counter, unit) in self._added.items():
            counter.inc(_number(figures.get(figure)) * unit)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, what, labels, registry=self._registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
        return Histogram(PREFIX + name, what, registry=self._registry, buckets=buckets)


class _Standing(Collector):
    """How the kiosk stands at this moment, and what it counts anyway."""

    _LEVELS = ("peak_dbfs", "speech_dbfs", "room_dbfs")
    _GAUGES = ("leases", "untold_reports", "temperature_c", "uptime_s")

    def __init__(
        self,
        status: Callable[[], Mapping[str, object]],
        counters: Callable[[], Mapping[str, float]],
        measures: Callable[[], Measures],
    ) -> None:
        self._status = status
        self._counters = counters
        self._measures = measures

    def collect(self) -> Iterable[Metric]:
        status = self._status()
        yield _labelled("build_info", "The kiosk's release", "version", {__version__: 1})
        states = {each.value: float(each == status.get("state")) for each in State}
        yield _labelled("state", "1 for the state of the visit", "state", states)
        cause = status.get("cause")
        unfit = {} if cause is None else {str(cause): 1.0}
        yield _labelled("unfit", "1 for why no visit can be held", "cause", unfit)
        levels = {
            name.removesuffix("_dbfs"): value
            for name in self._LEVELS
            if isinstance(value := status.get(name), int | float)
        }
        yield _labelled("level_dbfs", "What the microphone hears", "of", levels)
        yield self._own_shares()
        yield from self._counted()

    def _counted(self) -> Iterator[Metric]:
        for name, value in self._counters().items():
            if name in self._GAUGES:
                name = {"temperature_c": "temperature_celsius", "uptime_s": "uptime_seconds"}.get(
                    name, name
                )
                yield GaugeMetricFamily(PREFIX + name, name.replace("_", " "), value)
            else:
                yield CounterMetricFamily(PREFIX + name, name.replace("_", " "), value)

    def _own_shares(self) -> Metric:
        family = GaugeMetricFamily(
            f"{PREFIX}own_share_seconds",
            "The kiosk's own part of an answer, of the newest samples",
            labels=("way", "percentile"),
        )
        measures = self._measures()
        ways: dict[str, Latencies] = {
            "mic_to_wire": measures.mic_to_wire,
            "wire_to_speaker": measures.wire_to_speaker,
        }
        for way, latencies in ways.items():
            for percent in (50, 99):
                if (value := latencies.percentile(percent)) is not None:
                    family.add_metric((way, str(percent)), value / 1000)
        return family


def _labelled(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, what, labels=(label,))
    for each, value in values.items():
        family.add_metric((each,), value)
    return family


def _number(value: FieldValue) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
