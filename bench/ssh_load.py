"""An SSH client that logs in and runs a command as often as it can: the same load for every server that is measured.

    python bench/ssh_load.py HOST PORT [--seconds 8] [--at-once 24] [--user root] [--password admin]

One session: connect and say who it is, as the libraries that bots use do; exchange keys (Curve25519, AES-128 in CTR,
HMAC-SHA-1), password, `uname -a` in a channel, wait for its end, close. It does not look at the host key. Prints one
JSON object, as telnet_load does.
"""

from __future__ import annotations

import hashlib
import socket

from cryptography.hazmat.primitives.asymmetric import x25519

from eudaemon.protocols.ssh import fields
from eudaemon.protocols.ssh.fields import Fields, integer, message, names, number, string
from eudaemon.protocols.ssh.keys import raw_public
from eudaemon.protocols.ssh.packets import Opener, Sealer
from eudaemon.protocols.ssh.primitives import make_suite
from telnet_load import main

CLIENT = b"SSH-2.0-Go"
KEX, CIPHER, MAC = "curve25519-sha256@libssh.org", "aes128-ctr", "hmac-sha1"
HOST_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521")
OWN = x25519.X25519PrivateKey.from_private_bytes(b"\x11" * 32)  # the same each time: it is the server that is measured
PUBLIC = raw_public(OWN)
KEXINIT = message(
    fields.KEXINIT, bytes(16), names([KEX]), names(HOST_KEYS), *(names([CIPHER]) for _ in range(2)),
    *(names([MAC]) for _ in range(2)), *(names(["none"]) for _ in range(2)), string(b""), string(b""), b"\0", number(0),
)  # fmt: skip


class Session:
    """One login and one command, driven by whatever comes."""

    def __init__(
        self, address: tuple[str, int], words: dict[str, bytes], now_s: float, source: tuple[str, int] = ("", 0)
    ) -> None:
        self.socket = socket.socket()
        self.socket.bind(source)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unsaid = CLIENT + b"\r\n"
        self.socket.connect_ex(address)
        self._identify()
        self.began_s = now_s
        self._words = words
        self._sealer, self._opener = Sealer(bytes(256), clear_padding=True), Opener()
        self._server = self._theirs = b""
        self._heard = b""
        self.is_in = False

    def hear(self) -> str:
        """Read and answer; return `` while it goes on, `done` or `failed` at the end."""
        try:
            data = self.socket.recv(16_384)
        except BlockingIOError:
            return ""
        except OSError:
            return "failed"
        if not data:
            return "failed"
        if not self._server:
            self._heard += data
            line, end, data = self._heard.partition(b"\n")
            if not end:
                return ""
            self._server = line.rstrip(b"\r")
            if self._unsaid:
                self._identify()
            self._send(KEXINIT)
        self._opener.feed(data)
        while (payload := self._opener.next()) is not None:
            if how := self._answer(payload[0], payload):
                return how
        return ""

    def _identify(self) -> None:
        """Say who we are: at once, unless the server has no room for us yet."""
        try:
            self.socket.send(self._unsaid)
        except OSError:
            return
        self._unsaid = b""

    def _send(self, *payloads: bytes) -> None:
        self.socket.send(b"".join(map(self._sealer.seal, payloads)))

    def _answer(self, kind: int, payload: bytes) -> str:
        if kind == fields.KEXINIT:
            self._theirs = payload
            self._send(message(30, string(PUBLIC)))
        elif kind == 31:
            self._agree(Fields(payload, 1))
        elif kind == fields.NEWKEYS:
            self._opener.change(make_suite(CIPHER, MAC, self._derive, b"BDF", sending=False), anew=False)
        elif kind == fields.SERVICE_ACCEPT:
            self._send(message(
                fields.USERAUTH_REQUEST, string(self._words["user"]), string(b"ssh-connection"), string(b"password"),
                b"\0", string(self._words["password"]),
            ))  # fmt: skip
        elif kind == fields.USERAUTH_SUCCESS:
            self.is_in = True
            self._send(message(fields.CHANNEL_OPEN, string(b"session"), number(0), number(2**21), number(32_768)))
        elif kind == fields.CHANNEL_OPEN_CONFIRMATION:
            own = payload[5:9]
            self._send(message(fields.CHANNEL_REQUEST, own, string(b"exec"), b"\1", string(b"uname -a")))
        return {fields.CHANNEL_CLOSE: "done", fields.USERAUTH_FAILURE: "failed"}.get(kind, "")

    def _agree(self, read: Fields) -> None:
        key, theirs = read.string(), read.string()
        secret = OWN.exchange(x25519.X25519PublicKey.from_public_bytes(theirs))
        self._secret = integer(int.from_bytes(secret, "big"))
        said = (CLIENT, self._server, KEXINIT, self._theirs, key, PUBLIC, theirs)
        self._hash = hashlib.sha256(b"".join(map(string, said)) + self._secret).digest()
        self._send(message(fields.NEWKEYS))
        self._sealer.change(make_suite(CIPHER, MAC, self._derive, b"ACE", sending=True), anew=False)
        self._send(message(fields.SERVICE_REQUEST, string(b"ssh-userauth")))

    def _derive(self, letter: bytes, count: int) -> bytes:
        return hashlib.sha256(self._secret + self._hash + letter + self._hash).digest()[:count]


def log_in(address: tuple[str, int], words: dict[str, bytes], source: tuple[str, int]) -> socket.socket:
    """Log in once, and stay."""
    session = Session(address, words, 0.0, source)
    session.socket.setblocking(True)
    while not session.is_in:
        if session.hear() == "failed":
            raise SystemExit("a login failed")
    return session.socket


if __name__ == "__main__":
    main(Session)
