"""`net`, `sc`, `schtasks`, `at`: accounts, shares, services and tasks. What a task would run is run, once, unseen."""

from __future__ import annotations

from eudaemon.world.windows.call import Call, Command, Run, words
from eudaemon.world.windows.machine import SERVICES

_DONE = "The command completed successfully.\r\n"


def net(call: Call) -> int | Run:
    """`net user`, `net localgroup`, `net share`, `net start`, `net stop`, `net use`, `net view`, `net time` …"""
    verb, *rest = call.args or [""]
    handler = _VERBS.get(verb.lower())
    if handler is None:
        return call.error("The syntax of this command is:\r\n\r\nNET\r\n"
                          "    [ ACCOUNTS | COMPUTER | CONFIG | CONTINUE | FILE | GROUP | HELP |\r\n"
                          "      HELPMSG | LOCALGROUP | PAUSE | SESSION | SHARE | START |\r\n"
                          "      STATISTICS | STOP | TIME | USE | USER | VIEW ]")  # fmt: skip
    return handler(call, rest)


def _user(call: Call, rest: list[str]) -> int:
    names = [arg for arg in rest if not arg.startswith("/")]
    machine = call.machine
    if any(arg.lower().startswith(("/add", "/del", "/active")) for arg in rest) or len(names) > 1:
        call.line(_DONE)
        return 0
    if not names:
        call.lines(f"\nUser accounts for \\\\{machine.name}\n\n{'-' * 79}\n")
        users = sorted(machine.users)
        for start in range(0, len(users), 3):
            call.line("".join(f"{name:<25}" for name in users[start : start + 3]))
        call.line(_DONE)
        return 0
    if names[0].lower() not in (name.lower() for name in machine.users):
        return call.error(
            "The user name could not be found.\r\n\r\nMore help is available by typing NET HELPMSG 2221.\r\n", 2
        )
    group = "*Administrators" if names[0].lower() == machine.administrator.lower() else "*Users"
    call.lines(f"User name                    {names[0]}\nFull Name\nComment\nUser's comment\n"
               "Country code                 000 (System Default)\nAccount active               Yes\n"
               "Account expires              Never\n\nPassword last set            "
               f"{machine.local(machine.installed_s):%-m/%-d/%Y %-I:%M:%S %p}\n"
               "Password expires             Never\nPassword required            Yes\n\n"
               f"Local Group Memberships      {group}\nGlobal Group memberships     *None\n")  # fmt: skip
    call.line(_DONE)
    return 0


def _localgroup(call: Call, rest: list[str]) -> int:
    names = [arg for arg in rest if not arg.startswith("/")]
    machine = call.machine
    if any(arg.lower().startswith(("/add", "/del")) for arg in rest):
        call.line(_DONE)
        return 0
    if names:
        call.lines(f"Alias name     {names[0]}\nComment        Administrators have complete and unrestricted access to "
                   f"the computer/domain\n\nMembers\n\n{'-' * 79}\n{machine.administrator}\n")  # fmt: skip
    else:
        groups = ("Administrators", "Backup Operators", "Guests", "Power Users", "Remote Desktop Users", "Users")
        call.lines(f"\nAliases for \\\\{machine.name}\n\n{'-' * 79}\n" + "".join(f"*{group}\n" for group in groups))
    call.line(_DONE)
    return 0


def _share(call: Call, rest: list[str]) -> int:
    if rest:
        call.line(f"{rest[0].partition('=')[0]} was shared successfully.\r\n" if "=" in rest[0] else
                  f"{rest[0]} was deleted successfully.\r\n")  # fmt: skip
        return 0
    call.lines(f"\nShare name   Resource                        Remark\n\n{'-' * 79}\n"
               "C$           C:\\                             Default share\n"
               "IPC$                                         Remote IPC\n"
               "ADMIN$       C:\\Windows                      Remote Admin\n")  # fmt: skip
    call.line(_DONE)
    return 0


def _start(call: Call, rest: list[str]) -> int:
    if not rest:
        call.line("These Windows services are started:\r\n")
        for name, title in SERVICES.items():
            if call.machine.is_running(name):
                call.line(f"   {title}")
        call.line(f"\r\n{_DONE}")
        return 0
    name = " ".join(rest)
    service = _service(name)
    if service is None:
        return call.error(
            "The service name is invalid.\r\n\r\nMore help is available by typing NET HELPMSG 2185.\r\n", 2
        )
    if call.machine.is_running(service):
        return call.error("The requested service has already been started.\r\n\r\n"
                          "More help is available by typing NET HELPMSG 2182.\r\n", 2)  # fmt: skip
    call.line(f"The {SERVICES[service]} service is starting.\r\n"
              f"The {SERVICES[service]} service was started successfully.\r\n")  # fmt: skip
    return 0


def _stop(call: Call, rest: list[str]) -> int:
    service = _service(" ".join(arg for arg in rest if not arg.startswith("/")))
    if service is None:
        return call.error(
            "The service name is invalid.\r\n\r\nMore help is available by typing NET HELPMSG 2185.\r\n", 2
        )
    call.line(f"The {SERVICES[service]} service is stopping.\r\n"
              f"The {SERVICES[service]} service was stopped successfully.\r\n")  # fmt: skip
    return 0


def _service(name: str) -> str | None:
    wanted = name.strip('"').lower()
    return next((one for one, title in SERVICES.items() if wanted in (one.lower(), title.lower())), None)


def _use(call: Call, rest: list[str]) -> int:
    if not rest:
        call.line("New connections will be remembered.\r\n\r\nThere are no entries in the list.\r\n")
        return 0
    if any(arg.lower().startswith("/del") for arg in rest):
        call.line(_DONE)
        return 0
    return call.error("System error 53 has occurred.\r\n\r\nThe network path was not found.\r\n", 2)


def _view(call: Call, rest: list[str]) -> int:  # noqa: ARG001
    return call.error("System error 6118 has occurred.\r\n\r\nThe list of servers for this workgroup is not currently "
                      "available\r\n", 2)  # fmt: skip


def _time(call: Call, rest: list[str]) -> int:  # noqa: ARG001
    now = call.machine.local(call.at_s)
    call.line(f"Current time at \\\\{call.machine.name} is {now:%-m/%-d/%Y %-I:%M:%S %p}\r\n\r\n{_DONE}")
    return 0


def _domain(call: Call, rest: list[str]) -> int:  # noqa: ARG001
    return call.error("This command can be used only on a Windows Domain Controller.\r\n\r\n"
                      "More help is available by typing NET HELPMSG 3515.\r\n", 2)  # fmt: skip


def _fine(call: Call, rest: list[str]) -> int:  # noqa: ARG001
    call.line(_DONE)
    return 0


_VERBS = {"user": _user, "users": _user, "localgroup": _localgroup, "share": _share, "start": _start, "stop": _stop,
          "use": _use, "view": _view, "time": _time, "group": _domain, "accounts": _fine, "session": _fine,
          "config": _fine, "file": _fine}  # fmt: skip


def sc(call: Call) -> int | Run:
    """Services: what one is made to run, is run."""
    args = call.args
    if args and args[0].startswith("\\\\"):
        args = args[1:]
    verb, name = [arg.lower() if at == 0 else arg for at, arg in enumerate([*args, "", ""][:2])]
    if verb in ("create", "config"):
        return _made(call, verb, args)
    if verb in ("start", "stop", "delete", "query", "queryex", "qc"):
        service = _service(name)
        if verb in ("query", "queryex") and not name:
            for one in SERVICES:
                if call.machine.is_running(one):
                    call.lines(_state(one, running=True))
            return 0
        if service is None:
            if verb in ("start", "delete") and (call.shell.registry or {}).get(f"service {name.lower()}") is not None:
                call.line(f"[SC] {'Delete' if verb == 'delete' else 'Start'}Service SUCCESS")
                return 0
            asked = "EnumQueryServicesStatus:" if "query" in verb else ""
            return call.error(f"[SC] {asked}OpenService FAILED 1060:\r\n\r\n"
                              "The specified service does not exist as an installed service.\r\n", 1060)  # fmt: skip
        if verb == "delete":
            call.line("[SC] DeleteService SUCCESS")
        else:
            call.lines(_state(service, running=call.machine.is_running(service) and verb != "stop"))
        return 0
    call.line("[SC] ChangeServiceConfig SUCCESS" if verb in ("failure", "description", "sdset") else
              "DESCRIPTION:\r\n        SC is a command line program used for communicating with the\r\n"
              "        Service Control Manager and services.")  # fmt: skip
    return 0


def _state(name: str, *, running: bool) -> str:
    state = "4  RUNNING" if running else "1  STOPPED"
    return (f"\nSERVICE_NAME: {name}\nDISPLAY_NAME: {SERVICES[name]}\n"
            "        TYPE               : 20  WIN32_SHARE_PROCESS\n"
            f"        STATE              : {state}\n"
            "                                (STOPPABLE, NOT_PAUSABLE, IGNORES_SHUTDOWN)\n"
            "        WIN32_EXIT_CODE    : 0  (0x0)\n        SERVICE_EXIT_CODE  : 0  (0x0)\n"
            "        CHECKPOINT         : 0x0\n        WAIT_HINT          : 0x0\n")  # fmt: skip


def _made(call: Call, verb: str, args: list[str]) -> Run:
    call.line(f"[SC] {'CreateService' if verb == 'create' else 'ChangeServiceConfig'} SUCCESS")
    call.shell.note_registry(f"service {args[1].lower() if len(args) > 1 else ''}", "")
    lower = call.tail.lower()
    at = lower.find("binpath")
    if at >= 0:
        value = call.tail[at:].partition("=")[2].strip()
        if value.startswith('"'):
            value = value[1:].replace('\\"', "\0").partition('"')[0].replace("\0", '"')
        else:
            value = value.partition(" ")[0]
        yield from started(call, value)
    return 0


def started(call: Call, command: str) -> Run:
    """Run what a service or a task would run, unseen; what is wrong with it nobody learns."""
    if not command.strip():
        return 0
    hidden = {number: stream for number, stream in call.streams.items() if number == 0}
    return (yield from call.shell.apart(command, call.scope.copy(), hidden))


def schtasks(call: Call) -> Run:
    """Tasks: what one would run, is run."""
    args = call.args
    lower = [arg.lower() for arg in args]
    if "/create" in lower:
        name = _after(args, "/tn")
        yield from started(call, _after(args, "/tr"))
        call.line(f'SUCCESS: The scheduled task "{name}" has successfully been created.')
        return 0
    if "/run" in lower:
        call.line(f'SUCCESS: Attempted to run the scheduled task "{_after(args, "/tn")}".')
        return 0
    if "/delete" in lower or "/end" in lower or "/change" in lower:
        if "/delete" in lower and "/f" in lower:
            return call.error("ERROR: The system cannot find the file specified.")
        call.line(f'SUCCESS: The parameters of scheduled task "{_after(args, "/tn")}" have been changed.')
        return 0
    call.lines("\nFolder: \\\nTaskName                                 Next Run Time          Status\n"
               "======================================== ====================== ===============\n"
               "GoogleUpdateTaskMachineCore              N/A                    Ready\n")  # fmt: skip
    return 0


def _after(args: list[str], option: str) -> str:
    """Return what follows an option."""
    at = next((index for index, arg in enumerate(args) if arg.lower() == option), len(args))
    return args[at + 1] if at + 1 < len(args) else ""


def at_(call: Call) -> Run:
    """`at 12:00 command`."""
    rest = [arg for arg in words(call.tail) if not arg.startswith("\\\\")]
    if len(rest) > 1:
        yield from started(call, " ".join(arg for arg in rest[1:] if not arg.lower().startswith("/")))
        call.line("Added a new job with job ID = 1")
        return 0
    call.line("There are no entries in the list.")
    return 0


TABLE: dict[str, Command] = {"net": net, "net1": net, "sc": sc, "schtasks": schtasks, "at": at_}
