"""Whatever a stranger makes of the contract, the answer is one that the contract names.

Runs in this process, without a socket; the same examples every time.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi import checks
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kiosk.backend.books.operators import Role
from kiosk.backend.provider.client import TOKEN_PATH
from kiosk.backend.tokens import OperatorToken
from kiosk.backend.web.app import contract
from kiosk.backend.web.openapi import with_problems
from kiosk.backend.web.operator_routes import STREAM_PATH

from .conftest import Backend, BackendFactory, FakeProvider

BASE = "http://backend.test"
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
EXAMPLES = {GenerationMode.POSITIVE: 12, GenerationMode.NEGATIVE: 12}

AnyCase: TypeAlias = Case[Any]
AnyOperation: TypeAlias = APIOperation[Any, Any, Any, Any]
Ask = Callable[[AnyCase, str | None], httpx2.Response]


class EveryTransport(FakeProvider):
    """Mints tokens for WebRTC too."""

    async def token(self, request: Request) -> Response:
        number = len(self.requests)
        self.requests.append(request)
        return JSONResponse({"token": f"token-{number}", "conversation_id": f"conv_rtc_{number}"})

    def app(self) -> Starlette:
        app = super().app()
        app.add_route(TOKEN_PATH, self.token)
        return app


@pytest.fixture
def fake() -> FakeProvider:
    return EveryTransport()


@dataclass
class Asking:
    """The backend in a loop of its own; `ask` puts a generated question to it, and `admin` is the
    token of an operator who may do everything."""

    backend: Backend
    ask: Ask
    admin: str


@pytest.fixture
def asking(backend_with: BackendFactory) -> Iterator[Asking]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        backend: Backend = runner.run(stack.enter_async_context(backend_with()))
        admin = OperatorToken.new()
        adding = backend.store.operators.add("default", "ada", Role.ADMIN, admin, datetime.now(UTC))
        assert runner.run(adding)

        def ask(case: AnyCase, token: str | None) -> httpx2.Response:
            sent = case.as_transport_kwargs(base_url=BASE)
            sent["headers"] = {k: v for k, v in sent["headers"].items() if k != "Authorization"}
            if token is not None:
                sent["headers"]["Authorization"] = f"Bearer {token}"
            names = ("method", "url", "headers", "params", "data", "json", "cookies", "files")
            made = requests.Request(**{k: v for k, v in sent.items() if k in names}).prepare()
            body = made.body.encode() if isinstance(made.body, str) else made.body
            assert body is None or isinstance(body, bytes)
            question = backend.client.request(
                str(made.method), str(made.url), headers=_latin(made.headers), content=body
            )
            return runner.run(question)

        yield Asking(backend, ask, admin.reveal())
        runner.run(stack.aclose())


def described() -> BaseSchema:
    """The contract, but for the answer that has no end."""
    load_all_checks()
    document = with_problems(contract())
    schema: BaseSchema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig())
    schema.config.update(base_url=BASE)
    return schema.exclude(path=STREAM_PATH)


def operations() -> Iterator[AnyOperation]:
    for found in described().get_all_operations():
        assert isinstance(found, Ok), found
        yield found.ok()


def _latin(headers: Mapping[str, str | bytes]) -> dict[bytes, bytes]:
    """Headers as they go over the wire."""
    return {
        name.encode("latin-1"): value.encode("latin-1") if isinstance(value, str) else value
        for name, value in headers.items()
    }


def fuzz(operation: AnyOperation, ask: Ask, token: str | None) -> int:
    """So many questions of each kind; how many were asked."""
    asked = 0
    for mode, examples in EXAMPLES.items():

        @seed(2026)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def question(case: AnyCase) -> None:
            nonlocal asked
            asked += 1
            case.validate_response(ask(case, token), checks=CHECKS)

        if mode is GenerationMode.POSITIVE or operation.body or operation.query:
            question()
    return asked


@pytest.mark.wide  # six times six seconds of processor
@pytest.mark.parametrize("whose", ["nobody's", "device's", "operator's"])
def test_every_answer_is_in_the_contract(asking: Asking, whose: str) -> None:
    device = asking.backend.token.reveal()
    token = {"nobody's": None, "device's": device, "operator's": asking.admin}[whose]
    asked = sum(fuzz(operation, asking.ask, token) for operation in operations())
    assert asked > 300


def test_the_contract_names_who_may_ask_and_every_problem() -> None:
    document = with_problems(contract())
    lease = document["paths"]["/v1/visits"]["post"]
    assert lease["security"] == [{"deviceToken": []}]
    assert document["paths"]["/v1/visits"]["get"]["security"] == [{"operatorToken": []}]
    assert "security" not in document["paths"]["/v1/enroll"]["post"]
    assert {"400", "401", "409", "422", "429", "500", "502", "503"} <= set(lease["responses"])
    refusals = document["paths"]["/v1/visits/{visit_id}/start"]["post"]["responses"]
    assert "urn:kiosk:problem:paused" in refusals["403"]["description"]
    assert "HTTPValidationError" not in str(document)
