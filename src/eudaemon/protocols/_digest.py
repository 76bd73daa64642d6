"""What SIP and RTSP share: messages as RFC 2822 has them, and logins by Basic (RFC 7617) or Digest (RFC 2617, 7616).

A digest is no password. It is stated in the form that hashcat and John read; and where a password of the list that
worms try makes the same digest, that is the password.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from eudaemon.wire import PeerError, Purse, printable

HEAD_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = 64 * 1024
HEADERS_MAX = 64
_PARAMETER = re.compile(rb'([A-Za-z]{1,32})\s{0,8}=\s{0,8}(?:"([^"]*)"|([^\s,"]+))')
_HEAD_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Message:
    """One request. `headers` have their names in lower case."""

    method: bytes
    target: bytes
    version: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""

    def header(self, *names: bytes) -> bytes:
        """Return the first value under any of these names, empty if there is none."""
        return next((value for known, value in self.headers if known in names), b"")

    def all(self, *names: bytes) -> list[bytes]:
        """Return all values under any of these names, in order."""
        return [value for known, value in self.headers if known in names]


class MessageReader:
    """Reads messages off a stream, or out of datagrams. What it holds it takes from the purse."""

    __slots__ = ("_buffer", "_head", "_held", "_looked", "_purse")

    def __init__(self, purse: Purse) -> None:
        self._buffer = bytearray()
        self._held = 0
        self._looked = 0  # at how many bytes, without finding the head's end
        self._head: tuple[Message, int] | None = None  # that was read, and where its body ends
        self._purse = purse

    def feed(self, data: bytes) -> None:
        """Add bytes. Raises `PeerError` if there is no room."""
        self._buffer += data
        self._account()

    def next(self) -> Message | None:
        """Return the next whole message, None if there is none yet. Raises `PeerError` for what is none."""
        if self._head is None:
            self._read_head()
        if self._head is None or len(self._buffer) < self._head[1]:
            return None
        (message, end), self._head, self._looked = self._head, None, 0
        size = _body_bytes(message)
        body = bytes(self._buffer[end - size : end])
        del self._buffer[:end]
        self._account()
        return Message(message.method, message.target, message.version, message.headers, body)

    def _read_head(self) -> None:
        if not self._looked:
            blanks = len(self._buffer) - len(self._buffer.lstrip(b"\r\n\0"))
            del self._buffer[:blanks]  # RFC 3261 section 7.5; keep-alives are such
            self._account()
        found = _HEAD_END.search(self._buffer, max(0, self._looked - 3))
        self._looked = len(self._buffer)
        if found is None or found.start() > HEAD_BYTES_MAX:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise PeerError(f"head over {HEAD_BYTES_MAX} bytes")
            return
        message = parsed(bytes(self._buffer[: found.start()]))
        if _body_bytes(message) > BODY_BYTES_MAX:
            raise PeerError(f"body over {BODY_BYTES_MAX} bytes")
        self._head = message, found.end() + _body_bytes(message)

    def interleaved(self) -> bytes | None:
        """Take what RTSP puts between messages (RFC 2326 section 10.12), None if there is no whole one at the front."""
        if self._head is not None or self._buffer[:1] != b"$" or len(self._buffer) < 4:
            return None
        end = 4 + int.from_bytes(self._buffer[2:4], "big")
        if len(self._buffer) < end:
            return None
        taken = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._looked = 0
        self._account()
        return taken

    def _account(self) -> None:
        more = len(self._buffer) - self._held
        if more > 0 and not self._purse.take(more):
            raise PeerError("the session holds too many bytes")
        if more < 0:
            self._purse.give_back(-more)
        self._held += more


def _body_bytes(message: Message) -> int:
    digits = message.header(b"content-length", b"l")
    return int(digits) if digits.isdigit() and len(digits) < 9 else 0


def parsed(head: bytes) -> Message:
    """Read a request line and its headers. Raises `PeerError` for what is none."""
    lines = head.replace(b"\r\n", b"\n").split(b"\n")
    words = lines[0].split(b" ")
    if len(words) != 3 or b"/" not in words[2] or not words[0].isascii() or not words[0].replace(b"_", b"").isalpha():
        raise PeerError("no request line")
    headers: list[tuple[bytes, bytes]] = []
    for line in lines[1:]:
        if line[:1] in (b" ", b"\t") and headers:
            headers[-1] = headers[-1][0], headers[-1][1] + b" " + line.strip()
            continue
        name, _, value = line.partition(b":")
        if len(headers) >= HEADERS_MAX:
            raise PeerError(f"more than {HEADERS_MAX} headers")
        headers.append((name.strip().lower(), value.strip()))
    return Message(words[0], words[1], words[2], tuple(headers))


@dataclass(frozen=True, slots=True)
class Login:
    """What an Authorization header says. `password` is None where a digest stands for it."""

    user: bytes
    password: bytes | None
    parameters: dict[bytes, bytes]  # of a digest

    def digest(self, method: bytes, password: bytes, uri: bytes | None = None) -> bytes:
        """Return the response that this password would have given (RFC 2617 section 3.2.2), for the URI it names."""
        given = self.parameters.get
        first = _md5(b"%s:%s:%s" % (self.user, given(b"realm", b""), password))
        second = _md5(b"%s:%s" % (method, given(b"uri", b"") if uri is None else uri))
        nonce = given(b"nonce", b"")
        quality = given(b"qop", b"")
        middle = b"%s:%s:%s:%s" % (nonce, given(b"nc", b""), given(b"cnonce", b""), quality) if quality else nonce
        return _md5(b"%s:%s:%s" % (first, middle, second))

    def found(self, method: bytes, target: bytes, passwords: Iterable[bytes]) -> bytes | None:
        """Return the password, if it was said or is one of these.

        Some guess with the request's own target, whatever URI they name: Hydra at SIP.
        """
        if self.password is not None:
            return self.password
        response = self.parameters.get(b"response", b"").lower()
        uris = {target, self.parameters.get(b"uri", b"")}
        return next((one for one in passwords for uri in uris if self.digest(method, one, uri) == response), None)

    def crackable(self, method: bytes, server: str, client: str) -> str:
        """Return a digest as hashcat's mode 11400 and John read it (`$sip$*…`); empty if the password was said."""
        if self.password is not None:
            return ""
        given = self.parameters.get
        scheme, colon, resource = given(b"uri", b"").partition(b":")
        fields = (
            self.user, given(b"realm", b""), method, scheme if colon else b"", resource if colon else scheme, b"",
            given(b"nonce", b""), given(b"cnonce", b""), given(b"nc", b""), given(b"qop", b""), b"MD5",
            given(b"response", b""),
        )  # fmt: skip
        return "*".join(("$sip$", server, client, *(printable(field, 512) for field in fields)))


def login_of(header: bytes) -> Login | None:
    """Read an Authorization header, None if it is of another scheme or broken."""
    scheme, _, rest = header.lstrip(b": ").partition(b" ")  # hydra's module for RTSP writes a colon too many
    if scheme.lower() == b"basic":
        try:
            user, _, password = base64.b64decode(rest.strip()).partition(b":")
        except binascii.Error:
            return None
        return Login(user, password, {})
    if scheme.lower() != b"digest":
        return None
    parameters = {
        found[1].lower(): found[2] if found[2] is not None else found[3] for found in _PARAMETER.finditer(rest)
    }
    return Login(parameters.get(b"username", b""), None, parameters)


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()
