"""What an address left on a disk: there for its next session, for nobody else, and within limits."""

from __future__ import annotations

import pytest

from eudaemon.wire import Purse
from eudaemon.world import left
from eudaemon.world.files import Directory, FileError, Files, Fixed, Link, Written
from eudaemon.world.left import CONTENT_BYTES_MAX, PATHS_MAX, SHELF_BYTES_MAX, Left, Shelf

WRITABLE = frozenset((b"/",))


def root() -> Directory:
    made = Directory()
    made.names[b"etc"] = Directory()
    made.names[b"etc"].names[b"passwd"] = Fixed(b"root\n")  # type: ignore[union-attr]
    return made


ROOT = root()


def session(kept: Left, *, address: str = "198.51.100.7", disk: str = "d", bytes_max: int = 8 << 20) -> Files:
    return Files(ROOT, WRITABLE, Purse(bytes_max), kept.shelf(disk, address))


def write(files: Files, path: bytes, data: bytes, at_s: float = 1.0) -> None:
    file = files.create(path, at_s)
    files.truncate(file)
    files.append(file, data, at_s)


def read(files: Files, path: bytes) -> bytes | None:
    node = files.find(path)
    return bytes(node.data) if isinstance(node, Written) else None


def test_the_next_session_finds_what_one_left() -> None:
    kept = Left()
    first = session(kept)
    first.make_directory(b"/new", 1.0)
    write(first, b"/new/a", b"abc")
    first.make_link(b"/l", b"/new/a", 1.0)
    first.remove(b"/etc/passwd")
    write(first, b"/gone", b"x")
    first.leave()
    first.remove(b"/gone")
    first.leave()
    second = session(kept)
    assert second.names(b"/") == [b"etc", b"l", b"new"]
    assert read(second, b"/l") == b"abc"
    assert isinstance(second.find(b"/l", follow=False), Link)
    assert second.find(b"/etc/passwd") is None
    node = second.get(b"/new/a")
    assert isinstance(node, Written)
    assert node.kept  # it was, when it came
    for other in (session(kept, address="198.51.100.8"), session(kept, disk="e"), Files(ROOT, WRITABLE, Purse(9))):
        assert other.names(b"/") == [b"etc"]


def test_sessions_at_the_same_time_see_each_others_files_and_keep_their_own() -> None:
    kept = Left()
    first, second = session(kept), session(kept)
    write(first, b"/a", b"one")
    write(first, b"/b", b"one")
    first.leave()
    write(second, b"/b", b"two", 2.0)
    second.take_up()
    assert (read(second, b"/a"), read(second, b"/b")) == (b"one", b"two")
    second.leave()
    assert read(first, b"/b") == b"one"
    assert read(session(kept), b"/b") == b"two"


def test_what_is_left_as_it_was_costs_no_copy() -> None:
    kept = Left()
    first = session(kept)
    write(first, b"/a", b"abc")
    first.leave()
    held = kept.shelf("d", "198.51.100.7")._entries[b"/a"]
    first.leave()
    again = session(kept)
    again.leave()
    assert kept.shelf("d", "198.51.100.7")._entries[b"/a"] is held
    write(again, b"/a", b"abd", 2.0)
    again.leave()
    assert read(session(kept), b"/a") == b"abd"


@pytest.mark.parametrize("past", [0, 1])
def test_of_a_large_file_the_size_is_left(past: int) -> None:
    kept = Left()
    first = session(kept)
    write(first, b"/a", bytes(CONTENT_BYTES_MAX + past))
    first.leave()
    node = session(kept).get(b"/a")
    assert isinstance(node, Written)
    assert (len(node.data), node.missing) == ((0, CONTENT_BYTES_MAX + 1) if past else (CONTENT_BYTES_MAX, 0))


def test_so_many_paths_and_bytes_of_an_address() -> None:
    kept = Left()
    first = session(kept)
    for number in range(PATHS_MAX + 1):
        write(first, b"/%d" % number, b"")
    first.leave()
    assert len(session(kept).names(b"/")) == 1 + PATHS_MAX
    other = session(kept, disk="e")
    for number in range(3):
        write(other, b"/%d" % number, bytes(CONTENT_BYTES_MAX))
        other.leave()
    shelf = kept.shelf("e", "198.51.100.7")
    assert shelf.bytes_held <= SHELF_BYTES_MAX
    found = session(kept, disk="e")
    assert [len(read(found, b"/%d" % number) or b"") for number in range(3)] == [CONTENT_BYTES_MAX, 0, 0]


def test_who_left_something_longest_ago_is_forgotten_first() -> None:
    kept = Left(bytes_max=10_000)
    first = session(kept, address="1")
    write(first, b"/a", bytes(4000))
    first.leave()
    for address in ("2", "3"):
        other = session(kept, address=address)
        write(other, b"/a", bytes(4000))
        other.leave()
    assert kept.bytes_held <= 10_000
    assert session(kept, address="1").find(b"/a") is None
    write(first, b"/b", b"")  # its session goes on, and leaves nothing any more
    first.leave()
    assert session(kept, address="1").find(b"/b") is None
    assert session(kept, address="3").find(b"/a") is not None
    shelves = kept._shelves.values()
    assert kept.bytes_held == sum(left._ENTRY_BYTES + shelf.bytes_held for shelf in shelves)


def test_what_a_view_does_not_let_anybody_change_stays_as_it_is() -> None:
    """FTP writes where a device's own shell cannot."""
    kept = Left()
    open_to_all = session(kept)
    open_to_all.remove(b"/etc/passwd")
    write(open_to_all, b"/new", b"x")
    open_to_all.leave()
    closed = Files(ROOT, frozenset(), Purse(9999), kept.shelf("d", "198.51.100.7"))
    assert isinstance(closed.find(b"/etc/passwd"), Fixed)
    assert closed.find(b"/new") is None


def test_a_session_that_may_hold_little_finds_little() -> None:
    kept = Left()
    first = session(kept)
    write(first, b"/a", bytes(5000))
    write(first, b"/b", b"b")
    first.leave()
    poor = session(kept, bytes_max=2000)
    assert (read(poor, b"/a"), read(poor, b"/b")) == (None, b"b")
    poor.remove(b"/b")
    with pytest.raises(FileError):
        poor.get(b"/b")
    assert isinstance(kept.shelf("d", "198.51.100.7"), Shelf)
