"""Whatever is typed, the shell answers or says that it is the peer's fault; and each limit is reached and passed."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eudaemon.wire import PeerError
from eudaemon.world.files import FILES_MAX, LEVELS_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX
from eudaemon.world.shell import limits
from eudaemon.world.shell.applets import APPLETS, _dump
from world.shell.told import HOST, Told, printed

PIECES = [
    b"echo ", b"a", b" ", b"'", b'"', b"$", b"${", b"}", b"$(", b")", b"`", b"((", b"))", b"|", b"||", b"&",
    b"&&", b";",
    b";;", b"\n", b"<", b">", b">>", b"<<", b"<<<", b"2>&1", b"(", b"{ ", b"if ", b"then ", b"fi", b"for i in ", b"do ",
    b"done", b"while ", b"case ", b"esac",
    b"in ", b"*", b"?", b"[", b"]", b"\\", b"#", b"!", b"~", b"=", b"x=", b"$x",
    b"$?", b"$@", b"$((", b"1", b"+", b"/", b"%", b":-", b"-e ", b"\\x41", b"\xff", b"\0", b"f() ", b"f",
    b"cat ", b"/tmp/a",
    b"/bin/busybox ", b"eval ", b"sh -c ", b"read x", b"break ", b"exit ", b"set -- ", b"shift ", b"IFS=:", b"printf ",
    b"%s", b"sed s/a/b/ ", b"grep ", b"tr ", b"find / ", b"xargs ", b"dd if=/dev/zero ", b"wget http://192.0.2.9/ ",
]  # fmt: skip
lines = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=24).map(b"".join)
words = st.lists(st.sampled_from([b"-a", b"-n", b"1", b"/tmp/f", b"/etc", b"-", b"--", b"*", b"[", b"", b"\xb2", b"a:b",
                                  b"s/(/", b"-c", b"-f", b"99999999999", b"-O", b"-d", b"if=/dev/zero"])
                 | st.binary(max_size=4), max_size=5)  # fmt: skip
bounded = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def survives(told: Told, line: bytes) -> None:
    """Run a line. Only a `PeerError` may come of it, and nothing may be held beyond the purse."""
    try:
        out = told.run(line)
    except PeerError:
        return
    assert len(out) <= limits.OUTPUT_BYTES_MAX + 64
    assert 0 <= told.purse.bytes_taken <= told.purse.bytes_max


@bounded
@given(typed=st.lists(lines, max_size=4))
@example(typed=[b"yes | f=1"])
@example(typed=[b"f() { f; f; }; f"])
@example(typed=[b"`", b"`", b"$(", b")"])
def test_any_lines(typed: list[bytes]) -> None:
    told = Told(bytes_max=100_000)
    for line in typed:
        survives(told, line)
    told.finish()


@pytest.mark.parametrize("name", sorted(APPLETS))
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(args=words, piped=st.binary(max_size=20))
def test_any_arguments_of_any_applet(name: str, args: list[bytes], piped: bytes) -> None:
    told = Told(bytes_max=200_000)
    quoted = b" ".join(b"'" + arg.replace(b"'", b"") + b"'" for arg in args)
    told.run(b"echo some text > /tmp/f; cd /tmp")
    survives(told, b"printf '%s' '" + piped.replace(b"'", b"") + b"' | " + name.encode() + b" " + quoted)
    survives(told, name.encode() + b" " + quoted)
    told.finish()


def test_every_applet_that_the_host_lists_has_a_row() -> None:
    assert {*HOST.applets, *HOST.programs} <= APPLETS.keys()


@pytest.mark.parametrize(
    "line",
    [
        b"(" * 10_000, b"{ " * 10_000, b'"' * 10_001, b"'" * 10_001, b"`" * 10_001, b"$(" * 10_000, b"${a:-" * 10_000,
        b'"$(' * 10_000, b"$((" * 10_000, b"((" * 10_000, b"if " * 10_000, b"while " * 10_000, b"! " * 10_000,
        b"case a in a) " * 5_000, b"f() " * 10_000, b"eval " * 10_000, b"$" * 10_000, b"\\" * 10_001,
        b"echo $((" + b"(" * 10_000 + b"1" + b")" * 10_000 + b"))", b"[ " + b"( " * 10_000 + b"]",
        b"expr " + b"( " * 10_000, b"grep '" + b"\\(" * 5_000 + b"' /etc/passwd", b"x" + b"=$x" * 10_000,
        b"echo " + b"*" * 10_000, b"echo /" + b"*/" * 10_000, b"awk '" + b"{" * 10_000 + b"'", b";" * 10_000,
        b"|" * 10_000, b"< " * 10_000, b"<<E " * 5_000, b"# " * 10_000, b"echo " + b"a " * 20_000,
    ],
    ids=lambda line: line[:12].decode(),
)  # fmt: skip
def test_ten_thousand_levels(line: bytes) -> None:
    survives(Told(), line)


@pytest.mark.parametrize(
    "line",
    [
        "while true; do :; done", "until false; do echo x; done", "f() { f; }; f", "f() { f | f; }; f", "yes",
        "x=a; while :; do x=$x$x; done", "echo . >> s; . ./s; echo . ./s > s; . ./s", "echo 'sh s' > s; sh s",
        "while :; do cat /bin/busybox | md5sum; done", "for i in `seq 60000`; do :; done", "eval $(yes eval)",
        "x='eval $x'; eval $x", "while :; do echo $((i=i+1)) > f$i; done", "cat /dev/zero | tail -c 1",
        "while :; do head -c 60000 /dev/zero; done >> big", "set -- `seq 5000`; for a; do for b; do :; done; done",
        "x=`cat /bin/busybox`; y=${x//?/ab}", "echo aaaaaaaaaaaaaaaaaaaaaaaaaaaa | grep -E '(a*)*(a*)*(a*)*b'",
        "x=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; case $x in *a*a*a*a*a*a*a*b) ;; esac",
        "seq 1 65000 | while read a; do :; done", "find / -exec find / -name a {} ';'",
    ],
)  # fmt: skip
def test_what_never_ends_is_ended(line: str) -> None:
    told = Told()
    told.run("cd /tmp")
    survives(told, line.encode())
    assert told.run("echo alive") == "alive\n"


@pytest.mark.parametrize(
    "word", ["busybox", "nohup", "time", "env", "xargs", "command", "exec", "eval", "sudo", "nice", "timeout 1",
             "sh -c", ".", "find -exec", "su -c", "watch", "setsid", "! ", "function", "test", "export", "let", "if"]
)  # fmt: skip
def test_what_starts_what_starts_what(word: str) -> None:
    told = Told()
    survives(told, (f"echo a | {word} " + f"{word} " * 3000 + "true").encode())
    assert told.run("echo alive") == "alive\n"


@pytest.mark.parametrize(
    "line",
    [
        "export x$i=" + "a" * 4000,
        "set -- `seq 4000`; eval y$i='$*'",
        "eval \"f$i() { echo $(seq 1000 | tr '\\n' ' '); }\"",
        "cat <<E$i",
    ],
)
def test_what_a_shell_remembers_comes_out_of_the_purse(line: str) -> None:
    told = Told(bytes_max=50_000)
    said = ""
    for number in range(100):
        try:
            told.run(f"i={number}")
            told.run(line)
            told.run("x" * 2000)
        except PeerError as error:
            said = str(error)
            break
        assert told.purse.bytes_taken <= 50_000
    assert said == "the session holds too many bytes"


def test_a_pipe_gives_back() -> None:
    told = Told(bytes_max=100_000)
    assert told.run("head -c 60000 /dev/zero | wc -c") == "60000\n"
    assert told.run("x=`head -c 60000 /dev/zero | cat`; seq 3 | sort | cat") == "1\n2\n3\n"
    assert told.run("head -c 60000 /dev/zero | cat | wc -c; echo `yes` | wc -c")
    assert told.purse.bytes_taken < 1000
    told.purse.close()


def test_a_line() -> None:
    told = Told()
    told.run(b"echo " + b"x" * (limits.LINE_BYTES_MAX - 5))
    with pytest.raises(PeerError, match="shell line over"):
        told.run(b"echo " + b"x" * (limits.LINE_BYTES_MAX - 4))


def test_what_a_line_continues() -> None:
    told = Told()
    told.run("cat <<E | wc -l")
    for _ in range(limits.CONTINUATION_LINES_MAX * 2):
        assert told.run("") == ""
    assert told.run("E").strip() == str(limits.CONTINUATION_LINES_MAX * 2), "the lines of a document are not counted"
    told.run("(")
    for _ in range(limits.CONTINUATION_LINES_MAX):
        told.run("")
    with pytest.raises(PeerError, match="shell command over"):
        told.run("")


def test_a_document() -> None:
    for end in ("E", "xx"):
        told = Told(bytes_max=40 << 20)
        told.run("cat > /tmp/f <<'E'")
        for _ in range(limits.DOCUMENT_BYTES_MAX // 65_536 - 1):
            told.run(b"x" * 65_535)
        told.run(b"x" * 65_534)  # the next may have one byte
        with pytest.raises(PeerError, match="here-document over") if end == "xx" else nullcontext():
            told.run(end)
        assert [(kept.partial, len(kept.data) > limits.DOCUMENT_BYTES_MAX - 100) for kept in told.finish()] == [
            (end == "xx", True)
        ]


def test_a_document_that_is_changed_on_its_way() -> None:
    told = Told()
    told.run("cat <<-E")
    for _ in range(3):
        told.run(b"x" * 20_000)
    with pytest.raises(PeerError, match="shell line over"):
        told.run(b"x" * 20_000)
    for line, said in ((b"x", "x"), (b"$x", "")):
        told = Told()
        told.run("cat <<E | head -c 1")
        for _ in range(4):
            told.run(line * 10_000)
        assert told.run("E").endswith(said or "out of memory\n")


def test_a_command_with_large_documents() -> None:
    names = [f"E{number}" for number in range(limits.LARGE_READ_AGAIN_MAX + 1)]
    told = Told()
    told.run("cat " + " ".join(f"<<{name}" for name in names))
    for _ in range(2):
        told.run(b"x" * 65_000)
    for name in names[:-1]:
        assert told.run(name) == ""
    with pytest.raises(PeerError, match="goes on behind"):
        told.run(names[-1])


def test_the_end_of_a_document() -> None:
    for text, printed_ in (("E E\n\tE\n EE\nE", "E E\n\tE\n EE\n"), ("E", ""), ("\nE", "\n")):
        told = Told()
        told.run("cat <<E")
        assert "".join(map(told.run, text.split("\n"))) == printed_
    told = Told()
    told.run("cat <<-E; cat <<F")
    assert "".join(map(told.run, ("\ta\tb", "\t\tE", "\tc", "F"))) == "a\tb\n\tc\n"


def test_nesting() -> None:
    deep = limits.NESTING_LEVELS_MAX
    assert printed("(" * deep + "echo a" + ")" * deep) == "a\n"
    with pytest.raises(PeerError, match="nested more than"):
        printed("(" * (deep + 1) + "echo a" + ")" * (deep + 1))


def test_lines_that_do_not_end() -> None:
    told = Told()
    for _ in range(limits.EXHAUSTED_LINES_MAX):
        assert told.run("while :; do :; done") == "Killed\n"
    with pytest.raises(PeerError, match="do not end"):
        told.run("while :; do :; done")


def test_what_runs_for_ever_in_the_background_does_not_stop_the_rest() -> None:
    assert printed("while :; do :; done & echo on") == "on\n"


def test_files() -> None:
    told = Told()
    told.run("cd /tmp")
    assert told.run(f"> {'x' * NAME_BYTES_MAX}") == ""
    assert told.run(f"> {'x' * (NAME_BYTES_MAX + 1)}").endswith("File name too long\n")
    assert told.run(f"> /tmp/{'./' * (PATH_BYTES_MAX // 2)}y").endswith("File name too long\n")
    assert told.run("mkdir -p " + "d/" * (LEVELS_MAX - 1)) == ""
    assert told.run("mkdir -p " + "d/" * LEVELS_MAX).endswith("File name too long\n")
    assert told.run("ln -s a b; ln -s b a; cat a").endswith("Too many levels of symbolic links\n")


def test_how_many_files() -> None:
    told = Told()
    told.run("cd /tmp; for i in `seq 1000`; do > a$i; done; for i in `seq 1000`; do > b$i; done")
    assert told.run(f"for i in `seq {FILES_MAX}`; do > c$i || break; done").endswith("No space left on device\n")
    assert told.run("rm a1; > a1") == ""


def test_a_full_purse() -> None:
    told = Told(bytes_max=10_000)
    assert told.run("cd /tmp; head -c 9000 /dev/zero > a; echo $?") == "0\n"
    assert "No space left on device" in told.run("head -c 9000 /dev/zero > b")
    assert told.run("rm a; head -c 9000 /dev/zero > b; echo $?") == "0\n"
    assert told.purse.bytes_taken <= 10_000
    told.purse.close()
    assert told.purse.bytes_taken == 0


def test_a_dump_in_a_form_of_ones_own_says_so_much_and_no_more() -> None:
    most = _dump.SAID_BYTES_MAX
    assert len(_dump.dumped(bytes(most), b'/1 "%c"')) == min(most, _dump.TURNS_MAX)
    assert len(_dump.dumped(bytes(2048), b'/1 "%999x"')) == most
    assert len(_dump.dumped(bytes(1), b'9999 "a" ' * 9 + b'"%x"')) == 9 * 9999 + 1
    assert len(_dump.dumped(bytes(1), b'9999 "a" ' * 11 + b'"%x"')) == _dump.TURNS_MAX
    assert _dump.dumped(b"a", b'1 "b"' * _dump.UNITS_MAX + b'"%c"') == b""
    assert _dump.dumped(b"a", b'1 "b"' * (_dump.UNITS_MAX - 1) + b'"%c"') == b"b" * (_dump.UNITS_MAX - 1) + b"a"
