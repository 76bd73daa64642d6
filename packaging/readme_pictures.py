"""Takes the README's pictures of the page, from made-up attacks: `python packaging/readme_pictures.py`.

Needs what the page's tests need (Chromium, Playwright) and `pngquant`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from end_to_end.page_farm import Running, Watched, browser  # noqa: E402

PICTURES = ROOT / "docs/img"
EVENTS = 60_000


def main() -> None:
    """Write docs/img/overview.png and docs/img/session.png."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        running = Running(Path(home), events=EVENTS)
        try:
            with browser() as chromium:
                context = chromium.new_context(viewport={"width": 1280, "height": 980}, reduced_motion="reduce")
                watched = Watched(context, running)
                watched.login(running.password)
                watched.open("/")
                watched.page.wait_for_selector(".land.s5")
                take(watched, "overview")
                page = watched.open("/sessions?with_sample=true&room=telnet&text=ECCHI&span=all")
                over = page.locator("tbody tr").filter(has_not=page.locator(".chip.live"))
                watched.open(str(over.nth(2).locator("a.row-link").get_attribute("href")))
                watched.page.wait_for_selector(".screen")
                take(watched, "session")
        finally:
            running.stop()


def take(watched: Watched, name: str) -> None:
    """Take one picture, with few colours."""
    path = PICTURES / f"{name}.png"
    watched.page.wait_for_timeout(1500)
    watched.page.screenshot(path=path)
    subprocess.run(["pngquant", "--force", "--skip-if-larger", "--output", path, "192", path], check=True)


if __name__ == "__main__":
    main()
