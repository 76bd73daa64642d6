"""Fetching over SSH against OpenSSH's server, with and without its elliptic curves, and against what is none."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from payload.servers import SIZES, Lab, content, free_port, serving, tool, until_it_accepts

WRAPPER = "libnss_wrapper.so"
OLD = "KexAlgorithms diffie-hellman-group14-sha1\nMACs hmac-sha1\nHostKeyAlgorithms ssh-rsa\n"


def has_wrapper() -> bool:
    env = {**os.environ, "LD_PRELOAD": WRAPPER}
    return b"cannot be preloaded" not in subprocess.run(["true"], env=env, capture_output=True).stderr


@pytest.fixture(params=["", OLD], ids=["curve", "group"])
async def sshd(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """OpenSSH's server, in which root's password is another than the system's; yields `127.0.0.1:port/folder`."""
    program = tool("sshd", "openssh-server")
    if os.geteuid() != 0 or not has_wrapper():
        pytest.skip("needs root and libnss-wrapper: apt-get install libnss-wrapper")
    folder, port = Path(tempfile.mkdtemp()), free_port()
    for size in SIZES:
        (folder / str(size)).write_bytes(content(size))
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "rsa" if request.param else "ed25519", "-N", "", "-f", folder / "key"], check=True
    )
    (folder / "conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/key\nUsePAM no\nPermitRootLogin yes\nPidFile none\n"
        f"PasswordAuthentication yes\nStrictModes no\nSubsystem sftp internal-sftp\n{request.param}"
    )
    hashed = subprocess.check_output([tool("openssl", "openssl"), "passwd", "-6", "s3cret"], text=True).strip()
    (folder / "shadow").write_text(f"root:{hashed}:19000:0:99999:7:::\n")
    env = {**os.environ, "LD_PRELOAD": WRAPPER, "NSS_WRAPPER_SHADOW": str(folder / "shadow")}
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", folder)
        env[f"NSS_WRAPPER_{name.upper()}"] = str(folder / name)
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen([program, "-D", "-e", "-f", folder / "conf"], env=env, stderr=subprocess.DEVNULL)
    try:
        await until_it_accepts(port)
        yield f"127.0.0.1:{port}/{folder}"
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


async def test_a_real_server_gives_every_byte(sshd: str, request: pytest.FixtureRequest) -> None:
    lab = Lab()
    for scheme in ("scp", "sftp"):
        for size in SIZES if "curve" in request.node.name else (0, 4097):
            assert await lab.content(f"{scheme}://root:s3cret@{sshd}/{size}", scheme) == content(size)
        assert (await lab.fetch(f"{scheme}://root:s3cret@{sshd}/nothing")).outcome == "missing"
        assert (await lab.fetch(f"{scheme}://root:wrong@{sshd}/1")).reason == "SSH login failed"
    assert (await lab.fetch(f"scp://root:s3cret@{sshd}")).reason.startswith("rcp: scp: ")  # a folder
    result = await Lab(bytes_max=100_000).fetch(f"sftp://root:s3cret@{sshd}/1500000")
    assert (result.outcome, result.size, result.reason) == ("partial", 100_000, "more than 100000 bytes")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"220 ftp\r\n" * 100, "no SSH"),
        (b"SSH-1.5-old\r\n", "no SSH"),
        (b"x" * 200_000, "line too long"),
        (b"SSH-2.0-x\r\n\0\0\0\5xxxxxxxx", "SSH: a packet of no size"),
        (b"SSH-2.0-x\r\n\xff\xff\xff\xffxxxxxxxx", "SSH: a packet of no size"),
        (b"SSH-2.0-x\r\n\0\0\0\x0c\6\1" + bytes(10), "SSH: the server hung up"),
        (b"SSH-2.0-x\r\n\0\0\0\x0c\6\x14" + bytes(10), "SSH: a message that is too short"),
        (b"SSH-2.0-x\r\n" + (b"\0\0\0\x0c\6\2" + bytes(10)) * 5000, "SSH: nothing but noise"),
        (b"SSH-2.0-x\r\n\0\0\0\x0c\xff\1" + bytes(10), "SSH: an empty packet"),
        (b"SSH-2.0-x\r\n", "silent for 0.2 s"),
    ],
)
async def test_servers_that_are_none(said: bytes, reason: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read()

    async with serving(talk) as port:
        result = await Lab(idle_s_max=0.2).fetch(f"scp://127.0.0.1:{port}/x")
    assert (result.outcome, result.reason) == ("failed", reason)


def test_a_machine_without_the_package_says_so() -> None:
    code = (
        "import asyncio, sys; sys.modules['cryptography'] = None; from payload.servers import Lab;"
        "print(asyncio.run(Lab().fetch('scp://127.0.0.1/x')).reason)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert said.stdout == "scp: cryptography is not on this machine\n", said.stderr
