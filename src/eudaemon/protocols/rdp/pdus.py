"""Packets of Remote Desktop, as far as the login goes: TPKT and X.224, MCS (T.125), GCC (T.124), CredSSP, client info.

Sections without a name are of MS-RDPBCGR.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from eudaemon.wire import PeerError, printable

PACKET_BYTES_MAX = 64 * 1024
CHANNELS_MAX = 31  # section 2.2.1.3.4
RDP, SSL, HYBRID, HYBRID_EX = 0, 1, 2, 8  # section 2.2.1.1.1
FIRST_CHANNEL = 1003  # the input and output channel's id; those that are asked for follow
USER = 1007 + CHANNELS_MAX  # the id that the client gets
_COOKIE = re.compile(rb"Cookie: ([^\r\n]{1,512})\r\n")
_UNICODE = 0x10
_SHARE = 0x000103EA
_DOMAIN = bytes.fromhex("301a020122020103020100020101020100020101020300fff8020102")  # section 4.1.4


@dataclass(frozen=True, slots=True)
class Request:
    """The X.224 connection request (section 2.2.1.1). `protocols` is None where the client negotiates nothing."""

    cookie: str
    protocols: int | None


@dataclass(frozen=True, slots=True)
class Client:
    """What a client says of itself in MCS Connect Initial (section 2.2.1.3)."""

    name: str = ""
    build: int = 0
    keyboard: int = 0
    width: int = 0
    height: int = 0
    channels: tuple[str, ...] = ()
    encryption: int = 0  # the methods that it offers, a bit each (section 2.2.1.3.3)


@dataclass(frozen=True, slots=True)
class Info:
    """The Client Info PDU (section 2.2.1.11): who wants in, and what is to be run."""

    domain: str
    user: str
    password: str
    shell: str


def request_of(packet: bytes) -> Request:
    """Read what follows TPKT's header. Raises `PeerError` for what is no connection request."""
    if len(packet) < 7 or packet[1] & 0xF0 != 0xE0:
        raise PeerError("no X.224 connection request")
    rest = packet[7:]
    found = _COOKIE.match(rest)
    asked = rest[found.end() :] if found else rest
    protocols = int.from_bytes(asked[4:8], "little") if len(asked) >= 8 and asked[0] == 1 else None
    return Request(printable(found[1], 256) if found else "", protocols)


def confirm(selected: int | None, *, failure: int = 0) -> bytes:
    """Return the X.224 connection confirm (section 2.2.1.2): a protocol, a reason why there is none, or neither."""
    if failure:
        rest = struct.pack("<BBHI", 3, 0, 8, failure)
    else:
        rest = struct.pack("<BBHI", 2, 0x1F, 8, selected) if selected is not None else b""
    return tpkt(bytes((6 + len(rest), 0xD0, 0, 0, 0x12, 0x34, 0)) + rest)


def tpkt(data: bytes) -> bytes:
    """Return a packet of TPKT (RFC 1006)."""
    return b"\3\0" + (4 + len(data)).to_bytes(2, "big") + data


def data(mcs: bytes) -> bytes:
    """Return a packet of MCS in X.224 and TPKT."""
    return tpkt(b"\x02\xf0\x80" + mcs)


def client_of(initial: bytes) -> Client:
    """Read the client's data blocks out of MCS Connect Initial; what is missing or broken is empty."""
    at = initial.find(b"Duca")  # the key of the client's data, section 2.2.1.3
    if at < 0:
        return Client()
    blocks = initial[at + 4 :]
    blocks = blocks[2 if blocks[:1] >= b"\x80" else 1 :]
    core, encryption = b"", 0
    channels: tuple[str, ...] = ()
    while len(blocks) >= 4:
        kind, size = struct.unpack_from("<HH", blocks)
        block, blocks = blocks[4:size], blocks[max(size, 4) :]
        if kind == 0xC001:
            core = block
        elif kind == 0xC002 and len(block) >= 8:
            offered, offered_in_france = struct.unpack_from("<II", block)
            encryption = offered | offered_in_france
        elif kind == 0xC003:
            count = min(int.from_bytes(block[:4], "little"), CHANNELS_MAX, max(0, len(block) - 4) // 12)
            names = (block[4 + 12 * number : 12 + 12 * number] for number in range(count))
            channels = tuple(printable(name.partition(b"\0")[0], 8) for name in names)
    if len(core) < 52:
        return Client(channels=channels, encryption=encryption)
    width, height = struct.unpack_from("<HH", core, 4)
    keyboard, build = struct.unpack_from("<II", core, 12)
    return Client(_wide(core[20:52]), build, keyboard, width, height, channels, encryption)


def connect_response(protocols: int, channels: int, security: bytes = bytes(8)) -> bytes:
    """Return MCS Connect Response (section 2.2.1.4). `security` is the server's data of that name, as it is: none."""
    padding = b"\0\0" * (channels & 1)
    ids = b"".join(struct.pack("<H", FIRST_CHANNEL + 1 + number) for number in range(channels)) + padding
    blocks = struct.pack("<HHII", 0x0C01, 12, 0x00080004, protocols)
    blocks += struct.pack("<HHHH", 0x0C03, 8 + len(ids), FIRST_CHANNEL, channels) + ids
    blocks += struct.pack("<HH", 0x0C02, 4 + len(security)) + security
    gcc = bytes.fromhex("000500147c00012a14760a01010001c0004d63446e") + _per(len(blocks)) + blocks
    body = b"\x0a\x01\0\x02\x01\0" + _DOMAIN + b"\x04" + _ber(len(gcc)) + gcc
    return data(b"\x7f\x66" + _ber(len(body)) + body)


def attach_confirm() -> bytes:
    """Return MCS Attach User Confirm (section 2.2.1.7)."""
    return data(b"\x2e\0" + (USER - 1001).to_bytes(2, "big"))


def join_confirm(request: bytes) -> bytes:
    """Return MCS Channel Join Confirm (section 2.2.1.9) for a request's four bytes."""
    return data(b"\x3e\0" + request[:4] + request[2:4])


def licensed() -> bytes:
    """Return the server's word that no licence is needed (section 2.2.1.12)."""
    return bytes.fromhex("80000000ff031000070000000200000004000000")


def to_client(said: bytes) -> bytes:
    """Return MCS Send Data Indication on the input and output channel."""
    return data(b"\x68\0\1" + FIRST_CHANNEL.to_bytes(2, "big") + b"\x70" + _per(len(said)) + said)


def demand_active(client: Client) -> bytes:
    """Return the Demand Active PDU (section 2.2.1.13.1) with what a server must be able to."""
    width, height = client.width or 1024, client.height or 768
    sets = (
        (0x01, struct.pack("<HHHHHHHHHBB", 1, 3, 0x0200, 0, 0, 0x041D, 0, 0, 0, 1, 1)),
        (0x02, struct.pack("<HHHHHHHHHBBHH", 16, 1, 1, 1, width, height, 0, 1, 1, 0, 0, 1, 0)),
        (0x03, bytes(20) + struct.pack("<HHHHHH", 1, 20, 0, 1, 0, 0x22) + bytes(52)),
        (0x08, struct.pack("<HHH", 1, 25, 25)),
        (0x09, struct.pack("<HH", 0x03EA, 0)),
        (0x0D, struct.pack("<HHIIII", 0x35, 0, 0, 0, 0, 0) + bytes(64)),
    )
    able = b"".join(struct.pack("<HH", kind, 4 + len(value)) + value for kind, value in sets)
    body = struct.pack("<IHH", _SHARE, 4, 4 + len(able)) + b"RDP\0" + struct.pack("<HH", len(sets), 0) + able + bytes(4)
    return struct.pack("<HHH", 6 + len(body), 0x11, 0x03EA) + body


def finalised(said: bytes) -> bytes:
    """Return the answer to a client's data PDU that makes the connection whole (section 1.3.1.1), or nothing."""
    if len(said) < 20 or said[2] != 0x17:
        return b""
    kind, action = said[14], said[18]
    answers = {
        (0x1F, 1): (0x1F, struct.pack("<HH", 1, USER)),  # synchronise
        (0x14, 4): (0x14, struct.pack("<HHI", 4, 0, 0)),  # cooperate
        (0x14, 1): (0x14, struct.pack("<HHI", 2, USER, 0x03EA)),  # request control, granted
    }
    found = (0x28, struct.pack("<HHHH", 0, 0, 3, 4)) if kind == 0x27 else answers.get((kind, action))
    if found is None:
        return b""
    body = struct.pack("<IBBHBBH", _SHARE, 0, 1, 4 + len(found[1]), found[0], 0, 0) + found[1]
    return struct.pack("<HHH", 6 + len(body), 0x17, 0x03EA) + body


DISCONNECTED = data(b"\x21\x80")  # MCS Disconnect Provider Ultimatum, on the user's request: T.125 section 11.15


def channel_data(mcs: bytes) -> tuple[int, bytes]:
    """Return the channel and the data of MCS Send Data Request. Raises `PeerError` for what is none."""
    if len(mcs) < 7:
        raise PeerError("MCS Send Data Request that breaks off")
    start = 8 if mcs[6] & 0x80 else 7
    return int.from_bytes(mcs[3:5], "big"), mcs[start:]


def info_of(packet: bytes) -> Info | None:
    """Read a Client Info PDU with its security header, None if it is another packet."""
    if len(packet) < 22 or not int.from_bytes(packet[:2], "little") & 0x40:
        return None
    flags = int.from_bytes(packet[8:12], "little")
    sizes = struct.unpack_from("<HHHHH", packet, 12)
    end = 2 if flags & _UNICODE else 1  # a terminating zero that is not counted
    at, fields = 22, []
    for size in sizes:
        field = packet[at : at + size]
        fields.append(_wide(field) if flags & _UNICODE else printable(field.rstrip(b"\0"), 512))
        at += size + end
    return Info(fields[0], fields[1], fields[2], fields[3])


def _wide(text: bytes) -> str:
    return printable(text.decode("utf-16-le", "replace").partition("\0")[0].encode("utf-8", "replace"), 512)


# --- CredSSP (MS-CSSP 2.2.1) ---------------------------------------------------------------------------


def ts_request(version: int, *, token: bytes = b"", status: int | None = None) -> bytes:
    """Return a TSRequest with a token, or with the status with which the login failed."""
    body = _tagged(0xA0, b"\x02\x01" + bytes((version,)))
    if token:
        body += _tagged(0xA1, _tagged(0x30, _tagged(0x30, _tagged(0xA0, _tagged(0x04, token)))))
    if status is not None:
        body += _tagged(0xA4, b"\x02\x04" + status.to_bytes(4, "big"))
    return _tagged(0x30, body)


def ts_size(head: bytes) -> int | None:
    """Return how many bytes a TSRequest has, None if more must come to know. Raises `PeerError` for what is none."""
    if head[:1] not in (b"", b"\x30"):
        raise PeerError("no TSRequest of CredSSP")
    if len(head) < 2:
        return None
    if head[1] < 0x80:
        return 2 + head[1]
    count = head[1] & 0x7F
    if count > 2:
        raise PeerError(f"a TSRequest over {PACKET_BYTES_MAX} bytes")
    return None if len(head) < 2 + count else 2 + count + int.from_bytes(head[2 : 2 + count], "big")


def ts_read(message: bytes) -> tuple[int, bytes]:
    """Return a TSRequest's version, and its token if it has one. Raises `PeerError` for what is none."""
    version, token = 2, b""
    _, fields, _ = _value(message)
    while fields:
        tag, value, fields = _value(fields)
        if tag == 0xA0:
            version = min(value[-1] if value else 2, 6)
        elif tag == 0xA1:
            for _ in range(4):  # a list of structures, of which the first has the token in its first field
                _, value, _ = _value(value)
            token = value
    return version, token


def _value(data: bytes) -> tuple[int, bytes, bytes]:
    """Return the tag and value of the first element of DER, and what follows it."""
    size = ts_size(b"\x30" + data[1:6])
    if size is None or size > len(data):
        raise PeerError("a TSRequest that breaks off")
    start = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    return data[0], data[start:size], data[size:]


def _tagged(tag: int, value: bytes) -> bytes:
    return bytes((tag,)) + _ber(len(value)) + value


def _ber(size: int) -> bytes:
    return bytes((size,)) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")


def _per(size: int) -> bytes:
    return bytes((size,)) if size < 0x80 else (0x8000 | size).to_bytes(2, "big")
