"""Packets in packets: what a tunnel carries, down to the IP packet. Clouds are watched through such.

    IP in IP (RFC 2003, 4213)    GRE (RFC 2784, 2890) and ERSPAN    VXLAN (RFC 7348), GENEVE (RFC 8926)

Over UDP a port alone proves nothing, for attacks go to any: what is there must be a whole frame with IP in it.
"""

from __future__ import annotations

import struct

from eudaemon.cli._frames import ETHERNET, network

IN_IPV4, IN_IPV6, GRE, _UDP = 4, 41, 47, 17
NESTED_MAX = 4  # tunnels, one in the other
_IPV4, _IPV6, _BRIDGED = 0x0800, 0x86DD, 0x6558
_MIRRORED = {0x88BE: 8, 0x22EB: 12}  # ERSPAN of type II and III: bytes of its header
_CHECKSUM, _KEY, _SEQUENCE, _VERSION = 0x8000, 0x2000, 0x1000, 7
_VXLAN_PORTS, _GENEVE_PORT = (4789, 8472), 6081
_VXLAN_FLAGS = (0x0800_0000, 0x0C00_0003)  # a frame, as it always is, and as the draft of its extension says it
_UDP_BYTES, _VXLAN_BYTES, _GENEVE_BYTES = 8, 8, 8


def inner(protocol: int, data: bytes) -> bytes | None:
    """Return the IP packet in what an IP packet carries; None if that is no tunnel, or carries none."""
    if protocol in (IN_IPV4, IN_IPV6):
        return data or None
    if protocol == GRE:
        return _gre(data)
    if protocol == _UDP and len(data) > _UDP_BYTES + _VXLAN_BYTES:
        return _over_udp(int.from_bytes(data[2:4], "big"), data[_UDP_BYTES:])
    return None


def _gre(data: bytes) -> bytes | None:
    if len(data) < 4:
        return None
    flags, kind = struct.unpack_from(">HH", data)
    if flags & _VERSION:  # 1 is PPTP's, in which PPP is, as a rule encrypted
        return None
    at = 4 + 4 * sum(bool(flags & bit) for bit in (_CHECKSUM, _KEY, _SEQUENCE))
    if kind in (_IPV4, _IPV6):
        return data[at:] or None
    if kind in _MIRRORED and flags & _SEQUENCE:
        return _frame(data[at + _MIRRORED[kind] :])
    return _frame(data[at:]) if kind == _BRIDGED else None


def _over_udp(port: int, data: bytes) -> bytes | None:
    first, second = struct.unpack_from(">II", data)
    if port in _VXLAN_PORTS and first in _VXLAN_FLAGS and not second & 0xFF:
        return _frame(data[_VXLAN_BYTES:])
    if port == _GENEVE_PORT and first & 0xFFFF == _BRIDGED and not first >> 30:
        return _frame(data[_GENEVE_BYTES + 4 * (first >> 24 & 0x3F) :])
    return None


def _frame(data: bytes) -> bytes | None:
    found = network(ETHERNET, data)
    is_ip = isinstance(found, bytes) and len(found) >= 20 and found[0] >> 4 in (4, 6)
    return found if is_ip and isinstance(found, bytes) else None
