"""One conversation of PDUs (C706 chapter 12, MS-RPCE 2.2.2): bind, alter context, requests in fragments, answers.

    0       1       2      3       4      8        10       12
    +-------+-------+------+-------+------+--------+--------+---------+-------- - -
    | major | minor | kind | flags | drep | length | auth   | call id | body    auth
    +-------+-------+------+-------+------+--------+--------+---------+-------- - -

Numbers are in the peer's byte order (`drep`), ours in little. Bytes come in any pieces; a `Send` is one PDU.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Generator, Iterator

from eudaemon.events.catalogue import ExploitRecognised, RpcBound, RpcCalled
from eudaemon.protocols._base import Order, Saw, Send
from eudaemon.protocols._dcerpc.host import ACCESS_DENIED, OPERATION_UNKNOWN, RpcFault, RpcHost
from eudaemon.protocols._dcerpc.interfaces import Interface, Operation, interface
from eudaemon.protocols._dcerpc.ndr import Reader
from eudaemon.protocols._dcerpc.services import handler_of
from eudaemon.protocols._ntlm import SIGNATURE, Authentication, Seal
from eudaemon.wire import PeerError, clipped

STUB_BYTES_MAX = 4 * 1024 * 1024
CONTEXTS_MAX = 64  # asked for in one association
CALLS_MAX = 10_000  # of one association
KEPT_BYTES_MIN = 512  # a stub that nobody here understands is kept from this size on
FRAGMENT_BYTES = 4280  # that we send and say that we receive, as Windows over pipes
HEAD = struct.Struct("<BBBBIHHI")
REQUEST, RESPONSE, FAULT, BIND, BIND_ACK, BIND_NAK, ALTER, ALTER_ANSWER, AUTH3 = 0, 2, 3, 11, 12, 13, 14, 15, 16
_FIRST, _LAST, _OBJECT = 0x01, 0x02, 0x80
_LITTLE = 0x10
_NDR = bytes.fromhex("045d888aeb1cc9119fe808002b10486002000000")
_NDR64 = bytes.fromhex("33057171babe37498319b5dbef9ccc3601000000")
_FEATURES = bytes.fromhex("2c1cb76c12984045")  # the start of what negotiates features at bind time (MS-RPCE 3.3.1.5.3)
_ACCEPTED, _REFUSED, _NEGOTIATED = 0, 2, 3
_UNKNOWN_INTERFACE, _UNKNOWN_SYNTAX = 1, 2
_VERSION_UNKNOWN = 4  # why a bind is not acknowledged
_INTEGRITY, _PRIVACY = 5, 6  # the levels at which PDUs are signed, and stubs sealed
_VERIFIER_BYTES = 16
_WAYS = ("client-to-server", "server-to-client")
_TEXT = re.compile(rb"(?:[\x20-\x7e]\0){6,}|[\x20-\x7e]{8,}")
_COMMAND_CHARS_MAX = 2048


class Association:
    """See the module. `endpoint` is the pipe's name or the port."""

    __slots__ = ("_authentication", "_binds", "_buffer", "_call", "_calls", "_contexts", "_endpoint", "_host",
                 "_seals", "over")  # fmt: skip

    def __init__(self, host: RpcHost, endpoint: str) -> None:
        self._host = host
        self._endpoint = endpoint
        self._buffer = bytearray()
        self._contexts: dict[int, Interface] = {}
        self._call = bytearray()
        self._calls = self._binds = 0
        self._authentication: Authentication | None = None
        self._seals: tuple[Seal, Seal] | None = None  # theirs and ours, where the session has a key
        self.over = False  # whether nothing more is heard

    def receive(self, data: bytes, at_s: float) -> Iterator[Order]:
        """Take bytes; yield PDUs and what was seen. Raises `PeerError`."""
        if not self._host.visit.purse.take(len(data)):
            raise PeerError("more bytes held than this session may")
        self._buffer += data
        while not self.over and (size := self._whole()):
            pdu = bytes(self._buffer[:size])
            del self._buffer[:size]
            self._host.visit.purse.give_back(size)
            yield from self._hear(pdu, at_s)
        if self.over:
            self.forget()

    @property
    def held(self) -> bytearray:
        """What came of a call that is not whole."""
        return self._call

    def forget(self) -> None:
        """Give back what is held."""
        self._host.visit.purse.give_back(len(self._buffer) + len(self._call))
        self._buffer.clear()
        self._call.clear()

    def _whole(self) -> int:
        """Return the size of the first PDU, 0 while it is not whole."""
        buffer = self._buffer
        if buffer and buffer[0] != 5:
            return len(buffer) if len(buffer) >= HEAD.size else 0
        if len(buffer) < HEAD.size:
            return 0
        size = int.from_bytes(buffer[8:10], "little" if buffer[4] & _LITTLE else "big")
        if size < HEAD.size:
            raise PeerError(f"a PDU of {size} bytes")
        return size if len(buffer) >= size else 0

    def _hear(self, pdu: bytes, at_s: float) -> Iterator[Order]:
        is_little = bool(pdu[4] & _LITTLE)
        _, _, kind, flags, _, _, auth, call = struct.unpack(("<" if is_little else ">") + HEAD.format[1:], pdu[:16])
        if pdu[0] != 5 or pdu[1] > 1:
            # What another protocol says first is answered as Windows answers it, with what it takes for the call's id.
            yield Send(_pdu(BIND_NAK, call, struct.pack("<HBBB", _VERSION_UNKNOWN, 1, 5, 0) + b"\0\0\0"))
            self.over = True
            return
        end = len(pdu) - (auth + 8 if auth else 0)
        if end < HEAD.size:
            raise PeerError("a verifier that is longer than its PDU")
        body, trailer = pdu[HEAD.size : end], pdu[end:]
        if kind in (BIND, ALTER):
            yield from self._bind(kind, call, Reader(body, is_little=is_little), trailer, at_s)
        elif kind == REQUEST:
            trailer, body = self._opened(pdu, body, trailer)
            yield from self._request(flags, call, body, trailer, is_little, at_s)
        elif kind == AUTH3 and self._authentication is not None:
            answer = yield from self._authentication.answer(trailer[8:], at_s)
            identity = answer.identity
            if identity is not None and identity.accepted:
                self._host.identity = identity
                if identity.key is not None and identity.seals:
                    seals = (Seal(identity.key, identity.flags, f"{way}") for way in _WAYS)
                    self._seals = (next(seals), next(seals))

    def _opened(self, pdu: bytes, body: bytes, trailer: bytes) -> tuple[bytes, bytes]:
        """Return the trailer and a request's body without its seal; what we have no key for has an empty one."""
        if not trailer or trailer[1] < _INTEGRITY:
            return trailer, body
        if self._seals is None:
            return trailer, body[:8] if trailer[1] == _PRIVACY else body
        theirs = self._seals[0]
        at = 24 if pdu[3] & _OBJECT else 8
        plain = body[:at] + (theirs.under(body[at:]) if trailer[1] == _PRIVACY else body[at:])
        theirs.signature(b"")  # whether it is right matters to nobody here; the stream goes on
        return trailer, plain

    # --- binding -------------------------------------------------------------------------------------

    def _bind(self, kind: int, call: int, read: Reader, trailer: bytes, at_s: float) -> Iterator[Order]:
        read.take(4)
        group = read.long()
        results = b""
        count = read.take(4)[0]
        self._binds += count
        if self._binds > CONTEXTS_MAX:
            raise PeerError(f"more than {CONTEXTS_MAX} interfaces asked for")
        for _ in range(count):
            context, number = read.short(), read.take(2)[0]
            abstract = read.take(20)
            syntaxes = [read.take(20) for _ in range(number)]
            results += yield from self._context(context, abstract, syntaxes, read.is_little, is_alone=count == 1)
        port = "" if kind == ALTER else self._endpoint
        address = port.encode("ascii", "replace") + b"\0" if port else b""
        body = struct.pack("<HHIH", FRAGMENT_BYTES, FRAGMENT_BYTES, group or self._group(), len(address)) + address
        body += bytes(-(HEAD.size + len(body)) % 4) + bytes((count, 0, 0, 0)) + results
        verifier = b""
        if trailer[8:].startswith(SIGNATURE):
            self._authentication = Authentication(self._host.visit, self._host.windows, 1000 + self._binds)
            answer = yield from self._authentication.answer(trailer[8:], at_s)
            verifier = answer.token
            padding = -len(body) % 4
            body += bytes(padding)
            trailer = trailer[:2] + bytes((padding, 0)) + trailer[4:8]
        yield Send(_pdu(BIND_ACK if kind == BIND else ALTER_ANSWER, call, body, trailer, verifier))

    def _context(
        self, number: int, abstract: bytes, syntaxes: list[bytes], is_little: bool, *, is_alone: bool
    ) -> Generator[Order, None, bytes]:
        uuid, major, minor = _interface_of(abstract, is_little)
        if any(syntax.startswith(_FEATURES) for syntax in syntaxes):
            return struct.pack("<HH", _NEGOTIATED, 3) + bytes(20)
        found = interface(uuid, major)
        yield Saw(RpcBound(f"{uuid} {major}.{minor}", found.name if found else "", self._endpoint))
        ndr = _NDR if is_little else _swapped(_NDR)
        if found is None:
            return struct.pack("<HH", _REFUSED, _UNKNOWN_INTERFACE) + bytes(20)
        if is_alone and _NDR64 in syntaxes:  # who asks for this alone wants to know whether the system has 64 bits
            return struct.pack("<HH", _ACCEPTED, 0) + _NDR64
        if ndr not in syntaxes:
            return struct.pack("<HH", _REFUSED, _UNKNOWN_SYNTAX) + bytes(20)
        if len(self._contexts) < CONTEXTS_MAX:
            self._contexts[number] = found
        return struct.pack("<HH", _ACCEPTED, 0) + _NDR

    def _group(self) -> int:
        return 0x1000 + self._host.visit.seed.number("rpc group", 0xF0000)

    # --- calls ---------------------------------------------------------------------------------------

    def _request(
        self, flags: int, call: int, body: bytes, trailer: bytes, is_little: bool, at_s: float
    ) -> Iterator[Order]:
        at = 24 if flags & _OBJECT else 8
        if len(body) < at:
            raise PeerError("a request that breaks off")
        if flags & _FIRST:
            self._host.visit.purse.give_back(len(self._call))
            self._call.clear()
        padding = trailer[2] if trailer else 0
        stub = body[at : len(body) - padding] if padding <= len(body) - at else b""
        if len(self._call) + len(stub) > STUB_BYTES_MAX or not self._host.visit.purse.take(len(stub)):
            raise PeerError(f"arguments of over {STUB_BYTES_MAX} bytes, or more than the session may hold")
        self._call += stub
        if not flags & _LAST:
            return
        whole = bytes(self._call)
        is_sealed = bool(trailer) and trailer[1] == _PRIVACY and self._seals is None
        self._host.visit.purse.give_back(len(whole))
        self._call.clear()
        self._calls += 1
        if self._calls > CALLS_MAX:
            raise PeerError(f"more than {CALLS_MAX} calls")
        _, context, number = struct.unpack_from("<IHH" if is_little else ">IHH", body)
        try:
            answer = yield from self._carry_out(context, number, whole, is_little, is_sealed, at_s)
        except RpcFault as fault:
            yield Send(_pdu(FAULT, call, struct.pack("<IHBBII", 32, context, 0, 0, fault.status, 0)))
            return
        room = FRAGMENT_BYTES - HEAD.size - 8
        for start in range(0, max(1, len(answer)), room):
            part = answer[start : start + room]
            which = (_FIRST if start == 0 else 0) | (_LAST if start + room >= len(answer) else 0)
            head = struct.pack("<IHBB", len(answer), context, 0, 0)
            yield Send(self._sealed(call, head, part, trailer, which))

    def _carry_out(
        self, context: int, number: int, stub: bytes, is_little: bool, is_sealed: bool, at_s: float
    ) -> Generator[Order, None, bytes]:
        """Call the operation; return its answer. Raises `RpcFault`."""
        found = self._contexts.get(context)
        operation = found.operations.get(number, Operation("")) if found else Operation("")
        name = found.name if found else f"context {context}"
        yield Saw(RpcCalled(name, number, operation.name, len(stub), self._endpoint))
        if found is None:
            yield from self._strange(name, number, stub)
            raise RpcFault(0x1C01_0003)  # nca_s_unk_if
        handler = None if is_sealed else handler_of(found.name, operation.name)
        if operation.exploit and len(stub) >= operation.bytes_min and not is_sealed:
            yield Saw(ExploitRecognised(operation.exploit, operation.reference, _texts(stub)))
            if operation.bytes_min:
                yield from self._host.keep(stub, f"{found.name}/{operation.name}")
        elif handler is None:
            yield from self._strange(name, number, stub)
        if handler is None:
            raise RpcFault(ACCESS_DENIED if operation.name else OPERATION_UNKNOWN)
        try:
            answer = handler(self._host, Reader(stub, is_little=is_little), at_s)
            return answer if isinstance(answer, bytes) else (yield from answer)
        except PeerError:  # what breaks off here ends no session: the service says that it cannot read it
            yield from self._strange(name, number, stub)
            raise RpcFault(0x0000_06F7) from None  # RPC_X_BAD_STUB_DATA

    def _sealed(self, call: int, head: bytes, stub: bytes, trailer: bytes, flags: int) -> bytes:
        """Return an answer, signed and sealed as its request was."""
        if self._seals is None or not trailer or trailer[1] < _INTEGRITY:
            return _pdu(RESPONSE, call, head + stub, flags=flags)
        padding = -len(stub) % 16
        stub += bytes(padding)
        trailer = trailer[:2] + bytes((padding, 0)) + trailer[4:8]
        plain = _pdu(RESPONSE, call, head + stub, trailer, bytes(_VERIFIER_BYTES), flags=flags)
        ours = self._seals[1]
        sealed = ours.under(stub) if trailer[1] == _PRIVACY else stub
        verifier = ours.signature(plain[:-_VERIFIER_BYTES])
        return _pdu(RESPONSE, call, head + sealed, trailer, verifier, flags=flags)

    def _strange(self, name: str, number: int, stub: bytes) -> Iterator[Order]:
        if len(stub) >= KEPT_BYTES_MIN:
            yield from self._host.keep(stub, f"{name}/{number}")


def _pdu(
    kind: int, call: int, body: bytes, trailer: bytes = b"", verifier: bytes = b"", *, flags: int = _FIRST | _LAST
) -> bytes:
    behind = trailer + verifier if verifier else b""
    size = HEAD.size + len(body) + len(behind)
    return HEAD.pack(5, 0, kind, flags, _LITTLE, size, len(verifier), call & 0xFFFF_FFFF) + body + behind


def _interface_of(abstract: bytes, is_little: bool) -> tuple[str, int, int]:
    data = abstract if is_little else _swapped(abstract)
    first, second, third = struct.unpack_from("<IHH", data)
    version = int.from_bytes(data[16:20], "little")
    uuid = f"{first:08x}-{second:04x}-{third:04x}-{data[8:10].hex()}-{data[10:16].hex()}"
    return uuid, version & 0xFFFF, version >> 16


def _swapped(syntax: bytes) -> bytes:
    """Return a UUID and its version in the other byte order."""
    return struct.pack(">IHH", *struct.unpack_from("<IHH", syntax)) + syntax[8:16] + syntax[16:20][::-1]


def _texts(stub: bytes) -> str:
    """Return the words that stand in a stub: paths and names, as a rule in UTF-16."""
    found = (match.group().replace(b"\0", b"").decode("ascii") for match in _TEXT.finditer(stub[:16_384]))
    return clipped(" ".join(found), _COMMAND_CHARS_MAX)
