"""The sensor's process: what it begins without, what it still gets when it needs it, and that it is what was set."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from eudaemon.app import GeneralSettings
from eudaemon.options import restored
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.sensor.settings import SensorSettings
from payload.servers import free_port
from tidy.tree import SOURCE

UP = "sensor: up after"
SYSTEM_PYTHON = Path("/usr/bin/python3")
# Runs the command, and says last which modules its process has.
SAYS_MODULES = """
import atexit, sys
from eudaemon.__main__ import main
atexit.register(lambda: print("modules:", *sys.modules))
sys.exit(main())
"""


class Running:
    """`eudaemon sensor` as a process of its own, up and confined."""

    def __init__(
        self, place: Path, python: str = sys.executable, room: str = "catchall", persona: str = ""
    ) -> None:  # fmt: skip
        for path in (place, *place.parents):  # as root, the sensor becomes somebody else
            if path.stat().st_uid == os.geteuid() and path != Path("/"):
                path.chmod(path.stat().st_mode | 0o011)
        self.port = free_port()
        config = place / "sensor.toml"
        listen, named = f"'{room} tcp {self.port}'", ""
        if persona:
            listen, named = "", f"persona = '{place / 'own.toml'}'\n"
            (place / "own.toml").write_text(persona.replace("PORT", str(self.port)))
        config.write_text(f"[sensor]\naddresses = ['127.0.0.1']\nlisten = [{listen}]\n{named}")
        self.process = subprocess.Popen(
            [python, "-c", SAYS_MODULES, "sensor", "--config", config, "--data", place / "data"],
            env={**os.environ, "PYTHONPATH": str(SOURCE.parent)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stderr is not None
        said = ""
        while UP not in said:
            line = self.process.stderr.readline()
            assert line, said
            said += line

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=20)

    def modules(self) -> list[set[str]]:
        """End the sensor; return what the child that read, and what itself had imported."""
        self.process.terminate()
        out, err = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, err
        return [set(line.split()) for line in re.findall("^modules: (.*)$", out, re.MULTILINE)]

    def has_openssl(self) -> bool:
        return bool(re.search(r"lib(ssl|crypto)\b", Path(f"/proc/{self.process.pid}/maps").read_text()))

    def speak_tls(self) -> str | None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), 20) as peer, context.wrap_socket(peer) as tls:
            return tls.version()


def test_reading_leaves_nothing_behind(tmp_path: Path) -> None:
    with Running(tmp_path) as sensor:
        read, serves = sensor.modules()
    what_reads = {"argparse", "tomllib", "eudaemon.settings", "eudaemon.cli"}
    assert what_reads <= read
    assert {"asyncio", "eudaemon.sensor.runtime"} <= serves
    assert what_reads & serves == set()


@pytest.mark.parametrize("python", dict.fromkeys((sys.executable, str(SYSTEM_PYTHON))))
def test_openssl_comes_with_the_first_peer_that_speaks_tls(python: str, tmp_path: Path) -> None:
    """Where its files are out of reach by then, as in root's own home, it comes before; TLS is spoken anyway."""
    if not Path(python).exists():
        pytest.skip(f"needs {python}")
    with Running(tmp_path, python) as sensor:
        assert sensor.has_openssl() == (os.geteuid() == 0 and not _strangers_reach(python))
        assert sensor.speak_tls() in ("TLSv1.2", "TLSv1.3")
        assert sensor.has_openssl()


@pytest.mark.parametrize("python", dict.fromkeys((sys.executable, str(SYSTEM_PYTHON))))
def test_the_primitives_of_ssh_come_with_the_first_peer_that_speaks_it(python: str, tmp_path: Path) -> None:
    """Where they are out of reach by then they come before, as OpenSSL does; SSH is spoken anyway."""
    paramiko = pytest.importorskip("paramiko")
    if not Path(python).exists() or subprocess.run([python, "-c", "import cryptography"], stderr=-3).returncode:
        pytest.skip(f"needs {python} with the package cryptography (python3-cryptography)")
    with Running(tmp_path, python, "ssh") as sensor, paramiko.SSHClient() as client:
        maps = Path(f"/proc/{sensor.process.pid}/maps")
        assert ("cryptography" in maps.read_text()) == (os.geteuid() == 0 and not _strangers_reach(python))
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect("127.0.0.1", sensor.port, "root", "xc3511", look_for_keys=False, allow_agent=False, timeout=20)
        assert client.exec_command("echo a", timeout=20)[1].read() == b"a\n"
        assert "cryptography" in maps.read_text()


def test_a_persona_of_ones_own_is_who_answers(tmp_path: Path) -> None:
    """It is read in the child and told to the sensor, which opens its ports, and lets in whom it names."""
    own = "[persona]\nname = 'kiosk'\nlike = 'set-top-box'\nmodels = ['KIOSK-{n}']\nlisten = ['telnet tcp PORT']\n" \
          "accounts = ['operator:s3cret']\n[[persona.file]]\npath = '/etc/kiosk'\ntext = 'ticket 17'\n"  # fmt: skip
    with Running(tmp_path, persona=own) as sensor:
        with socket.create_connection(("127.0.0.1", sensor.port), 20) as peer:
            said = b""
            for wanted, answer in ((b"login: ", b"operator\n"), (b"Password: ", b"s3cret\n"),
                                   (b"# ", b"cat /etc/kiosk\n"), (b"ticket 17", b"")):  # fmt: skip
                while wanted not in said:
                    data = peer.recv(4096)
                    assert data, said
                    said += data
                peer.sendall(answer)
        assert b"KIOSK-" in said
        _, serves = sensor.modules()
    assert {"tomllib", "eudaemon.persona_file", "eudaemon.world.windows.engine"} & serves == set()


def _strangers_reach(python: str) -> bool:
    """Say whether somebody without a name can import from this Python and from the package."""
    where = subprocess.run(
        [python, "-c", "import os; print(os.__file__)"], capture_output=True, text=True, check=True
    ).stdout.strip()
    tried = subprocess.run(
        ["cat", where, SOURCE / "__init__.py"], user=GeneralSettings().sensor_uid, group=0, extra_groups=[],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return tried.returncode == 0


def test_ctrl_c_while_it_starts_is_no_traceback(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "eudaemon", "sensor", "--config", "/dev/stdin", "--data", tmp_path],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not children.read_text():  # until then it may be Python itself that is interrupted
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_putting_openssl_off_takes_nothing_away_but_asyncio_s_own_tls() -> None:
    done = subprocess.run([sys.executable, "-c", """
from eudaemon.sensing import put_off_openssl
put_off_openssl()
import asyncio, hashlib, sys
assert asyncio.sslproto.ssl is None
assert "ssl" not in sys.modules and "_hashlib" not in sys.modules
assert hashlib.sha256(b"").hexdigest().startswith("e3b0c442")
assert [hashlib.new(name).name for name in ("md5", "sha1", "sha512", "shake_256")]
import ssl, _hashlib
assert ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""], capture_output=True, text=True)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fault_can_be_logged_when_nothing_more_can_be_imported(tmp_path: Path) -> None:
    """As in a confined sensor whose Python lies in root's own home: there, this once ended the process."""
    (tmp_path / "faulty.py").write_text("def fail():\n    raise ValueError  # RFC 8259 §8.1\n")
    done = subprocess.run([sys.executable, "-c", """
import logging, sys
from importlib import import_module
from eudaemon import app
from eudaemon.sensor.settings import SensorSettings
import faulty
app.configure_logging(app.GeneralSettings())
for modules in app.later(SensorSettings(listen=("telnet tcp 23",))):
    for module in modules: import_module(module)
sys.path.clear()
sys.path_importer_cache.clear()
try: faulty.fail()
except ValueError: logging.error("logged", exc_info=True)
"""], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": f"{SOURCE.parent}:{tmp_path}"})  # fmt: skip
    assert "logged" in done.stderr
    assert "§8.1" in done.stderr
    assert "ModuleNotFoundError" not in done.stderr


def test_a_python_whose_hashes_are_openssl_s_keeps_it() -> None:
    done = subprocess.run([sys.executable, "-c", """
from eudaemon import sensing
sensing._OWN_HASHES = ("_md5", "_nowhere")
sensing.put_off_openssl()
import asyncio, hashlib
assert asyncio.sslproto.ssl is not None
"""], capture_output=True, text=True)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "settings",
    [
        GeneralSettings(log_format="json"),
        SensorSettings(
            listen=("http tcp 80", "catchall udp 1-9"), limits=replace(SensorSettings().limits, idle_s_max=3)
        ),
        FetchSettings(lab_networks=("127.0.0.0/8",), same_url_s=1.5),
    ],
    ids=lambda settings: type(settings).__name__,
)
def test_settings_that_are_told_are_the_settings(settings: Any) -> None:
    told = json.loads(json.dumps(asdict(settings)))
    assert restored(type(settings), told) == settings
    assert hash(restored(type(settings), told)) == hash(settings)  # no list where there was a tuple
