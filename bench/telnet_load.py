"""A telnet client that logs in as often as it can: the same load for every server that is measured.

    python bench/telnet_load.py HOST PORT [--seconds 8] [--at-once 24] [--user root] [--password admin]

One session: connect, refuse every option, wait for `ogin:`, user, wait for `assword:`, password, wait for a prompt,
`exit`, close. Prints one JSON object: sessions that got a prompt, those that failed, seconds.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import time

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
STEPS = ((b"ogin:", "user"), (b"assword:", "password"))
PROMPTS = (b"# ", b"$ ", b"> ")
SESSION_S_MAX = 30.0
WORDS = {"user": b"root", "password": b"xc3511"}


class Session:
    """One login, driven by whatever comes."""

    def __init__(self, address: tuple[str, int], words: dict[str, bytes], now_s: float) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(address)
        self.began_s = now_s
        self._words = words
        self._step = 0
        self._heard = b""

    def hear(self) -> str:
        """Read and answer; return `` while it goes on, `done` or `failed` at the end."""
        try:
            data = self.socket.recv(4096)
        except BlockingIOError:
            return ""
        except OSError:
            return "failed"
        if not data:
            return "failed"
        try:
            self._heard += self._without_options(data)
            if self._step < len(STEPS):
                mark, word = STEPS[self._step]
                if mark in self._heard:
                    self._step, self._heard = self._step + 1, b""
                    self.socket.send(self._words[word] + b"\r\n")
            elif self._heard.rstrip(b" ").endswith((b"#", b"$", b">")):
                self.socket.send(b"exit\r\n")
                return "done"
        except OSError:
            return "failed"
        return ""

    def _without_options(self, data: bytes) -> bytes:
        if IAC not in data:
            return data
        out, answer, at = bytearray(), bytearray(), 0
        while at < len(data):
            if data[at] != IAC or at + 2 >= len(data):
                out.append(data[at])
                at += 1
            elif data[at + 1] == SB:
                at = data.find(bytes((IAC, SE)), at) + 2 or len(data)
            else:
                refusal = {DO: WONT, WILL: DONT}.get(data[at + 1])
                if refusal:
                    answer += bytes((IAC, refusal, data[at + 2]))
                at += 3
        if answer:
            self.socket.send(answer)
        return bytes(out)


def load(
    address: tuple[str, int], words: dict[str, bytes], seconds: float, at_once: int, kind: type[Session] = Session
) -> dict[str, float]:
    """Log in over and over for so many seconds, so many at once; return the counts."""
    poll = selectors.EpollSelector()
    began_s = now_s = time.monotonic()
    counts = {"done": 0, "failed": 0}
    sessions: set[Session] = set()

    def begin() -> None:
        session = kind(address, words, now_s)
        sessions.add(session)
        poll.register(session.socket, selectors.EVENT_READ, session)

    def end(session: Session, how: str) -> None:
        counts[how] += 1
        poll.unregister(session.socket)
        session.socket.close()
        sessions.discard(session)

    while now_s < began_s + seconds:
        while len(sessions) < at_once:
            begin()
        for key, _ in poll.select(0.2):
            if how := key.data.hear():
                end(key.data, how)
        now_s = time.monotonic()
        for session in [s for s in sessions if s.began_s + SESSION_S_MAX < now_s]:
            end(session, "failed")
    return {"sessions": counts["done"], "failed": counts["failed"], "seconds": round(now_s - began_s, 3)}


def main(kind: type[Session] = Session, words: dict[str, bytes] = WORDS) -> None:
    """Parse, load, print. `kind` is the session of another protocol, `words` who logs in there by default."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--at-once", type=int, default=24)
    for name, word in words.items():
        parser.add_argument(f"--{name}", default=word.decode())
    given = parser.parse_args()
    chosen = {name: getattr(given, name).encode() for name in words}
    print(json.dumps(load((given.host, given.port), chosen, given.seconds, given.at_once, kind)))


if __name__ == "__main__":
    main()
