"""FTP fetching against vsftpd, pyftpdlib, and servers that point elsewhere, stop early or never say the end."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from payload.servers import SIZES, Lab, content, free_port, serving, tool, until_it_accepts


def files(folder: Path) -> Path:
    folder.mkdir()
    for size in SIZES:
        (folder / str(size)).write_bytes(content(size))
    return folder


@pytest.fixture(params=["vsftpd", "pyftpdlib"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    tmp_path = Path(tempfile.mkdtemp())  # pytest's own lies under a folder that vsftpd's unprivileged half cannot enter
    tmp_path.chmod(0o755)
    port, www = free_port(), files(tmp_path / "www")
    if request.param == "vsftpd":
        (tmp_path / "empty").mkdir()
        www.chmod(0o555)
        conf = tmp_path / "conf"
        conf.write_text(
            f"listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nanonymous_enable=YES\nanon_root={www}\n"
            f"background=NO\nsecure_chroot_dir={tmp_path}/empty\nseccomp_sandbox=NO\n"
        )
        command = [tool("vsftpd", "vsftpd"), str(conf)]
    else:
        command = [sys.executable, "-m", "pyftpdlib", "-i", "127.0.0.1", "-p", str(port), "-d", str(www)]
    process = subprocess.Popen(
        command,
    )
    try:
        await until_it_accepts(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(tmp_path)


async def test_real_servers_give_every_byte(server: int) -> None:
    lab = Lab()
    for size in SIZES:
        assert await lab.content(f"ftp://127.0.0.1:{server}/{size}") == content(size)
    assert await lab.content(f"ftp://anonymous:a@127.0.0.1:{server}/4097;type=i", "ftpget") == content(4097)
    assert (await lab.fetch(f"ftp://127.0.0.1:{server}/nothing")).outcome == "missing"
    assert (await lab.fetch(f"ftp://root:wrong@127.0.0.1:{server}/1")).reason == "FTP login: 530"


class Ftp:
    """A control connection that answers from a table, and a data port that says `data`."""

    def __init__(self, data: bytes = b"sample", **answers: bytes) -> None:
        self.data = data
        self.heard: list[bytes] = []
        self.data_port = 0
        self.answers = {
            "HELLO": b"220-Welcome\r\n and more\r\n220 ready\r\n",
            "USER": b"331 password?\r\n",
            "PASS": b"230 in\r\n",
            "TYPE": b"200 ok\r\n",
            "SIZE": b"550 never heard of it\r\n",
            "EPSV": b"229 go on (|||%PORT|)\r\n",
            "RETR": b"150 here it comes\r\n226 done\r\n",
            **answers,
        }

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.answers["HELLO"])
        while line := await reader.readline():
            self.heard.append(line.strip())
            answer = self.answers.get(line[:4].decode().strip(), b"500 what?\r\n")
            high, low = divmod(self.data_port, 256)
            answer = answer.replace(b"%PORT", b"%d" % self.data_port).replace(b"%HL", b"%d,%d" % (high, low))
            writer.write(answer)

    async def say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.data)
        await writer.drain()

    async def fetched(self, lab: Lab, path: str = "dir/x") -> tuple[str, str, bytes]:
        async with serving(self.say) as self.data_port, serving(self.talk) as port:
            result = await lab.fetch(f"ftp://127.0.0.1:{port}/{path}")
        return result.outcome, result.reason, lab.kept.get(result.sha256, b"")


async def test_the_conversation() -> None:
    ftp = Ftp()
    assert await ftp.fetched(Lab()) == ("ok", "", b"sample")
    verbs = [line.split(b" ")[0] for line in ftp.heard]
    assert verbs == [b"USER", b"PASS", b"TYPE", b"SIZE", b"EPSV", b"RETR"]
    assert ftp.heard[-1] == b"RETR dir/x"


async def test_the_address_in_a_pasv_answer_is_ignored() -> None:
    ftp = Ftp(EPSV=b"500 no\r\n", PASV=b"227 Entering Passive Mode (10,9,8,7,%HL)\r\n")
    assert await ftp.fetched(Lab()) == ("ok", "", b"sample")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"HELLO": b"500 go away\r\n"}, ("failed", "FTP login: 500")),
        ({"HELLO": b"hello\r\n"}, ("failed", "no FTP reply")),
        ({"HELLO": b"220-and\r\n" * 1000}, ("failed", "no FTP reply")),
        ({"HELLO": b"2" * 200_000}, ("failed", "line too long")),
        ({"PASS": b"530 no\r\n"}, ("failed", "FTP login: 530")),
        ({"RETR": b"550 no such file\r\n"}, ("missing", "FTP 550")),
        ({"RETR": b"451 disk broke\r\n"}, ("failed", "FTP 451")),
        ({"EPSV": b"229 (|||99999|)\r\n"}, ("failed", "no passive mode")),
        ({"EPSV": b"229 (|||0|)\r\n"}, ("failed", "no passive mode")),
        ({"EPSV": b"500\r\n", "PASV": b"227 (1,2,3,4,999,999)\r\n"}, ("failed", "no passive mode")),
    ],
)
async def test_what_goes_wrong_before_the_data(answers: dict[str, bytes], expected: tuple[str, str]) -> None:
    outcome, reason, kept = await Ftp(**answers).fetched(Lab())
    assert (outcome, reason, kept) == (*expected, b"")


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"SIZE": b"213 100\r\n"}, "6 bytes of the 100 announced"),
        ({"SIZE": b"213 2\r\n"}, "6 bytes of the 2 announced"),
        ({"RETR": b"150 ok\r\n426 aborted\r\n"}, "FTP 426"),
    ],
)
async def test_a_sample_that_is_not_whole_is_partial(answers: dict[str, bytes], reason: str) -> None:
    assert await Ftp(**answers).fetched(Lab()) == ("partial", reason, b"sample")


async def test_a_server_that_never_says_the_end_is_believed_after_the_idle_time() -> None:
    assert await Ftp(RETR=b"150 ok\r\n").fetched(Lab(idle_s_max=0.1)) == ("ok", "", b"sample")


@pytest.mark.parametrize("verb", ["HELLO", "USER", "PASS", "TYPE", "SIZE", "EPSV", "RETR"])
async def test_silence_anywhere_costs_the_idle_time(verb: str) -> None:
    assert await Ftp(**{verb: b""}).fetched(Lab(idle_s_max=0.1)) == ("failed", "silent for 0.1 s", b"")


async def test_a_name_cannot_carry_commands() -> None:
    ftp = Ftp()
    outcome, reason, _ = await ftp.fetched(Lab(), "x%0d%0aDELE%20y")
    assert (outcome, reason) == ("failed", "line end in a name")
    assert not any(line.startswith(b"DELE") for line in ftp.heard)


async def test_an_endless_file_costs_the_byte_limit() -> None:
    outcome, reason, kept = await Ftp(data=b"z" * 300_000).fetched(Lab(bytes_max=100_000))
    assert (outcome, reason, kept) == ("partial", "more than 100000 bytes", b"z" * 100_000)


@pytest.mark.parametrize("allowed", [True, False])
async def test_active_mode_is_a_fallback_that_must_be_allowed(allowed: bool) -> None:
    class Active(Ftp):
        async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 hi\r\n")
            where: tuple[str, int] | None = None
            while line := await reader.readline():
                verb, _, rest = line.strip().partition(b" ")
                if verb == b"PORT":
                    *ip, high, low = rest.decode().split(",")
                    where = ".".join(ip), int(high) * 256 + int(low)
                    writer.write(b"200 ok\r\n")
                elif verb == b"RETR" and where is not None:
                    writer.write(b"150 ok\r\n")
                    _, data = await asyncio.open_connection(*where)
                    data.write(b"\x7fELF actively")
                    data.close()
                    writer.write(b"226 done\r\n")
                else:
                    writer.write(self.answers.get(verb.decode(), b"500 no\r\n") if verb != b"EPSV" else b"500 no\r\n")

    got = await Active().fetched(Lab(ftp_active=allowed))
    assert got == (("ok", "", b"\x7fELF actively") if allowed else ("failed", "no passive mode", b""))


async def test_strangers_are_not_let_in_at_the_data_port() -> None:
    class Bounced(Ftp):
        async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 hi\r\n")
            port = 0
            while line := await reader.readline():
                verb, _, rest = line.strip().partition(b" ")
                if verb == b"PORT":
                    high, low = rest.split(b",")[4:]
                    port = int(high) * 256 + int(low)
                    writer.write(b"200 ok\r\n")
                elif verb == b"RETR":
                    writer.write(b"150 ok\r\n")
                    for source in self.sources:
                        _, data = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
                        data.write(source.encode())
                        data.close()
                    writer.write(b"226 done\r\n")
                else:
                    writer.write(self.answers.get(verb.decode(), b"500 no\r\n") if verb != b"EPSV" else b"500 no\r\n")

        sources: Iterable[str] = ("127.0.0.9", "127.0.0.1")

    assert await Bounced().fetched(Lab(ftp_active=True)) == ("ok", "", b"127.0.0.1")
