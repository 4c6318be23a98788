"""Plays a plan against a backend over HTTP: every kiosk with its own token, on time, and whatever
the answer to the one before.

A latency is counted from the moment at which the request was due, so that whoever has to wait for a
place among the connections waits at the server's cost.
"""

import asyncio
import heapq
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx2

from kiosk.contract import (
    END_PATH,
    HEARTBEAT_PATH,
    IDEMPOTENCY_HEADER,
    LIVE_PATH,
    START_PATH,
    VISITS_PATH,
    read_problem,
)
from kiosk.lab.simulation.arrivals import Arrival, ArrivalKind, Run
from kiosk.lab.simulation.population import PlayedFleet, press_of
from kiosk.lab.simulation.report import Records

PRESS = "press to go-ahead"

# As long as a kiosk waits.
_PATIENCE_S = 10.0
_CONNECTIONS = 200
_LIVE_AFTER_S = 0.8
# Who was woken this much too early sleeps on; steps that follow are never nearer.
_LOOK_S = 0.05
_EVENTS = [
    {"sequence": 1, "at_s": 0.8, "what": "connected", "fields": {"input_format": "pcm_16000"}},
    {"sequence": 2, "at_s": 21.5, "what": "interrupted"},
    {"sequence": 3, "at_s": 118.0, "what": "hung_up", "fields": {"turns": 9, "silent": False}},
]
_COUNTERS = {"visits": 12, "visits_failed": 1, "connected_s": 1440.5, "xruns": 0}

# When, in which order, which kiosk, what, and of which visit.
_Step = tuple[float, int, int, ArrivalKind, str]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request: what for, and what is sent."""

    route: str
    path: str
    body: Mapping[str, object] | None = None
    key: str | None = None


class Traffic:
    """One run's requests; `records` is what came of them."""

    def __init__(self, url: str, run: Run, fleet: Sequence[PlayedFleet]) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=_CONNECTIONS)
        self._client = httpx2.AsyncClient(base_url=url, timeout=_PATIENCE_S, limits=limits)
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._run, self._fleet = run, fleet
        self._steps: list[_Step] = []
        self._numbers = itertools.count(1)
        self._beats = [0] * len(fleet)
        self.records = Records()

    async def play(self, plan: Sequence[Arrival]) -> None:
        """Everything that is due within the run, to its last answer."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for arrival in plan:
            self._then(began_s + arrival.at_s, arrival.kiosk, arrival.what)
        until_s = began_s + self._run.duration_s
        async with self._client, asyncio.TaskGroup() as tasks:
            while (now_s := loop.time()) < until_s:
                if not self._steps or self._steps[0][0] > now_s:
                    next_s = self._steps[0][0] if self._steps else until_s
                    await asyncio.sleep(min(next_s - now_s, until_s - now_s, _LOOK_S))
                    continue
                due_s, _, kiosk, what, visit_id = heapq.heappop(self._steps)
                self.records.lags_s.append(now_s - due_s)
                tasks.create_task(self._do(due_s, kiosk, what, visit_id))

    def _then(self, due_s: float, kiosk: int, what: ArrivalKind, visit_id: str = "") -> None:
        heapq.heappush(self._steps, (due_s, next(self._numbers), kiosk, what, visit_id))

    async def _do(self, due_s: float, kiosk: int, what: ArrivalKind, visit_id: str) -> None:
        match what:
            case ArrivalKind.HEARTBEAT:
                await self._ask(due_s, kiosk, self._heartbeat(kiosk))
            case ArrivalKind.LEASE:
                await self._ask(due_s, kiosk, self._lease())
            case ArrivalKind.VISIT:
                await self._visit(due_s, kiosk)
            case ArrivalKind.END:
                await self._ask(due_s, kiosk, self._end(kiosk, visit_id))

    async def _visit(self, due_s: float, kiosk: int) -> None:
        """Somebody presses. A kiosk that keeps a lease asks for the next one after the start; the
        work is the same."""
        loop = asyncio.get_running_loop()
        leased = await self._ask(due_s, kiosk, self._lease())
        if leased is None:
            return
        visit_id = str(leased.json()["visit_id"])
        press = {"press_id": _press(visit_id)}
        start = _Asked("start", START_PATH.format(visit_id=visit_id), press)
        if await self._ask(loop.time(), kiosk, start) is None:
            return
        self.records.add(PRESS, loop.time() - due_s)
        self.records.begun += 1
        await asyncio.sleep(_LIVE_AFTER_S)
        live = _Asked("live", LIVE_PATH.format(visit_id=visit_id), press)
        await self._ask(loop.time(), kiosk, live)
        self._then(loop.time() + self._run.talk_s, kiosk, ArrivalKind.END, visit_id)

    async def _ask(self, due_s: float, kiosk: int, asked: _Asked) -> httpx2.Response | None:
        """The answer, if it is a good one."""
        headers = {"Authorization": f"Bearer {self._fleet[kiosk].token.reveal()}"}
        if asked.key is not None:
            headers[IDEMPOTENCY_HEADER] = asked.key
        loop = asyncio.get_running_loop()
        try:
            async with self._places:
                answer = await self._client.post(asked.path, json=asked.body, headers=headers)
        except httpx2.HTTPError as error:
            self.records.add(asked.route, loop.time() - due_s)
            self.records.errors[f"{asked.route}: {type(error).__name__}"] += 1
            return None
        self.records.add(asked.route, loop.time() - due_s)
        if answer.is_success:
            return answer
        problem = read_problem(answer.content) or "no problem document"
        if answer.status_code < 500 and asked.route in ("lease", "start"):
            self.records.refused[problem] += 1
        self.records.errors[f"{asked.route}: {answer.status_code} {problem}"] += 1
        return None

    def _lease(self) -> _Asked:
        return _Asked("lease", VISITS_PATH, None, f"lease-{next(self._numbers)}")

    def _heartbeat(self, kiosk: int) -> _Asked:
        self._beats[kiosk] += 1
        body: dict[str, object] = {
            "boot_id": f"boot-{self._run.seed}-{kiosk}",
            "sequence": self._beats[kiosk],
            "state": "idle",
            "version": "0.1.0",
            "counters": _COUNTERS,
        }
        return _Asked("heartbeat", HEARTBEAT_PATH, body)

    def _end(self, kiosk: int, visit_id: str) -> _Asked:
        held = self._fleet[kiosk]
        body: dict[str, object] = {
            "press_id": _press(visit_id) if visit_id else press_of(held.name),
            "outcome": "hung_up",
            "duration_s": self._run.talk_s,
            "events": _EVENTS,
        }
        return _Asked("end", END_PATH.format(visit_id=visit_id or held.visit_id), body)


def _press(visit_id: str) -> str:
    return f"press-{visit_id}"
