"""One session: between the line to a peer and the room that answers it.

It finds out whether the peer begins with TLS, tells the room what happens, carries out its orders, and ends once, for
the first reason that comes. Whatever a peer or a room can get wrong happens in `Driver.attempt`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from eudaemon.events import Endpoint, Fact
from eudaemon.events.catalogue import ArtefactKept, ExploitRecognised, SessionClosed, SessionOpened
from eudaemon.protocols._base import (
    Answered,
    AwaitSide,
    CallSide,
    Drained,
    Ended,
    EndTls,
    Fetch,
    HalfClosed,
    HangUp,
    Keep,
    LookInto,
    Occasion,
    Opened,
    Order,
    Received,
    Record,
    Room,
    Saw,
    Secured,
    Send,
    SendSide,
    SideClosed,
    SideOrder,
    SideTold,
    StillThere,
    TellDrained,
    TlsOrder,
    Visit,
    WakeAt,
    Woken,
)  # fmt: skip
from eudaemon.protocols._front import Front
from eudaemon.sensor.contract import Channel, Service, TlsLayer
from eudaemon.sensor.line import Line
from eudaemon.sensor.overhearing import lookups_in
from eudaemon.wire import PeerError
from eudaemon.wire.conversation import ATTACKER
from eudaemon.world.outside import Download, Downloaded

if TYPE_CHECKING:
    from eudaemon.sensor.driver import Driver
    from eudaemon.sensor.side import Side

LOOKUPS_MAX = 8  # that one session has a logger make; then its facts are looked at no more
FETCHES_MAX = 32  # of one session that have no answer yet
NEVER_S = float("inf")
# IANA: where the service begins with TLS, and is never the first to speak. SMTP, FTP, telnet, IMAP, POP3.
TLS_PORTS = frozenset((465, 990, 992, 993, 995))


class Session:
    """One conversation. Small, for thousands are held: what is rarely needed is made when it is."""

    __slots__ = (
        "_answers", "_began_s", "_driver", "_faulted", "_heard_s", "_held", "_leaving", "_line", "_lookups", "_over",
        "_peer_left", "_room", "_service", "_tls_first", "_transport", "_waits", "_wake_s", "_wants_drained",
        "attacker", "id", "local", "tick",
    )  # fmt: skip

    def __init__(
        self, driver: Driver, service: Service, channel: Channel, attacker: Endpoint, local: Endpoint, transport: str
    ) -> None:
        self._driver = driver
        self._service = service
        self._transport = transport
        self._began_s = self._heard_s = driver.ticks()
        self._wake_s = NEVER_S
        self._line = Line(driver, channel, transport)
        self._lookups = 0
        self._answers: deque[list[Downloaded]] | None = None
        self._held = b""  # the start of what may become a ClientHello
        self._tls_first: bytes | None = None  # of TLS that a room has begun, not None until that was carried through
        self._over = self._leaving = self._faulted = self._peer_left = False
        self._wants_drained = False  # whether the room waits for `Drained`
        self._waits = False  # whether the room has not been entered, because TLS may come
        self.attacker = attacker
        self.local = local
        self.id = driver.ids.new(driver.clock())
        self.tick = 0
        self._room: Room | None = None

    @property
    def room(self) -> str:
        """The name of the room that answers."""
        if isinstance(self._room, Front):
            return self._room.answering
        return self._room.name if self._room is not None else self._service.name

    @property
    def is_proven(self) -> bool:
        """Whether the peer has its address: over UDP it may be forged."""
        return self._transport == "tcp"

    def note_fault(self) -> bool:
        """Note a fault of ours; say whether it is the first. What a broken room does on its way out is no news."""
        is_first, self._faulted = not self._faulted, True
        return is_first

    # --- what the channel says ----------------------------------------------------------------------

    def open(self) -> None:
        """The session begins."""
        driver = self._driver
        driver.sessions.add(self)
        driver.sessions_total += 1
        driver.state(SessionOpened(self._transport, self._service.name, self._service.follows), self)
        driver.wheel.put(self, self._deadline_s())
        if self._service.speaks_first and self._begins_with_tls:
            asked = (self.local.port, self.local.port - driver.settings.port_offset)
            self._waits = not TLS_PORTS.isdisjoint(asked) or driver.grace.put(self)
        if not self._waits:
            self._enter_room(tls=False)

    def greet(self) -> None:
        """Whoever wants TLS would have begun by now: enter the room, if that is still to be done."""
        if self._waits and not self._over and self._line.tls is None:
            self._enter_room(tls=False)
            self._hear_held()

    def received(self, data: bytes) -> None:
        """The peer sent bytes: any of a stream, or one datagram."""
        if self._over:
            return
        self._heard_s = self._driver.ticks()
        if not self._line.brought(len(data)):
            self.end("bytes")
        elif self._line.tls is not None:
            self._driver.attempt(self, self._through_tls, self._line.tls, data)
        elif not self._line.bytes_out and self._may_be_tls(data):
            self._held += data
            self._peek()
        else:
            self._hear(data)

    def half_closed(self) -> None:
        """The peer will send nothing more."""
        if self._over:
            return
        self._peer_left = True
        self.greet()
        self._hear_held()
        self._tell(HalfClosed(self._driver.clock()))
        if self._waits_for_nothing():
            self.end("peer")

    def lost(self) -> None:
        """The peer is gone, and with it the channel."""
        self._hear_held()
        self.end("peer" if self._peer_left else "reset")

    def drained(self) -> None:
        """The channel has less unsent than before."""
        self._line.account_for_unsent()
        self._tell_drained()

    def released(self) -> None:
        """The channel is closed: nothing is held for this peer any more."""
        self.end("reset")
        self._line.purse.close()

    def due(self, now_s: float) -> None:
        """A deadline may have come; see `Wheel`."""
        if self._over:
            return
        limits = self._driver.limits
        if now_s - self._began_s >= limits.total_s_max:
            self.end("time")
            return
        if not self._answers and now_s - self._heard_s >= self._idle_s_max():
            self.end("idle")
            return
        if now_s >= self._wake_s:
            self._wake_s = NEVER_S
            self._tell(Woken(self._driver.clock()))
        self._look_again()

    def become(self, service: Service) -> bool:
        """Let another room take the place of the one that answers; False if the session is over."""
        if not self._over:
            self._service = service
            self._tell(Ended(self._driver.clock()))
        if not self._over:
            self._enter_room(tls=self._line.tls is not None)
        return not self._over

    def end(self, reason: str) -> None:
        """The session is over: once, whoever says so first."""
        if self._over:
            return
        self._hear_held()
        if not self._over:  # what was held may have ended it
            self._finish(reason)

    def _finish(self, reason: str) -> None:
        self._over = True
        driver, line = self._driver, self._line
        self._tell(Ended(driver.clock()))
        conversation = line.conversation()
        duration_s = round(max(0.0, driver.ticks() - self._began_s), 3)
        driver.state(SessionClosed(self.room, reason, duration_s, line.bytes_in, line.bytes_out, conversation), self)
        driver.wheel.drop(self)
        driver.sessions.discard(self)
        self._room = None
        line.close(at_once=reason in ("reset", "our fault", "bytes"), says_so=reason not in ("reset", "our fault"))

    # --- what the room says -------------------------------------------------------------------------

    def _enter_room(self, *, tls: bool) -> None:
        driver = self._driver
        visit = Visit(
            driver.host, self.attacker, self.local, self._transport, self._line.purse, driver.seed.child(self.id), tls,
            driver.memory, can_tls=self._line.tls is None and self._transport == "tcp" and driver.settings.tls,
        )  # fmt: skip
        self._wake_s = NEVER_S
        self._waits = False
        self._room = None
        driver.attempt(self, self._make_room, visit)
        self._tell(Opened(driver.clock()))

    def _make_room(self, visit: Visit) -> None:
        self._room = self._service.make(visit)

    def _tell(self, occasion: Occasion) -> None:
        if self._room is None:
            return
        self._driver.attempt(self, self._do_as_told, self._room, occasion)
        if self._leaving:
            self.end("peer" if self._peer_left else "room")
        elif self._tls_first and self._line.tls is not None:
            first, self._tls_first = self._tls_first, b""
            self._driver.attempt(self, self._through_tls, self._line.tls, first)
        elif self._wants_drained and not isinstance(occasion, Drained):
            self._tell_drained()

    def _tell_drained(self) -> None:
        while self._wants_drained and not self._line.unsent_bytes and not self._over:
            self._wants_drained = False
            self._tell(Drained(self._driver.clock()))

    def _do_as_told(self, room: Room, occasion: Occasion) -> None:
        is_ended = isinstance(occasion, Ended)
        for order in room.tell(occasion):
            if not (is_ended and isinstance(order, Send | HangUp | WakeAt | TellDrained | TlsOrder | SideOrder)):
                self._carry_out(order)

    def _carry_out(self, order: Order) -> None:
        if isinstance(order, Send):
            self._send(order.data)
        elif isinstance(order, Saw):
            self._driver.state(order.fact, self)
            if self._lookups < LOOKUPS_MAX:
                self._overhear(order.fact)
        elif isinstance(order, HangUp):
            self._leaving = True  # carried out when the room has said all that it has to say
        elif isinstance(order, WakeAt):
            self._wake_s = self._driver.ticks() + max(0.0, order.at_s - self._driver.clock())
            self._look_again()
        elif isinstance(order, Keep):
            self._keep(order)
        elif isinstance(order, Fetch | LookInto):
            self._ask_outside(order)
        elif isinstance(order, TellDrained):
            self._wants_drained = True
        elif isinstance(order, TlsOrder):
            self._order_tls(order)
        elif isinstance(order, SideOrder):
            self._order_side(order)
        else:
            self._carry_out_rare(order)

    def _carry_out_rare(self, order: Order) -> None:
        if isinstance(order, Record):
            self._line.note(order.side, order.data)
        elif isinstance(order, StillThere):
            self._heard_s = self._driver.ticks()

    def _send(self, data: bytes) -> None:
        if data and not self._over and not self._leaving:
            self._line.send(data, recorded=self._records())

    def _keep(self, keep: Keep) -> None:
        driver = self._driver
        largest = driver.settings.capture.artefact_bytes_max
        data = keep.data[:largest]
        sha256 = driver.artefacts.keep(data)
        if sha256:
            partial = keep.partial or len(data) < len(keep.data)
            fact = ArtefactKept(sha256, len(data), keep.origin, keep.name, "", partial)
            driver.state(fact, self)
        if keep.origin in ("payload", "script"):
            driver.outside.look_into(self, data)

    def _overhear(self, fact: Fact) -> None:
        for url in lookups_in(fact):
            self._lookups += 1
            self._driver.state(ExploitRecognised("log4shell", "CVE-2021-44228", url), self)
            self._driver.outside.wish(self, Download(url, "jndi"), lambda _: None)

    def _ask_outside(self, order: Fetch | LookInto) -> None:
        if isinstance(order, Fetch):
            self._fetch(order.download)
        else:
            self._driver.outside.look_into(self, order.data, here=True)

    def _fetch(self, download: Download) -> None:
        if self._answers is None:
            self._answers = deque()
        if len(self._answers) >= FETCHES_MAX:
            raise PeerError(f"more than {FETCHES_MAX} downloads at once")
        slot: list[Downloaded] = []
        self._answers.append(slot)

        def answered(downloaded: Downloaded) -> None:
            slot.append(downloaded)
            self._tell_answers()

        self._driver.outside.wish(self, download, answered)

    def _tell_answers(self) -> None:
        """Tell the room the answers that have come, in the order of asking."""
        while self._answers and self._answers[0]:
            downloaded = self._answers.popleft()[0]
            if not self._over:
                self._heard_s = self._driver.ticks()
                self._tell(Answered(self._driver.clock(), downloaded))
        if self._peer_left and self._waits_for_nothing():
            self.end("peer")
        self._look_again()  # from now on silence counts again

    def _records(self) -> bool:
        room = self._room
        return room is None or (room.records if isinstance(room, Front) else room.recorded)

    # --- the side connection ------------------------------------------------------------------------

    def _order_side(self, order: SideOrder) -> None:
        if isinstance(order, SendSide):
            self._line.send_side(order.data)
            return
        if (side := self._line.without_side()) is not None:
            side.close()
        if isinstance(order, AwaitSide | CallSide):
            self._line.open_side(self, order)

    def side_brought(self, count: int) -> bool:
        """So many bytes came on the side connection. False if that are too many, and the end."""
        self._heard_s = self._driver.ticks()
        if not self._line.brought(count):
            self.end("bytes")
        return not self._over

    def told_by_side(self, side: Side, occasion: SideTold) -> None:
        """Tell the room of its side connection, if it still is."""
        if side is not self._line.side or self._over:
            return
        if isinstance(occasion, SideClosed):
            self._line.without_side()
        self._heard_s = self._driver.ticks()
        self._tell(occasion)
        if self._peer_left and self._waits_for_nothing():
            self.end("peer")

    def _waits_for_nothing(self) -> bool:
        return not self._answers and self._wake_s == NEVER_S and self._line.side is None

    # --- bytes --------------------------------------------------------------------------------------

    def _hear(self, data: bytes) -> None:
        if self._waits:
            self._enter_room(tls=False)
        if self._records():
            self._line.note(ATTACKER, data)
        self._tell(Received(self._driver.clock(), data))

    @property
    def _begins_with_tls(self) -> bool:
        """Whether a peer may."""
        return self._driver.settings.tls and self._transport == "tcp" and not self._service.plain

    def _may_be_tls(self, data: bytes) -> bool:
        if not self._begins_with_tls:
            return False
        return bool(self._held) or (self._line.bytes_in == len(data) and data[:1] == b"\x16")

    def _peek(self) -> None:
        """Decide whether the first bytes are a ClientHello (RFC 8446, 5.1 and 4): type 22, version 3.x, message 1."""
        head = self._held[:6]
        if (len(head) > 1 and head[1] != 3) or (len(head) > 5 and head[5] != 1):
            self._hear_held()
        elif len(head) == 6:
            self._driver.attempt(self, self._begin_tls)

    def _begin_tls(self) -> None:
        data, self._held = self._held, b""
        tls = self._line.put_on_tls()
        if tls is None:
            self._hear(data)
        else:
            self._through_tls(tls, data)

    def _order_tls(self, order: TlsOrder) -> None:
        """Begin or end TLS because the room says so.

        What has come of it already is looked at when the room has said all.
        """
        if (self._line.tls is None) == isinstance(order, EndTls):
            raise RuntimeError("TLS is begun twice, or ended before it was begun")
        if isinstance(order, EndTls):
            self._line.take_off_tls()
            return
        if self._line.put_on_tls(order.envelope) is None:
            raise PeerError("TLS: there is no certificate")
        self._tls_first = order.first

    def _hear_held(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._hear(data)

    def _through_tls(self, tls: TlsLayer, data: bytes) -> None:
        was_accepted = tls.accepted is not None
        plain, answer = tls.received(data)
        if answer:
            self._line.pass_on(answer)
        if not was_accepted and tls.accepted is not None:
            self._driver.state(tls.accepted, self)
            if self._tls_first is not None:
                self._tls_first = None
                self._tell(Secured(self._driver.clock()))
            else:
                self._start_again()
        if plain and not self._over:
            self._hear(plain)

    def _start_again(self) -> None:
        """Let the room that waited for plain bytes, and has seen none, go; enter it anew."""
        self._tell(Ended(self._driver.clock()))
        if not self._over:
            self._enter_room(tls=True)

    # --- time ---------------------------------------------------------------------------------------

    def _look_again(self) -> None:
        if not self._over:
            self._driver.wheel.put(self, self._deadline_s())

    def _idle_s_max(self) -> float:
        limits = self._driver.limits
        return limits.udp_idle_s_max if self._transport == "udp" else limits.idle_s_max

    def _deadline_s(self) -> float:
        idle_at_s = NEVER_S if self._answers else self._heard_s + self._idle_s_max()
        return min(self._began_s + self._driver.limits.total_s_max, idle_at_s, self._wake_s)
