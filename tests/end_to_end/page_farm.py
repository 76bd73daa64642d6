"""A real farm with its page, and a real browser in front of it. For tests and for the README's pictures."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from eudaemon.events import Endpoint, Event, Fact, IdSource, to_json
from eudaemon.farm.server import Farm
from eudaemon.farm.settings import FarmSettings, Intake, StoreSettings
from eudaemon.farm.settings import Page as PageSettings
from eudaemon.payload.shellcode.apart import Bench
from eudaemon.testing.synthetic import SAMPLES_MAX, Synthetic
from farm.made_up import bytes_of_sample, fill

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-first-run"]  # fmt: skip
SECRET = "5e" * 32
SPOOL = "ef" * 16
_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


class Running:
    """A farm that serves, in a thread of its own. `events` made-up ones are in it, the newest a moment old."""

    def __init__(self, home: Path, *, events: int, days: float = 2.0) -> None:
        settings = FarmSettings(
            page=PageSettings(port=0),
            intake=Intake(addresses=("127.0.0.1",), port=0),
            store=StoreSettings(load_every_s=0.05, disk_free_bytes_min=1024**2),
        )
        self.farm = Farm(settings, home, Bench())
        self.password = self.farm.prepare() or ""
        self.farm.admit("lab", SECRET)
        self.farm.bind()
        self._sent = 0
        self._ids = IdSource(bytes)
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(events, days)))
        self._thread.start()
        if not self._up.wait(60):
            raise RuntimeError("the farm did not start")

    async def _serve(self, events: int, days: float) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        serving = asyncio.create_task(self.farm.run(self._stop))
        self.url = self.farm.page_url.rstrip("/")
        while not await asyncio.to_thread(self._answers):
            if serving.done():
                await serving
            await asyncio.sleep(0.05)
        await self._fill(events, days)
        self._up.set()
        await serving

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    async def _fill(self, events: int, days: float) -> None:
        if not events:
            return
        now_s, talks = time.time(), list[bytes]()

        def keep(data: bytes) -> str:
            talks.append(data)
            return hashlib.sha256(data).hexdigest()

        made = Synthetic(end_s=now_s, days=days, keep=keep)
        seen = [*made.events(events), *made.identified(now_s - 7200)]
        await fill(self.farm.store, seen, received_s=now_s)  # a time far ahead of it would not be believed
        for number in range(SAMPLES_MAX):
            data = bytes_of_sample(number)
            await self._place(hashlib.sha256(b"synthetic sample %d" % number).hexdigest(), data)
        for data in talks[-400:]:
            await self._place(hashlib.sha256(data).hexdigest(), data)

    async def _place(self, sha256: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() == sha256:
            await self.farm.samples.keep(sha256, _once(data))
        else:  # bytes that stand for a made-up sample
            path = self.farm.samples._home / sha256[:2] / sha256
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            self.farm.samples.catalogue.add(sha256, len(data))

    def artefact(self, data: bytes) -> str:
        """Upload bytes as a sensor does; return their SHA-256."""
        sha256 = hashlib.sha256(data).hexdigest()
        self._ask("PUT", f"/intake/v1/artefacts/{sha256}", data, "application/octet-stream")
        return sha256

    def happen(self, session_at_s: float, facts: list[Fact], *, attacker: str = "198.51.100.66") -> str:
        """Deliver a session's facts as a sensor does; return the session's id."""
        session = self._ids.new(session_at_s)
        source, local = Endpoint(attacker, 40226), Endpoint("192.0.2.1", 23)
        lines = [
            to_json(
                Event(self._ids.new(session_at_s + i / 10), session_at_s + i / 10, "lab", fact, session, source, local)
            )
            for i, fact in enumerate(facts)
        ]
        health = {"version": "0", "capture": "ok", "disk_free_bytes": 10**10, "spool_events": 0}
        head = {"spool": SPOOL, "first": self._sent, "count": len(lines), "health": health}
        self._sent += len(lines)
        body = "\n".join([json.dumps(head), *lines, ""]).encode()
        self._ask("POST", "/intake/v1/batch", body, "application/x-ndjson")
        return session

    def _ask(self, method: str, path: str, body: bytes, media_type: str) -> None:
        headers = {"Authorization": f"Bearer lab:{SECRET}", "Content-Type": media_type}
        request = urllib.request.Request(self.farm.intake_url + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=20, context=ssl._create_unverified_context()) as answer:
            assert answer.status in (200, 201)

    def settle(self) -> None:
        """Wait until what was delivered can be asked for."""
        asyncio.run_coroutine_threadsafe(self.farm.store.settle(), self._loop).result(30)

    def stop(self) -> None:
        """Stop the farm."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


class Watched:
    """A page that is logged in, and all that went wrong on it."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page: Page = context.new_page()
        self.url = url
        self.wrong: list[str] = []
        self.page.add_init_script(_WATCH)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", self._request)
        self.page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.wrong.append(f"request: {request.url}")

    def open(self, path: str) -> Page:
        """Go to a place of the page and wait until it shows something."""
        self.page.goto(self.url + path)
        self.page.wait_for_selector("h1")
        expect(self.page.locator(".waiting")).to_have_count(0)
        return self.page

    def login(self, password: str) -> None:
        """Log in through the form."""
        self.page.goto(f"{self.url}/")
        self.page.get_by_label("User").fill("admin")
        self.page.get_by_label("Password").fill(password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector(".bar")

    def complaints(self) -> list[str]:
        """Return what went wrong since the last time."""
        violations: list[Any] = self.page.evaluate("window.violations.splice(0)")
        found, self.wrong[:] = [*self.wrong, *(f"CSP: {violation}" for violation in violations)], []
        return found


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()
