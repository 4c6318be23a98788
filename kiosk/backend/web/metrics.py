"""Metrics of the server, for Prometheus. No routes, no SQL.

No id, no name of a kiosk and no text of anybody's is ever a label: a fleet of 20,000 has as many
series as a fleet of five.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kiosk.causes import CAUSES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PREFIX = "kiosk_backend_"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One server's figures. `provider`: what came of asking the provider last."""

    def __init__(self) -> None:
        self.provider = "not asked yet"
        self._registry = CollectorRegistry()
        self._http = self._histogram("http_request_seconds", "Answers", "route", "method", "status")
        self._mint = self._histogram("mint_seconds", "The provider's answers", "result")
        self._strangers = self._counter(
            "stranger_conversation_seconds", "Of conversations that no visit of ours had"
        )
        self._spared = self._counter("mints_spared", "Not asked of a provider that keeps failing")
        self._refusals = self._counter("refusals", "Visits refused", "reason", "scope")
        self._visits = self._counter("visits", "Visits by what became of them", "event")
        self._ended = self._counter("visits_ended", "Visits by their ending", "outcome", "verdict")
        self._webhooks = self._counter("webhooks", "Deliveries", "type", "result")
        self._minds = self._counter("mind_answers", "Answers of the mind's", "result")
        self._thought = self._histogram("mind_first_text_seconds", "Until an answer's first text")
        self._tokens = self._counter("mind_tokens", "Tokens that the mind's model took", "kind")
        self._open = self._gauge("visits_open", "Visits under way")
        self._kiosks = self._gauge("kiosks", "Kiosks by presence", "presence")
        self._minutes = self._gauge("minutes_today", "Minutes charged to the fleets today")
        self._stream = self._gauge("stream_clients", "Operators who watch")
        self._cost = self._gauge("month_cost_credits", "What this month cost the fleets so far")
        self._forecast = self._gauge("month_forecast_credits", "What it will have cost at its end")
        self._budget = self._gauge(
            "budget_used_ratio", "Of its monthly budget, by the tenant that used most; 0 without"
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self._http.labels(route, method, str(status)).observe(seconds)

    def minted(self, result: str, seconds: float) -> None:
        """The provider was asked for a credential; `result` is "ok" or the problem's slug."""
        self.provider = result
        self._mint.labels(result).observe(seconds)

    def stranger(self, seconds: float) -> None:
        """A conversation with our agent took so long, and no visit of ours had it."""
        self._strangers.inc(seconds)

    def spared(self) -> None:
        """The provider keeps failing, and was not asked for a credential."""
        self._spared.inc()

    def refused(self, reason: str, scope: str | None) -> None:
        """A visit was not let begin."""
        self._refusals.labels(reason, scope or "").inc()

    def visit(self, event: str) -> None:
        """A visit was leased, admitted, live, closed or confirmed."""
        self._visits.labels(event).inc()

    def ended(self, outcome: str, verdict: str) -> None:
        """A kiosk told how its visit ended, and what it was worth. The words are the kiosk's: one
        that nobody knows makes no series of its own."""
        self._ended.labels(outcome if outcome in CAUSES else "other", verdict).inc()

    def webhook(self, kind: str, result: str) -> None:
        """A delivery was taken, or not."""
        self._webhooks.labels(kind, result).inc()

    def mind(self, result: str, first_text_s: float | None) -> None:
        """A mind was asked: what came of it, and when its first text did, if any."""
        self._minds.labels(result).inc()
        if first_text_s is not None:
            self._thought.observe(first_text_s)

    def spent(self, kind: str, tokens: int) -> None:
        """A mind's model took so many: read, cached or written."""
        self._tokens.labels(kind).inc(tokens)

    def reckoned(self, cost: float, forecast: float, budget_used: float) -> None:
        """This month was reckoned up, in credits; `budget_used` is the largest tenant's share."""
        self._cost.set(cost)
        self._forecast.set(forecast)
        self._budget.set(budget_used)

    def render(
        self, visits_open: int, minutes_today: float, kiosks: Mapping[str, int], watchers: int
    ) -> bytes:
        """The page, with how things are at this moment."""
        self._stream.set(watchers)
        self._open.set(visits_open)
        self._minutes.set(minutes_today)
        for presence, count in kiosks.items():
            self._kiosks.labels(presence).set(count)
        return generate_latest(self._registry)

    def _histogram(self, name: str, what: str, *labels: str) -> Histogram:
        registry = self._registry
        return Histogram(_PREFIX + name, what, labels, registry=registry, buckets=_SECONDS)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(_PREFIX + name, what, labels, registry=self._registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(_PREFIX + name, what, labels, registry=self._registry)
