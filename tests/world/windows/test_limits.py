"""Whatever is typed, cmd.exe answers or says that it is the peer's fault; and each limit is reached and passed."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eudaemon.wire import PeerError
from eudaemon.world.shell.limits import (
    EXHAUSTED_LINES_MAX,
    LINE_BYTES_MAX,
    OUTPUT_BYTES_MAX,
    SLEEPS_MAX,
    STEPS_MAX,
    VARIABLES_MAX,
)
from eudaemon.world.windows import limits
from eudaemon.world.windows.commands import INTERNAL, PROGRAMS
from eudaemon.world.windows.commands.decoding import hex_of
from eudaemon.world.windows.paths import Drives
from eudaemon.world.windows.scripts import STATEMENTS_MAX
from world.windows.told import Told

PIECES = [
    b"echo ", b"a", b" ", b'"', b"%", b"%a%", b"%a:~1,2%", b"%cd%", b"!", b"^", b"&", b"&&", b"|", b"||", b"(", b")",
    b">", b">>", b"<", b"2>&1", b"1>&2", b"nul", b"if ", b"else ", b"exist ", b"not ", b"==", b"for %i in (", b"for /f ",  # noqa: E501
    b"for /l %i in (1,1,9) ", b"do ", b"in ", b"set ", b"set /a ", b"set /p a=", b"call ", b":x", b"goto x", b"exit",
    b"cmd /c ", b"cmd /v:on /c ", b"start ", b"copy ", b"type ", b"a.bat", b"a.vbs", b"a.exe", b"\\", b"c:", b"..",
    b"*", b"?", b",", b";", b"=", b"1", b"0x", b"-1", b"\xff", b"\0", b"\n", b"powershell ", b"powershell -c ", b"$a",
    b"$(", b"@{", b"iex ", b"-join ", b"[char]", b"::", b".a(", b"{", b"}", b"'", b"`", b"wmic process call create ",
    b"certutil -decode ", b"ftp -s:", b"debug<", b"cscript ", b"/b ", b"+", b"http://192.0.2.9/x ", b"del ", b"@",
]  # fmt: skip
lines = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=20).map(b"".join)
bounded = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def survives(told: Told, line: bytes) -> None:
    """Run a line. Only a `PeerError` may come of it, and nothing may be held beyond the purse."""
    try:
        out = told.run(line)
    except PeerError:
        return
    assert len(out) <= OUTPUT_BYTES_MAX + 128
    assert 0 <= told.purse.bytes_taken <= told.purse.bytes_max


@bounded
@given(typed=st.lists(lines, max_size=4))
@example(typed=[b"for /l %i in (1,0,2) do echo a"])
@example(typed=[b"echo a | cmd | cmd", b"exit | exit"])
@example(typed=[b"if a", b"for", b"(", b")", b"if exist", b"for %i in (", b"a) do echo %i"])
def test_any_lines(typed: list[bytes]) -> None:
    told = Told(bytes_max=100_000, brings=b"MZ")
    told.run("echo goto x> a.bat& echo x> a.exe")
    for line in typed:
        survives(told, line)
    told.finish()


@pytest.mark.parametrize("name", sorted({*INTERNAL, *PROGRAMS}))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(args=st.lists(st.sampled_from([b"/a", b"-b", b"/c", b"a.txt", b"*", b"..", b"c:\\", b"\\\\a\\b", b"get", b"http://a/b",
                                      b"call create", b"/i", b"-decode", b"/tr", b"a=b", b"nul", b"12:00", b"/s", b"/?"])  # noqa: E501
                     | st.binary(max_size=4), max_size=5), piped=st.booleans())  # fmt: skip
def test_any_arguments_of_any_command(name: str, args: list[bytes], piped: bool) -> None:
    told = Told(bytes_max=200_000, brings=b"MZ")
    told.run("cd \\windows\\temp & echo some text> a.txt")
    line = name.encode() + b" " + b" ".join(arg.replace(b'"', b"") for arg in args)
    survives(told, b"echo text | " + line if piped else line)
    told.finish()


SCRIPT = [
    "$a", "=", "'x'", '"$a"', "(", ")", "{", "}", "[", "]", ";", "|", "%", "?", "foreach", "if", "else", "while", "for",
    "function f", "return ", "$_", "@(", "@{", ",", ".", "::", "-join ", "-split ", "-replace ", "-f ", "-eq ", "..", "1",  # noqa: E501
    "99999999999", "0xff", "+", "*", "iex ", "new-object ", "net.webclient", ".DownloadString(", "'http://192.0.2.9/a'",
    "[char]", "[byte[]]", "[convert]::", "FromBase64String(", "++", "`", "\n", " ", "#", "<#", "@'", "&", "-not ", "$(",
    "param($b)", "try", "catch", "switch", "{$_}", "'a*'", "-match ", "'(a|b)*'", "[0..3]", "sal q iex", "start-sleep 9",  # noqa: E501
]  # fmt: skip


@bounded
@given(script=st.lists(st.sampled_from(SCRIPT) | st.text(max_size=2), max_size=20).map("".join))
@example(script="$a='x';while(1){$a+=$a}")
@example(script="function f{f};f")
@example(script="f @a")
@example(script="@a")
@example(script="1..99999999999")
@example(script="'a'*99999999999")
@example(script="while(1){}")
@example(script="$a=,1;while(1){$a+=$a}")
@example(script="('a'*9999) -match '(a*)*b'")
@example(script="-" * 5000 + "1")
@example(script="[char]" * 5000 + "1")
def test_any_script(script: str) -> None:
    told = Told(bytes_max=100_000, brings=b"a")
    text = base64.b64encode(script.encode("utf-16-le", "replace")).decode()
    survives(told, f"powershell -e {text}".encode()[:LINE_BYTES_MAX])
    assert told.shell.layers == 0
    told.finish()


@bounded
@given(text=st.text(alphabet="abc()\"'.,=+&:\n \\%;{}[]<>-|0x", max_size=120))
def test_any_script_of_the_script_host(text: str) -> None:
    told = Told(bytes_max=100_000, brings=b"a")
    told.shell.files.append(told.shell.files.create(b"/C/Windows/Temp/a.vbs", 0.0), text.encode("latin-1"), 0.0)
    survives(told, b"cscript c:\\windows\\temp\\a.vbs a b")
    told.finish()


@pytest.mark.parametrize("line", [
    b"(" * 20_000, b'"' * 20_001, b"^" * 20_001, b"%" * 20_001, b"if 1==1 " * 5_000, b"for %i in (1) do " * 3_000,
    b"cmd /c " * 5_000 + b"echo", b"call " * 9_000, b"start " * 9_000, b"echo a|" * 9_000, b"echo a&" * 9_000,
    b"a" * 60_000, b"set /a " + b"(" * 20_000, b"set /a " + b"-" * 20_000 + b"1", b"powershell " + b"(" * 20_000,
    b"powershell " + b"{" * 20_000, b"powershell " + b"$(" * 20_000, b"powershell " + b"iex " * 9_000,
    b"powershell -c powershell -c " * 2_000, b"mshta vbscript:" + b"(" * 20_000, b"dir " + b"*a" * 10_000,
    b"type c:\\" + b"a\\" * 20_000,
])  # fmt: skip
def test_what_goes_deep_comes_back(line: bytes) -> None:
    told = Told()
    survives(told, line)
    told.shell.interrupt()
    assert told.run("echo here") == "here\r\n"


def test_what_an_array_costs_as_an_argument() -> None:
    """Its numbers become text for each program that is called with it: 16 MiB of work are a few of them."""
    printed = Told().run('powershell -c "$b = 0..65535|%{0}; while(1){nosuch.x $b}"')
    assert 2 <= printed.count("'nosuch.x' is not recognized") <= 16


def test_what_it_costs_to_look_for_a_program() -> None:
    printed = Told().run("for /l %i in (1,1,20000) do @nosuch%i")
    assert 100 <= printed.count("is not recognized") <= 2000


def test_a_line_has_its_length() -> None:
    Told().run(b"rem " + b"a" * (LINE_BYTES_MAX - 4))
    with pytest.raises(PeerError):
        Told().run(b"rem " + b"a" * (LINE_BYTES_MAX - 3))


def test_blocks_are_not_continued_for_ever() -> None:
    told = Told()
    told.run("(")
    for _ in range(limits.CONTINUATION_LINES_MAX):
        told.run("echo a")
        assert told.shell.prompt() == b"More? "
    with pytest.raises(PeerError):
        told.run("echo a")


def test_levels_end() -> None:
    def nested(count: int) -> str:
        return "(" * count + "echo deep" + ")" * count

    assert Told().run(nested(limits.NESTING_LEVELS_MAX)) == "deep\r\n"
    assert "syntax" in Told().run(nested(limits.NESTING_LEVELS_MAX + 1))


def test_a_batch_file_that_calls_itself_ends() -> None:
    told = Told()
    told.run("echo @call a.bat> a.bat")
    assert "Not enough storage" in told.run("a.bat")
    assert told.run("echo still here") == "still here\r\n"


def test_lines_that_do_not_end_end_the_session() -> None:
    told = Told()
    told.run("echo :x> a.bat & echo @goto x>> a.bat")
    for _ in range(EXHAUSTED_LINES_MAX):
        assert "Not enough storage" in told.run("a.bat")
    with pytest.raises(PeerError):
        told.run("a.bat")


def test_variables_are_counted_and_come_out_of_the_purse() -> None:
    told = Told()
    for number in range(VARIABLES_MAX):
        assert told.run(f"set a{number}=b") == ""
    assert "Not enough storage" in told.run("set more=b")
    told = Told()
    told.run("set a=" + "b" * limits.VALUE_CHARS_MAX)
    assert told.purse.bytes_taken > limits.VALUE_CHARS_MAX
    assert "Not enough storage" in told.run("set a=" + "b" * (limits.VALUE_CHARS_MAX + 1))
    poor = Told(bytes_max=100)
    with pytest.raises(PeerError):
        poor.run("set a=" + "b" * 200)


def test_expansion_has_an_end() -> None:
    told = Told()
    told.run("set a=" + "b" * 30_000)
    assert "too long" in told.run("echo " + "%a%" * 5)
    assert len(told.run("echo " + "%a%" * 4)) == 120_002


def test_nobody_waits_for_ever() -> None:
    told = Told()
    told.run("ping -n 100 127.0.0.1 >nul")
    assert sum(told.paused) <= 60.0
    told = Told()
    told.run("for /l %i in (1,1,99) do @timeout /t 1")
    assert len(told.paused) <= SLEEPS_MAX
    assert told.run("echo b") == "b\r\n"


def test_a_full_disk_is_said() -> None:
    told = Told(bytes_max=2_000)
    assert "not enough space" in told.run("echo " + "a" * 3_000 + "> a.txt")


def test_powershells_texts_and_lists_end() -> None:
    told = Told()
    assert "Not enough storage" in told.run("powershell -c \"$a='x'*1048576;$a+'x'\"")
    assert told.run("powershell -c \"('x'*1048576).Length\"") == "1048576\r\n"
    assert "Not enough storage" in told.run(f'powershell -c "(1..{limits.POWERSHELL_ITEMS_MAX + 1}).Count"')
    assert told.run(f'powershell -c "(1..{limits.POWERSHELL_ITEMS_MAX}).Count"') == "65536\r\n"


def test_a_registry_of_ones_own_has_an_end() -> None:
    told = Told()
    for number in range(limits.REGISTRY_VALUES_MAX + 1):
        told.run(f"reg add HKCU\\x /v v{number} /d 1")
    assert len(told.shell.registry or {}) == limits.REGISTRY_VALUES_MAX


def test_scripts_have_so_many_statements() -> None:
    from eudaemon.world.shell.budget import Budget
    from eudaemon.world.windows.scripts import deeds

    def run(before: int) -> int:
        return len(list(deeds("a = 1\n" * before + 's.Run "x"', (), Budget())))

    assert run(STATEMENTS_MAX - 1) == 1
    assert run(STATEMENTS_MAX) == 0


@given(data=st.binary(min_size=1, max_size=64))
@settings(max_examples=60, deadline=None)
def test_what_is_encoded_is_decoded(data: bytes) -> None:
    told = Told()
    told.shell.files.append(told.shell.files.create(b"/C/Windows/System32/a", 0.0), data, 0.0)
    for verb in ("", "hex"):
        told.run(f"certutil -f -encode{verb} a b & certutil -f -decode{verb} b c")
        assert told.file("c") == data
    dump = b"".join(
        b"%04x\t%s   text\r\n" % (at, data[at : at + 16].hex(" ").encode()) for at in range(0, len(data), 16)
    )
    assert hex_of(dump) == data


@pytest.mark.parametrize("script", [
    "function f{" + "$x.y(" * 18 + "(f)" + ")" * 18 + "};f", "function f{" + "(" * 8 + "f" + ")" * 8 + "};f",
    "function f{" + "-not " * 18 + "(f)};f", "$b='" + "(" * 8 + "iex $b" + ")" * 8 + "';iex $b",
    "$env:A='" + "(" * 8 + "start cmd \"/c powershell -c iex $env:A\"" + ")" * 8 + "';iex $env:A",
])  # fmt: skip
def test_expressions_in_expressions_end(script: str) -> None:
    told = Told()
    told.run(f"powershell -e {base64.b64encode(script.encode('utf-16-le')).decode()}")
    assert (told.shell.depth, told.shell.layers) == (0, 0)
    assert told.run("powershell -c 1") == "1\r\n"


@pytest.mark.parametrize("command", ["ech a", "certutil", "cmd /c nothing", "powershell -c nothing", "c:\\a\\b"])
def test_looking_for_commands_is_counted(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is nowhere costs two dozen searches, and a loop without end goes through them thousands of times."""
    count = 0
    found = Drives.find

    def counted(self: Drives, *where: Any) -> Any:
        nonlocal count
        count += 1
        return found(self, *where)

    monkeypatch.setattr(Drives, "find", counted)
    Told().run(b"for /l %i in (1,0,2) do " + command.encode())
    assert 1000 < count <= 2 * STEPS_MAX
