"""From a frame of whatever link to the IP packet in it. Link types: tcpdump.org/linktypes.html.

Nothing of a frame is believed: what holds no IP packet, or not all of one's header, is said to be so.
"""

from __future__ import annotations

from typing import Literal

ETHERNET = 1
TAGS_MAX = 4  # of VLAN or MPLS, one in the other
_IPV4, _IPV6 = 0x0800, 0x86DD
_TAGS = (0x8100, 0x88A8, 0x9100)
_PPPOE, _MPLS = 0x8864, (0x8847, 0x8848)
_LENGTH_MAX, _SNAP = 1500, b"\xaa\xaa\x03\0\0\0"  # IEEE 802.3: a length in the type's place, and LLC
_OTHER = "of another protocol than IP"
_CUT_OFF = "cut off"
# Link type -> bytes before the number of the protocol, and bytes of the whole header.
_HEADERS = {
    ETHERNET: (12, 14),
    104: (2, 4),  # Cisco's HDLC
    113: (14, 16), 276: (0, 20),  # Linux cooked
    # Ethernet with the tag that a router's own switch puts in it: Broadcom's (or before all), Marvell's, a longer one.
    281: (16, 18), 282: (16, 18), 284: (16, 18), 285: (20, 22),
}  # fmt: skip
_RAW = {12, 14, 101, 228, 229}  # the packet itself
_LOOPBACK = {0, 108}  # four bytes, then the packet itself
_PPP, _IN_PPP = {9, 50}, (0x21, 0x57)
_NFLOG, _PAYLOAD = 239, 9


def network(link: int, frame: bytes) -> bytes | str:
    """Return the IP packet in a frame, or why there is none."""
    if link in _RAW:
        return frame
    if link in _LOOPBACK:
        return frame[4:]
    if link == _NFLOG:
        return _logged(frame)
    if link in _PPP:
        return _point_to_point(frame)
    if link not in _HEADERS:
        return f"of link type {link}"
    place, size = _HEADERS[link]
    if len(frame) < size:
        return _CUT_OFF
    kind = int.from_bytes(frame[place : place + 2], "big")
    for _ in range(TAGS_MAX):
        if kind not in _TAGS:
            break
        kind, size = int.from_bytes(frame[size + 2 : size + 4], "big"), size + 4
    return _carried(kind, frame[size:])


def _carried(kind: int, data: bytes) -> bytes | str:
    """Return the IP packet in what Ethernet carries as `kind`."""
    if kind <= _LENGTH_MAX and data.startswith(_SNAP):
        kind, data = int.from_bytes(data[6:8], "big"), data[8:]
    if kind == _PPPOE:
        return _point_to_point(data[6:])
    if kind in _MPLS:
        for label in range(TAGS_MAX):
            if data[4 * label + 2 : 4 * label + 3] and data[4 * label + 2] & 1:  # the last
                inner = data[4 * label + 4 :]
                return inner if inner and inner[0] >> 4 in (4, 6) else _OTHER
    return data if kind in (_IPV4, _IPV6) else _OTHER


def _point_to_point(frame: bytes) -> bytes | str:
    """Return the IP packet behind a header of PPP (RFC 1661 section 2, 1662 section 3.1)."""
    if frame[:2] == b"\xff\x03":
        frame = frame[2:]
    kind, size = (frame[0], 1) if frame[:1] and frame[0] & 1 else (int.from_bytes(frame[:2], "big"), 2)
    return frame[size:] if kind in _IN_PPP else _OTHER


def _logged(frame: bytes) -> bytes | str:
    """Return the IP packet that iptables' NFLOG gave away: among values of types and lengths, behind four bytes."""
    at = 4
    while at + 4 <= len(frame):
        # The lengths are the machine's own: whichever of both fits.
        little = int.from_bytes(frame[at : at + 2], "little")
        order: Literal["little", "big"] = "little" if 4 <= little <= len(frame) - at else "big"
        length, kind = (int.from_bytes(frame[at + n : at + n + 2], order) for n in (0, 2))
        if length < 4:
            break
        if kind & 0x7FFF == _PAYLOAD:
            return frame[at + 4 : at + length]
        at += (length + 3) // 4 * 4
    return _CUT_OFF
