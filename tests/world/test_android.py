"""The Android box: the same at every start, another on every installation, and not at odds with itself."""

from __future__ import annotations

import pytest

from eudaemon.world.android import RELEASES, Android, android_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from world.shell.told import Told

SHOWN = ("getprop", "uname -a", "cat /proc/cpuinfo", "cat /system/build.prop", "pm list packages", "id", "ps",
         "settings get secure android_id")  # fmt: skip


def box(number: int) -> Told:
    return Told(Android(Seed(b"%d" % number)))


def test_a_restart_changes_nothing() -> None:
    for line in SHOWN:
        assert box(1).run(line) == box(1).run(line)


def test_no_two_installations_are_alike() -> None:
    family = [box(number) for number in range(24)]
    for line in ("getprop ro.serialno", "getprop ro.build.fingerprint", "uname -a", "settings get secure android_id"):
        assert len({told.run(line) for told in family}) > 12, line
    assert {told.shell.host.release for told in family} == set(RELEASES)  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", range(6))
def test_it_is_not_at_odds_with_itself(number: int) -> None:
    told = box(number)
    host = told.shell.host
    assert isinstance(host, Android)
    release = told.run("getprop ro.build.version.release").strip()
    assert f":{release}/" in told.run("getprop ro.build.fingerprint")
    assert f"ro.build.version.release={release}\n" in told.run("cat /system/build.prop")
    assert told.run("uname -m").strip() == (
        "aarch64" if "arm64" in told.run("getprop ro.product.cpu.abi") else "armv7l"
    )
    assert told.run("getprop ro.product.device").strip() in told.shell.prompt().decode()
    for name in ("busybox", "sh", "pm", "getprop", "wget"):
        path = told.run(f"which {name}").strip()
        assert path.startswith("/system/"), name
        assert told.run(f"ls {path}").strip() == path
    assert "Read-only file system" in told.run("echo x > /system/bin/x")
    assert told.run("cd /data/local/tmp && echo x > y && cat y") == "x\n"
    assert told.run("nosuchthing") == "/system/bin/sh: nosuchthing: not found\n"
    assert "BusyBox" in told.run("busybox | head -1")


def test_it_stands_beside_the_sensors_own_host_once() -> None:
    host = Host.from_seed(Seed(b"x"))
    assert android_of(host) is android_of(host)
    assert Told(android_of(Host.from_seed(Seed(b"x"), downloads=False))).run("which wget curl") == ""
