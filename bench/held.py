"""What sessions cost that are held open: memory of 5,000 clients in each room, logged in where there is a login.

    python bench/held.py                        every room in turn (about ten minutes)
    python bench/held.py --only telnet,ssh,smb  some of them
    python bench/held.py --count 1000           with fewer clients

Each room in a sensor of its own, whose memory is looked at before and after. A client that is hung up on is told. Where
they speak TLS there are 1,000. Rooms that are spoken to in datagrams hold no connection.
"""

from __future__ import annotations

import argparse
import resource
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from dialogues import ENTRIES, UDP_ALONE, enter
from sensor_process import free_ports, memory_kib, sensor

AIM_BYTES = 10_000
TLS = ("kubelet",)  # of whose sessions each is counted as 48 KiB of the 64 MiB that all may hold
TLS_COUNT_MAX = 1_000
AT_ONCE = 32  # that come in meanwhile
# Events that wait for the disk are no session's: thousands come in within seconds.
# What payloads name is not fetched: it is not there.
SPOOL = "[sensor.spool]\nmemory_bytes_max = 65536\n[fetch]\npolicy = 'off'\n"
PER_ADDRESS = 250  # of a loopback address, as many attackers would have


def source(number: int) -> tuple[str, int]:
    """Return where the client of that number comes from."""
    return f"127.0.{1 + number // PER_ADDRESS}.{1 + number % PER_ADDRESS}", 0


def held(room: str, count: int) -> float:
    """Hold sessions in a room; print and return the bytes that each takes."""
    address = ("127.0.0.1", free_ports(1)[0])
    listen = [f"{room} tcp {address[1]}"]
    with sensor(listen, persona="storage", more=SPOOL) as (pid, _), ThreadPoolExecutor(AT_ONCE) as pool:
        for number in range(AT_ONCE):  # what the first ones load and keep is not the others'
            enter(room, address, source(number)).close()
        time.sleep(1)
        before = memory_kib(pid)
        peers = list(pool.map(lambda number: enter(room, address, source(number)), range(count)))
        time.sleep(1)
        after = memory_kib(pid)
        gone = sum(map(_is_gone, peers))
        each = (after - before) * 1024 / count
        print(f"{room:<10} {each / 1000:6.1f} KB each of {count:,}, {after / 1024:5.0f} MiB in all"
              + (f", {gone} were hung up on" if gone else "") + ("" if each <= AIM_BYTES else "   over 10 KB"),
              flush=True)  # fmt: skip
        for peer in peers:
            peer.close()
    return each


def _is_gone(peer: socket.socket) -> bool:
    """Say whether the sensor has closed this connection, behind what it may have said."""
    peer.setblocking(False)
    try:
        while peer.recv(65_536):
            pass
    except OSError as error:
        return not isinstance(error, BlockingIOError) and "did not complete" not in str(error)
    return True


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(ENTRIES), help="rooms, with commas between")
    parser.add_argument("--count", type=int, default=5_000)
    asked = parser.parse_args()
    rooms = asked.only.split(",")
    if unknown := [room for room in rooms if room not in ENTRIES]:
        why = "; ".join(f"{room}: {UDP_ALONE.get(room, 'there is no such room')}" for room in unknown)
        parser.error(f"no session is held over TCP in {why}")
    files = 2 * asked.count + 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, max(files, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    for room in rooms:
        held(room, min(asked.count, TLS_COUNT_MAX) if room in TLS else asked.count)


if __name__ == "__main__":
    main()
