"""`eudaemon doctor`: what this machine allows, and what to do about what it does not."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from eudaemon import settings
from eudaemon.cli import DONE, FOUND
from eudaemon.cli._common import add_place
from eudaemon.cli._possession import add_pids
from eudaemon.confinement import landlock_version
from eudaemon.possession import PossessionError, refuse
from eudaemon.possession.engine import load_engine
from eudaemon.possession.status import name_of, status_of

HELP = """\
Look at this machine and say what Eudaemon can do on it, what it cannot, and what to do about that.

  eudaemon doctor               this machine
  eudaemon doctor 4711          and whether this process can be possessed

The exit code is 1 if something is missing that a default installation needs, or that a named process needs."""

DISK_BYTES_MIN = 2 * 1024**3
FILES_MIN = 8192
FARM_MODULES = ("chdb", "cryptography", "fastapi", "obstore", "ppdeep", "uvicorn", "yara_x")
MARKS = {"good": "✓", "lacking": "!", "missing": "✗"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `state` is `good`, `lacking` (it works, but less well) or `missing`."""

    what: str
    state: str
    says: str
    do: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_pids(parser, "*")
    add_place(parser)
    parser.add_argument("--json", action="store_true", help="for machines: a list of findings")


def run(arguments: argparse.Namespace) -> int:
    """Look, and tell."""
    findings = [finding for check in CHECKS for finding in check(arguments)]
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            print(f"{MARKS[finding.state]} {finding.what:<14} {finding.says}")
            if finding.do:
                print(f"  {'':<14} → {finding.do}")
    return FOUND if any(finding.state == "missing" for finding in findings) else DONE


def _python(_: argparse.Namespace) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "good", f"{version}, {sys.executable}")
    if os.geteuid() == 0 and not _all_may_enter(Path(sys.base_prefix)):
        yield Finding("python", "lacking", f"{sys.base_prefix} cannot be entered without root",
                      "it works, as all is loaded before root is given up, which takes a sensor 5 MiB more; "
                      "a system Python is better")  # fmt: skip


def _farm(_: argparse.Namespace) -> Iterator[Finding]:
    lacking = [name for name in FARM_MODULES if find_spec(name) is None]
    if lacking:
        yield Finding(
            "farm", "missing", f"without {', '.join(lacking)}", "in a clone: `make up`, or pip install '.[farm]'"
        )
    else:
        yield Finding("farm", "good", "everything it needs is installed")


def _rooms(_: argparse.Namespace) -> Iterator[Finding]:
    from eudaemon.protocols import ROOMS

    for door in ROOMS.values():
        if lacking := door.lacking:
            yield Finding("rooms", "lacking", f"{door.name} is not opened without {', '.join(lacking)}",
                          f"pip install {' '.join(lacking)}")  # fmt: skip


def _shellcodes(_: argparse.Namespace) -> Iterator[Finding]:
    lacking = [name for name in ("unicorn", "capstone") if find_spec(name) is None]
    if lacking:
        yield Finding("shellcodes", "lacking", f"without {', '.join(lacking)} they are not emulated: signatures alone",
                      "pip install '.[emulation]'")  # fmt: skip
    else:
        yield Finding("shellcodes", "good", "emulated on x86, x86-64, ARM, AArch64 and MIPS")


def _settings(arguments: argparse.Namespace) -> Iterator[Finding]:
    try:
        settings.read(arguments.config)
    except settings.SettingsError as error:
        yield Finding("settings", "missing", str(error), "mend that line; `eudaemon settings` shows what there is")
    else:
        yield Finding("settings", "good", str(arguments.config or "the defaults"))


def _power(_: argparse.Namespace) -> Iterator[Finding]:
    if os.geteuid() == 0:
        yield Finding("ports", "good", "root: the real ports are bound, then root is given up")
    else:
        yield Finding("ports", "lacking", "no root: ports are moved up by 10000",
                      "run as root, or redirect the real ports with nftables")  # fmt: skip


def _taken(arguments: argparse.Namespace) -> Iterator[Finding]:
    from eudaemon.app import UNPRIVILEGED_PORT_OFFSET
    from eudaemon.farm.settings import FarmSettings
    from eudaemon.sensor.settings import SensorSettings

    offset = 0 if os.geteuid() == 0 else UNPRIVILEGED_PORT_OFFSET
    try:
        document = settings.read(arguments.config)
    except settings.SettingsError:
        return
    farm = document.part("farm", FarmSettings)
    wanted = [("tcp", farm.page.port), ("tcp", farm.intake.port)]
    for listener in document.part("sensor", SensorSettings).listeners:
        wanted += [(listener.transport, port + offset) for port in listener.ports]
    taken = [f"{port}/{transport}" for transport, port in wanted if not _is_free(port, transport)]
    if taken:
        yield Finding("ports", "lacking", f"in use: {' '.join(taken)}",
                      "well if Eudaemon runs already; otherwise `ss -lntup` says what has them")  # fmt: skip


def _limits(_: argparse.Namespace) -> Iterator[Finding]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < FILES_MIN:
        yield Finding(
            "open files", "lacking", f"at most {hard}", f"allow {FILES_MIN} or more: `ulimit -Hn {FILES_MIN}`"
        )
    else:
        yield Finding("open files", "good", f"at most {'unlimited' if hard == resource.RLIM_INFINITY else hard}")


def _disk(arguments: argparse.Namespace) -> Iterator[Finding]:
    place = arguments.data
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    gib = free / 1024**3
    if free < DISK_BYTES_MIN:
        yield Finding(
            "disk", "lacking", f"{gib:.1f} GiB free below {place}", "make room: below 2 GiB captures may stop"
        )
    else:
        yield Finding("disk", "good", f"{gib:.0f} GiB free below {place}")


def _kernel(_: argparse.Namespace) -> Iterator[Finding]:
    status = Path("/proc/self/status").read_text()
    have = [name for name, there in (("no_new_privs", "NoNewPrivs:" in status), ("seccomp", "Seccomp:" in status),
                                     ("Landlock", landlock_version() >= 2)) if there]  # fmt: skip
    lacking = [name for name in ("no_new_privs", "seccomp", "Landlock") if name not in have]
    if lacking:
        yield Finding("confinement", "lacking", f"this kernel has no {', '.join(lacking)}",
                      "it works without; kernels from 5.19 on with Landlock switched on have all")  # fmt: skip
    else:
        yield Finding("confinement", "good", f"kernel offers {', '.join(have)}")


def _possession(_: argparse.Namespace) -> Iterator[Finding]:
    for reason, do in refuse.machine_reasons():
        yield Finding("possession", "lacking", reason, do)
        return
    try:
        load_engine()
    except PossessionError as error:
        yield Finding("possession", "lacking", error.reason, error.do)
    else:
        whose = "every process" if os.geteuid() == 0 else "processes of your own, where Yama allows it"
        yield Finding("possession", "good", f"the engine is built; it can take {whose}")
        if os.geteuid() == 0:
            yield Finding("watch", "good", "policies can possess processes: eudaemon watch")
        else:
            yield Finding("watch", "lacking", "no root: eudaemon watch cannot possess by policy", "run as root")


def _processes(arguments: argparse.Namespace) -> Iterator[Finding]:
    for pid in dict.fromkeys(arguments.pids):
        found = []
        try:
            abi = load_engine().abi  # or it is said that it is not built
            found = list(refuse.reasons(pid))
            if not found and status_of(pid, abi) is not None:
                found = [(f"process {pid} is possessed already", f"release it first: eudaemon release {pid}")]
        except PossessionError as error:
            found.append((error.reason, error.do))
        for reason, do in found:
            yield Finding(f"process {pid}"[:14], "missing", reason, do)
        if not found:
            yield Finding(f"process {pid}"[:14], "good", f"{name_of(pid)} can be possessed")


def _ipv6(_: argparse.Namespace) -> Iterator[Finding]:
    if _is_free(0, "tcp", socket.AF_INET6):
        yield Finding("IPv6", "good", "there")
    else:
        yield Finding("IPv6", "lacking", "this machine has none", "sensors listen on IPv4 alone")


CHECKS: tuple[Callable[[argparse.Namespace], Iterator[Finding]], ...] = (
    _python, _farm, _shellcodes, _rooms, _settings, _power, _taken, _limits, _disk, _kernel, _ipv6, _possession,
    _processes,
)  # fmt: skip


def _is_free(port: int, transport: str, family: int = socket.AF_INET) -> bool:
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    try:
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("::1" if family == socket.AF_INET6 else "0.0.0.0", port))
    except PermissionError:
        return True  # it may be free; only root can tell
    except OSError:
        return False
    return True


def _all_may_enter(path: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (path, *path.parents))
