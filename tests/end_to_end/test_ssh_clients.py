"""Real SSH clients at a whole sensor: OpenSSH's, on a terminal and without; and paramiko, as many bots have it."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from end_to_end.test_telnet_clients import seated
from eudaemon.events.catalogue import ForwardingAsked, PublicKeyOffered
from eudaemon.protocols.ssh.products import PRODUCTS, Product, product_of
from eudaemon.wire.conversation import ATTACKER, HOST, decode
from protocols.test_ssh import drawn, host_with
from sensor.harness import Running, blobs, events, running

pytest.importorskip("paramiko")
import paramiko

HOW_LONG_S_MAX = 30.0
PASSWORD = "xc3511"
# One host for each family: persona and seed of an installation that runs this server.
SMALL, LATER, LARGE = "dropbear_2016.74", "dropbear_2024.86", "OpenSSH_7.9"


@dataclass
class Place:
    """A sensor, and how OpenSSH's clients are told of it."""

    sensor: Running
    home: Path
    env: dict[str, str]

    def options(self, *more: str) -> list[str]:
        known = self.home / "known_hosts"
        return [f"-oUserKnownHostsFile={known}", "-oStrictHostKeyChecking=no", "-oLogLevel=ERROR", "-oUser=root",
                "-oGlobalKnownHostsFile=/dev/null", "-oPreferredAuthentications=password,keyboard-interactive",
                f"-oPort={self.sensor.port}", "-F/dev/null", *more]  # fmt: skip

    def ssh(self, *more: str) -> list[str]:
        return ["ssh", *self.options(*more), "127.0.0.1"]

    async def run(self, *command: str, given: bytes = b"") -> tuple[int, bytes]:
        """Run a program; return its exit code, and what it wrote to either output."""
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env=self.env, start_new_session=True,
        )  # fmt: skip
        async with asyncio.timeout(HOW_LONG_S_MAX):
            written, _ = await process.communicate(given)
        return process.returncode or 0, written

    def kept(self) -> list[tuple[str, int, bool]]:
        found = [event.fact for event in events(self.sensor.home, "artefact.kept")]
        return [(one.name, one.size, one.partial) for one in found]  # type: ignore[attr-defined]


@asynccontextmanager
async def place(tmp_path: Path, software: str = SMALL, **more: Any) -> AsyncIterator[Place]:
    if shutil.which("ssh") is None:
        pytest.skip("install openssh-client: its programs are the clients")
    seed, persona = drawn(software)
    (tmp_path / "sensor").mkdir()
    answer = tmp_path / "answer"
    answer.write_text(f"#!/bin/sh\necho {PASSWORD}\n")
    answer.chmod(0o700)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SSH_ASKPASS": str(answer), "SSH_ASKPASS_REQUIRE": "force",
           "DISPLAY": "none"}  # fmt: skip
    async with running(tmp_path / "sensor", "ssh", seed=seed, persona=persona, **more) as sensor:
        yield Place(sensor, tmp_path, env)


@pytest.mark.parametrize("software", [product.software for product in PRODUCTS])
async def test_openssh_gets_a_command_run_on_every_product(software: str, tmp_path: Path) -> None:
    async with place(tmp_path, software) as there:
        assert await there.run(*there.ssh(), "echo $((6*7)); exit 3") == (3, b"42\n")
    assert not events(tmp_path / "sensor", "sensor.faulted", "peer.faulted")
    (login,) = events(tmp_path / "sensor", "login.tried")
    assert login.fact.accepted  # type: ignore[attr-defined]
    (client,) = events(tmp_path / "sensor", "ssh.client")
    assert client.fact.version.startswith("SSH-2.0-OpenSSH_")  # type: ignore[attr-defined]


def offers(product: Product) -> list[str]:
    """Return what can be asked of OpenSSH's client, one at a time, of what a product has."""
    carried_out = [cipher for cipher in product.ciphers if "twofish" not in cipher and cipher != "3des-ctr"]
    return [
        *(f"-oKexAlgorithms={name}" for name in product.kex if "kex-strict" not in name and "kexguess" not in name),
        *(f"-oCiphers={name}" for name in carried_out),
        *(f"-oMACs={name} -oCiphers=aes128-ctr" for name in product.macs),
        *(f"-oHostKeyAlgorithms={name}" for name in product.host_keys[0]),
        "-oCompression=yes",
    ]


@pytest.mark.parametrize(
    ("software", "asked"),
    [(software, asked) for software in (SMALL, LATER, LARGE) for asked in offers(product_of(host_with(software)))],
)
async def test_openssh_with_each_algorithm(software: str, asked: str, tmp_path: Path) -> None:
    async with place(tmp_path, software) as there:
        assert await there.run(*there.ssh(*asked.split()), "seq 3000 | tail -n 1; cat", given=b"x" * 9000) == (
            0, b"3000\n" + b"x" * 9000,
        )  # fmt: skip
    assert not events(tmp_path / "sensor", "sensor.faulted", "peer.faulted")


async def test_a_person_at_a_terminal(tmp_path: Path) -> None:
    async with place(tmp_path) as there, seated(*there.ssh("-tt"), env=there.env) as (seat, process):
        await seat.until(b"built-in commands.\r\n\r\n")
        seat.type(b"cd /tmpx\x7f; pwd\r")
        assert (await seat.until(b"/tmp\r\n")).endswith(b"pwd\r\n/tmp\r\n")
        seat.type(b"sleep 60\r")
        await seat.until(b"sleep 60\r\n")
        seat.type(b"\x03")
        seat.type(b"echo still here; exit\r")
        await seat.until(b"still here\r\n")
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_a_script_on_standard_input(tmp_path: Path) -> None:
    async with place(tmp_path) as there:
        script = b"cd /tmp\nfor i in 1 2 3; do\necho line $i\ndone\nexit 5\n"
        assert await there.run(*there.ssh("-T"), given=script) == (5, b"line 1\nline 2\nline 3\n")
    (recorded,) = blobs(tmp_path / "sensor")
    said = list(decode(recorded))
    assert b"".join(each.data for each in said if each.side == ATTACKER) == script
    assert b"".join(each.data for each in said if each.side == HOST) == b"line 1\nline 2\nline 3\n"


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65_536, 1_500_000, 10_000_000])
async def test_a_file_through_cat_arrives_byte_for_byte(size: int, tmp_path: Path) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    async with place(tmp_path) as there:
        assert await there.run(*there.ssh(), "cat > /tmp/f", given=data[:size]) == (0, b"")
    assert there.kept() == [("/tmp/f", size, False)] * bool(size)


async def test_keys_are_exchanged_again_and_again(tmp_path: Path) -> None:
    data = bytes(range(256)) * 3000
    async with place(tmp_path, LATER) as there:
        assert await there.run(*there.ssh("-oRekeyLimit=64K"), "cat", given=data) == (0, data)


async def test_several_commands_over_one_connection(tmp_path: Path) -> None:
    async with place(tmp_path) as there:
        shared = there.options("-oControlMaster=auto", f"-oControlPath={tmp_path}/mux", "-oControlPersist=yes")
        try:
            assert await there.run("ssh", *shared, "127.0.0.1", "echo a > /tmp/x") == (0, b"")
            assert await there.run("ssh", *shared, "127.0.0.1", "cat /tmp/x") == (0, b"a\n")
        finally:
            await there.run("ssh", *shared, "-O", "exit", "127.0.0.1")
    assert len(events(tmp_path / "sensor", "login.tried")) == 1


async def test_nothing_is_forwarded(tmp_path: Path) -> None:
    async with place(tmp_path, LARGE) as there:
        assert await there.run(*there.ssh("-W", "192.0.2.80:80")) == (255, b"stdio forwarding failed\r\n")
    (asked,) = events(tmp_path / "sensor", "ssh.forwarding")
    assert asked.fact == ForwardingAsked("direct-tcpip", "192.0.2.80", 80)


async def test_a_key_is_offered_and_then_a_password(tmp_path: Path) -> None:
    async with place(tmp_path) as there:
        key = tmp_path / "key"
        await there.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        both = "-oPreferredAuthentications=publickey,password"
        assert await there.run("ssh", both, f"-i{key}", *there.options(), "127.0.0.1", "id -u") == (0, b"0\n")
    (offered,) = events(tmp_path / "sensor", "ssh.key")
    assert isinstance(offered.fact, PublicKeyOffered)
    assert offered.fact.key == key.with_suffix(".pub").read_text().split()[1]


@pytest.mark.parametrize("how", ["sftp", "scp", "scp -O"])
@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65_536, 1_500_000, 10_000_000])
async def test_a_file_arrives_byte_for_byte_and_comes_back(size: int, how: str, tmp_path: Path) -> None:
    data = random.Random(size).randbytes(size)
    (tmp_path / "up").write_bytes(data)
    async with place(tmp_path) as there:
        if how == "sftp":
            commands = f"put {tmp_path}/up /tmp/x\nget /tmp/x {tmp_path}/back\n".encode()
            assert (
                await there.run("sftp", "-oBatchMode=no", *there.options(), "-b", "-", "127.0.0.1", given=commands)
            )[0] == 0
        else:
            program = [*how.split(), *there.options()]
            assert await there.run(*program, f"{tmp_path}/up", "127.0.0.1:/tmp/x") == (0, b"")
            if size < 10_000_000:
                assert (await there.run(*program, "127.0.0.1:/bin/busybox", f"{tmp_path}/back"))[0] == 0
    assert there.kept() == [("/tmp/x", size, False)]
    sha256 = hashlib.sha256(data).hexdigest()
    assert (tmp_path / "sensor" / "artefacts" / sha256).read_bytes() == data
    if how == "sftp":
        assert (tmp_path / "back").read_bytes() == data
    elif size < 10_000_000:
        assert (tmp_path / "back").read_bytes()[:4] == b"\x7fELF"
    assert not events(tmp_path / "sensor", "sensor.faulted", "peer.faulted")


async def test_what_sftp_does_to_files_a_command_sees(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("one\n")
    script = f"""
        cd /tmp
        put {tmp_path}/one
        mkdir d
        rename one d/two
        chmod 755 d/two
        ln -s d/two link
        ls -l d
        pwd
        rmdir d
        rm link
        ls -1 /etc
        -rm /bin/busybox
        -get /nothing {tmp_path}/nothing
    """
    async with place(tmp_path) as there:
        batch = ["sftp", "-oBatchMode=no", *there.options(), "-b", "-", "127.0.0.1"]
        code, said = await there.run(*batch, given=script.replace("        rmdir", "        -rmdir").encode())
        assert code == 0
    text = said.decode()
    assert "-rwxr-xr-x" in text
    assert "two" in text
    assert "Remote working directory: /tmp" in text
    assert "passwd" in text
    assert "remote rmdir" in text or "Failure" in text
    facts = [event.fact for event in events(tmp_path / "sensor", "file.requested")]
    assert [(fact.action, fact.path, fact.detail) for fact in facts if fact.action not in ("list", "read")] == [  # type: ignore[attr-defined]
        ("write", "/tmp/one", ""), ("make", "/tmp/d", ""), ("rename", "/tmp/one", "/tmp/d/two"),
        ("change", "/tmp/d/two", "755"), ("link", "/tmp/link", "d/two"), ("remove", "/tmp/link", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("software", [SMALL, LATER])
async def test_what_sftp_asks_by_extensions(software: str, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"\x7fELF" + bytes(300_000))
    script = f"""
        cd /tmp
        put -f {tmp_path}/one
        ln one two
        rename one three
        df -h /tmp
        {"cp two four" if software == LATER else "-cp two four"}
        ls -1
        get two {tmp_path}/back
    """
    async with place(tmp_path, software) as there:
        code, said = await there.run(
            "sftp", "-oBatchMode=no", *there.options(), "-b", "-", "127.0.0.1", given=script.encode()
        )
    text = said.decode()
    assert code == 0, text
    assert "Capacity" in text or "%Capacity" in text
    assert (tmp_path / "back").read_bytes() == (tmp_path / "one").read_bytes()
    listed = text.partition("ls -1")[2].split()
    assert {"two", "three"} <= set(listed)
    assert ("four" in listed) is (software == LATER), text
    assert not events(tmp_path / "sensor", "sensor.faulted", "peer.faulted")


async def test_a_folder_is_copied(tmp_path: Path) -> None:
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "a").write_bytes(b"\x7fELF a")
    (tmp_path / "folder" / "below" / "b").write_bytes(b"")
    for how in ("scp -O", "scp"):
        async with place(tmp_path) as there:
            assert await there.run(*how.split(), "-rp", *there.options(), f"{tmp_path}/folder", "127.0.0.1:/tmp") == (
                0,
                b"",
            )
        kept = there.kept()
        assert sorted(kept) == [("/tmp/folder/a", 6, False), ("/tmp/folder/below/b", 0, False)]
        shutil.rmtree(tmp_path / "sensor")


async def test_an_upload_that_is_run(tmp_path: Path) -> None:
    (tmp_path / "bot.sh").write_text("#!/bin/sh\necho it ran as $(id -u)\n")
    async with place(tmp_path) as there:
        shared = there.options("-oControlMaster=auto", f"-oControlPath={tmp_path}/mux", "-oControlPersist=yes")
        try:
            assert await there.run("scp", *shared, f"{tmp_path}/bot.sh", "127.0.0.1:/tmp/") == (0, b"")
            ran = await there.run("ssh", *shared, "127.0.0.1", "chmod +x /tmp/bot.sh && /tmp/bot.sh")
            assert ran == (0, b"it ran as 0\n")
        finally:
            await there.run("ssh", *shared, "-O", "exit", "127.0.0.1")


async def test_an_upload_that_is_run_by_another_connection(tmp_path: Path) -> None:
    (tmp_path / "bot.sh").write_text("#!/bin/sh\necho it ran as $(id -u)\n")
    async with place(tmp_path) as there:
        assert await there.run("scp", *there.options(), f"{tmp_path}/bot.sh", "127.0.0.1:/tmp/") == (0, b"")
        ran = await there.run(*there.ssh(), "chmod +x /tmp/bot.sh && /tmp/bot.sh && rm /tmp/bot.sh")
        assert ran == (0, b"it ran as 0\n")
        assert (await there.run(*there.ssh(), "/tmp/bot.sh"))[0] == 127
    assert there.kept() == [("/tmp/bot.sh", 34, False)]


async def test_paramiko(tmp_path: Path) -> None:
    async with place(tmp_path) as there:
        assert await asyncio.to_thread(_by_paramiko, there.sensor.port) == (b"mips\n", b"typed\r\n")
    kept = there.kept()
    assert kept == [("/root/.ssh/authorized_keys", 21, False)]


def _by_paramiko(port: int) -> tuple[bytes, bytes]:
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect("127.0.0.1", port, "root", PASSWORD, look_for_keys=False, allow_agent=False, timeout=20)
    try:
        _, out, _ = client.exec_command("uname -m", timeout=20)
        machine = out.read()
        channel = client.invoke_shell()
        channel.settimeout(20)
        channel.send(b"mkdir -p .ssh; echo 'ssh-rsa AAAA mdrfckr' >> .ssh/authorized_keys\n")
        channel.send(b"echo ty''ped; exit\n")
        shown = b""
        while piece := channel.recv(4096):
            shown += piece
        return machine, shown[shown.index(b"typed") :]
    finally:
        client.close()
