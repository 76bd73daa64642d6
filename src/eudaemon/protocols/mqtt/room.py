"""The conversation with the broker.

    CONNECT --> SUBSCRIBE, PUBLISH, PINGREQ … in any order --> DISCONNECT

Whoever names no user is let in; whoever does must know one of the host's. What is published is an event, from a size on
an artefact, and comes back to the publisher alone if it has subscribed to it. A firmware's address that is set
(`cmnd/…/OtaUrl`) is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, LoginTried
from eudaemon.protocols._accounts import admits
from eudaemon.protocols._base import (
    Claim,
    Ended,
    Fetch,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
    WakeAt,
    Woken,
)  # fmt: skip
from eudaemon.protocols.mqtt.household import Household, household_of
from eudaemon.protocols.mqtt.packets import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    PACKET_BYTES_MAX,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    SUBSCRIPTION_ID,
    UNSUBACK,
    UNSUBSCRIBE,
    Cursor,
    connect_of,
    matches,
    packet,
    text,
    variable,
)
from eudaemon.wire import PeerError, clipped, printable
from eudaemon.world.outside import Download

PACKETS_MAX = 20_000  # of one session
SUBSCRIPTIONS_MAX = 64  # of one session
FILTERS_MAX = 500  # that one session names in subscribing: for each, all that lies there is looked through
RETAINED_MAX = 256  # of one session
KEPT_MAX = 64  # messages of one session that become artefacts
KEPT_BYTES_MIN = 256  # what is smaller stands in the events
SENT_BYTES_MAX = 4 * 1024 * 1024  # that one session gets to read
_SHOWN_CHARS_MAX = 1024
_ENTRY_BYTES = 128  # what a retained message costs besides its topic and payload
_BAD_LOGIN = {3: 4, 4: 5, 5: 0x86}  # by version; mosquitto says "not authorized" in 3.1.1
_FIRMWARE = re.compile(rb"cmnd/[^/]+/otaurl", re.IGNORECASE)
_URL = re.compile(rb"https?://[!-~]{4,1024}", re.IGNORECASE)


class Mqtt(Room):
    """One client."""

    name: ClassVar[str] = "mqtt"

    __slots__ = ("_buffer", "_filters", "_held", "_home", "_kept", "_level", "_over", "_packets", "_retained", "_sent",
                 "_subscriptions")  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._buffer = bytearray()
        self._held = 0
        self._home: Household | None = None
        self._level = 0  # the protocol's version, once connected
        self._packets = 0
        self._kept = 0
        self._sent = 0
        self._filters = 0
        self._over = False
        self._subscriptions: dict[bytes, int] = {}  # filter: its identifier in version 5, 0 for none
        self._retained: dict[bytes, bytes] = {}

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A CONNECT names the protocol right behind its length."""
        if first[:1] != b"\x10":
            return Claim.NO
        return Claim.YES if b"MQ" in first[:8] else Claim.UNSURE if len(first) < 8 else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                if not self._over:
                    self._buffer += data
                    yield from self._read(at_s)
            case Woken(at_s):
                yield from self._live(at_s)
            case HalfClosed():
                self._over = True
                yield HangUp()
            case Ended():
                yield from self._broken_off()

    @property
    def home(self) -> Household:
        """Whose broker it is."""
        if self._home is None:
            self._home = household_of(self.visit.host)
        return self._home

    # --- reading -------------------------------------------------------------------------------------

    def _read(self, at_s: float) -> Iterator[Order]:
        self._account()
        while not self._over and (found := self._next()) is not None:
            head, body = found
            self._account()
            self._packets += 1
            if self._packets > PACKETS_MAX:
                raise PeerError(f"more than {PACKETS_MAX} packets in one session")
            step = STEPS.get((bool(self._level), head >> 4))
            if step is None:  # absence is the error
                raise PeerError(f"MQTT packet {head >> 4} {'after' if self._level else 'before'} CONNECT")
            yield from step(self, head & 15, body, at_s)

    def _next(self) -> tuple[int, bytes] | None:
        size = shift = 0
        for at in range(1, 5):
            if at >= len(self._buffer):
                return None
            size |= (self._buffer[at] & 0x7F) << shift
            shift += 7
            if self._buffer[at] < 0x80:
                break
        else:
            raise PeerError("MQTT length of more than four bytes")
        if not self._level and self._buffer[0] != CONNECT << 4:
            raise PeerError("MQTT without CONNECT")
        if size > PACKET_BYTES_MAX:
            raise PeerError(f"packet over {PACKET_BYTES_MAX} bytes")
        if len(self._buffer) < at + 1 + size:
            return None
        head, body = self._buffer[0], bytes(self._buffer[at + 1 : at + 1 + size])
        del self._buffer[: at + 1 + size]
        return head, body

    def _broken_off(self) -> Iterator[Order]:
        """Keep what came of a message of which more was to come."""
        if not self._level or len(self._buffer) < KEPT_BYTES_MIN or self._buffer[0] >> 4 != PUBLISH:
            return
        cursor = Cursor(bytes(self._buffer[1:]))
        with suppress(PeerError):
            cursor.variable()
            topic, _, message = self._message(self._buffer[0] & 15, cursor)
            yield from self._keep(printable(topic, _SHOWN_CHARS_MAX), message, partial=True)

    def _account(self) -> None:
        more = len(self._buffer) - self._held
        if more > 0 and not self.visit.purse.take(more):
            raise PeerError("the session holds too many bytes")
        if more < 0:
            self.visit.purse.give_back(-more)
        self._held += more

    # --- packets -------------------------------------------------------------------------------------

    def _connect(self, _flags: int, body: bytes, _at_s: float) -> Iterator[Order]:
        said = connect_of(body)
        version = {3: "3.1", 4: "3.1.1", 5: "5"}[said.level]
        will = f" will {printable(said.will[0], 256)}" if said.will else ""
        yield Saw(CommandEntered(f"CONNECT {version} {printable(said.client, 256)}{will}"))
        accepted = said.user is None
        if said.user is not None:
            right = self.visit.host.accepts(said.user, said.password or b"")
            accepted = admits(self.visit, said.user, said.password or b"", right=right)
            password = None if said.password is None else printable(said.password)
            yield Saw(LoginTried(printable(said.user), password, accepted))
        if not accepted:
            yield Send(packet(CONNACK, bytes((0, _BAD_LOGIN[said.level])) + (b"\0" if said.level == 5 else b"")))
            yield from self._leave()
            return
        self._level = said.level
        properties = b""
        if said.level == 5:
            named = b"" if said.client else b"\x12" + text(b"auto-" + self.visit.seed.bytes("client", 8).hex().encode())
            properties = b"\x22\x00\x0a\x21\x00\x14" + named  # aliases, unacknowledged messages: mosquitto's own
            properties = bytes((len(properties),)) + properties
        yield Send(packet(CONNACK, b"\0\0" + properties))

    def _publish(self, flags: int, body: bytes, _at_s: float) -> Iterator[Order]:
        topic, number, message = self._message(flags, Cursor(body))
        shown = printable(topic, _SHOWN_CHARS_MAX)
        yield Saw(CommandEntered(clipped(f"PUBLISH {shown} {printable(message, _SHOWN_CHARS_MAX)}", 2048)))
        yield from self._keep(shown, message)
        if _FIRMWARE.fullmatch(topic) and _URL.fullmatch(message):
            yield Fetch(Download(message.decode("ascii"), "mqtt"))
        if flags & 1:
            self._retain(topic, message)
        if number:
            yield Send(packet(PUBACK if flags >> 1 & 3 == 1 else PUBREC, number))
        yield from self._deliver(topic, message, retained=False)

    def _message(self, flags: int, cursor: Cursor) -> tuple[bytes, bytes, bytes]:
        """Return a PUBLISH's topic, its number, empty without one, and what it says. Raises `PeerError`."""
        topic = cursor.text()
        number = cursor.take(2) if flags >> 1 & 3 else b""
        if self._level == 5:
            cursor.properties()
        return topic, number, cursor.rest()

    def _keep(self, shown: str, message: bytes, *, partial: bool = False) -> Iterator[Order]:
        if len(message) >= KEPT_BYTES_MIN and self._kept < KEPT_MAX:
            self._kept += 1
            yield Keep(message, "upload", shown, partial)

    def _retain(self, topic: bytes, message: bytes) -> None:
        size = _ENTRY_BYTES + len(topic)
        old = self._retained.pop(topic, None)
        if old is not None:
            self.visit.purse.give_back(size + len(old))
        if message and len(self._retained) < RETAINED_MAX and self.visit.purse.take(size + len(message)):
            self._retained[topic] = message

    def _released(self, _flags: int, body: bytes, _at_s: float) -> Iterator[Order]:
        yield Send(packet(PUBCOMP, Cursor(body).take(2)))

    def _acknowledged(self, _flags: int, _body: bytes, _at_s: float) -> Iterator[Order]:
        yield from ()

    def _subscribe(self, _flags: int, body: bytes, at_s: float) -> Iterator[Order]:
        cursor = Cursor(body)
        number = cursor.take(2)
        identifier = cursor.properties().get(SUBSCRIPTION_ID, 0) if self._level == 5 else 0
        wanted, codes = [], bytearray()
        while cursor:
            name, options = cursor.text(), cursor.number(1)
            yield Saw(CommandEntered(f"SUBSCRIBE {printable(name, _SHOWN_CHARS_MAX)}"))
            self._filters += 1
            if self._filters > FILTERS_MAX:
                raise PeerError(f"more than {FILTERS_MAX} topics subscribed to in one session")
            if len(self._subscriptions) >= SUBSCRIPTIONS_MAX and name not in self._subscriptions:
                raise PeerError(f"more than {SUBSCRIPTIONS_MAX} subscriptions")
            self._subscriptions[name] = identifier if isinstance(identifier, int) else 0
            wanted.append(name)
            codes.append(min(options & 3, 2))
        if not wanted:
            raise PeerError("MQTT SUBSCRIBE to nothing")
        yield Send(packet(SUBACK, number + (b"\0" if self._level == 5 else b"") + bytes(codes)))
        lying = {**dict(self.home.retained(at_s)), **dict(self.home.system(at_s)), **self._retained}
        for topic, message in lying.items():
            if any(matches(topic, name) for name in wanted):
                yield from self._deliver(topic, message, retained=True)
        yield from self._wait(at_s)

    def _unsubscribe(self, _flags: int, body: bytes, _at_s: float) -> Iterator[Order]:
        cursor = Cursor(body)
        number = cursor.take(2)
        if self._level == 5:
            cursor.properties()
        codes = bytearray()
        while cursor:
            codes.append(0 if self._subscriptions.pop(cursor.text(), None) is not None else 0x11)
        yield Send(packet(UNSUBACK, number + (b"\0" + bytes(codes) if self._level == 5 else b"")))

    def _ping(self, _flags: int, _body: bytes, _at_s: float) -> Iterator[Order]:
        yield Send(packet(PINGRESP))

    def _disconnect(self, _flags: int, _body: bytes, _at_s: float) -> Iterator[Order]:
        yield from self._leave()

    def _leave(self) -> Iterator[Order]:
        self._over = True
        yield HangUp()

    # --- messages ------------------------------------------------------------------------------------

    def _deliver(self, topic: bytes, message: bytes, *, retained: bool) -> Iterator[Order]:
        """Send a message, if it was subscribed to."""
        meant = [identifier for name, identifier in self._subscriptions.items() if matches(topic, name)]
        if not meant:
            return
        properties = b""
        if self._level == 5:
            properties = b"".join(b"\x0b" + variable(one) for one in meant[:8] if one)
            properties = bytes((len(properties),)) + properties
        sent = packet(PUBLISH, text(topic) + properties + message, int(retained))
        self._sent += len(sent)
        if self._sent > SENT_BYTES_MAX:
            raise PeerError(f"reads over {SENT_BYTES_MAX} bytes of messages")
        yield Send(sent)

    def _live(self, at_s: float) -> Iterator[Order]:
        """One of the sensors says how warm it is."""
        if self._subscriptions and not self._over:
            name, _ = self.home.sensors[int(at_s) % len(self.home.sensors)]
            yield from self._deliver(f"zigbee2mqtt/{name}".encode(), self.home.reading(name, at_s), retained=False)
            yield from self._wait(at_s)

    def _wait(self, at_s: float) -> Iterator[Order]:
        yield WakeAt(at_s + 4 + self.visit.seed.number(f"pause {int(at_s)}", 20))


# Whether it is connected, and what comes: what is not here is the peer's fault.
STEPS: dict[tuple[bool, int], Callable[[Mqtt, int, bytes, float], Iterator[Order]]] = {
    (False, CONNECT): Mqtt._connect,
    (True, PUBLISH): Mqtt._publish,
    (True, PUBACK): Mqtt._acknowledged,
    (True, PUBREC): Mqtt._acknowledged,
    (True, PUBREL): Mqtt._released,
    (True, PUBCOMP): Mqtt._acknowledged,
    (True, SUBSCRIBE): Mqtt._subscribe,
    (True, UNSUBSCRIBE): Mqtt._unsubscribe,
    (True, PINGREQ): Mqtt._ping,
    (True, DISCONNECT): Mqtt._disconnect,
}
