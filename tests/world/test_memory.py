"""What is remembered from one session to the next, and that it never is too much."""

from __future__ import annotations

from eudaemon.world.memory import ENTRY_BYTES_MAX, Memory


def test_what_was_remembered_is_recalled_to_whom_it_belongs() -> None:
    memory = Memory()
    assert memory.recall("docker", "198.51.100.7") == b""
    assert memory.remember("docker", "198.51.100.7", b"one")
    assert memory.recall("docker", "198.51.100.7") == b"one"
    assert memory.recall("docker", "198.51.100.8") == memory.recall("redis", "198.51.100.7") == b""
    assert memory.remember("docker", "198.51.100.7", b"two")
    assert memory.recall("docker", "198.51.100.7") == b"two"
    assert memory.remember("docker", "198.51.100.7", b"")
    assert memory.recall("docker", "198.51.100.7") == b""
    assert memory.bytes_held == 0


def test_an_entry_has_its_limit() -> None:
    memory = Memory()
    assert memory.remember("docker", "a", bytes(ENTRY_BYTES_MAX))
    assert not memory.remember("docker", "a", bytes(ENTRY_BYTES_MAX + 1))
    assert memory.recall("docker", "a") == b""
    assert memory.bytes_held == 0


def test_who_was_away_longest_is_forgotten_first() -> None:
    memory = Memory(bytes_max=10 * 1256)
    for number in range(10):
        memory.remember("docker", str(number), bytes((1,)) * 1000)
    assert memory.bytes_held == memory.bytes_max
    assert memory.recall("docker", "0")
    memory.remember("docker", "one more", bytes((1,)) * 1000)
    assert memory.recall("docker", "0")
    assert not memory.recall("docker", "1")
    assert memory.bytes_held == memory.bytes_max
