"""`eudaemon replay` of fragments: those of scapy and Linux, in any order, twice, one over the other, too many."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.config import conf
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, fragment6
from scapy.packet import Packet, Raw

from cli.test_capture import JAWS, Run, pcap, replayed, tcp
from eudaemon.cli import _packets
from eudaemon.cli._packets import DATAGRAM_BYTES_MAX, Packets
from eudaemon.cli._streams import Streams

__all__ = ["replayed"]
conf.verb = 0
WHOLE = bytes(number * 31 % 251 for number in range(3000))
MISSING, STRANGE = "a fragment of an IP packet whose rest is missing", "a fragment that fits into no IP packet"


def fragments(data: bytes, *, v6: bool = False, size: int = 200, number: int = 7) -> list[Packet]:
    """A datagram to port 9999 in fragments of about that size."""
    udp = UDP(sport=4000, dport=9999) / Raw(data)
    if not v6:
        return list(fragment(IP(src="203.0.113.9", dst="192.0.2.1", id=number) / udp, size))
    net = IPv6(src="2001:db8::9", dst="2001:db8::1") / IPv6ExtHdrFragment(id=number)
    return list(fragment6(net / IPv6ExtHdrDestOpt() / udp, max(size, 1280)))


def read(packets: Iterable[Packet | bytes], step_s: float = 0.0) -> tuple[list[bytes], dict[str, int]]:
    """Return the datagrams, and what was left out."""
    streams = Streams()
    found = streams.read((number * step_s, bytes(packet)) for number, packet in enumerate(packets))
    return [data for one in found for _, data in one.pieces], dict(streams.left_out)


@pytest.mark.parametrize("v6", [False, True])
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), twice=st.lists(st.integers(0, 14), max_size=5), size=st.integers(0, 3000))
def test_they_come_together_from_any_disorder(v6: bool, seed: int, twice: list[int], size: int) -> None:
    parts = fragments(WHOLE[:size], v6=v6)
    parts += [parts[number] for number in twice if number < len(parts) - 1]
    random.Random(seed).shuffle(parts)
    found, left_out = read(parts)
    assert found[:1] == [WHOLE[:size]]
    assert set(left_out) <= {MISSING}, "what came again behind the whole"


@pytest.mark.parametrize("v6", [False, True])
def test_an_attack_over_tcp_whose_packets_were_taken_apart(v6: bool, replayed: Run) -> None:
    packets: list[Packet] = []
    for number, packet in enumerate(tcp(JAWS.ljust(3000, b"x"), v6=v6, sizes=3000)):
        if v6:
            head = IPv6(src=packet.src, dst=packet.dst) / IPv6ExtHdrFragment(id=number)
            packets += fragment6(head / packet.payload, 1280)
        else:
            packet.id = number
            packets += fragment(packet, 400)
    assert len(packets) > 6
    code, (told,), err = replayed(pcap(packets, 101))
    assert (code, told["room"]) == (0, "http"), err
    assert [wish["url"] for wish in told["wishes"]] == ["http://45.9.8.7/jaws"]
    assert "left out" not in err


def test_what_linux_takes_apart_and_tcpdump_writes(replayed: Run, tmp_path: Path) -> None:
    """Over a loopback of a network of its own, whose packets are as small as IPv6 lets them be."""
    if not shutil.which("tcpdump") or os.geteuid() != 0:
        pytest.skip("needs root and tcpdump: apt-get install tcpdump")
    path = tmp_path / "captured"
    code = f"""
import socket, subprocess, time
subprocess.run(["ip", "link", "set", "lo", "up", "mtu", "1280"], check=True)
command = ["tcpdump", "-i", "lo", "-U", "-w", {str(path)!r}, "-Z", "root"]
listening = subprocess.Popen(command, stderr=subprocess.PIPE)
while b"listening on lo" not in listening.stderr.readline():
    pass
whole = bytes(number * 31 % 251 for number in range(3000))
for family, ip in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    with socket.socket(family, socket.SOCK_DGRAM) as there, socket.socket(family, socket.SOCK_DGRAM) as here:
        here.bind((ip, 9999))
        there.sendto(whole, (ip, 9999))
        assert here.recv(4000) == whole
until = time.monotonic() + 10
while open({str(path)!r}, "rb").read().count(whole[2900:]) < 2 and time.monotonic() < until:
    time.sleep(0.02)
listening.terminate()
listening.communicate()
"""
    subprocess.run(["unshare", "-n", sys.executable, "-c", code], check=True, timeout=30)
    _, told, err = replayed(path)
    assert [(one["room"], one["artefacts"][0]["size"]) for one in told] == [("catchall", 3000)] * 2, err
    assert "6 packets, 2 conversations" in err, "each came in three"
    assert "fragment" not in err


def test_of_two_versions_of_a_byte_the_first_counts() -> None:
    head, parts = IP(src="203.0.113.9", dst="192.0.2.1", id=7), fragments(b"a" * 100, size=48)

    def other(offset: int, data: bytes, more: str = "MF") -> Packet:
        return IP(src=head.src, dst=head.dst, id=7, proto=17, frag=offset // 8, flags=more) / Raw(data)

    assert read([parts[0], other(40, b"b" * 24), *parts[1:]])[0] == [b"a" * 40 + b"b" * 16 + b"a" * 44]
    assert read([*parts[:-1], other(40, b"b" * 24), parts[-1]])[0] == [b"a" * 100]
    longer = other(96, b"c" * 40, "")
    assert read([*parts[:-1], longer, parts[-1]])[0] == [b"a" * 88 + b"c" * 12], "UDP says how long it is"


def test_what_does_not_fit_is_counted() -> None:
    fine = fragments(WHOLE[:1000], size=200)
    assert read([*fine[:2], *fine[3:]]) == ([], {MISSING: len(fine) - 1})
    net = IP(src="203.0.113.9", dst="192.0.2.1", id=9, proto=17)
    last = (DATAGRAM_BYTES_MAX - 7) // 8
    fits, past = (net.copy() / Raw(b"x" * size) for size in (DATAGRAM_BYTES_MAX - last * 8, 8))
    fits.frag = past.frag = last
    odd = net.copy() / Raw(b"x" * 9)
    odd.flags = "MF"
    assert read([fits]) == ([], {MISSING: 1})
    assert read([past]) == ([], {STRANGE: 1})
    assert read([odd]) == ([], {STRANGE: 1})
    inner = IPv6(src="2001:db8::9", dst="2001:db8::1", nh=44)
    nested = bytes((17, 0, 0, 1, 0, 0, 0, 1)) + b"x" * 8
    packets = [
        inner / Raw(bytes((44, 0, 0, 1, 0, 0, 0, 2)) + nested),
        inner / Raw(bytes((44, 0, 0, 16, 0, 0, 0, 2)) + b"y" * 8),
    ]
    assert read(packets) == ([], {STRANGE: 1})
    assert read([inner / Raw(b"\x11\0\0")]) == ([], {"of another protocol than TCP and UDP": 1})
    endless = bytes((44, 0, 0, 0, 0, 0, 0, 1)) * 8000 + nested
    assert read([inner / Raw(endless)]) == ([], {MISSING: 1})


def test_a_fragment_that_is_the_whole_stands_for_itself() -> None:
    """RFC 6946."""
    net = IPv6(src="2001:db8::9", dst="2001:db8::1") / IPv6ExtHdrFragment(id=7)
    assert read([*fragments(WHOLE, v6=True)[:1], net / UDP(dport=9999) / Raw(b"small")])[0] == [b"small"]


def test_who_waits_too_long_or_is_one_too_many_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = fragments(WHOLE[:300], size=200)
    monkeypatch.setattr(_packets, "WAIT_S_MAX", 5.0)
    assert read(parts, step_s=5.0)[0] == [WHOLE[:300]]
    assert read(parts, step_s=5.1) == ([], {MISSING: 2})
    monkeypatch.setattr(_packets, "DATAGRAMS_MAX", 3)
    begun = [fragments(WHOLE[:300], number=number)[0] for number in range(4)]
    rests = [fragments(WHOLE[:300], number=number)[1] for number in range(4)]
    assert len(read([*begun[:3], *rests[:3]])[0]) == 3
    assert read([*begun, *rests[1:]]) == ([WHOLE[:300]] * 3, {MISSING: 1})
    monkeypatch.setattr(_packets, "PARTS_MAX", 3)
    assert read(fragments(WHOLE[:500], size=200)[:3])[1] == {}
    assert read([parts[0]] * 3 + parts[1:])[1] == {STRANGE: 1, MISSING: 3}


@given(st.binary(max_size=120), st.sampled_from([0x45, 0x60]), st.booleans())
def test_whatever_is_in_them_never_fails(data: bytes, version: int, more: bool) -> None:
    packets = Packets()
    fields = (
        bytes((version, 0, 0, 0, 0, 0, 0x20 * more, 1)) if version == 0x45 else bytes((version,)) + bytes(5) + b"\x2c\0"
    )
    for cut in range(len(data) + 1):
        packets.read(0.0, fields + data[cut:])
    packets.end()
