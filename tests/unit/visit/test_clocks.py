import asyncio
from dataclasses import dataclass, field, replace

import pytest

from kiosk.convai.endings import Ending, Kind
from kiosk.visit.clocks import ONE_MOMENT_S, Clocks
from kiosk.visit.feedback import DEADLINES
from kiosk.visit.states import Event, State
from kiosk.visit.timers import Timers
from tests.bare_conversation import PLAN
from tests.virtual_time import virtual_time

# All different, so that what rang tells which it was.
LIMITS = replace(
    PLAN, max_s=570.0, warning_s=30.0, idle_s=21.0, answer_s=22.0, connect_s=15.0, queue_s=120.0
)


@dataclass
class Visit:
    """The clocks of a visit, and when they said what, in seconds of the visit."""

    told: list[tuple[float, object]] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    state: State = State.IDLE

    def __post_init__(self) -> None:
        self._timers = Timers()
        self.clocks = Clocks(LIMITS, self._timers, self._post, self._tell)
        self._began_s = asyncio.get_running_loop().time()

    def _post(self, event: Event, ending: Ending | None) -> None:
        self._tell(event)
        if ending is not None:
            self.endings.append(ending)

    def _tell(self, what: object) -> None:
        now_s = asyncio.get_running_loop().time() - self._began_s
        self.told.append((round(now_s, 3), what))

    def goes(self, event: Event, state: State) -> None:
        before, self.state = self.state, state
        self.clocks.followed(event, before, state)

    def stays(self, event: Event) -> None:
        self.goes(event, self.state)

    def close(self) -> None:
        """As the host does when a visit closes."""
        self._timers.clear()
        self.goes(Event.ENDED, State.CLOSING)


@virtual_time
async def test_nothing_rings_where_nothing_has_a_deadline() -> None:
    visit = Visit()
    for state in set(State) - set(DEADLINES):
        visit.goes(Event.PRESS, state)
        await asyncio.sleep(3600)
    assert visit.told == []


@virtual_time
async def test_connecting_asks_for_patience_and_has_a_limit() -> None:
    visit = Visit()
    visit.goes(Event.PRESS, State.OPENING)
    await asyncio.sleep(3600)
    assert visit.told == [(ONE_MOMENT_S, "one_moment"), (15.0, Event.ENDED)]
    assert visit.endings == [Ending(Kind.UNREACHABLE, None, "no conversation in 15 s")]


@virtual_time
async def test_connecting_in_time_needs_no_patience() -> None:
    visit = Visit()
    visit.goes(Event.PRESS, State.OPENING)
    await asyncio.sleep(ONE_MOMENT_S - 0.1)
    visit.goes(Event.CONNECTED, State.LISTENING)
    visit.goes(Event.AGENT_STARTED, State.SPEAKING)
    await asyncio.sleep(3600)
    assert visit.told == []


@virtual_time
async def test_a_lost_connection_has_the_whole_time_to_come_back() -> None:
    visit = Visit()
    visit.goes(Event.PRESS, State.OPENING)
    await asyncio.sleep(10)
    visit.goes(Event.CONNECTED, State.LISTENING)
    await asyncio.sleep(1)
    visit.goes(Event.LOST, State.OPENING)
    await asyncio.sleep(14.9)
    assert visit.endings == []
    await asyncio.sleep(0.2)
    assert [ending.kind for ending in visit.endings] == [Kind.UNREACHABLE]


@virtual_time
async def test_the_queue_has_a_limit_of_its_own_and_no_other() -> None:
    visit = Visit()
    visit.goes(Event.PRESS, State.OPENING)
    visit.goes(Event.CONNECTED, State.LISTENING)
    visit.goes(Event.QUEUED, State.QUEUED)
    for event in (Event.SPEECH_STARTED, Event.SPEECH_ENDED, Event.AGENT_STARTED, Event.DRAINED):
        await asyncio.sleep(10)
        visit.stays(event)
    await asyncio.sleep(3600)
    assert visit.told == [(120.0, Event.ENDED)]
    assert visit.endings == [Ending(Kind.BUSY, None, "nobody became free in 120 s")]


@virtual_time
async def test_whoever_is_admitted_has_the_whole_time_to_begin() -> None:
    visit = Visit()
    visit.goes(Event.QUEUED, State.QUEUED)
    await asyncio.sleep(119)
    visit.goes(Event.ADMITTED, State.LISTENING)
    await asyncio.sleep(22)
    assert visit.told == [(140.0, "still_there")]


@virtual_time
async def test_a_silent_visitor_is_asked_once_and_then_taken_to_be_gone() -> None:
    visit = Visit()
    visit.goes(Event.CONNECTED, State.LISTENING)
    await asyncio.sleep(42.5)
    assert visit.told == [(21.0, "still_there"), (42.0, Event.ABANDONED)]


@pytest.mark.parametrize("sign", ["the visitor", "the agent"])
@virtual_time
async def test_whoever_answers_the_question_is_asked_anew_the_next_time(sign: str) -> None:
    visit = Visit()
    visit.goes(Event.CONNECTED, State.LISTENING)
    await asyncio.sleep(30)
    if sign == "the visitor":
        visit.stays(Event.SPEECH_STARTED)
        visit.goes(Event.SPEECH_ENDED, State.THINKING)
        visit.goes(Event.TURN_SKIPPED, State.LISTENING)
    else:
        visit.goes(Event.AGENT_STARTED, State.SPEAKING)
        visit.goes(Event.DRAINED, State.LISTENING)
    await asyncio.sleep(21.5)
    assert [what for _, what in visit.told] == ["still_there", "still_there"]


@virtual_time
async def test_nobody_is_asked_while_speaking_however_long() -> None:
    visit = Visit()
    visit.goes(Event.CONNECTED, State.LISTENING)
    await asyncio.sleep(20)
    visit.stays(Event.SPEECH_STARTED)
    await asyncio.sleep(300)
    assert visit.told == []


@virtual_time
async def test_between_words_of_a_held_button_the_idle_clock_starts_anew() -> None:
    visit = Visit()
    visit.goes(Event.CONNECTED, State.LISTENING)
    visit.stays(Event.SPEECH_STARTED)
    await asyncio.sleep(100)
    visit.stays(Event.SPEECH_ENDED)
    await asyncio.sleep(20.9)
    assert visit.told == []
    await asyncio.sleep(0.2)
    assert visit.told == [(121.0, "still_there")]


@virtual_time
async def test_an_answer_has_a_limit() -> None:
    visit = Visit()
    visit.goes(Event.SPEECH_ENDED, State.THINKING)
    await asyncio.sleep(3600)
    assert visit.told == [(22.0, Event.NO_ANSWER)]


@pytest.mark.parametrize(
    ("event", "state"),
    [(Event.TURN_SKIPPED, State.LISTENING), (Event.AGENT_STARTED, State.SPEAKING)],
)
@virtual_time
async def test_an_answer_that_came_or_will_not_come_is_not_waited_for(
    event: Event, state: State
) -> None:
    visit = Visit()
    visit.goes(Event.SPEECH_ENDED, State.THINKING)
    await asyncio.sleep(21)
    visit.goes(event, state)
    await asyncio.sleep(20)
    assert visit.told == []


@virtual_time
async def test_the_visitor_is_warned_before_the_time_is_up() -> None:
    visit = Visit()
    visit.clocks.visit_began()
    visit.goes(Event.AGENT_STARTED, State.SPEAKING)  # whatever the visit does
    await asyncio.sleep(600)
    assert visit.told == [(540.0, "warning"), (570.0, Event.TIME_UP)]


@virtual_time
async def test_a_visit_that_closes_has_no_clocks_any_more() -> None:
    for state in DEADLINES:
        visit = Visit()
        visit.clocks.visit_began()
        visit.goes(Event.PRESS, state)
        visit.close()
        await asyncio.sleep(3600)
        assert visit.told == []


@virtual_time
async def test_a_new_visit_is_asked_again_whether_anybody_is_there() -> None:
    visit = Visit()
    for _ in range(2):
        visit.clocks.visit_began()
        visit.goes(Event.CONNECTED, State.LISTENING)
        await asyncio.sleep(30)
        visit.close()
        visit.goes(Event.CLOSED, State.IDLE)
    assert [what for _, what in visit.told] == ["still_there", "still_there"]


@virtual_time
async def test_whoever_comes_to_listening_speaking_is_not_asked_whether_he_is_there() -> None:
    visit = Visit()
    visit.goes(Event.PRESS, State.OPENING)
    visit.stays(Event.SPEECH_STARTED)
    visit.goes(Event.CONNECTED, State.LISTENING)
    await asyncio.sleep(10 * LIMITS.idle_s)
    assert "still_there" not in dict(map(reversed, visit.told))  # type: ignore[arg-type]
    visit.stays(Event.SPEECH_ENDED)
    await asyncio.sleep(LIMITS.idle_s + 0.1)
    assert visit.told[-1][1] == "still_there"


@virtual_time
async def test_letting_go_of_the_button_ends_speaking_too() -> None:
    visit = Visit()
    visit.goes(Event.CONNECTED, State.LISTENING)
    visit.stays(Event.SPEECH_STARTED)
    visit.goes(Event.RELEASE, State.THINKING)
    visit.goes(Event.NO_ANSWER, State.LISTENING)
    await asyncio.sleep(LIMITS.idle_s + 0.1)
    assert visit.told[-1][1] == "still_there"


# --- a shorter visit ----------------------------------------------------------------------------


@virtual_time
async def test_a_lease_shortens_the_visit_and_its_end_is_announced() -> None:
    visit = Visit()
    visit.clocks.visit_began()
    await asyncio.sleep(2)
    visit.clocks.limit(100.0)
    await asyncio.sleep(3600)
    assert visit.told == [(72.0, "warning"), (102.0, Event.TIME_UP)]


@virtual_time
async def test_a_very_short_visit_is_announced_too() -> None:
    visit = Visit()
    visit.clocks.visit_began()
    visit.clocks.limit(20.0)
    await asyncio.sleep(3600)
    assert visit.told == [(10.0, "warning"), (20.0, Event.TIME_UP)]


@virtual_time
async def test_nothing_makes_a_visit_longer() -> None:
    visit = Visit()
    visit.clocks.visit_began()
    visit.clocks.limit(3000.0)
    await asyncio.sleep(300)
    visit.clocks.limit(300.0)
    await asyncio.sleep(3600)
    assert visit.told == [(540.0, "warning"), (570.0, Event.TIME_UP)]


@virtual_time
async def test_who_was_warned_is_not_warned_again() -> None:
    visit = Visit()
    visit.clocks.visit_began()
    await asyncio.sleep(545)
    visit.clocks.limit(10.0)
    await asyncio.sleep(3600)
    assert visit.told == [(540.0, "warning"), (555.0, Event.TIME_UP)]


@virtual_time
async def test_a_visit_that_is_over_has_no_end_to_come() -> None:
    visit = Visit()
    visit.clocks.limit(1.0)
    visit.clocks.visit_began()
    visit.close()
    visit.clocks.limit(10.0)
    await asyncio.sleep(3600)
    assert visit.told == []
