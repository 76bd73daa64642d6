"""The journal of outputs: nothing is lost, nothing is entered twice, and when too much waits the oldest goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eudaemon.farm.outputs import journal as module
from eudaemon.farm.outputs.journal import Journal

EVER = 2.0**40


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "outgoing.sqlite", 1000)
    made.begin(["a", "b"])
    yield made
    made.close()


def lines(journal: Journal, name: str) -> list[bytes]:
    entry = journal.next(name, before_s=EVER)
    return entry.lines if entry else []


def read_all(journal: Journal, name: str) -> list[bytes]:
    found = []
    while entry := journal.next(name, before_s=EVER):
        found += entry.lines
        journal.done(name, entry.number)
    return found


def test_each_output_has_its_own_mark_and_what_all_have_told_is_gone(journal: Journal) -> None:
    journal.take(0, [b"1", b"2"], again=False)
    journal.take(1, [b"3"], again=False)
    assert lines(journal, "a") == [b"1", b"2"]
    first = journal.next("a", before_s=EVER)
    assert first is not None
    assert read_all(journal, "a") == [b"1", b"2", b"3"]
    assert journal.holds(first.number)
    assert [state.waiting for state in journal.states()] == [0, 3]
    assert read_all(journal, "b") == [b"1", b"2", b"3"]
    assert not journal.holds(first.number)


def test_a_block_that_comes_again_is_entered_once_also_after_it_was_told(journal: Journal, tmp_path: Path) -> None:
    journal.take(7, [b"1"], again=False)
    read_all(journal, "a")
    read_all(journal, "b")
    journal.close()
    again = Journal(tmp_path / "outgoing.sqlite", 1000)
    again.begin(["a", "b"])
    again.take(7, [b"1"], again=True)
    assert read_all(again, "a") == []
    again.take(8, [b"2"], again=True)  # the farm fell between the store and this journal
    assert read_all(again, "a") == [b"2"]
    again.take(0, [b"3"], again=False)  # the store's queue was lost once, and its numbers began anew
    assert read_all(again, "a") == [b"3"]
    again.close()


def test_marks_and_keys_survive_and_go_with_their_output(journal: Journal, tmp_path: Path) -> None:
    journal.take(0, [b"1"], again=False)
    read_all(journal, "a")
    journal.told("a", 3, ["k"])
    journal.told("a", 2, refused=True)
    journal.trouble("b", "down")
    journal.close()
    again = Journal(tmp_path / "outgoing.sqlite", 1000)
    again.begin(["a", "b", "c"])
    a, b, c = again.states()
    assert (a.told, a.refused, a.waiting, a.trouble) == (3, 2, 0, "")
    assert (b.waiting, b.trouble) == (1, "down")
    assert c.waiting == 0, "a new output begins with what comes next"
    assert again.was_told("a", "k")
    assert not again.was_told("b", "k")
    assert not again.was_told("a", "k", since_s=EVER)
    again.begin(["b"])
    again.begin(["a", "b"])
    assert not again.was_told("a", "k")
    again.close()


def test_at_its_limit_the_oldest_goes_and_is_counted_by_who_had_not_told_it(journal: Journal) -> None:
    journal.take(0, [b"x" * 500], again=False)
    read_all(journal, "a")
    journal.take(1, [b"y" * 500], again=False)
    assert [state.dropped for state in journal.states()] == [0, 0]
    held = journal.next("b", before_s=EVER)
    assert held is not None
    journal.take(2, [b"z"], again=False)
    assert [state.dropped for state in journal.states()] == [0, 1]
    assert not journal.holds(held.number)
    assert [line[:1] for line in read_all(journal, "b")] == [b"y", b"z"]
    assert [line[:1] for line in read_all(journal, "a")] == [b"y", b"z"]


def test_what_is_alone_larger_than_the_limit_is_told_all_the_same(journal: Journal) -> None:
    journal.take(0, [b"1"], again=False)
    journal.take(1, [b"x" * 5000], again=False)
    assert [len(line) for line in read_all(journal, "a")] == [5000]
    journal.take(2, [b"2"], again=False)
    assert read_all(journal, "b") == [b"2"]


def test_entries_have_a_size(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "outgoing.sqlite", 2**40)
    journal.begin(["a"])
    count = module.ENTRY_LINES_MAX
    journal.take(0, [b"%d" % number for number in range(count + 1)], again=False)
    assert len(lines(journal, "a")) == count
    assert len(read_all(journal, "a")) == count + 1
    half = b"x" * (module.ENTRY_BYTES_MAX // 2)
    journal.take(1, [half, half, b"x"], again=False)
    assert len(lines(journal, "a")) == 2
    journal.close()


def test_so_many_keys_are_remembered_and_then_the_oldest_are_forgotten(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEYS_MAX", 3)
    journal.told("b", 1, ["other"])
    journal.told("a", 3, ["1", "2", "3"])
    assert journal.was_told("a", "1")
    journal.told("a", 1, ["4"])
    assert [journal.was_told("a", key) for key in "1234"] == [False, True, True, True]
    journal.told("a", 1, ["2"])  # told again: now the newest
    journal.told("a", 2, ["5", "6"])
    assert [journal.was_told("a", key) for key in "123456"] == [False, True, False, False, True, True]
    assert journal.was_told("b", "other")


def test_an_entry_may_have_to_lie_for_a_while(journal: Journal) -> None:
    journal.take(0, [b"1"], again=False)
    assert journal.next("a", before_s=1.0) is None
    assert journal.next("a", before_s=EVER) is not None


def test_entries_are_read_together_up_to_the_size_of_one(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRY_BYTES_MAX", 10)
    for block, text in enumerate((b"aaaa", b"bbbbbb", b"c", b"d" * 30)):
        journal.take(block, [text], again=False)
    entry = journal.next("a", before_s=EVER, together=True)
    assert entry is not None
    assert entry.lines == [b"aaaa", b"bbbbbb"], "ten bytes, and one more would be too much"
    journal.done("a", entry.number)
    entry = journal.next("a", before_s=EVER, together=True)
    assert entry is not None
    assert entry.lines == [b"c"]
    journal.done("a", entry.number)
    entry = journal.next("a", before_s=EVER, together=True)
    assert entry is not None
    assert entry.lines == [b"d" * 30], "a single one may be larger"
    assert lines(journal, "b") == [b"aaaa"], "the other has its own mark"
