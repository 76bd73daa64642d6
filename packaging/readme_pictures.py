"""Takes the README's pictures of the page: `python packaging/readme_pictures.py [overview] [session]`.

docs/img/overview.png   made-up attacks: a new farm has seen too few to show what the overview is for
docs/img/session.png    a real one: `eudaemon up`, and the loader of `eudaemon demo` that attacks it

Needs what the page's tests need (Chromium, Playwright) and `pngquant`.
"""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from playwright.sync_api import Browser  # noqa: E402

from end_to_end.page_farm import Running, Watched, browser  # noqa: E402
from eudaemon.demo.loader import Outcome, attack  # noqa: E402
from eudaemon.demo.sample import harmless_for  # noqa: E402

PICTURES = ROOT / "docs/img"
EVENTS = 60_000
START_S = 60
SETTINGS = """
[sensor]
listen = ["telnet tcp 23"]
addresses = ["127.0.0.1"]
[farm.page]
port = 0
[farm.intake]
addresses = ["127.0.0.1"]
port = 0
"""


def main() -> None:
    """Write the pictures that are named, or both."""
    wanted = sys.argv[1:] or list(TAKEN)
    PICTURES.mkdir(parents=True, exist_ok=True)
    with browser() as chromium:
        for name in wanted:
            TAKEN[name](chromium)


def overview(chromium: Browser) -> None:
    """Photograph the overview of a farm full of made-up attacks."""
    with tempfile.TemporaryDirectory() as home:
        running = Running(Path(home), events=EVENTS)
        try:
            watched = logged_in(chromium, running.url, running.password)
            watched.open("/")
            watched.page.wait_for_selector(".land.s5")
            take(watched, "overview")
        finally:
            running.stop()


def session(chromium: Browser) -> None:
    """Attack a real sensor as the demo does, and photograph what came of it."""
    with tempfile.TemporaryDirectory() as home, up(Path(home)) as (url, password, telnet):
        outcome = attacked(telnet)
        if not outcome.succeeded:
            raise SystemExit(f"the demo's attack gave up at: {outcome.stage}")
        watched = logged_in(chromium, url, password)
        for _ in range(START_S):
            page = watched.open("/sessions?with_sample=true")
            over = page.locator("tbody tr").filter(has_not=page.locator(".chip.live"))
            if over.count():
                break
            time.sleep(1)
        watched.open(str(over.first.locator("a.row-link").get_attribute("href")))
        watched.page.wait_for_selector(".screen")
        take(watched, "session")


TAKEN = {"overview": overview, "session": session}


def attacked(port: int) -> Outcome:
    """Attack as the demo does; in a thread, because a loop of Playwright's runs in this one."""
    attacking = partial(attack, "127.0.0.1", port, payload=harmless_for, method="echo", timeout_s=START_S)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(attacking())).result()


@contextmanager
def up(home: Path) -> Iterator[tuple[str, str, int]]:
    """Run `eudaemon up` on free ports; give the page's address, the password, and telnet's port."""
    home.chmod(0o755)  # with root, the parts change to users of their own
    settings, told = home / "settings.toml", home / "told"
    settings.write_text(SETTINGS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "eudaemon", "up", "--config", str(settings), "--data", str(home / "data")]
    with told.open("w") as out, subprocess.Popen([*command, "--port-offset", str(port - 23)], stdout=out) as running:
        try:
            yield *welcome(told, running), port
        finally:
            running.terminate()
            running.wait(START_S)


def welcome(told: Path, running: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Wait for the words that `eudaemon up` welcomes with; return the page's address and the password in them."""
    end_s = time.monotonic() + START_S
    while running.poll() is None and time.monotonic() < end_s:
        if found := re.search(r"page +(http\S+)\n +user admin, password (\S+)\n(?s:.*)Ctrl-C", told.read_text()):
            return found[1].rstrip("/"), found[2]
        time.sleep(0.2)
    raise SystemExit("`eudaemon up` did not start:\n" + told.read_text())


def logged_in(chromium: Browser, url: str, password: str) -> Watched:
    """Return a page that is logged in."""
    context = chromium.new_context(viewport={"width": 1280, "height": 980}, reduced_motion="reduce")
    watched = Watched(context, url)
    watched.login(password)
    return watched


def take(watched: Watched, name: str) -> None:
    """Take one picture, with few colours."""
    path = PICTURES / f"{name}.png"
    watched.page.wait_for_timeout(1500)
    watched.page.screenshot(path=path)
    watched.page.context.close()  # ends the live feed before the farm stops
    subprocess.run(["pngquant", "--force", "--skip-if-larger", "--output", path, "192", path], check=True)


if __name__ == "__main__":
    main()
