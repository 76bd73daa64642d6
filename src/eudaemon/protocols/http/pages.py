"""What the web server shows to whoever asks without an exploit: login, status, icon, and its product's errors."""

from __future__ import annotations

from dataclasses import dataclass

from eudaemon.protocols._http import http_date
from eudaemon.protocols._places import Look, matches
from eudaemon.protocols.http.answers import SERVICES, Answer
from eudaemon.protocols.http.persona import Persona
from eudaemon.wire import decode

_USER_FIELDS = (b"user", b"usr", b"uname", b"login", b"log", b"account", b"name", b"email")
_PASSWORD_FIELDS = (b"pass", b"pwd", b"psw", b"psd", b"pw", b"secret", b"credential")
_ROOTS = (b"/", b"/index.html", b"/index.htm", b"/index.asp", b"/index.cgi", b"/cgi-bin/luci")


@dataclass(frozen=True, slots=True)
class Reply:
    """A response before it has a head."""

    status: int
    content_type: str = ""
    body: bytes = b""
    extra: tuple[tuple[str, str], ...] = ()


def login_of(look: Look) -> tuple[bytes, bytes] | None:
    """Return the user and password that a request tries: Basic (RFC 7617), a form, or JSON."""
    scheme, _, credentials = look.request.header(b"authorization").partition(b" ")
    if scheme.lower() == b"basic":
        user, colon, password = (decode.base64_text(credentials) or b"").partition(b":")
        return (user, password) if colon else None
    pairs = list(look.parameters)
    if isinstance(look.json, dict):
        pairs += [(str(k).encode("utf-8", "replace"), str(v).encode("utf-8", "replace"))
                  for k, v in look.json.items() if isinstance(v, str | int)]  # fmt: skip
    # The last word of the name counts: `Frm_Username`, `login_pwd`, `data[password]`.
    passwords = [value for name, value in pairs if any(word in name.lower() for word in _PASSWORD_FIELDS)]
    users = [value for name, value in pairs if any(word in name.lower() for word in _USER_FIELDS)
             and not any(word in name.lower() for word in _PASSWORD_FIELDS)]  # fmt: skip
    return (users[0], passwords[0]) if users and passwords else None


def page(persona: Persona, look: Look, *, accepted: bool | None) -> Reply:
    """Return the answer to a request that no exploit is in; `accepted` is None if it tries no login."""
    method, path = look.request.method, look.path
    if method not in ("GET", "HEAD", "POST"):
        return _error(persona, 405 if method in ("PUT", "DELETE", "OPTIONS", "PATCH") else 501)
    service = service_of(look)
    if service:
        return Reply(service.status, service.content_type, filled(service, persona, b"", ""))
    if path == b"/favicon.ico":
        return _favicon(persona, look)
    known = path in (*_ROOTS, persona.page_path.encode(), persona.login_path.encode())
    inside = accepted or _has_cookie(persona, look)
    if persona.asks_basic:
        if not inside:
            reply = _error(persona, 401)
            return Reply(401, reply.content_type, reply.body, (("WWW-Authenticate", f'Basic realm="{persona.realm}"'),))
        return Reply(200, "text/html", persona.status_page()) if known else _error(persona, 404)
    if accepted:
        cookie = ("Set-Cookie", f"{persona.cookie}={persona.token}; path=/")
        return Reply(302, "text/html", b"", (("Location", persona.page_path), cookie))
    if accepted is False:
        return Reply(200, "text/html", persona.login_page(again=True))
    if not known:
        return _error(persona, 404)
    return Reply(200, "text/html", persona.status_page() if inside else persona.login_page())


def service_of(look: Look) -> Answer | None:
    """Return what the service that is asked for answers, if there is one."""
    for method, path, answer in SERVICES:
        if method == look.request.method and matches(path, look.path.lower()):
            return answer
    return None


def filled(answer: Answer, persona: Persona, output: bytes, session: str) -> bytes:
    """Return an answer's body with its places filled in."""
    body = answer.body.replace("{model}", persona.model).replace("{id}", session or persona.token).encode()
    inside = output.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return body.replace(b"{json}", inside).replace(b"{output}", output)


def _error(persona: Persona, status: int) -> Reply:
    return Reply(status, "text/html", persona.error_page(status))


def _favicon(persona: Persona, look: Look) -> Reply:
    extra = (("Last-Modified", http_date(persona.built_s)), ("ETag", f'"{persona.etag}"'))
    if persona.etag.encode() in look.request.header(b"if-none-match"):
        return Reply(304, extra=extra)
    return Reply(200, "image/x-icon", persona.favicon(), extra)


def _has_cookie(persona: Persona, look: Look) -> bool:
    return f"{persona.cookie}={persona.token}".encode() in look.request.header(b"cookie")
