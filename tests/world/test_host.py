"""The pretended host: the same at every start, another on every installation, and never at odds with itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import tracemalloc
from pathlib import Path

import pytest

from eudaemon.protocols._base import Opened, Received
from eudaemon.protocols.http.persona import persona_of
from eudaemon.protocols.telnet import Telnet
from eudaemon.testing.script import START_S, visit
from eudaemon.world.host import Host
from eudaemon.world.machines import MACHINES, program, runs_on
from eudaemon.world.memory import Memory
from eudaemon.world.personas import DRAWN, PERSONAS
from eudaemon.world.seed import Seed
from world.shell.told import Told

HELD_BYTES_MAX = 3 * 1024  # of one session at the shell's prompt
ALL = pytest.mark.parametrize("persona", [persona.name for persona in PERSONAS if not persona.host])
SHOWN = ("hostname", "uname -a", "cat /proc/version", "cat /proc/meminfo", "ifconfig", "busybox", "uptime", "ps", "df",
         "cat /etc/shadow", "cat /proc/cpuinfo", "nvram get lan_ipaddr")  # fmt: skip


def test_a_restart_changes_nothing() -> None:
    first, second = (Told(Host.from_seed(Seed(b"one"))) for _ in range(2))
    for line in SHOWN:
        assert first.run(line) == second.run(line)
    assert first.shell.host.busybox == second.shell.host.busybox


def test_no_two_installations_are_alike() -> None:
    """Of a family, too: every figure that a scanner could key on differs somewhere among a few."""
    family = [Told(Host.from_seed(Seed(b"%d" % number), persona="router")) for number in range(12)]
    for line in ("hostname", "cat /proc/version", "cat /proc/meminfo", "ifconfig eth0", "uptime", "ps",
                 "cat /etc/shadow", "cat /proc/cpuinfo", "head -c 4096 /bin/busybox | tail -c 1000"):  # fmt: skip
        assert len({told.run(line) for told in family}) > 6, line
    assert len({told.shell.host.prompt for told in family}) > 1
    assert len({len(told.shell.host.busybox) for told in family}) > 6


def test_the_seed_draws_the_family() -> None:
    drawn = {Host.from_seed(Seed(b"%d" % number)).persona.name for number in range(40)}
    assert drawn == {persona.name for persona in PERSONAS[:DRAWN]}


@ALL
def test_it_is_not_at_odds_with_itself(persona: str) -> None:
    told = Told(Host.from_seed(Seed(b"x"), persona=persona))
    host = told.shell.host
    name, release, machine = (told.run(f"uname -{letter}").strip() for letter in "nrm")
    assert told.run("hostname").strip() == told.run("cat /proc/sys/kernel/hostname").strip() == name == host.name
    assert told.run("cat /proc/version").startswith(f"Linux version {release} ")
    assert machine == host.machine.uname
    total = re.search(r"MemTotal: +(\d+) kB", told.run("cat /proc/meminfo"))
    assert total is not None
    assert total[1] in told.run("free")
    assert host.mac.upper() in told.run("ifconfig eth0")
    assert told.run("cat /sys/class/net/eth0/address").strip() == host.mac
    assert told.run("mount").count("\n") == told.run("cat /proc/mounts").count("\n")
    size = told.run("ls -l /bin/busybox").split()[4]
    assert told.run("wc -c < /bin/busybox").strip() == size == str(len(host.busybox))
    assert told.run("which ls").strip() == "/bin/ls"
    assert told.run("cat /bin/ls | md5sum") == told.run("cat /bin/busybox | md5sum")


@ALL
def test_every_door_names_the_same_device(persona: str) -> None:
    for number in range(8):
        host = Host.from_seed(Seed(b"%d" % number), persona=persona)
        web = persona_of(host)
        assert web.model == host.name
        assert host.name in web.title
        assert host.name.encode() in web.login_page()


@ALL
def test_root_is_asked_with_a_hash(persona: str) -> None:
    for number in range(8):
        assert Host.from_seed(Seed(b"%d" % number), persona=persona).prompt.endswith(b"# ")


@ALL
def test_its_kernel_was_built_for_its_machine(persona: str) -> None:
    for number in range(8):
        host = Host.from_seed(Seed(b"%d" % number), persona=persona)
        arm = host.machine.name.startswith("arm")
        assert ("eabi" in host.version_line or "Hisilicon" in host.version_line) == arm


@ALL
def test_what_it_has_and_lacks_is_one_thing(persona: str) -> None:
    """What `busybox` lists is there by name and by path, and nothing else is."""
    for downloads in (True, False):
        told = Told(Host.from_seed(Seed(b"x"), persona=persona, downloads=downloads))
        listed = told.run("busybox --list").split()
        assert ("wget" in listed) is downloads
        assert told.run("for a in wget tftp ftpget nc curl; do which $a; done").count("\n") == (5 if downloads else 0)
        assert ("not found" in told.run("curl")) is not downloads
        assert told.run("busybox wget").startswith("BusyBox" if downloads else "wget: applet not found")
        missing = [name for name in listed if not told.run(f"which '{name}'")]
        assert missing == []


def test_time_passes() -> None:
    told = Told()
    host = told.shell.host
    assert 0 < host.uptime_s(START_S) < 100 * 86_400
    assert host.uptime_s(START_S + 10) == host.uptime_s(START_S) + 10
    assert "up" in told.run("uptime")


@ALL
def test_its_programs_are_what_their_headers_say(persona: str, tmp_path: Path) -> None:
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("install binutils: readelf judges the headers")
    host = Host.from_seed(Seed(b"x"), persona=persona)
    (tmp_path / "busybox").write_bytes(host.busybox)
    told = subprocess.run([readelf, "-hl", tmp_path / "busybox"], capture_output=True, text=True, check=True)
    assert told.stderr == ""
    words = {"arm": "ARM", "arm7": "ARM", "aarch64": "AArch64", "mips": "MIPS", "mipsel": "MIPS", "x86": "80386",
             "sparc": "Sparc", "x86_64": "X86-64", "ppc": "PowerPC", "sh4": "SuperH", "m68k": "MC68000"}  # fmt: skip
    assert words[host.machine.name] in told.stdout
    assert ("big endian" in told.stdout) == (host.machine.data == 2)
    assert "EXEC" in told.stdout
    assert told.stdout.count("LOAD") == 2


def test_who_runs_what() -> None:
    for one in MACHINES.values():
        for other in MACHINES.values():
            same = (one.number, one.data) == (other.number, other.data)
            wider = (one.name, other.number) in (("x86_64", 3), ("aarch64", 40))
            assert runs_on(one, program(other, 4096, Seed(b""), b"")) == (same or wider)
    assert runs_on(MACHINES["mips"], b"\x7fELF")
    assert not runs_on(MACHINES["mips"], b"#!/bin/sh")


def test_the_same_pair_gets_the_same_answer_and_nonsense_mostly_no() -> None:
    host = Host.from_seed(Seed(b"x"))
    for user, password in (
        (b"root", b"xc3511"),
        (b"root", b"vizxv"),
        (b"admin", b"admin"),
        (b"root", b""),
        (b"support", b"support"),
    ):
        assert host.accepts(user, password)
        assert host.accepts(user, password)
    tried = [host.accepts(b"root", b"guess%d" % number) for number in range(400)]
    assert tried == [host.accepts(b"root", b"guess%d" % number) for number in range(400)]
    assert 10 < sum(tried) < 80
    assert not any(host.accepts(b"stranger%d" % number, b"x") for number in range(400))
    other = Host.from_seed(Seed(b"y"))
    assert tried != [other.accepts(b"root", b"guess%d" % number) for number in range(400)]


@pytest.mark.parametrize("user", ["root", "admin", "support"])
def test_who_gets_in_stands_in_passwd(user: str) -> None:
    host = Host.from_seed(Seed(b"x"))
    told = Told(host, user=user)
    rows = [line.split(":") for line in told.run("cat /etc/passwd").splitlines()]
    assert {row[0].encode() for row in rows if row[6] == "/bin/sh"} == set(host.users)
    assert {row[2] for row in rows if row[0].encode() in host.users} == {"0"}
    assert [row[0] for row in rows] == [line.split(":")[0] for line in told.run("cat /etc/shadow").splitlines()]
    home = next(row[5] for row in rows if row[0] == user)
    assert told.run("pwd; echo $PWD $HOME $USER; whoami; id") == (
        f"{home}\n{home} {home} {user}\nroot\nuid=0(root) gid=0(root)\n"
    )
    refused = [row[0].encode() for row in rows if row[6] != "/bin/sh"]
    assert not any(host.accepts(name, b"guess%d" % number) for name in refused for number in range(50))


def test_a_held_session_is_small() -> None:
    host = Host.from_seed(Seed(b"x"))
    assert host.tree.names
    memory = Memory()  # shared by all sessions

    def held() -> Telnet:
        room = Telnet(visit(host=host, memory=memory))
        for occasion in (Opened(START_S), Received(START_S, b"root\r\nxc3511\r\nid\r\n")):
            list(room.tell(occasion))
        return room

    first = held()
    tracemalloc.start()
    rooms = [held() for _ in range(200)]
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert first is not rooms[0]
    assert size / len(rooms) < HELD_BYTES_MAX, size / len(rooms)
