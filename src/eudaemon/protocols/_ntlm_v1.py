"""NTLM's responses of before its second version (MS-NLMP 3.3.1): which kind one is, and whose password answers so.

    LM            DES under what LAN Manager keeps of a password, in capitals, of the challenge
    NTLMv1        DES under what Windows keeps of it, of the challenge
    NTLMv1-SSP    the same, of eight bytes of MD5 of the challenge and another, which the client adds

All three cut 16 bytes into three keys of seven, filled up with zeros. So the last third of a response depends on two
bytes: it is compared first.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from eudaemon.wire.des import Schedule, encrypt, encrypted, schedule
from eudaemon.wire.md4 import md4

RESPONSE_BYTES = 24
LM, V1, V1_SSP = "LM", "NTLMv1", "NTLMv1-SSP"
_CLIENT_CHALLENGE = slice(0, 8)
_NOTHING = bytes(16)  # behind the client's challenge, where a response of LM would go on
_LM_PLAIN = b"KGS!@#$%"
_LM_CHARS = 14
_EXTENDED, _LM_KEY = 0x8_0000, 0x80


def nt_hash(password: str) -> bytes:
    """Return MD4 of a password in UTF-16: what Windows keeps of it."""
    return md4(password.encode("utf-16-le", "surrogatepass"))


def lm_hash(password: str) -> bytes:
    """Return what LAN Manager keeps of a password (MS-NLMP 3.3.1)."""
    text = password.upper().encode("latin-1", "replace")[:_LM_CHARS].ljust(_LM_CHARS, b"\0")
    return encrypt(_key(text[:7]), _LM_PLAIN) + encrypt(_key(text[7:]), _LM_PLAIN)


def kind_of(lm: bytes, nt: bytes) -> str:
    """Return which of the three kinds a pair of responses is, empty if none.

    Nothing but zeros is no client's challenge, but what hydra sends in the place of an answer that it does not give.
    """
    if len(nt) == RESPONSE_BYTES:
        is_extended = len(lm) == RESPONSE_BYTES and lm[8:] == _NOTHING and any(lm[_CLIENT_CHALLENGE])
        return V1_SSP if is_extended else V1
    return LM if not nt and len(lm) == RESPONSE_BYTES else ""


def challenge_of(kind: str, challenge: bytes, lm: bytes) -> bytes:
    """Return the eight bytes that were answered."""
    if kind != V1_SSP:
        return challenge
    return hashlib.md5(challenge + lm[_CLIENT_CHALLENGE], usedforsecurity=False).digest()[:8]


def response(hashed: bytes, challenge: bytes) -> bytes:
    """Return the answer of who knows what is kept of a password."""
    return b"".join(encrypt(_key(part), challenge) for part in _thirds(hashed))


def found(
    kind: str, challenge: bytes, lm: bytes, nt: bytes, likely: Iterable[str], known: tuple[str, ...]
) -> str | None:
    """Return the password that answers so, of those that are likely and those that are known; None if none does."""
    answered, given = challenge_of(kind, challenge, lm), lm if kind == LM else nt
    hashing = lm_hash if kind == LM else nt_hash
    for password, last in _with_last((*likely,), known, hashing):
        if encrypted(last, answered) == given[16:] and response(hashing(password), answered) == given:
            return password
    return None


def session_key(kind: str, password: str, challenge: bytes, lm: bytes, flags: int) -> bytes | None:
    """Return the key of a session that was begun so, None if it is one of LAN Manager's (MS-NLMP 3.4.5.1)."""
    if kind == LM or (flags & _LM_KEY and not flags & _EXTENDED):
        return None
    base = md4(nt_hash(password))
    return hmac.digest(base, challenge + lm[_CLIENT_CHALLENGE], "md5") if kind == V1_SSP else base


def _with_last(
    likely: tuple[str, ...], known: tuple[str, ...], hashing: Callable[[str], bytes]
) -> Iterator[tuple[str, Schedule]]:
    for password in likely:
        yield password, _last_of(password, hashing)
    yield from _known(known, hashing)


@cache
def _known(passwords: tuple[str, ...], hashing: Callable[[str], bytes]) -> tuple[tuple[str, Schedule], ...]:
    """Return passwords, each with the keys of the last third of its answers."""
    return tuple((password, _last_of(password, hashing)) for password in passwords)


def _last_of(password: str, hashing: Callable[[str], bytes]) -> Schedule:
    return schedule(_key(_thirds(hashing(password))[2]))


def _thirds(hashed: bytes) -> tuple[bytes, bytes, bytes]:
    whole = hashed.ljust(21, b"\0")
    return whole[:7], whole[7:14], whole[14:]


def _key(seven: bytes) -> bytes:
    """Return eight bytes with seven bits of the key in each; the last of each is parity, which nobody looks at."""
    bits = int.from_bytes(seven, "big")
    return bytes((bits >> (49 - 7 * at) & 0x7F) << 1 for at in range(8))
