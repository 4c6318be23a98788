"""OpenAPI beyond what FastAPI can see: who may ask, and every refusal. Pure: no I/O,
no routes, no clock.

Problems are listed by their `type`, which is stable; a status may have several.
"""

from collections.abc import Iterable
from typing import Any

from kiosk.backend.web.problems import (
    BAD_KEY,
    BUSY,
    FORBIDDEN,
    INTERNAL,
    INVALID,
    MISSING,
    OF_PROVIDER,
    OF_REFUSAL,
    STORE,
    UNAUTHORIZED,
    UNSIGNED,
    Problem,
)
from kiosk.contract import (
    END_PATH,
    ENROLL_PATH,
    HEARTBEAT_PATH,
    LIVE_PATH,
    PROBLEM_TYPE,
    PROSPECT_PATH,
    ROTATE_PATH,
    START_PATH,
    VISITS_PATH,
)

DEVICE, OPERATOR = "deviceToken", "operatorToken"
_PROBLEM = "#/components/schemas/Problem"
_TOO_SLOW, _TOO_LARGE = 408, 413
_SCHEMES = {
    DEVICE: "kdk_<credential id>_<secret>, as enrolment gave it",
    OPERATOR: "kop_<credential id>_<secret>, as `kiosk backend operator add` said it",
}
_BODY = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457. `type` is stable; `about:blank` is for what HTTP itself says no to.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "pattern": r"^(urn:kiosk:problem:[a-z0-9-]{1,64}|about:blank)$"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "scope": {"type": "string", "enum": ["fleet", "site", "kiosk"]},
    },
    "additionalProperties": False,
}

# Which kiosks' and operators' questions are refused for more than their token.
_REFUSALS: dict[str, tuple[str, ...]] = {
    VISITS_PATH: ("visit-spent", "too-many-leases"),
    START_PATH: tuple(OF_REFUSAL),
    LIVE_PATH: ("visit-unknown", "visit-spent"),
    END_PATH: ("visit-unknown", "visit-spent"),
}
_MISSED: dict[str, tuple[str, ...]] = {
    "/v1/pauses": ("kiosk-unknown", "site-unknown"),
    "/v1/pauses/end": ("kiosk-unknown", "site-unknown"),
    "/v1/limits": ("kiosk-unknown", "site-unknown"),
    "/v1/enrolment-codes": ("enrolled-already",),
    "/v1/kiosks/{name}/revoke": ("kiosk-unknown",),
    "/v1/stream": ("too-many-watchers",),
}
# What is no JSON.
_OTHER_WORDS = {
    "/metrics": "text/plain",
    "/v1/stream": "text/event-stream",
    "/v1/visits.csv": "text/csv",
    "/v1/costs.csv": "text/csv",
}
_OF_DEVICES = {PROSPECT_PATH, HEARTBEAT_PATH, ROTATE_PATH, START_PATH, LIVE_PATH, END_PATH}
_OF_NOBODY = {ENROLL_PATH, "/healthz", "/readyz", "/v1/webhooks/elevenlabs"}


def with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """The document with every problem and both kinds of token in it; changes it."""
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        name: {"type": "http", "scheme": "bearer", "bearerFormat": "opaque", "description": words}
        for name, words in _SCHEMES.items()
    }
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = _BODY
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, path, method)
    # FastAPI's own words for what is answered as a problem here.
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document


def _complete(operation: dict[str, Any], path: str, method: str) -> None:
    whose = _whose(path, method)
    if whose is not None:
        operation["security"] = [{whose: []}]
    responses = operation["responses"]
    if (media_type := _OTHER_WORDS.get(path)) is not None:
        responses["200"]["content"] = {media_type: {"schema": {"type": "string"}}}
    takes_body = "requestBody" in operation or method == "post"
    if responses.pop("422", None) is not None or path == "/v1/webhooks/elevenlabs":
        _add(responses, [INVALID])
    _add(responses, _problems(path, method, whose))
    if takes_body:
        responses[str(_TOO_SLOW)] = _response("The body does not come in time")
        responses[str(_TOO_LARGE)] = _response("The body is too long")
    if "requestBody" in operation:
        # What is no JSON at all, as HTTP sees it.
        responses.setdefault("400", _response("The body cannot be read"))


def _whose(path: str, method: str) -> str | None:
    if path in _OF_NOBODY:
        return None
    of_device = path in _OF_DEVICES or (path == VISITS_PATH and method == "post")
    return DEVICE if of_device else OPERATOR


def _problems(path: str, method: str, whose: str | None) -> Iterable[Problem]:
    yield BUSY
    if path == "/healthz":
        return
    yield INTERNAL
    if path == "/readyz":
        return
    yield UNSIGNED if path == "/v1/webhooks/elevenlabs" else UNAUTHORIZED
    yield STORE
    if whose == OPERATOR:
        yield FORBIDDEN
    if path == VISITS_PATH and method == "post":
        yield BAD_KEY
        yield from OF_PROVIDER.values()
    if method == "post":
        of_refusal = {problem.slug: problem for problem in OF_REFUSAL.values()}
        yield from (of_refusal[slug] for slug in _REFUSALS.get(path, ()))
    if method == "post" or path == "/v1/stream":
        yield from (MISSING[slug] for slug in _MISSED.get(path, ()))


def _add(responses: dict[str, Any], problems: Iterable[Problem]) -> None:
    by_status: dict[int, list[Problem]] = {}
    for problem in problems:
        by_status.setdefault(problem.status, []).append(problem)
    for status, several in sorted(by_status.items()):
        responses[str(status)] = _response("\n".join(f"`{p.type}`: {p.title}" for p in several))


def _response(words: str) -> dict[str, Any]:
    content = {PROBLEM_TYPE: {"schema": {"$ref": _PROBLEM}}}
    return {"description": words, "content": content}
