"""kill -9 at random moments, while attacks go on: what was durable once arrives, whole, and counts once."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import random
import signal
import ssl
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from end_to_end.farm_child import SECRET, child, farm
from end_to_end.honeynet import Honeynet, free_ports, public_folder, running
from end_to_end.ledger import Witness, farm_ledger
from eudaemon.demo.loader import attack
from eudaemon.demo.sample import harmless_for
from eudaemon.events import Endpoint, Event, IdSource, to_json
from eudaemon.events import catalogue as facts

ATTACKS = 200
AT_ONCE = 8
PAUSE_S_MAX = 0.4
KILLS = {"sensor": 5, "farm": 5}
KILL_FARM_ROUNDS = 5
BATCH_EVENTS = 40
# All attacks come from one address, and the farm is back sooner than the longest pause.
MORE = (
    "[sensor.limits]\nstarts_per_address_minute_max = 100000\n[sensor.uplink]\nbackoff_s_max = 0.5\nwait_s_max = 0.1\n"
)


def dice_of(what: str) -> random.Random:
    seed = int(os.environ.get("EUDAEMON_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"{what}: EUDAEMON_SEED={seed}")
    return random.Random(seed)


# --- 200 attacks, sensor and farm killed --------------------------------------------------------------


@dataclass(frozen=True)
class Brought:
    """A loader that came to its end: what it brought, and when it began and ended."""

    sha256: str
    began_s: float
    ended_s: float


class Storm:
    """Attacks, some at once, and who dies under them."""

    def __init__(self, net: Honeynet, dice: random.Random) -> None:
        self.net, self.dice = net, dice
        self.begun = 0
        self.brought: list[Brought] = []
        self.killed = dict.fromkeys(KILLS, 0)

    async def run(self) -> None:
        work = iter(range(ATTACKS))
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._attack_on(work))
            for part, kills in KILLS.items():
                group.create_task(self._kill(part, kills))

    async def _attack_on(self, work: Any) -> None:
        for number in work:
            self.begun += 1
            await asyncio.sleep(self.dice.random() * PAUSE_S_MAX)
            await self._connectable()
            kind = self.dice.choice(("telnet", "telnet", "http", "catchall"))
            if kind == "telnet":
                await self._telnet(number)
            elif kind == "http":
                await self._say("http", _injection(number))
            else:
                await self._say("catchall", b"storm %d " % number + random.Random(number).randbytes(300))

    async def _telnet(self, number: int) -> None:
        began_s = time.time()
        payload = partial(harmless_for, note=f"{number}")
        outcome = await attack("127.0.0.1", self.net.ports["telnet"], payload=payload, method="echo", timeout_s=30)
        if outcome.succeeded:
            self.brought.append(Brought(hashlib.sha256(outcome.payload).hexdigest(), began_s, time.time()))

    async def _say(self, service: str, data: bytes) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.net.ports[service])
            writer.write(data)
            writer.write_eof()
            async with asyncio.timeout(10):
                await reader.read()
            writer.close()
        except (OSError, TimeoutError):
            pass  # it was killed: that is what this is about

    async def _connectable(self) -> None:
        """Wait until there is a sensor to attack."""
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.net.ports["catchall"])
                writer.close()
                return
            except OSError:
                await asyncio.sleep(0.05)

    async def _kill(self, part: str, kills: int) -> None:
        for at in sorted(self.dice.sample(range(5, ATTACKS - 5), kills)):
            while self.begun < at:
                await asyncio.sleep(0.02)
            await asyncio.sleep(self.dice.random() * 0.5)
            while not self.net.kill(part):
                await asyncio.sleep(0.02)
            self.killed[part] += 1


def _injection(number: int) -> bytes:
    escaped = "".join(f"\\\\x{byte:02x}" for byte in b"\x7fELF%06d" % number)
    command = f"cd /tmp; echo -ne '{escaped}' > h{number}; chmod 777 h{number}; ./h{number}"
    return b"GET /shell?%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % command.replace(" ", "+").encode()


def _at_s(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def due(brought: list[Brought], spooled: list[dict[str, Any]]) -> set[str]:
    """Return what must have been kept of that which loaders brought.

    The spool is written in the order of saying. So what a loader brought before it had its last answer is durable if
    anything is that the same run of the sensor said after that answer.
    """
    runs: list[tuple[float, float]] = []  # when a run said its first and its last durable word
    for event in spooled:
        if event["kind"] == "sensor.started":
            runs.append((_at_s(event), _at_s(event)))
        elif runs:
            runs[-1] = (runs[-1][0], _at_s(event))
    found = set()
    for one in brought:
        run = max((run for run in runs if run[0] <= one.began_s), default=(0.0, 0.0))
        if run[1] > one.ended_s:
            found.add(one.sha256)
    return found


async def test_two_hundred_attacks_under_kill_lose_nothing_and_count_nothing_twice() -> None:
    dice = dice_of("storm")
    with public_folder() as place:
        witness = Witness(place / "data" / "sensor" / "spool", place / "kept")
        async with witness.watching(), running(place, more=MORE) as net:
            storm = Storm(net, dice)
            await storm.run()
            async with asyncio.timeout(40):
                while net.part("sensor") is None or witness.acknowledged() < witness.next_number():
                    await asyncio.sleep(0.2)
        assert storm.killed == KILLS

        spooled = witness.events()
        ledger = await farm_ledger(place / "data" / "farm")
        stored = ledger.of("local")
        ids = [event["id"] for event in spooled]
        assert len(ids) == len(set(ids)) > 10 * ATTACKS
        missing = [event for event in spooled if event["id"] not in stored]
        assert not missing, (len(missing), Counter(event["kind"] for event in missing), missing[0])
        assert max(stored.values()) == 1
        assert stored.keys() == set(ids)

        ledger.check_artefacts()
        expected = due(storm.brought, spooled)
        print(f"{len(ids)} events, {len(storm.brought)} loaders to the end, {len(expected)} of them due")
        assert expected
        assert expected <= {row["sha256"] for row in ledger.rows if row["kind"] == "artefact.kept"}
        assert not [event for event in spooled if event["kind"] == "sensor.faulted"]


# --- batches in the hand of the test, the farm killed --------------------------------------------------


class Uploader:
    """A client of the intake that shares nothing with the sensor's: numbered batches, each sent until acknowledged."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ids = IdSource(os.urandom)
        self.spool = os.urandom(16).hex()
        self.acknowledged: list[str] = []
        self.sent = 0
        self.sent_again = 0

    def deliver(self) -> None:
        """Deliver one more batch; blocks until the farm has acknowledged it, however often it must be sent."""
        events = [self._event(len(self.acknowledged) + n) for n in range(BATCH_EVENTS)]
        head = {"spool": self.spool, "first": len(self.acknowledged), "count": len(events), "health": {}}
        body = "\n".join([json.dumps(head), *(to_json(event) for event in events), ""]).encode()
        end = len(self.acknowledged) + len(events)
        until_s = time.monotonic() + 60
        while (answered := self._post(body)) != end:
            assert answered is None, f"it wants {answered}, and {end} is next"
            assert time.monotonic() < until_s
            self.sent_again += 1
            time.sleep(0.05)
        self.acknowledged += [event.id for event in events]

    def _post(self, body: bytes) -> int | None:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._port, timeout=20, context=ssl._create_unverified_context()
        )
        headers = {"Authorization": f"Bearer raw:{SECRET}", "Content-Type": "application/x-ndjson"}
        try:
            connection.request("POST", "/intake/v1/batch", body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        assert answer.status == 200, text
        found: int = json.loads(text)["next"]
        return found

    def _event(self, number: int) -> Event:
        now_s = time.time()
        fact = facts.CommandEntered(f"number {number}")
        return Event(self._ids.new(now_s), now_s, "raw", fact, self._ids.new(now_s), Endpoint("203.0.113.9", 4))


async def test_what_the_farm_acknowledged_it_has_once_however_it_is_killed(tmp_path: Path) -> None:
    dice = dice_of("farm")
    port = free_ports(1)[0]
    opened = farm(tmp_path, port)
    opened.prepare()
    opened.admit("raw", SECRET)
    opened.fleet.close()
    uploader = Uploader(port)
    over = asyncio.Event()

    async def deliver() -> None:
        while not over.is_set():
            await asyncio.to_thread(uploader.deliver)

    delivering = asyncio.create_task(deliver())
    for last in (*[False] * KILL_FARM_ROUNDS, True):
        async with child(tmp_path, port) as process:
            before = len(uploader.acknowledged)
            while len(uploader.acknowledged) == before:
                assert not delivering.done(), delivering.exception()
                await asyncio.sleep(0.01)
            await asyncio.sleep(dice.random())
            if last:
                over.set()
                await delivering
            process.kill()
    print(f"{len(uploader.acknowledged)} events, {uploader.sent_again} batches sent again")
    assert uploader.sent_again
    ledger = await farm_ledger(tmp_path)
    assert ledger.of("raw") == dict.fromkeys(uploader.acknowledged, 1)


# --- the supervisor killed ------------------------------------------------------------------------------


async def test_up_after_kill_9_waits_for_the_parts_that_are_still_there() -> None:
    with public_folder() as place:
        async with running(place) as first:
            slow = first.part("farm")
            assert slow is not None
            os.kill(slow, signal.SIGSTOP)
            first.process.kill()
            second = asyncio.create_task(_up_and_down(place))
            try:
                while f"process {slow} still has" not in first.log:
                    assert not second.done()
                    await asyncio.sleep(0.05)
            finally:
                os.kill(slow, signal.SIGCONT)
            await second


async def _up_and_down(place: Path) -> None:
    async with running(place) as net:
        assert net.part("farm") is not None
