"""An SMB client that logs in and leaves a file as often as it can: the same load for every server that is measured.

    python bench/smb_load.py HOST PORT [--seconds 8] [--at-once 24] [--user Administrator] [--password 1qaz2wsx]

One session, as worms have it: connect, negotiate SMB 2.1, log in with NTLM's second version; at IPC$ open the pipe
`srvsvc`, bind to it and close it; at C$ make a file, write 4 KiB into it and close it; log off, close. Nothing is
signed. Prints one JSON object, as telnet_load does.
"""

from __future__ import annotations

import hmac
import itertools
import os
import socket
import struct
from collections.abc import Generator
from functools import cache
from typing import TypeAlias

from eudaemon.protocols._ntlm import SIGNATURE, nt_hash
from telnet_load import SESSION_S_MAX, main

WORDS = {"user": b"Administrator", "password": b"1qaz2wsx"}
NEGOTIATE, SESSION_SETUP, LOGOFF, TREE_CONNECT, CREATE, CLOSE, WRITE, IOCTL = 0, 1, 2, 3, 5, 6, 9, 11
SUCCESS, MORE_PROCESSING_REQUIRED = 0, 0xC000_0016
OFFER = struct.pack("<HHHHI16sQ2H", 36, 2, 1, 0, 0, bytes(16), 0, 0x0202, 0x0210)
HELLO = SIGNATURE + struct.pack("<II", 1, 0xE008_8297) + bytes(16)
PIPE_TRANSCEIVE = 0x0011_C017
SRVSVC = bytes.fromhex("c84f324b7016d30112785a47bf6ee188")  # 4b324fc8-1670-01d3-1278-5a47bf6ee188 (MS-SRVS), as sent
NDR = bytes.fromhex("045d888aeb1cc9119fe808002b104860")
BIND = struct.pack("<BBBBIHHI", 5, 0, 11, 3, 0x10, 72, 0, 1) + struct.pack("<HHIBBH", 4280, 4280, 0, 1, 0, 0)
BIND += struct.pack("<HBB", 0, 1, 0) + SRVSVC + struct.pack("<I", 3) + NDR + struct.pack("<I", 2)
CONTENT = bytes(range(256)) * 16
OPEN, OVERWRITE_IF = 1, 5
files = itertools.count()

Talk: TypeAlias = "Generator[bytes, bytes, None]"  # requests out, the bodies of their answers in
Answered: TypeAlias = "Generator[bytes, bytes, bytes]"


class RefusedError(Exception):
    """The server does not do what is asked of it."""


class Session:
    """One login, pipe and file, driven by whatever comes."""

    def __init__(
        self, address: tuple[str, int], words: dict[str, bytes], now_s: float, source: tuple[str, int] = ("", 0)
    ) -> None:
        # It speaks first, so that it waits to be let in: a full queue of a busy server costs the others a moment.
        self.socket = socket.create_connection(address, SESSION_S_MAX, source)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began_s = now_s
        self.is_in = False
        self._words = words
        self._heard = b""
        self._session = self._tree = self._sent = self._status = 0
        self._talk = self._dialogue()
        self.socket.send(next(self._talk))

    def hear(self) -> str:
        """Read and answer; return `` while it goes on, `done` or `failed` at the end."""
        try:
            data = self.socket.recv(16_384)
            self._heard += data
            while len(self._heard) >= 4 + int.from_bytes(self._heard[1:4], "big") > 4:
                size = 4 + int.from_bytes(self._heard[1:4], "big")
                answer, self._heard = self._heard[4:size], self._heard[size:]
                self._status, self._tree, self._session = struct.unpack_from("<8xI24xIQ", answer)
                self.socket.send(self._talk.send(answer[64:]))
        except BlockingIOError:
            return ""
        except StopIteration:
            return "done"
        except (OSError, RefusedError):
            return "failed"
        return "" if data else "failed"

    def _dialogue(self) -> Talk:
        yield from self._ask(NEGOTIATE, OFFER)
        challenge = yield from self._log_in(HELLO, MORE_PROCESSING_REQUIRED)
        at = challenge.index(SIGNATURE) + 24
        yield from self._log_in(proof(challenge[at : at + 8], self._words["user"], self._words["password"]))
        yield from self._connect("IPC$")
        pipe = yield from self._create("srvsvc", OPEN)
        self.is_in = True
        form = struct.pack("<HHI16sIIIIIIII", 57, 0, PIPE_TRANSCEIVE, pipe, 120, len(BIND), 0, 0, 0, 65_536, 1, 0)
        yield from self._ask(IOCTL, form + BIND)
        yield from self._ask(CLOSE, struct.pack("<HHI16s", 24, 0, 0, pipe))
        yield from self._connect("C$")
        file = yield from self._create(f"Windows\\{os.getpid()}-{next(files)}.tmp", OVERWRITE_IF)
        yield from self._ask(
            WRITE, struct.pack("<HHIQ16sIIHHI", 49, 112, len(CONTENT), 0, file, 0, 0, 0, 0, 0) + CONTENT
        )
        yield from self._ask(CLOSE, struct.pack("<HHI16s", 24, 0, 0, file))
        yield from self._ask(LOGOFF, struct.pack("<HH", 4, 0))

    def _log_in(self, token: bytes, wanted: int = SUCCESS) -> Answered:
        form = struct.pack("<HBBIIHHQ", 25, 0, 1, 0, 0, 88, len(token), 0)
        return (yield from self._ask(SESSION_SETUP, form + token, wanted))

    def _connect(self, share: str) -> Answered:
        path = f"\\\\127.0.0.1\\{share}".encode("utf-16-le")
        return (yield from self._ask(TREE_CONNECT, struct.pack("<HHHH", 9, 0, 72, len(path)) + path))

    def _create(self, name: str, disposition: int) -> Answered:
        """Return the identifier of what was opened."""
        path = name.encode("utf-16-le")
        form = struct.pack(
            "<HBBIQQIIIIIHHII", 57, 0, 0, 2, 0, 0, 0x12_019F, 0x80, 7, disposition, 0, 120, len(path), 0, 0
        )
        return (yield from self._ask(CREATE, form + path))[64:80]

    def _ask(self, command: int, body: bytes, wanted: int = SUCCESS) -> Answered:
        """Return the body of the answer. Raises `RefusedError` for one that is not wanted."""
        head = struct.pack("<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 1, 0, command, 31, 0, 0, self._sent, 0xFEFF, self._tree,
                           self._session, bytes(16))  # fmt: skip
        self._sent += 1
        answer = yield (len(head) + len(body)).to_bytes(4, "big") + head + body
        if self._status != wanted:
            raise RefusedError(f"command {command}: status {self._status:08x}")
        return answer


@cache
def key_of(user: bytes, password: bytes, domain: str) -> bytes:
    """Return what NTLM's second version answers with (MS-NLMP 3.3.2)."""
    return hmac.digest(nt_hash(password.decode()), (user.decode().upper() + domain).encode("utf-16-le"), "md5")


def proof(challenge: bytes, user: bytes, password: bytes, domain: str = "LAB") -> bytes:
    """Return the token that answers a challenge."""
    blob = b"\1\1" + bytes(6) + bytes(8) + b"abcdefgh" + bytes(8)
    response = hmac.digest(key_of(user, password, domain), challenge + blob, "md5") + blob
    fields, payload = b"", b""
    for value in (bytes(24), response, *(text.encode("utf-16-le") for text in (domain, user.decode(), "BOX")), b""):
        fields += struct.pack("<HHI", len(value), len(value), 64 + len(payload))
        payload += value
    return SIGNATURE + struct.pack("<I", 3) + fields + struct.pack("<I", 0x8201) + payload


if __name__ == "__main__":
    main(Session, WORDS)
