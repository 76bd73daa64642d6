"""The system and its processes: `uname`, `ps`, `kill`, `uptime`, `date`, `passwd`, `crontab`, `nvram`.

And what only succeeds."""

from __future__ import annotations

from datetime import UTC, datetime

from eudaemon.world.files import Device, FileError, Written
from eudaemon.world.kernel import load, memory, processes
from eudaemon.world.shell.acts import Pause
from eudaemon.world.shell.call import Applet, Call, Run, number, options, text
from eudaemon.world.shell.streams import content

_HOST_NAME_BYTES_MAX = 64  # the kernel's own
_SCREEN_LINES = 23
_CRONTABS = b"/var/spool/cron/crontabs/"


def uname(call: Call) -> int:
    """The system's name."""
    given, _ = options(call.args)
    host = call.host
    parts = {"s": "Linux", "n": call.shell.hostname, "r": host.kernel, "v": host.build_line, "m": host.machine.uname,
             "p": "unknown", "o": "GNU/Linux"}  # fmt: skip
    wanted = "snrvmo" if "a" in given else "".join(letter for letter in "snrvmpo" if letter in given) or "s"
    call.line(" ".join(parts[letter] for letter in wanted))
    return 0


def identity(call: Call) -> int:
    """`id`, `whoami`."""
    given, _ = options(call.args)
    user, group = (word.partition("=")[2].rstrip(")").split("(") for word in call.host.identity.split(" ")[:2])
    if call.name == "whoami":
        call.line(user[1])
    elif "u" in given:
        call.line(user["n" in given])
    elif "g" in given:
        call.line(group["n" in given])
    else:
        call.line(call.host.identity)
    return 0


def hostname(call: Call) -> int:
    """Show the name; setting it holds for the session."""
    if not call.args or call.args[0][:1] == b"-":
        call.line(call.host.address if call.args and call.args[0] == b"-i" else call.shell.hostname)
    elif len(call.args[0]) > _HOST_NAME_BYTES_MAX:
        return call.error("sethostname: Invalid argument")
    else:
        call.shell.hostname = text(call.args[0])
    return 0


def uptime(call: Call) -> int:
    """How long it has been up."""
    seconds = int(call.host.uptime_s(call.at_s))
    days, rest = divmod(seconds, 86_400)
    hours, minutes = divmod(rest // 60, 60)
    up = (f"{days} days, " if days else "") + (f"{hours:>2}:{minutes:02d}" if hours else f"{minutes} min")
    now = datetime.fromtimestamp(call.at_s, UTC)
    call.out(
        f" {now:%H:%M:%S} up {up},  load average: ".encode() + load(call.host, call.at_s).replace(b" ", b", ") + b"\n"
    )
    return 0


def date(call: Call) -> int:
    """The time; setting it works."""
    given, rest = options(call.args, "sdrD")
    now = datetime.fromtimestamp(call.at_s, UTC)
    if "s" in given:
        return 0
    if rest and rest[0][:1] == b"+":
        call.out(_formatted(rest[0][1:], now, call.at_s) + b"\n")
    else:
        call.line(f"{now:%a %b} {now.day:>2} {now:%H:%M:%S} UTC {now.year}")
    return 0


def _formatted(form: bytes, now: datetime, at_s: float) -> bytes:
    out = bytearray()
    at = 0
    while at < len(form):
        if form[at : at + 1] == b"%" and at + 1 < len(form):
            letter = chr(form[at + 1])
            if letter == "s":
                out += b"%d" % at_s
            elif letter == "n":
                out += b"\n"
            elif letter in "aAbBcdHIjmMpSuwyYTDFRZ%e":
                out += now.strftime("%" + letter).encode("latin-1", "replace")
            at += 2
        else:
            out.append(form[at])
            at += 1
    return bytes(out)


def who(call: Call) -> int:
    """`w`, `who`, `last`: nobody but the one who asks, and that one is not written down."""
    call.line("USER\t\tTTY\t\tIDLE\tTIME\t\t HOST")
    return 0


def ps(call: Call) -> int:
    """The processes."""
    call.line("  PID USER       VSZ STAT COMMAND")
    for pid, size, state, command in processes(call.host, call.shell.pid, call.name):
        call.line(f"{pid:>5} root     {size or '':>5} {state:<4} {command}")
    return 0


def top(call: Call) -> int:
    """One screen of `top`; with `-b` all rows, however many."""
    given, _ = options(call.args, "nd")
    total, left, buffers, cached = memory(call.host, call.at_s)
    call.line(f"Mem: {total - left}K used, {left}K free, 0K shrd, {buffers}K buff, {cached}K cached")
    call.line("CPU:   2% usr   3% sys   0% nic  94% idle   0% io   0% irq   0% sirq")
    call.out(b"Load average: " + load(call.host, call.at_s) + b" 1/48 %d\n" % call.host.pid_at(call.at_s))
    call.line("  PID  PPID USER     STAT   VSZ %VSZ %CPU COMMAND")
    for pid, size, state, command in processes(call.host, call.shell.pid, call.name)[: None if "b" in given else 18]:
        call.line(
            f"{pid:>5} {int(pid > 1):>5} root     {state:<4} {size:>5}   {100 * size // max(1, total):>2}%   0% "
            f"{command}"
        )
    return 0


def kill(call: Call) -> int:
    """Signals reach whom they name, and change nothing; the session's own shell ends."""
    given, rest = options(call.args, "s")
    if "l" in given:
        call.line(" 1) HUP\n 2) INT\n 3) QUIT\n 9) KILL\n15) TERM")
        return 0
    known = {pid for pid, *_ in processes(call.host, call.shell.pid, call.name)}
    status = 0
    for target in rest:
        if number(target, -1) == call.shell.pid and call.scope.name == call.host.shell_name:
            if "9" in given or given.get("s") in (b"9", b"KILL"):
                call.shell.leave()
        elif target[:1] != b"%" and number(target, -1) not in known:
            call.say(f"{text(call.scope.name)}: can't kill pid {text(target)}: No such process\n")
            status = 1
    return status


def kill_all(call: Call) -> int:
    """`killall`, `pkill`."""
    given, names = options(call.args, "s")
    running = _running(call)
    status = 0
    for name in names:
        if name not in running:
            status = 1 if "q" in given or call.name == "pkill" else call.error(f"{text(name)}: no process killed")
    return status


def pid_of(call: Call) -> int:
    """`pidof`, `pgrep`."""
    _, names = options(call.args)
    running = _running(call)
    found = [running[name] for name in names if name in running]
    if found:
        call.line(" ".join(map(str, found)))
    return int(not found)


def _running(call: Call) -> dict[bytes, int]:
    return {command.strip("[]").split(" ")[0].rpartition("/")[2].encode(): pid
            for pid, _, _, command in processes(call.host, call.shell.pid, call.name)}  # fmt: skip


def dmesg(call: Call) -> int:
    """The kernel's first lines."""
    host = call.host
    call.line(f"{host.version_line}\nCPU: {host.machine.uname}\nMemory: {host.memory_kb}k/{host.memory_kb + 4096}k "
              f"available\nCalibrating delay loop... {host.bogomips} BogoMIPS\n"
              f"VFS: Mounted root (squashfs filesystem) readonly.\n"
              f"eth0: MAC address {host.mac}\neth0: link up, 100Mbps, full-duplex")  # fmt: skip
    return 0


def processors(call: Call) -> int:
    """`nproc`."""
    call.line("1")
    return 0


def lscpu(call: Call) -> int:
    """What the processor is."""
    order = "Little Endian" if call.host.machine.data == 1 else "Big Endian"
    call.line(f"Architecture:        {call.host.machine.uname}\nByte Order:          {order}\nCPU(s):              1")
    return 0


def passwd(call: Call) -> Run:
    """The change is taken: from standard input, or from the two lines that are typed next."""
    name = text(call.args[-1])[:64] if call.args else call.shell.user
    call.line(f"Changing password for {name}")
    given: list[bytes] = []
    for question in (b"New password: ", b"Retype password: "):
        call.out(question)
        given.append((yield from call.input_line(hidden=True)).rstrip(b"\n"))
        if not call.typed_at:
            call.out(b"\n")  # which a terminal has shown by itself
    if given[0] != given[1]:
        call.line("Passwords don't match")
        return call.error(f"password for {name} is unchanged")
    call.line(f"passwd: password for {name} changed by root")
    return 0


def restart(call: Call) -> int:
    """`reboot`, `halt`, `poweroff`, `init 6`: whoever is connected is cut off."""
    if call.name != "init" or call.args[:1] in ([b"0"], [b"6"]):
        call.shell.leave()
    return 0


_LEAVES_EDITOR = (b":q", b":q!", b":x", b":wq", b":wq!", b":x!", b"ZZ", b"ZQ")
_UNITS_S = {b"s": 1.0, b"m": 60.0, b"h": 3600.0, b"d": 86400.0}


def sleep(call: Call) -> Run:
    """`sleep N[smhd]…` and `usleep N` take their time, as far as a line may; one that sleeps on and on ends."""
    if not call.args:
        return call.error("missing operand")
    total_s = 0.0
    for given in call.args:
        unit_s = 1e-6 if call.name == "usleep" else _UNITS_S.get(given[-1:], 0.0)
        figure = given[:-1] if unit_s and call.name == "sleep" else given
        if not figure.replace(b".", b"", 1).isdigit():
            return call.error(f"invalid number '{text(given)}'")
        total_s += float(figure[:18]) * (unit_s or 1.0)
    seconds = call.shell.budget.sleep(total_s)
    if seconds and not call.shell.unwatched:
        yield Pause(seconds)
    return 0


def modules(call: Call) -> int:
    """`lsmod`: all is built in."""
    call.line("Module                  Size  Used by    Not tainted")
    return 0


def vi(call: Call) -> Run:
    """One screen of the editor. It keeps the screen until it is told to quit; nothing is edited."""
    _, paths = options(call.args, "c")
    shown = paths[0] if paths else b"-"
    try:
        data = call.read_file(shown) if paths else b""
    except FileError:
        data = b""
    lines = data.split(b"\n")[:-1]
    rows = [*lines[:_SCREEN_LINES], *([b"~"] * (_SCREEN_LINES - max(1, len(lines))))]
    if not lines:
        rows.insert(0, b"")
    place = f" 1/{len(lines)} {100 // len(lines)}%" if lines else " 1/1 100%"
    status = b"- " + (shown if paths else b"No file") + place.encode()
    if call.on_terminal and not call.shell.unwatched:
        call.out(b"\x1b[H\x1b[J" + b"\n".join(rows) + b"\n" + status + b"\x1b[H")
        while line := (yield from call.input_line()):
            if line.rstrip(b"\n").endswith(_LEAVES_EDITOR):
                break
        call.out(b"\x1b[24;1H\x1b[K")
    else:
        call.out(b"\x1b[H\x1b[J" + b"\n".join(rows) + b"\n" + status + b"\n")
    return 0


def chpasswd(call: Call) -> Run:
    """Take `user:password` lines."""
    while line := (yield from call.input_line()):
        name, colon, _ = line.partition(b":")
        if colon:
            call.line(f"Password for '{text(name)}' changed")
    return 0


def crontab(call: Call) -> Run:
    """`-l`, `-r`, a file, or standard input: what is to be run is a file of the attacker's."""
    given, rest = options(call.args, "uc")
    path = _CRONTABS + (given.get("u") or b"root").replace(b"/", b"_")[:64]
    node = call.files.find(path)
    if "l" in given:
        if not isinstance(node, Written):
            return call.error("can't open 'root': No such file or directory")
        call.out(content(node, call.at_s))
        return 0
    if "r" in given:
        if isinstance(node, Written):
            yield from call.shell.keep(path, node)
            call.files.remove(path)
        return 0
    try:
        data = yield from call.read(rest[0] if rest else b"-")
        yield from call.shell.keep_before(path)
        call.write(path, data)
    except FileError as error:
        return call.error(str(error))
    return 0


def nvram(call: Call) -> int:
    """`get` knows the addresses; `set` and `commit` work."""
    known = {b"lan_ipaddr": call.host.address, b"lan_hwaddr": call.host.mac, b"wan_gateway": call.host.gateway}
    if call.args[:1] == [b"get"] and len(call.args) > 1:
        call.line(known.get(call.args[1], ""))
    elif call.args[:1] == [b"show"]:
        for name, value in known.items():
            call.line(f"{text(name)}={value}")
    return 0


def history(call: Call) -> int:
    """What was typed is not written down."""
    if not call.args:
        call.line("    0 history")
    return 0


def clear(call: Call) -> int:
    """Clear the screen."""
    call.out(b"\x1b[H\x1b[J")
    return 0


def succeed(call: Call) -> int:  # noqa: ARG001
    """Succeed and say nothing."""
    return 0


def tty(call: Call) -> int:
    """The terminal's name."""
    call.line("/dev/pts/0" if call.on_terminal else "not a tty")
    return 0


def sysctl(call: Call) -> int:
    """Show a value; setting one shows it too."""
    _, rest = options(call.args, "p")
    for pair in rest:
        name, equals, value = pair.partition(b"=")
        if equals:
            call.out(name + b" = " + value + b"\n")
            continue
        node = call.files.find(b"/proc/sys/" + name.replace(b".", b"/"))
        if node is None or isinstance(node, Device):
            return call.error(f"error: '{text(name)}' is an unknown key")
        call.out(name + b" = " + call.read_file(b"/proc/sys/" + name.replace(b".", b"/")))
    return 0


_SUCCEEDING = (
    "chattr lsattr "
    "sync insmod modprobe rmmod logger syslogd klogd crond telnetd udhcpc udhcpd getty swapon "
    "swapoff "
    "umount hwclock mdev ntpclient stty reset watchdog setconsole fuser start-stop-daemon "
    "dropbear "
    "pivot_root login logread fdisk uuencode"
)
TABLE: dict[str, Applet] = {
    "uname": uname, "id": identity, "whoami": identity, "hostname": hostname, "uptime": uptime, "date": date, "w": who,
    "who": who, "last": who, "ps": ps, "top": top, "kill": kill, "killall": kill_all,
    "pkill": kill_all, "pidof": pid_of,
    "pgrep": pid_of, "dmesg": dmesg, "nproc": processors, "lscpu": lscpu, "passwd": passwd, "chpasswd": chpasswd,
    "crontab": crontab, "nvram": nvram, "history": history, "clear": clear, "tty": tty, "sysctl": sysctl,
    "reboot": restart, "halt": restart, "poweroff": restart, "init": restart, "sleep": sleep, "usleep": sleep,
    "lsmod": modules, "vi": vi,
    **dict.fromkeys(_SUCCEEDING.split(), succeed),
}  # fmt: skip
