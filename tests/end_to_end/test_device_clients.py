"""Real clients at whole sensors: of telephones, brokers, cameras, printers, names, time and desktops."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from eudaemon.protocols import sip
from eudaemon.protocols.rtsp import MAKES
from eudaemon.protocols.sip import is_extension
from eudaemon.protocols.vnc.des import vnc_key
from eudaemon.protocols.vnc.room import password_of
from eudaemon.wire.des import encrypt
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.servers import tool
from sensor.harness import SEED, events, free_port, running

HOST = Host.from_seed(Seed(SEED))
EXTENSION = next(str(number) for number in range(10_000) if is_extension(HOST.seed.child("sip"), b"%d" % number))
PASSWORD = sip.password_of(HOST.seed.child("sip"), EXTENSION.encode()).decode()
NUMBER = "9011442031234567"


async def said(*command: str, given: bytes = b"", code: int | None = 0) -> bytes:
    """Run a client, and return what it prints; `code` is what it must end with, None for anything."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate(given)
    assert code is None or process.returncode == code, output
    return output


def facts(home: Path, kind: str) -> list[Any]:
    assert not events(home, "sensor.faulted")
    return [event.fact for event in events(home, kind)]


def seed_where(draw: str, purpose: str, below: int, wanted: int) -> bytes:
    """An installation's seed of which this draw gives that."""
    seeds = (b"%d" % number for number in range(1000))
    return next(one for one in seeds if Host.from_seed(Seed(one)).seed.child(draw).number(purpose, below) == wanted)


async def test_a_telephone_registers_over_udp(tmp_path: Path) -> None:
    sipsak = tool("sipsak", "sipsak")
    async with running(tmp_path, "sip", transport="udp") as net:
        where = f"sip:{EXTENSION}@127.0.0.1:{net.port}"
        assert b"SIP/2.0 200 OK" in await said(sipsak, "-vv", "-s", where)
        await said(
            sipsak, "-i", "-U", "-u", EXTENSION, "-a", PASSWORD, "-C", "sip:a@127.0.0.1", "-s", where, "-x", "60"
        )
    assert [(fact.user, fact.password, fact.accepted) for fact in facts(tmp_path, "login.tried")] == [
        (EXTENSION, PASSWORD, True)
    ]
    for closed in facts(tmp_path, "session.closed"):
        assert closed.bytes_out <= closed.bytes_in


def message(method: str, number: int, more: str = "") -> str:
    return (
        f"<send><![CDATA[\n\n{method} sip:{NUMBER}@[remote_ip]:[remote_port] SIP/2.0\n"
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\nFrom: <sip:a@[local_ip]>;tag=[call_number]\n"
        f"To: <sip:{NUMBER}@[remote_ip]>\nCall-ID: [call_id]\nCSeq: {number} {method}\n"
        f"Contact: <sip:a@[local_ip]:[local_port]>\n{more}Max-Forwards: 70\nContent-Length: 0\n\n]]></send>"
    )


async def test_somebody_dials_out(tmp_path: Path) -> None:
    sipp = tool("sipp", "sip-tester")
    login = f"[authentication username={EXTENSION} password={PASSWORD}]\n"
    (tmp_path / "dial.xml").write_text(
        f'<?xml version="1.0"?><scenario name="dial">{message("INVITE", 1)}<recv response="401" auth="true"/>'
        f'{message("ACK", 1)}{message("INVITE", 2, login)}<recv response="100"/><recv response="183"/></scenario>'
    )
    async with running(tmp_path, "sip") as net:
        await said(
            sipp, "-sf", str(tmp_path / "dial.xml"), "-t", "t1", "-m", "1", "-timeout", "10", "-nostdin",
            f"127.0.0.1:{net.port}",
        )  # fmt: skip
    assert [(fact.name, fact.command) for fact in facts(tmp_path, "exploit.recognised")] == [("sip-toll-fraud", NUMBER)]
    (answered,) = facts(tmp_path, "login.answered")
    assert answered.response.startswith("$sip$*127.0.0.1*127.0.0.1*" + EXTENSION)


async def test_a_home_is_listened_to(tmp_path: Path) -> None:
    listen, publish = (tool(name, "mosquitto-clients") for name in ("mosquitto_sub", "mosquitto_pub"))
    async with running(tmp_path, "mqtt") as net:
        to = ("-p", str(net.port), "-V")
        output = await said(listen, *to, "mqttv311", "-t", "#", "-C", "10", "-v")
        assert b"tele/" in output
        output = await said(listen, *to, "mqttv5", "-t", "$SYS/broker/version", "-C", "1")
        assert output.startswith(b"mosquitto version ")
        for version in ("mqttv31", "mqttv311", "mqttv5"):
            for quality in ("0", "1", "2"):
                login = ("-u", "admin", "-P", "admin")
                await said(publish, *to, version, "-q", quality, *login, "-t", "a/b", "-m", "x" * 300)
        await said(publish, *to, "mqttv5", "-u", "nobody", "-P", "nothing", "-t", "a", "-m", "x", code=None)
    kept = facts(tmp_path, "artefact.kept")
    assert [(fact.name, fact.size) for fact in kept] == [("a/b", 300)] * 9
    assert {(fact.user, fact.accepted) for fact in facts(tmp_path, "login.tried")} == {
        ("admin", True),
        ("nobody", False),
    }
    assert not facts(tmp_path, "peer.faulted")


@pytest.mark.parametrize("make", range(len(MAKES)))
async def test_a_camera_is_looked_at(make: int, tmp_path: Path) -> None:
    probe = tool("ffprobe", "ffmpeg")
    seed = seed_where("rtsp", "make", len(MAKES), make)
    async with running(tmp_path, "rtsp", seed=seed) as net:
        url = f"rtsp://admin:12345@127.0.0.1:{net.port}/"
        output = await said(
            probe, "-v", "error", "-rtsp_transport", "tcp", "-timeout", "300000", "-show_entries", "stream=codec_name",
            url, code=None,
        )  # fmt: skip
    assert b"codec_name=h264" in output, output
    commands = [fact.line.split()[0] for fact in facts(tmp_path, "command.entered")]
    assert {"OPTIONS", "DESCRIBE", "SETUP", "PLAY"} <= set(commands)
    assert all((fact.user, fact.password) == ("admin", "12345") for fact in facts(tmp_path, "login.tried"))
    digests = facts(tmp_path, "login.answered")
    assert bool(digests) == any(b"Digest" in challenge for challenge in MAKES[make].challenges)


async def test_names_are_asked_for(tmp_path: Path) -> None:
    dig = tool("dig", "bind9-dnsutils")
    port = free_port(socket.SOCK_DGRAM)
    both = (f"dns udp {port}", f"dns tcp {port}")
    async with running(tmp_path, "dns", transport="udp", port=port, listen=both):
        asked = (dig, "-p", str(port), "@127.0.0.1", "+tries=1", "+time=5")
        output = await said(*asked, "version.bind", "CH", "TXT")
        assert b"retrying in TCP mode" in output
        assert b"ANSWER: 1" in output
        assert b"status: REFUSED" in await said(*asked, "example.com")
        output = await said(*asked, "+notcp", "+ignore", "example.com", "ANY")
        assert b"ANSWER: 0" in output
        assert b" tc " in output
    assert [fact.command for fact in facts(tmp_path, "exploit.recognised")] == ["ANY example.com"]
    assert not facts(tmp_path, "peer.faulted")


async def test_the_time_is_asked_for(tmp_path: Path) -> None:
    chronyd = tool("chronyd", "chrony")
    async with running(tmp_path, "ntp", transport="udp") as net:
        output = await said(chronyd, "-Q", "-t", "10", f"server 127.0.0.1 port {net.port} iburst maxsamples 1")
    assert b"System clock wrong by" in output
    assert all(closed.bytes_out == closed.bytes_in for closed in facts(tmp_path, "session.closed"))


async def test_a_printer_is_asked_what_it_shows(tmp_path: Path) -> None:
    nmap, nc = tool("nmap", "nmap"), tool("nc", "netcat-openbsd")
    async with running(tmp_path, "printer", addresses=("127.77.0.2",), port=9100):
        job = b'\x1b%-12345X@PJL RDYMSG DISPLAY="out of paper"\r\n@PJL INFO ID\r\n@PJL ENTER LANGUAGE=PCL\r\n\x1bEhello'
        assert await said(nc, "-N", "127.77.0.2", "9100", given=job)
        output = await said(nmap, "-Pn", "-n", "--script", "pjl-ready-message", "-p", "9100", "127.77.0.2")
    assert b'pjl-ready-message: "Ready"' in output
    assert [(fact.origin, fact.size) for fact in facts(tmp_path, "artefact.kept")] == [("upload", 7)]


@pytest.mark.parametrize("with_password", [0, 1])
async def test_a_desktop_is_looked_at(with_password: int, tmp_path: Path) -> None:
    look = tool("vncsnapshot", "vncsnapshot")
    # What vncpasswd writes: the password, under a key that all know.
    fixed = vnc_key(bytes((23, 82, 107, 6, 35, 78, 88, 7)))
    seed = seed_where("vnc", "password", 2, with_password)
    password = password_of(Host.from_seed(Seed(seed)))
    (tmp_path / "passwd").write_bytes(encrypt(fixed, password.ljust(8, b"\0")))
    async with running(tmp_path, "vnc", seed=seed) as net:
        await said(
            look, "-quiet", "-passwd", str(tmp_path / "passwd"), f"127.0.0.1::{net.port}", str(tmp_path / "seen.jpg")
        )
    assert (tmp_path / "seen.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    assert [(fact.password, fact.accepted) for fact in facts(tmp_path, "login.tried")] == [
        (password.decode(), True)
    ] * with_password
    assert len(facts(tmp_path, "login.answered")) == with_password


async def test_somebody_is_let_in_to_windows(tmp_path: Path) -> None:
    client, display = tool("xfreerdp", "freerdp2-x11"), tool("xvfb-run", "xvfb")
    async with running(tmp_path, "rdp", seed=seed_where("rdp", "network level authentication", 2, 1)) as net:
        where = (f"/v:127.0.0.1:{net.port}", "/cert:ignore", "+auth-only")
        await said(display, "-a", client, *where, "/u:Administrator", "/p:123456")
        await said(display, "-a", client, *where, "/u:Administrator", "/p:N0t.l1st3d", code=131)
    assert [fact.accepted for fact in facts(tmp_path, "login.tried")] == [True, False]
    assert not facts(tmp_path, "peer.faulted")


async def test_somebody_logs_in_under_remote_desktops_own_encryption(tmp_path: Path) -> None:
    client, display = tool("xfreerdp", "freerdp2-x11"), tool("xvfb-run", "xvfb")
    async with running(tmp_path, "rdp", seed=seed_where("rdp", "network level authentication", 2, 1)) as net:
        where = (f"/v:127.0.0.1:{net.port}", "/cert:ignore", "/sec:rdp", "+auth-only")
        await said(display, "-a", client, *where, "/u:Administrator", "/p:123456")
    (tried,) = facts(tmp_path, "login.tried")
    assert (tried.user, tried.password, tried.accepted) == ("Administrator", "123456", True)
    assert [fact.encryption_bits for fact in facts(tmp_path, "rdp.client")] == [128]
    assert not facts(tmp_path, "peer.faulted")
    assert not facts(tmp_path, "tls.accepted")


@pytest.mark.parametrize("credentials_first", [False, True])
async def test_somebody_logs_in_to_windows(credentials_first: bool, tmp_path: Path) -> None:
    client, display = tool("xfreerdp", "freerdp2-x11"), tool("xvfb-run", "xvfb")
    seed = seed_where("rdp", "network level authentication", 2, 0 if credentials_first else 1)
    async with running(tmp_path, "rdp", seed=seed) as net:
        await said(
            display, "-a", client, f"/v:127.0.0.1:{net.port}", "/u:bob", "/d:CORP", "/p:N0t.l1st3d", "/cert:ignore",
            "+auth-only", code=None,
        )  # fmt: skip
    (tried,) = facts(tmp_path, "login.tried")
    assert (tried.user, tried.password) == (("bob", None) if credentials_first else ("CORP\\bob", "N0t.l1st3d"))
    assert len(facts(tmp_path, "tls.accepted")) == 1
    if credentials_first:
        (given,) = facts(tmp_path, "ntlm.response")
        assert given.response.startswith("bob::CORP:")
    else:
        (known,) = facts(tmp_path, "rdp.client")
        assert known.cookie == "mstshash=bob"
    assert not facts(tmp_path, "peer.faulted")
