"""Logging in: the service that SSH calls ssh-userauth. RFC 4252; keyboard-interactive RFC 4256.

Passwords are judged by the host, as at telnet's door. Public keys are noted and refused: whoever shows one hopes that
it was left here before.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from eudaemon.events.catalogue import LoginTried, PublicKeyOffered
from eudaemon.protocols._accounts import admits
from eudaemon.protocols._base import Saw, Visit
from eudaemon.protocols.ssh import fields
from eudaemon.protocols.ssh.fields import Fields, message, names, number, string
from eudaemon.protocols.ssh.transport import Transport
from eudaemon.wire import PeerError, printable

ASKED_MAX = 64  # methods that cannot succeed, `none` among them
_NAME_CHARS_MAX = 256
_KEY_CHARS_MAX = 2048
_SERVICE = b"ssh-connection"
_TOO_MANY = 2  # SSH_DISCONNECT_PROTOCOL_ERROR, which both products give as the reason


class Login:
    """The way in. `user` is who has come in, empty until somebody has."""

    __slots__ = ("_asked", "_name", "_transport", "_tries", "_visit", "over", "user")

    def __init__(self, transport: Transport, visit: Visit) -> None:
        self._transport = transport
        self._visit = visit
        self._tries = self._asked = 0
        self._name: bytes | None = None  # of who is asked for a password, keyboard-interactively
        self.user = b""
        self.over = False  # too many tries

    def request(self, read: Fields) -> Iterator[Saw]:
        """Take one request to be let in."""
        self._name = None
        name, service, method = read.string(), read.string(), read.string()
        if service != _SERVICE:
            raise PeerError("wants to log in to a service that is none")
        if method.decode("latin-1") not in (*self._transport.product.methods, "none"):
            self._refuse_quietly()
        elif method == b"password":
            changes = read.flag()
            password = read.string()
            if changes:
                read.string()
            yield from self._try(name, password)
        elif method == b"publickey":
            yield from self._offer(name, read)
        elif method == b"keyboard-interactive":
            self._name = name
            self._transport.send(message(
                fields.USERAUTH_INFO_REQUEST, string(b""), string(b""), string(b""), number(1),
                string(b"Password: "), b"\0",
            ))  # fmt: skip
        else:  # `none`: clients ask so which methods there are, and a user without a password needs one here
            self._refuse_quietly()

    def respond(self, read: Fields) -> Iterator[Saw]:
        """Take the answer to what was asked keyboard-interactively."""
        name, self._name = self._name, None
        if name is None:
            raise PeerError("answers what it was not asked")
        password = read.string() if read.number() else b""
        yield from self._try(name, password)

    def _try(self, name: bytes, password: bytes) -> Iterator[Saw]:
        accepted = admits(self._visit, name, password, right=self._visit.host.accepts(name, password))
        yield Saw(LoginTried(printable(name, _NAME_CHARS_MAX), printable(password, _NAME_CHARS_MAX), accepted))
        if not accepted:
            self._refuse()
            return
        self.user = name
        self._transport.send(message(fields.USERAUTH_SUCCESS))
        self._transport.compress()

    def _offer(self, name: bytes, read: Fields) -> Iterator[Saw]:
        read.flag()  # whether a signature follows: it proves nothing to us
        algorithm, key = read.string(), read.string()
        fingerprint = base64.b64encode(hashlib.sha256(key).digest()).rstrip(b"=").decode()
        shown = base64.b64encode(key).decode()
        yield Saw(PublicKeyOffered(
            printable(name, _NAME_CHARS_MAX), printable(algorithm, 64), f"SHA256:{fingerprint}",
            shown if len(shown) <= _KEY_CHARS_MAX else "",
        ))  # fmt: skip
        self._refuse()

    def _refuse(self) -> None:
        """Count a try; after the last one say goodbye."""
        self._tries += 1
        product = self._transport.product
        if self._tries < product.tries_max:
            self._say_no()
            return
        if product.too_many:
            self._transport.disconnect(_TOO_MANY, product.too_many)
        self.over = True

    def _refuse_quietly(self) -> None:
        self._asked += 1
        if self._asked > ASKED_MAX:
            raise PeerError(f"asks more than {ASKED_MAX} times how to log in")
        self._say_no()

    def _say_no(self) -> None:
        self._transport.send(message(fields.USERAUTH_FAILURE, names(self._transport.product.methods), b"\0"))
