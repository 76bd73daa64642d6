"""Logins as mail's protocols have them: SASL's PLAIN (RFC 4616), LOGIN and CRAM-MD5 (RFC 2195), and who gets in.

Of CRAM-MD5 the password is known only if a guess fits; else the fact has what a cracker needs, as hashcat's mode 16400
reads it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Generator
from dataclasses import dataclass

from eudaemon.events.catalogue import LoginTried
from eudaemon.protocols._accounts import admits
from eudaemon.protocols._base import Visit
from eudaemon.wire import printable
from eudaemon.world.host import Host
from eudaemon.world.users import known_passwords

MECHANISMS = (b"PLAIN", b"LOGIN", b"CRAM-MD5")
_CHARS_MAX = 256
_OTHERS_ONE_IN = 12  # of the logins for users that the device itself does not have


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who somebody says they are. With `challenge`, `password` is the digest that answers it, hexadecimal."""

    user: bytes
    password: bytes
    challenge: bytes = b""


def exchange(mechanism: bytes, initial: bytes | None, challenge: bytes) -> Generator[bytes, bytes, Credentials]:
    """Yield what is to be asked, base64, and take the answers. `initial` is an answer that came with the request.

    Raises `ValueError` for an answer that is none.
    """
    if mechanism == b"LOGIN":
        user = _decoded(initial if initial is not None else (yield b"VXNlcm5hbWU6"))
        return Credentials(user, _decoded((yield b"UGFzc3dvcmQ6")))
    if mechanism == b"PLAIN":
        _, _, rest = _decoded(initial if initial is not None else (yield b"")).partition(b"\0")
        user, _, password = rest.partition(b"\0")
        return Credentials(user, password)
    answer = _decoded((yield base64.b64encode(challenge)))
    user, _, digest = answer.rpartition(b" ")
    return Credentials(user, digest, challenge)


def challenge_of(visit: Visit, at_s: float) -> bytes:
    """Return a challenge for CRAM-MD5 as servers make them: `<number.time@name>`."""
    number = int.from_bytes(visit.seed.bytes("cram", 8), "big")
    return b"<%d.%d@%s>" % (number, int(at_s), visit.host.name.encode())


def judged(visit: Visit, given: Credentials) -> LoginTried:
    """Return the fact of a login, which says too whether it succeeds. An address gets in with one password only."""
    user, password = given.user, given.password
    if given.challenge:
        guesses = (user, name_of(user), b"password", b"123456", b"12345678", *known_passwords(name_of(user)))
        digest = given.password.lower()
        for guess in guesses:
            if _hmac_md5(guess, given.challenge) == digest:
                return LoginTried(_shown(user), _shown(guess), _admits(visit, user, guess))
        answer = base64.b64encode(user + b" " + digest)
        password = b"$cram_md5$%s$%s" % (base64.b64encode(given.challenge), answer)
        return LoginTried(_shown(user), printable(password, 2 * _CHARS_MAX), accepted=False)
    return LoginTried(_shown(user), _shown(password), _admits(visit, user, password))


def _admits(visit: Visit, user: bytes, password: bytes) -> bool:
    return admits(visit, name_of(user), password, right=accepts(visit.host, user, password))


def accepts(host: Host, user: bytes, password: bytes) -> bool:
    """Say whether a mail server lets this user in: as the device does, and a drawn share of users that it has not."""
    name = name_of(user)
    if host.accepts(name, password):
        return True
    if not name or not password or name in host.users:
        return False
    return host.seed.number(f"mail {name.hex()} {password.hex()}", _OTHERS_ONE_IN) == 0


def name_of(user: bytes) -> bytes:
    """Return the name without the domain."""
    return user.partition(b"@")[0].lower()


def _hmac_md5(key: bytes, data: bytes) -> bytes:
    """RFC 2104, hexadecimal. The library's own brings OpenSSL with it, 3 MiB for a sensor that may never need it."""
    padded = (hashlib.md5(key, usedforsecurity=False).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner, outer = (bytes(byte ^ mask for byte in padded) for mask in (0x36, 0x5C))
    first = hashlib.md5(inner + data, usedforsecurity=False).digest()
    return hashlib.md5(outer + first, usedforsecurity=False).hexdigest().encode()


def _shown(text: bytes) -> str:
    return printable(text, _CHARS_MAX)


def _decoded(text: bytes) -> bytes:
    """Return what base64 says; `=` stands for nothing (RFC 4954). Raises `ValueError`."""
    text = text.strip()
    try:
        return b"" if text == b"=" else base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("no base64") from None
