"""Whatever a server says, a fetch ends in one of its outcomes, within its limits, and with nothing left open."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from payload.servers import Lab, serving

LINES = [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 302 Found\r\n", b"HTTP/1.1 100 \r\n", b"Location: /y\r\n", b"\r\n",
         b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"5\r\nfives\r\n", b"0\r\n\r\n", b"ffffffff\r\n",
         b"220 hi\r\n", b"230 in\r\n", b"331 pw\r\n", b"229 (|||1|)\r\n", b"227 (1,2,3,4,0,1)\r\n", b"150 ok\r\n",
         b"226-\r\n", b"550 no\r\n", b"+PONG\r\n", b"+FULLRESYNC x 1\r\n", b"$9\r\n",
         b"$EOF:" + b"z" * 40 + b"\r\n", b"z" * 40, b"\0",
         b"SSH-2.0-x\r\n", b"\0\0\0\x0c\6\2" + bytes(10), b"C0644 9 x\n",
         b"\1no\n", b"T1 0 1 0\n", b"\0\0\0\x68",
         b"\xfeSMB" + bytes(100), b"\xfeSMB" + bytes(60) + b"NTLMSSP\0\2\0\0\0" + bytes(28), b"\0\1\0\0"]  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(["http", "ftp", "redis", "nc", "csend", "link", "smb", "rcp", "scp", "sftp"]),
    st.lists(st.sampled_from(LINES) | st.binary(max_size=40), max_size=12).map(b"".join),
    st.booleans(),
)
def test_random_servers(scheme: str, said: bytes, hears: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if hears:
            await reader.read(1)
        writer.write(said)

    async def fetch() -> None:
        async with serving(talk) as port:
            lab = Lab(idle_s_max=0.05, total_s_max=1.0, bytes_max=64)
            result = await lab.fetch(
                f"{scheme}://127.0.0.1:{port}/{'AAAAAA==' if scheme == 'link' else 'x/y'}", attacker="127.0.0.1"
            )
        assert result.outcome in ("ok", "partial", "missing", "failed", "refused")
        assert bool(result.sha256) == (result.outcome in ("ok", "partial"))
        assert result.size == len(lab.kept.get(result.sha256, b"")) <= 64
        assert (result.outcome == "ok") == (not result.reason)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert all("serving" in repr(task) for task in others)

    asyncio.run(fetch())
