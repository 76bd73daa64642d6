"""SFTP and SCP by themselves: what they answer, where their limits are, and that no bytes are a fault of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eudaemon.events.catalogue import CommandEntered, FileRequested
from eudaemon.protocols._base import Keep, Order, Saw, Send
from eudaemon.protocols.ssh import extensions, scp, sftp
from eudaemon.protocols.ssh.fields import Fields, message, number, string
from eudaemon.protocols.ssh.programs import Program
from eudaemon.testing.script import START_S, visit
from eudaemon.wire import PeerError, Purse
from eudaemon.world.files import LEVELS_MAX, Files
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HOST = Host.from_seed(Seed(b"test"), persona="recorder")
BYTES_MAX = 4 << 20


class Far:
    """A program, and what it has said."""

    def __init__(self, kind: str, text: bytes = b"", bytes_max: int = BYTES_MAX, host: Host = HOST) -> None:
        given = visit(host=host, purse=Purse(bytes_max))
        self.purse = given.purse
        self.files = Files(host.tree, host.writable, given.purse)
        program = extensions.OpenSshSftp(given, self.files) if kind == "sftp" else scp.make(given, self.files, text)
        assert program is not None
        self.program: Program = program
        self.out = b""
        self.kept: list[Keep] = []
        self.facts: list[object] = []
        self._note(program.begin(START_S))

    def _note(self, orders: Iterator[Order]) -> None:
        for order in orders:
            match order:
                case Send(data):
                    self.out += data
                case Keep():
                    self.kept.append(order)
                case Saw(fact):
                    self.facts.append(fact)

    def say(self, data: bytes, split: int = 0) -> bytes:
        before = len(self.out)
        step = split or max(1, len(data))
        for at in range(0, len(data), step):
            self._note(self.program.receive(data[at : at + step], START_S))
        return self.out[before:]

    def end(self) -> None:
        self._note(self.program.ended(START_S))

    def ask(self, kind: int, *more: bytes) -> tuple[int, Fields]:
        """Send one request of SFTP; return the answer's kind, and its fields after the request's number."""
        answer = self.say(string(message(kind, number(7), *more)))
        assert int.from_bytes(answer[:4], "big") == len(answer) - 4
        assert answer[5:9] == number(7)
        return answer[4], Fields(answer, 9)

    def status(self, kind: int, *more: bytes) -> int:
        answered, read = self.ask(kind, *more)
        assert answered == sftp.STATUS
        return read.number()

    def open(self, path: bytes, flags: int = 2 | 8 | 16) -> bytes:
        kind, read = self.ask(sftp.OPEN, string(path), number(flags), number(0))
        assert kind == sftp.HANDLE
        return string(read.string())


def size_of(value: int) -> bytes:
    return value.to_bytes(8, "big")


# --- SFTP ------------------------------------------------------------------------------------------


def test_it_says_its_version_and_extensions() -> None:
    answer = Far("sftp").say(string(message(sftp.INIT, number(3))))
    assert answer[4:9] == b"\x02\0\0\0\3"
    assert b"posix-rename@openssh.com" in answer


@pytest.mark.parametrize("split", [0, 1])
def test_pieces_in_any_order_make_the_file(split: int) -> None:
    far = Far("sftp")
    handle = far.open(b"/tmp/x")
    for at, piece in ((6, b"world"), (0, b"hello "), (20, b"!")):
        far.say(string(message(sftp.WRITE, number(1), handle, size_of(at), string(piece))), split)
    assert far.status(sftp.CLOSE, handle) == sftp.OK
    assert far.kept == [Keep(b"hello world" + bytes(9) + b"!", "upload", "/tmp/x")]
    assert far.facts == [FileRequested("write", "/tmp/x")]
    handle = far.open(b"/tmp/x", 1)
    assert far.ask(sftp.READ, handle, size_of(6), number(5))[1].string() == b"world"
    assert far.status(sftp.READ, handle, size_of(21), number(5)) == sftp.EOF
    assert far.status(sftp.WRITE, handle, size_of(0), string(b"x")) == sftp.FAILURE


def test_what_is_overwritten_or_removed_was_kept_before() -> None:
    far = Far("sftp")
    handle = far.open(b"/tmp/x")
    far.status(sftp.WRITE, handle, size_of(0), string(b"first"))
    far.open(b"/tmp/x")  # while the other is still open
    assert [kept.data for kept in far.kept] == [b"first"]
    far.status(sftp.WRITE, handle, size_of(0), string(b"second"))
    assert far.status(sftp.REMOVE, string(b"/tmp/x")) == sftp.OK
    assert [kept.data for kept in far.kept] == [b"first", b"second"]


def test_what_is_not_closed_is_a_part() -> None:
    far = Far("sftp")
    far.status(sftp.WRITE, far.open(b"/tmp/x"), size_of(0), string(b"half"))
    far.end()
    assert far.kept == [Keep(b"half", "upload", "/tmp/x", partial=True)]


def test_what_is_opened_and_not_changed_is_not_kept_again() -> None:
    far = Far("sftp")
    handle = far.open(b"/tmp/x")
    far.status(sftp.WRITE, handle, size_of(0), string(b"once"))
    far.status(sftp.CLOSE, handle)
    for _ in range(3):
        far.status(sftp.CLOSE, far.open(b"/tmp/x", 1 | 2))
    assert [kept.data for kept in far.kept] == [b"once"]


def test_appending_and_exclusive_opening() -> None:
    far = Far("sftp")
    far.status(sftp.CLOSE, far.open(b"/tmp/x"))
    handle = far.open(b"/tmp/x", 2 | 4)
    for piece in (b"a", b"b"):
        far.status(sftp.WRITE, handle, size_of(0), string(piece))
    far.status(sftp.CLOSE, handle)
    assert far.kept[-1].data == b"ab"
    assert far.status(sftp.OPEN, string(b"/tmp/x"), number(2 | 8 | 32), number(0)) == sftp.FAILURE


@pytest.mark.parametrize(
    ("path", "flags", "status"),
    [(b"/nothing", 1, sftp.NO_SUCH_FILE), (b"/nothing", 2, sftp.NO_SUCH_FILE), (b"/tmp", 1, sftp.FAILURE),
     (b"/bin/x", 2 | 8, sftp.FAILURE), (b"/proc/x", 2 | 8, sftp.NO_SUCH_FILE),
     (b"/sys/x", 2 | 8, sftp.PERMISSION_DENIED)],
)  # fmt: skip
def test_what_cannot_be_opened(path: bytes, flags: int, status: int) -> None:
    far = Far("sftp")
    assert far.status(sftp.OPEN, string(path), number(flags), number(0)) == status
    assert far.facts == [FileRequested("write" if flags & 2 else "read", path.decode(), done=False)]


def test_a_full_disk() -> None:
    far = Far("sftp", bytes_max=20_000)
    handle = far.open(b"/tmp/x")
    assert far.status(sftp.WRITE, handle, size_of(0), string(bytes(9000))) == sftp.OK
    assert far.status(sftp.WRITE, handle, size_of(9000), string(bytes(9000))) == sftp.FAILURE
    assert far.status(sftp.WRITE, handle, size_of(2**62), string(b"x")) == sftp.FAILURE
    assert far.status(sftp.CLOSE, handle) == sftp.OK
    assert far.kept[0].data == bytes(9000)


def test_directories_and_links() -> None:
    far = Far("sftp")
    assert far.status(sftp.MKDIR, string(b"d"), number(0)) == sftp.OK
    far.status(sftp.CLOSE, far.open(b"d/x"))
    assert far.status(sftp.RMDIR, string(b"d")) == sftp.FAILURE
    assert far.status(sftp.RMDIR, string(b"d/x")) == sftp.FAILURE
    assert far.status(sftp.REMOVE, string(b"d")) == sftp.FAILURE
    assert far.status(sftp.SYMLINK, string(b"d/x"), string(b"link")) == sftp.OK
    assert far.ask(sftp.READLINK, string(b"link"))[1].rest()[8:11] == b"d/x"
    assert far.ask(sftp.REALPATH, string(b"link"))[1].rest()[4:17] == string(b"/root/d/x")[:13]
    assert far.ask(sftp.LSTAT, string(b"link"))[1].rest()[20:24] == number(0o120777)
    assert far.ask(sftp.STAT, string(b"link"))[1].rest()[20:24] == number(0o100644)
    kind, read = far.ask(sftp.OPENDIR, string(b"/root"))
    handle = string(read.string())
    assert kind == sftp.HANDLE
    kind, read = far.ask(sftp.READDIR, handle)
    count = read.number()
    rows = []
    for _ in range(count):
        rows.append((read.string(), read.string()))
        read.take(32)
    assert [name for name, _ in rows] == [b".", b"..", b"d", b"link"]
    assert rows[2][1].startswith(b"drwxr-xr-x    ? 0        0            4096 Nov 14 22:13 d")
    assert far.status(sftp.READDIR, handle) == sftp.EOF


def test_a_long_directory_is_told_in_parts() -> None:
    far = Far("sftp")
    for name in range(sftp.NAMES_MAX):
        far.files.make_directory(b"/tmp/%d" % name, START_S)
    handle = string(far.ask(sftp.OPENDIR, string(b"/tmp"))[1].string())
    assert [far.ask(sftp.READDIR, handle)[1].number() for _ in range(2)] == [sftp.NAMES_MAX, 2]
    assert far.status(sftp.READDIR, handle) == sftp.EOF


def test_renaming() -> None:
    far = Far("sftp")
    for name in (b"/tmp/a", b"/tmp/b"):
        handle = far.open(name)
        far.status(sftp.WRITE, handle, size_of(0), string(name))
        far.status(sftp.CLOSE, handle)
    assert far.status(sftp.RENAME, string(b"/tmp/a"), string(b"/tmp/b")) == sftp.FAILURE
    over = string(b"posix-rename@openssh.com")
    assert far.status(sftp.EXTENDED, over, string(b"/tmp/a"), string(b"/bin/a")) == sftp.FAILURE
    assert far.status(sftp.EXTENDED, over, string(b"/tmp/a"), string(b"/tmp/b")) == sftp.OK
    assert far.ask(sftp.READ, far.open(b"/tmp/b", 1), size_of(0), number(9))[1].string() == b"/tmp/a"
    assert far.status(sftp.STAT, string(b"/tmp/a")) == sftp.NO_SUCH_FILE
    assert far.status(sftp.EXTENDED, string(b"unheard-of")) == sftp.UNSUPPORTED
    assert far.status(99) == sftp.UNSUPPORTED


def test_size_and_mode_are_changed() -> None:
    far = Far("sftp")
    far.status(sftp.CLOSE, far.open(b"/tmp/x"))
    assert far.status(sftp.SETSTAT, string(b"/tmp/x"), number(1 | 4), size_of(5), number(0o755)) == sftp.OK
    read = far.ask(sftp.STAT, string(b"/tmp/x"))[1]
    assert (read.number(), read.long(), read.take(8), read.number()) == (15, 5, bytes(8), 0o100755)
    assert far.status(sftp.SETSTAT, string(b"/bin/busybox"), number(4), number(0o777)) == sftp.FAILURE


def test_how_much_is_read_at_once() -> None:
    far = Far("sftp")
    data = far.ask(sftp.READ, far.open(b"/bin/busybox", 1), size_of(0), number(2**31))[1].string()
    assert len(data) == sftp.READ_BYTES_MAX
    assert data[:4] == b"\x7fELF"


def test_how_many_files_may_be_open() -> None:
    far = Far("sftp")
    handles = [far.open(b"/bin/busybox", 1) for _ in range(sftp.HANDLES_MAX)]
    assert far.status(sftp.OPEN, string(b"/bin/busybox"), number(1), number(0)) == sftp.FAILURE
    assert far.status(sftp.OPENDIR, string(b"/")) == sftp.FAILURE
    far.status(sftp.CLOSE, handles[0])
    far.open(b"/bin/busybox", 1)
    assert far.status(sftp.CLOSE, handles[0]) == sftp.FAILURE


def test_how_long_a_message_may_be() -> None:
    far = Far("sftp")
    far.say(number(sftp.MESSAGE_BYTES_MAX) + bytes(9))
    for length in (0, sftp.MESSAGE_BYTES_MAX + 1):
        with pytest.raises(PeerError, match="an SFTP message that is empty, or over"):
            Far("sftp").say(number(length))


# --- SCP -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [b"scp -t /tmp", b"scp -v -p -t -- /tmp", b"/usr/bin/scp -pt '/tmp'", b"scp -rt /tmp"],
)
def test_commands_that_start_it_to_take(text: bytes) -> None:
    far = Far("scp", text)
    assert isinstance(far.program, scp.Sink)
    assert far.out == b"\0"
    assert far.facts == [CommandEntered(text.decode())]
    assert far.say(b"T1 0 1 0\n") == b"\0"
    assert far.say(b"C0755 5 bot\nhello\0") == b"\0\0"
    assert far.kept == [Keep(b"hello", "upload", "/tmp/bot")]
    assert far.files.get(b"/tmp/bot").mode == 0o755


@pytest.mark.parametrize("text", [b"scp", b"scp a b", b"scp -tf x", b"scpx -t /tmp", b"echo scp -t", b"scp -t '", b""])
def test_commands_that_do_not(text: bytes) -> None:
    assert scp.make(visit(host=HOST), Files(HOST.tree, HOST.writable, Purse(9999)), text) is None


@pytest.mark.parametrize("split", [0, 1])
def test_directories_are_made_and_left(split: int) -> None:
    far = Far("scp", b"scp -r -t /tmp")
    far.say(b"D0755 0 d\nC0644 1 a\nA\0D0700 0 e\nC0644 0 b\n\0E\nE\nC0644 2 c\nCC\0", split)
    assert far.out == b"\0" * 11
    assert [(kept.name, kept.data) for kept in far.kept] == [("/tmp/d/a", b"A"), ("/tmp/d/e/b", b""), ("/tmp/c", b"CC")]


@pytest.mark.parametrize(
    "line",
    [b"C0644 1 ../x\n", b"C0644 1 ..\n", b"C0644 -1 x\n", b"C0644 1\n", b"C06x4 1 x\n", b"D0755 0 .\n", b"X\n", b"\n",
     b"C0644 9999999999999 x\n"],
)  # fmt: skip
def test_lines_that_are_refused(line: bytes) -> None:
    far = Far("scp", b"scp -t /tmp")
    assert far.say(line)[:20] == b"\x01scp: protocol error"
    assert far.program.status == 1
    assert far.say(b"C0644 1 x\n") == b""


def test_where_nothing_can_be_written() -> None:
    far = Far("scp", b"scp -t /bin")
    assert far.say(b"C0644 1 x\n") == b"\x01scp: /bin/x: Read-only file system\n"
    assert far.facts[1:] == [FileRequested("write", "/bin/x", done=False)]
    assert Far("scp", b"scp -t /nothing/x").out.endswith(b"No such file or directory\n")


def test_a_full_disk_and_a_torn_file() -> None:
    far = Far("scp", b"scp -t /tmp", bytes_max=5000)
    far.say(b"C0644 9000 x\n" + bytes(4000))
    assert far.say(bytes(5000) + b"\0") == b"\x01scp: /tmp/x: No space left on device\n"
    assert far.kept == [Keep(bytes(4000), "upload", "/tmp/x", partial=True)]
    far = Far("scp", b"scp -t /tmp")
    far.say(b"C0644 9 x\n1234")
    far.end()
    assert far.kept == [Keep(b"1234", "upload", "/tmp/x", partial=True)]
    far = Far("scp", b"scp -t /tmp")
    far.say(b"C0644 4 x\n1234\x01scp: gone\n")
    assert far.kept == [Keep(b"1234", "upload", "/tmp/x", partial=True)]


def test_how_long_a_line_and_how_deep_a_folder_may_be() -> None:
    far = Far("scp", b"scp -t /tmp")
    far.say(b"C" * scp.LINE_BYTES_MAX)
    with pytest.raises(PeerError, match="an SCP line over"):
        far.say(b"C")
    far = Far("scp", b"scp -r -t /tmp")
    assert far.say(b"D0755 0 d\n" * (LEVELS_MAX - 1)) == b"\0" * (LEVELS_MAX - 1)
    assert far.say(b"D0755 0 d\n") == b"\x01scp: /tmp" + b"/d" * (LEVELS_MAX - 1) + b": File name too long\n"


def test_giving() -> None:
    far = Far("scp", b"scp -f /etc/issue /etc/passwd /tmp")
    assert far.say(b"\0") == b"C0644 0 issue\n"
    assert far.say(b"\0") == b"\0"
    named = far.say(b"\0")
    content = far.say(b"\0")
    assert named == b"C0644 %d passwd\n" % (len(content) - 1)
    assert content.startswith(b"root:x:0:0:")
    assert far.say(b"\0") == b"\x01scp: /tmp: not a regular file\n"
    assert far.program.status == 1


# --- whatever is sent ------------------------------------------------------------------------------

_KINDS = st.integers(0, 21) | st.sampled_from([200, 255])
_PATHS = st.sampled_from(
    [b"/tmp/a", b"/tmp/a/b", b"/", b"..", b"/bin/busybox", b"/dev/null", b"", b"/tmp/" + b"x" * 300]
)
_PARTS = st.one_of(
    st.binary(max_size=12), _PATHS.map(string), st.integers(0, 2**32 - 1).map(number), st.integers(0, 3).map(number),
    st.integers(0, 3).map(lambda at: string(number(at))), st.just(bytes(8)), st.just(b"\xff" * 8),
)  # fmt: skip
_REQUESTS = st.tuples(_KINDS, st.lists(_PARTS, max_size=6)).map(
    lambda drawn: string(message(drawn[0], number(1), *drawn[1]))
)
bounded = settings(max_examples=200, deadline=None)


@bounded
@given(said=st.lists(_REQUESTS, max_size=12), size=st.integers(1, 50))
def test_no_request_is_a_fault_of_ours(said: list[bytes], size: int) -> None:
    far = Far("sftp", bytes_max=100_000)
    with suppress(PeerError):
        for request in said:
            far.say(request, size)
    far.end()
    far.purse.close()


@bounded
@given(
    said=st.lists(
        st.sampled_from([b"C0644 3 x\n", b"D0755 0 d\n", b"E\n", b"T1 0 1 0\n", b"\0", b"abc", b"\x01", b"\n", b"C"])
        | st.binary(max_size=5),
        max_size=20,
    ).map(b"".join),
    text=st.sampled_from(
        [b"scp -t /tmp", b"scp -r -t /tmp/x", b"scp -f /etc/passwd /bin/busybox", b"scp -t /dev/null"]
    ),
    size=st.integers(1, 9),
)
def test_no_bytes_to_scp_are_a_fault_of_ours(said: bytes, text: bytes, size: int) -> None:
    whole, pieces = Far("scp", text), Far("scp", text)
    for far, step in ((whole, 0), (pieces, size)):
        with suppress(PeerError):
            far.say(said, step)
        far.end()
        far.purse.close()
    assert (whole.out, whole.kept, whole.facts) == (pieces.out, pieces.kept, pieces.facts)
