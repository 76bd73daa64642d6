"""Messages of SNMP 1 and 2c (RFC 1157, 3416) and of 3 with its user-based security (RFC 3412, 3414), read and made.

1, 2c:  version | community | PDU
3:      version | id, size, flags, model | engine, boots, time, user, digest, salt | engine, context, PDU
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from eudaemon.wire import PeerError, ber

VARBINDS_MAX = 64  # of one message
GET, GET_NEXT, RESPONSE, SET, TRAP, GET_BULK, INFORM, TRAP2, REPORT = range(0xA0, 0xA9)
ADDRESS, COUNTER, GAUGE, TICKS = 0x40, 0x41, 0x42, 0x43  # RFC 2578 section 7.1
NO_OBJECT, END_OF_VIEW = b"\x80\0", b"\x82\0"  # RFC 3416 section 3
NO_ERROR, TOO_BIG, NO_SUCH_NAME, NO_ACCESS = 0, 1, 2, 6
AUTHENTICATED, ENCIPHERED, REPORTABLE = 1, 2, 4  # RFC 3412 section 6.4
Oid: TypeAlias = tuple[int, ...]
Varbind: TypeAlias = tuple[Oid, int, bytes]  # name, the value's tag, its content


@dataclass(frozen=True, slots=True)
class Pdu:
    """What is asked. `first` and `second` are error status and index, or a bulk's non-repeaters and repetitions."""

    kind: int
    number: bytes  # the request's id, as an element
    first: int
    second: int
    varbinds: tuple[Varbind, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A message of version 1 (0) or 2c (1)."""

    version: int
    community: bytes
    pdu: Pdu


@dataclass(frozen=True, slots=True)
class Secured:
    """A message of version 3. `pdu` is None where it is enciphered."""

    number: int
    flags: int
    engine: bytes
    user: bytes
    digest: bytes
    pdu: Pdu | None


def read(data: bytes) -> Message | Secured:
    """Read a whole message. Raises `PeerError` for what is none."""
    ((tag, content),) = _exactly(data, 1)
    fields = list(ber.elements(content))
    if tag != ber.SEQUENCE or len(fields) < 3 or fields[0][0] != ber.INTEGER:
        raise PeerError("SNMP: no message")
    version = ber.integer(fields[0][1])
    if version in (0, 1) and len(fields) == 3 and fields[1][0] == ber.OCTETS:
        return Message(version, fields[1][1], _pdu(*fields[2]))
    if version == 3 and len(fields) == 4:
        return _secured(fields[1][1], fields[2][1], fields[3])
    raise PeerError("SNMP: no message of version 1, 2c or 3")


def _secured(header: bytes, parameters: bytes, scoped: tuple[int, bytes]) -> Secured:
    number, _, flags, _ = (content for _, content in _exactly(header, 4))
    ((_, inner),) = _exactly(parameters, 1)
    engine, _, _, user, digest, _ = (content for _, content in _exactly(inner, 6))
    pdu = None
    if scoped[0] == ber.SEQUENCE:
        pdu = _pdu(*_exactly(scoped[1], 3)[2])
    return Secured(ber.integer(number), flags[0] if flags else 0, engine, user, digest, pdu)


def _pdu(tag: int, content: bytes) -> Pdu:
    if tag == TRAP:  # of version 1, which is laid out differently, and is not answered
        return Pdu(tag, b"", 0, 0, ())
    number, first, second, listed = _exactly(content, 4)
    if not GET <= tag <= REPORT:
        raise PeerError("SNMP: no PDU")
    varbinds: list[Varbind] = []
    for _, pair in ber.elements(listed[1]):
        if len(varbinds) == VARBINDS_MAX:
            raise PeerError(f"SNMP: more than {VARBINDS_MAX} variables")
        (_, name), (kind, value) = _exactly(pair, 2)
        varbinds.append((ber.object_identifier(name), kind, value))
    return Pdu(tag, ber.encoded(ber.INTEGER, number[1]), ber.integer(first[1]), ber.integer(second[1]), tuple(varbinds))


def _exactly(data: bytes, count: int) -> list[tuple[int, bytes]]:
    found = list(ber.elements(data))
    if len(found) != count:
        raise PeerError(f"SNMP: {len(found)} elements where {count} belong")
    return found


# --- what is answered ----------------------------------------------------------------------------


def varbind(name: Oid, value: bytes) -> bytes:
    """Return a variable and its value, which is an element."""
    return ber.encoded(ber.SEQUENCE, ber.named(name), value)


def response(asked: Message, varbinds: list[bytes], error: int = NO_ERROR, index: int = 0) -> bytes:
    """Return the whole answer to a message of version 1 or 2c."""
    pdu = _made(RESPONSE, asked.pdu.number, varbinds, error, index)
    community = ber.encoded(ber.OCTETS, asked.community)
    return ber.encoded(ber.SEQUENCE, ber.number(asked.version), community, pdu)


def report(asked: Secured, counter: Oid, count: int, engine: bytes, boots: int, time_s: int) -> bytes:
    """Return the report that tells a client of version 3 who answers, and what is wrong with its message."""
    security = ber.encoded(
        ber.SEQUENCE, ber.encoded(ber.OCTETS, engine), ber.number(boots), ber.number(time_s),
        ber.encoded(ber.OCTETS, asked.user), ber.encoded(ber.OCTETS), ber.encoded(ber.OCTETS),
    )  # fmt: skip
    number = (asked.pdu and asked.pdu.number) or ber.number(0)
    pdu = _made(REPORT, number, [varbind(counter, ber.number(count, COUNTER))], 0, 0)
    header = ber.encoded(
        ber.SEQUENCE, ber.number(asked.number), ber.number(65_507), ber.encoded(ber.OCTETS, b"\0"), ber.number(3)
    )
    scoped = ber.encoded(ber.SEQUENCE, ber.encoded(ber.OCTETS, engine), ber.encoded(ber.OCTETS), pdu)
    return ber.encoded(ber.SEQUENCE, ber.number(3), header, ber.encoded(ber.OCTETS, security), scoped)


def _made(kind: int, number: bytes, varbinds: list[bytes], first: int, second: int) -> bytes:
    return ber.encoded(kind, number, ber.number(first), ber.number(second), ber.encoded(ber.SEQUENCE, *varbinds))
