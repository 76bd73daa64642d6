"""Fetching over TFTP (RFC 1350) with the options of RFC 2347-2349: block size and transfer size.

    us                                server
    RRQ name octet blksize tsize  ->  port 69 (or the URL's)
                                  <-  OACK blksize tsize, or DATA 1, from a new port: its transfer identifier
    ACK 0                         ->  that port, and no other, from here on
                                  <-  DATA n
    ACK n                         ->  ... until a DATA shorter than a block

Only a new block counts as an answer: a server that repeats itself for ever costs the idle time, and each of its
packets at most one of ours. A packet from elsewhere is dropped without the ERROR of RFC 1350 section 4: its sender
may be forged, and we are nobody's reflector.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from eudaemon.payload.fetch.outcome import Failed, Missing
from eudaemon.payload.fetch.target import Request
from eudaemon.payload.fetch.transfer import Transfer
from eudaemon.payload.url import unquoted

RETRY_S = 2.0
WAITING_PACKETS_MAX = 64
_RRQ, _DATA, _ACK, _ERROR, _OACK = 1, 3, 4, 5, 6
_BLOCK_BYTES = 512
_BLOCK_BYTES_WISHED = 1428  # fits an Ethernet frame with room for tunnels
_NOT_FOUND, _DENIED, _BAD_OPTION = 1, 2, 8


class _Line(asyncio.DatagramProtocol):
    """The server's packets in order, as long as there is room for them."""

    def __init__(self, ip: str) -> None:
        self.ip = ip
        self.tid = 0  # the server's port, once it has answered
        self.packets: asyncio.Queue[bytes] = asyncio.Queue(WAITING_PACKETS_MAX)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr[0] == self.ip and len(data) >= 4 and self.tid in (0, addr[1]):
            self.tid = addr[1]
            with contextlib.suppress(asyncio.QueueFull):
                self.packets.put_nowait(data)


async def fetch(request: Request, transfer: Transfer) -> None:
    """Get the URL's file. Raises `NotFetched`, `OSError`, or `NoRoomError` from the sink."""
    target = await request.aim(request.url)
    name = unquoted(target.url.path.removeprefix("/")).encode("latin-1")
    if b"\0" in name or not name:
        raise Failed("no file name")
    ip = target.addresses[0]
    options = [b"blksize", b"%d" % _BLOCK_BYTES_WISHED, b"tsize", b"0"]
    if not await _session(ip, target.url.port, name, options, transfer):
        await _session(ip, target.url.port, name, [], transfer)  # RFC 2347: it may refuse options, so without


async def _session(ip: str, port: int, name: bytes, options: list[bytes], transfer: Transfer) -> bool:
    """Carry out one transfer. False if the server refused the options."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    udp, line = await loop.create_datagram_endpoint(
        lambda: _Line(ip), local_addr=("::" if family == socket.AF_INET6 else "0.0.0.0", 0), family=family
    )
    try:
        request = struct.pack("!H", _RRQ) + b"\0".join([name, b"octet", *options, b""])
        return await _receive(_Exchange(udp, line, transfer, port, request), offered=bool(options))
    finally:
        udp.abort()


class _Exchange:
    """Our last packet, and the patience with which it is sent again until something new comes."""

    __slots__ = ("last", "line", "port", "transfer", "udp")

    def __init__(
        self, udp: asyncio.DatagramTransport, line: _Line, transfer: Transfer, port: int, request: bytes
    ) -> None:
        self.udp, self.line, self.transfer, self.port = udp, line, transfer, port
        self.send(request)

    def send(self, packet: bytes) -> None:
        """Send a packet, and remember it."""
        self.last = packet
        self.udp.sendto(packet, (self.line.ip, self.line.tid or self.port))

    async def next(self, until_s: float) -> tuple[int, int, bytes]:
        """Return the next packet: operation, number, the rest. Raises `Failed` at loop time `until_s`."""
        loop = asyncio.get_running_loop()
        while True:
            left_s = until_s - loop.time()
            if left_s <= 0:
                raise Failed(f"silent for {self.transfer.settings.idle_s_max:g} s")
            try:
                async with asyncio.timeout(min(RETRY_S, left_s)):
                    packet = await self.line.packets.get()
            except TimeoutError:
                self.send(self.last)
                continue
            self.transfer.peer = self.line.ip
            operation, number = struct.unpack_from("!HH", packet)
            return operation, number, packet[4:]


async def _receive(exchange: _Exchange, *, offered: bool) -> bool:
    transfer, loop = exchange.transfer, asyncio.get_running_loop()
    block, block_bytes, size, agreed = 0, _BLOCK_BYTES, None, False
    until_s = loop.time() + transfer.settings.idle_s_max
    while True:
        operation, number, rest = await exchange.next(until_s)
        if operation == _ERROR:
            if number == _BAD_OPTION and offered and not block:
                return False
            kind = Missing if number in (_NOT_FOUND, _DENIED) and not block else Failed
            raise kind(f"TFTP error {number}")
        if operation == _OACK and offered and not agreed:
            agreed = True
            block_bytes, size = _options(struct.pack("!H", number) + rest)
            exchange.send(struct.pack("!HH", _ACK, 0))
            until_s = loop.time() + transfer.settings.idle_s_max
        elif operation == _DATA and number == (block + 1) & 0xFFFF:
            if len(rest) > block_bytes:
                raise Failed(f"block of {len(rest)} bytes instead of {block_bytes}")
            block += 1
            exchange.send(struct.pack("!HH", _ACK, number))
            transfer.take(rest)
            if len(rest) < block_bytes:
                break
            until_s = loop.time() + transfer.settings.idle_s_max
        elif operation == _OACK or (operation == _DATA and number == block & 0xFFFF):
            exchange.send(exchange.last)  # our acknowledgement was lost, or the server repeats itself
        # Anything else is out of its turn, and ignored.
    if size is not None and size != transfer.size:
        raise Failed(f"{transfer.size} bytes of the {size} announced")
    return True


def _options(text: bytes) -> tuple[int, int | None]:
    """Return block size and announced size (None if there is none) of an OACK. Raises `Failed` if they are nonsense."""
    parts = text.split(b"\0")
    known = {name.lower(): value for name, value in zip(parts[::2], parts[1::2], strict=False)}
    blksize, tsize = known.get(b"blksize", b"%d" % _BLOCK_BYTES), known.get(b"tsize")
    # RFC 2348: the server may choose a smaller size than we wished, not a greater one.
    if not blksize.isdigit() or len(blksize) > 5 or not 8 <= int(blksize) <= _BLOCK_BYTES_WISHED:
        raise Failed("bad block size")
    return int(blksize), int(tsize) if tsize and tsize.isdigit() and len(tsize) <= 18 else None
