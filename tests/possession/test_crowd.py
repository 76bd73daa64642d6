"""Many threads, and threads that come and go: what they take is given back, and done without where it runs out."""

from __future__ import annotations

import pytest

from eudaemon.possession import Refused, possess, refuse
from eudaemon.possession.engine import Engine
from eudaemon.possession.layout import heap_bytes_least, sizes_for
from eudaemon.possession.lifecycle import Possession
from eudaemon.possession.mailbox import Mailbox, find_mailbox
from eudaemon.possession.maps import LOW_END, read_maps
from eudaemon.possession.memory import Memory
from eudaemon.possession.ptrace import Kernel
from eudaemon.possession.status import Status, status_of
from possession import engines
from possession.ctl import Victim, Victims, wait_for

WARM_MAX = 32  # of `native/seal/src/threads.rs`


def possessed(victim: Victim, mode: str, heap_bytes_max: int | None = None) -> Possession:
    if mode == "taint":
        return possess(victim.pid, taint="inet", engine=engines.real(), heap_bytes_max=heap_bytes_max)
    return possess(victim.pid, mode=mode, engine=engines.real(), heap_bytes_max=heap_bytes_max)


def remains(victim: Victim) -> list[str]:
    """Return what a release has left of the engine's kinds of memory; the victim's own goes with its threads."""
    areas = read_maps(victim.pid)
    return [
        repr(area) for area in areas if area.begin < LOW_END or area.rights == "rwxp" or area.end - area.begin > 1 << 30
    ]


def status(victim: Victim, engine: Engine) -> Status:
    found = status_of(victim.pid, engine.abi)
    assert found is not None
    return found


@pytest.mark.parametrize("mode", ["none", "shadow", "taint"])
def test_a_crowd_is_possessed_and_released(victims: Victims, started: list[Victim], mode: str) -> None:
    victim = victims.start("ctl_crowd", "512", "4")
    started.append(victim)
    victim.good(1)
    with possessed(victim, mode):
        victim.good(1)
        now = status(victim, engines.real())
        assert now.trouble == "none"
        assert sum(now.threads.values()) >= 512
    victim.good(1)
    assert not remains(victim)


def test_what_ended_threads_had_is_given_back(victims: Victims, started: list[Victim]) -> None:
    victim = victims.start("ctl_crowd", "4", "160")
    started.append(victim)
    victim.good(1)
    with possessed(victim, "none"):
        victim.good(2)
        abi = engines.real().abi
        memory = Memory(Kernel(), victim.pid)
        address = find_mailbox(read_maps(victim.pid), memory, abi)
        assert address is not None
        mailbox = Mailbox(memory, abi, address)
        assert len(mailbox.slots()) > 100  # there were so many at a time
        assert sum(context.one("is_warm") for context in mailbox.contexts()) <= WARM_MAX
        arenas = [mapped for mapped in mailbox.mappings() if mapped.kind == abi["mapping::ARENA"]]
        assert len(arenas) <= 3 * (WARM_MAX + 8)
        memory.close()
    victim.good(1)
    assert not remains(victim)


@pytest.mark.parametrize("mode", ["none", "taint"])
def test_a_heap_that_runs_out_is_done_without(victims: Victims, started: list[Victim], mode: str) -> None:
    victim = victims.start("ctl_crowd", "10", "1")
    started.append(victim)
    victim.good(1)
    least = heap_bytes_least(engines.real(), sizes_for(engines.real(), 10).slots)
    with possessed(victim, mode, least):
        wait_for(lambda: status(victim, engines.real()).trouble == "no memory")
        victim.good(1)
        assert status(victim, engines.real()).heap_bytes <= least
    victim.good(1)
    assert not remains(victim)


def test_too_little_for_so_many_threads_is_refused(victims: Victims, started: list[Victim]) -> None:
    victim = victims.start("ctl_crowd", "12", "0")
    started.append(victim)
    victim.good(1)
    least = heap_bytes_least(engines.real(), sizes_for(engines.real(), 12).slots)
    with pytest.raises(Refused, match=f"12 threads.*{least >> 10} KiB"):
        possessed(victim, "none", least - 1)
    assert not remains(victim)
    with possessed(victim, "none", least):
        victim.good(1)
    victim.good(1)
    assert not remains(victim)


def test_more_threads_than_there_are_places_are_refused(
    victims: Victims, started: list[Victim], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engines.real()
    places = engine.abi["THREADS_MAX"]
    refuse.refuse_crowd(1, places, places)
    victim = victims.start("ctl_crowd", str(places + 1), "0")
    started.append(victim)
    victim.good(1)
    with pytest.raises(Refused, match=f"{places + 1} threads.*room for {places}"):
        possessed(victim, "none")
    need = refuse.PROCESS_BYTES_MIN + 8 * refuse.THREAD_BYTES_MIN
    monkeypatch.setattr(refuse, "available_bytes", lambda: need)
    refuse.refuse_crowd(1, 8, places)
    with pytest.raises(Refused, match=f"9 threads, which need {(need >> 20) + 1} MiB of memory; {need >> 20} MiB"):
        refuse.refuse_crowd(1, 9, places)
