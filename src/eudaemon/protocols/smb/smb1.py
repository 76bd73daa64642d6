"""SMB 1 (MS-CIFS, MS-SMB): messages, chained requests, logins and shares. What is done to files is `files1`'s, what
comes in several parts `transactions`'.

    | ff 'SMB' | command | status | flags | flags2 | pid high | signature | 0 | tid | pid | uid | mid | words | bytes |
      4          1         4        1       2        2          8           2   2     2     2     2     1+2n    2+n
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator
from typing import TypeAlias

from eudaemon.protocols._base import Order, Send
from eudaemon.protocols._ntlm import Answer, Identity, filetime
from eudaemon.protocols._spnego import offer
from eudaemon.protocols.smb import status
from eudaemon.protocols.smb.connection import Connection, Tree
from eudaemon.protocols.smb.status import NtError
from eudaemon.wire import PeerError, printable

MAGIC = b"\xffSMB"
HEAD = struct.Struct("<4sBIBHH8sHHHHH")
CHAIN_MAX = 8  # requests in one message
DIALECTS_MAX = 32
PARKED_MAX, PARKED_BYTES_MAX = 16, 1024  # requests that wait for an answer, and how long each may be
SESSIONS_MAX = 64
_NT = b"NT LM 0.12"
_ANSWER = 0x80
_UNICODE, _NT_STATUS, _EXTENDED = 0x8000, 0x4000, 0x0800
_RAW_CAPABILITIES, _EXTENDED_CAPABILITIES = 0x0001_E3FC, 0x8001_E3FC  # as Windows 7 has them
_NO_MORE = 0xFF
_FIRST_ID = 0x0800  # of sessions and of shares, as Windows counts them
_GUEST = 1
# Words and bytes of an answer; None sends nothing. Words begin with four bytes for the chain where there is one.
Said: TypeAlias = "tuple[bytes, bytes] | None"


class Request:
    """One request of a message. `words` and `data` are its two parts, `at` where its data begins in the message."""

    __slots__ = ("at", "command", "data", "flags", "flags2", "message", "mid", "pid", "tid", "timeout", "uid", "words")

    def __init__(self, message: bytes) -> None:
        if len(message) < HEAD.size + 3:
            raise PeerError("an SMB 1 request that breaks off")
        head = HEAD.unpack_from(message)
        _, self.command, _, self.flags, self.flags2, _, _, _, self.tid, self.pid, self.uid, self.mid = head
        self.message = message
        self.words = b""
        self.data = b""
        self.at = 0
        self.move_to(self.command, HEAD.size)

    def move_to(self, command: int, at: int) -> None:
        """Go to the request at an offset of the message. Raises `PeerError`."""
        if not HEAD.size <= at < len(self.message):
            raise PeerError("a chained request that is not there")
        self.command = command
        size = 2 * self.message[at]
        self.words = self.message[at + 1 : at + 1 + size]
        if len(self.words) < size:
            raise PeerError("an SMB 1 request that breaks off")
        count = int.from_bytes(self.message[at + 1 + size : at + 3 + size], "little")
        self.at = at + 3 + size
        self.data = self.message[self.at : self.at + count]

    @property
    def is_wide(self) -> bool:
        """Whether its texts are in UTF-16."""
        return bool(self.flags2 & _UNICODE)

    def unpack(self, form: str, at: int = 0) -> tuple[int, ...]:
        """Return numbers of the words. Raises `NtError` where there are too few."""
        if len(self.words) < at + struct.calcsize("<" + form):
            raise NtError(status.INVALID_PARAMETER)
        return struct.unpack_from("<" + form, self.words, at)

    def slice(self, offset: int, count: int) -> bytes:
        """Return the bytes at an offset of the message, as many of them as are there."""
        return self.message[offset : offset + count] if offset >= HEAD.size else b""

    def texts(self, at: int) -> list[str]:
        """Return the texts that stand in the data from an offset on, in UTF-16 aligned to the message."""
        if not self.is_wide:
            return [text.decode("latin-1") for text in self.data[at:].split(b"\0")]
        at += (self.at + at) % 2
        whole = self.data[at : len(self.data) - (len(self.data) - at) % 2].decode("utf-16-le", "replace")
        return whole.split("\0")

    def text(self, at: int = 0) -> str:
        """Return the text at an offset of the data."""
        return self.texts(at)[0]


class Smb1:
    """One connection's conversation in this dialect."""

    __slots__ = ("_parked", "_sessions", "_steps", "_trees", "_wants_2", "connection", "finds", "transactions")

    def __init__(self, connection: Connection, wants_2: Callable[[list[bytes]], Order | None]) -> None:
        from eudaemon.protocols.smb import files1, transactions  # which know us

        self.connection = connection
        self.transactions = transactions.Transactions(self)
        self.finds: dict[int, int] = {}  # searches: the number by which they go on, and what is open for them
        self._wants_2 = wants_2
        self._parked: list[bytes] = []  # what is answered later
        self._sessions = self._trees = 0
        self._steps = {**STEPS, **files1.STEPS, **transactions.STEPS}

    def hear(self, message: bytes) -> Iterator[Order]:
        """Take a message. Raises `PeerError`."""
        request = Request(message)
        if request.command == 0x72:
            yield from self._negotiate(request)
            return
        first = request.command
        parts: list[tuple[int, tuple[bytes, bytes]]] = []
        code = status.SUCCESS
        for _ in range(CHAIN_MAX):
            try:
                said = yield from self._step(request)
            except NtError as error:
                code, said = self._code_of(error, message), (b"", b"")
                if code == status.PENDING:
                    return
            except Partly as partly:
                code, said = partly.status, (partly.words, partly.data)
            if said is None:
                return
            parts.append((request.command, said))
            if code or request.command not in _CHAINED or len(request.words) < 4 or request.words[0] == _NO_MORE:
                break
            request.move_to(request.words[0], int.from_bytes(request.words[2:4], "little"))
        yield Send(self._packed(request, first, code, request.mid, parts))

    def _code_of(self, error: NtError, message: bytes) -> int:
        """Return what is answered; nothing for now, and the request is put aside, if that is `PENDING`."""
        if error.status == status.PENDING:
            if len(self._parked) >= PARKED_MAX or len(message) > PARKED_BYTES_MAX:
                return status.PIPE_EMPTY
            self._parked.append(message)
        return error.status

    @property
    def waits(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._parked)

    def go_on(self) -> Iterator[Order]:
        """Answer what can be answered now."""
        parked, self._parked = self._parked, []
        for message in parked:
            yield from self.hear(message)

    def _step(self, request: Request) -> Generator[Order, None, Said]:
        step = self._steps.get(request.command)
        if step is None:
            raise NtError(status.SMB_BAD_COMMAND)
        return (yield from step(self, request))

    def _packed(
        self, request: Request, first: int, code: int, mid: int, parts: list[tuple[int, tuple[bytes, bytes]]],
        signature: bytes = bytes(8), reserved: int = 0,
    ) -> bytes:  # fmt: skip
        # Windows says in its answer how it counts, and keeps of the request's flags what it understands.
        flags2 = (request.flags2 & (_UNICODE | _EXTENDED | 0x3)) | _NT_STATUS
        flags = _ANSWER | (request.flags & 0x18)
        numbers = (reserved, request.tid, request.pid, request.uid, mid)
        head = HEAD.pack(MAGIC, first, code, flags, flags2, 0, signature, *numbers)
        out = bytearray(head)
        for number, (command, (words, data)) in enumerate(parts):
            if command in _CHAINED and len(words) >= 4:
                if number + 1 < len(parts):
                    data += bytes((len(out) + 3 + len(words) + len(data)) % 2)  # texts of the next stand at even places
                    after = len(out) + 3 + len(words) + len(data)
                    words = bytes((parts[number + 1][0], 0)) + after.to_bytes(2, "little") + words[4:]
                else:
                    words = bytes((_NO_MORE, 0, 0, 0)) + words[4:]
            out += bytes((len(words) // 2,)) + words + (len(data) & 0xFFFF).to_bytes(2, "little") + data
        return bytes(out)

    def answer(self, request: Request, code: int, mid: int, signature: bytes, reserved: int) -> Send:
        """Return an answer of a header alone, with what stands in its fields for the number, signature and reserve."""
        nothing = [(request.command, (b"", b""))]
        return Send(self._packed(request, request.command, code, mid, nothing, signature, reserved))

    # --- who and where ---------------------------------------------------------------------------------

    def identity(self, request: Request) -> Identity:
        """Return who asks. Raises `NtError`."""
        identity = self.connection.identities.get(request.uid)
        if identity is None:
            raise NtError(status.USER_SESSION_DELETED)
        return identity

    def tree(self, request: Request) -> Tree:
        """Return the share that is asked for. Raises `NtError`."""
        tree = self.connection.trees.get(request.tid)
        if tree is None:
            raise NtError(status.SMB_BAD_TID)
        return tree

    def encoded(self, text: str, request: Request, at: int) -> bytes:
        """Return a text with its NUL, for a place of the message: in UTF-16 it begins at an even one."""
        if not request.is_wide:
            return text.encode("latin-1", "replace") + b"\0"
        return bytes(at % 2) + text.encode("utf-16-le") + b"\0\0"

    def _negotiate(self, request: Request) -> Iterator[Order]:
        dialects = [one for one in request.data.split(b"\0") if one][:DIALECTS_MAX]
        names = [one.lstrip(b"\x02") for one in dialects]
        yield self.connection.identified(tuple(printable(name, 64) for name in names if name))
        with_2 = self._wants_2(names)
        if with_2 is not None:
            yield with_2
            return
        if _NT not in names:
            yield Send(self._packed(request, 0x72, 0, request.mid, [(0x72, (b"\xff\xff", b""))]))
            return
        windows, at_s = self.connection.windows, self.connection.at_s
        west = -60 * windows.machine.zone_hours  # minutes
        most, buffer = (50, 0x4104) if windows.is_server else (10, 0x1104)
        words = struct.pack("<HBHHIII", names.index(_NT), 3, most, 1, buffer, 0x1_0000, 0)
        if request.flags2 & _EXTENDED:
            data = windows.seed.bytes("server guid", 16) + offer()
            words += struct.pack("<I", _EXTENDED_CAPABILITIES) + filetime(at_s) + struct.pack("<hB", west, 0)
        else:
            texts = "".join(f"{text}\0" for text in (windows.workgroup, windows.name)).encode("utf-16-le")
            data = self.connection.challenge + texts
            words += struct.pack("<I", _RAW_CAPABILITIES) + filetime(at_s) + struct.pack("<hB", west, 8)
        yield Send(self._packed(request, 0x72, 0, request.mid, [(0x72, (words, data))]))

    def log_in(self, request: Request) -> Generator[Order, None, Said]:
        """SESSION_SETUP_ANDX, with a token (12 words) or with the responses themselves (13)."""
        if len(request.words) == 24:
            return (yield from self._log_in_with_token(request))
        plain, wide = request.unpack("HH", 14)
        lm, nt = request.data[:plain], request.data[plain : plain + wide]
        user, domain, system, software = (*request.texts(plain + wide), "", "", "", "")[:4]
        yield self.connection.identified((), system, software)
        identity = yield from self.connection.answer_raw(user, domain, lm, nt)
        if not identity.accepted:
            raise NtError(status.LOGON_FAILURE)
        self._enter(request, identity)
        words = bytes(4) + struct.pack("<H", _GUEST if identity.user and identity.is_guest else 0)
        return words, self._self_told(request, HEAD.size + 3 + len(words))

    def _log_in_with_token(self, request: Request) -> Generator[Order, None, Said]:
        (size,) = request.unpack("H", 14)
        token = request.data[:size]
        system, software = (*request.texts(size), "", "")[:2]
        try:
            answer: Answer = yield from self.connection.answer(token)
        except PeerError:
            raise NtError(status.INVALID_PARAMETER) from None
        identity = answer.identity
        if identity is not None:
            yield self.connection.identified((), system, software)
            if not identity.accepted:
                raise NtError(status.LOGON_FAILURE)
            self._enter(request, identity)
        elif not request.uid:
            self._new_session(request)
        guest = _GUEST if identity is not None and identity.user and identity.is_guest else 0
        words = bytes(4) + struct.pack("<HH", guest, len(answer.token))
        data = answer.token + self._self_told(request, HEAD.size + 3 + len(words) + len(answer.token))
        if identity is None:
            raise Partly(status.MORE_PROCESSING_REQUIRED, words, data)
        return words, data

    def _self_told(self, request: Request, at: int) -> bytes:
        windows = self.connection.windows
        told = b""
        for text in (windows.system, windows.lan_manager, windows.workgroup):
            told += self.encoded(text, request, at + len(told))
        return told

    def _new_session(self, request: Request) -> None:
        self._sessions += 1
        if self._sessions > SESSIONS_MAX:
            raise NtError(status.INSUFFICIENT_RESOURCES)
        request.uid = _FIRST_ID + self._sessions - 1

    def _enter(self, request: Request, identity: Identity) -> None:
        if not request.uid:
            self._new_session(request)
        self.connection.enter(request.uid, identity)

    def log_off(self, request: Request) -> Generator[Order, None, Said]:
        """LOGOFF_ANDX."""
        self.identity(request)
        del self.connection.identities[request.uid]
        yield from ()
        return bytes(4), b""

    def connect(self, request: Request) -> Generator[Order, None, Said]:
        """TREE_CONNECT_ANDX."""
        flags, size = request.unpack("HH", 4)
        path = request.text(size)
        self._trees += 1
        tree = self.connection.connect(_FIRST_ID + self._trees - 1, path, self.identity(request))
        request.tid = _FIRST_ID + self._trees - 1
        words = bytes(4) + struct.pack("<H", 1)
        if flags & 0x8:
            words += struct.pack("<II", 0x001F_01FF, 0)
        kind = b"A:\0" if tree.root else b"IPC\0"
        yield from ()
        return words, kind + self.encoded("NTFS" if tree.root else "", request, HEAD.size + 3 + len(words) + len(kind))

    def disconnect(self, request: Request) -> Generator[Order, None, Said]:
        """TREE_DISCONNECT."""
        self.tree(request)
        del self.connection.trees[request.tid]
        yield from ()
        return b"", b""

    def echo(self, request: Request) -> Generator[Order, None, Said]:
        """ECHO, once: nobody is answered more than was asked."""
        (count,) = request.unpack("H")
        yield from ()
        return (struct.pack("<H", 1), request.data) if count else None


class Partly(Exception):  # noqa: N818
    """An answer with a status that is no error, and all that belongs to it."""

    def __init__(self, status: int, words: bytes, data: bytes) -> None:
        super().__init__(f"{status:08x}")
        self.status = status
        self.words = words
        self.data = data


_CHAINED = frozenset((0x24, 0x2D, 0x2E, 0x2F, 0x73, 0x74, 0x75, 0xA2))
Step: TypeAlias = Callable[[Smb1, Request], Generator[Order, None, Said]]
STEPS: dict[int, Step] = {
    0x73: Smb1.log_in, 0x74: Smb1.log_off, 0x75: Smb1.connect, 0x71: Smb1.disconnect, 0x2B: Smb1.echo,
}  # fmt: skip
