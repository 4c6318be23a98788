"""No secret is in any answer, header or log line, nor in the database, whatever is asked and
whatever the provider says.

An id that a client gives its request is echoed and logged, that is what it is for; a whole token is
too long to be one. What is asked for is answered, once: a lease's URL, a new token, a new code.
"""

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response

from kiosk.backend.books.operators import Role
from kiosk.backend.mind.access import MindAccess
from kiosk.backend.mind.files import load_flow
from kiosk.backend.mind.scripted import ScriptedMind
from kiosk.backend.tokens import OperatorToken
from kiosk.contract import CHAT_COMPLETIONS_PATH, GUIDES_LLM_PATH, RESPONSES_PATH

from .conftest import AGENT_ID, API_KEY, WEBHOOK_SECRET, Backend, BackendFactory
from .test_heartbeat import BEAT
from .test_visits import everything

LLM_SECRET = "the-secret-of-a-custom-llm"
WORDS = "my daughter Ada is seven and lost her blue mitten"
# At DEBUG these show values of statements by design; the backend keeps them quiet.
_KEPT_QUIET = ("aiosqlite", "sqlalchemy")

ASKED = "http://backend.test"
PATHS = (
    ("POST", "/v1/visits"),
    ("GET", "/v1/visits"),
    ("POST", "/v1/visits/{}/start"),
    ("POST", "/v1/visits/{}/live"),
    ("POST", "/v1/visits/{}/end"),
    ("GET", "/v1/visits/{}/events"),
    ("POST", "/v1/heartbeat"),
    ("POST", "/v1/device/rotate"),
    ("POST", "/v1/enroll"),
    ("GET", "/v1/kiosks"),
    ("GET", "/v1/audit"),
    ("POST", "/v1/limits"),
    ("POST", "/v1/pauses"),
    ("POST", "/v1/pauses/end"),
    ("POST", "/v1/enrolment-codes"),
    ("POST", "/v1/kiosks/{}/revoke"),
    ("POST", "/v1/webhooks/elevenlabs"),
    ("POST", CHAT_COMPLETIONS_PATH),
    ("POST", GUIDES_LLM_PATH),
    ("POST", RESPONSES_PATH),
    ("GET", "/metrics"),
    ("GET", "/readyz"),
    ("PUT", "/v1/{}"),
)
BODIES: tuple[dict[str, Any], ...] = (
    {},
    {"transport": "websocket", "language": "en"},
    {"press_id": "press-1"},
    {"press_id": "press-1", "conversation_id": "conv_0"},
    {"press_id": "press-1", "outcome": "hung_up", "duration_s": 12.5},
    dict(BEAT),
    {"code": "2345-6789-ABCD-EFGH"},
    {"scope": "fleet", "at_once": 10_000, "presses_per_minute": 10_000},
    {"scope": "kiosk", "name": "lobby", "presses_per_minute": 10_000},
    {"name": "attic", "site": "north"},
)


def failures() -> list[Response | None]:
    """Every way in which the provider fails, the key in its mouth; and none."""
    key = {"detail": {"status": API_KEY, "message": f"the key {API_KEY} is bad"}}
    words = {"detail": {"status": "quota_exceeded", "message": f"{API_KEY}: quota"}}
    shown = {"xi-api-key": API_KEY, "Retry-After": API_KEY}
    found: list[Response | None] = []
    for status in (200, 302, 400, 401, 403, 404, 408, 422, 429, 500, 503):
        found += [JSONResponse(body, status, shown) for body in (key, words, {"detail": API_KEY})]
    found += [Response(API_KEY, 200), Response(b"\xff" + API_KEY.encode(), 502)]
    found.append(JSONResponse({"detail": [{"type": API_KEY, "msg": API_KEY}]}, 422))
    return found


@dataclass
class Log(logging.Handler):
    """Everything that any logger is told."""

    text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(logging.DEBUG)

    def __hash__(self) -> int:
        return id(self)

    def emit(self, record: logging.LogRecord) -> None:
        # The questions are asked in this process too, and logged by the client that asks them.
        if not (record.name.startswith("httpx2") and ASKED in record.getMessage()):
            self.text.append(self.format(record) + repr(record.__dict__))


@pytest.fixture
def log() -> Iterator[Log]:
    handler, root = Log(), logging.getLogger()
    known = [root, *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
    loud = [each for each in known if not each.name.startswith(_KEPT_QUIET)]
    levels = {each: each.level for each in loud}
    for each in loud:
        each.setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    for each, level in levels.items():
        each.setLevel(level)


@dataclass
class Vault:
    """The secrets, by what they are; and those who show them."""

    backend: Backend
    operator: OperatorToken
    devices: list[str]
    codes: list[str] = field(default_factory=lambda: ["2345-6789-ABCD-EFGH"])

    def secrets(self) -> dict[str, str]:
        tokens = [*self.devices, self.operator.reveal()]
        found = {f"token {n}": token.rpartition("_")[2] for n, token in enumerate(tokens)}
        found |= {f"code {n}": code for n, code in enumerate(self.codes)}
        for number, url in enumerate(self.backend.fake.minted):
            found[f"signature {number}"] = url.partition("cvs+")[2].partition("/")[0]
        kept = {"key": API_KEY, "webhook": WEBHOOK_SECRET, "llm": LLM_SECRET, "words": WORDS}
        return found | kept

    def refuse(self, where: str, text: str) -> None:
        for what, secret in self.secrets().items():
            assert secret not in text, f"{what} is in {where}"
            assert secret.replace("-", "") not in text, f"{what} is in {where}"

    def look(self, answer: httpx2.Response) -> None:
        """What was asked for is taken out, and joins the secrets; the rest holds none."""
        text = answer.text
        is_json = answer.headers.get("Content-Type") == "application/json"
        body = answer.json() if answer.status_code == 200 and is_json else None
        if isinstance(body, dict):
            for name in ("signed_url", "device_token", "code"):
                text = text.replace(str(body.get(name, "")) or "\0", "")
            if "device_token" in body:
                self.devices.append(body["device_token"])
            if "code" in body:
                self.codes.append(body["code"])
        where = f"the answer to {answer.request.method} {answer.request.url.path}"
        self.refuse(where, text + repr(answer.headers) + answer.reason_phrase)


def _picking(draw: Any) -> Callable[[list[str]], str]:
    return lambda several: several[draw(st.integers(0, 11)) % len(several)]


def placed(draw: Any, vault: Vault, method: str, path: str) -> dict[str, Any]:
    """A question with a token in the right place, and another secret in a wrong one, or none."""
    tokens = [*vault.devices, vault.operator.reveal()]
    # How many there are is not Hypothesis' to know, or no example could be had again.
    one_of = _picking(draw)
    newest = tokens[-2]  # before the operator's
    shown = one_of([tokens[-1], newest, newest, *tokens[-4:], newest + "0", "", vault.codes[-1]])
    stray = one_of([API_KEY, WEBHOOK_SECRET, WORDS, *tokens, *vault.codes])
    where = draw(st.sampled_from(["nowhere", "path", "query", "key", "value", "raw", "header"]))
    visit = one_of([*VISITS[-3:], "no-such-visit", "attic"])
    body: Any = dict(draw(st.sampled_from(BODIES)))
    headers = {"Authorization": f"Bearer {shown}"} if shown else {}
    sent: dict[str, Any] = {"method": method, "headers": headers}
    if where == "key":
        body[stray] = 1
    if where == "value" and body:
        body[draw(st.sampled_from(sorted(body)))] = draw(st.sampled_from([stray, [stray]]))
    if where == "header":
        name = draw(st.sampled_from(["User-Agent", "Cookie", "X-Request-Id", "Idempotency-Key"]))
        # By contract an id is shown again: only a whole token may not be one.
        headers[name] = tokens[0] if name.endswith(("Id", "Key")) else stray
    sent["url"] = path.format(stray.replace(" ", "%20") if where == "path" else visit)
    if where == "query":
        sent["params"] = {draw(st.sampled_from(["token", "kiosk", "limit"])): stray}
    if method != "GET":
        content = json.dumps(body) + (stray if where == "raw" else "")
        sent["content"] = content
        headers["Content-Type"] = "application/json"
    return sent


def delivery(draw: Any) -> dict[str, Any]:
    """What the provider tells of a conversation, with all that was said."""
    conversation = f"conv_{draw(st.integers(0, 5))}"
    kind = draw(st.sampled_from(["post_call_transcription", "post_call_audio", "something_new"]))
    data = {
        "agent_id": AGENT_ID,
        "conversation_id": conversation,
        "status": "done",
        "transcript": [{"role": "user", "message": WORDS}],
        "analysis": {"transcript_summary": WORDS},
        "metadata": {"call_duration_secs": 30, "start_time_unix_secs": 1_790_000_000},
        draw(st.sampled_from(["full_audio", "user_id", WORDS])): WORDS,
    }
    if draw(st.booleans()):
        data.pop(draw(st.sampled_from(sorted(data))))
    content = json.dumps({"type": kind, "event_timestamp": 1_790_000_030, "data": data}).encode()
    at = int(datetime.now(UTC).timestamp())
    secret = draw(st.sampled_from([WEBHOOK_SECRET, WEBHOOK_SECRET, "wsec_another"]))
    signed = hmac.new(secret.encode(), f"{at}.".encode() + content, hashlib.sha256).hexdigest()
    headers = {"ElevenLabs-Signature": f"t={at},v0={signed}"}
    return {
        "method": "POST",
        "url": "/v1/webhooks/elevenlabs",
        "content": content,
        "headers": headers,
    }


VISITS: list[str] = []


def extra(draw: Any, vault: Vault) -> dict[str, Any]:
    """A question of an operator's with a name in it that nobody asked for."""
    stray = _picking(draw)([vault.operator.reveal(), *vault.devices, *vault.codes, API_KEY])
    paths = ["/v1/limits", "/v1/pauses", "/v1/pauses/end", "/v1/enrolment-codes"]
    return {
        "method": "POST",
        "url": draw(st.sampled_from(paths)),
        "headers": {"Authorization": f"Bearer {vault.operator.reveal()}"},
        "json": {"scope": "fleet", "name": "attic", stray: stray},
    }


def question(draw: Any) -> dict[str, Any]:
    """What the provider asks a mind, with the visitor's words in it."""
    turns = [{"role": "user", "content": draw(st.sampled_from([WORDS, f"yes, {WORDS}", [WORDS]]))}]
    body = {"messages": turns, "input": turns, "user_id": WORDS, "stream": draw(st.booleans())}
    shown = draw(st.sampled_from([LLM_SECRET, LLM_SECRET, WEBHOOK_SECRET, API_KEY]))
    content = json.dumps(body) + draw(st.sampled_from(["", "", WORDS]))
    return {
        "method": "POST",
        "url": draw(st.sampled_from([CHAT_COMPLETIONS_PATH, RESPONSES_PATH])),
        "content": content,
        "headers": {"Authorization": f"Bearer {shown}"},
    }


async def step(draw: Any, vault: Vault) -> None:
    """One question, and what may be seen of it."""
    vault.backend.fake.answer = draw(st.none() | st.sampled_from(failures()))
    kind = draw(st.integers(0, 8))
    if kind < 2:
        sent = delivery(draw)
    elif kind < 3:
        sent = extra(draw, vault)
    elif kind > 7:
        sent = question(draw)
    else:
        asked = PATHS[0] if draw(st.booleans()) else draw(st.sampled_from(PATHS))
        sent = placed(draw, vault, *asked)
    answer = await vault.backend.client.request(**sent)
    if answer.is_success and "visit_id" in answer.text and sent["method"] == "POST":
        VISITS.append(answer.json()["visit_id"])
    vault.look(answer)


@pytest.fixture
def opened(backend_with: BackendFactory) -> Iterator[tuple[asyncio.Runner, Backend]]:
    """The backend, in a loop that Hypothesis can go back to."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        access = MindAccess(
            ScriptedMind(load_flow("museum")), SecretStr(API_KEY), [SecretStr(LLM_SECRET)]
        )
        yield runner, runner.run(stack.enter_async_context(backend_with(mind=access)))
        runner.run(stack.aclose())


@pytest.mark.wide  # a quarter of a minute of processor
def test_no_secret_is_anywhere(opened: tuple[asyncio.Runner, Backend], log: Log) -> None:
    VISITS.clear()
    runner, backend = opened
    vault = Vault(backend, OperatorToken.new(), [backend.token.reveal()])
    adding = backend.store.operators
    now = datetime.now(UTC)
    assert runner.run(adding.add("default", "ada", Role.ADMIN, vault.operator, now))

    @settings(
        max_examples=80,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],  # what was asked before cannot be asked for the first time
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def explore(data: st.DataObject) -> None:
        log.text.clear()
        runner.run(backend.place.sql("delete from buckets"))  # as if time had passed
        for _ in range(data.draw(st.integers(2, 8))):
            runner.run(step(data.draw, vault))
        vault.refuse("the log", "\n".join(log.text))
        vault.refuse("the database", runner.run(everything(backend)))

    explore()
    assert backend.fake.minted, "something was minted on the way"
