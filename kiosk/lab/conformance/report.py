"""The report on a client over all its connections: the gravest verdict on each rule. Pure: no I/O.

A client that dies at one probe is examined on when it comes back.
"""

from collections import Counter

from kiosk.convai.fields import Json
from kiosk.lab.conformance.figures import printable
from kiosk.lab.conformance.record import ConnectionRecord
from kiosk.lab.conformance.rules import RULES, survived
from kiosk.lab.conformance.verdicts import Judgement, RuleVerdict, unseen

_GRAVITY = list(RuleVerdict)
_MEASURED = 44  # characters that most of what is measured fits


class ConformanceReport:
    """Grows by a record for each connection that ended."""

    def __init__(self) -> None:
        self.connections = 0
        self.judgements: dict[str, Judgement] = {rule.name: unseen("not yet") for rule in RULES}
        # Probes that a client survived or died of need not be played again.
        self.settled: set[str] = set()
        self._client: dict[str, str] = {}
        self._ranks: dict[str, tuple[int, int]] = {}

    def add(self, record: ConnectionRecord) -> None:
        self.connections += 1
        for rule in RULES:
            self._keep(rule.name, rule.judge(record), record.frames)
        self._settle(record)
        client = {
            "source": record.source,
            "version": record.version,
            "user_agent": record.user_agent,
        }
        self._client.update({name: printable(value) for name, value in client.items() if value})

    def verdicts(self, verdict: RuleVerdict) -> list[str]:
        """The rules that came to it, in their order."""
        return [name for name, judged in self.judgements.items() if judged.verdict is verdict]

    @property
    def ok(self) -> bool:
        return not self.verdicts(RuleVerdict.FAIL)

    @property
    def full_marks(self) -> bool:
        return self.ok and not self.verdicts(RuleVerdict.WARN)

    def as_json(self) -> dict[str, Json]:
        rules: list[Json] = [
            {
                "rule": rule.name,
                "verdict": self.judgements[rule.name].verdict.value,
                "measured": self.judgements[rule.name].measured,
                "reference": rule.reference,
            }
            for rule in RULES
        ]
        client: dict[str, Json] = {**self._client, "connections": self.connections}
        return {"client": client, "rules": rules, "ok": self.ok}

    def lines(self) -> list[str]:
        """For people: the gravest first, a line each, and the sums."""
        width = max(len(rule.name) for rule in RULES)
        lines = [
            f"{verdict:6}  {rule.name:{width}}  {judged.measured:{_MEASURED}}  [{rule.reference}]"
            for verdict in RuleVerdict
            for rule in RULES
            if (judged := self.judgements[rule.name]).verdict is verdict
        ]
        counts = Counter(judged.verdict for judged in self.judgements.values())
        sums = ", ".join(f"{counts[verdict]} {verdict}" for verdict in RuleVerdict)
        who = ", ".join(self._client.values()) or "a client that says nothing of itself"
        times = "once" if self.connections == 1 else f"{self.connections} times"
        return [*lines, f"{len(RULES)} rules: {sums}; connected {times}: {who}"]

    def _keep(self, name: str, judged: Judgement, frames: int) -> None:
        """The gravest counts; of equal ones that of the connection that showed most."""
        rank = (-_GRAVITY.index(judged.verdict), frames)
        if rank >= self._ranks.get(name, (-len(_GRAVITY), 0)):
            self._ranks[name] = rank
            self.judgements[name] = judged

    def _settle(self, record: ConnectionRecord) -> None:
        for probe in record.played:
            verdict = self.judgements[f"survives_{probe.name}"].verdict
            if survived(record, probe) or verdict is not RuleVerdict.UNSEEN:
                self.settled.add(probe.name)
