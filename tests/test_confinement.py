"""What is given up stays given up: tried in a process of its own, against this kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eudaemon import confinement

PROBE = """
import json, os, socket, subprocess, sys
from pathlib import Path
import encodings.idna
from eudaemon import confinement
home, secret, uid = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
server = socket.create_server(("127.0.0.1", 0))
if uid:
    confinement.become(uid, [home])
held = {
    "no_new_privs": confinement.no_new_privileges(),
    "landlock": confinement.restrict_files([Path("/usr"), Path("/etc"), Path("/proc")], [home]),
    "seccomp": confinement.forbid_execution(),
}
def tries(do):
    try:
        do()
    except OSError as error:
        return type(error).__name__
    return "done"
held["status"] = Path("/proc/self/status").read_text()
held["ids"] = [os.getresuid(), os.getresgid(), os.getgroups()]
held["write"] = tries(lambda: (home / "kept").write_bytes(b"x"))
(home / "a").mkdir()
held["move"] = tries(lambda: (home / "kept").rename(home / "a" / "kept"))
held["link"] = tries(lambda: (home / "link").symlink_to("a"))  # the farm's engine keeps its names of tables so
held["read secret"] = tries(lambda: secret.read_bytes())
held["write elsewhere"] = tries(lambda: (secret.parent / "new").write_bytes(b"x"))
held["execute"] = tries(lambda: subprocess.run(["/bin/true"]))
held["execv"] = tries(lambda: os.execv("/bin/true", ["true"]))
held["become root"] = tries(lambda: os.setuid(0)) if uid else "PermissionError"
held["serve"] = tries(lambda: socket.create_connection(server.getsockname()).close())
held["no sockets"] = confinement.forbid_sockets()
held["accept"] = tries(lambda: server.accept())  # the connection that waits: what is open works on
held["socket"] = tries(lambda: socket.socket().close())
held["socket pair"] = tries(socket.socketpair)
print(json.dumps(held))
"""


@pytest.fixture
def tried(tmp_path: Path) -> dict[str, object]:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for path in (home, elsewhere):
        path.mkdir(mode=0o777)
        path.chmod(0o777)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)
    secret = elsewhere / "secret"
    secret.write_bytes(b"x")
    secret.chmod(0o666)
    uid = 61880 if os.geteuid() == 0 else 0
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(home), str(secret), str(uid)], capture_output=True, text=True, check=True
    )
    held: dict[str, object] = json.loads(done.stdout)
    return held


def test_what_serving_needs_still_works(tried: dict[str, object]) -> None:
    assert tried["write"] == "done"
    assert tried["move"] == "done"
    assert tried["link"] == "done"
    assert tried["serve"] == "done"


def test_no_more_sockets_means_what_it_says(tried: dict[str, object]) -> None:
    if not tried["no sockets"]:
        pytest.skip("no seccomp here")
    assert (tried["accept"], tried["socket"], tried["socket pair"]) == ("done", "PermissionError", "PermissionError")


def test_root_is_gone_for_good(tried: dict[str, object]) -> None:
    if os.geteuid() != 0:
        pytest.skip("run the tests as root to see root given up")
    assert tried["ids"] == [[61880] * 3, [61880] * 3, []]
    assert tried["become root"] == "PermissionError"
    assert "CapEff:\t0000000000000000" in str(tried["status"])


def test_nothing_can_be_executed(tried: dict[str, object]) -> None:
    assert tried["no_new_privs"] is True
    assert "NoNewPrivs:\t1" in str(tried["status"])
    assert tried["seccomp"] is True
    assert "Seccomp:\t2" in str(tried["status"])
    assert tried["execute"] == tried["execv"] == "PermissionError"


def test_the_rest_of_the_file_tree_is_gone(tried: dict[str, object]) -> None:
    if confinement.landlock_version() < 2:
        pytest.skip("this kernel has no Landlock (5.19 or newer, switched on)")
    assert tried["landlock"] is True
    assert tried["read secret"] == tried["write elsewhere"] == "PermissionError"


def test_the_filter_refuses_each_call_and_no_other() -> None:
    """Run the BPF program on paper: every listed call, its neighbours, and a foreign architecture."""
    import struct

    arch, _, calls = confinement._MACHINES["x86_64"]
    program = [
        struct.unpack_from("=HBBI", confinement._filter(arch, sorted(calls.values())), i)
        for i in range(0, 8 * (len(calls) + 6), 8)
    ]

    def judged(number: int, on: int = arch) -> int:
        accumulator = at = 0
        while True:
            code, yes, no, k = program[at]
            at += 1
            if code == 0x06:
                return k
            if code == 0x20:
                accumulator = on if k == 4 else number
            else:
                at += yes if (accumulator == k if code == 0x15 else accumulator >= k) else no

    for number in range(600):
        assert judged(number) == (0x00050001 if number in calls.values() else 0x7FFF0000), number
    assert judged(1, on=0x40000003) == 0x00050001
    assert judged(0x40000001) == 0x00050001
