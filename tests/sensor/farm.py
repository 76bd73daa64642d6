"""A small farm for tests: TLS, the intake's endpoints, everything taken in memory, and moods on demand."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from eudaemon.sensor.certificate import kept
from eudaemon.sensor.settings import Uplink
from eudaemon.world.seed import Seed


class Farm:
    """What it has, and how it answers. `moods` are statuses given, in turn, to the next requests instead."""

    def __init__(self, credential: str) -> None:
        self.credential = credential
        self.lines: list[bytes] = []
        self.marks: dict[str, int] = {}
        self.artefacts: dict[str, bytes] = {}
        self.duplicates = 0
        self.healths: list[dict[str, Any]] = []
        self.requests: Counter[str] = Counter()
        self.moods: list[int] = []
        self.headers = ""  # added to answers that come of a mood
        self.refuses = b""  # a batch with this in one of its events is refused
        self.refuses_all = False
        self.refused_empty = 0  # batches without an event
        self.missing: list[str] = []  # artefacts that an accepted event named before they were here
        self.hangs_up_after: int | None = None  # so many requests
        self.log: list[tuple[str, int]] = []
        self.words: list[Any] = []  # about shellcodes, with the next answer to a batch without events

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = head[0].split(" ")
                if self.hangs_up_after is not None:
                    if not self.hangs_up_after:
                        break
                    self.hangs_up_after -= 1
                status, answer = self.answer(method, path, headers, body)
                text = json.dumps(answer).encode() if method != "HEAD" else b""
                extra = self.headers if status not in (200, 201, 404) else ""
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n{extra}\r\n".encode() + text)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        self.requests[method] += 1
        status, answer = self._answer(method, path, headers, body)
        self.log.append((method, status))
        return status, answer

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        if self.moods:
            return self.moods.pop(0), {"error": "a mood"}
        if headers.get("authorization") != f"Bearer {self.credential}":
            return 401, {"error": "who are you"}
        if path == "/intake/v1/batch":
            return self._batch(body)
        sha256 = path.rpartition("/")[2]
        if method == "HEAD":
            return (200 if sha256 in self.artefacts else 404), {}
        if hashlib.sha256(body).hexdigest() != sha256:
            return 400, {"error": "the hash differs"}
        known = sha256 in self.artefacts
        self.artefacts[sha256] = body
        return (200 if known else 201), {}

    def _batch(self, body: bytes) -> tuple[int, dict[str, Any]]:
        first_line, *lines = body.rstrip(b"\n").split(b"\n")
        head = json.loads(first_line)
        assert len(lines) == head["count"]
        self.healths.append(head["health"])
        if self.refuses_all:
            self.refused_empty += not lines
            return 400, {"error": "nothing pleases me"}
        for number, line in enumerate(lines):
            if self.refuses and self.refuses in line:
                return 400, {"error": "no event", "line": number + 2}
        mark = self.marks.get(head["spool"], 0)
        for number, line in enumerate(lines, head["first"]):
            if number < mark:
                self.duplicates += 1
                continue
            self.lines.append(line)
            event = json.loads(line)
            named = event.get("sha256") or event.get("conversation")
            if named and named not in self.artefacts:
                self.missing.append(named)
        self.marks[head["spool"]] = max(mark, head["first"] + len(lines))
        words, self.words = (self.words, []) if not lines else ([], self.words)
        return 200, {"next": self.marks[head["spool"]]} | ({"shellcodes": words} if words else {})

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in map(json.loads, self.lines) if event["kind"] == kind]

    async def until(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        async with asyncio.timeout(8):
            while len(found := self.events(kind)) < count:
                await asyncio.sleep(0.01)
        return found


@asynccontextmanager
async def farm(folder: Path, port: int = 0) -> AsyncIterator[tuple[Farm, Uplink]]:
    """Run a farm; yield it and the settings with which a sensor named `sensor` finds it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = kept(folder / "farm.pem", Seed(b"farm"), "farm")
    context.load_cert_chain(path)
    certificate = "-----BEGIN CERTIFICATE" + path.read_text().partition("-----BEGIN CERTIFICATE")[2]
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
    it = Farm("sensor:secret")
    server = await asyncio.start_server(it.serve, "127.0.0.1", port, ssl=context)
    port = server.sockets[0].getsockname()[1]
    uplink = Uplink(
        f"https://127.0.0.1:{port}", "secret", fingerprint, wait_s_max=0.01, backoff_s_max=0.2, answer_s_max=5
    )
    try:
        yield it, uplink
    finally:
        server.close()
        server.close_clients() if hasattr(server, "close_clients") else None
