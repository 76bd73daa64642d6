"""What stands before every request: the host's name, the origin, who asks, and the headers of every answer.

One plain ASGI layer around the application, so that no route can forget it: everything under /api needs a login or a
token unless it is in `OPEN`. Refuses: names the page is not served under (DNS rebinding), changes that another site's
page asks for (CSRF), bodies larger than `BODY_BYTES_MAX`.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eudaemon.farm.accounts import Accounts

COOKIE = "eudaemon"
OPEN = frozenset({"/api/login", "/api/health", "/api/me"})
BODY_BYTES_MAX = 65_536
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "x-robots-tag": "noindex",
}


class Guard:
    """Wraps the application. `hosts` are the names that it is served under, besides localhost and plain addresses."""

    def __init__(self, app: ASGIApp, *, accounts: Accounts, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._accounts = accounts
        self._hosts = {"localhost", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        api = scope["path"].startswith("/api/") or scope["path"] == "/api"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if api:
                    headers["cache-control"] = "no-store"
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None and api:
            user = await self._user(headers)
            if user is None and scope["path"] not in OPEN:
                refusal = 401, "Log in first, or send a token in the header `Authorization: Bearer …`."
            scope.setdefault("state", {})["user"] = user
        if refusal is not None:
            await _refuse(send_with_headers, *refusal)
            return
        await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        if not self._host_known(headers.get("host", "")):
            return 421, (
                "This name is not one that the page is served under. Use its address, or add the name to the setting"
                " `hosts` of the page."
            )
        if scope["method"] in _SAFE_METHODS:
            return None
        if not _same_origin(headers):
            return 403, "This request comes from another site's page and was not carried out."
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length) > BODY_BYTES_MAX:
            return 413, f"The body must state its length and have at most {BODY_BYTES_MAX} bytes."
        if int(length) and headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return 415, "Send JSON, with the header `Content-Type: application/json`."
        return None

    def _host_known(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in self._hosts:
            return True
        # A plain address cannot be rebound: there is no name that a foreign server could answer for.
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    async def _user(self, headers: Headers) -> str | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await run_in_threadpool(self._accounts.user_of_token, token.strip())
        key = session_key(headers)
        return await run_in_threadpool(self._accounts.user_of_session, key) if key else None


def session_key(headers: Headers) -> str:
    """Return the session's key out of the cookie, or nothing."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _same_origin(headers: Headers) -> bool:
    """Scripts with a token send neither header; browsers send at least one of them with every change."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


async def _refuse(send: Send, status: int, error: str) -> None:
    body = json.dumps({"error": error}).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
