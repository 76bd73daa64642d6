"""HTTP requests, and what an answer's status means. Redirects are not followed: a secret is for one place alone."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import math
import secrets
import socket
import ssl
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from eudaemon import __version__
from eudaemon.farm.outputs.batch import Format, Item
from eudaemon.farm.outputs.peers import TIMEOUT_S, LaterError, RefusedError, TooLargeError, clipped_answer
from eudaemon.farm.outputs.peers.stream import told, trusting, within
from eudaemon.farm.outputs.settings import Post

ANSWER_BYTES_MAX = 64 * 1024
ANSWER_S_MAX = 60.0  # for a request and its whole answer, and what its body takes at the slowest
SENT_BYTES_S_MIN = 32 * 1024
_BLOCK_BYTES = 64 * 1024  # of a body; the connection's timeout is for each
RETRY_S_MAX = 86_400.0
# What is wrong with the request itself, and will be wrong tomorrow. Everything else, a wrong key too, can be mended.
REFUSALS = frozenset({400, 406, 409, 410, 411, 413, 414, 415, 422})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said; of the body at most as much as was asked for."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> dict[str, Any]:
        """Return the object that it is in JSON; an empty one if it is none."""
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def __str__(self) -> str:
        return f"{self.status} {clipped_answer(self.text)}".strip()


class Web:
    """One server."""

    def __init__(self, url: str, ca_file: str = "", answer_bytes_max: int = ANSWER_BYTES_MAX) -> None:
        parts = urlsplit(url)
        self._answer_bytes_max = answer_bytes_max
        self._host, self._port = parts.hostname or "", parts.port
        self._base = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._context: ssl.SSLContext | None = trusting(ca_file) if parts.scheme == "https" else None
        self._socket: socket.socket | None = None

    def ask(self, body: bytes | None, headers: Mapping[str, str], path: str = "", method: str = "POST") -> Answer:
        """Make one request: of the URL that it was made with, or of another path of the server. Raises `LaterError`."""
        how: dict[str, Any] = {"timeout": TIMEOUT_S, "blocksize": _BLOCK_BYTES}
        connection = (
            http.client.HTTPConnection(self._host, self._port, **how) if self._context is None
            else http.client.HTTPSConnection(self._host, self._port, context=self._context, **how)
        )  # fmt: skip
        said = {"User-Agent": f"Eudaemon/{__version__}", "Connection": "close", **headers}
        more_s = 0.0 if body is None else len(body) / SENT_BYTES_S_MIN
        if body is not None:
            said["Content-Length"] = str(len(body))
        try:
            with within(ANSWER_S_MAX + more_s, self.close):
                connection.connect()
                self._socket = connection.sock
                connection.request(method, path or self._base, None if body is None else io.BytesIO(body), said)
                connection.sock.settimeout(TIMEOUT_S + more_s)  # much of a body may be on its way yet
                response = connection.getresponse()
                data = response.read(self._answer_bytes_max)
                if response.length and len(data) < self._answer_bytes_max:
                    raise http.client.IncompleteRead(b"", response.length)
            found = {k.lower(): v for k, v in response.getheaders()}
            return Answer(response.status, found, data.decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException) as error:
            raise LaterError(f"{self._host} does not answer: {told(error)}") from None
        finally:
            self._socket = None
            connection.close()

    @property
    def path(self) -> str:
        """Return the path of the URL that it was made with."""
        return self._base

    def close(self) -> None:
        """Hang up."""
        if (opened := self._socket) is not None:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)  # a mere close wakes nobody


def judged(answer: Answer, refusals: Collection[int] = REFUSALS) -> str:
    """Return an answer in words if it is a good one. Raises `LaterError`, `RefusedError`."""
    if 200 <= answer.status < 300:
        return str(answer)
    if answer.status in refusals:
        raise TooLargeError(str(answer)) if answer.status == 413 else RefusedError(str(answer))
    raise LaterError(str(answer), retry_s(answer.headers.get("retry-after", "")))


def strange(answer: Answer) -> LaterError:
    """Return the error for an answer that is not as its server's makers document it."""
    try:
        judged(answer, ())
    except LaterError as error:
        return error
    return LaterError(f"what answers there is something else: {answer}")


def form(*parts: tuple[str, str, str, bytes]) -> tuple[bytes, str]:
    """Return a form with files, and its media type. A part is name, file name, media type, bytes (RFC 7578)."""
    edge = secrets.token_hex(16)
    body = b""
    for name, file, media, data in parts:
        called = f'; filename="{file}"' if file else ""
        head = f'--{edge}\r\nContent-Disposition: form-data; name="{name}"{called}\r\nContent-Type: {media}\r\n\r\n'
        body += head.encode("ascii") + data + b"\r\n"
    return body + f"--{edge}--\r\n".encode("ascii"), f"multipart/form-data; boundary={edge}"


def retry_s(header: str) -> float | None:
    """Return for how long a `Retry-After` wants to be waited: seconds, or until a date (RFC 9110, section 10.2.3)."""
    try:
        is_number = header.strip().isdecimal()
        wait_s = float(header) if is_number else parsedate_to_datetime(header).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), RETRY_S_MAX) if math.isfinite(wait_s) else None


class Poster:
    """Any HTTP server: lines together in one request, files in one each."""

    pause_s = 0.0

    def __init__(self, settings: Post, format_: Format) -> None:
        self.items_max = 1_000_000 if format_.lines else 1
        self._format = format_
        self._web = Web(settings.url, settings.ca_file)
        self._headers = {"Content-Type": format_.media}
        if settings.authorization:
            self._headers["Authorization"] = settings.authorization

    def fits(self, _: Item) -> bool:
        """See `Peer`."""
        return True

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        headers = dict(self._headers)
        if self._format.lines:
            body = b"".join(item.data + b"\n" for item in items)
        else:
            (item,) = items
            body = item.data
            headers["Content-Disposition"] = f'attachment; filename="{item.name}"'
        return judged(self._web.ask(body, headers))

    def close(self) -> None:
        """See `Peer`."""
        self._web.close()
