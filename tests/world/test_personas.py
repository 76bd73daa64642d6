"""Personas: no two installations share what a scanner could key on, and each has ports that it can open."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import pytest

from eudaemon.protocols import ROOMS
from eudaemon.sensor.settings import Listener, SensorSettings, own_listeners
from eudaemon.world.android import android_of
from eudaemon.world.host import Host
from eudaemon.world.personas import BY_NAME, PERSONAS, WINDOWS, told
from eudaemon.world.seed import Seed
from eudaemon.world.windows.machine import RELEASES, Windows, windows_of
from world.shell.told import Told
from world.windows.told import Told as ToldWindows

AT_S = 1_700_000_000.0
NAMES = pytest.mark.parametrize("name", [persona.name for persona in PERSONAS])
LINUX = [persona.name for persona in PERSONAS if persona.name != WINDOWS]
# What is drawn with so many values that two seeds do not meet.
OF_A_HOST: dict[str, Callable[[Host], object]] = {
    "MAC address": lambda host: host.mac, "serial number": lambda host: host.serial,
    "start": lambda host: host.booted_s, "kernel's build": lambda host: host.build_line,
    "BusyBox's build": lambda host: host.busybox_line, "BusyBox itself": lambda host: host.busybox[4096:8192],
    "bogomips": lambda host: host.bogomips, "uptime": lambda host: host.uptime_s(AT_S),
}  # fmt: skip
OF_WINDOWS: dict[str, Callable[[Windows], object]] = {
    "MAC address": lambda host: host.mac, "volume": lambda host: host.volume_serial, "SID": lambda host: host.sid,
    "product": lambda host: host.product_id, "installed": lambda host: host.installed_s,
    "updates": lambda host: host.hotfixes, "uptime": lambda host: host.uptime_s(AT_S),
    "processes": lambda host: [row[1] for row in host.processes[2:]],
}  # fmt: skip


@pytest.mark.parametrize("name", LINUX)
def test_two_seeds_share_no_constants(name: str) -> None:
    hosts = [Host.from_seed(Seed(b"%d" % number), persona=name) for number in range(2)]
    for what, draw in OF_A_HOST.items():
        first, second = map(draw, hosts)
        assert first != second, what
    one, other = (Told(host) for host in hosts)
    for line in ("cat /proc/version", "ifconfig", "uptime", "cat /proc/meminfo", "ps"):
        assert one.run(line) != other.run(line), line
    if name != "android-box":  # all Androids are called localhost
        assert hosts[0].name != hosts[1].name


def test_two_windows_share_no_constants() -> None:
    machines = [Windows(Seed(b"%d" % number)) for number in range(2)]
    for what, draw in OF_WINDOWS.items():
        first, second = map(draw, machines)
        assert first != second, what
    one, other = (ToldWindows(machine) for machine in machines)
    for line in ("hostname", "systeminfo", "ipconfig", "ipconfig /all", "tasklist", "dir c:\\", "vol", "getmac", "set",
                 "certutil -hashfile c:\\windows\\system32\\cmd.exe"):  # fmt: skip
        assert one.run(line) != other.run(line), line


def test_windows_says_the_same_everywhere_and_after_a_restart() -> None:
    for number in range(len(RELEASES) * 4):
        machine = Windows(Seed(b"%d" % number))
        shell = ToldWindows(machine)
        assert machine.version in shell.run("ver")
        info = shell.run("systeminfo")
        assert f"Host Name:                 {machine.name}\r\n" in info
        assert machine.release.name in info
        assert machine.release.build in machine.version
        assert shell.run("echo %COMPUTERNAME%") == shell.run("hostname") == f"{machine.name}\r\n"
        assert machine.address in shell.run("ipconfig")
        assert info == ToldWindows(Windows(Seed(b"%d" % number))).run("systeminfo")
        assert len(machine.name) <= 15  # NetBIOS


@NAMES
def test_each_has_its_own_ports(name: str) -> None:
    settings = SensorSettings(listen=(), persona=name)
    ports = [(listener.transport, port) for listener in settings.listeners for port in listener.ports]
    assert len(ports) == len(set(ports)) > 1
    assert all(room in ROOMS for listener in settings.listeners for room in listener.rooms)


def test_a_room_that_is_not_there_leaves_its_ports_open() -> None:
    assert own_listeners(("nothing tcp 1,2", "telnet+nothing tcp 3")) == ("catchall tcp 1,2", "telnet tcp 3")
    assert Listener.parse(own_listeners(("nothing udp 4",))[0]).rooms == ("catchall",)


def test_without_persona_and_listeners_there_is_no_sensor() -> None:
    with pytest.raises(ValueError, match="neither a listener nor a persona"):
        SensorSettings(listen=())
    assert SensorSettings().listeners == SensorSettings(persona="router").listeners, "what is listed holds"


def test_a_persona_is_what_stands_behind_its_own_rooms() -> None:
    box = Host.from_seed(Seed(b"x"), persona="android-box")
    assert android_of(box) is box
    host = Host.from_seed(Seed(b"x"), persona=WINDOWS)
    assert windows_of(host).name == host.name
    assert windows_of(host).release.server
    router = Host.from_seed(Seed(b"x"), persona="router")
    assert windows_of(router).name != router.name


def test_a_server_is_a_server() -> None:
    shell = Told(Host.from_seed(Seed(b"x"), persona="linux-server"))
    assert "sshd" in shell.run("ps")
    assert shell.run("for p in /proc/[0-9]*; do [ -s $p/cmdline ] && ls $p/exe; done | wc -l").strip() == "8"
    assert " / ext4 rw" in shell.run("cat /proc/mounts")
    assert shell.run("ls /.dockerenv").startswith("ls:")
    assert shell.run("echo a > /usr/bin/x; cat /usr/bin/x") == "a\n"
    assert "Alpine" in shell.run("cat /etc/os-release")


def test_what_a_persona_says_is_there() -> None:
    for name in LINUX:
        values = asdict(BY_NAME[name]) | {"accounts": ("operator:s3cret",), "texts": (("/opt/a/b", "hello\n"),),
                                          "uptime_days": (400, 401)}  # fmt: skip
        host = Host.of(Seed(b"x"), told(json.loads(json.dumps(values))))
        assert host.accepts(b"operator", b"s3cret")
        assert not host.accepts(b"nobody", b"s3cret")
        assert b"operator" in host.users
        assert "operator" in Told(host).run("cat /etc/passwd") or name == "android-box"
        assert Told(host).run("cat /opt/a/b") == "hello\n"
        assert 60 <= host.uptime_s(AT_S) <= 400 * 86_400 + 60


def test_a_persona_survives_being_told() -> None:
    for persona in PERSONAS:
        assert told(json.loads(json.dumps(asdict(persona)))) == persona
