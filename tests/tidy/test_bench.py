"""No room is forgotten by the benches: each has its dialogue, which works, and its port for a scan."""

from __future__ import annotations

import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor

from eudaemon.protocols import ROOMS
from protocols.test_every_room import _UDP
from tidy.tree import SOURCE

sys.path.append(str(SOURCE.parents[1] / "bench"))
from dialogues import DATAGRAMS, ENTRIES, UDP_ALONE, enter, exchange
from held import TLS
from scan import TCP, UDP
from sensor_process import free_run, sensor

sys.path.remove(str(SOURCE.parents[1] / "bench"))  # where `sensor` is no folder of tests


def test_every_room_has_a_dialogue() -> None:
    assert set(ROOMS) == {*ENTRIES, *UDP_ALONE}
    assert not set(ENTRIES) & set(UDP_ALONE)
    assert sorted(_UDP) == list(DATAGRAMS)
    assert set(TLS) <= set(ENTRIES)


def test_every_room_is_scanned() -> None:
    assert (set(TCP), set(UDP)) == (set(ENTRIES), set(DATAGRAMS))


def test_each_dialogue_gets_where_it_waits() -> None:
    """Played against a sensor: an entry that is not let in raises, and so does one that is not answered."""
    there = [room for room in ENTRIES if all(map(importlib.util.find_spec, ROOMS[room].needs))]
    rows = [(enter, room, "tcp") for room in there] + [(exchange, room, "udp") for room in DATAGRAMS]
    first = free_run(len(rows))
    listen = [f"{room} {over} {first + number}" for number, (_, room, over) in enumerate(rows)]
    ways = [(way, room, ("127.0.0.1", first + number)) for number, (way, room, _) in enumerate(rows)]
    with sensor(listen, persona="storage", more="[fetch]\npolicy = 'off'\n"), ThreadPoolExecutor(8) as pool:
        for sock in pool.map(lambda row: row[0](*row[1:]), ways):
            sock.close()
