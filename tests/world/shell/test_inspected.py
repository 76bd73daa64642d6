"""What somebody looks at who wants to know whether the host is one: each answer agrees with the others."""

from __future__ import annotations

import re

import pytest

from eudaemon.world.host import Host
from eudaemon.world.personas import PERSONAS
from eudaemon.world.seed import Seed
from eudaemon.world.shell.limits import EXHAUSTED_LINES_MAX, SLEEPS_MAX, SLEPT_S_MAX
from world.shell.told import Told

ALL = pytest.mark.parametrize("persona", [persona.name for persona in PERSONAS if not persona.host])


def told_of(persona: str) -> Told:
    return Told(Host.from_seed(Seed(b"x"), persona=persona))


@ALL
def test_proc_has_what_ps_lists(persona: str) -> None:
    told = told_of(persona)
    rows = [line.split(None, 2) for line in told.run("ps").splitlines()[1:]]
    listed = {row[0]: line for row, line in zip(rows, told.run("ps").splitlines()[1:], strict=True)}
    shell, asking = list(listed)[-2:]
    assert told.run("echo $$").strip() == shell
    assert listed[asking].endswith(" ps")
    there = set(told.run("cd /proc; ls -d [0-9]*; cd").split())
    assert there == listed.keys() - {shell, asking}
    for pid in there:
        shown = told.run(f"tr '\\0' ' ' < /proc/{pid}/cmdline").strip()
        assert listed[pid].endswith(shown or "]")
        stat = told.run(f"cat /proc/{pid}/stat").split(" ")
        name = re.search(r"Name:\t(\S+)", told.run(f"cat /proc/{pid}/status"))
        assert name is not None
        assert stat[:2] == [pid, f"({name[1]})"]
        assert len(stat) == 44
        assert told.run(f"[ -f /proc/{pid}/exe ] && echo there") == ("there\n" if shown else "")


@ALL
def test_df_agrees_with_mount(persona: str) -> None:
    told = told_of(persona)
    sizes = {row.split()[-1]: row.split() for row in told.run("df").splitlines()[1:]}
    for row in told.run("mount").splitlines():
        if found := re.search(r" on (\S+) type .*size=(\d+)k", row):
            assert sizes[found[1]][1] == found[2]
    for _, size, used, free, *_ in sizes.values():
        assert 0 <= int(used) == int(size) - int(free)
    for number, place in ((4, "/etc"), (5, "/mnt/mtd")):
        if place in sizes and sizes[place][0] == f"/dev/mtdblock{number}":
            erase = re.search(rf"mtd{number}: (\w+)", told.run("cat /proc/mtd"))
            assert erase is not None
            assert int(erase[1], 16) == int(sizes[place][1]) * 1024


@ALL
def test_netstat_and_proc_listen_alike_and_show_who_asks(persona: str) -> None:
    told = told_of(persona)
    told.shell.peer, told.shell.ports = "203.0.113.9", (23, 40123)
    shown = told.run("netstat -an")
    listening = {int(port) for port in re.findall(r"0\.0\.0\.0:(\d+) +0\.0\.0\.0:\* +LISTEN", shown)}
    assert listening == {int(port, 16) for port in re.findall(r" 00000000:(\w{4}) ", told.run("cat /proc/net/tcp"))} - {
        0
    }
    assert re.search(rf"{told.shell.host.address}:23 +203\.0\.113\.9:40123 +ESTABLISHED", shown)


def test_a_name_that_is_set_is_the_name() -> None:
    told = Told()
    told.run("hostname mine")
    assert told.run("hostname; uname -n") == "mine\nmine\n"
    assert told.run("hostname " + "x" * 65) == "hostname: sethostname: Invalid argument\n"
    assert Told().run("hostname").strip() == Told().shell.host.name


@pytest.mark.parametrize("line", ["reboot", "sh -c reboot", "busybox poweroff; exit", "halt", "init 6", "kill -9 $$"])
@pytest.mark.parametrize("before", ["", "sh"])
def test_what_ends_the_host_ends_the_session(line: str, before: str) -> None:
    told = Told()
    told.run(before)
    assert not told.shell.exited
    told.run(line)
    assert told.shell.exited


@pytest.mark.parametrize("line", ["init q", "sh -c 'kill -9 $$'", "kill -0 $$", "kill $$"])
def test_what_does_not(line: str) -> None:
    told = Told()
    told.run(line)
    assert not told.shell.exited


def test_passwd_asks_twice_and_takes_the_answers() -> None:
    told = Told()
    assert told.run("passwd") == "Changing password for root\nNew password: "
    assert told.run("reboot") == "Retype password: "
    assert told.run("reboot") == "passwd: password for root changed by root\n"
    assert told.shell.prompt() == told.shell.host.prompt
    assert told.run("echo on") == "on\n"
    assert "changed" in told.run("printf 'a\\na\\n' | passwd admin")
    assert told.shell.prompt() == told.shell.host.prompt
    told.run("passwd")
    told.interrupt()
    told.run("passwd")
    told.run("one")
    assert "is unchanged" in told.run("other")
    assert told.run("echo on") == "on\n"


def test_screens_of_programs_that_draw() -> None:
    told = Told()
    assert told.run("lsmod").startswith("Module  ")
    assert "\n1.2.3.4 x\n~\n" in told.run("echo 1.2.3.4 x > /tmp/a; vi /tmp/a").replace("\x1b[H\x1b[J", "\n")
    assert told.run("ls") == told.run("ihello\x1b") == ""
    told.run("\x1b:q!")
    assert told.run("echo on; cat /tmp/a") == "on\n1.2.3.4 x\n"
    assert told.shell.prompt() == told.shell.host.prompt
    assert told.run("vi").count("~") == 22
    told.run("ZZ")
    assert told.run("vi | cat; vi & echo on").endswith("on\n")
    assert told.run("echo on") == "on\n"
    assert told.run("top").count("\n") == 22
    assert told.run("top -b -n1").count("\n") == 3 + told.run("ps").count("\n")


def test_a_loop_that_sleeps_ends_as_if_interrupted() -> None:
    told = Told()
    assert told.run("while true; do sleep 1; echo x; done") == "x\n" * SLEEPS_MAX + "\n"
    assert told.status == 130
    assert told.run("for i in $(seq 8); do usleep 5; done; echo done") == "done\n"
    assert told.run("(while :; do sleep 9; done) & echo on") == "on\n"
    assert EXHAUSTED_LINES_MAX > 2


@pytest.mark.parametrize(
    ("line", "paused"),
    [
        ("sleep 3", [3.0]),
        ("sleep 1m", [SLEPT_S_MAX]),
        ("sleep 1 0.5s; usleep 250000", [1.5, 0.25]),
        ("sleep 1h; sleep 1; echo x", [SLEPT_S_MAX]),
        ("for i in 1 2; do sleep 40; done", [40.0, SLEPT_S_MAX - 40]),
        ("sleep 5 & (sleep 6; sleep 7) & sleep 1", [1.0]),
        ("sleep 0", []),
    ],
)
def test_a_sleep_takes_its_time_within_what_a_line_may(line: str, paused: list[float]) -> None:
    told = Told()
    told.run(line)
    assert told.paused == paused
    told.run("sleep 2")
    assert told.paused[-1] == 2


def test_a_sleep_without_a_figure_is_refused() -> None:
    told = Told()
    assert told.run("sleep x; sleep 1y; sleep -1") == "".join(
        f"sleep: invalid number '{x}'\n" for x in ("x", "1y", "-1")
    )
    assert told.paused == []
