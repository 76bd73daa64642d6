"""The whole way of an attack in front of a browser: up, a victim, a watch, the attack; and what the page then shows.

The second attack's code decodes itself, so that only the emulated CPU sees what it would download.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import ViewportSize, expect

from demo.test_victim import Served, needs_victim, run, served
from end_to_end.honeynet import Honeynet, public_folder, running
from end_to_end.page_farm import CHROMIUM, Watched, browser
from end_to_end.servers import pythons
from end_to_end.test_downloads import LAB
from end_to_end.test_watch import Watching, needs_engine, policy
from eudaemon.demo import victim
from eudaemon.demo.sample import harmless
from eudaemon.possession.engine import load_engine
from eudaemon.possession.status import status_of
from payload.shellcode.assembling import under_feedback_64

__all__ = ["served"]  # a fixture
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
PHONE = ViewportSize(width=360, height=740)


def attack(port: int, code: bytes) -> bytes:
    """Bring the victim code of our own; return its answer."""
    name = victim.payload(code, *victim.look("127.0.0.1", port))
    with socket.create_connection(("127.0.0.1", port), 20) as peer:
        peer.sendall(b"POST /sign HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(name) + name)
        try:
            return peer.recv(4096)
        except ConnectionResetError:
            return b""


@needs_victim
@needs_engine
async def test_an_attack_is_seen_on_the_page(served: Served, tmp_path: Path) -> None:
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is missing: apt-get install chromium")
    pytest.importorskip("unicorn")
    (tmp_path / "plain.elf").write_bytes(harmless() + b"plain")
    (tmp_path / "hidden.elf").write_bytes(harmless() + b"hidden")
    with public_folder() as place:
        async with running(place, more=LAB) as net, pythons(tmp_path) as port:
            urls = {name: f"http://127.0.0.1:{port}/{name}.elf" for name in ("plain", "hidden")}
            hidden = under_feedback_64(victim.shellcode(urls["hidden"]), 0x5A)
            assert victim.WORD in await asyncio.to_thread(attack, served.port, hidden)  # natively it succeeds
            watching = await Watching.begin(policy(place, served.port), net.data)
            try:
                line = ("attack", "--port", str(served.port), "--url", urls["plain"])
                assert "the code did not run" in (await asyncio.to_thread(run, *line)).stdout
                alert = await watching.until("alert")
                assert (alert["child_of"], alert["verdict"], alert["in_time"]) == (served.pid, "contain", True)
                assert alert["downloads"][0]["url"] == urls["plain"]
                await watching.until("examined")
                assert await asyncio.to_thread(attack, served.port, hidden) == b""
                assert (await watching.until("alert"))["downloads"] == []
                found = await watching.until("examined")
                assert [one["url"] for one in found["downloads"]] == [urls["hidden"]]
                assert any("/bin/sh" in sentence for sentence in found["does"])
                await watching.until("released")
                assert status_of(served.pid, load_engine().abi) is None
                assert b"Thank you, Ada.\n" in await asyncio.to_thread(served.sign, b"Ada")
            finally:
                assert await watching.end() == 4
            kept = {name: hashlib.sha256((tmp_path / f"{name}.elf").read_bytes()).hexdigest() for name in urls}
            for sha256 in kept.values():
                await net.until("/api/samples", lambda seen, it=sha256: it in str(seen))
            assert len(await _codes(net)) == 2
            await asyncio.to_thread(_look, net, urls, kept, tmp_path)


async def _codes(net: Honeynet) -> set[bytes]:
    """Return the injected codes, as the farm has them."""
    found = await net.until("/api/sessions", lambda seen: len(seen["sessions"]) == 2, room="possession")
    codes = set()
    for session in found["sessions"]:
        told = await net.get(f"/api/sessions/{session['session']}")
        (hijacked,) = (event["fields"] for event in told["events"] if event["kind"] == "control.hijacked")
        codes.add(await net.raw(f"/api/samples/{hijacked['code']}/download"))
    return codes


def _look(net: Honeynet, urls: dict[str, str], kept: dict[str, str], pictures: Path) -> None:
    """Look at both alerts on the page, as one who has heard of them."""
    with browser() as started:
        context = started.new_context()
        context.set_default_timeout(15_000)
        watched = Watched(context, net.page.rstrip("/"))
        watched.login(net.said.partition("password ")[2].split()[0])
        seen = set()
        for number in range(2):
            page = watched.open("/sessions?room=possession&span=all")
            over = page.locator("tbody tr")
            expect(over).to_have_count(2)
            over.nth(number).locator("a.row-link").click()
            panel = page.get_by_role("region", name="What took control")
            expect(panel).to_contain_text("It was about to return to an address that came from outside.")
            expect(panel).to_contain_text("The thread has been ended.")
            expect(panel).to_contain_text("Input from 127.0.0.1:")
            expect(page.get_by_role("region", name="Replay")).to_contain_text("talked to the process")
            stream, stack = panel.locator(".picture").nth(0), panel.get_by_role("group", name="Stack", exact=True)
            assert stream.locator(".culprit").count() == 8  # the address, among the bytes that came with it
            assert stream.locator(".tagged").count() > 100
            assert stream.evaluate("(box) => box.scrollTop") > 0  # it is brought into sight
            assert stack.locator(".culprit").count() == 8
            expect(stack).to_contain_text("▸")
            expect(panel.locator("tr.here")).to_contain_text("ret")
            expect(panel.get_by_role("group", name="Registers")).to_be_hidden()
            panel.get_by_text("Registers", exact=True).click()
            expect(panel.get_by_role("group", name="Registers")).to_contain_text("rsp")
            panel.get_by_text("Memory map", exact=True).click()
            expect(panel.get_by_role("group", name="Memory map")).to_contain_text("r-xp")
            (name,) = (one for one in urls if page.get_by_text(urls[one]).count())
            seen.add(name)
            expect(page.locator(f"a.hash[href='/samples/{kept[name]}']").first).to_be_visible()
            page.screenshot(path=pictures / f"{name}.png", full_page=True)
        assert seen == set(urls)
        page.evaluate(AXE)
        assert page.evaluate("axe.run(document).then((r) => r.violations.map((v) => v.id))") == []
        page.set_viewport_size(PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert watched.complaints() == []
        page.screenshot(path=pictures / "phone.png")
