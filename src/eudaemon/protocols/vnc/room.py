"""The conversation: versions, how to log in, the login, and then what the client wants to see and types.

    VERSION --> SECURITY --> (PASSWORD) --> INIT --> MESSAGES

Whether there is a password is drawn from the installation's seed. The answer to its challenge is evidence, in the form
that John reads. A line that was typed is an event, and so is what is put on the clipboard. What is typed into the box
of Super+r goes to the pretended cmd.exe, and so does what follows, if that opened one; URLs in other lines are fetched.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from enum import Enum
from typing import ClassVar

from eudaemon.events.catalogue import ChallengeAnswered, CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Drained,
    Ended,
    HalfClosed,
    HangUp,
    Occasion,
    Opened,
    Order,
    Received,
    Room,
    Saw,
    Send,
    TellDrained,
    Visit,
    Woken,
)  # fmt: skip
from eudaemon.protocols._broken import broken_off
from eudaemon.protocols._desk import Desk
from eudaemon.protocols.vnc import des
from eudaemon.protocols.vnc.screen import Pixels, Rectangle, raw, rre, screen_of
from eudaemon.wire import PeerError, printable
from eudaemon.wire.des import encrypt
from eudaemon.world.host import Host
from eudaemon.world.users import guesses

CLIPBOARD_BYTES_MAX = 1024 * 1024
ENCODINGS_MAX = 1024
MESSAGES_MAX = 20_000  # of one session
SENT_BYTES_MAX = 32 * 1024 * 1024  # of pictures, in one session
_STRIP_ROWS = 16  # that are sent at a time where the client takes pixels only
_NONE, _VNC = 1, 2
_RAW, _RRE = 0, 2
_FAILED = b"password check failed!"
# VNC has one password; which one is drawn.
_PASSWORDS = (b"password", b"123456", b"1234", b"12345", b"admin", b"111111", b"12345678", b"pass", b"666666")


class Stage(Enum):
    """How far the conversation is."""

    VERSION = "version"
    SECURITY = "security"
    PASSWORD = "password"  # noqa: S105 - a stage's name
    INIT = "init"
    MESSAGES = "messages"


class Vnc(Room):
    """One client."""

    name: ClassVar[str] = "vnc"
    speaks_first: ClassVar[bool] = True

    __slots__ = (
        "_buffer", "_desk", "_encodings", "_held", "_messages", "_minor", "_over", "_pending", "_picture", "_pixels",
        "_row", "_screen", "_sent", "_shown", "_stage",
    )  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._buffer = bytearray()
        self._held = 0
        self._stage = Stage.VERSION
        self._minor = 8
        self._screen = screen_of(visit.host)
        self._pixels = Pixels()
        self._encodings: frozenset[int] = frozenset()
        self._desk = Desk(visit, self._screen.name)
        self._messages = self._sent = 0
        self._pending = False  # whether the client waits for something to change
        self._shown: str | None = ""  # what stood in the box when the picture was last sent; "" also before the first
        self._picture: list[Rectangle] = []  # that is being sent in strips
        self._row = 0
        self._over = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A client answers with its version, and waits for ours first."""
        if first[:4] == b"RFB ":
            return Claim.YES
        return Claim.UNSURE if b"RFB ".startswith(first) else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Opened():
                yield Send(b"RFB 003.008\n")
            case Received(at_s, data):
                if not self._over:
                    self._buffer += data
                    yield from self._read(at_s)
            case Drained():
                yield from self._next_strip()
            case Answered() | Woken():
                yield from self._desk.go_on(occasion)
            case HalfClosed():
                self._over = True
                yield HangUp()
            case Ended():
                yield from self._desk.ended()
                if self._stage is Stage.MESSAGES:
                    yield from broken_off(self._buffer, "clipboard")

    # --- reading -------------------------------------------------------------------------------------

    def _read(self, at_s: float) -> Iterator[Order]:
        self._account()
        while not self._over:
            before = len(self._buffer), self._stage
            yield from _STEPS[self._stage](self, at_s)
            self._account()
            if before == (len(self._buffer), self._stage):
                return

    def _take(self, count: int) -> bytes | None:
        if len(self._buffer) < count:
            return None
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _account(self) -> None:
        more = len(self._buffer) - self._held
        if more > 0 and not self.visit.purse.take(more):
            raise PeerError("the session holds too many bytes")
        if more < 0:
            self.visit.purse.give_back(-more)
        self._held += more

    # --- logging in ----------------------------------------------------------------------------------

    @property
    def _security(self) -> int:
        """How one logs in here."""
        return _VNC if self._screen.seed.number("password", 2) else _NONE

    def _version(self, _at_s: float) -> Iterator[Order]:
        said = self._take(12)
        if said is None:
            return
        if said[:8] != b"RFB 003." or not said[8:11].isdigit() or said[11:] != b"\n":
            raise PeerError("no version of RFB")
        minor = int(said[8:11])
        self._minor = 8 if minor >= 8 else 7 if minor == 7 else 3  # section 7.1.1: others are taken for 3.3
        yield Saw(CommandEntered(f"RFB 3.{minor}"))
        if self._minor > 3:
            self._stage = Stage.SECURITY
            yield Send(bytes((1, self._security)))
        else:
            yield Send(self._security.to_bytes(4, "big"))
            yield from self._begin_login()

    def _choose(self, _at_s: float) -> Iterator[Order]:
        said = self._take(1)
        if said is None:
            return
        if said[0] != self._security:
            if said[0] == _NONE:
                yield Saw(ExploitRecognised("realvnc-bypass", "CVE-2006-2369"))
            raise PeerError(f"wants security type {said[0]}, which was not offered")
        yield from self._begin_login()

    def _begin_login(self) -> Iterator[Order]:
        if self._security == _VNC:
            self._stage = Stage.PASSWORD
            yield Send(self._challenge)
            return
        self._stage = Stage.INIT
        if self._minor >= 8:  # section 7.1.3
            yield Send(bytes(4))

    @property
    def _challenge(self) -> bytes:
        return self.visit.seed.bytes("challenge", 16)

    def _login(self, _at_s: float) -> Iterator[Order]:
        said = self._take(16)
        if said is None:
            return
        evidence = f"$vnc$*{self._challenge.hex().upper()}*{said.hex().upper()}"
        yield Saw(ChallengeAnswered("", "vnc", evidence))
        first = self._challenge[:8]
        found = next(
            (one[:8] for one in (*_PASSWORDS, *guesses(b"")) if encrypt(des.vnc_key(one), first) == said[:8]), None
        )
        if found is not None and des.answer(found, self._challenge) != said:
            found = None
        accepted = found == password_of(self.visit.host)
        yield Saw(LoginTried("", None if found is None else printable(found), accepted))
        if accepted:
            self._stage = Stage.INIT
            yield Send(bytes(4))
            return
        yield Send(b"\0\0\0\x01" + (len(_FAILED).to_bytes(4, "big") + _FAILED if self._minor >= 8 else b""))
        self._over = True
        yield HangUp()

    def _init(self, _at_s: float) -> Iterator[Order]:
        if self._take(1) is None:
            return
        self._stage = Stage.MESSAGES
        name = self._screen.name.encode()
        size = struct.pack(">HH", self._screen.width, self._screen.height)
        yield Send(size + self._pixels.pack() + len(name).to_bytes(4, "big") + name)

    # --- messages ------------------------------------------------------------------------------------

    def _message(self, at_s: float) -> Iterator[Order]:
        if not self._buffer:
            return
        kind = self._buffer[0]
        if kind not in _MESSAGES:
            raise PeerError(f"message {kind} of RFB, which no client of this server sends")
        fixed, step = _MESSAGES[kind]
        size = fixed + self._varying(kind, fixed)
        body = self._take(size) if len(self._buffer) >= fixed else None
        if body is None:
            return
        self._messages += 1
        if self._messages > MESSAGES_MAX:
            raise PeerError(f"more than {MESSAGES_MAX} messages in one session")
        yield from step(self, body, at_s)

    def _varying(self, kind: int, fixed: int) -> int:
        """Return how many bytes follow those that every message of the kind has."""
        if len(self._buffer) < fixed:
            return 0
        if kind == 2:
            count = int.from_bytes(self._buffer[2:4], "big")
            if count > ENCODINGS_MAX:
                raise PeerError(f"more than {ENCODINGS_MAX} encodings")
            return 4 * count
        if kind == 6:
            size = int.from_bytes(self._buffer[4:8], "big")
            if size > CLIPBOARD_BYTES_MAX:
                raise PeerError(f"clipboard over {CLIPBOARD_BYTES_MAX} bytes")
            return size
        return 0

    def _set_pixels(self, body: bytes, _at_s: float) -> Iterator[Order]:
        pixels = Pixels.read(body[4:20])
        if pixels is None:
            raise PeerError("a format of pixels that there is not")
        self._pixels = pixels
        yield from ()

    def _set_encodings(self, body: bytes, _at_s: float) -> Iterator[Order]:
        self._encodings = frozenset(struct.unpack(f">{len(body) // 4 - 1}i", body[4:]))
        yield from ()

    def _wants_picture(self, body: bytes, at_s: float) -> Iterator[Order]:
        if body[1] and self._shown == self._desk.keyboard.box:
            self._pending = True
            return
        yield from self._show(at_s)

    def _key(self, body: bytes, at_s: float) -> Iterator[Order]:
        yield from self._desk.press(int.from_bytes(body[4:8], "big"), down=bool(body[1]), at_s=at_s)
        if self._pending and self._shown != self._desk.keyboard.box:
            yield from self._show(at_s)

    def _pointer(self, _body: bytes, _at_s: float) -> Iterator[Order]:
        yield from ()

    def _clipboard(self, body: bytes, _at_s: float) -> Iterator[Order]:
        yield from self._desk.paste(body[8:])

    # --- pictures ------------------------------------------------------------------------------------

    def _show(self, at_s: float) -> Iterator[Order]:
        if self._picture:
            return  # one is on its way, and nobody can tell which it was
        self._pending = False
        self._shown = self._desk.keyboard.box
        rectangles = self._screen.rectangles(at_s, typed=self._desk.keyboard.box)
        width, height = self._screen.width, self._screen.height
        if _RRE in self._encodings:
            head = struct.pack(">BxHHHHHi", 0, 1, 0, 0, width, height, _RRE)
            yield from self._send(head + rre(self._screen, rectangles, self._pixels))
            return
        self._picture, self._row = rectangles, 0
        yield from self._send(struct.pack(">BxH", 0, -(-height // _STRIP_ROWS)))
        yield TellDrained()

    def _next_strip(self) -> Iterator[Order]:
        if not self._picture or self._over:
            return
        count = min(_STRIP_ROWS, self._screen.height - self._row)
        head = struct.pack(">HHHHi", 0, self._row, self._screen.width, count, _RAW)
        yield from self._send(head + raw(self._screen, self._picture, self._pixels, self._row, count))
        self._row += count
        if self._row >= self._screen.height:
            self._picture = []
        else:
            yield TellDrained()

    def _send(self, data: bytes) -> Iterator[Order]:
        self._sent += len(data)
        if self._sent > SENT_BYTES_MAX:
            raise PeerError(f"reads over {SENT_BYTES_MAX} bytes of pictures")
        yield Send(data)


def password_of(host: Host) -> bytes:
    """Return the one password of this host's desktop, as far as VNC looks at it."""
    return host.seed.child("vnc").choice("which password", _PASSWORDS)[:8]


_STEPS: dict[Stage, Callable[[Vnc, float], Iterator[Order]]] = {
    Stage.VERSION: Vnc._version,
    Stage.SECURITY: Vnc._choose,
    Stage.PASSWORD: Vnc._login,
    Stage.INIT: Vnc._init,
    Stage.MESSAGES: Vnc._message,
}
# How many bytes a client's message has at least (section 7.5), and what takes it.
_MESSAGES: dict[int, tuple[int, Callable[[Vnc, bytes, float], Iterator[Order]]]] = {
    0: (20, Vnc._set_pixels),
    2: (4, Vnc._set_encodings),
    3: (10, Vnc._wants_picture),
    4: (8, Vnc._key),
    5: (6, Vnc._pointer),
    6: (8, Vnc._clipboard),
}
