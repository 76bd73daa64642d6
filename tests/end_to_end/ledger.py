"""What must be there and what is there, read from the files themselves and not from what the product says of them.

`Witness` keeps every file of a sensor's spool that ever was; `farm_ledger` reads a stopped farm's store and samples.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import sqlite3
import struct
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eudaemon.farm.settings import StoreSettings
from eudaemon.farm.store import Store

LOOK_S = 0.005
HEADER = struct.Struct(">8s16sQI")  # as sensor/segments.py draws it, and read here without it
RECORD = struct.Struct(">IIB")
EVENT, BLOB = 0, 1


class Witness:
    """Links every segment into a folder of its own: the link grows with the file, and stays when it is deleted."""

    def __init__(self, spool: Path, kept: Path) -> None:
        self._spool, self._kept = spool, kept
        kept.mkdir()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look for new segments, often, until the end, and once more then."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.look()

    async def _watch(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Link what is new."""
        for path in self._spool.glob("*.segment"):
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                os.link(path, self._kept / f"{path.name}.{path.stat().st_ino}")

    def events(self) -> list[dict[str, Any]]:
        """Return every event that ever was whole in the spool, in its order."""
        return [json.loads(payload) for _, kind, payload in self._records() if kind == EVENT]

    def next_number(self) -> int:
        """Return the number after the last event's."""
        return max((number for number, _, _ in self._records()), default=-1) + 1

    def acknowledged(self) -> int:
        """Return up to which number the sensor believes that the farm has them."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int((self._spool / "cursor").read_bytes().partition(b" ")[0])
        return 0

    def _records(self) -> Iterator[tuple[int, int, bytes]]:
        for path in sorted(self._kept.iterdir()):
            data = path.read_bytes()
            if len(data) < HEADER.size:
                continue
            number, at = HEADER.unpack_from(data)[2], HEADER.size
            while at + RECORD.size <= len(data):
                length, crc, kind = RECORD.unpack_from(data, at)
                payload = data[at + RECORD.size : at + RECORD.size + length]
                if len(payload) < length or zlib.crc32(payload, kind) != crc:
                    break
                yield number, kind, payload
                number += kind == EVENT
                at += RECORD.size + length


@dataclass(frozen=True)
class FarmLedger:
    """A farm's rows, and its artefacts' bytes by the name that they lie under."""

    rows: list[dict[str, Any]]
    artefacts: dict[str, bytes]

    def of(self, sensor: str) -> Counter[str]:
        """Return how often each event of a sensor is stored, by its id."""
        return Counter(row["id"] for row in self.rows if row["sensor"] == sensor)

    def named(self) -> set[str]:
        """Return the artefacts that stored events name."""
        found = set()
        for row in self.rows:
            if row["kind"] in ("artefact.kept", "download.finished"):
                found.add(row["sha256"])
            elif row["kind"] == "session.closed":
                found.add(json.loads(row["fields"])["conversation"])
        return found - {""}

    def check_artefacts(self) -> None:
        """Fail unless every artefact that is named is there, and each one that is there is byte-exact."""
        for name in self.named():
            assert name in self.artefacts, f"{name} is named and not there"
        for name, data in self.artefacts.items():
            assert hashlib.sha256(data).hexdigest() == name


async def farm_ledger(home: Path) -> FarmLedger:
    """Read a stopped farm."""
    async with Store(home / "store", StoreSettings(query_rows_max=1_000_000, disk_free_bytes_min=2**20)) as store:
        await store.settle()
        rows = await store.query("SELECT toString(id) AS id, sensor, kind, session, sha256, fields FROM events")
        counted = await store.query("SELECT count() AS n, uniqExact(id) AS u FROM events")
    assert counted[0]["n"] == counted[0]["u"] == len(rows)
    samples = home / "samples"
    catalogued = {
        name for (name,) in sqlite3.connect(samples / "catalogue.sqlite").execute("SELECT sha256 FROM artefacts")
    }
    paths = [path for path in samples.glob("??/*") if path.name in catalogued]
    assert len(paths) == len(catalogued)
    return FarmLedger(rows, {path.name: path.read_bytes() for path in paths})
