"""What tells of the machine: `systeminfo`, `tasklist`, `whoami`, `wmic`, and what changes it in name only."""

from __future__ import annotations

from collections.abc import Generator

from eudaemon.world.outside import Downloaded
from eudaemon.world.shell.acts import Act, Pause
from eudaemon.world.windows.call import Call, Command, Run, switches
from eudaemon.world.windows.paths import shown

_DEFAULT_SLEEP_S = 1.0


def hostname(call: Call) -> int:
    """Say the machine's name."""
    call.line(call.machine.name)
    return 0


_PRIVILEGES = (
    ("SeAssignPrimaryTokenPrivilege", "Replace a process level token", "Disabled"),
    ("SeTcbPrivilege", "Act as part of the operating system", "Enabled"),
    ("SeImpersonatePrivilege", "Impersonate a client after authentication", "Enabled"),
    ("SeDebugPrivilege", "Debug programs", "Enabled"),
    ("SeChangeNotifyPrivilege", "Bypass traverse checking", "Enabled"),
    ("SeShutdownPrivilege", "Shut down the system", "Disabled"),
    ("SeBackupPrivilege", "Back up files and directories", "Disabled"),
    ("SeRestorePrivilege", "Restore files and directories", "Disabled"),
)


def whoami(call: Call) -> int:
    """Say who we are."""
    user = call.shell.user.lower()
    options, _ = switches(call.args)
    if "priv" in options or "all" in options:
        call.lines("\nPRIVILEGES INFORMATION\n----------------------\n\n")
        call.line(f"{'Privilege Name':<32}{'Description':<46}State   ")
        call.line(f"{'=' * 31} {'=' * 45} {'=' * 8}")
        for name, description, state in _PRIVILEGES:
            call.line(f"{name:<32}{description:<46}{state:<8}")
    elif "groups" in options:
        call.lines("\nGROUP INFORMATION\n-----------------\n\n"
                   "Group Name                             Type             SID          Attributes\n"
                   "====================================== ================ ============ ========================\n"
                   "BUILTIN\\Administrators                 Alias            S-1-5-32-544 Enabled by default, Enabled "
                   "group, Group owner\n"
                   "Everyone                               Well-known group S-1-1-0      Mandatory group, Enabled "
                   "by default, Enabled group\n")  # fmt: skip
    elif "user" in options:
        sid = "S-1-5-18" if user.endswith("\\system") else f"{call.machine.sid}-500"
        call.lines(f"\nUSER INFORMATION\n----------------\n\nUser Name           SID\n=================== ========\n"
                   f"{user} {sid}\n")  # fmt: skip
    else:
        call.line(user)
    return 0


def systeminfo(call: Call) -> int:
    """List what the machine is."""
    machine, at_s = call.machine, call.at_s
    booted = machine.local(at_s - machine.uptime_s(at_s))
    release = machine.release
    role = "Standalone Server" if release.server else "Standalone Workstation"
    service_pack = f"{release.service_pack} " if release.service_pack else "N/A "
    total, free = machine.memory_mb, machine.memory_mb * (35 + machine.seed.number("free memory", 40)) // 100
    fixes = "".join(f"\n                           [{number:02d}]: {fix}" for number, fix in
                    enumerate(machine.hotfixes, 1))  # fmt: skip
    rows = (
        ("Host Name", machine.name), ("OS Name", f"{machine.caption} "),
        ("OS Version", f"{release.version} {service_pack}Build {release.build}"),
        ("OS Manufacturer", "Microsoft Corporation"), ("OS Configuration", role),
        ("OS Build Type", "Multiprocessor Free"), ("Registered Owner", machine.owner), ("Registered Organization", ""),
        ("Product ID", machine.product_id),
        ("Original Install Date", f"{_date(machine.local(machine.installed_s))}"), ("System Boot Time", _date(booted)),
        ("System Manufacturer", machine.manufacturer), ("System Model", machine.model), ("System Type", "x64-based PC"),
        ("Processor(s)", f"1 Processor(s) Installed.\n                           [01]: {machine.cpu_family}"),
        ("Windows Directory", "C:\\Windows"), ("System Directory", "C:\\Windows\\system32"),
        ("Boot Device", "\\Device\\HarddiskVolume1"), ("System Locale", "en-us;English (United States)"),
        ("Input Locale", "en-us;English (United States)"),
        ("Total Physical Memory", f"{total:,} MB"), ("Available Physical Memory", f"{free:,} MB"),
        ("Virtual Memory: Max Size", f"{total * 2:,} MB"), ("Virtual Memory: Available", f"{free * 2:,} MB"),
        ("Virtual Memory: In Use", f"{(total - free) * 2:,} MB"), ("Page File Location(s)", "C:\\pagefile.sys"),
        ("Domain", machine.workgroup), ("Logon Server", f"\\\\{machine.name}"),
        ("Hotfix(s)", f"{len(machine.hotfixes)} Hotfix(s) Installed.{fixes}"),
        ("Network Card(s)", f"1 NIC(s) Installed.\n                           [01]: Intel(R) 82574L Gigabit Network "
                            f"Connection\n                                 Connection Name: Local Area Connection\n"
                            f"                                 DHCP Enabled:    No\n"
                            f"                                 IP address(es)\n"
                            f"                                 [01]: {machine.address}"),
    )  # fmt: skip
    call.line()
    for name, value in rows:
        call.lines(f"{name + ':':<27}{value}\n")
    return 0


def _date(when: object) -> str:
    return f"{when:%-m/%-d/%Y, %-I:%M:%S %p}"


def tasklist(call: Call) -> int:
    """List processes."""
    options, rest = switches(call.args)
    rows = list(call.machine.processes)
    own = 400 + int(call.machine.uptime_s(call.at_s)) % 9_000 // 4 * 4
    rows += [("cmd.exe", own, "Services", 2_960), ("tasklist.exe", own + 64, "Services", 5_812)]
    wanted = " ".join(rest).lower()
    if "fi" in options:
        name = wanted.replace('"', "").split(" eq ")[-1].strip().strip("*")
        rows = [row for row in rows if name in row[0].lower() or name == str(row[1])]
        if not rows:
            call.line("INFO: No tasks are running which match the specified criteria.")
            return 0
    if "fo" in options and "csv" in wanted:
        for name, number, session, size in rows:
            call.line(f'"{name}","{number}","{session}","{int(session == "Console")}","{size:,} K"')
        return 0
    if "svc" in options:
        call.line(f"\r\n{'Image Name':<25} {'PID':>8} Services\r\n{'=' * 25} {'=' * 8} {'=' * 44}")
        for name, number, _, _ in rows:
            call.line(f"{name[:25]:<25} {number:>8} N/A")
        return 0
    call.line(f"\r\n{'Image Name':<25} {'PID':>8} {'Session Name':<16} {'Session#':>11} {'Mem Usage':>12}")
    call.line(f"{'=' * 25} {'=' * 8} {'=' * 16} {'=' * 11} {'=' * 12}")
    for name, number, session, size in rows:
        call.line(f"{name[:25]:<25} {number:>8} {session:<16} {int(session == 'Console'):>11} {f'{size:,} K':>12}")
    return 0


def taskkill(call: Call) -> int:
    """Pretend to end processes; those of the machine stay."""
    words, status, killed = call.args, 128, False
    for index, word in enumerate(words[:-1]):
        target = words[index + 1]
        if word.lower() == "/im":
            match = [row for row in call.machine.processes if row[0].lower() == target.lower()]
            if not match:
                call.error(f'ERROR: The process "{target}" not found.')
            for name, number, _, _ in match:
                call.line(f'SUCCESS: The process "{name}" with PID {number} has been terminated.')
            killed |= bool(match)
        elif word.lower() == "/pid":
            if any(str(row[1]) == target for row in call.machine.processes):
                call.line(f"SUCCESS: The process with PID {target} has been terminated.")
                killed = True
            else:
                call.error(f'ERROR: The process "{target}" not found.')
    if not words:
        return call.error('ERROR: Invalid syntax. Neither /FI nor /PID nor /IM were specified.\r\n'
                          'Type "TASKKILL /?" for usage.')  # fmt: skip
    return 0 if killed else status


def waiting(seconds: float, call: Call) -> Generator[Act, Downloaded | None, None]:
    """Let time pass, if somebody watches."""
    left = call.shell.budget.sleep(seconds)
    if call.shell.watched and left > 0:
        yield Pause(left)


def timeout(call: Call) -> Run:
    """Wait."""
    options, rest = switches(call.args)
    text = options.get("t", "") or (rest[0] if rest else "")
    yield from waiting(min(float(text[:6]), 99_999.0) if text.isdecimal() else _DEFAULT_SLEEP_S, call)
    return 0


def wmic(call: Call) -> Run:
    """`wmic process call create "…"`, and a few questions."""
    lower = " ".join(call.tail.lower().split())
    if "call create" in lower:
        return (yield from _create(call))
    machine = call.machine
    answers = (
        ("os get", "Caption", machine.caption), ("computersystem get", "Model", machine.model),
        ("cpu get", "Name", machine.cpu), ("bios get", "SerialNumber", machine.seed.bytes("bios", 5).hex().upper()),
        ("csproduct get", "Name", machine.model), ("logicaldisk", "Caption", "C:"),
        ("qfe", "HotFixID", "\r\n".join(machine.hotfixes)),
        ("useraccount", "Name", "\r\n".join(machine.users)),
        ("process list", "Name", "\r\n".join(row[0] for row in machine.processes)),
        ("process get", "Name", "\r\n".join(row[0] for row in machine.processes)),
    )  # fmt: skip
    for question, title, answer in answers:
        if question in lower:
            width = max(map(len, (title, *answer.split("\r\n"))))
            call.line("  \r\n".join(line.ljust(width) for line in (title, *answer.split("\r\n"))) + "  \r\n")
            return 0
    if "delete" in lower or "call terminate" in lower or "call" in lower:
        call.line("Method execution successful.")
        return 0
    if "product" in lower or "antivirus" in lower or "where" in lower:
        call.error("No Instance(s) Available.")
        return 0
    call.line(f"{call.name} - Invalid alias verb." if lower else "wmic:root\\cli>")
    return 0


def _create(call: Call) -> Run:
    at = call.tail.lower().index("create") + len("create")
    command = call.tail[at:].strip()
    if command[:1] in "\"'" and command[-1:] == command[:1] and len(command) > 1:
        command = command[1:-1]
    command = command.replace('\\"', '"').replace('\\"', '"')
    call.lines("Executing (Win32_Process)->Create()\n")
    # What it starts has no screen of ours.
    hidden = {number: stream for number, stream in call.streams.items() if number == 0}
    yield from call.shell.evaluator.text(command, call.scope.copy(), hidden)
    number = 2_000 + call.shell.random(4_000) * 4
    call.lines("Method execution successful.\nOut Parameters:\ninstance of __PARAMETERS\n{\n"
               f"\tProcessId = {number};\n\tReturnValue = 0;\n}};\n\n")  # fmt: skip
    return 0


def where(call: Call) -> int:
    """Say where a program stands."""
    from eudaemon.world.windows.programs import find

    _, names = switches(call.args)
    status = 0
    for name in names:
        found = find(call.shell, name, call.scope)
        if isinstance(found, str):
            call.line(f"C:\\Windows\\System32\\{found}.exe")
        elif found is not None:
            call.line(shown(found))
        else:
            status = call.error("INFO: Could not find files for the given pattern(s).")
    return status


def query(call: Call) -> int:
    """Who is logged on: nobody but the administrator, long ago."""
    since = call.machine.local(call.at_s - call.machine.uptime_s(call.at_s) / 2)
    call.lines(" USERNAME              SESSIONNAME        ID  STATE   IDLE TIME  LOGON TIME\n"
               f" {call.machine.administrator.lower():<22}{'console':<19}{1:>2}  {'Active':<8}{'none':>9}  "
               f"{since:%-m/%-d/%Y %-I:%M %p}\n")  # fmt: skip
    return 0


def silent(call: Call) -> int:  # noqa: ARG001
    """What succeeds and says nothing."""
    return 0


def _saying(text: str) -> Command:
    def say(call: Call) -> int:
        """Say that it was done."""
        call.lines(text)
        return 0

    return say


def icacls(call: Call) -> int:
    """Change nobody's rights."""
    path = call.args[0] if call.args else ""
    call.line(f"processed file: {path}\r\nSuccessfully processed 1 files; Failed processing 0 files")
    return 0


def shutdown(call: Call) -> int:  # noqa: ARG001
    """It will not."""
    return 0


TABLE: dict[str, Command] = {
    "hostname": hostname, "whoami": whoami, "systeminfo": systeminfo, "tasklist": tasklist, "taskkill": taskkill,
    "tskill": silent, "timeout": timeout, "sleep": timeout, "wmic": wmic, "where": where, "query": query,
    "quser": query, "qwinsta": query, "icacls": icacls, "cacls": icacls, "takeown": _saying(
        "\nSUCCESS: The file (or folder) now is owned by the administrators group.\n"),
    "shutdown": shutdown, "logoff": silent, "vssadmin": _saying(
        "vssadmin 1.1 - Volume Shadow Copy Service administrative command-line tool\n"
        "(C) Copyright 2001-2013 Microsoft Corp.\n\nNo items found that satisfy the query.\n"),
    "bcdedit": _saying("The operation completed successfully.\n"), "wbadmin": silent, "wevtutil": silent,
    "powercfg": silent, "fsutil": silent, "cipher": silent, "gpupdate": _saying("Updating policy...\n\n"),
    "chcp": _saying("Active code page: 437\n"), "mode": silent, "label": silent, "chkdsk": silent, "lsass": silent,
    "dism": silent, "sfc": silent, "mountvol": silent, "diskpart": silent, "compact": silent, "subst": silent,
}  # fmt: skip
