"""SMB 2 and 3 (MS-SMB2): requests in a message, one after the other or related, and their answers.

    fe 'SMB' | 64 | charge | status | command | credits | flags | next | message | process, tree | session | signature
    4          2    2        4        2         2         4       4      8         8               8         16

A body's first word is its size; offsets count from the header. Which dialects are spoken is the pretended Windows'
affair (`negotiation`); what is signed, and with what, `signing`'s.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator
from typing import ClassVar

from eudaemon.protocols._base import Order, Send
from eudaemon.protocols._ntlm import Identity, filetime
from eudaemon.protocols._spnego import offer
from eudaemon.protocols.smb import files2, negotiation, status
from eudaemon.protocols.smb.connection import Connection, Tree
from eudaemon.protocols.smb.signing import SIGNATURE, SMB_3, SMB_3_1_1, Said, Signer, signer
from eudaemon.protocols.smb.status import NtError
from eudaemon.wire import PeerError

MAGIC = b"\xfeSMB"
HEAD = struct.Struct("<4sHHIHHIIQIIQ16s")
IO_BYTES_MAX = 1024 * 1024  # of one read, write or transaction
SESSIONS_MAX = 64
REQUESTS_MAX = 64  # in one message
CREDITS_MAX = 256  # given at a time
PARKED_MAX = 16  # requests that wait for an answer
SIGNED_BYTES_MAX = 4 * 1024 * 1024  # of one connection, with AES, which costs us more than it costs who asks
_LARGE = frozenset((0x08, 0x0B, 0x0E, 0x10))  # requests with answers of any size: then they are refused
_ANSWER, _ASYNC, _RELATED, _SIGNED = 0x1, 0x2, 0x4, 0x8
_NEGOTIATE = 0x00
_SIGNING_ENABLED = 1
_CAPABILITIES = 0x07  # DFS, leasing, large reads and writes, as Windows 7
_NONE = 0xFFFF_FFFF_FFFF_FFFF


class Request:
    """One request: its header's fields and its body."""

    __slots__ = ("body", "charge", "command", "credits", "flags", "later", "message", "number", "process", "session",
                 "tree")  # fmt: skip

    def __init__(self, message: bytes) -> None:
        self.later = 0  # the number under which it is answered later
        if len(message) < HEAD.size + 2:
            raise PeerError("an SMB 2 request that breaks off")
        head = HEAD.unpack_from(message)
        _, size, self.charge, _, self.command, self.credits, self.flags, _, self.number, self.process = head[:10]
        self.tree, self.session = head[10], head[11]
        if size != HEAD.size:
            raise PeerError("an SMB 2 header of another size")
        self.message = message
        self.body = message[HEAD.size :]

    def slice(self, offset: int, count: int) -> bytes:
        """Return the bytes at an offset from the header. Raises `NtError`."""
        if count and (offset < HEAD.size or offset + count > len(self.message)):
            raise NtError(status.INVALID_PARAMETER)
        return self.message[offset : offset + count]

    def unpack(self, form: str, at: int = 0) -> tuple[int, ...]:
        """Return numbers of the body. Raises `NtError` where it is too short."""
        if len(self.body) < at + struct.calcsize("<" + form):
            raise NtError(status.INVALID_PARAMETER)
        return struct.unpack_from("<" + form, self.body, at)


class Smb2:
    """One connection's conversation in this dialect."""

    __slots__ = ("_connection", "_dialect", "_later", "_parked", "_pending", "_related", "_said", "_sessions",
                 "_signed_bytes", "_signers", "_trees")  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = 0
        self._trees = self._sessions = 0
        self._said = Said()
        self._pending: dict[int, Said] = {}  # sessions whose login is not through, and what was said for it
        self._signers: dict[int, Signer] = {}  # by the number of the session
        self._signed_bytes = 0
        self._related = (0, 0, _NONE)  # session, tree and file of the request before
        self._parked: list[Request] = []  # what is answered later
        self._later = 0

    def hear(self, message: bytes) -> Iterator[Order]:
        """Take a message of one or more requests. Raises `PeerError`."""
        answers: list[bytes] = []
        signers: list[Signer | None] = []
        at = count = 0
        while True:
            count += 1
            if count > REQUESTS_MAX:
                raise PeerError(f"more than {REQUESTS_MAX} requests in a message")
            following = int.from_bytes(message[at + 20 : at + 24], "little")
            if following and (following < HEAD.size or at + following > len(message)):
                raise PeerError("a request that ends behind its message")
            request = Request(message[at : at + following] if following else message[at:])
            if request.flags & _RELATED and count > 1:
                request.session, request.tree = self._related[:2]
            else:
                self._related = (request.session, request.tree, _NONE)
            answer = yield from self._answer(request)
            if answer:
                answers.append(answer)
                signers.append(self._signer(request, answer))
            if not following:
                break
            at += following
        if answers:
            yield Send(_joined(answers, signers))

    def _signer(self, request: Request, answer: bytes) -> Signer | None:
        """Return what the answer to a request is signed with, None if it is not."""
        signs = self._signers.get(request.session) if request.flags & _SIGNED else None
        if signs is not None and self._dialect >= SMB_3:
            self._signed_bytes += len(answer)
        return signs

    def signs_slowly(self, request: Request) -> bool:
        """Say whether the answer to a request will be signed with AES."""
        return bool(request.flags & _SIGNED) and self._dialect >= SMB_3 and request.session in self._signers

    @property
    def waits(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._parked)

    def go_on(self) -> Iterator[Order]:
        """Answer what can be answered now."""
        parked, self._parked = self._parked, []
        for request in parked:
            self._related = (request.session, request.tree, _NONE)
            answer = yield from self._answer(request)
            if answer:
                yield Send(_joined([answer], [self._signer(request, answer)]))

    def negotiate_from_1(self, dialects: list[bytes]) -> Send:
        """Answer a negotiation of SMB 1 that offers SMB 2 (MS-SMB2 3.3.5.3)."""
        dialect = negotiation.WILDCARD if b"SMB 2.???" in dialects else 0x0202
        request = Request(HEAD.pack(MAGIC, HEAD.size, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, bytes(16)) + bytes(2))
        return Send(self._packed(request, status.SUCCESS, self._negotiated(dialect)))

    # --- answers -------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Generator[Order, None, bytes]:
        step = self._STEPS.get(request.command)
        try:
            if step is None:
                raise NtError(status.INVALID_PARAMETER if request.command > 0x12 else status.NOT_SUPPORTED)
            if self._signed_bytes > SIGNED_BYTES_MAX and request.command in _LARGE and self.signs_slowly(request):
                raise NtError(status.INSUFFICIENT_RESOURCES)
            said = yield from step(self, request)
            if said is None:
                return b""
            code, body = said
        except NtError as error:
            code, body = error.status, b""
            if code == status.PENDING:
                if request.later:
                    self._parked.append(request)
                    return b""
                code = self._park(request)
        # An error's body says nothing (MS-SMB2 2.2.2); what is more than an error has the answer's own.
        answer = self._packed(request, code, body or struct.pack("<HBBIB", 9, 0, 0, 0, 0))
        if request.command == _NEGOTIATE:
            self._said.hear(answer)
        elif request.session in self._pending:
            self._pending[request.session].hear(answer)
        return answer

    def _park(self, request: Request) -> int:
        """Put a request aside that is answered later; return what is said meanwhile (MS-SMB2 3.3.4.2)."""
        if len(self._parked) >= PARKED_MAX:
            return status.INSUFFICIENT_RESOURCES
        self._later += 1
        request.later = self._later
        self._parked.append(request)
        return status.PENDING

    def _packed(self, request: Request, code: int, body: bytes) -> bytes:
        granted = min(max(request.credits, 1), CREDITS_MAX)
        flags = _ANSWER | (request.flags & _RELATED)
        process, tree = request.process, request.tree
        if request.later:  # the two are one number then, and what was given meanwhile is not given again
            flags, process, tree = flags | _ASYNC, request.later, 0
            granted = granted if code == status.PENDING else 0
        head = HEAD.pack(MAGIC, HEAD.size, request.charge, code, request.command, granted, flags, 0, request.number,
                         process, tree, request.session, bytes(16))  # fmt: skip
        return head + body

    def identity(self, request: Request) -> Identity:
        """Return who asks. Raises `NtError`."""
        identity = self._connection.identities.get(request.session)
        if identity is None:
            raise NtError(status.USER_SESSION_DELETED)
        return identity

    def tree(self, request: Request) -> Tree:
        """Return the share that is asked for. Raises `NtError`."""
        self.identity(request)
        tree = self._connection.trees.get(request.tree)
        if tree is None:
            raise NtError(status.NETWORK_NAME_DELETED)
        return tree

    def file(self, identifier: int) -> int:
        """Return the number of what is open; all ones stand for that of the request before."""
        return self._related[2] if identifier == _NONE else identifier

    def opened(self, request: Request, number: int) -> None:
        """Note what related requests mean by the file of the request before."""
        self._related = (request.session, request.tree, number)

    # --- the session -----------------------------------------------------------------------------------

    def _negotiate(self, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
        (count,) = request.unpack("H", 2)
        offered = request.unpack(f"{min(count, 64)}H", 36)
        yield self._connection.identified(tuple(negotiation.NAMES.get(one, f"{one:04x}") for one in offered))
        common = [one for one in negotiation.spoken(self._connection.windows.kernel) if one in offered]
        if not common:
            raise NtError(status.NOT_SUPPORTED)
        if common[-1] == SMB_3_1_1:
            at, wanted = request.unpack("IH", 28)
            if not negotiation.has_hash(request.message, at, wanted):
                raise NtError(status.INVALID_PARAMETER)
        self._said = Said()
        self._said.hear(request.message)
        return status.SUCCESS, self._negotiated(common[-1])

    def _negotiated(self, dialect: int) -> bytes:
        self._dialect = dialect
        windows, at_s = self._connection.windows, self._connection.at_s
        token = offer()
        size = 65_536 if dialect == 0x0202 else IO_BYTES_MAX
        booted_s = at_s - windows.machine.uptime_s(at_s)
        count = 1 if dialect == SMB_3_1_1 else 0
        body = struct.pack("<HHHH", 65, _SIGNING_ENABLED, dialect, count) + windows.seed.bytes("server guid", 16)
        body += struct.pack("<IIII", self._capabilities, size, size, size) + filetime(at_s) + filetime(booted_s)
        if not count:
            return body + struct.pack("<HHI", 128, len(token), 0) + token
        padding = -len(token) % 8
        body += struct.pack("<HHI", 128, len(token), 128 + len(token) + padding) + token + bytes(padding)
        return body + negotiation.agreed(self._connection.visit.seed.bytes("salt", negotiation.SALT_BYTES))

    def _log_in(self, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
        offset, size = request.unpack("HH", 12)
        token = request.slice(offset, size)
        if not request.session:
            if len(self._pending) + len(self._connection.identities) >= SESSIONS_MAX:
                raise NtError(status.INSUFFICIENT_RESOURCES)
            self._sessions += 1
            request.session = (self._connection.windows.seed.number("session", 1 << 20) << 20) + 4 * self._sessions + 1
            self._related = (request.session, request.tree, _NONE)
        said = self._pending.pop(request.session, None) or Said(self._said.value)
        said.hear(request.message)
        try:
            answer = yield from self._connection.answer(token)
        except PeerError:
            raise NtError(status.INVALID_PARAMETER) from None
        identity = answer.identity
        if identity is None:
            self._pending[request.session] = said
            return status.MORE_PROCESSING_REQUIRED, struct.pack("<HHHH", 9, 0, 72, len(answer.token)) + answer.token
        if not identity.accepted:
            raise NtError(status.LOGON_FAILURE)
        self._connection.enter(request.session, identity)
        self._signers.pop(request.session, None)
        if identity.key is not None:
            self._signers[request.session] = signer(self._dialect, identity.key, said.value)
            request.flags |= _SIGNED  # the end of a login is signed where it can be (MS-SMB2 3.3.5.5.3)
        flags = 2 if not identity.user else 1 if identity.is_guest else 0
        return status.SUCCESS, struct.pack("<HHHH", 9, flags, 72, len(answer.token)) + answer.token

    def _log_off(self, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
        self.identity(request)
        del self._connection.identities[request.session]
        yield from ()
        return status.SUCCESS, struct.pack("<HH", 4, 0)

    def confirmed(self) -> bytes:
        """Return what was negotiated, for who wants to be sure that nobody has changed it (MS-SMB2 2.2.32.6)."""
        guid = self._connection.windows.seed.bytes("server guid", 16)
        return struct.pack("<I16sHH", self._capabilities, guid, _SIGNING_ENABLED, self._dialect)

    @property
    def _capabilities(self) -> int:
        return 1 if self._dialect == 0x0202 else _CAPABILITIES

    def _connect(self, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
        offset, size = request.unpack("HH", 4)
        path = request.slice(offset, size).decode("utf-16-le", "replace")
        self._trees += 1
        tree = self._connection.connect(self._trees, path, self.identity(request))
        request.tree = self._trees
        self._related = (request.session, request.tree, _NONE)
        yield from ()
        return status.SUCCESS, struct.pack(
            "<HBBIII", 16, 1 if tree.root else 2, 0, 0x30 if not tree.root else 0, 0, 0x001F_01FF
        )

    def _disconnect(self, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
        self.tree(request)
        del self._connection.trees[request.tree]
        yield from ()
        return status.SUCCESS, struct.pack("<HH", 4, 0)

    def _echo(self, request: Request) -> Generator[Order, None, tuple[int, bytes]]:  # noqa: ARG002
        yield from ()
        return status.SUCCESS, struct.pack("<HH", 4, 0)

    def _cancel(self, request: Request) -> Generator[Order, None, None]:
        """CANCEL is not answered; what it names is."""
        for parked in self._parked:
            if (request.flags & _ASYNC and parked.later == request.process) or parked.number == request.number:
                self._parked.remove(parked)
                said = self._packed(parked, status.CANCELLED, struct.pack("<HBBIB", 9, 0, 0, 0, 0))
                yield Send(_joined([said], [self._signer(parked, said)]))
                return

    def _on_files(self, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
        return (yield from files2.STEPS[request.command](self, self._connection, request))

    _STEPS: ClassVar[dict[int, Callable[[Smb2, Request], Generator[Order, None, tuple[int, bytes] | None]]]] = {
        0x00: _negotiate, 0x01: _log_in, 0x02: _log_off, 0x03: _connect, 0x04: _disconnect, 0x0C: _cancel, 0x0D: _echo,
        **dict.fromkeys((0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0E, 0x10, 0x11), _on_files),
    }  # fmt: skip


def _joined(answers: list[bytes], signers: list[Signer | None]) -> bytes:
    """Return answers as one message, each signed whose request was."""
    out = bytearray()
    for number, (answer, signs) in enumerate(zip(answers, signers, strict=True)):
        whole = bytearray(answer)
        if number < len(answers) - 1:
            whole += bytes(-len(whole) % 8)
            whole[20:24] = len(whole).to_bytes(4, "little")
        if signs is not None:
            whole[16] |= _SIGNED
            whole[SIGNATURE] = signs(bytes(whole))
        out += whole
    return bytes(out)
