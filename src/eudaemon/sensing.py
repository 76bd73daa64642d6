"""The process of `eudaemon sensor`: it stays for months, on machines with little memory, and begins without ballast.

    main ─┬─ a child reads the command line and the settings, tells what they say as JSON, and ends
          └─ the sensor hears it, and serves

What is imported stays. Reading (argparse, tomllib, the checks) would be 2 MiB that a sensor never needs again; OpenSSL
is 5 MiB that one without an uplink may never need, and comes when the first peer or download speaks TLS.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FAILED, INTERRUPTED = 3, 130  # as in `eudaemon.cli`
# What `hashlib` takes its functions from in a Python without OpenSSL.
_OWN_HASHES = ("_md5", "_sha1", "_sha2" if sys.version_info >= (3, 12) else "_sha256", "_sha3")


def main(arguments: Sequence[str]) -> int:
    """Run a sensor as the command line says; return the exit code."""
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(arguments: Sequence[str]) -> int:
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        return _read(arguments, telling)  # and ends as every command does
    os.close(telling)
    put_off_openssl()
    from eudaemon.supervisor import PartError

    with os.fdopen(told, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if not said:
        return os.waitstatus_to_exitcode(status)
    try:
        _serve(json.loads(said))
    except PartError as error:
        print(f"eudaemon: {error}", file=sys.stderr)
        return FAILED
    return 0


def _read(arguments: Sequence[str], telling: int) -> int:
    from eudaemon import cli

    def tell(values: dict[str, Any]) -> None:
        with os.fdopen(telling, "w", encoding="ascii") as pipe:
            json.dump(values, pipe)

    return cli.main(arguments, tell=tell)


def _serve(values: dict[str, Any]) -> None:
    from eudaemon import app
    from eudaemon.options import restored
    from eudaemon.payload.fetch.policy import FetchSettings
    from eudaemon.sensor.settings import SensorSettings

    general = restored(app.GeneralSettings, values["general"])
    settings = restored(SensorSettings, values["sensor"])
    fetch = restored(FetchSettings, values["fetch"])
    app.serve_sensor(general, settings, fetch, Path(values["data"]), values.get("persona"))


def put_off_openssl() -> None:
    """Import asyncio and hashlib as a Python without OpenSSL does; `import ssl` still works afterwards.

    Both are made for that, and do without: hashlib with functions of its own, asyncio without TLS. Ours is `wire.tls`.
    """
    if "asyncio" in sys.modules or any(find_spec(name) is None for name in _OWN_HASHES):
        return
    absent: dict[str, Any] = dict.fromkeys(("ssl", "_hashlib"))  # None there is a module that cannot be imported
    sys.modules.update(absent)
    try:
        for name in ("asyncio", "hashlib"):
            import_module(name)
    finally:
        for name in absent:
            del sys.modules[name]
