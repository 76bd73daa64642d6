"""What no file may contain, and what every file must."""

from __future__ import annotations

import ast
import re
import subprocess

from tidy.tree import ROOT, parsed, place, python_files

# Excepted: the one place where whatever goes wrong in a session is caught, counted and told.
BROAD_EXCEPT_MAY = {"sensor/driver.py"}


def _tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_every_module_opens_with_what_it_is() -> None:
    assert [place(p) for p in python_files() if p.read_text() and not ast.get_docstring(parsed(p))] == []


def test_every_public_thing_says_what_it_does() -> None:
    wrong = []
    for path in python_files():
        if place(path).startswith("protocols/_template"):
            continue
        for node in parsed(path).body:
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and not node.name.startswith("_")
                and not ast.get_docstring(node)
            ):
                wrong.append(f"{place(path)}:{node.lineno} {node.name}")
    assert not wrong


def test_whatever_goes_wrong_is_caught_in_one_place_only() -> None:
    wrong = []
    for path in python_files():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                if re.search(r"everything|\bException\b|BaseException", caught) and place(path) not in BROAD_EXCEPT_MAY:
                    wrong.append(f"{place(path)}:{node.lineno} catches {caught}")
    assert not wrong


def test_nothing_is_left_unfinished() -> None:
    marks = re.compile("TO" + r"DO\b|FIX" + r"ME\b|X{3}\b|Not" + r"Implemented\b|pragma: " + "no cover")
    wrong = []
    for name in _tracked():
        if name.endswith((".py", ".md", ".js", ".css", ".sh", "Makefile")) and "/vendor/" not in name:
            for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1):
                if marks.search(line):
                    wrong.append(f"{name}:{number} {line.strip()[:80]}")
    assert not wrong


def test_no_path_of_somebodys_machine() -> None:
    places = re.compile(r"/(home|Users)/[a-z]+/")
    wrong = []
    for name in _tracked():
        if name.endswith((".py", ".md", ".toml", ".sh", "Makefile", "run")) and name != "tests/tidy/test_words.py":
            text = (ROOT / name).read_text(encoding="utf-8")
            wrong += [f"{name}: {m.group()}" for m in places.finditer(text)]
    assert not wrong
