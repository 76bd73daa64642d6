"""The container: the same at every start, another on every installation, and not at odds with itself."""

from __future__ import annotations

import pytest

from eudaemon.world.container import Container, container_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from world.shell.told import Told

SHOWN = ("hostname", "uname -a", "cat /proc/cpuinfo", "cat /etc/os-release", "id", "ps", "df", "cat /proc/mounts")


def box(number: int) -> Told:
    return Told(Container(Seed(b"%d" % number), first_process="redis-server *:6379"))


def test_a_restart_changes_nothing() -> None:
    for line in SHOWN:
        assert box(1).run(line) == box(1).run(line)


def test_no_two_installations_are_alike() -> None:
    family = [box(number) for number in range(24)]
    for line in ("hostname", "uname -a", "cat /proc/cpuinfo", "cat /proc/mounts"):
        assert len({told.run(line) for told in family}) > 12, line


@pytest.mark.parametrize("number", range(6))
def test_it_is_not_at_odds_with_itself(number: int) -> None:
    told = box(number)
    name = told.run("hostname").strip()
    assert name == told.run("cat /etc/hostname").strip()
    assert f"\t{name}\n" in told.run("cat /etc/hosts")
    assert told.run("hostname -i").strip() in told.run("ifconfig eth0")
    assert told.run("cat /etc/alpine-release").strip() in told.run("cat /etc/os-release")
    assert "redis-server" in told.run("ps")
    assert "kthreadd" not in told.run("ps"), "a container sees its own processes"
    assert told.run("echo x > /etc/cron.d/x && cat /etc/cron.d/x") == "x\n"
    assert told.run("nosuchthing") == "/bin/sh: nosuchthing: not found\n"


def test_each_service_has_its_own() -> None:
    host = Host.from_seed(Seed(b"x"))
    assert container_of(host, "redis", "redis-server") is container_of(host, "redis", "redis-server")
    assert container_of(host, "redis", "x").name != container_of(host, "docker", "x").name
