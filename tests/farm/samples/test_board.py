"""Which sensors hear of a shellcode's shells: those that brought it, once each, within limits."""

from __future__ import annotations

import pytest

from eudaemon.farm.samples import shells
from eudaemon.farm.samples.shells import Board

SHELL = {"way": "bind", "system": "linux", "host": "0.0.0.0", "port": 4444}


def told(board: Board, sensor: str) -> list[str]:
    return [word["sha256"] for word in board.take(sensor)]


def test_who_brought_it_hears_of_it_once() -> None:
    board = Board()
    board.brought("one", ["a", "b"])
    board.brought("two", ["a"])
    assert board.take("one") == []
    board.found("a", [SHELL])
    board.found("b", [])
    assert board.take("one") == [{"sha256": "a", "shells": [SHELL]}]
    assert (told(board, "one"), told(board, "two"), told(board, "two"), told(board, "three")) == ([], ["a"], [], [])
    board.brought("three", ["a", "b"])
    assert told(board, "three") == ["a"], "what is known already"


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shells, "SAMPLES_MAX", 2)
    monkeypatch.setattr(shells, "SENSORS_MAX", 2)
    monkeypatch.setattr(shells, "WORDS_MAX", 2)
    board = Board()
    board.brought("one", ["a", "b", "c"])
    for sha256 in ("a", "b", "c"):
        board.found(sha256, [SHELL])
    assert told(board, "one") == ["b", "c"], "the oldest question is forgotten"
    board.found("d", [SHELL])
    board.brought("one", ["b", "c", "d"])
    assert told(board, "one") == ["c", "d"], "and the oldest answer"
    for sensor in ("one", "two", "three"):
        board.brought(sensor, ["e"])
    board.found("e", [SHELL])
    assert [told(board, sensor) for sensor in ("one", "two", "three")] == [["e"], ["e"], []]
    monkeypatch.setattr(shells, "SAMPLES_MAX", 9)
    board.brought("one", ["f", "g", "h"])
    for sha256 in ("f", "g", "h"):
        board.found(sha256, [SHELL])
    assert told(board, "one") == ["f", "g"]
