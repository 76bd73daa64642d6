"""HTTP fetching against nginx, Python's http.server, and servers that lie, hang, drip and never end."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from payload.servers import SIZES, Lab, certificate, content, free_port, saying, serving, tool, until_it_accepts

OK = b"HTTP/1.1 200 OK\r\n"


def chunked(data: bytes, step: int) -> bytes:
    parts = [b"%x;why=not\r\n%s\r\n" % (len(p), p) for p in (data[i : i + step] for i in range(0, len(data), step))]
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(parts) + b"0\r\nTrailer: x\r\n\r\n"


@pytest.fixture
async def nginx(tmp_path: Path) -> AsyncIterator[tuple[int, int]]:
    """An nginx that serves `tmp_path/www`, plain and in TLS; the two ports."""
    nginx = tool("nginx", "nginx-light")
    www = tmp_path / "www"
    www.mkdir()
    for size in SIZES:
        (www / str(size)).write_bytes(content(size))
    key, cert = certificate(tmp_path)
    plain, tls = free_port(), free_port()
    (tmp_path / "conf").write_text(f"""
        daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; worker_processes 1; user root;
        events {{ worker_connections 64; }}
        http {{ access_log {tmp_path}/access.log; root {www};
          client_body_temp_path {tmp_path}; proxy_temp_path {tmp_path}; fastcgi_temp_path {tmp_path};
          uwsgi_temp_path {tmp_path}; scgi_temp_path {tmp_path};
          server {{ listen 127.0.0.1:{plain}; listen [::1]:{plain}; location /old {{ return 302 /4097; }} }}
          server {{ listen 127.0.0.1:{tls} ssl; ssl_certificate {cert}; ssl_certificate_key {key}; }}
        }}""")
    process = subprocess.Popen([nginx, "-c", tmp_path / "conf", "-p", tmp_path], stderr=subprocess.DEVNULL)
    try:
        await until_it_accepts(plain)
        yield plain, tls
    finally:
        process.terminate()
        process.wait(10)


async def test_nginx_gives_every_byte(nginx: tuple[int, int], tmp_path: Path) -> None:
    plain, tls = nginx
    lab = Lab()
    for size in SIZES:
        assert await lab.content(f"http://127.0.0.1:{plain}/{size}") == content(size)
        assert await lab.content(f"https://127.0.0.1:{tls}/{size}") == content(size)
    assert await lab.content(f"http://[::1]:{plain}/4097", "curl") == content(4097)
    assert await lab.content(f"http://127.0.0.1:{plain}/old") == content(4097)
    assert (await lab.fetch(f"http://127.0.0.1:{plain}/nothing")).outcome == "missing"
    log = (tmp_path / "access.log").read_text()
    assert '"GET /4096 HTTP/1.1" 200 4096 "-" "Wget"' in log
    assert '"curl/' in log


async def test_pythons_server_speaks_http_1_0(tmp_path: Path) -> None:
    for size in SIZES:
        (tmp_path / str(size)).write_bytes(content(size))
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", tmp_path],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await until_it_accepts(port)
        lab = Lab()
        for size in SIZES:
            assert await lab.content(f"http://127.0.0.1:{port}/{size}") == content(size)
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("size", SIZES[:-1])
async def test_chunks_are_put_together(size: int) -> None:
    data = content(size)
    for step in {1 if size < 5000 else 4093, 4096, 65537}:
        async with serving(saying(chunked(data, step))) as port:
            assert await Lab().content(f"http://127.0.0.1:{port}/x") == data


async def test_an_answer_may_come_one_byte_at_a_time() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in b"HTTP/1.1 100 Continue\r\n\r\n" + chunked(b"\x7fELF and more", 3):
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(talk) as port:
        assert await Lab().content(f"http://127.0.0.1:{port}/x") == b"\x7fELF and more"


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (b"\x7fELF without any header\nat all", b"\x7fELF without any header\nat all"),
        (b"#!/bin/sh\nid\n", b"#!/bin/sh\nid\n"),
        (b"HT", b"HT"),
        (b"HTTP/1.0 200 OK\n\nbare line feeds", b"bare line feeds"),
        (OK + b"Content-Length: 3\r\nContent-Length: 9\r\n\r\nall of it", b"all of it"),
        (OK + b"Content-Length: -3\r\n\r\nall of it", b"all of it"),
        (OK + b"Content-Length: 99999999999999999999999\r\n\r\nall of it", b"all of it"),
        (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 99, mtime=0), gzip.compress(b"x" * 99, mtime=0)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\nno colon here\r\n\r\nodd", b"odd"),
    ],
)
async def test_odd_answers_are_taken_as_they_are_meant(answer: bytes, kept: bytes) -> None:
    async with serving(saying(answer)) as port:
        assert await Lab().content(f"http://127.0.0.1:{port}/x") == kept


@pytest.mark.parametrize(
    ("answer", "kept", "reason"),
    [
        (OK + b"Content-Length: 100\r\n\r\nonly this", b"only this", "closed early, 91 bytes short"),
        (OK + b"Content-Length: 4\r\n\r\nmore than this", b"more than this", "more than the 4 bytes announced"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n", b"four", "closed early"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nfour", b"four", "closed early, 5 bytes short"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\nzz\r\n", b"four", "bad chunk size"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n-1\r\n", b"four", "bad chunk size"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n\r\n", b"four", "bad chunk size"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n" + b"0" * 16 + b"\r\n", b"four", "bad chunk size"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfourfive\r\n", b"four", "chunk longer than its size"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n1;" + b"x" * 200_000, b"four", "line too long"),
        (OK + b"\r\n" + b"y" * 3000, b"y" * 2048, "more than 2048 bytes"),
        (OK + b"Content-Length: 3000\r\n\r\n" + b"y" * 3000, b"y" * 2048, "more than 2048 bytes"),
    ],
)
async def test_what_came_before_the_fault_is_kept_as_partial(answer: bytes, kept: bytes, reason: str) -> None:
    lab = Lab(bytes_max=2048)
    async with serving(saying(answer)) as port:
        result = await lab.fetch(f"http://127.0.0.1:{port}/x")
    assert (result.outcome, result.reason) == ("partial", reason)
    assert lab.kept[result.sha256] == kept
    assert result.size == len(kept)


async def test_the_limit_itself_is_allowed() -> None:
    async with serving(saying(OK + b"\r\n" + b"y" * 2048)) as port:
        assert len(await Lab(bytes_max=2048).content(f"http://127.0.0.1:{port}/x")) == 2048


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed without an answer"),
        (b"HTTP/1.1 abc\r\n\r\n", "no HTTP status"),
        (b"HTTP/1.1 200", "no HTTP status"),
        (b"HTTP/1.1 " + b"2" * 20_000, "no HTTP status"),
        (OK, "closed early"),
        (OK + b"a: " + b"b" * 200_000, "line too long"),
        (OK + b"a: b\r\n" * 20_000, "header over 32768 bytes"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 9, "interim answers without end"),
        (b"HTTP/1.1 503 Busy\r\n\r\nnot kept", "HTTP 503"),
        (b"HTTP/1.1 302 Found\r\n\r\n", "HTTP 302"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://\r\n\r\n", "redirect: no host"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "bad chunk size"),
    ],
)
async def test_nonsense_is_a_failure(answer: bytes, reason: str) -> None:
    lab = Lab()
    async with serving(saying(answer)) as port:
        result = await lab.fetch(f"http://127.0.0.1:{port}/x")
    assert (result.outcome, result.reason, result.sha256) == ("failed", reason, "")
    assert not lab.kept


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP", OK, OK + b"a: b\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n", OK + b"\r\n"]
)
async def test_a_server_that_hangs_costs_the_idle_time(sent: bytes) -> None:
    async with serving(saying(sent, then="hang")) as port:
        result = await Lab(idle_s_max=0.1).fetch(f"http://127.0.0.1:{port}/x")
    assert (result.outcome, result.reason) == ("failed", "silent for 0.1 s")


async def test_a_server_that_hangs_in_the_body_leaves_a_partial_sample() -> None:
    async with serving(saying(OK + b"Content-Length: 9\r\n\r\nhalf", then="hang")) as port:
        result = await Lab(idle_s_max=0.1).fetch(f"http://127.0.0.1:{port}/x")
    assert (result.outcome, result.reason, result.size) == ("partial", "silent for 0.1 s", 4)


async def test_a_server_that_never_starts_tls_costs_the_handshake_time() -> None:
    async with serving(saying(b"", then="hang")) as port:
        result = await Lab(connect_s_max=0.1).fetch(f"https://127.0.0.1:{port}/x")
    assert result.outcome == "failed"
    assert result.reason.startswith("TLS: ")


async def test_a_drip_costs_the_whole_time_and_no_more() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"\r\n")
        while True:
            writer.write(b"z")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(talk) as port:
        result = await Lab(idle_s_max=5, total_s_max=0.3).fetch(f"http://127.0.0.1:{port}/x")
    assert (result.outcome, result.reason) == ("partial", "over 0.3 s")
    assert set(result.head) == {ord("z")}


@pytest.mark.parametrize("head", [OK + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n"])
async def test_an_endless_stream_costs_the_byte_limit(head: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while True:
            writer.write(b"\0" * 65536)
            await writer.drain()

    async with serving(talk) as port:
        result = await Lab(bytes_max=3_000_000).fetch(f"http://127.0.0.1:{port}/x")
    assert (result.outcome, result.size) == ("partial", 3_000_000)


async def test_a_reset_in_the_body_leaves_a_partial_sample() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: 9\r\n\r\nhalf")
        await writer.drain()
        await reader.read(0)
        await asyncio.sleep(0.05)
        writer.transport.abort()

    async with serving(talk) as port:
        result = await Lab().fetch(f"http://127.0.0.1:{port}/x")
    assert (result.outcome, result.size) == ("partial", 4)


async def test_redirects_in_a_circle_end() -> None:
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 301 Moved\r\nLocation: x\r\n\r\n")

    async with serving(talk) as port:
        result = await Lab(redirects_max=3).fetch(f"http://127.0.0.1:{port}/x")
    assert (result.outcome, result.reason, asked) == ("failed", "more than 3 redirects", 4)


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data", "address: link-local or metadata service"),
        ("http://127.0.0.1:1/", "address: loopback"),
        ("http://2130706433:1/", "address: loopback"),
        ("//0x7f.1/", "address: loopback"),
        ("http://[::ffff:127.0.0.1]/", "address: loopback"),
        ("ftp://127.0.0.2/x", "redirect to scheme ftp"),
        ("file://x/etc/passwd", "redirect to scheme file"),
    ],
)
async def test_every_redirect_is_judged_anew(location: str, reason: str) -> None:
    async with serving(saying(b"HTTP/1.1 302 x\r\nLocation: " + location.encode() + b"\r\n\r\n"), "127.0.0.2") as port:
        result = await Lab(lab_networks=("127.0.0.2/32",)).fetch(f"http://127.0.0.2:{port}/")
    assert (result.outcome, result.reason) == ("refused", reason)


async def test_tls_does_not_need_the_codec_that_routers_lack(tmp_path: Path) -> None:
    """A whole fetch over TLS by name, in a process of its own, loads neither `idna` nor its tables."""
    key, cert = certificate(tmp_path)
    program = f"""
import asyncio, ssl, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from payload.servers import Lab, saying, serving

async def main():
    async def resolve(host):
        return ["127.0.0.1"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain({str(cert)!r}, {str(key)!r})
    async with serving(saying(b"HTTP/1.1 200 OK\\r\\n\\r\\nsample"), tls=context) as port:
        assert await Lab(resolve).content(f"https://cdn.example:{{port}}/x") == b"sample"
    print(sorted(m for m in sys.modules if m in ("encodings.idna", "stringprep", "unicodedata", "http")))

asyncio.run(main())
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert ran.stdout == "[]\n", ran.stderr
