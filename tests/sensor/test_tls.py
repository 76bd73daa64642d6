"""TLS on any port, with real clients: curl, openssl and Python's own; and the pieces it is made of."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from eudaemon.events import catalogue as facts
from eudaemon.sensor import clienthello
from eudaemon.sensor.certificate import kept, pem
from eudaemon.wire.conversation import decode
from eudaemon.world.seed import Seed
from sensor.harness import SEED, Running, blobs, events, free_port, running
from sensor.rooms import Framed


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"needs {program}: apt-get install {program}")
    return found


async def run(*command: str, stdin: bytes = b"") -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(20):
        out, _ = await process.communicate(stdin)
    return process.returncode or 0, out


def lenient() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    return context


def accepted(home: Path) -> facts.TlsAccepted:
    (event,) = events(home, "tls.accepted")
    assert isinstance(event.fact, facts.TlsAccepted)
    return event.fact


@pytest.mark.parametrize("rooms", ["http", "telnet+http"])
async def test_curl_on_a_port_for_plain_http(rooms: str, tmp_path: Path) -> None:
    async with running(tmp_path, rooms) as sensor:
        code, out = await run(need("curl"), "-sik", "--max-time", "10", f"https://localhost:{sensor.port}/")
    assert code == 0
    assert out.startswith(b"HTTP/1.")
    assert accepted(tmp_path).server_name == "localhost"
    assert accepted(tmp_path).version == "TLSv1.3"
    assert [e.fact.room for e in events(tmp_path, "session.closed")] == ["http"]  # type: ignore[attr-defined]
    (conversation,) = blobs(tmp_path)
    assert next(decode(conversation)).data.startswith(b"GET / HTTP/1.1\r\n")  # what was meant, not what was sent


@pytest.mark.parametrize(("rooms", "is_tls"), [("git", False), ("git+http", True)])
async def test_a_room_of_whose_kind_nothing_begins_with_tls(rooms: str, is_tls: bool, tmp_path: Path) -> None:
    async with running(tmp_path, rooms) as sensor:
        code, _ = await run(need("curl"), "-sik", "--max-time", "10", f"https://localhost:{sensor.port}/")
        await sensor.until("session.closed")
    assert (code == 0, len(events(tmp_path, "tls.accepted"))) == (is_tls, is_tls)
    (conversation,) = blobs(tmp_path)
    assert next(decode(conversation)).data.startswith(b"GET / HTTP/1.1\r\n" if is_tls else b"\x16\3\1")
    assert not events(tmp_path, "sensor.faulted")


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1", "-tls1_2", "-tls1_3"])
async def test_openssl_s_client_in_every_version(version: str, tmp_path: Path) -> None:
    async with running(tmp_path) as sensor:
        _, out = await run(
            need("openssl"), "s_client", "-connect", f"127.0.0.1:{sensor.port}", version, "-cipher",
            "ALL:@SECLEVEL=0", "-ign_eof", "-quiet", stdin=b"bye now",
        )  # fmt: skip
    assert b"bye now" in out
    assert accepted(tmp_path).version == {"-tls1": "TLSv1", "-tls1_1": "TLSv1.1", "-tls1_2": "TLSv1.2"}.get(
        version, "TLSv1.3"
    )


async def test_one_byte_at_a_time(tmp_path: Path) -> None:
    async with running(tmp_path) as sensor:
        inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = lenient().wrap_bio(inside, outside)
        reader, writer = await sensor.connect()

        async def flush() -> None:
            for byte in outside.read():
                writer.write(bytes((byte,)))
                await writer.drain()

        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                await flush()
                inside.write(await reader.read(65_536))
        client.write(b"bye")
        await flush()
        inside.write(await reader.read())
        assert client.read(10) == b"bye"
        assert client.read(10) == b""  # a proper goodbye
        writer.close()


async def test_a_room_begins_tls_in_the_middle(tmp_path: Path) -> None:
    async with running(tmp_path, "turner") as sensor:
        reader, writer = await sensor.connect()
        for said, heard in ((b"plain", b"plain"), (b"tls?", b"yes")):
            writer.write(said)
            assert await reader.readexactly(len(heard)) == heard
        await writer.start_tls(lenient(), server_hostname="localhost")
        assert await reader.readexactly(7) == b"secured"
        writer.write(b"x" * 2_000)
        assert await reader.readexactly(2_000) == b"x" * 2_000
        writer.transport.abort()
        await sensor.until("session.closed")
    assert accepted(tmp_path).ja4.startswith("t13d")
    assert len(accepted(tmp_path).ja3) == 32
    (conversation,) = blobs(tmp_path)
    assert [unit.data for unit in decode(conversation)][:5] == [b"plain", b"plain", b"tls?", b"yes", b"secured"]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_a_client_that_waits_for_no_answer_before_its_tls(tmp_path: Path) -> None:
    async with running(tmp_path, "turner") as sensor:
        inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = lenient().wrap_bio(inside, outside)
        reader, writer = await sensor.connect()
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        writer.write(b"tls!" + outside.read())
        inside.write(await reader.read(65_536))
        client.do_handshake()
        writer.write(outside.read())
        inside.write(await reader.readexactly(5 + 7 + 17))
        assert client.read(10) == b"secured"
        writer.close()


async def framed(sensor: Running, step: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLObject:
    """Speak TLS whose handshake is in frames, in pieces of `step` bytes, and then plain again."""
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, frames = context.wrap_bio(inside, outside, session=session), Framed()
    reader, writer = await sensor.connect()

    async def say(data: bytes) -> None:
        for at in range(0, len(data), step):
            writer.write(data[at : at + step])
            await writer.drain()

    async def hear(count: int) -> bytes:
        heard = b""
        while len(heard) < count:
            try:
                heard += client.read(count - len(heard))
            except ssl.SSLWantReadError:
                inside.write(await reader.read(65_536))
        return heard

    writer.write(b"tls+")
    assert await reader.readexactly(1) == b"+"
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            await say(frames.sealed(outside.read()))
            inside.write(await reader.readexactly((await reader.readexactly(1))[0]))
    last = frames.sealed(outside.read())
    client.write(b"bye")
    await say(last + outside.read())  # of a session that is resumed, the client has the last word, and goes on bare
    assert await hear(10) == b"securedbye"
    client.write(b"bare")
    await say(outside.read())
    assert await reader.readexactly(4) == b"bare"
    await say(b"plain")
    assert (await reader.readexactly(5)).startswith(b"plain"[:step])
    writer.close()
    return client


@pytest.mark.parametrize("step", [1, 65_536])
async def test_a_handshake_in_frames_then_tls_then_plain_again(step: int, tmp_path: Path) -> None:
    async with running(tmp_path, "turner") as sensor:
        context = lenient()
        first = await framed(sensor, step, context, None)
        again = await framed(sensor, step, context, first.session)
    assert again.session_reused
    assert [event.fact.version for event in events(tmp_path, "tls.accepted")] == ["TLSv1.2"] * 2  # type: ignore[attr-defined]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


@pytest.mark.parametrize("said", [b"tls!no TLS at all", b"tls?"])
async def test_what_a_room_takes_for_tls_and_is_none(said: bytes, tmp_path: Path) -> None:
    async with running(tmp_path, "turner") as sensor:
        assert b"secured" not in await sensor.say(said)
        (closed,) = await sensor.until("session.closed")
    if said != b"tls?":
        assert closed.fact.reason == "peer fault"  # type: ignore[attr-defined]
    assert not events(tmp_path, "sensor.faulted")


async def test_without_tls_no_room_may_begin_it(tmp_path: Path) -> None:
    async with running(tmp_path, "turner", tls=False) as sensor:
        reader, writer = await sensor.connect()
        writer.write(b"tls?")
        assert await reader.readexactly(2) == b"no"
        writer.close()


async def test_where_the_service_begins_with_tls_it_does_not_speak_first(tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path, "talker", port=465, port_offset=port - 465, tls_grace_ms=1) as sensor:
        for tls in (False, True):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await reader.read(1)
            if tls:
                await writer.start_tls(lenient())
            else:
                writer.write(b"x")  # who speaks plain there all the same is answered
            assert (await reader.readline()) == b"hello\r\n"
            writer.transport.abort()
    assert sensor.port == 465


async def test_the_room_knows_that_it_is_tls(tmp_path: Path) -> None:
    async with running(tmp_path) as sensor:
        reader, writer = await asyncio.open_connection("127.0.0.1", sensor.port, ssl=lenient())
        writer.write(b"x" * 100_000)
        assert await reader.readexactly(100_000) == b"x" * 100_000
        writer.close()
    assert len(events(tmp_path, "command.entered")) == 2  # the room for plain bytes was told its end too


@pytest.mark.parametrize(
    "first",
    [
        b"\x16",
        b"\x16\x03",
        b"\x16\x03\x01\x00",
        b"\x16\x03\x01\x00\x05\x02rest",
        b"\x16\x02rest",
        b"\x15\x03\x01\x00\x02",
    ],
)
async def test_what_only_begins_like_tls_is_for_the_room(first: bytes, tmp_path: Path) -> None:
    async with running(tmp_path) as sensor:
        assert await sensor.say(first) == first
    assert not events(tmp_path, "peer.faulted")


@pytest.mark.parametrize(
    "rubbish", [b"\x16\x03\x01\x00\x05\x01\0\0\x01\0", b"\x16\x03\x01\xff\xff\x01" + b"A" * 70_000]
)
async def test_a_handshake_that_fails_is_the_peer_s_fault(rubbish: bytes, tmp_path: Path) -> None:
    async with running(tmp_path) as sensor:
        reader, writer = await sensor.connect()
        writer.write(rubbish)
        await reader.read()
        writer.close()
        await sensor.until("session.closed")
    (fault,) = events(tmp_path, "peer.faulted")
    assert fault.fact.reason.startswith("TLS handshake: ")  # type: ignore[attr-defined]


async def test_tls_can_be_switched_off(tmp_path: Path) -> None:
    hello = b"\x16\x03\x01\x00\x05\x01\0\0\x01\0"
    async with running(tmp_path, tls=False) as sensor:
        assert await sensor.say(hello) == hello


EVER_MS = 3_600_000


async def test_a_port_that_speaks_first(tmp_path: Path) -> None:
    async with running(tmp_path, "telnet", tls_grace_ms=EVER_MS) as sensor:
        _, out = await run(
            need("openssl"), "s_client", "-connect", f"127.0.0.1:{sensor.port}", "-ign_eof", "-quiet",
            stdin=b"root\r\nxc3511\r\nexit\r\n",
        )  # fmt: skip
    assert b" login: " in out
    assert b"built-in shell" in out
    assert accepted(tmp_path).version == "TLSv1.3"
    assert [event.fact.user for event in events(tmp_path, "login.tried")] == ["root"]  # type: ignore[attr-defined]


async def test_who_waits_is_greeted_when_the_grace_is_over(tmp_path: Path) -> None:
    async with running(tmp_path, "talker", tls_grace_ms=20) as sensor:
        (reader, writer), (_, gone) = await sensor.connect(), await sensor.connect()
        gone.transport.abort()
        assert await reader.readline() == b"hello\r\n"
        writer.write(b"\x16\x03\x01\x00\x05\x01")
        assert await reader.readexactly(6 * 65_536)
        writer.close()
    assert not events(tmp_path, "sensor.faulted")


@pytest.mark.parametrize("first", [b"x", b"\x16\x02", b"\x16\x03\x01\x00\x05\x02"])
async def test_who_begins_with_something_else_is_not_kept_waiting(first: bytes, tmp_path: Path) -> None:
    async with running(tmp_path, "talker", tls_grace_ms=EVER_MS) as sensor:
        reader, writer = await sensor.connect()
        writer.write(first)
        assert await reader.readexactly(7 + 65_536 * len(first)) == b"hello\r\n" + b"x" * 65_536 * len(first)
        writer.close()


async def test_half_a_hello_is_for_the_room_when_the_grace_is_over(tmp_path: Path) -> None:
    async with running(tmp_path, "talker", tls_grace_ms=20) as sensor:
        reader, writer = await sensor.connect()
        writer.write(b"\x16\x03")
        assert await reader.readexactly(7 + 65_536 * 2) == b"hello\r\n" + b"x" * 65_536 * 2
        writer.close()


async def test_who_leaves_before_the_greeting_still_hears_it(tmp_path: Path) -> None:
    async with running(tmp_path, "talker", tls_grace_ms=EVER_MS) as sensor:
        assert await sensor.say(b"") == b"hello\r\n"
    assert [event.fact.reason for event in events(tmp_path, "session.closed")] == ["peer"]  # type: ignore[attr-defined]


async def test_a_room_that_spoke_first_is_not_peeked_at(tmp_path: Path) -> None:
    async with running(tmp_path, "talker", tls_grace_ms=0) as sensor:
        reader, writer = await sensor.connect()
        assert await reader.readline() == b"hello\r\n"
        writer.write(b"\x16\x03\x01\x00\x05\x01")
        assert await reader.readexactly(6 * 65_536)
        writer.close()


def test_the_certificate_is_sound_and_differs_between_installations(tmp_path: Path) -> None:
    path = kept(tmp_path / "device.pem", Seed(SEED), "GKD43C")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == pem(Seed(SEED), "GKD43C") != pem(Seed(b"another"), "GKD43C")
    assert kept(path, Seed(b"another"), "other").read_text() == pem(Seed(SEED), "GKD43C")  # once made, it stays
    checked = subprocess.run([need("openssl"), "verify", "-CAfile", path, path], capture_output=True, text=True)
    assert checked.stdout.endswith(": OK\n")
    keyed = subprocess.run([need("openssl"), "ec", "-in", path, "-check", "-noout"], capture_output=True, text=True)
    assert "valid" in keyed.stdout + keyed.stderr


@pytest.mark.parametrize("number", range(20))
def test_every_seed_gives_a_certificate_that_openssl_takes(number: int, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(
        kept(tmp_path / "c.pem", Seed(b"%d" % number), "x" * 200)
    )  # checks that key and certificate fit


def hello(extensions: bytes = b"", ciphers: bytes = b"\x13\x01\x0a\x0a") -> bytes:
    body = b"\x03\x03" + b"r" * 32 + b"\0" + len(ciphers).to_bytes(2, "big") + ciphers + b"\x01\0"
    body += len(extensions).to_bytes(2, "big") + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def test_the_fingerprint_of_a_known_client() -> None:
    """The example of the JA4 documentation, built anew from its parts."""
    ciphers = [0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014, 0x009C, 0x009D,
               0x002F, 0x0035]  # fmt: skip
    extensions = [0x001B, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002D, 0x000D, 0x0005, 0x0023, 0x0012, 0x002B,
                  0xFF01, 0x000B, 0x000A, 0x0015]  # fmt: skip
    signatures = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]
    known = clienthello.ClientHello(0x0304, [0x2A2A, *ciphers], [0x1A1A, *extensions], signatures, "x", b"h2")
    assert known.ja4 == "t13d1516h2_8daaf6152771_e5627efa2ab1"


@pytest.mark.parametrize(("text", "fingerprint"), [
    ("769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0", "ada70206e40642a3e4461f35503241d5"),
    ("769,4-5-10-9-100-98-3-6-19-18-99,,,", "de350869b8c85de67a350c8d186f11e6"),
])  # fmt: skip
def test_the_older_fingerprint_of_known_clients(text: str, fingerprint: str) -> None:
    """The examples of JA3's documentation, as messages; what is random in one (GREASE) does not count."""
    version, ciphers, extensions, groups, formats = ([int(n) for n in one.split("-") if n] for one in text.split(","))
    bodies = {
        0: b"\0\x04\0\0\x01x",
        10: (2 * len(groups) + 2).to_bytes(2, "big") + b"\x1a\x1a" + b"".join(n.to_bytes(2, "big") for n in groups),
        11: bytes((len(formats), *formats)),
    }
    message = version[0].to_bytes(2, "big") + bytes(32) + b"\0"
    message += (2 * len(ciphers) + 2).to_bytes(2, "big") + b"\x0a\x0a"
    message += b"".join(n.to_bytes(2, "big") for n in ciphers) + b"\x01\0"
    tail = b"".join(n.to_bytes(2, "big") + len(bodies[n]).to_bytes(2, "big") + bodies[n] for n in extensions)
    tail += b"\x2a\x2a\0\0" if tail else b""
    found = clienthello.read(message + (len(tail).to_bytes(2, "big") + tail if tail else b""))
    assert (found.ja3_text, found.ja3) == (text, fingerprint)
    assert clienthello.ClientHello().ja3 == ""


def test_a_hello_in_any_pieces() -> None:
    name = b"\0\0\0\x0e\0\x0c\0\0\x09some.host"
    whole = hello(
        name + b"\0\x10\0\x05\0\x03\x02h2" + b"\0\x2b\0\x05\x04\x1a\x1a\x03\x04" + b"\0\x0d\0\x04\0\x02\x04\x03"
    )
    for step in (1, 7, len(whole)):
        reader = clienthello.HelloReader()
        found = None
        for at in range(0, len(whole), step):
            assert found is None
            found = reader.feed(whole[at : at + step])
        assert found is not None
        assert (found.server_name, found.version, found.alpn, found.ciphers) == (
            "some.host",
            0x304,
            b"h2",
            [0x1301, 0x0A0A],
        )
        assert found.ja4.startswith("t13d0104h2_")


def test_a_hello_cut_or_damaged_anywhere_is_no_fault_of_ours() -> None:
    whole = hello(b"\0\0\0\x0e\0\x0c\0\0\x09some.host" + b"\0\x10\0\x05\0\x03\x02h2")
    body = whole[9:]
    for cut in range(len(body)):
        assert len(clienthello.read(body[:cut]).ja4) == 36
        for value in (0, 0x80, 0xFF):
            assert len(clienthello.read(body[:cut] + bytes((value,)) + body[cut + 1 :]).ja4) == 36
    assert clienthello.HelloReader().feed(b"\x17" + whole[1:]) == clienthello.ClientHello()
    long = clienthello.HelloReader()
    fed = [long.feed(b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + b"x" * 0x3FFC) for _ in range(2)]
    assert fed[-1] == clienthello.ClientHello()
