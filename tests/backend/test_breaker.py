"""A provider that keeps failing is asked now and then only, and whoever waits is told how long."""

import pytest
from starlette.responses import JSONResponse

from kiosk.backend.provider.breaker import (
    FAILURES,
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    WITHIN_S,
    Breaker,
)

from .conftest import Backend
from .test_ledger import problem

on_sqlite = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
QUOTA = JSONResponse({"detail": {"status": "quota_exceeded"}}, 429)


def fail(breaker: Breaker, at_s: float, times: int = FAILURES) -> None:
    for _ in range(times):
        assert breaker.wait_s(at_s) == 0
        breaker.failed(at_s)


def test_it_opens_after_so_many_failures_in_so_short_a_time() -> None:
    breaker = Breaker()
    fail(breaker, 0, FAILURES - 1)
    assert not breaker.is_open
    fail(breaker, WITHIN_S + 1, 1)  # the first ones are too long ago
    assert not breaker.is_open
    fail(breaker, WITHIN_S + 2, FAILURES - 2)
    assert not breaker.is_open
    fail(breaker, WITHIN_S + 3, 1)
    assert breaker.is_open
    assert breaker.wait_s(WITHIN_S + 3) == FIRST_WAIT_S


def test_an_answer_between_failures_begins_the_count_anew() -> None:
    breaker = Breaker()
    fail(breaker, 0, FAILURES - 1)
    breaker.answered()
    fail(breaker, 1, FAILURES - 1)
    assert not breaker.is_open


def test_one_question_is_let_through_and_the_wait_doubles_to_its_longest() -> None:
    breaker, now_s = Breaker(), 0.0
    fail(breaker, now_s)
    waits = []
    for _ in range(7):
        wait_s = breaker.wait_s(now_s)
        waits.append(wait_s)
        now_s += wait_s
        assert breaker.wait_s(now_s) == 0  # the trial
        assert breaker.wait_s(now_s) > 0  # and nobody else meanwhile
        breaker.failed(now_s)
    assert waits == [5, 10, 20, 40, 60, 60, LONGEST_WAIT_S]
    assert breaker.wait_s(now_s + LONGEST_WAIT_S) == 0
    breaker.answered()
    assert not breaker.is_open
    assert breaker.wait_s(now_s) == 0
    fail(breaker, now_s)
    assert breaker.wait_s(now_s) == FIRST_WAIT_S


def test_questions_that_were_under_way_when_it_opened_make_nobody_wait_longer() -> None:
    breaker = Breaker()
    for _ in range(3 * FAILURES):
        assert breaker.wait_s(0) == 0
    for _ in range(3 * FAILURES):
        breaker.failed(1)
    assert breaker.wait_s(1) == FIRST_WAIT_S


def test_a_trial_of_which_nothing_is_heard_is_followed_by_another() -> None:
    breaker = Breaker()
    fail(breaker, 0)
    assert breaker.wait_s(FIRST_WAIT_S) == 0
    assert breaker.wait_s(2 * FIRST_WAIT_S) == 0


@on_sqlite
async def test_a_provider_that_refuses_is_asked_five_times_and_not_150(backend: Backend) -> None:
    backend.fake.answer = QUOTA
    for number in range(150):
        answer = await backend.ask()
        assert (answer.status_code, problem(answer)) == (429, "provider-quota")
        # The first are refused by the provider itself, which names no time.
        assert int(answer.headers["Retry-After"]) <= (30 if number < FAILURES else FIRST_WAIT_S)
    assert len(backend.fake.requests) == FAILURES
    page = backend.services.metrics.render(0, 0, {}, 0).decode()
    assert f"kiosk_backend_mints_spared_total {150 - FAILURES}.0" in page
    counted = f'kiosk_backend_mint_seconds_count{{result="provider-quota"}} {FAILURES}.0'
    assert counted in page


@on_sqlite
async def test_one_kiosk_that_asks_for_an_agent_that_is_not_there_shuts_nobody_out(
    backend: Backend,
) -> None:
    backend.fake.answer = JSONResponse({"detail": "no such branch"}, 404)
    for _ in range(2 * FAILURES):
        assert problem(await backend.ask()) == "agent-unknown"
    backend.fake.answer = None
    assert (await backend.ask()).status_code == 200
