"""Real servers to possess, each on the loopback with its own folder, and who loads them.

Owns how each is started and which of its processes are possessed. The clients check every reply (`client.py`); `wrk`,
`redis-benchmark` and `pgbench` come on top and are asked for failures at the end.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from payload.servers import free_port
from payload.servers import tool as system_tool
from possession.client import CONTENTS
from possession.running import Running, VictimError
from possession.victims import BUILT, SOURCES

CLIENT = Path(__file__).with_name("client.py")
START_S = 60.0
LOAD_END_S = 60.0


@dataclass(frozen=True)
class Served:
    """A running server: which processes are possessed, and the clients' command lines."""

    pids: Callable[[], list[int]]
    clients: list[list[str]]
    loads: list[Load] = field(default_factory=list)
    speaks: Running | None = None  # a server that is a victim too: it checks itself and says how far it is


@dataclass(frozen=True)
class Load:
    """A load generator of others, and what of its last words tells a failure."""

    command: list[str]
    failure: str  # a pattern
    success: str  # another one
    end: int = signal.SIGINT


Serve = Callable[[Path], AbstractContextManager[Served]]


def tool(name: str, package: str) -> str:
    """Return the path of a program, wherever the user has it; without it the test is skipped."""
    return shutil.which(name) or system_tool(name, package)


def wrk(port: int, path: str, seconds: int) -> Load:
    """Ask for one path with 16 connections."""
    command = [tool("wrk", "wrk"), "-t1", "-c16", f"-d{seconds}s", f"http://127.0.0.1:{port}{path}"]
    return Load(command, r"Socket errors: .*|Non-2xx.*", r"(\d+) requests in")


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
    return found


@contextmanager
def process(*command: str | Path, port: int = 0, user: str = "", **more: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end, from when it accepts; its words are shown if it does not come up."""
    if user:
        entry = pwd.getpwnam(user)
        more |= {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "cwd": "/"}
    said = tempfile.TemporaryFile()  # not a pipe, which would be full one day  # noqa: SIM115
    one: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
        command,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        **more,
    )
    try:
        end_s = time.monotonic() + START_S
        while port and not _accepts(port):
            if one.poll() is not None or time.monotonic() > end_s:
                one.kill()
                said.seek(0)
                raise VictimError(f"{command[0]} did not come up: {said.read().decode()[-2000:]}")
            time.sleep(0.02)
        yield one
    finally:
        everyone = family(one.pid)
        one.terminate()
        try:
            one.wait(20)
        except subprocess.TimeoutExpired:
            one.kill()
            one.wait(20)
        for pid in everyone[1:]:
            with suppress(OSError):
                os.kill(pid, 9)
        said.close()


def _until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + START_S
    while not holds():
        if time.monotonic() > end_s:
            raise VictimError("a server accepts, but is not ready")
        time.sleep(0.05)


def _accepts(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def client(kind: str, *arguments: str | int) -> list[str]:
    """Return the command line of a checking client."""
    return [sys.executable, str(CLIENT), kind, *map(str, arguments)]


def _folder(place: Path) -> Path:
    www = place / "www"
    www.mkdir()
    for size, data in CONTENTS.items():
        (www / str(size)).write_bytes(data)
    for path in (place, *place.parents):
        with suppress(OSError):
            path.chmod(path.stat().st_mode | 0o055)
    return www


@contextmanager
def nginx(place: Path) -> Iterator[Served]:
    """Serve files with a master and two workers."""
    program, port, www = tool("nginx", "nginx-light"), free_port(), _folder(place)
    temporary = " ".join(f"{what}_temp_path {place};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (place / "conf").write_text(f"""
        daemon off; pid {place}/pid; error_log {place}/error.log; worker_processes 2;
        events {{ worker_connections 256; }}
        http {{ access_log off; {temporary} keepalive_requests 100000;
                server {{ listen 127.0.0.1:{port}; root {www}; }} }}""")
    with process(program, "-c", place / "conf", "-p", place, port=port) as one:
        yield Served(lambda: family(one.pid), [client("http", port)] * 2, [wrk(port, "/1000", 3600)])


@contextmanager
def lighttpd(place: Path) -> Iterator[Served]:
    """Serve files with one process."""
    program, port, www = tool("lighttpd", "lighttpd"), free_port(), _folder(place)
    (place / "conf").write_text(f"""
        server.document-root = "{www}"
        server.bind = "127.0.0.1"
        server.port = {port}
        server.max-keep-alive-requests = 100000
        server.errorlog = "{place}/error.log"
        mimetype.assign = ( "" => "application/octet-stream" )""")
    with process(program, "-D", "-f", place / "conf", port=port) as one:
        yield Served(lambda: family(one.pid), [client("http", port)] * 2, [wrk(port, "/1000", 3600)])


@contextmanager
def redis(place: Path) -> Iterator[Served]:
    """Keep keys in memory; a log besides, written by a thread of its own."""
    program, port = tool("redis-server", "redis-server"), free_port()
    line = [
        program,
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--dir",
        str(place),
        "--appendonly",
        "yes",
        "--save",
        "",
    ]
    bench = [tool("redis-benchmark", "redis-tools"), "-h", "127.0.0.1", "-p", str(port), "-c", "10", "-n", "100000000",
             "-t", "set,get,incr,lpush,zadd", "--csv"]  # fmt: skip
    with process(*line, port=port) as one:
        yield Served(lambda: family(one.pid), [client("redis", port)], [Load(bench, r"(?i)error.*", "")])


@contextmanager
def vsftpd(place: Path) -> Iterator[Served]:
    """Serve one session in progress: its processes are possessed with it."""
    program, port = tool("vsftpd", "vsftpd"), free_port()
    pub = place / "ftp" / "pub"
    pub.mkdir(parents=True)
    pub.chmod(0o777)
    _folder(place)
    (place / "conf").write_text(f"""listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=YES
anon_upload_enable=YES
anon_other_write_enable=YES
anon_umask=022
write_enable=YES
no_anon_password=NO
anon_root={place}/ftp
secure_chroot_dir={place}
seccomp_sandbox=NO
xferlog_enable=NO
connect_from_port_20=NO
""")
    (place / "conf").chmod(0o600)
    with process(program, place / "conf", port=port) as one:
        yield Served(lambda: family(one.pid), [client("ftp", port)])


@contextmanager
def sshd(place: Path) -> Iterator[Served]:
    """Serve a session in progress: listener, the session's processes, its shell."""
    program, keygen, port = tool("sshd", "openssh-server"), tool("ssh-keygen", "openssh-client"), free_port()
    tool("ssh", "openssh-client")
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True)
    (place / "conf").write_text(f"""
ListenAddress 127.0.0.1:{port}
HostKey {place}/host
AuthorizedKeysFile {place}/user.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
MaxStartups 50:30:100
PrintMotd no
PrintLastLog no
""")
    with process(program, "-D", "-e", "-f", place / "conf", port=port) as one:
        yield Served(lambda: _unchanged(family(one.pid)), [client("ssh", port, place / "user")])


def _unchanged(pids: list[int]) -> list[int]:
    """Those that live longer than a transfer: younger ones end under one's hands."""
    return [pid for pid in pids if _age_s(pid) > 1.0]


def _age_s(pid: int) -> float:
    with suppress(OSError, IndexError):
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return 0.0


@contextmanager
def postgres(place: Path) -> Iterator[Served]:
    """Serve pgbench and a session of psql; all of its processes are possessed, its backends too."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    program = str(folders[-1]) if folders else tool("postgres", "postgresql")
    initdb, pgbench, pg_isready = (Path(program).with_name(name) for name in ("initdb", "pgbench", "pg_isready"))
    port = free_port()
    tool("psql", "postgresql-client")
    owner = pwd.getpwnam("postgres")
    data = place / "data"
    data.mkdir(mode=0o700)
    os.chown(data, owner.pw_uid, owner.pw_gid)
    _folder(place)
    data.chmod(0o700)
    as_owner: dict[str, object] = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": [], "cwd": "/"}
    subprocess.run([initdb, "-D", data, "-A", "trust", "-N", "-E", "UTF8", "--locale=C"],
                   check=True, capture_output=True, **as_owner)  # type: ignore[call-overload]  # fmt: skip
    at = ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off",
                "autovacuum_naptime": "1s", "shared_buffers": "16MB", "max_connections": 20}  # fmt: skip
    line = [program, "-D", data, *(f"--{name}={value}" for name, value in settings.items())]
    with process(*line, port=port, user="postgres") as one:
        _until(lambda: subprocess.run([pg_isready, *at], capture_output=True).returncode == 0)
        subprocess.run([pgbench, *at, "-i", "-q", "-s", "1", "postgres"], check=True, capture_output=True)
        load = Load(
            [str(pgbench), *at, "-n", "-c", "4", "-j", "1", "-T", "3600", "postgres"],
            r"(?i)error.*|failed transactions: [1-9].*|aborted.*",
            r"transactions actually processed: \d+",
            signal.SIGALRM,  # its own way to end in time
        )
        yield Served(lambda: _unchanged(family(one.pid)), [client("psql", port, "postgres")], [load])


@contextmanager
def speaking(*command: str | Path, http: bool = False, **environment: str) -> Iterator[Served]:
    """Run a program that speaks as victims do; with `http` it names its port first."""
    one = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment})
    try:
        running = Running(Path(command[0]).name, one)
        clients = [client("http", running.heard("port", START_S).split()[1])] if http else []
        running.heard("ready", START_S)
        yield Served(lambda: family(one.pid), clients, speaks=running)
    finally:
        everyone = family(one.pid)
        one.kill()
        one.wait(20)
        for pid in everyone[1:]:
            with suppress(OSError):
                os.kill(pid, 9)


def built(source: str, *command: str) -> Path:
    """Build once what is not C: `{out}` and `{source}` stand for the two places."""
    path = SOURCES / source
    target = BUILT / f"{source}-{int(path.stat().st_mtime_ns):x}"
    if not target.exists():
        fresh = BUILT / f"{source}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        BUILT.mkdir(parents=True, exist_ok=True)
        subprocess.run([word.format(out=fresh, source=path) for word in command], check=True, capture_output=True)
        fresh.rename(target)
    return target


@contextmanager
def go(place: Path) -> Iterator[Served]:
    """Serve from goroutines."""
    program = built("server.go", tool("go", "golang-go"), "build", "-o", "{out}", "{source}")
    with speaking(program, http=True) as served:
        yield served


@contextmanager
def java(place: Path) -> Iterator[Served]:
    """Serve and compute under a JIT compiler."""
    classes = built("Server.java", tool("javac", "default-jdk-headless"), "-d", "{out}", "{source}")
    with speaking(tool("java", "default-jre-headless"), "-Xmx128m", "-cp", classes, "Server", http=True) as served:
        yield served


@contextmanager
def node(place: Path) -> Iterator[Served]:
    """Serve and compute under V8."""
    with speaking(tool("node", "nodejs"), SOURCES / "server.js", http=True) as served:
        yield served


@contextmanager
def cpython(place: Path) -> Iterator[Served]:
    """Run a loop in the system's Python."""
    with speaking(system_tool("python3", "python3"), SOURCES / "loop.py") as served:
        yield served


@contextmanager
def shell(place: Path) -> Iterator[Served]:
    """Run a shell that forks without end; what it forks lives for milliseconds, so only itself is possessed."""
    mark = place / "go-on"
    mark.touch()
    with speaking(tool("sh", "dash"), SOURCES / "pipeline.sh", mark) as served:
        assert served.speaks is not None
        pid = served.speaks.pid
        yield Served(lambda: [pid], [], speaks=served.speaks)


SERVERS: dict[str, Serve] = {
    "nginx": nginx, "lighttpd": lighttpd, "redis": redis, "vsftpd": vsftpd, "sshd": sshd, "postgres": postgres,
    "go": go, "java": java, "node": node, "cpython": cpython, "shell": shell,
}  # fmt: skip


def end_of_load(load: Load, running: subprocess.Popen[bytes]) -> str:
    """Interrupt a load generator as a user would; return what it says if that tells of a failure."""
    running.send_signal(load.end)
    try:
        said = running.communicate(timeout=LOAD_END_S)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        running.kill()
        return f"{load.command[0]} did not end; {running.communicate()[0].decode(errors='replace')[-500:]}"
    found = re.search(load.failure, said)
    if found:
        return f"{load.command[0]}: {found[0]}"
    return "" if re.search(load.success, said) else f"{load.command[0]}: {said[-500:]}"
