"""The JSON API and the page, as one ASGI application.

Owns how the routes are put together and how they refuse: every error is JSON with one field, `error`, in words. Refuses
to know where anything is kept: it asks `Parts`. What may be asked by whom is the guard's, in `guard`.
"""

from __future__ import annotations

from collections.abc import Collection

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as PlainHTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from eudaemon.farm.api import accounts, addresses, conversations, overview, samples, sessions
from eudaemon.farm.api.assets import Assets
from eudaemon.farm.api.common import Parts
from eudaemon.farm.api.guard import Guard
from eudaemon.farm.store.engine import QueryTooLargeError

__all__ = ["Parts", "create_app"]

_ABOUT = """What the honeynet has seen. Log in with `POST /api/login`, or create a token on the page and send it as
`Authorization: Bearer …`. Everything attackers wrote is plain text: show it as text and never as markup."""


def create_app(parts: Parts, *, hosts: Collection[str] = ()) -> ASGIApp:
    """Return the application. `hosts` are the names it is served under, besides localhost and plain addresses."""
    app = FastAPI(
        title="Eudaemon", version=parts.version, description=_ABOUT,
        openapi_url="/api/openapi.json", docs_url=None, redoc_url=None, swagger_ui_oauth2_redirect_url=None,
    )  # fmt: skip
    app.state.parts = parts
    assets = Assets()
    for module in (accounts, overview, sessions, conversations, addresses, samples):
        app.include_router(module.router)

    @app.exception_handler(RequestValidationError)
    async def wrong_argument(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": _in_words(error)}, 422)

    @app.exception_handler(PlainHTTPException)
    async def refused(_: Request, error: PlainHTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(QueryTooLargeError)
    async def too_large(_: Request, __: QueryTooLargeError) -> JSONResponse:
        return JSONResponse({"error": "This question takes too long. Choose a shorter span, or ask for less."}, 503)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"error": "The farm failed at this request; its log says why."}, 500)

    @app.api_route("/api/{rest:path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH"], include_in_schema=False)
    async def nothing_here() -> Response:
        raise HTTPException(404, "There is no such endpoint; /api/openapi.json lists them.")

    @app.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        return assets.answer(request)

    return Guard(app, accounts=parts.accounts, hosts=hosts)


def _in_words(error: RequestValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("query", "path", "body"))
    return f"{where or 'request'}: {first['msg']}."
