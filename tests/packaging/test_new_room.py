"""`make room` in a copy of the repository: what it makes passes its tests, the types and the tidy checks at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tidy.tree import ROOT


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("src", "tests", "packaging"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "web", "node_modules")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, PYTHONPATH=str(copy / "src"), PYTHONDONTWRITEBYTECODE="1")
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=110)


def make(copy: Path, *names: str) -> subprocess.CompletedProcess[str]:
    return run(copy, sys.executable, "packaging/new_room.py", *names)


def test_a_new_room_is_right_from_the_start(copy: Path) -> None:
    made = make(copy, "ident")
    assert made.returncode == 0, made.stderr
    assert "src/eudaemon/protocols/ident.py" in made.stdout
    table = (copy / "src/eudaemon/protocols/__init__.py").read_text()
    assert table.index('"http"') < table.index('"ident", "eudaemon.protocols.ident:Ident"') < table.index('"telnet"')
    tested = run(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/protocols/test_ident.py",
                 "tests/tidy/test_rooms.py")  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    held = run(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "ident",
               "tests/protocols/test_every_room.py")  # fmt: skip
    assert held.returncode == 0, held.stdout
    assert "eudaemon.protocols._template" not in (copy / "tests/protocols/test_ident.py").read_text()
    files = ("src/eudaemon/protocols/ident.py", "src/eudaemon/protocols/__init__.py", "tests/protocols/test_ident.py")
    for check in (("check",), ("format", "--check")):
        judged = run(copy, sys.executable, "-m", "ruff", *check, *files)
        assert judged.returncode == 0, judged.stdout
    typed = run(copy, sys.executable, "-m", "mypy", "--cache-dir", os.devnull, "-p", "eudaemon.protocols.ident")
    assert typed.returncode == 0, typed.stdout


@pytest.mark.parametrize("name", ["", "Ident", "2ndroom", "a-b", "a/b", "../x", "class", "_x", "http", "telnet"])
def test_a_bad_name_is_refused_and_changes_nothing(copy: Path, name: str) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*.py")}
    made = make(copy, name)
    assert made.returncode == 1
    assert "make room:" in made.stderr
    assert {path: path.read_bytes() for path in copy.rglob("*.py")} == before


def test_no_name_at_all(copy: Path) -> None:
    assert make(copy).returncode == 2
