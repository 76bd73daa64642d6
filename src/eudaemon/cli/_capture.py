"""Captured packets out of a file: pcap and pcapng. What is in a frame: `_frames`; in an IP packet: `_packets`.

File formats: draft-ietf-opsawg-pcap and -pcapng. Nothing of a file is believed:
what is cut off, of another kind or in pieces is counted in `Capture.left_out` and passed over.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from eudaemon.cli._frames import network

PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6), b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9), b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}  # fmt: skip
PCAPNG = b"\x0a\x0d\x0d\x0a"
MAGICS = (*PCAP, PCAPNG)
INTERFACES_MAX = 4096  # of one section

_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_TSRESOL = 9
# Packets of Linux's USB monitor: what ADB says over a cable it says over TCP, too. Link type -> bytes of the header.
_USB = {189: 48, 220: 64}
_SUBMITTED, _BULK, _INWARD, _HAS_DATA = ord("S"), 3, 0x80, 0
USB_PIPES_MAX = 256


class CaptureError(ValueError):
    """A file that is no capture. The message says what is wrong with it."""


@dataclass(slots=True)
class Capture:
    """A file, and what of it was passed over: reason -> how many packets."""

    data: bytes
    left_out: Counter[str] = field(default_factory=Counter)
    packets: int = 0
    usb: dict[str, list[tuple[float, bytes]]] = field(default_factory=dict)  # what a computer sent, by pipe

    def ip(self) -> Iterator[tuple[float, bytes]]:
        """Yield (seconds since the epoch, IP packet from its header on). Raises `CaptureError`."""
        for at_s, link, frame in _pcapng(self) if self.data.startswith(PCAPNG) else _pcap(self):
            self.packets += 1
            if link in _USB:
                self._usb(at_s, frame, _USB[link])
                continue
            found = network(link, frame)
            if isinstance(found, str):
                self.left_out[found] += 1
            else:
                yield at_s, found

    def _usb(self, at_s: float, frame: bytes, header: int) -> None:
        """Note what a computer sent to a device in bulk; its answers and all other transfers are none of ours."""
        if len(frame) < header:
            self.left_out["cut off"] += 1
            return
        kind, transfer, endpoint, device = frame[8:12]
        is_said = (kind, transfer, endpoint & _INWARD, frame[15]) == (_SUBMITTED, _BULK, 0, _HAS_DATA)
        if is_said and len(frame) > header:
            pipe = f"usb device {device} endpoint {endpoint}"
            if pipe not in self.usb and len(self.usb) == USB_PIPES_MAX:
                raise CaptureError(f"more than {USB_PIPES_MAX} pipes of USB")
            self.usb.setdefault(pipe, []).append((at_s, frame[header:]))


Frames = Iterator[tuple[float, int, bytes]]  # time, link type, frame


def _pcap(capture: Capture) -> Frames:
    data = capture.data
    if len(data) < 24:
        raise CaptureError("the header of the capture is cut off")
    order, unit_s = PCAP[data[:4]]
    link = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    at = 24
    while at < len(data):
        if at + 16 > len(data):
            capture.left_out["cut off at the end of the file"] += 1
            return
        second, fraction, length, _ = struct.unpack_from(order + "4I", data, at)
        at += 16
        if at + length > len(data):
            capture.left_out["cut off at the end of the file"] += 1
            return
        yield second + fraction * unit_s, link, data[at : at + length]
        at += length


def _pcapng(capture: Capture) -> Frames:
    data, at, order = capture.data, 0, "<"
    interfaces: list[tuple[int, float, int]] = []  # link type, unit of time in seconds, bytes kept of a packet
    while at < len(data):
        kind = _SECTION if data[at : at + 4] == PCAPNG else 0
        if kind:
            if at + 12 > len(data):
                break
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        if at + 12 > len(data):
            break
        kind, length = struct.unpack_from(order + "2I", data, at)
        if length < 12 or length % 4 or at + length > len(data):
            break
        body = data[at + 8 : at + length - 4]
        at += length
        if kind == _INTERFACE and len(body) >= 8:
            if len(interfaces) == INTERFACES_MAX:
                raise CaptureError(f"more than {INTERFACES_MAX} interfaces")
            link, _, kept = struct.unpack_from(order + "HHI", body)
            interfaces.append((link, _unit_s(body[8:], order), kept))
        elif kind in (_PACKET, _OLD_PACKET, _SIMPLE_PACKET):
            frame = _packet(kind, body, order, interfaces)
            if frame is None:
                capture.packets += 1
                capture.left_out["of no interface that the file tells of"] += 1
            else:
                yield frame
    if at < len(data):
        capture.left_out["cut off at the end of the file"] += 1


def _packet(
    kind: int, body: bytes, order: str, interfaces: list[tuple[int, float, int]]
) -> tuple[float, int, bytes] | None:  # fmt: skip
    number, high, low = 0, 0, 0
    if kind == _SIMPLE_PACKET:
        if len(body) < 4 or not interfaces:
            return None
        (length,) = struct.unpack_from(order + "I", body)
        length, start = min(length, interfaces[0][2] or length), 4
    else:
        if len(body) < 20:
            return None
        number, high, low, length, _ = struct.unpack_from(order + ("5I" if kind == _PACKET else "HxxIIII"), body)
        start = 20
    if number >= len(interfaces):
        return None
    link, unit_s, _ = interfaces[number]
    return (high << 32 | low) * unit_s, link, body[start : start + length]


def _unit_s(options: bytes, order: str) -> float:
    """Return the unit of an interface's time stamps: microseconds, unless an option says otherwise."""
    at = 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from(order + "HH", options, at)
        if code == _TSRESOL and length == 1 and at + 4 < len(options):
            exponent = options[at + 4]
            return float(2.0 ** -(exponent & 0x7F) if exponent & 0x80 else 10.0**-exponent)
        if code == 0:
            break
        at += 4 + (length + 3) // 4 * 4
    return 1e-6
