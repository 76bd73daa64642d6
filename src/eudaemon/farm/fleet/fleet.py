"""The sensors: who is admitted, when each was last heard of, how it does, and what about it calls for a look.

Owns one SQLite file, which the command line may open while the farm runs. Of a credential only the SHA-256 is kept: it
is 256 random bits, which no list of words will find.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eudaemon.farm.fleet import verdicts
from eudaemon.farm.fleet.verdicts import Warned
from eudaemon.farm.settings import FleetSettings

log = logging.getLogger("eudaemon.farm.fleet")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FARM = "farm"  # the farm's own name in events; no sensor may bear it
HEALTH_BYTES_MAX = 16 * 1024
HISTORY_MAX = 40  # contacts whose spool is remembered
SECRET_BYTES = 32

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sensors (
    name TEXT PRIMARY KEY, secret_hash BLOB NOT NULL, created_s REAL NOT NULL, revoked_s REAL,
    contact_s REAL, session_s REAL, clock_off_s REAL NOT NULL DEFAULT 0, health TEXT NOT NULL DEFAULT '{}');
"""


class FleetError(ValueError):
    """A request that cannot be granted; the message is for the person who asked."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor as it is known now. Times are seconds since the epoch."""

    name: str
    created_s: float
    revoked_s: float | None
    contact_s: float | None
    session_s: float | None  # when it last reported a session
    clock_off_s: float  # how far its clock is ahead of the farm's; negative if behind
    health: dict[str, Any]
    warned: tuple[Warned, ...] = ()

    @property
    def verdicts(self) -> tuple[str, ...]:
        """Return what calls for a look, in words."""
        return tuple(warned.text for warned in self.warned)


@dataclass
class _Contact:
    """What is known of a sensor in this process and not yet written down."""

    contact_s: float
    session_s: float | None = None
    clock_off_s: float = 0.0
    health: dict[str, Any] = field(default_factory=dict)
    spooled: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=HISTORY_MAX))
    changed: bool = True


class Fleet:
    """The sensors in the SQLite file at `path`. Quick; may be called from any thread and from several processes."""

    def __init__(
        self, path: Path, settings: FleetSettings | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings or FleetSettings()
        self._clock = clock
        self._lock = threading.Lock()
        self._contacts: dict[str, _Contact] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, check_same_thread=False, timeout=10)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _SCHEMA)

    def close(self) -> None:
        """Write down what is new, and close the file."""
        self.flush()
        with self._lock:
            self._db.close()

    def enrol(self, name: str) -> str:
        """Admit a sensor and return its secret, which cannot be seen again. A name that is in use gets a new secret."""
        secret = secrets.token_hex(SECRET_BYTES)
        self.admit(name, secret)
        return secret

    def admit(self, name: str, secret: str) -> None:
        """Admit a sensor with a secret that is known to it. Raises `FleetError`."""
        if not NAME.fullmatch(name) or name == FARM:
            raise FleetError(
                f"{name!r} is no name for a sensor: 1 to 64 letters, digits, dots, dashes and underscores"
                f" are, and {FARM!r} is not"
            )
        if len(secret) < 2 * SECRET_BYTES:
            raise FleetError(f"a secret has at least {2 * SECRET_BYTES} characters")
        with self._lock, self._db:
            self._db.execute(
                "INSERT INTO sensors (name, secret_hash, created_s) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET secret_hash = excluded.secret_hash, revoked_s = NULL",
                (name, _digest(secret), self._clock()),
            )

    def revoke(self, name: str) -> bool:
        """Refuse a sensor from now on. Returns whether there was one."""
        with self._lock, self._db:
            gone = self._db.execute(
                "UPDATE sensors SET revoked_s = ? WHERE name = ? AND revoked_s IS NULL", (self._clock(), name)
            )
        return gone.rowcount > 0

    def is_admitted(self, name: str, secret: str) -> bool:
        """Say whether this is a sensor's secret. Takes the same time for a name that does not exist."""
        with self._lock:
            found = self._db.execute(
                "SELECT secret_hash FROM sensors WHERE name = ? AND revoked_s IS NULL", (name,)
            ).fetchone()
        return hmac.compare_digest(_digest(secret), found[0] if found else bytes(32)) and found is not None

    def heard(
        self, name: str, health: Mapping[str, Any] | None, *, session_s: float | None, clock_off_s: float
    ) -> None:
        """Note a contact. `health` is what the sensor says of itself, `session_s` when it last reported a session."""
        now_s = self._clock()
        with self._lock:
            contact = self._contacts.setdefault(name, _Contact(now_s))
            contact.contact_s, contact.changed = now_s, True
            contact.session_s = session_s or contact.session_s
            contact.clock_off_s = clock_off_s
            if health is not None:
                contact.health = dict(health)
                contact.spooled.append((now_s, verdicts.number(health, "spool_events")))

    def flush(self) -> None:
        """Write down the contacts since the last time. While the disk is full they stay in memory."""
        with self._lock:
            changed = {name: contact for name, contact in self._contacts.items() if contact.changed}
            try:
                with self._db:
                    self._db.executemany(
                        "UPDATE sensors SET contact_s = ?, session_s = coalesce(?, session_s), clock_off_s = ?,"
                        " health = ? WHERE name = ?",
                        (
                            (c.contact_s, c.session_s, c.clock_off_s, json.dumps(c.health), n)
                            for n, c in changed.items()
                        ),
                    )
            except sqlite3.OperationalError as error:
                log.warning("fleet: contacts are not written down: %s", error)
                return
            for contact in changed.values():
                contact.changed = False

    def sensors(self) -> list[Sensor]:
        """Return all sensors that are not revoked, by name, with what calls for a look."""
        self.flush()
        with self._lock:
            rows = self._db.execute(
                "SELECT name, created_s, revoked_s, contact_s, session_s, clock_off_s, health FROM sensors"
                " WHERE revoked_s IS NULL ORDER BY name"
            ).fetchall()
            contacts = {name: replace(contact) for name, contact in self._contacts.items()}
            spooled = {name: tuple(contact.spooled) for name, contact in self._contacts.items()}
        found = []
        for name, created_s, revoked_s, contact_s, session_s, clock_off_s, health in rows:
            sensor = Sensor(name, created_s, revoked_s, contact_s, session_s, clock_off_s, json.loads(health))
            if contact := contacts.get(name):  # newer than what is written down, if anything is
                sensor = replace(
                    sensor, contact_s=contact.contact_s, session_s=contact.session_s or session_s,
                    clock_off_s=contact.clock_off_s, health=contact.health,
                )  # fmt: skip
            warned = verdicts.judge(sensor, spooled.get(name, ()), self._clock(), self._settings)
            found.append(replace(sensor, warned=tuple(warned)))
        return found

    def shown(self, sensor: Sensor) -> dict[str, Any]:
        """Return a sensor as the page shows it."""
        from eudaemon.events import rfc3339

        status = "well" if not sensor.warned else "warning"
        if sensor.contact_s is None:
            status = "never"
        elif self._clock() - sensor.contact_s > self._settings.silent_s:
            status = "silent"
        return {
            "name": sensor.name, "status": status,
            "last_seen": None if sensor.contact_s is None else rfc3339(sensor.contact_s),
            "warnings": [{"severity": w.severity, "text": w.text} for w in sensor.warned], "health": sensor.health,
        }  # fmt: skip


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
