"""The one connection driver of all rooms: what its sessions share, and what becomes of whatever goes wrong in one.

    channel (tcp, udp) --> Session --> [TLS] --> Room.tell --> orders --> Session --> line --> channel
                                                                                  --> spool, fetching

Here, and nowhere else, everything is caught: the peer's fault becomes `PeerFaulted`, ours becomes `SensorFaulted` with
a traceback in the log; either ends that one session, and the others go on. Bytes go their way in `session` and `line`.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from eudaemon.events import Event, Fact, IdSource, to_json
from eudaemon.events.catalogue import PeerFaulted, SensorFaulted
from eudaemon.sensor.artefacts import ArtefactStore
from eudaemon.sensor.contract import Outside, Talk, TlsLayer
from eudaemon.sensor.grace import Grace
from eudaemon.sensor.segments import RECORD_BYTES_MAX
from eudaemon.sensor.settings import SensorSettings
from eudaemon.sensor.spool import Spool
from eudaemon.sensor.wheel import Wheel
from eudaemon.wire import PeerError, Purse, clipped
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed

if TYPE_CHECKING:
    from eudaemon.sensor.session import Session
    from eudaemon.sensor.shells import Shells
    from eudaemon.sensor.side import Sides

log = logging.getLogger("eudaemon.sensor")

_ERROR_CHARS_MAX = 300
_FRAMES_MAX = 6


class Driver:
    """What all sessions share. Made and used in the loop's thread."""

    def __init__(
        self,
        settings: SensorSettings,
        host: Host,
        seed: Seed,
        spool: Spool,
        *,
        wheel: Wheel,
        ids: IdSource,
        clock: Callable[[], float],
        ticks: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.host = host
        self.seed = seed
        self.spool = spool
        self.wheel = wheel
        self.clock = clock  # seconds since the epoch, for facts
        self.ticks = ticks  # the loop's time, for deadlines
        self.ids = ids
        self.purse = Purse(settings.limits.held_bytes_max)
        self.memory = Memory()
        self.artefacts: ArtefactStore
        self.outside: Outside
        self.grace: Grace
        self.sides: Sides
        self.shells: Shells
        self.ports: frozenset[int] = frozenset()  # TCP ports that we listen on
        self.new_tls: Callable[[bool], TlsLayer | None]  # of 1.2 at most or any; None while there is no certificate
        self.sessions: set[Session] = set()
        self.sessions_total = 0
        self.events_total = 0
        self.faults = 0

    def state(self, fact: Fact, session: Talk | None = None) -> None:
        """State a fact, about a session or about the sensor itself."""
        now_s = self.clock()
        name = self.settings.name
        if session is None:
            event = Event(self.ids.new(now_s), now_s, name, fact)
        else:
            event = Event(self.ids.new(now_s), now_s, name, fact, session.id, session.attacker, session.local)
        line = to_json(event).encode("ascii")
        if len(line) > RECORD_BYTES_MAX:
            self.faults += 1
            log.error("a %s of %d bytes is not stated", fact.kind, len(line))
            return
        self.events_total += 1
        self.spool.append(line)

    def attempt(self, session: Session, work: Callable[..., None], *what: Any) -> None:
        """Do this work of a session's; what goes wrong in it ends that session, and no other."""
        try:
            work(*what)
        except PeerError as error:
            self.state(PeerFaulted(session.room, clipped(str(error), _ERROR_CHARS_MAX)), session)
            session.end("peer fault")
        except Exception as error:  # noqa: BLE001 (the one place: see the module)
            if session.note_fault():
                self.faulted(session.room, error, session)
            session.end("our fault")

    def faulted(self, where: str, error: BaseException, session: Talk | None = None) -> None:
        """State, count and log a fault of ours. `where` is the room or part in which it happened."""
        self.faults += 1
        log.error("a fault of ours in %s, session %s", where, session.id if session else "none", exc_info=error)
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_MAX:]
        places = " > ".join(
            f"{frame.filename.rpartition('eudaemon/')[2]}:{frame.lineno} {frame.name}" for frame in frames
        )
        text = clipped(f"{type(error).__name__}: {error}", _ERROR_CHARS_MAX)
        self.state(SensorFaulted(where, text, clipped(places, 4 * _ERROR_CHARS_MAX)), session)

    def stop(self) -> None:
        """End all sessions."""
        for session in list(self.sessions):
            session.end("stop")
