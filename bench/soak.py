"""A sensor under a mixed load on the rooms of `dialogues`: does its memory stay, and does nothing fault?

    python bench/soak.py --minutes 10                   a line every half minute, and a verdict
    python bench/soak.py --minutes 10 --picture x.svg   with a picture of the memory
    ... --rate 100                                      so many sessions a second, if the machine can

Attackers come from 1,000 addresses, up to 32 at a time: they log in as bench/dialogues.py does, or say what the rooms'
tests say, whole or in pieces; then they leave, reset, or stay a while. Others do so in datagrams. Spool and artefacts
are kept small, so that they are full early, as after a month. It ends with status 1 if the sensor faulted or went away,
or if its memory in the last third of the time is over a twentieth above that in the second.
"""

from __future__ import annotations

import argparse
import random
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from contextlib import ExitStack, suppress
from pathlib import Path

from dialogues import DATAGRAMS, ENTRIES, ClosedError, Peer, datagrams, enter, exchange
from protocols.test_every_room import OPENINGS, WORDS
from sensor_process import free_run, memory_kib, sensor

THREADS = 32
HELD_EACH = 20  # connections that a thread keeps open behind it
ADDRESSES = 1_000
LOOK_S = 5.0
TOLD_S = 30.0
GROWTH_MAX = 1.05
RESET = struct.pack("ii", 1, 0)  # for SO_LINGER: closed with a reset
SMALL = """
[sensor.spool]
bytes_max = 16777216
[sensor.capture]
artefacts_bytes_max = 67108864
[fetch]
policy = 'off'
"""


class Attackers:
    """What all threads share: where the rooms are, and what came of it."""

    def __init__(self, ports: dict[str, int], seed: int, pause_s: float) -> None:
        self.ports = ports
        self.pause_s = pause_s  # of each thread between two sessions
        self.seed = seed
        self.over = threading.Event()
        self.counts: Counter[str] = Counter()
        self.unheard: Counter[str] = Counter()

    def run(self, number: int) -> None:
        """Attack until it is over."""
        chance = random.Random(f"{self.seed} {number}")
        held: deque[socket.socket] = deque()
        while not self.over.wait(chance.uniform(0, 2 * self.pause_s)):
            room = chance.choice((*ENTRIES, *(f"{name}/udp" for name in DATAGRAMS)))
            source = f"127.1.{chance.randrange(4)}.{1 + chance.randrange(ADDRESSES // 4)}", 0
            try:
                sock = self._attack(room, source, chance)
            except (OSError, ClosedError):  # hung up on, which is an answer, too
                self.unheard[room] += 1
                continue
            finally:
                self.counts[room] += 1
            self._leave(sock, held, chance)
        while held:
            held.pop().close()

    def _attack(self, room: str, source: tuple[str, int], chance: random.Random) -> socket.socket:
        address = "127.0.0.1", self.ports[room]
        name, _, is_udp = room.partition("/")
        pieces = list(OPENINGS.get(name, ()))[: chance.randrange(12)]
        pieces += chance.choices(WORDS, k=chance.randrange(4))
        goes_in = chance.random() < 0.6
        if goes_in:
            pieces = pieces[-2:]
        if is_udp:
            sock = exchange(name, address, source) if goes_in else datagrams(address, source)
            with ExitStack() as undo:
                undo.callback(sock.close)
                for piece in pieces:
                    sock.send(piece)
                undo.pop_all()
            return sock
        sock = enter(name, address, source) if goes_in else Peer(address, source).socket
        said = b"".join(pieces)
        size = chance.choice((1, 7, 64, 4096, 65_536))
        with ExitStack() as undo:
            undo.callback(sock.close)
            for at in range(0, min(len(said), 400 * size), size):
                sock.sendall(said[at : at + size])
            undo.pop_all()
        return sock

    def _leave(self, sock: socket.socket, held: deque[socket.socket], chance: random.Random) -> None:
        how = chance.random()
        if how < 0.3:
            held.append(sock)
            sock = held.popleft() if len(held) > HELD_EACH else sock
            if sock is held[-1]:
                return
        with sock, suppress(OSError):
            if how > 0.8:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            elif sock.type == socket.SOCK_STREAM:
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(2)
                while sock.recv(65_536):
                    pass


def soak(minutes: float, rate: float, seed: int) -> tuple[list[tuple[float, int]], Counter[str], str]:
    """Return the memory over time (seconds, KiB), the sessions by room, and what the sensor said on its way."""
    rooms = [*ENTRIES, *(f"{name}/udp" for name in DATAGRAMS)]
    first = free_run(len(rooms))
    ports = {room: first + number for number, room in enumerate(rooms)}
    listen = [f"{room.partition('/')[0]} {'udp' if '/' in room else 'tcp'} {port}" for room, port in ports.items()]
    attackers = Attackers(ports, seed, THREADS / rate)
    seen: list[tuple[float, int]] = []
    with tempfile.NamedTemporaryFile(prefix="soak-", suffix=".log") as log:
        with sensor(listen, persona="storage", more=SMALL, log=Path(log.name)) as (pid, _):
            threads = [threading.Thread(target=attackers.run, args=(number,)) for number in range(THREADS)]
            began_s, told_s = time.monotonic(), 0.0
            for thread in threads:
                thread.start()
            try:
                while (now_s := time.monotonic() - began_s) < 60 * minutes:
                    seen.append((now_s, memory_kib(pid)))
                    if now_s >= told_s:
                        told_s += TOLD_S
                        count = sum(attackers.counts.values())
                        print(f"{now_s / 60:5.1f} min  {seen[-1][1] / 1024:6.1f} MiB  {count:9,} sessions", flush=True)
                    time.sleep(LOOK_S)
            finally:
                attackers.over.set()
                for thread in threads:
                    thread.join()
        return seen, attackers.counts, Path(log.name).read_text()


def picture(seen: list[tuple[float, int]], path: Path) -> None:
    """Draw the memory over time."""
    width, height, left, low = 720, 200, 60, 170
    most = max(kib for _, kib in seen) * 1.15
    line = " ".join(
        f"{left + (width - left - 20) * at_s / seen[-1][0]:.1f},{low - 150 * kib / most:.1f}" for at_s, kib in seen
    )
    marks = "".join(
        f'<line x1="{left}" x2="{width - 20}" y1="{low - 150 * mib * 1024 / most:.1f}" '
        f'y2="{low - 150 * mib * 1024 / most:.1f}" stroke="#ddd"/>'
        f'<text x="{left - 8}" y="{low - 150 * mib * 1024 / most + 4:.1f}" text-anchor="end">{mib} MiB</text>'
        for mib in range(0, int(most / 1024) + 1, 20)
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12" fill="#555"><rect width="100%" height="100%" fill="#fff"/>{marks}'
        f'<polyline points="{line}" fill="none" stroke="#2563eb" stroke-width="2"/>'
        f'<text x="{left}" y="{height - 8}">start</text><text x="{width - 20}" y="{height - 8}" text-anchor="end">'
        f"{seen[-1][0] / 60:.0f} minutes</text></svg>\n"
    )


def main() -> int:
    """Soak, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    seen, counts, said = soak(asked.minutes, asked.rate, asked.seed)
    if asked.picture:
        picture(seen, asked.picture)
    thirds = [
        [kib for at_s, kib in seen if number <= 3 * at_s / (60 * asked.minutes) < number + 1] for number in (1, 2)
    ]
    before, after = (statistics.median(third) for third in thirds)
    faults = said.count("a fault of ours")
    print(f"{sum(counts.values()):,} sessions in {len(counts)} rooms, from {min(counts.values()):,} to "
          f"{max(counts.values()):,} each; memory in the second third {before / 1024:.1f} MiB, in the last "
          f"{after / 1024:.1f}; {faults} faults")  # fmt: skip
    if faults:
        told = [line for line in said.splitlines() if " WARNING " not in line]
        print(*told[-200:], sep="\n", file=sys.stderr)
    return int(faults > 0 or after > GROWTH_MAX * before)


if __name__ == "__main__":
    sys.exit(main())
