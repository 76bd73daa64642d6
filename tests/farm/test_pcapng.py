"""A recording as captured packets: Wireshark's reader, scapy and our own replay read back what was said."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.utils import PcapNgReader

from eudaemon.cli._capture import Capture
from eudaemon.cli._streams import Streams
from eudaemon.farm.pcapng import COMMENT_BYTES_MAX, DATAGRAM_BYTES_MAX, SEGMENT_BYTES, Talk, pcapng
from eudaemon.wire.conversation import ATTACKER, HOST, Utterance

GOOD, WARNING = "1", 0x600000  # of a checksum; of what Wireshark remarks on
BEGAN_S = 1_795_487_000.25
FOUR = (("198.51.100.7", 40226), ("192.0.2.1", 445))
SIX = (("2001:db8::7", 40226), ("2001:db8::1", 445))
TALK = [Utterance(HOST, 0, b"hello\r\n"), Utterance(ATTACKER, 20, b"\x00\xffSMB" * 700), Utterance(HOST, 1234, b"bye")]


def made(talk: Talk, pieces: list[Utterance] = TALK, comment: str = "made up") -> bytes:
    return b"".join(pcapng(talk, pieces, comment))


def packets(data: bytes) -> list[Any]:
    return list(PcapNgReader(BytesIO(data)))


def replayed(data: bytes) -> Any:
    (one,) = Streams().read(Capture(data).ip())
    return one


def tshark(path: Path, *arguments: str) -> list[list[str]]:
    if not shutil.which("tshark"):
        pytest.skip("tshark is missing: apt-get install tshark")
    line = ["tshark", "-n", "-r", str(path), "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
            "-o", "ip.check_checksum:TRUE", *arguments]  # fmt: skip
    told = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True)
    return [row.split("\t") for row in told.stdout.splitlines()]


@pytest.mark.parametrize(("ends", "ip"), [(FOUR, "ip"), (SIX, "ipv6")])
def test_wireshark_s_reader_finds_nothing_wrong(tmp_path: Path, ends: Any, ip: str) -> None:
    path = tmp_path / "it.pcapng"
    path.write_bytes(made(Talk("tcp", *ends, BEGAN_S, "peer")))
    fields = [f"{ip}.src", "tcp.srcport", f"{ip}.dst", "tcp.dstport", "frame.time_epoch", "tcp.len",
              "tcp.checksum.status", "_ws.expert.severity", "tcp.analysis.flags"]  # fmt: skip
    rows = tshark(path, "-T", "fields", *(part for field in fields for part in ("-e", field)))
    assert rows[0][:6] == [ends[0][0], str(ends[0][1]), ends[1][0], str(ends[1][1]), "1795487000.250000000", "0"]
    lengths = [int(row[5]) for row in rows if row[5] != "0"]
    assert lengths == [7, SEGMENT_BYTES, SEGMENT_BYTES, 3500 - 2 * SEGMENT_BYTES, 3]
    assert {row[4] for row in rows[4:7]} == {"1795487000.270000000"}
    assert {row[6] for row in rows} == {GOOD}
    noted = [int(one) for row in rows for one in row[7].split(",") if one]
    assert max(noted) < WARNING
    assert {row[8] for row in rows} == {""}  # no gap, nothing twice, no window that is full


def test_wireshark_s_reader_takes_datagrams(tmp_path: Path) -> None:
    path = tmp_path / "it.pcapng"
    path.write_bytes(made(Talk("udp", *FOUR, BEGAN_S)))
    rows = tshark(path, "-T", "fields", "-e", "udp.srcport", "-e", "udp.length", "-e", "udp.checksum.status")
    assert rows == [["445", "15", GOOD], ["40226", "3508", GOOD], ["445", "11", GOOD]]


@pytest.mark.parametrize("ends", [FOUR, SIX, (FOUR[0], SIX[1]), (("", 0), FOUR[1])])
@pytest.mark.parametrize("transport", ["tcp", "udp", ""])
def test_whatever_the_ends_are_the_packets_read_back(ends: Any, transport: str) -> None:
    found = packets(made(Talk(transport, *ends, BEGAN_S, "room")))
    layer = UDP if transport == "udp" else TCP
    said = [(one[layer].sport == ends[0][1], bytes(one[layer].payload)) for one in found]
    for is_his in (True, False):
        wanted = b"".join(piece.data for piece in TALK if (piece.side == ATTACKER) == is_his)
        assert b"".join(data for his, data in said if his == is_his) == wanted
    for one in found:
        fresh = one.__class__(bytes(one))
        was = fresh[layer].chksum
        del fresh[layer].chksum
        fresh = fresh.__class__(bytes(fresh))
        assert fresh[layer].chksum == was
        assert (IP in one) != (IPv6 in one)


@pytest.mark.parametrize(
    ("ending", "last"), [("peer", ["FA", "FA", "A"]), ("room", ["FA", "FA", "A"]), ("reset", ["RA"]), ("", ["PA"])]
)
def test_the_end_is_as_it_was(ending: str, last: list[str]) -> None:
    found = packets(made(Talk("tcp", *FOUR, BEGAN_S, ending)))
    assert [str(one[TCP].flags) for one in found[:3]] == ["S", "SA", "A"]
    assert [str(one[TCP].flags) for one in found[-len(last) :]] == last
    assert found[-len(last)][TCP].sport == (445 if ending in ("room", "") else 40226)


PIECES = st.lists(
    st.builds(Utterance, st.sampled_from((ATTACKER, HOST)), st.integers(0, 2**32 - 1), st.binary(max_size=3000)),
    max_size=12,
)


@given(PIECES)
@settings(max_examples=25, deadline=None)
def test_our_own_replay_reads_what_the_attacker_said(pieces: list[Utterance]) -> None:
    data = made(Talk("tcp", *FOUR, BEGAN_S, "peer"), pieces)
    said = b"".join(piece.data for piece in pieces if piece.side == ATTACKER)
    found = Streams().read(Capture(data).ip())
    assert b"".join(piece for one in found for _, piece in one.pieces) == said
    for one in found:
        assert (one.attacker, one.local, one.missing_bytes) == (*FOUR, 0)


def test_limits() -> None:
    def lengths(size: int) -> list[int]:
        return [
            len(one[UDP].payload) for one in packets(made(Talk("udp", *FOUR, 0.0), [Utterance(HOST, 0, bytes(size))]))
        ]

    assert lengths(0) == [0]
    assert lengths(DATAGRAM_BYTES_MAX) == [DATAGRAM_BYTES_MAX]
    assert lengths(DATAGRAM_BYTES_MAX + 1) == [DATAGRAM_BYTES_MAX, 1]
    whole, cut = (made(Talk("tcp", *FOUR, 0.0), [], "é" * (COMMENT_BYTES_MAX // 2 + more)) for more in (0, 1))
    assert whole == cut
    assert replayed(made(Talk("tcp", *FOUR, 0.0), [Utterance(ATTACKER, 0, b"x" * (SEGMENT_BYTES + 1))])).pieces
