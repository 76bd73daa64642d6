"""What a peer's first TLS message says of the peer: the name it asks for, and its JA4 and JA3 fingerprints.

RFC 8446 section 4.1.2 for the message, FoxIO's JA4 technical details and Salesforce's description of JA3 for the
fingerprints. Reads bounded bytes; whatever does not fit the format is a message that tells nothing, not an error: TLS
itself judges it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

HELLO_BYTES_MAX = 16 * 1024
_RECORD_HEADER, _MESSAGE_HEADER = 5, 4
_SERVER_NAME, _GROUPS, _FORMATS, _SIGNATURES, _ALPN, _VERSIONS = 0x0000, 0x000A, 0x000B, 0x000D, 0x0010, 0x002B
_VERSION_NAMES = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}


@dataclass(slots=True)
class ClientHello:
    """The parts of a ClientHello that the fingerprints are made of."""

    version: int = 0
    ciphers: list[int] = field(default_factory=list)
    extensions: list[int] = field(default_factory=list)
    signatures: list[int] = field(default_factory=list)
    server_name: str = ""
    alpn: bytes = b""  # the first protocol offered
    legacy_version: int = 0  # as it stands in the message's head: of TLS 1.3 that of 1.2
    groups: list[int] = field(default_factory=list)  # "supported groups", once called elliptic curves
    formats: list[int] = field(default_factory=list)  # of points on such curves

    @property
    def ja4(self) -> str:
        """The fingerprint, `t13d1516h2_8daaf6152771_e5627efa2ab1`."""
        ciphers = sorted(f"{c:04x}" for c in self.ciphers if not _is_grease(c))
        extensions = [f"{e:04x}" for e in self.extensions if not _is_grease(e)]
        hashed = sorted(e for e in extensions if e not in ("0000", "0010"))
        signatures = [f"{s:04x}" for s in self.signatures if not _is_grease(s)]
        named = "d" if _SERVER_NAME in self.extensions else "i"
        a = f"t{_VERSION_NAMES.get(self.version, '00')}{named}{min(len(ciphers), 99):02d}{min(len(extensions), 99):02d}"
        tail = ",".join(hashed) + ("_" + ",".join(signatures) if signatures else "")
        return f"{a}{_ends(self.alpn)}_{_short(','.join(ciphers))}_{_short(tail if hashed else '')}"

    @property
    def ja3_text(self) -> str:
        """What JA3 is the hash of: five lists, `769,47-53,0-10-11,23-24-25,0`. Empty of no message."""
        if not self.legacy_version:
            return ""
        lists = (self.ciphers, self.extensions, self.groups, self.formats)
        return ",".join(
            (str(self.legacy_version), *("-".join(str(n) for n in one if not _is_grease(n)) for one in lists))
        )

    @property
    def ja3(self) -> str:
        """The fingerprint that tools before JA4 know: MD5 of `ja3_text`, hexadecimal; empty of no message."""
        text = self.ja3_text
        return hashlib.md5(text.encode("ascii"), usedforsecurity=False).hexdigest() if text else ""


class HelloReader:
    """Takes the peer's first records, gives the ClientHello when it is whole."""

    __slots__ = ("_message", "_records")

    def __init__(self) -> None:
        self._records = b""
        self._message = b""

    def feed(self, data: bytes) -> ClientHello | None:
        """Take bytes; return the message once it is whole, or an empty one if it is none or too long."""
        self._records += data
        while len(self._records) >= _RECORD_HEADER:
            end = _RECORD_HEADER + int.from_bytes(self._records[3:5], "big")
            if self._records[0] != 22 or len(self._message) + len(self._records) > HELLO_BYTES_MAX:
                return ClientHello()
            if len(self._records) < end:
                return None
            self._message += self._records[_RECORD_HEADER:end]
            self._records = self._records[end:]
            length = _MESSAGE_HEADER + int.from_bytes(self._message[1:4], "big")
            if len(self._message) >= length > _MESSAGE_HEADER:
                return read(self._message[_MESSAGE_HEADER:length])
        return None


def read(message: bytes) -> ClientHello:
    """Read a ClientHello's body as far as it keeps to the format."""
    hello = ClientHello()
    try:
        hello.version = hello.legacy_version = int.from_bytes(message[:2], "big")
        at = 34  # behind the random
        at += 1 + message[at]
        size = int.from_bytes(message[at : at + 2], "big")
        hello.ciphers = list(_numbers(message[at + 2 : at + 2 + size]))
        at += 2 + size
        at += 1 + message[at]
        _read_extensions(hello, message[at + 2 : at + 2 + int.from_bytes(message[at : at + 2], "big")])
    except IndexError:
        pass
    return hello


def _read_extensions(hello: ClientHello, data: bytes) -> None:
    while len(data) >= 4:
        kind, size = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        body, data = data[4 : 4 + size], data[4 + size :]
        hello.extensions.append(kind)
        if kind == _SERVER_NAME:
            hello.server_name = body[5 : 5 + int.from_bytes(body[3:5], "big")].decode("ascii", "backslashreplace")[:253]
        elif kind == _SIGNATURES:
            hello.signatures = list(_numbers(body[2:]))
        elif kind == _GROUPS:
            hello.groups = list(_numbers(body[2:]))
        elif kind == _FORMATS:
            hello.formats = list(body[1:])
        elif kind == _ALPN and len(body) > 2:
            hello.alpn = body[3 : 3 + body[2]]
        elif kind == _VERSIONS:
            offered = [v for v in _numbers(body[1:]) if not _is_grease(v)]
            hello.version = max(offered, default=hello.version)


def _numbers(data: bytes) -> Iterator[int]:
    for at in range(0, len(data) - 1, 2):
        yield int.from_bytes(data[at : at + 2], "big")


def _is_grease(number: int) -> bool:
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF  # RFC 8701


def _ends(alpn: bytes) -> str:
    """Return the first and last character of the first ALPN value; of its hexadecimal form if they are no such."""
    if not alpn:
        return "00"
    ends = alpn[:1] + alpn[-1:]
    if ends.isalnum():
        return ends.decode("ascii")
    return alpn.hex()[0] + alpn.hex()[-1]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12] if text else "0" * 12
