"""What brings files from outside: `ftp`, `tftp`, `certutil`'s half of it, `bitsadmin`, `curl`, `msiexec`, `mshta`, …

Each only wishes. What is brought as a script (`mshta URL`, `regsvr32 /i:URL`) is read as one.
"""

from __future__ import annotations

from eudaemon.world.files import FileError
from eudaemon.world.outside import Downloaded
from eudaemon.world.windows.call import BROUGHT, Call, Command, Run, name_in, switches, url_in, words
from eudaemon.world.windows.commands.ftp import ftp
from eudaemon.world.windows.commands.scripting import run_text
from eudaemon.world.windows.paths import NO_FILE

_URL_CHARS_MAX = 4096
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


def absolute(url: str) -> str:
    """Return a URL with its scheme."""
    url = url[:_URL_CHARS_MAX].strip().strip("'\"").replace("\\/", "/")
    return url if "://" in url else f"http://{url}"


def tftp(call: Call) -> Run:
    """`tftp [-i] host get source [destination]`."""
    args = [arg for arg in call.args if arg.lower() != "-i"]
    if len(args) < 3:
        return call.error("\r\nTransfers files to and from a remote computer running the TFTP service.\r\n\r\n"
                          "TFTP [-i] host [GET | PUT] source [destination]\r\n")  # fmt: skip
    host, verb, remote = args[0], args[1].lower(), args[2]
    if verb != "get":
        return call.error("Timeout occurred\r\nConnect request failed")
    target = args[3] if len(args) > 3 else remote.replace("/", "\\").rpartition("\\")[2]
    where = remote.replace("\\", "/").lstrip("/")
    authority = f"[{host}]" if host.count(":") > 1 else host
    got = yield from call.fetch(f"tftp://{authority}/{where}", "tftp", target)
    if got.outcome == "missing":
        return call.error("Error on server : File not found\r\nConnect request failed")
    if got.outcome not in BROUGHT:
        return call.error("Timeout occurred\r\nConnect request failed")
    seconds = max(1, got.size // 400_000)
    call.line(f"Transfer successful: {got.size} bytes in {seconds} second(s), {got.size // seconds} bytes/s")
    return 0


def bitsadmin(call: Call) -> Run:
    """`/transfer job [options] URL file …` and `/addfile job URL file`."""
    args = call.args
    lower = [arg.lower() for arg in args]
    call.lines("\nBITSADMIN version 3.0 [ 7.5.7601 ]\nBITS administration utility.\n(C) Copyright 2000-2006 Microsoft "
               "Corp.\n\n")  # fmt: skip
    brought = True
    for index, arg in enumerate(args[:-1]):
        if "://" not in arg:
            continue
        got = yield from call.fetch(absolute(arg), "bitsadmin", args[index + 1])
        brought &= got.outcome in BROUGHT
    if "/transfer" in lower:
        if not brought:
            call.line("Unable to complete transfer.")
            return 1
        call.line("Transfer complete.")
    elif "/setnotifycmdline" in lower:
        at = lower.index("/setnotifycmdline")
        command = " ".join(arg for arg in args[at + 2 :] if arg.upper() != "NULL")
        return (yield from call.shell.apart(command, call.scope.copy(), {}))
    else:
        call.line("Job created.")
    return 0


def curl(call: Call) -> Run:
    """Retrieve files, to standard output unless `-o` or `-O`."""
    args, urls, target, own_name, silent = call.args, [], "", False, False
    at = 0
    while at < len(args):
        arg = args[at]
        if arg in ("-o", "--output"):
            target, at = (args[at + 1] if at + 1 < len(args) else ""), at + 1
        elif arg[:2] == "-o" and arg[2:]:
            target = arg[2:]
        elif arg[:1] == "-" and arg[:2] != "--" and arg[-1:] in ("o", "A", "H", "d", "X", "x", "u", "e", "m", "b", "T"):
            if arg.endswith("o"):
                target = args[at + 1] if at + 1 < len(args) else ""
            at += 1
        elif arg[:1] == "-":
            own_name |= arg == "--remote-name" or (arg[:2] != "--" and "O" in arg)
            silent |= arg[:2] != "--" and "s" in arg
        else:
            urls.append(absolute(arg))
        at += 1
    if not urls:
        return call.error("curl: try 'curl --help' for more information", 2)
    for url in urls[:16]:
        place = target or (name_in(url) if own_name else "")
        got = yield from call.fetch(url, "curl", place)
        if got.outcome not in BROUGHT and got.outcome != "missing":
            host = url.partition("://")[2].partition("/")[0]
            return call.error(f"curl: (7) Failed to connect to {host.partition(':')[0]} port "
                              f"{host.partition(':')[2] or 80}: Connection refused", 7)  # fmt: skip
        if not place:
            call.out(call.taken(got.head))
        elif not silent:
            call.error("  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\r\n"
                       "                                 Dload  Upload   Total   Spent    Left  Speed\r\n"
                       f"100 {got.size:>5}  100 {got.size:>5}    0     0  {got.size:>6}      0 --:--:-- --:--:-- "
                       f"--:--:-- {got.size:>6}")  # fmt: skip
    return 0


def msiexec(call: Call) -> Run:
    """Install a package: `/i URL`, `/i file`."""
    for arg in call.args:
        if "://" in arg or arg.startswith("\\\\"):
            url = absolute(arg[arg.lower().find("http") :] if "://" in arg else _share(arg))
            yield from call.fetch(url, "msiexec", "")
            return 0
    _, rest = switches(call.args)
    for path in rest[:1]:
        if call.shell.drives.find(path, call.scope.cwd) is None:
            return 1619
    return 0


def _share(path: str) -> str:
    from eudaemon.world.windows.programs import share_url

    return share_url(path)


def mshta(call: Call) -> Run:
    """Run a page of the internet, a file, or a script that stands on the line."""
    text = call.tail.strip()
    lower = text.lower().lstrip('"')
    if lower.startswith(("javascript:", "vbscript:", "about:")):
        return (yield from run_text(call, text.strip('"').partition(":")[2]))
    return (yield from _script_from(call, text.strip('"'), "mshta"))


def regsvr32(call: Call) -> Run:
    """Register a library; `/i:URL scrobj.dll` runs a scriptlet of the internet."""
    options, rest = switches(call.args)
    if where := options.get("i"):
        return (yield from _script_from(call, where, "regsvr32"))
    for path in rest[:1]:
        if call.shell.drives.find(path, call.scope.cwd) is None:
            return 3
    return 0


def rundll32(call: Call) -> Run:
    """Call a library's function: what is known to start something starts it, all else says nothing."""
    text = call.tail.strip()
    lower = text.lower()
    if "javascript:" in lower or "vbscript:" in lower:
        at = max(lower.find("javascript:"), lower.find("vbscript:"))
        return (yield from run_text(call, text[at:].partition(":")[2]))
    if text.strip('"').startswith("\\\\"):
        path = text.strip('"').partition(",")[0]
        yield from call.shell.download(_share(path), "rundll32", path.rpartition("\\")[2].encode("latin-1", "replace"))
        return 0
    if any(
        name in lower for name in ("openurl", "fileprotocolhandler", "routethecall", "shellexec_rundll", "openurla")
    ):
        argument = text.partition(",")[2].partition(" ")[2].strip().strip('"')
        if "://" in argument:
            yield from call.fetch(absolute(argument), "rundll32", "")
            return 0
        return (yield from call.shell.apart(argument, call.scope.copy(), {}))
    library = words(text.partition(",")[0])
    if library:
        yield from call.shell.keep_at(library[0], call.scope)
    return 0


def cmstp(call: Call) -> Run:
    """Read an .inf file, and run the scriptlets that it names."""
    _, rest = switches(call.args)
    for path in rest[:1]:
        try:
            text = call.read(path).decode("latin-1")
        except FileError:
            return 1
        if url := url_in(text):
            yield from _script_from(call, url, "cmstp")
    return 0


def _script_from(call: Call, where: str, tool: str) -> Run:
    """Fetch or read a script, and read what it does."""
    where = where.strip()
    if "://" in where or where.startswith("\\\\"):
        url = absolute(where) if "://" in where else _share(where)
        got: Downloaded = yield from call.shell.download(url, tool, name_in(url).encode("latin-1", "replace"))
        if got.outcome in BROUGHT:
            yield from run_text(call, call.taken(got.head).decode("latin-1"))
        return 0
    try:
        data = call.read(where)
    except FileError:
        return call.error(NO_FILE)
    yield from call.shell.keep_at(where, call.scope)
    return (yield from run_text(call, call.use(data).decode("latin-1")))


def browser(call: Call) -> Run:
    """A browser that is started with a URL."""
    if url := url_in(call.tail):
        yield from call.fetch(url, call.name, "")
        return 0
    text = call.tail.strip().strip('"')
    if call.name == "explorer" and text and not text.lower().startswith("/") and "\\" in text:
        return (yield from call.shell.apart(f'"{text}"', call.scope.copy(), {}))
    return 0


def wget(call: Call) -> Run:
    """A wget that somebody has installed: `-O file`, or the URL's name."""
    args, target, url = call.args, "", ""
    for index, arg in enumerate(args):
        if arg in ("-O", "--output-document") and index + 1 < len(args):
            target = args[index + 1]
        elif arg[:1] != "-" and arg != target and not url:
            url = absolute(arg)
    if not url:
        return call.error("wget: missing URL")
    got = yield from call.fetch(url, "wget", target or name_in(url) or "index.html")
    return 0 if got.outcome in BROUGHT else 4


TABLE: dict[str, Command] = {
    "ftp": ftp, "tftp": tftp, "bitsadmin": bitsadmin, "curl": curl, "msiexec": msiexec, "mshta": mshta,
    "regsvr32": regsvr32, "rundll32": rundll32, "cmstp": cmstp, "odbcconf": rundll32, "iexplore": browser,
    "explorer": browser, "hh": browser, "presentationhost": browser,
}  # fmt: skip
