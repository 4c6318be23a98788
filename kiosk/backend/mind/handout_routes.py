"""Route of handouts: what a visitor takes along, for whoever has the link."""

import html
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from kiosk.backend.web.services import Here
from kiosk.contract import HANDOUT_PATH

routes = APIRouter()

# It is nobody else's business: not a search engine's, not a cache's, not another page's.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, noarchive",
}
_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1.1em/1.5 system-ui, sans-serif; max-width: 40em; margin: 2em auto; padding: 0 1em; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{paragraphs}
</main>
</body>
</html>
"""


@routes.get(HANDOUT_PATH, include_in_schema=False)
async def handout(
    token: Annotated[str, Path(max_length=256)], request: Request, services: Here
) -> Response:
    """The page; as an object for whoever accepts JSON and no page."""
    now = datetime.now(UTC)
    link = None if services.mind is None else services.mind.read_link(token, now.timestamp())
    found = None
    if link is not None:
        found = await services.store.talks.handout(link.tenant, link.visit_id, now)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    made, _ = found
    accepts = request.headers.get("Accept", "")
    if "application/json" in accepts and "text/html" not in accepts:
        return JSONResponse(made, headers=_HEADERS)
    return HTMLResponse(_page(made), headers=_HEADERS)


def _page(made: Any) -> str:
    parts = [part.strip() for part in str(made["text"]).split("\n\n") if part.strip()]
    lines = ("<br>".join(html.escape(part).splitlines()) for part in parts)
    paragraphs = "\n".join(f"<p>{part}</p>" for part in lines)
    return _PAGE.format(
        language=html.escape(str(made["language"])),
        title=html.escape(str(made["title"])),
        paragraphs=paragraphs,
    )
