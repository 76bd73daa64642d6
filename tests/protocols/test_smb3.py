"""SMB 3: which Windows speaks it, what is negotiated, what is signed with what, and what that may cost.

The clients of `tests/end_to_end` judge the signatures; here impacket's CMAC and derivation of keys do.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import warnings

import pytest

from eudaemon.protocols._ntlm_v1 import nt_hash
from eudaemon.protocols._windows import server_of
from eudaemon.protocols.smb import Smb, negotiation, signing, smb2
from eudaemon.protocols.smb.negotiation import CONTEXTS_MAX, agreed, contexts, has_hash, spoken
from eudaemon.testing.script import Table, visit
from eudaemon.world.host import Host
from eudaemon.world.personas import WINDOWS
from eudaemon.world.seed import Seed
from protocols import smb_client as client
from protocols.smb_client import Client2, unframed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from impacket import crypto

INVALID, INSUFFICIENT = 0xC000_000D, 0xC000_009A
HASH = struct.pack("<HHIHHH", 1, 10, 0, 1, 4, 1) + b"salt" + bytes(6)
CIPHERS = struct.pack("<HHIHHH", 2, 6, 0, 2, 2, 1) + bytes(2)


def host_of(release: str) -> Host:
    hosts = (Host.from_seed(Seed(b"%d" % number), persona=WINDOWS) for number in range(99))
    return next(host for host in hosts if server_of(host).machine.release.name == release)


NEW, OLD = host_of("Windows Server 2016 Standard"), host_of("Windows Server 2008 R2 Standard")


def negotiate(*dialects: int, wanted: bytes = CIPHERS + HASH, count: int = 2) -> bytes:
    """A client's first message; `wanted` is what it wants negotiated, in the place where it says so."""
    at = -(-(64 + 36 + 2 * len(dialects)) // 8) * 8
    body = struct.pack("<HHHHI16sIHH", 36, len(dialects), 1, 0, 0x7F, bytes(16), at, count, 0)
    body += struct.pack(f"<{len(dialects)}H", *dialects)
    return client.smb2(0, body.ljust(at - 64, b"\0") + wanted)


def talk(host: Host = NEW) -> Client2:
    return Client2(Table(Smb(visit(host=host, port=445))).open())


def negotiated(host: Host, first: bytes) -> tuple[int, bytes]:
    (answer,) = unframed(talk(host).table.say(first))
    return client.head2(answer)[1], answer


def test_each_windows_speaks_up_to_the_dialect_of_its_release() -> None:
    assert [len(spoken(kernel)) for kernel in ("6.1", "6.2", "6.3", "10.0", "?")] == [2, 3, 4, 5, 2]
    for host, dialect in ((OLD, 0x0210), (host_of("Windows Server 2012 R2 Standard"), 0x0302), (NEW, 0x0311)):
        status, answer = negotiated(host, negotiate(*negotiation.NAMES))
        assert (status, int.from_bytes(answer[68:70], "little")) == (0, dialect)
    assert server_of(Host.from_seed(Seed(b"test"))).is_old


def test_what_is_negotiated_besides() -> None:
    status, answer = negotiated(NEW, negotiate(0x0311))
    count, at = int.from_bytes(answer[70:72], "little"), int.from_bytes(answer[124:128], "little")
    assert (status, count, at % 8) == (0, 1, 0)
    ((kind, data),) = contexts(answer, at, count)
    assert (kind, data[:6], len(data)) == (1, struct.pack("<HHH", 1, 32, 1), 38)
    assert negotiated(NEW, negotiate(0x0311, wanted=CIPHERS, count=1))[0] == INVALID
    assert negotiated(NEW, negotiate(0x0311, wanted=HASH[:-9], count=1))[0] == INVALID
    assert negotiated(NEW, negotiate(0x0302, wanted=b"", count=0))[0] == 0


def test_so_many_wishes_are_read() -> None:
    other = struct.pack("<HHI", 9, 0, 0)
    for before, found in ((CONTEXTS_MAX - 1, True), (CONTEXTS_MAX, False)):
        assert has_hash(other * before + HASH, 0, before + 1) is found
    assert not has_hash(HASH, 1000, 1)
    assert list(contexts(agreed(bytes(32)), 0, 9)) == [(1, agreed(bytes(32))[8:])]


class Signing(Client2):
    """Somebody who signs, and looks whether the answers are signed."""

    def __init__(self, dialect: int, host: Host = NEW) -> None:
        super().__init__(Table(Smb(visit(host=host, port=445))).open())
        first = negotiate(dialect)
        said = [first[4:], *unframed(self.table.say(first))]
        greeting = client.login2(client.hello())
        (challenge,) = unframed(self.table.say(greeting))
        self.session = client.head2(challenge)[3]
        token = client.proof(
            challenge[64 + 8 :][challenge[64 + 8 :].index(b"NTLMSSP") :][24:32], "administrator", "123456"
        )
        proof = client.login2(token, self.session)
        said += [greeting[4:], challenge, proof[4:]]
        hashed = bytes(64)
        for message in said:
            hashed = hashlib.sha512(hashed + message).digest()
        (welcome,) = unframed(self.table.say(proof))
        key = self.exported(token)
        self.key = (
            crypto.KDF_CounterMode(key, b"SMBSigningKey\0", hashed, 128)
            if dialect == 0x0311
            else crypto.KDF_CounterMode(key, b"SMB2AESCMAC\0", b"SmbSign\0", 128)
        )
        assert client.head2(welcome)[1] == 0
        self.verify(welcome)

    @staticmethod
    def exported(token: bytes) -> bytes:
        """The session's key: HMAC of what proves the password, under the user's key."""
        size, _, at = struct.unpack_from("<HHI", token, 20)
        key = hmac.digest(nt_hash("123456"), "ADMINISTRATORLAB".encode("utf-16-le"), "md5")
        return hmac.digest(key, token[at : at + size][:16], "md5")

    def verify(self, answer: bytes) -> None:
        plain = answer[:48] + bytes(16) + answer[64:]
        assert answer[16] & 8
        assert crypto.AES_CMAC(self.key, plain, len(plain)) == answer[48:64]

    def ask(self, command: int, body: bytes, split: int = 0) -> tuple[int, bytes]:
        message = bytearray(client.smb2(command, body, session=self.session, tree=self.tree))
        message[4 + 16] |= 8
        (answer,) = unframed(self.table.say(bytes(message), split))
        _, status, tree, _ = client.head2(answer)
        if command == 3:
            self.tree = tree
        self.verify(answer)
        return status, answer[64:]


@pytest.mark.parametrize("dialect", [0x0300, 0x0302, 0x0311])
def test_answers_are_signed_as_another_implementation_signs_them(dialect: int) -> None:
    peer = Signing(dialect)
    assert peer.connect("\\\\x\\C$") == 0
    status, file = peer.create("Windows\\Temp\\x")
    assert status == 0
    assert peer.write(file, b"abc") == 0
    assert peer.read(file, 3) == (0, b"abc")


def test_what_was_negotiated_is_confirmed() -> None:
    peer = Signing(0x0302)
    peer.connect("\\\\x\\IPC$")
    body = struct.pack("<HHIQQIIIIIIII", 57, 0, 0x0014_0204, 2**64 - 1, 2**64 - 1, 120, 0, 0, 0, 0, 24, 1, 0)
    status, answer = peer.ask(0x0B, body)
    assert status == 0
    assert answer[-4:] == struct.pack("<HH", 1, 0x0302)


def test_what_signing_may_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Signing(0x0311)
    peer.connect("\\\\x\\C$")
    _, file = peer.create("Windows\\Temp\\x")
    peer.write(file, bytes(100_000))
    status, data = peer.read(file, 100_000)
    assert (status, len(data)) == (0, smb2.files2.SLOW_READ_BYTES_MAX)
    spent = peer.table.room._smb2._signed_bytes  # type: ignore[attr-defined]
    for past in (0, 1):
        monkeypatch.setattr(smb2, "SIGNED_BYTES_MAX", spent - past)
        peer.table.room._smb2._signed_bytes = spent  # type: ignore[attr-defined]
        assert peer.read(file, 10)[0] == (INSUFFICIENT if past else 0)
    assert peer.close(file) == 0  # what is short is signed all the same


def test_a_key_follows_from_all_that_was_said() -> None:
    one, other = signing.Said(), signing.Said()
    one.hear(b"a")
    other.hear(b"b")
    key = bytes(16)
    assert signing.signer(0x0311, key, one.value)(b"x") != signing.signer(0x0311, key, other.value)(b"x")
    assert signing.signer(0x0302, key, one.value)(b"x") == signing.signer(0x0302, key, other.value)(b"x")
