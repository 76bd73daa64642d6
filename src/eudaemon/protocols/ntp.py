"""NTP, versions 1 to 4 (RFC 5905), as a server of stratum 2 or 3 that ntpd or a router runs.

A client (mode 3) and a symmetric peer (mode 1) are told the time, in as many bytes as they sent. What floods others is
asked for in modes 6 and 7: `readvar` and `monlist` are stated, and answered with an error no larger than the question.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import Claim, HalfClosed, HangUp, Occasion, Order, Received, Room, Saw, Send, Visit
from eudaemon.wire import PeerError

# Leap, version and mode; stratum, poll, precision, root delay, root dispersion, reference; reference time, originate,
# receive and transmit timestamps (RFC 5905 section 7.3).
PACKET = struct.Struct(">BBbbIIIQQQQ")
_TRANSMIT_AT = 40
CONTROL = struct.Struct(">BBHHHHH")  # RFC 9327 section 2: mode, operation, sequence, status, association, offset, count
PRIVATE = struct.Struct(">BBBBHH")  # ntp_request.h: mode, sequence, implementation, request, error and items, size
DATAGRAMS_MAX = 64  # of one peer that are looked at
_EPOCH_S = 2_208_988_800  # 1900-01-01 to 1970-01-01, RFC 5905 section 6
_CLIENT, _SERVER, _ACTIVE, _PASSIVE, _CONTROL, _PRIVATE = 3, 4, 1, 2, 6, 7
_CONTROL_ASKS = {1: "readstat", 2: "readvar", 3: "writevar", 4: "readclock", 5: "writeclock", 8: "config",
                 10: "readmru", 11: "readordlist", 12: "nonce"}  # fmt: skip
_PRIVATE_ASKS = {0: "peerlist", 1: "peersum", 16: "reslist", 20: "monlist", 42: "monlist", 43: "ifstats"}
_NO_DATA = 4  # ntp_request.h: INFO_ERR_NODATA
_UNAUTHORISED = 0x0100  # RFC 9327 section 3.4: the error word's first octet, authentication failure


class Ntp(Room):
    """One peer that asks the time."""

    name: ClassVar[str] = "ntp"

    __slots__ = ("_datagrams",)

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._datagrams = 0

    @classmethod
    def claim(cls, first: bytes) -> Claim:  # noqa: ARG003
        """Over TCP nobody speaks NTP."""
        return Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data) if self.visit.transport == "udp":
                self._datagrams += 1
                if data and self._datagrams <= DATAGRAMS_MAX:
                    yield from self._datagram(data, at_s)
            case Received():
                raise PeerError("NTP over TCP")
            case HalfClosed():
                yield HangUp()

    def _datagram(self, data: bytes, at_s: float) -> Iterator[Order]:
        version, mode = data[0] >> 3 & 7, data[0] & 7
        if mode in (_CLIENT, _ACTIVE) and len(data) >= PACKET.size and 1 <= version <= 4:
            yield Send(self._time(data, version, _SERVER if mode == _CLIENT else _PASSIVE, at_s))
        elif mode == _CONTROL and len(data) >= CONTROL.size:
            operation = data[1] & 0x1F
            yield from self._flooding("control", _CONTROL_ASKS.get(operation, ""), operation, "")
            head, _, sequence, _, association, _, _ = CONTROL.unpack_from(data)
            yield Send(CONTROL.pack(head, 0xC0 | operation, sequence, _UNAUTHORISED, association, 0, 0))
        elif mode == _PRIVATE and len(data) >= PRIVATE.size:
            head, sequence, implementation, request, _, _ = PRIVATE.unpack_from(data)
            asks = _PRIVATE_ASKS.get(request, "")
            yield from self._flooding("private", asks, request, "CVE-2013-5211" if asks == "monlist" else "")
            yield Send(PRIVATE.pack(0x80 | head, sequence, implementation, request, _NO_DATA << 12, 0))

    def _flooding(self, mode: str, asks: str, number: int, reference: str) -> Iterator[Order]:
        yield Saw(CommandEntered(f"{mode} {asks or number}"))
        if asks:
            yield Saw(ExploitRecognised("ntp-amplification", reference, asks))

    def _time(self, data: bytes, version: int, mode: int, at_s: float) -> bytes:
        """Return the answer: the question's transmit timestamp, and a clock that is milliseconds off the sensor's."""
        seed = self.visit.host.seed.child("ntp")
        stratum = 2 + seed.number("stratum", 2)
        off_s = (seed.number("offset", 20_000) - 10_000) / 1e6
        now_s = at_s + off_s
        synchronised_s = now_s - now_s % (64 << seed.number("poll", 4))
        reference = seed.bytes("reference", 3) + bytes((1 + seed.number("reference host", 254),))
        return PACKET.pack(
            version << 3 | mode, stratum, data[2] if data[2] < 128 else 6, -(18 + seed.number("precision", 6)),
            600 + seed.number("delay", 3000), 900 + seed.number("dispersion", 3000), int.from_bytes(reference, "big"),
            _stamp(synchronised_s), int.from_bytes(data[_TRANSMIT_AT : PACKET.size], "big"), _stamp(now_s),
            _stamp(now_s + 20e-6),
        )  # fmt: skip


def _stamp(at_s: float) -> int:
    """Return seconds since 1970 as NTP's 64 bits."""
    return int((at_s + _EPOCH_S) * 2**32) & 0xFFFF_FFFF_FFFF_FFFF
