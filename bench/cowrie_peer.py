"""Cowrie, the best known honeypot for telnet and SSH, installed from its package and run in the same run.

It refuses to run as root, so root starts it as nobody, from an interpreter that nobody may execute.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = "3.1.4"
NOBODY = 65534
START_S_MAX = 60.0


@contextmanager
def cowrie(service: str = "telnet") -> Iterator[tuple[int, int]]:
    """Install cowrie into a folder of its own and run one of its services, `telnet` or `ssh`; yield (port, process id).

    It lets root in with the password `xc3511`, as a sensor does.
    """
    home = Path(tempfile.mkdtemp(prefix="cowrie-"))
    try:
        home.chmod(0o755)
        python = _install(home)
        port = _free_port()
        run = home / "run"
        run.mkdir()
        as_nobody: list[str] = []
        if os.geteuid() == 0:
            os.chown(run, NOBODY, NOBODY)
            as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        environment = {"HOME": str(run), "PATH": f"{python.parent}:/usr/bin:/bin", "COWRIE_STDOUT": "yes"}
        command = [*as_nobody, str(python), str(python.parent / "cowrie")]
        subprocess.run([*command, "init"], cwd=run, env=environment, check=True, stdout=subprocess.DEVNULL)
        (run / "etc" / "cowrie.cfg").write_text(
            "[honeypot]\nhostname = svr04\n"
            + "".join(
                f"[{name}]\nenabled = {'true' if name == service else 'false'}\n"
                f"listen_endpoints = tcp:{port}:interface=127.0.0.1\n"
                for name in ("ssh", "telnet")
            )
            + "[output_jsonlog]\nenabled = true\nlogfile = var/log/cowrie/cowrie.json\n"
        )
        with (run / "log").open("wb") as log:
            process = subprocess.Popen([*command, "start"], cwd=run, env=environment, stdout=log, stderr=log)
            try:
                _wait_for(port, run / "log")
                yield port, process.pid
            finally:
                process.terminate()
                process.wait(20)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _install(home: Path) -> Path:
    system = Path("/usr/bin/python3")
    base = system if os.geteuid() == 0 and system.exists() else Path(sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", home / "venv"], check=True)
    python = home / "venv" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check",
         f"cowrie=={VERSION}"],
        check=True,
    )  # fmt: skip
    return python


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _wait_for(port: int, log: Path) -> None:
    until_s = time.monotonic() + START_S_MAX
    while time.monotonic() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"cowrie did not start:\n{log.read_text()[-2000:]}")
