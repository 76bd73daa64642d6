"""SMB 1: what comes in several parts (MS-CIFS 2.2.4.33 to 2.2.4.62), and EternalBlue, which is one of them gone
wrong.

    TRANSACTION    0x25, 0x26   on pipes: calls, looks, states
    TRANSACTION2   0x32, 0x33   on files: searches, what is known of them; and DoublePulsar
    NT_TRANSACT    0xa0, 0xa1

EternalBlue begins with an NT_TRANSACT, whose sizes have 32 bits, and goes on with secondaries of TRANSACTION2, where
they have 16: a server that takes that is one that was not mended in 2017."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator
from typing import TypeAlias

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Keep, Order, Saw
from eudaemon.protocols.smb import info, status
from eudaemon.protocols.smb.connection import Wanted
from eudaemon.protocols.smb.doublepulsar import SUBCOMMAND, DoublePulsar, Reply
from eudaemon.protocols.smb.files2 import set_info
from eudaemon.protocols.smb.opens import DiskOpen, PipeOpen
from eudaemon.protocols.smb.smb1 import HEAD, Partly, Request, Said, Smb1, Step
from eudaemon.protocols.smb.status import NtError
from eudaemon.wire import PeerError

TOTAL_BYTES_MAX = 1024 * 1024  # parameters and data of one
PENDING_MAX = 16  # that are not whole
ANSWERED_BYTES_MAX = 60 * 1024
KEPT_BYTES_MIN = 64  # of what an unknown one carries
_TRANS, _TRANS_MORE, _TRANS2, _TRANS2_MORE, _NT, _NT_MORE = 0x25, 0x26, 0x32, 0x33, 0xA0, 0xA1
_CALL, _LOOK, _SET_STATE, _STATE, _INFO, _WAIT = 0x26, 0x23, 0x01, 0x21, 0x22, 0x53


class Transaction:
    """One that is being put together."""

    __slots__ = ("command", "data", "is_blue", "parameters", "received", "setup", "total")

    def __init__(self, command: int, setup: tuple[int, ...], parameters: int, data: int) -> None:
        self.command = command
        self.setup = setup
        self.parameters = bytearray(parameters)
        self.data = bytearray(data)
        self.received = 0
        self.total = parameters + data
        self.is_blue = False

    def put(self, parameters: bytes, at: int, data: bytes, data_at: int) -> None:
        """Put a part where it belongs. Raises `NtError` where it does not fit."""
        if at + len(parameters) > len(self.parameters) or data_at + len(data) > len(self.data):
            raise NtError(status.INVALID_PARAMETER)
        self.parameters[at : at + len(parameters)] = parameters
        self.data[data_at : data_at + len(data)] = data
        self.received += len(parameters) + len(data)


class Transactions:
    """The transactions of one connection."""

    __slots__ = ("_pending", "_smb", "backdoor")

    def __init__(self, smb: Smb1) -> None:
        self._smb = smb
        self._pending: dict[tuple[int, int, int, int], Transaction] = {}
        self.backdoor = DoublePulsar(smb.connection.visit)

    def begin(self, request: Request, transaction: Transaction) -> Transaction | None:
        """Take the first part; return the transaction if it is whole. Raises `NtError`."""
        if transaction.received >= transaction.total:
            return transaction
        if transaction.total > TOTAL_BYTES_MAX or len(self._pending) >= PENDING_MAX:
            raise NtError(status.INSUFF_SERVER_RESOURCES)
        if not self._smb.connection.visit.purse.take(transaction.total):
            raise PeerError("more bytes held than this session may")
        self._drop(self._pending.pop(_key(request), None))
        self._pending[_key(request)] = transaction
        return None

    def go_on(self, request: Request) -> Transaction | None:
        """Take a later part; return the transaction if it is whole. Raises `NtError`."""
        transaction = self._pending.get(_key(request))
        if transaction is None:
            raise NtError(status.INVALID_PARAMETER)
        if request.command == _NT_MORE:
            counts = request.unpack("IIIIII", 11)
        else:
            counts = request.unpack("HHHHHH", 4)
            transaction.is_blue = transaction.is_blue or transaction.command == _NT
        size, offset, at, data_size, data_offset, data_at = counts
        transaction.put(request.slice(offset, size), at, request.slice(data_offset, data_size), data_at)
        if transaction.received < transaction.total:
            return None
        del self._pending[_key(request)]
        self._drop(transaction)
        return transaction

    def _drop(self, transaction: Transaction | None) -> None:
        if transaction is not None:
            self._smb.connection.visit.purse.give_back(transaction.total)

    def ended(self) -> Iterator[Order]:
        """The connection is over: what carries something is kept as far as it came."""
        for transaction in self._pending.values():
            if transaction.is_blue:
                yield from self.struck(transaction, partial=True)
            self._drop(transaction)
        self._pending.clear()
        yield from self.backdoor.ended()

    def struck(self, transaction: Transaction, *, partial: bool) -> Iterator[Order]:
        """EternalBlue: keep what it carries, and have it where its users look for it."""
        yield Saw(ExploitRecognised("eternalblue", "MS17-010", f"{transaction.received} bytes in one transaction"))
        yield Keep(bytes(transaction.data), "payload", "eternalblue", partial)
        self.backdoor.arrive()


def _key(request: Request) -> tuple[int, int, int, int]:
    return request.pid, request.tid, request.uid, request.mid


# --- the three kinds --------------------------------------------------------------------------------


def _begin(smb: Smb1, request: Request) -> Generator[Order, None, Said]:
    """TRANSACTION and TRANSACTION2."""
    total, total_data = request.unpack("HH")
    size, offset, data_size, data_offset, setups = request.unpack("HHHHB", 18)
    setup = request.unpack(f"{setups}H", 28)
    timeout = request.unpack("I", 12)[0]
    if request.command == _TRANS2 and setup[:1] == (SUBCOMMAND,):
        return (yield from _backdoor(smb, request, timeout, request.message[offset:] if offset >= HEAD.size else b""))
    transaction = Transaction(request.command, setup, max(total, size), max(total_data, data_size))
    transaction.put(request.slice(offset, size), 0, request.slice(data_offset, data_size), 0)
    return (yield from _carry_on(smb, request, smb.transactions.begin(request, transaction), interim=True))


def _begin_nt(smb: Smb1, request: Request) -> Generator[Order, None, Said]:
    """NT_TRANSACT."""
    total, total_data = request.unpack("II", 3)
    size, offset, data_size, data_offset = request.unpack("IIII", 19)
    if total > TOTAL_BYTES_MAX or total_data > TOTAL_BYTES_MAX:
        raise NtError(status.INSUFF_SERVER_RESOURCES)
    transaction = Transaction(_NT, (), max(total, len(request.slice(offset, size))), total_data)
    transaction.put(request.slice(offset, size), 0, request.slice(data_offset, data_size), 0)
    return (yield from _carry_on(smb, request, smb.transactions.begin(request, transaction), interim=True))


def _go_on(smb: Smb1, request: Request) -> Generator[Order, None, Said]:
    """The secondaries of all three, which are not answered before the transaction is whole."""
    return (yield from _carry_on(smb, request, smb.transactions.go_on(request), interim=False))


def _carry_on(smb: Smb1, request: Request, whole: Transaction | None, *, interim: bool) -> Generator[Order, None, Said]:
    if whole is None:
        return (b"", b"") if interim else None
    if whole.is_blue:
        yield from smb.transactions.struck(whole, partial=False)
        raise NtError(status.INVALID_PARAMETER)
    if whole.command == _TRANS:
        return (yield from _on_pipe(smb, request, whole))
    if whole.command == _TRANS2:
        step = _ON_FILES.get(whole.setup[0] if whole.setup else -1)
        if step is not None:
            return (yield from step(smb, request, whole))
    if len(whole.data) >= KEPT_BYTES_MIN:
        yield Keep(bytes(whole.data), "payload", f"smb transaction {whole.command:02x} {whole.setup}")
    raise NtError(status.NOT_SUPPORTED)


def _said(parameters: bytes, data: bytes = b"") -> tuple[bytes, bytes]:
    """Return an answer's words and bytes."""
    at = HEAD.size + 3 + 20
    first = -at % 4
    second = -(at + first + len(parameters)) % 4
    where, data_where = at + first, at + first + len(parameters) + second
    words = struct.pack(
        "<HHHHHHHHHBB", len(parameters), len(data), 0, len(parameters), where, 0, len(data), data_where, 0, 0, 0
    )
    return words, bytes(first) + parameters + bytes(second) + data


def _backdoor(smb: Smb1, request: Request, timeout: int, body: bytes) -> Generator[Order, None, Said]:
    for order in smb.transactions.backdoor.hear(timeout, body):
        if isinstance(order, Reply):
            mid = request.mid + (order.code if order.version == 1 else 0)
            reserved = order.code if order.version == 2 else 0
            yield smb.answer(request, status.NOT_IMPLEMENTED, mid & 0xFFFF, order.signature, reserved)
            return None
        yield order
    raise NtError(status.NOT_IMPLEMENTED)


# --- on pipes -------------------------------------------------------------------------------------


def _on_pipe(smb: Smb1, request: Request, whole: Transaction) -> Generator[Order, None, Said]:
    kind, number = (*whole.setup, -1, -1)[:2]
    if kind == _LOOK and number not in smb.connection.opens:
        # What a server that was not mended in 2017 says to a look at no pipe (MS17-010's public check).
        yield Saw(ExploitRecognised("ms17-010-check", "MS17-010"))
        raise NtError(status.INSUFF_SERVER_RESOURCES)
    if kind == _WAIT:
        return _said(b"")
    if not whole.setup:
        raise NtError(status.NOT_SUPPORTED)  # the remote administration of LAN Manager
    pipe = smb.connection.get(number)
    if not isinstance(pipe, PipeOpen):
        raise NtError(status.INVALID_HANDLE)
    if kind == _CALL:
        yield from pipe.write(bytes(whole.data), smb.connection.at_s)
        most = request.unpack("H", 6)[0]
        data, left = pipe.read(min(most, ANSWERED_BYTES_MAX))
        words, answer = _said(b"", data)
        if left:
            raise Partly(status.BUFFER_OVERFLOW, words, answer)
        return words, answer
    if kind == _LOOK:
        return _said(struct.pack("<HHH", pipe.unread, pipe.unread, 3))
    if kind == _STATE:
        return _said(struct.pack("<H", 0x05FF))
    if kind == _SET_STATE:
        return _said(b"")
    raise NtError(status.NOT_SUPPORTED)


# --- on files -------------------------------------------------------------------------------------

_OnFiles: TypeAlias = Callable[[Smb1, Request, Transaction], Generator[Order, None, Said]]
_PASSED_THROUGH = 1000  # classes from here on are those of MS-FSCC
# Levels of SMB's own (MS-CIFS 2.2.2.3), and the classes that say the same.
_FILE_LEVELS = {0x101: 4, 0x102: 5, 0x103: 7, 0x104: 9, 0x107: 18, 0x109: 22}
_VOLUME_LEVELS = {0x102: 1, 0x103: 3, 0x104: 4, 0x105: 5}
_FIND_LEVELS = {0x101: 1, 0x102: 2, 0x103: 12, 0x104: 3, 0x105: 38, 0x106: 37}
_SET_LEVELS = {0x102: 13, 0x103: 19, 0x104: 20}


def _text(request: Request, data: bytes) -> str:
    return data.decode("utf-16-le" if request.is_wide else "latin-1", "replace").split("\0")[0]


def _class(levels: dict[int, int], level: int) -> int:
    return level - _PASSED_THROUGH if level >= _PASSED_THROUGH else levels.get(level, -1)


def _numbers(whole: Transaction, form: str) -> tuple[int, ...]:
    if len(whole.parameters) < struct.calcsize("<" + form):
        raise NtError(status.INVALID_PARAMETER)
    return struct.unpack_from("<" + form, whole.parameters)


def _find_first(smb: Smb1, request: Request, whole: Transaction) -> Generator[Order, None, Said]:
    _, count, flags, level, _ = _numbers(whole, "HHHHI")
    name = _text(request, bytes(whole.parameters[12:]))
    folder, _, pattern = name.rpartition("\\")
    wanted = Wanted(folder, 0x1, 1, 0x1)
    number, opened, _ = yield from smb.connection.open(smb.tree(request), wanted)
    if not isinstance(opened, DiskOpen):
        raise NtError(status.NOT_SUPPORTED)
    try:
        data, told, is_end = _told(smb, request, opened, pattern, count, level)
    except NtError:
        yield from smb.connection.close(number)
        raise
    yield smb.connection.listed(opened)
    if not told or flags & 1 or (flags & 2 and is_end):
        yield from smb.connection.close(number)
        if not told:
            raise NtError(status.NO_SUCH_FILE)
    else:
        smb.finds[number] = number
    return _said(struct.pack("<HHHHH", number, told, is_end, 0, 0), data)


def _find_next(smb: Smb1, request: Request, whole: Transaction) -> Generator[Order, None, Said]:
    number, count, level, _, flags = _numbers(whole, "HHHIH")
    if number not in smb.finds:
        raise NtError(status.INVALID_HANDLE)
    opened = smb.connection.disk_open(number)
    data, told, is_end = _told(smb, request, opened, "", count, level)
    if flags & 1 or (flags & 2 and is_end):
        del smb.finds[number]
        yield from smb.connection.close(number)
    return _said(struct.pack("<HHHH", told, is_end, 0, 0), data)


def _told(
    smb: Smb1, request: Request, opened: DiskOpen, pattern: str, count: int, level: int
) -> tuple[bytes, int, bool]:
    most = min(request.unpack("H", 6)[0], ANSWERED_BYTES_MAX)
    entries = (
        entry for _, entry in zip(range(count), smb.connection.entries(opened, pattern, again=False), strict=False)
    )
    data, told = info.listed(_class(_FIND_LEVELS, level), entries, most)
    opened.told += told
    return data, told, opened.listing is None or opened.told >= len(opened.listing[1])


def _volume(smb: Smb1, request: Request, whole: Transaction) -> Generator[Order, None, Said]:
    smb.tree(request)
    yield from ()
    return _said(b"", info.of_volume(_class(_VOLUME_LEVELS, _numbers(whole, "H")[0]), smb.connection.windows))


def _path(smb: Smb1, request: Request, whole: Transaction) -> Generator[Order, None, Said]:
    level, _ = _numbers(whole, "HI")
    wanted = Wanted(_text(request, bytes(whole.parameters[6:])), 0x80, 1, 0)
    number, opened, _ = yield from smb.connection.open(smb.tree(request), wanted)
    entry = smb.connection.entry(opened)
    yield from smb.connection.close(number)
    return _said(bytes(2), info.of_file(_class(_FILE_LEVELS, level), entry))


def _file(smb: Smb1, request: Request, whole: Transaction) -> Generator[Order, None, Said]:  # noqa: ARG001
    number, level = _numbers(whole, "HH")
    yield from ()
    return _said(bytes(2), info.of_file(_class(_FILE_LEVELS, level), smb.connection.entry(smb.connection.get(number))))


def _set_file(smb: Smb1, request: Request, whole: Transaction) -> Generator[Order, None, Said]:
    number, level = _numbers(whole, "HH")
    opened = smb.connection.disk_open(number)
    root = smb.tree(request).root
    yield from set_info(root, smb.connection, request.tid, opened, _class(_SET_LEVELS, level), bytes(whole.data))
    return _said(bytes(2))


def _set_path(smb: Smb1, request: Request, whole: Transaction) -> Generator[Order, None, Said]:  # noqa: ARG001
    """Times and attributes, as a rule: taken, and forgotten."""
    smb.tree(request)
    yield from ()
    return _said(bytes(2))


def _make(smb: Smb1, request: Request, whole: Transaction) -> Generator[Order, None, Said]:
    wanted = Wanted(_text(request, bytes(whole.parameters[4:])), 0, 2, 0x1)
    number, _, _ = yield from smb.connection.open(smb.tree(request), wanted)
    yield from smb.connection.close(number)
    return _said(bytes(2))


def _referral(smb: Smb1, request: Request, whole: Transaction) -> Generator[Order, None, Said]:  # noqa: ARG001
    yield from ()
    raise NtError(status.FS_DRIVER_REQUIRED)


_ON_FILES: dict[int, _OnFiles] = {
    0x01: _find_first, 0x02: _find_next, 0x03: _volume, 0x05: _path, 0x06: _set_path, 0x07: _file, 0x08: _set_file,
    0x0D: _make, 0x10: _referral,
}  # fmt: skip
STEPS: dict[int, Step] = {
    _TRANS: _begin, _TRANS_MORE: _go_on, _TRANS2: _begin, _TRANS2_MORE: _go_on, _NT: _begin_nt, _NT_MORE: _go_on,
}  # fmt: skip
