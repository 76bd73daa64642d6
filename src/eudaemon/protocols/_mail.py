"""What mail's three protocols share: lines, and logins among them that go on for several (`_sasl`).

A room begins a login, gives it the lines that answer it, and says in its own words how it went.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import ClassVar

from eudaemon.protocols import _sasl
from eudaemon.protocols._base import Order, Saw, Send, Visit
from eudaemon.protocols._lines import LineRoom
from eudaemon.wire import PeerError

LOGINS_MAX = 20  # tried in one session


class MailRoom(LineRoom):
    """One client's connection."""

    __slots__ = ("_login", "_logins")
    asking: ClassVar[bytes] = b"+ "  # before what a login asks for

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._login: Generator[bytes, bytes, _sasl.Credentials] | None = None
        self._logins = 0

    # --- what a room says ----------------------------------------------------------------------------

    def let_in(self, given: _sasl.Credentials, at_s: float) -> Iterator[Order]:
        """Somebody is in."""
        raise NotImplementedError

    def kept_out(self) -> Iterator[Order]:
        """Somebody is not."""
        raise NotImplementedError

    def broken_off(self, *, by_peer: bool) -> Iterator[Order]:
        """A login ends without a decision: the peer wants no more of it, or what it says is no base64."""
        raise NotImplementedError

    # --- what a room has done ------------------------------------------------------------------------

    @property
    def logging_in(self) -> bool:
        """Whether the next line belongs to a login."""
        return self._login is not None

    def begin_login(self, mechanism: bytes, initial: bytes | None, at_s: float) -> Iterator[Order]:
        """Begin a login by one of `_sasl.MECHANISMS`."""
        self._login = _sasl.exchange(mechanism, initial, _sasl.challenge_of(self.visit, at_s))
        yield from self._go_on(None, at_s)

    def go_on(self, line: bytes, at_s: float) -> Iterator[Order]:
        """Give the login at hand a line."""
        if line.strip() == b"*":
            self._login = None
            yield from self.broken_off(by_peer=True)
        else:
            yield from self._go_on(line, at_s)

    def _go_on(self, line: bytes | None, at_s: float) -> Iterator[Order]:
        login = self._login
        if login is None:
            return
        try:
            asked = next(login) if line is None else login.send(line)
        except StopIteration as done:
            self._login = None
            yield from self.judge(done.value, at_s)
        except ValueError:
            self._login = None
            yield from self.broken_off(by_peer=False)
        else:
            yield Send(self.asking + asked + b"\r\n")

    def judge(self, given: _sasl.Credentials, at_s: float) -> Iterator[Order]:
        """State a login, and decide it. Raises `PeerError` past the limit."""
        fact = _sasl.judged(self.visit, given)
        yield Saw(fact)
        self._logins += 1
        if self._logins > LOGINS_MAX:
            raise PeerError(f"more than {LOGINS_MAX} logins tried")
        yield from self.let_in(given, at_s) if fact.accepted else self.kept_out()
