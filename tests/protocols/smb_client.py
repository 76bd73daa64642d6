"""What clients of SMB say, written from MS-CIFS, MS-SMB2, MS-NLMP and C706: messages as bytes, without a network."""

from __future__ import annotations

import hmac
import struct

from eudaemon.protocols._ntlm_v1 import nt_hash
from eudaemon.protocols.smb.doublepulsar import key_of, xored
from eudaemon.testing.script import Table

NDR = bytes.fromhex("045d888aeb1cc9119fe808002b10486002000000")


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


def unframed(data: bytes) -> list[bytes]:
    """Return the messages of a stream that is whole."""
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


# --- SMB 1 ------------------------------------------------------------------------------------------


def smb1(
    command: int,
    words: bytes = b"",
    data: bytes = b"",
    *,
    tid: int = 0,
    uid: int = 0,
    mid: int = 1,
    flags2: int = 0xC001,
) -> bytes:
    head = struct.pack("<4sBIBHH8sHHHHH", b"\xffSMB", command, 0, 0x18, flags2, 0, bytes(8), 0, tid, 0xFEFF, uid, mid)
    return framed(head + bytes((len(words) // 2,)) + words + struct.pack("<H", len(data) & 0xFFFF) + data)


def negotiate(flags2: int = 0xC001, dialects: tuple[bytes, ...] = (b"PC NETWORK PROGRAM 1.0", b"NT LM 0.12")) -> bytes:
    return smb1(0x72, b"", b"".join(b"\x02" + name + b"\0" for name in dialects), flags2=flags2)


def nobody() -> bytes:
    """SESSION_SETUP_ANDX without a name, as EternalBlue's users log in."""
    words = struct.pack("<BBHHHHIHHII", 0xFF, 0, 0, 4356, 10, 1, 0, 1, 0, 0, 0xD4)
    return smb1(0x73, words, b"\0" + "\0\0Windows 2000 2195\0Windows 2000 5.0\0".encode("utf-16-le"))


def connect(path: str, uid: int = 0x800) -> bytes:
    data = b"\0" + path.encode("utf-16-le") + b"\0\0" + b"?????\0"
    return smb1(0x75, struct.pack("<BBHHH", 0xFF, 0, 0, 0, 1), data, uid=uid)


def head1(message: bytes) -> tuple[int, int, int, int, int, bytes]:
    """Return command, status, tid, uid, mid and signature of an answer."""
    _, command, code, _, _, _, signature, _, tid, _, uid, mid = struct.unpack_from("<4sBIBHH8sHHHHH", message)
    return command, code, tid, uid, mid, signature


OPENING1 = (negotiate(), nobody(), connect("\\\\192.0.2.1\\IPC$"))


def transaction(
    command: int, setup: tuple[int, ...], parameters: bytes = b"", data: bytes = b"", *, timeout: int = 0, mid: int = 1,
    name: bytes = b"", total: int | None = None, tid: int = 0x800,
) -> bytes:  # fmt: skip
    at = 32 + 3 + 28 + 2 * len(setup) + len(name)
    whole = len(data) if total is None else total
    words = struct.pack("<HHHHBBHIH", len(parameters), whole, 1024, 0xFFFF, 0, 0, 0, timeout, 0)
    words += struct.pack("<HHHHBB", len(parameters), at, len(data), at + len(parameters), len(setup), 0)
    words += struct.pack(f"<{len(setup)}H", *setup)
    return smb1(command, words, name + parameters + data, tid=tid, uid=0x800, mid=mid)


def look() -> bytes:
    """The public check for MS17-010: a look at pipe number 0."""
    return transaction(0x25, (0x23, 0), name="\\PIPE\\\0".encode("utf-16-le"))


def pulsar(opcode: int, body: bytes = bytes(12), mid: int = 0x41) -> bytes:
    """A request to DoublePulsar; the opcode is the sum of the timeout's bytes."""
    timeout = bytes((0x5A, 0x10, 0x03, (opcode - 0x5A - 0x10 - 0x03) & 0xFF))
    return transaction(0x32, (0x000E,), body[:12], body[12:], timeout=int.from_bytes(timeout, "little"), mid=mid)


def pieces(payload: bytes, seed: int, size: int = 4096) -> list[bytes]:
    """A payload as DoublePulsar takes it: numbers and bytes under the key, the last piece filled up."""
    key = key_of(seed).to_bytes(4, "little")
    found = []
    for at in range(0, len(payload), size):
        piece = payload[at : at + size]
        numbers = struct.pack("<III", len(payload), len(piece), at)
        found.append(pulsar(0xC8, xored(numbers, key) + xored(piece.ljust(size, b"\x90"), key)))
    return found


def blue(payload: bytes, first: int = 0x3D0, step: int = 4096) -> list[bytes]:
    """The messages of EternalBlue that matter here: one transaction, begun as one kind and gone on with as another."""
    at = 32 + 3 + 40
    words = struct.pack("<BHIIIIIIIIBH", 1, 0, 30, len(payload), 30, 0, 30, at + 3, first, at + 33, 1, 0) + struct.pack(
        "<H", 0
    )
    found = [smb1(0xA0, words, bytes(33 - 30) + bytes(30) + payload[:first], tid=0x800, uid=0x800, mid=0x40)]
    for offset in range(first, len(payload), step):
        piece = payload[offset : offset + step]
        words = struct.pack("<HHHHHHHHH", 0, 4096, 0, 0, 0, len(piece), 32 + 3 + 18, offset & 0xFFFF, 0)
        found.append(smb1(0x33, words, piece, tid=0x800, uid=0x800, mid=0x40))
    return found


# --- NTLM -----------------------------------------------------------------------------------------


def hello() -> bytes:
    return b"NTLMSSP\0" + struct.pack("<II", 1, 0xE008_8297) + bytes(16)


def proof(challenge: bytes, user: str, password: str, domain: str = "LAB", workstation: str = "BOX") -> bytes:
    """The answer to a challenge, in NTLM's second version."""
    key = hmac.digest(nt_hash(password), (user.upper() + domain).encode("utf-16-le"), "md5")
    blob = b"\1\1" + bytes(6) + bytes(8) + b"abcdefgh" + bytes(8)
    response = hmac.digest(key, challenge + blob, "md5") + blob
    fields, payload = b"", b""
    for value in (bytes(24), response, *(text.encode("utf-16-le") for text in (domain, user, workstation)), b""):
        fields += struct.pack("<HHI", len(value), len(value), 64 + len(payload))
        payload += value
    return b"NTLMSSP\0" + struct.pack("<I", 3) + fields + struct.pack("<I", 0x8201) + payload


# --- SMB 2 ------------------------------------------------------------------------------------------


def smb2(command: int, body: bytes, *, session: int = 0, tree: int = 0, number: int = 0) -> bytes:
    return framed(
        struct.pack(
            "<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 1, 0, command, 31, 0, 0, number, 0xFEFF, tree, session, bytes(16)
        )
        + body
    )


def head2(message: bytes) -> tuple[int, int, int, int]:
    """Return command, status, tree and session of an answer."""
    fields = struct.unpack_from("<4sHHIHHIIQIIQ16s", message)
    return fields[4], fields[3], fields[10], fields[11]


def negotiate2(*dialects: int) -> bytes:
    return smb2(
        0,
        struct.pack("<HHHHI16sQ", 36, len(dialects), 1, 0, 0, bytes(16), 0)
        + struct.pack(f"<{len(dialects)}H", *dialects),
    )


def login2(token: bytes, session: int = 0) -> bytes:
    return smb2(1, struct.pack("<HBBIIHHQ", 25, 0, 1, 0, 0, 88, len(token), 0) + token, session=session)


class Client2:
    """Somebody at a room, over SMB 2. Asks one thing at a time."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.session = self.tree = 0

    def ask(self, command: int, body: bytes, split: int = 0) -> tuple[int, bytes]:
        """Return the status and the body of the answer."""
        said = self.table.say(smb2(command, body, session=self.session, tree=self.tree), split)
        (answer,) = unframed(said)
        got, status, tree, session = head2(answer)
        assert got == command
        if command == 3:
            self.tree = tree
        if command == 1:
            self.session = session
        return status, answer[64:]

    def enter(self, user: str, password: str) -> int:
        """Log in; return the status."""
        self.table.say(negotiate2(0x0202, 0x0210))
        status, body = self.ask(1, struct.pack("<HBBIIHHQ", 25, 0, 1, 0, 0, 88, len(hello()), 0) + hello())
        assert status == 0xC000_0016
        token = proof(body[8:][24:32], user, password)
        return self.ask(1, struct.pack("<HBBIIHHQ", 25, 0, 1, 0, 0, 88, len(token), 0) + token)[0]

    def connect(self, path: str) -> int:
        name = path.encode("utf-16-le")
        return self.ask(3, struct.pack("<HHHH", 9, 0, 72, len(name)) + name)[0]

    def create(
        self, name: str, *, access: int = 0x0012_019F, disposition: int = 5, options: int = 0
    ) -> tuple[int, bytes]:
        """Return the status and the file's identifier."""
        wide = name.encode("utf-16-le")
        body = struct.pack(
            "<HBBIQQIIIIIHHII", 57, 0, 0, 2, 0, 0, access, 0x80, 7, disposition, options, 120, len(wide), 0, 0
        )
        status, answer = self.ask(5, body + (wide or b"\0"))
        return status, answer[64:80]

    def write(self, file: bytes, data: bytes, at: int = 0, split: int = 0) -> int:
        body = struct.pack("<HHIQ16sIIHHI", 49, 112, len(data), at, file, 0, 0, 0, 0, 0)
        return self.ask(9, body + data, split)[0]

    def read(self, file: bytes, count: int, at: int = 0) -> tuple[int, bytes]:
        body = struct.pack("<HBBIQ16sIIIHH", 49, 80, 0, count, at, file, 0, 0, 0, 0, 0)
        status, answer = self.ask(8, body + b"\0")
        return status, answer[16:]

    def close(self, file: bytes) -> int:
        return self.ask(6, struct.pack("<HHI16s", 24, 0, 0, file))[0]

    def call(self, file: bytes, pdu: bytes) -> tuple[int, bytes]:
        """Write to a pipe and read what it says."""
        body = struct.pack("<HHI16sIIIIIIII", 57, 0, 0x0011_C017, file, 120, len(pdu), 0, 0, 0, 65_536, 1, 0)
        status, answer = self.ask(0x0B, body + pdu)
        return status, answer[48:]


class Client1:
    """Somebody at a room, over SMB 1 with extended security. Asks one thing at a time."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.uid = self.tree = 0

    def ask(self, command: int, words: bytes, data: bytes) -> tuple[int, bytes]:
        """Return the status of the answer, and what stands behind its head."""
        said = self.table.say(smb1(command, words, data, tid=self.tree, uid=self.uid, flags2=0xC801))
        (answer,) = unframed(said)
        got, code, self.tree, self.uid, _, _ = head1(answer)
        assert got == command
        return code, answer[32:]

    def enter(self, user: str, password: str) -> int:
        """Log in; return the status."""
        self.table.say(negotiate(0xC801))
        code, token = 0, hello()
        for _ in range(2):
            words = struct.pack("<BBHHHHIHII", 0xFF, 0, 0, 61_440, 2, 1, 0, len(token), 0, 0x8000_00D4)
            code, answer = self.ask(0x73, words, token + bytes(4))
            token = proof(answer[answer.find(b"NTLMSSP\0") :][24:32], user, password) if b"NTLMSSP\0" in answer else b""
        return code

    def connect(self, path: str) -> int:
        return self.ask(
            0x75, struct.pack("<BBHHH", 0xFF, 0, 0, 0, 1), b"\0" + path.encode("utf-16-le") + b"\0\0?????\0"
        )[0]

    def create(self, name: str) -> int:
        """Make a file to write to; return its number."""
        wide = name.encode("utf-16-le")
        words = struct.pack("<BBHBHIIIQIIIIIB", 0xFF, 0, 0, 0, len(wide), 0, 0, 0x0012_019F, 0, 0x80, 7, 5, 0x40, 2, 0)
        code, answer = self.ask(0xA2, words, b"\0" + wide + b"\0\0")
        assert code == 0
        number: int = struct.unpack_from("<H", answer, 6)[0]
        return number

    def write(self, file: int, data: bytes, at: int) -> int:
        where = 32 + 1 + 28 + 2 + 1
        size = len(data)
        words = struct.pack("<BBHHIIH", 0xFF, 0, 0, file, at & 0xFFFF_FFFF, 0, 0)
        words += struct.pack("<HHHHI", 0, size >> 16, size & 0xFFFF, where, at >> 32)
        return self.ask(0x2F, words, b"\0" + data)[0]

    def close(self, file: int) -> int:
        return self.ask(0x04, struct.pack("<HI", file, 0), b"")[0]


# --- DCE/RPC ----------------------------------------------------------------------------------------


def pdu(kind: int, body: bytes, *, flags: int = 3, call: int = 1, is_little: bool = True, auth: bytes = b"") -> bytes:
    size = 16 + len(body) + len(auth)
    return (
        struct.pack("<BBBBI", 5, 0, kind, flags, 0x10 if is_little else 0)
        + struct.pack("<HHI" if is_little else ">HHI", size, max(0, len(auth) - 8), call)
        + body
        + auth
    )


def uuid(text: str) -> bytes:
    first, second, third, *rest = text.split("-")
    return struct.pack("<IHH", int(first, 16), int(second, 16), int(third, 16)) + bytes.fromhex("".join(rest))


def bind(interface: str, version: int, *, syntax: bytes = NDR) -> bytes:
    context = struct.pack("<HBB", 0, 1, 0) + uuid(interface) + struct.pack("<I", version) + syntax
    return pdu(11, struct.pack("<HHIBBH", 4280, 4280, 0, 1, 0, 0) + context)


def request(number: int, stub: bytes, *, fragment: int = 0) -> bytes:
    """A call, in fragments of so many bytes of stub."""
    step = fragment or max(1, len(stub))
    out = b""
    for at in range(0, max(1, len(stub)), step):
        flags = (1 if at == 0 else 0) | (2 if at + step >= len(stub) else 0)
        out += pdu(0, struct.pack("<IHH", len(stub), 0, number) + stub[at : at + step], flags=flags)
    return out


BIND_ALIVE = bind("99fcfec4-5260-101b-bbcb-00aa0021347a", 0)
