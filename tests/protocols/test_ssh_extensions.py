"""SFTP's extensions: which a version of OpenSSH announces, and what it answers."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eudaemon.protocols.ssh import extensions, sftp
from eudaemon.protocols.ssh.fields import Fields, message, number, string
from eudaemon.protocols.ssh.products import product_of
from eudaemon.testing.script import START_S
from eudaemon.wire import PeerError, Purse
from eudaemon.world.files import Files
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from eudaemon.world.shell import Print, Shell
from protocols.test_ssh_files import Far, size_of


def host_with(software: str, persona: str) -> Host:
    hosts = (Host.from_seed(Seed(b"%d" % number_), persona=persona) for number_ in range(60))
    return next(host for host in hosts if product_of(host).software == software)


OLD = host_with("OpenSSH_7.1", "storage")
NEW = host_with("dropbear_2024.86", "gateway")
FIRST = (b"posix-rename@openssh.com", b"statvfs@openssh.com", b"fstatvfs@openssh.com", b"hardlink@openssh.com",
         b"fsync@openssh.com")  # fmt: skip
LATER = (b"lsetstat@openssh.com", b"limits@openssh.com", b"expand-path@openssh.com", b"copy-data", b"home-directory",
         b"users-groups-by-id@openssh.com")  # fmt: skip


def ask(far: Far, name: bytes, *more: bytes) -> tuple[int, Fields]:
    return far.ask(sftp.EXTENDED, string(name), *more)


def status(far: Far, name: bytes, *more: bytes) -> int:
    return far.status(sftp.EXTENDED, string(name), *more)


def written(far: Far, path: bytes, data: bytes) -> bytes:
    handle = far.open(path, 1 | 2 | 8 | 16)
    assert far.status(sftp.WRITE, handle, size_of(0), string(data)) == sftp.OK
    return handle


def held(far: Far, path: bytes) -> bytes:
    return far.ask(sftp.READ, far.open(path, 1), size_of(0), number(99))[1].string()


@pytest.mark.parametrize(("software", "persona", "names"), [
    ("OpenSSH_7.1", "storage", FIRST), ("OpenSSH_7.9", "storage", FIRST), ("OpenSSH_8.4", "storage", FIRST + LATER[:1]),
    ("dropbear_2018.76", "gateway", FIRST), ("dropbear_2022.83", "gateway", FIRST + LATER)])  # fmt: skip
def test_each_version_announces_its_own(software: str, persona: str, names: tuple[bytes, ...]) -> None:
    far = Far("sftp", host=host_with(software, persona))
    read = Fields(far.say(string(message(sftp.INIT, number(3)))), 9)
    said = [(read.string(), read.string()) for _ in names]
    assert said == [(name, b"2" if b"statvfs" in name else b"1") for name in names]
    with pytest.raises(Exception, match="shorter"):
        read.byte()


def test_what_a_version_has_not_it_does_not_know() -> None:
    for name in LATER:
        assert status(Far("sftp", host=OLD), name, string(b"/tmp")) == sftp.UNSUPPORTED


@pytest.mark.parametrize("path", [b"/tmp", b"/", b"/tmp/file", b"/proc"])
def test_the_disk_is_as_large_as_df_says(path: bytes) -> None:
    far = Far("sftp", host=NEW)
    handle = written(far, b"/tmp/file", b"x")
    kind, read = ask(far, b"statvfs@openssh.com", string(path))
    assert kind == sftp.EXTENDED_REPLY
    block, fragment, blocks, free, available, *_, flags, name_max = struct.unpack(">11Q", read.take(88))
    assert (block, fragment, free, name_max) == (4096, 4096, available, 255)
    assert 0 <= free <= blocks
    shell = Shell(NEW, purse=Purse(1 << 20), seed=Seed(b"df"))
    printed = b"".join(act.data for act in shell.run(b"df", START_S) if isinstance(act, Print))
    mounts = {line.split()[-1]: line.split() for line in printed.splitlines()[1:]}
    where = b"/tmp" if path.startswith(b"/tmp") else path
    if where in mounts:
        assert blocks == int(mounts[where][1]) // 4
        assert abs(free - int(mounts[where][3]) // 4) <= 1
    assert flags & 1 == (not Files(NEW.tree, NEW.writable, Purse(0)).writable(path) and path != b"/proc")
    if path == b"/tmp/file":
        assert ask(far, b"fstatvfs@openssh.com", handle)[1].take(88) == ask(far, b"statvfs@openssh.com", string(path))[
            1
        ].take(88)
    assert status(far, b"statvfs@openssh.com", string(b"/nothing")) == sftp.NO_SUCH_FILE
    assert status(far, b"fstatvfs@openssh.com", string(b"none")) == sftp.FAILURE


def test_hard_links_and_what_is_synchronised() -> None:
    far = Far("sftp", host=OLD)
    handle = written(far, b"/tmp/a", b"once")
    assert status(far, b"fsync@openssh.com", handle) == sftp.OK
    assert status(far, b"fsync@openssh.com", string(b"none")) == sftp.FAILURE
    assert status(far, b"hardlink@openssh.com", string(b"/tmp/a"), string(b"/tmp/b")) == sftp.OK
    assert held(far, b"/tmp/b") == b"once"
    cases = (
        (b"/tmp/a", b"/tmp/b", sftp.FAILURE), (b"/nothing", b"/tmp/c", sftp.NO_SUCH_FILE),
        (b"/tmp", b"/tmp/c", sftp.PERMISSION_DENIED), (b"/tmp/a", b"/proc/a", sftp.NO_SUCH_FILE),
    )  # fmt: skip
    for old, new, answer in cases:
        assert status(far, b"hardlink@openssh.com", string(old), string(new)) == answer, (old, new)
    assert far.status(sftp.SYMLINK, string(b"a"), string(b"/tmp/l")) == sftp.OK
    for old, new in ((b"/tmp/l", b"/tmp/m"), (b"/etc/passwd", b"/tmp/p")):
        assert status(far, b"hardlink@openssh.com", string(old), string(new)) == sftp.OK
    assert held(far, b"/tmp/m") == b"once"
    assert held(far, b"/tmp/p").startswith(b"root:")
    for name in (b"/tmp/a", b"/tmp/b", b"/tmp/l", b"/tmp/m", b"/tmp/p"):
        assert far.status(sftp.REMOVE, string(name)) == sftp.OK
    far.end()


def test_limits() -> None:
    kind, read = ask(Far("sftp", host=NEW), b"limits@openssh.com")
    assert (kind, struct.unpack(">4Q", read.take(32))) == (sftp.EXTENDED_REPLY, (262_144, 261_120, 261_120, 1019))


@pytest.mark.parametrize(("at", "count", "to", "told"), [
    (0, 0, 0, b"0123456789"), (3, 0, 2, b"ab3456789"), (2, 3, 1, b"a234"), (99, 0, 0, b"abcd"[:4])])  # fmt: skip
def test_data_is_copied_from_file_to_file(at: int, count: int, to: int, told: bytes) -> None:
    far = Far("sftp", host=NEW)
    source, target = written(far, b"/tmp/a", b"0123456789"), written(far, b"/tmp/b", b"abcd")
    assert status(far, b"copy-data", source, size_of(at), size_of(count), target, size_of(to)) == sftp.OK
    assert held(far, b"/tmp/b") == told
    assert status(far, b"copy-data", source, size_of(0), size_of(0), source, size_of(20)) == sftp.FAILURE
    reading = far.open(b"/tmp/b", 1)
    assert status(far, b"copy-data", source, size_of(0), size_of(0), reading, size_of(0)) == sftp.FAILURE


def test_how_much_is_copied_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "COPIED_BYTES_MAX", 9)
    far = Far("sftp", host=NEW)
    source, target = written(far, b"/tmp/a", b"0123456789"), written(far, b"/tmp/b", b"")
    assert status(far, b"copy-data", source, size_of(0), size_of(0), target, size_of(0)) == sftp.FAILURE
    assert status(far, b"copy-data", source, size_of(1), size_of(0), target, size_of(0)) == sftp.OK


@pytest.mark.parametrize(("path", "told"), [
    (b"~", b"/root"), (b"~/x/..//y", b"/root/y"), (b"~root", b"/root"), (b"y", b"/root/y"), (b"/tmp/../etc", b"/etc"),
    (b"", b"/root"),
])  # fmt: skip
def test_paths_are_expanded(path: bytes, told: bytes) -> None:
    far = Far("sftp", host=NEW)
    (home,) = [line.split(b":")[5] for line in held_rows(far) if line.startswith(b"root:")]
    far.status(sftp.MKDIR, string(home + b"/x"), number(0))
    kind, read = ask(far, b"expand-path@openssh.com", string(path))
    assert (kind, read.number(), read.string()) == (sftp.NAME, 1, told.replace(b"/root", home))
    assert status(far, b"expand-path@openssh.com", string(b"~nobody-at-all")) == sftp.NO_SUCH_FILE


def held_rows(far: Far) -> list[bytes]:
    return far.ask(sftp.READ, far.open(b"/etc/passwd", 1), size_of(0), number(9999))[1].string().splitlines()


def test_who_is_who(monkeypatch: pytest.MonkeyPatch) -> None:
    far = Far("sftp", host=NEW)
    kind, read = ask(far, b"home-directory", string(b"root"))
    assert (kind, read.number(), read.string()[:1]) == (sftp.NAME, 1, b"/")
    assert status(far, b"home-directory", string(b"nobody-at-all")) == sftp.FAILURE
    ids = number(0) + number(4242)
    kind, read = ask(far, b"users-groups-by-id@openssh.com", string(ids), string(number(0)))
    assert (kind, read.string(), read.string()) == (
        sftp.EXTENDED_REPLY, string(b"root") + string(b""), string(b"root"))  # fmt: skip
    monkeypatch.setattr(extensions, "IDS_MAX", 2)
    _, read = ask(far, b"users-groups-by-id@openssh.com", string(number(0) * 3), string(b""))
    assert read.string() == string(b"root") * 2


@given(st.sampled_from(FIRST + LATER), st.lists(st.binary(max_size=9).map(string) | st.binary(max_size=9), max_size=6))
@settings(max_examples=200, deadline=None)
def test_whatever_is_asked_is_no_fault_of_ours(name: bytes, more: list[bytes]) -> None:
    far = Far("sftp", host=NEW)
    handle = written(far, b"/tmp/a", b"once")
    with contextlib.suppress(PeerError):
        far.say(string(message(sftp.EXTENDED, number(7), string(name), handle, *more)))
        far.say(string(message(sftp.EXTENDED, number(7), string(name), string(b"/tmp/a"), *more)))
    far.end()
