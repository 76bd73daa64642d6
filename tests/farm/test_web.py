"""The page's files: what is vendored is what was vendored, and nothing in them makes markup out of text."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from eudaemon.farm.api.assets import WEB

VENDOR = WEB / "vendor"
OURS = sorted((WEB / "js").rglob("*.js"))


def test_vendored_files_are_those_of_the_manifest() -> None:
    manifest = json.loads((VENDOR / "MANIFEST.json").read_text())
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir()}
    assert there.pop("MANIFEST.json")
    assert {name: entry["sha256"] for name, entry in manifest.items()} == there
    for name in there:
        if name.endswith(".mjs"):
            package = manifest[name]["from"].split("@")[0] or manifest[name]["from"].split("/")[0]
            assert re.search(r"\(([\w.-]+)\)$", manifest[name]["for"]), f"{name} of {package} names no licence"
    assert {"LICENSE.preact", "LICENSE.htm", "LICENSE.xterm"} <= set(there)


def test_the_map_knows_the_world() -> None:
    world = json.loads((VENDOR / "world.json").read_text())
    assert len(world["countries"]) > 170
    assert {"DE", "CN", "US", "RU", "FJ", "XK"} <= set(world["countries"])
    assert {"SG", "HK", "MT"} <= set(world["dots"])
    for x, y in world["dots"].values():
        assert 0 <= x <= world["width"]
        assert -200 <= y <= world["height"] + 2000
    # Nothing is drawn across the whole map: a ring that crosses the cut would be.
    for code, path in world["countries"].items():
        steps = [int(n) for n in re.findall(r"-?\d+", path.replace("M", " ").replace("l", " ").replace("z", " "))]
        assert steps, code
        for ring in path.split("z"):
            if not ring:
                continue
            begin, moves = ring[1:].split("l")
            x = int(begin.split()[0])
            xs = [x]
            for dx in [int(n) for n in re.findall(r"-?\d+", moves)][::2]:
                x += dx
                xs.append(x)
            assert max(xs) - min(xs) < world["width"] / 2, code


FORBIDDEN = ("innerHTML", "outerHTML", "insertAdjacentHTML", "dangerouslySetInnerHTML", "document.write", "eval(",
             "new Function", "DOMParser", "createContextualFragment", "srcdoc", "setAttribute(\"style\"")  # fmt: skip


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.relative_to(WEB).as_posix())
def test_no_script_makes_markup_of_text_or_asks_another_host(path: Path) -> None:
    text = path.read_text()
    assert [word for word in FORBIDDEN if word in text] == []
    assert re.findall(r"https?://(?!198\.51\.100)[\w.]+", text) == []
    for target in re.findall(r'(?:from|import) "([^"]+)"', text):
        assert target.startswith("."), target
        assert (path.parent / target).resolve().is_file(), target


def test_the_document_holds_no_script_and_no_style_of_its_own() -> None:
    document = (WEB / "index.html").read_text()
    assert re.findall(r"<script[^>]*>(.+?)</script>", document) == []
    assert "<style" not in document
    assert "style=" not in document
    assert re.findall(r'(?:src|href)="(?!/)', document) == []
