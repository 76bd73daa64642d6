"""Every blocking call, with and without a deadline, possessed and released again and again while it waits.

It must never say EINTR, and a deadline must hold: were one begun anew at each cycle, the call would never end.
"""

from __future__ import annotations

import subprocess

import pytest

from eudaemon.possession import possess
from eudaemon.possession.engine import Engine
from possession.ctl import Victim, Victims

pytestmark = pytest.mark.soak

NAMES = {
    "read": "endless", "readv": "endless", "recv": "endless", "recvmsg": "endless", "recv_timeout": "timed",
    "accept": "endless", "accept_timeout": "timed", "write_full": "endless", "send_full": "endless",
    "poll": "endless", "poll_timeout": "timed", "ppoll": "endless", "ppoll_timeout": "timed", "select": "endless",
    "select_timeout": "timed", "pselect_timeout": "timed", "epoll_wait": "endless", "epoll_wait_timeout": "timed",
    "epoll_pwait_timeout": "timed", "epoll_pwait2": "endless", "epoll_pwait2_timeout": "timed", "futex": "endless",
    "futex_timeout": "timed", "futex_absolute": "timed", "nanosleep": "timed", "nanosleep_left": "timed",
    "clock_nanosleep": "timed", "wait4": "endless", "waitid": "endless", "sigwaitinfo": "endless",
    "sigtimedwait": "timed", "semop": "endless", "semtimedop": "timed", "msgrcv": "endless", "mq_receive": "endless",
    "mq_timedreceive": "timed", "flock": "endless", "fcntl_lock": "endless", "open_fifo": "endless",
    "eventfd": "endless", "timerfd": "timed", "signalfd": "endless", "inotify": "endless", "io_getevents": "timed",
    "io_uring": "endless",
}  # fmt: skip
CYCLES = 5  # of an endless call, before it is woken


def test_the_victim_and_this_list_agree(victims: Victims) -> None:
    listed = subprocess.run([str(victims.path("ctl_calls")), "list"], capture_output=True, text=True, check=True)
    assert dict(line.split() for line in listed.stdout.splitlines()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_call_never_learns_of_it(victims: Victims, started: list[Victim], engine: Engine, name: str) -> None:
    victim = victims.start("ctl_calls", name)
    started.append(victim)
    assert victim.line() == "waiting"
    if NAMES[name] == "timed":
        while not victim.has_spoken():
            with possess(victim.pid, engine=engine):
                pass
    else:
        for _ in range(CYCLES):
            with possess(victim.pid, engine=engine):
                pass
        with possess(victim.pid, engine=engine):
            victim.say("\n")
            assert victim.line().startswith("good")
            return
    assert victim.line().startswith("good")
