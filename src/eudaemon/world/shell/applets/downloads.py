"""What brings files from outside: `wget`, `curl`, `tftp`, `ftpget`, `ftp`, `nc`.

Each only wishes; the messages are BusyBox's."""

from __future__ import annotations

from eudaemon.world.files import FileError
from eudaemon.world.outside import Downloaded
from eudaemon.world.shell.call import Applet, Call, Run, cannot_open, options, text

_URL_CHARS_MAX = 4096
_FTP_LINES_MAX = 64
_BROUGHT = frozenset(("ok", "partial"))
_STDOUT = (b"-", b"/dev/stdout")


def _absolute(target: bytes, scheme: str) -> str:
    url = text(target[:_URL_CHARS_MAX]).replace("http:\\/\\/", "http://")
    return url if "://" in url else f"{scheme}://{url}"


def _host_of(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2]


def _file_of(url: str) -> bytes:
    path = url.partition("://")[2].partition("/")[2].partition("?")[0]
    return path.rpartition("/")[2].encode("latin-1", "replace") or b"index.html"


def _as_file(name: bytes, url: str) -> bytes:
    """Return what is brought is called: as it is at its server, where it only passes through."""
    return _file_of(url) if name in _STDOUT else name


def _usage(call: Call, lines: str) -> int:
    call.say(f"{call.host.busybox_line} multi-call binary.\n\nUsage: {lines}\n")
    return 1


def wget(call: Call) -> Run:
    """Retrieve files by HTTP, HTTPS or FTP."""
    given, urls = options(_without_values(call.args), "OPUTYtoAewia")
    if "i" in given:
        try:
            urls += [url for url in (yield from call.read(given["i"])).split() if b"://" in url]
        except FileError as error:
            return call.error(cannot_open(given["i"], error))
    if b"-g" in call.args:  # Huawei's routers: -g HOST -l LOCAL -r REMOTE, what CVE-2017-17215 is exploited with
        theirs, hosts = options(call.args, "lrP")
        urls = [host + b"/" + theirs.get("r", b"").lstrip(b"/") for host in hosts[:1]]
        given = {"O": theirs["l"]} if "l" in theirs else {}
    if not urls:
        return _usage(
            call,
            "wget [-c|--continue] [-s|--spider] [-q|--quiet] [-O|--output-document FILE]\n"
            "\t[--header 'header: value'] [-Y|--proxy on/off] [-P DIR]\n\t[-U|--user-agent AGENT] URL...\n\n"
            "Retrieve files via HTTP or FTP\n\nOptions:\n\t-s\tSpider mode - only check file existence\n"
            "\t-c\tContinue retrieval of aborted transfer\n\t-q\tQuiet\n\t-P DIR\tSave to DIR (default .)\n"
            "\t-O FILE\tSave to FILE ('-' for stdout)\n\t-U STR\tUse STR for User-Agent header\n\t-Y\tUse proxy ('on' "
            "or 'off')\n",
        )
    status = 0
    for target in urls[:16]:
        url = _absolute(target, "http")
        name = given.get("O", given.get("output-document", b"")) or _file_of(url)
        if "P" in given and "O" not in given:
            name = given["P"].rstrip(b"/") + b"/" + name
        quiet = bool(given.keys() & {"q", "quiet"})
        host = _host_of(url)
        if not quiet:
            call.say(_connecting(url, host))
        got = yield from call.shell.download(url, "wget", _as_file(name, url))
        failed = yield from _wget_done(call, got, name, host, quiet=quiet)
        status = failed or status
    return status


def _connecting(url: str, host: str) -> str:
    name, port = _host_and_port(host)
    default = {"https": "443", "ftp": "21"}.get(url.partition(":")[0], "80")
    return f"Connecting to {name} ({name}:{port or default})\n"


def _host_and_port(authority: str) -> tuple[str, str]:
    name, colon, port = authority.rpartition(":")
    return (name, port) if colon and port.isdecimal() else (authority, "")


def _wget_done(call: Call, got: Downloaded, name: bytes, host: str, *, quiet: bool) -> Run:
    if got.outcome == "missing":
        return call.error("server returned error: HTTP/1.1 404 Not Found")
    if got.outcome not in _BROUGHT:
        address, _ = _host_and_port(host)
        if not address[:1].isdecimal() and "[" not in address:
            return call.error(f"bad address '{address}'")
        return call.error(f"can't connect to remote host ({address}): Connection refused")
    status = yield from _deliver(call, got, name)
    if status == 0 and not quiet:
        shown = text(name.rpartition(b"/")[2])[:20]
        call.say(f"{shown:<20} 100% |{'*' * 31}| {_short(got.size):>5}  0:00:00 ETA\n")
    return status


def _short(size: int) -> str:
    return str(size) if size < 10_000 else f"{size // 1024}k" if size < 10_240_000 else f"{size // 1024**2}M"


def _deliver(call: Call, got: Downloaded, name: bytes) -> Run:
    """Put what was brought where it belongs."""
    if name in _STDOUT:
        call.put(got)
        return 0
    try:
        yield from call.shell.store(call.resolve(name), got)
    except FileError as error:
        return call.error(f"can't open '{text(name)}': {error}")
    return 0


_LONG_WITH_VALUE = frozenset(
    b"--" + name for name in
    b"connect-timeout max-time retry retry-delay retry-max-time user-agent header data data-raw data-binary request "
    b"user referer cookie cookie-jar proxy interface resolve limit-rate max-redirs cacert form upload-file range "
    b"tries timeout wait waitretry user password http-user http-password post-data dns-timeout read-timeout".split()
)  # fmt: skip


def _without_values(args: list[bytes]) -> list[bytes]:
    """Leave out the long options whose value is a word of its own, and give that of `--output` to `-o`."""
    found: list[bytes] = []
    at = 0
    while at < len(args):
        if args[at] in _LONG_WITH_VALUE:
            at += 2
            continue
        found.append({b"--output": b"-o", b"--output-document": b"-O", b"--url": b"--"}.get(args[at], args[at]))
        at += 1
    return [word for word in found if word != b"--"]


def curl(call: Call) -> Run:
    """Retrieve files, to standard output unless `-o` or `-O`."""
    given, urls = options(_without_values(call.args), "oAHdXmuebxTwFrCKcytYz")
    if not urls:
        call.say("curl: try 'curl --help' or 'curl --manual' for more information\n")
        return 2
    if "output" in given:  # `--output FILE`: the name stands among the rest
        urls, given["o"] = urls[1:] or urls, given["output"] or urls[0]
    status = 0
    for target in urls[:16]:
        url = _absolute(target, "http")
        name = given.get("o") or (_file_of(url) if given.keys() & {"O", "remote-name"} else b"-")
        got = yield from call.shell.download(url, "curl", _as_file(name, url))
        if got.outcome == "missing":
            got = Downloaded(url, "ok", head=b"<html><head><title>404 Not Found</title></head></html>\n", size=55)
            if given.keys() & {"f", "fail"}:
                call.say("curl: (22) The requested URL returned error: 404 Not Found\n")
                status = 22
                continue
        if got.outcome not in _BROUGHT:
            host, _, port = _host_of(url).partition(":")
            call.say(f"curl: (7) Failed to connect to {host} port {port or 80}: Connection refused\n")
            status = 7
            continue
        status = yield from _deliver(call, got, name)
    return status


def tftp(call: Call) -> Run:
    """BusyBox's `tftp -g -r remote -l local host [port]`, or `tftp host [port] -c get remote [local]`."""
    args = call.args
    given, rest = options(args, "lrbmB")
    if "c" in given and b"get" in rest:
        verb = rest.index(b"get")
        where, files = rest[:verb], rest[verb + 1 :]
        remote = files[0] if files else b""
        local = files[1] if len(files) > 1 else remote.rpartition(b"/")[2]
    else:
        where, remote = rest, given.get("r") or given.get("l", b"")
        local = given.get("l") or remote.rpartition(b"/")[2]
    if not where or not remote or ("p" in given and "g" not in given):
        return _usage(call, "tftp [OPTIONS] HOST [PORT]\n\nTransfer a file from/to tftp server\n\nOptions:\n\t-l "
                            "FILE\tLocal "
                            "FILE\n\t-r FILE\tRemote FILE\n\t-g\tGet file\n\t-p\tPut file\n\t-b SIZE\tTransfer blocks "
                            "of SIZE octets\n")  # fmt: skip
    url = _url("tftp", where[0], where[1] if len(where) > 1 else b"", remote)
    got = yield from call.shell.download(url, "tftp", local)
    if got.outcome == "missing":
        return call.error("server error: (1) File not found")
    if got.outcome not in _BROUGHT:
        return call.error("timeout")
    return (yield from _deliver(call, got, local))


def _url(scheme: str, host: bytes, port: bytes, path: bytes, user: str = "") -> str:
    name = text(host[:255])
    authority = f"[{name}]" if name.count(":") > 1 else name
    authority += f":{text(port)}" if port.isdigit() and len(port) < 6 else ""
    return f"{scheme}://{user}{authority}/{text(path[:_URL_CHARS_MAX]).lstrip('/')}"


def ftpget(call: Call) -> Run:
    """`ftpget [-cv] [-u user] [-p password] [-P port] host local [remote]`."""
    given, rest = options(call.args, "upP")
    if len(rest) < 2:
        return _usage(call, "ftpget [OPTIONS] HOST [LOCAL_FILE] REMOTE_FILE\n\nDownload a file via "
                            "FTP\n\nOptions:\n\t-c\tContinue "
                            "previous transfer\n\t-v\tVerbose\n\t-u USER\tUsername\n\t-p PASS\tPassword\n\t-P "
                            "NUM\tPort\n")  # fmt: skip
    local, remote = rest[1], rest[2] if len(rest) > 2 else rest[1]
    user = f"{text(given['u'])}:{text(given.get('p', b''))}@" if given.get("u") else ""
    got = yield from call.shell.download(_url("ftp", rest[0], given.get("P", b""), remote, user), "ftpget", local)
    if got.outcome == "missing":
        return call.error("cmd RETR: server returned error: 550 Failed to open file.")
    if got.outcome not in _BROUGHT:
        return call.error(f"can't connect to remote host ({text(rest[0])}): Connection refused")
    return (yield from _deliver(call, got, local))


def ftp(call: Call) -> Run:
    """The interactive client, driven by what is piped into it: `open`, `user`, `get`."""
    _, rest = options(call.args, "A")
    host, port = [*rest, b"", b""][:2]
    user = ""
    for _ in range(_FTP_LINES_MAX):
        line = yield from call.input_line()
        if not line:
            break
        words = line.split()
        if not words:
            continue
        match words[0].lower(), words[1:]:
            case b"open", [where, *more]:
                host, port = where, more[0] if more else b""
            case b"user", [name, *more]:
                user = f"{text(name)}:{text(more[0]) if more else ''}@"
            case b"get" | b"recv" | b"mget", [remote, *more]:
                local = more[0] if more else remote.rpartition(b"/")[2]
                got = yield from call.shell.download(_url("ftp", host, port, remote, user), "ftp", local)
                if got.outcome in _BROUGHT:
                    yield from _deliver(call, got, local)
                else:
                    call.line("550 Failed to open file.")
            case b"bye" | b"quit" | b"exit", _:
                break
    return 0


def scp(call: Call) -> Run:
    """`scp [-P port] [user@]host:file local`. Nobody types a password here: one that is needed is not there."""
    given, rest = options(call.args, "cFiloPS")
    where, colon, remote = rest[0].partition(b":") if rest else (b"", b"", b"")
    if len(rest) < 2 or not colon or b"/" in where:
        call.say("usage: scp [-12BCpqrv] [-P port] [[user@]host1:]file1 [[user@]host2:]file2\n")
        return 1
    user, at, host = where.rpartition(b"@")
    url = _url("scp", host, given.get("P", b""), b"", text(user) + "@" if at else "") + text(remote[:_URL_CHARS_MAX])
    name = remote.rpartition(b"/")[2]
    local = name if rest[1] in (b".", b"./") else rest[1] + name if rest[1].endswith(b"/") else rest[1]
    got = yield from call.shell.download(url, "scp", local)
    if got.outcome == "missing":
        call.say(f"scp: {text(remote)}: No such file or directory\n")
        return 1
    if got.outcome not in _BROUGHT:
        call.say(f"ssh: connect to host {text(host)} port {text(given.get('P', b'22'))}: Connection refused\n")
        return 1
    return (yield from _deliver(call, got, local))


def netcat(call: Call) -> Run:
    """`nc host port`: what comes goes to standard output. Listening and programs for the other side are not for us."""
    given, rest = options(call.args, "wpise")
    if "l" in given:
        return 0
    if len(rest) < 2:
        return _usage(call, "nc [-iN] [-wN] [-l] [-p PORT] [-f FILE|IPADDR PORT] [-e PROG]\n")
    url = _url("tcp", rest[0], rest[1], b"")
    got = yield from call.shell.download(url, "nc", b"")
    if got.outcome not in _BROUGHT:
        return call.error(f"can't connect to remote host ({text(rest[0])}): Connection refused")
    if "e" in given:
        return 0
    call.put(got)
    return 0


def telnet(call: Call) -> int:
    """Nobody answers."""
    _, rest = options(call.args, "l")
    if not rest:
        return _usage(call, "telnet [-a] [-l USER] HOST [PORT]\n")
    return call.error(f"can't connect to remote host ({text(rest[0])}): Connection refused")


def ftpput(call: Call) -> int:
    """Nothing leaves this host."""
    _, rest = options(call.args, "upP")
    return call.error(f"can't connect to remote host ({text(rest[0]) if rest else ''}): Connection refused")


TABLE: dict[str, Applet] = {
    "wget": wget, "curl": curl, "lwp-download": curl, "tftp": tftp, "ftpget": ftpget, "ftp": ftp, "scp": scp,
    "nc": netcat, "ftpput": ftpput, "telnet": telnet,
}  # fmt: skip
