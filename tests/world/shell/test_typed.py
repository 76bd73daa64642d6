"""What is typed behind a command that reads its standard input: it is the command's, and no line of the shell."""

from __future__ import annotations

import pytest

from eudaemon.wire import PeerError, Purse
from eudaemon.world.seed import Seed
from eudaemon.world.shell import Listen, Shell
from eudaemon.world.shell.limits import TYPED_BYTES_MAX
from eudaemon.world.shell.streams import Typed
from world.shell.told import AT_S, HOST, Told


@pytest.mark.parametrize(
    "text",
    [
        "cat > /tmp/x", "cat - > x", "cd /tmp && cat >x; chmod +x x", "/bin/busybox cat >x", "tee x", "tee x >a",
        "dd of=/tmp/x", "dd of=x bs=1k", "base64 -d > x", "gunzip -c > x", "tar xz", "tar xzf -",
        "while read i; do echo $i; done", "(cat)", "if true; then cat; fi", "passwd", "chpasswd", "passwd root",
        "crontab -", "xargs rm", "head -c 100", "head -n 5 > x", "wc -c", "sed s/a/b/", "grep x", "id\ncat > x",
        "cat | base64 -d > x", "x=$(cat)", "cat /dev/stdin", "cat < /dev/tty", "f() { cat; }; f", "awk 1", "vi x",
    ],
)  # fmt: skip
def test_what_reads_its_input(text: str) -> None:
    told = Told()
    told.run("cd /tmp")
    told.run(text)
    assert told.listening


@pytest.mark.parametrize(
    "text",
    [
        "", "id", "cat /proc/cpuinfo", "cat < x", "echo a | cat > x", "echo root:x | chpasswd", "sh x.sh", "sh -c id",
        "dd if=a of=b", "base64 -d x", "tar xzf x.tgz", "echo a | while read i; do echo $i; done", "cat <<E\na\nE",
        "sed s/a/b/ x", "grep root /etc/passwd", "head -n 5 x", "f() { cat; }", "cat 'unfinished", "wget -qO- a | sh",
        "uname -a; nproc; free -m", "for i in 1 2; do echo $i; done", "if (", "wc -l /etc/passwd", "crontab -l",
        "cat < /dev/null", "cat &", "awk 'BEGIN { print 1 }'", "sh",
    ],
)  # fmt: skip
def test_what_does_not(text: str) -> None:
    told = Told()
    told.run("cd /tmp")
    told.run(text)
    assert not told.listening
    assert told.run("echo on").endswith(("on\n", "")), "what is typed next is the shell's"


def typed(*lines: str, ended: bool = True) -> Told:
    told = Told()
    told.run("cd /tmp")
    for line in lines:
        told.run(line)
    if ended:
        told.end()
    return told


@pytest.mark.parametrize(
    ("lines", "holds"),
    [
        (("cat > f", "one", "", "two"), b"one\n\ntwo\n"),
        (("echo zero > f; cat >> f", "one"), b"zero\none\n"),
        (("tee f", "reboot", "exit"), b"reboot\nexit\n"),
        (("base64 -d > f", "YWJj", "ZGVm"), b"abcdef"),
        (("xxd -r -p > f", "6162", "00ff"), b"ab\0\xff"),
        (("dd of=f", "one"), b"one\n"),
        (("cat | tr a-z A-Z > f", "one"), b"ONE\n"),
        (("while read l; do echo \"<$l>\" >> f; done", "a b", "c"), b"<a b>\n<c>\n"),
        (("sed s/o/0/g > f", "foo"), b"f00\n"),
        (("x=$(cat); echo $x > f", "a", "b"), b"a b\n"),
        (("(echo a; cat) > f", "b"), b"a\nb\n"),
        (("cat > f < /dev/tty", "a"), b"a\n"),
    ],
)  # fmt: skip
def test_what_is_typed_is_what_the_file_holds(lines: tuple[str, ...], holds: bytes) -> None:
    told = typed(*lines)
    assert not told.listening
    assert [kept.data for kept in told.finish()] == [holds], "however short it is, for it stands in no event"


def test_what_is_copied_is_shown_line_by_line() -> None:
    told = typed("tee f", ended=False)
    assert told.run("one") == "one\n"
    assert told.run("two") == "two\n"
    assert told.end() == ""
    assert told.run("cat f -") == "one\ntwo\n"
    assert told.run("three") == "three\n"


def test_an_end_is_for_whoever_reads_and_another_may_read_on() -> None:
    told = typed("cat > a; cat > b", "first")
    told.run("second")
    told.end()
    assert told.run("cat a b") == "first\nsecond\n"


def test_read_takes_a_line_and_leaves_the_next() -> None:
    told = typed("read -p 'name? ' a b; echo \"$b $a\"", ended=False)
    assert told.listening
    assert told.run("one two three") == "two three one\n"
    assert not told.listening
    assert told.run("echo $a") == "one\n"


def test_an_interrupted_command_leaves_what_it_wrote() -> None:
    told = typed("cat > f", "half", ended=False)
    told.interrupt()
    assert told.run("cat f; echo $?").endswith("half\n0\n")
    assert [kept.data for kept in told.finish()] == [b"half\n"]


def test_what_a_command_is_given_has_a_limit() -> None:
    typed = Typed(Purse(2 * TYPED_BYTES_MAX))
    typed.hear(bytes(TYPED_BYTES_MAX))
    with pytest.raises(PeerError, match="bytes for a command"):
        typed.hear(b"x")
    assert len(typed.read(5)) == 5
    typed.hear(b"12345")
    poor = Typed(Purse(3))
    poor.hear(b"abc")
    with pytest.raises(PeerError):
        poor.hear(b"d")
    assert poor.take_back() == b"abc"
    poor.hear(b"def")


def test_a_shell_at_a_pipe_runs_each_command_when_it_is_whole() -> None:
    typed = Typed(purse := Purse(1 << 20), shared=False)
    shell = Shell(HOST, purse=purse, seed=Seed(b"s"), typed=typed)
    run = shell.run(b"bash -s", AT_S)
    said: list[bytes] = []

    def on() -> bool:
        for act in run:
            if isinstance(act, Listen):
                return True
            said.append(getattr(act, "data", b""))
        return False

    assert on()
    for line in (b"cd /tmp\n", b"for i in 1 2; do\n", b"echo $i\n", b"done\n", b"cat > f\n"):
        shell.hear(line)
        assert on()
    assert said == [b"1\n2\n"]
    shell.hear(b"data\n")
    typed.end()
    assert not on()
    assert [kept.data for kept in shell.finish()] == [b"data\n"]
    assert b"echo $i" in said[-1], "the script is kept"
