"""NTLMSSP, which Windows' services log people in with (MS-NLMP), bare or in SPNEGO (`_spnego`).

    NEGOTIATE --> CHALLENGE --> AUTHENTICATE --> in or not

Whoever answers the challenge proves that it knows a password, and does not say it. The passwords of the lists that
worms use are tried against the answer; a password that is found decides who gets in. Any other is refused, unless the
address has tried very many. What was answered is evidence in either case, in the form in which hashcat takes it. The
answers of before the second version are `_ntlm_v1`'s.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import TypeAlias

from eudaemon.events.catalogue import LoginTried, NtlmResponseGiven
from eudaemon.protocols import _ntlm_v1, _spnego
from eudaemon.protocols._accounts import WINDOWS, admits, is_settled
from eudaemon.protocols._base import Order, Saw, Visit
from eudaemon.protocols._ntlm_v1 import RESPONSE_BYTES, nt_hash
from eudaemon.protocols._windows import PASSWORDS, FileServer
from eudaemon.wire import PeerError, clipped

_Keyed: TypeAlias = "tuple[hashlib._Hash, hashlib._Hash]"
TOKEN_BYTES_MAX = 16 * 1024
NAME_CHARS_MAX = 256
SIGNATURE = b"NTLMSSP\0"
_UNICODE, _OEM, _REQUEST_TARGET, _SIGN, _SEAL, _NTLM = 0x1, 0x2, 0x4, 0x10, 0x20, 0x200
_ALWAYS_SIGN, _SERVER, _EXTENDED, _TARGET_INFO, _VERSION = 0x8000, 0x2_0000, 0x8_0000, 0x80_0000, 0x200_0000
_128, _KEY_EXCHANGE, _56 = 0x2000_0000, 0x4000_0000, 0x8000_0000
_MIRRORED = _SIGN | _SEAL | _ALWAYS_SIGN | _EXTENDED | _128 | _KEY_EXCHANGE | _56
_TRIED = "passwords tried"  # in the memory of addresses
_V2 = "NTLMv2"
_PROOF_BYTES = 16


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is. An anonymous user has no name; `key` is the session's, None if the password is not known.

    `flags` are those of the dialogue, which say how messages are signed and sealed.
    """

    user: str = ""
    password: str = ""
    accepted: bool = False
    administers: bool = False
    key: bytes | None = None
    flags: int = 0

    @property
    def is_guest(self) -> bool:
        """Whether the session is nobody's, so that nothing in it can be signed."""
        return self.key is None

    @property
    def seals(self) -> bool:
        """Whether messages can be signed and sealed as `Seal` does it."""
        return self.key is not None and bool(self.flags & _EXTENDED)


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes next: a token for the peer, and who it is once that is known."""

    token: bytes
    identity: Identity | None = None


class Authentication:
    """One dialogue. `is_wrapped` tokens are in SPNEGO."""

    __slots__ = ("_challenge", "_mechanisms", "_visit", "_windows")

    def __init__(self, visit: Visit, windows: FileServer, number: int = 0) -> None:
        self._visit = visit
        self._windows = windows
        self._challenge = visit.seed.bytes(f"ntlm challenge {number}", 8)
        self._mechanisms = b""  # those that the client offered, as it listed them

    @property
    def challenge(self) -> bytes:
        """The eight bytes that are to be answered."""
        return self._challenge

    def answer(self, given: bytes, at_s: float) -> Generator[Order, None, Answer]:
        """Take a token; yield what was seen, return the answer. Raises `PeerError` for what is no token."""
        if len(given) > TOKEN_BYTES_MAX:
            raise PeerError(f"a token of over {TOKEN_BYTES_MAX} bytes")
        at = given.find(SIGNATURE)
        if at < 0:
            if given[:1] in (b"\x60", b"\xa1"):  # another mechanism first: it is told which one we want
                self._mechanisms = _spnego.mechanisms_in(given)
                return Answer(_spnego.incomplete(b""))
            raise PeerError("a token that is not of NTLM")
        token, is_wrapped = given[at:], at > 0
        kind = _u32(token, 8)
        if kind == 1:
            challenge = self._challenge_token(_u32(token, 12), at_s)
            self._mechanisms = self._mechanisms or _spnego.mechanisms_in(given)
            return Answer(_spnego.incomplete(challenge) if is_wrapped else challenge)
        if kind != 3:
            raise PeerError(f"a token of NTLM of kind {kind}")
        identity = yield from self._authenticate(token)
        return Answer(_spnego.complete(self._check(given, identity)) if is_wrapped else b"", identity)

    def _check(self, given: bytes, identity: Identity) -> bytes:
        """Return our signature over the client's list of mechanisms, if it has given its own."""
        if identity.key is None or not identity.seals or not _spnego.wants_check(given):
            return b""
        return Seal(identity.key, identity.flags, "server-to-client").signature(self._mechanisms)

    def raw(self, user: str, domain: str, lm: bytes, nt: bytes) -> Generator[Order, None, Identity]:
        """Take the responses as SMB 1 carries them without a token; yield what was seen, return who it is."""
        return (yield from self._judge(user, domain, "", lm, nt, b"", 0))

    def _challenge_token(self, flags: int, at_s: float) -> bytes:
        windows = self._windows
        wide = bool(flags & _UNICODE)
        target = windows.name.encode("utf-16-le" if wide else "ascii")
        name = windows.name.encode("utf-16-le")
        info = b"".join(
            struct.pack("<HH", kind, len(value)) + value
            for kind, value in ((2, name), (1, name), (4, name), (3, name), (7, filetime(at_s)), (0, b""))
        )
        answered = (flags & _MIRRORED) | _NTLM | _REQUEST_TARGET | _SERVER | _TARGET_INFO | _VERSION
        answered |= _UNICODE if wide else _OEM
        head = SIGNATURE + struct.pack("<IHHII", 2, len(target), len(target), 56, answered) + self._challenge
        head += bytes(8) + struct.pack("<HHI", len(info), len(info), 56 + len(target))
        return head + struct.pack("<BBHxxxB", *windows.version, windows.build, 15) + target + info

    def _authenticate(self, token: bytes) -> Generator[Order, None, Identity]:
        lm, nt, domain, user, workstation, session_key = (_field(token, 12 + 8 * number) for number in range(6))
        flags = _u32(token, 60) if len(token) >= 64 else _UNICODE
        who, where, client = (_text(data, wide=bool(flags & _UNICODE)) for data in (user, domain, workstation))
        return (yield from self._judge(who, where, client, lm, nt, session_key, flags))

    def _judge(
        self, user: str, domain: str, workstation: str, lm: bytes, nt: bytes, session_key: bytes, flags: int
    ) -> Generator[Order, None, Identity]:
        kind = _V2 if len(nt) > RESPONSE_BYTES else _ntlm_v1.kind_of(lm, nt)
        if not user and not kind:
            yield Saw(NtlmResponseGiven("", domain, workstation))
            return Identity(accepted=True)
        yield Saw(NtlmResponseGiven(user, domain, workstation, self._evidence(kind, user, domain, lm, nt), kind))
        password, base = self._found(kind, user, domain, lm, nt, flags)
        is_guest = user.lower() == "guest"
        name = user.lower().encode("utf-8", "replace")
        if password is not None:
            right = self._windows.accepts(user, password)
            accepted = admits(self._visit, name, password.encode("utf-8", "replace"), right=right, accounts=WINDOWS)
        else:
            accepted = not is_settled(self._visit, name, WINDOWS) and self._gives_in(user)
        yield Saw(LoginTried(user, password, accepted))
        key = None
        if accepted and base is not None and not is_guest:
            key = Rc4(base).under(session_key) if flags & _KEY_EXCHANGE and len(session_key) == 16 else base
        return Identity(user, password or "", accepted, self._windows.administers(user), key, flags)

    def _gives_in(self, user: str) -> bool:
        """Say whether this address has tried so often that one of its passwords is to have been the right one."""
        memory, address = self._visit.memory, self._visit.attacker.ip
        if not self._windows.administers(user) or user.lower() not in self._windows.accounts:
            return False
        tried = int.from_bytes(memory.recall(_TRIED, address), "big") + 1
        memory.remember(_TRIED, address, min(tried, 0xFFFF).to_bytes(2, "big"))
        return tried > self._windows.gives_in_after

    def _evidence(self, kind: str, user: str, domain: str, lm: bytes, nt: bytes) -> str:
        challenge = self._challenge.hex()
        if kind == _V2:
            proof, rest = nt[:_PROOF_BYTES].hex(), nt[_PROOF_BYTES:].hex()
            return clipped(f"{user}::{domain}:{challenge}:{proof}:{rest}", 4096)
        return f"{user}::{domain}:{lm[:RESPONSE_BYTES].hex()}:{nt.hex()}:{challenge}" if kind else ""

    def _found(
        self, kind: str, user: str, domain: str, lm: bytes, nt: bytes, flags: int
    ) -> tuple[str | None, bytes | None]:
        """Return the password that was answered with, and the key that follows from it, or nothing."""
        if not kind:
            return "", None
        of_user = (user, user.lower(), user.lower() + "123", user + "@123")
        if kind != _V2:
            password = _ntlm_v1.found(kind, self._challenge, lm, nt, of_user, ("", *PASSWORDS))
            if password is not None:
                return password, _ntlm_v1.session_key(kind, password, self._challenge, lm, flags)
            if kind != _ntlm_v1.LM:
                return None, None
            nt = lm  # LMv2 alone, as medusa answers (MS-NLMP 3.3.2)
        given, rest = nt[:_PROOF_BYTES], self._challenge + nt[_PROOF_BYTES:]
        name = (user.upper() + domain).encode("utf-16-le", "surrogatepass")
        for password, kept in chain(_known(), ((password, _keyed(nt_hash(password))) for password in of_user)):
            key = _under(kept, name)
            if _under_once(key, rest) == given:
                return password, _under_once(key, given)
        return None, None


def filetime(at_s: float) -> bytes:
    """Return a time as Windows counts it: 100 ns since 1601."""
    return int((at_s + 11_644_473_600) * 10_000_000).to_bytes(8, "little")


def _u32(token: bytes, at: int) -> int:
    if len(token) < at + 4:
        raise PeerError("a token of NTLM that breaks off")
    return int.from_bytes(token[at : at + 4], "little")


def _field(token: bytes, at: int) -> bytes:
    """Return the bytes that a length, a maximum and an offset point at."""
    size, offset = _u32(token, at) & 0xFFFF, _u32(token, at + 4)
    if size and offset + size > len(token):
        raise PeerError("a token of NTLM that breaks off")
    return token[offset : offset + size]


def _text(data: bytes, *, wide: bool) -> str:
    text = data.decode("utf-16-le" if wide else "latin-1", "replace")
    return clipped("".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text), NAME_CHARS_MAX)


# --- primitives -----------------------------------------------------------------------------------


@cache
def _known() -> tuple[tuple[str, _Keyed], ...]:
    """Return the passwords that are tried, each with what Windows keeps of it, as a key."""
    return tuple((password, _keyed(nt_hash(password))) for password in ("", *PASSWORDS))


def _keyed(key: bytes) -> _Keyed:
    """Return a key of 16 bytes for HMAC-MD5 (RFC 2104), half of its work done; `hmac` takes three times as long."""
    inner, outer = (hashlib.md5(key.ljust(64, b"\0").translate(pad), usedforsecurity=False) for pad in (_INNER, _OUTER))
    return inner, outer


def _under(key: _Keyed, message: bytes) -> bytes:
    """Return HMAC-MD5 of a message."""
    inner, outer = key[0].copy(), key[1].copy()
    inner.update(message)
    outer.update(inner.digest())
    return outer.digest()


def _under_once(key: bytes, message: bytes) -> bytes:
    """Return the same for a key that is used once or twice, and has 16 bytes."""
    padded = key.ljust(64, b"\0")
    return _md5(padded.translate(_OUTER) + _md5(padded.translate(_INNER) + message))


_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


class Rc4:
    """A stream under RC4."""

    __slots__ = ("_box", "_i", "_j")

    def __init__(self, key: bytes) -> None:
        box = self._box = bytearray(range(256))
        self._i = self._j = j = 0
        for i in range(256):
            j = (j + box[i] + key[i % len(key)]) & 255
            box[i], box[j] = box[j], box[i]

    def under(self, data: bytes) -> bytes:
        """Return the next bytes of the stream under the key."""
        box, i, j = self._box, self._i, self._j
        out = bytearray()
        for byte in data:
            i = (i + 1) & 255
            j = (j + box[i]) & 255
            box[i], box[j] = box[j], box[i]
            out.append(byte ^ box[(box[i] + box[j]) & 255])
        self._i, self._j = i, j
        return bytes(out)


class Seal:
    """What messages of one session are signed and sealed with, one way (MS-NLMP 3.4.4, with extended security)."""

    __slots__ = ("_exchanges", "_number", "_signing", "_stream")

    def __init__(self, key: bytes, flags: int, way: str) -> None:
        short = key if flags & _128 else key[:7] if flags & _56 else key[:5]
        self._signing = _md5(key + f"session key to {way} signing key magic constant\0".encode())
        self._stream = Rc4(_md5(short + f"session key to {way} sealing key magic constant\0".encode()))
        self._exchanges = bool(flags & _KEY_EXCHANGE)
        self._number = 0

    def under(self, data: bytes) -> bytes:
        """Return what is sealed as it was, or what is to be sealed sealed."""
        return self._stream.under(data)

    def signature(self, message: bytes) -> bytes:
        """Return the signature of the next message, which is not sealed. What it is sealed as comes before."""
        number = self._number.to_bytes(4, "little")
        self._number += 1
        check = hmac.digest(self._signing, number + message, "md5")[:8]
        return b"\1\0\0\0" + (self._stream.under(check) if self._exchanges else check) + number


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
