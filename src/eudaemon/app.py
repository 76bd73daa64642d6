"""The composition root: settings in, running parts out. Only this file and `cli` know every part.

A part's life:  hello -> hold -> preload -> bind -> confine -> run: up (it says so), then until stopped
It holds its home alone, binds while it may still be root, and confines itself before the first byte of an attacker is
read.
"""

from __future__ import annotations

import asyncio
import dataclasses
import fcntl
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from eudaemon import confinement
from eudaemon.options import option
from eudaemon.supervisor import Channel, PartError

if TYPE_CHECKING:
    from eudaemon.farm.settings import FarmSettings
    from eudaemon.payload.fetch.policy import FetchSettings
    from eudaemon.payload.shellcode.apart import Bench
    from eudaemon.sensor.settings import SensorSettings

log = logging.getLogger("eudaemon")

SEED_BYTES = 32
UNPRIVILEGED_PORT_OFFSET = 10_000
HOLD_S_MAX = 10.0  # parts whose supervisor was killed notice at once, and still finish what is under way
_HOLD_AGAIN_S = 0.1
# What not all peers need, and so comes into a sensor with the first that does. So do the rooms: see `Door`.
TLS = ("eudaemon.sensor.tls", "eudaemon.payload.fetch.tls")


@dataclass(frozen=True, slots=True)
class GeneralSettings:
    """What concerns every part."""

    log_level: str = option("info", "How much is logged.", among=("debug", "info", "warning", "error"))
    log_format: str = option(
        "text", "`text` for people, `json` for machines, an object a line.", among=("text", "json")
    )
    sensor_uid: int = option(61880, "User id that the sensor changes to when started by root.", low=1, high=2**31)
    farm_uid: int = option(61881, "User id that the farm changes to when started by root.", low=1, high=2**31)


class Serving(Protocol):
    """What a sensor and a farm have in common."""

    def preload(self) -> None:
        """Import whatever running will need."""

    def bind(self) -> Sequence[str]:
        """Open the sockets; return what listens where, as people read it."""

    async def run(self, stop: asyncio.Event, up: Callable[[], None]) -> None:
        """Serve until `stop` is set, then end in good order. `up` is called once, when all that serves is there."""


def default_data() -> Path:
    """Return where data lies if nothing else is said: for root the system's place, for others their own."""
    if os.geteuid() == 0:
        return Path("/var/lib/eudaemon")
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "eudaemon"


def serve_sensor(
    general: GeneralSettings, settings: SensorSettings, fetch: FetchSettings, data: Path, persona: Any = None
) -> None:
    """Run a sensor until SIGTERM, SIGINT or the end of the supervisor. `persona` is one of somebody's own, as told."""
    from eudaemon.sensor.binding import BindError
    from eudaemon.sensor.runtime import Sensor
    from eudaemon.world import personas

    channel = Channel()
    told = channel.hello()
    if "uplink" in told:
        uplink = dataclasses.replace(settings.uplink, **told["uplink"])
        settings = dataclasses.replace(settings, name=told["sensor"], uplink=uplink)
    configure_logging(general)
    home = folder(data / "sensor").resolve()
    with hold(home, HOLD_S_MAX if told else 0.0):
        own = personas.told(persona) if persona else None
        sensor = Sensor(settings, fetch, read_seed(data), home, own)
        for modules in later(settings):
            if not _can_wait(modules, general.sensor_uid, home):
                for module in modules:
                    import_module(module)
        try:
            _serve(sensor, "sensor", channel, home, general.sensor_uid, dict)
        except BindError as error:
            raise PartError(str(error)) from None


def later(settings: SensorSettings) -> Iterator[Sequence[str]]:
    """Yield what a sensor imports when it is first asked for, as far as this machine has it."""
    from eudaemon.protocols import ROOMS
    from eudaemon.world.windows import CODECS, ENGINE

    if find_spec("_ssl") is not None:
        yield TLS
    if find_spec("_bz2") is not None:
        yield ("bz2",)
    yield CODECS
    yield ("unicodedata",)  # by a traceback through a line that is not all ASCII, and a fault must not end a sensor
    doors = {ROOMS[room] for listener in settings.listeners for room in ("catchall", "cmd", "sh", *listener.rooms)}
    yield *sorted(door.module for door in doors if not door.needs), "eudaemon.payload.follow", *ENGINE
    yield from ((door.module,) for door in doors if door.needs and not door.lacking)


def serve_farm(general: GeneralSettings, settings: FarmSettings, outputs: Mapping[str, Any], data: Path) -> None:
    """Run the farm, and its outputs by their names, until SIGTERM, SIGINT or the end of the supervisor."""
    from eudaemon.farm.outputs.outputs import OutputError
    from eudaemon.farm.server import Farm
    from eudaemon.farm.serving import ServingError

    channel = Channel()
    told = channel.hello()
    configure_logging(general)
    home = folder(data / "farm").resolve()
    with hold(home, HOLD_S_MAX if told else 0.0):
        bench = shellcode_bench(general.farm_uid)
        if bench is None:
            log.info("farm: unicorn is not installed, so that shellcodes are not emulated")
        farm = Farm(settings, home, bench, outputs)
        if "sensor" in told:
            farm.admit(told["sensor"], told["secret"])

        def ready() -> dict[str, Any]:
            # Drawn when nothing can fail any more, so that it is not lost; told once in a supervisor's life.
            password = None if told.get("password_is_told") else farm.prepare()
            if password and not told:
                print(f"page: {farm.page_url}  user admin, password {password}", flush=True)
            return {"first_password": password, "fingerprint": farm.fingerprint,
                    "page": farm.page_url, "intake": farm.intake_url}  # fmt: skip

        try:
            _serve(farm, "farm", channel, home, general.farm_uid, ready, lambda: farm.outputs.directories)
        except (ServingError, OutputError) as error:
            raise PartError(str(error)) from None


def shellcode_bench(uid: int) -> Bench | None:
    """Start the process that examines shellcodes: before there is a secret, a thread or a socket.

    Started by root, it changes to a user of this id. None where unicorn is not installed.
    """
    if find_spec("unicorn") is None:
        return None
    from eudaemon.payload.shellcode.apart import Bench

    def confine_bench() -> None:
        if os.geteuid() == 0:
            confinement.become(uid)
        if confinement.no_new_privileges():
            confinement.restrict_files([], [])
            confinement.forbid_execution()
            confinement.forbid_sockets()

    return Bench(confine_bench)


def _serve(
    part: Serving,
    name: str,
    channel: Channel,
    home: Path,
    uid: int,
    ready: Callable[[], dict[str, Any]],
    beside: Callable[[], Sequence[Path]] = tuple,
) -> None:
    began_s = time.monotonic()
    part.preload()
    listening = part.bind()
    confined = confine(uid, home, beside())
    log.info("%s: confined by %s", name, confined)

    def up() -> None:
        channel.ready({**ready(), "listening": list(listening)})
        log.info("%s: up after %.2f s, %d sockets", name, time.monotonic() - began_s, len(listening))
        log.debug("%s: listening on %s", name, ", ".join(listening))

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        channel.watch(stop.set)
        await part.run(stop, up)
        log.info("%s: stopped", name)

    asyncio.run(serve())


def confine(uid: int, home: Path, beside: Sequence[Path] = ()) -> str:
    """Give up whatever serving does not need; return what holds now, in words.

    `beside` are other directories that it writes to. One that is empty becomes its own; of one that holds something
    already, who owns it has decided.
    """
    held = []
    if os.geteuid() == 0:
        confinement.become(uid, [home, *(path for path in beside if not any(path.iterdir()))])
        held.append(f"uid {uid}")
        if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
            raise PartError(f"{home} cannot be reached by user id {uid}: a folder above it is closed to others; "
                            "--data names another place")  # fmt: skip
    for path in beside:
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise PartError(f"{path} cannot be written to by user id {os.geteuid()}: chown it, or name another place")
    os.chdir(home)  # where it was started may be out of reach from now on, and chDB looks there
    if confinement.no_new_privileges():
        held.append("no_new_privs")
        if confinement.restrict_files(_readable(), [home, *beside, Path("/dev/null"), Path("/dev/shm")]):  # noqa: S108
            held.append("Landlock")
        if confinement.forbid_execution():
            held.append("seccomp")
    return ", ".join(held) or "nothing: this kernel offers none of no_new_privs, seccomp and Landlock"


def _can_wait(modules: Sequence[str], uid: int, home: Path) -> bool:
    """Say whether these could still be imported after `confine`: a child confines itself, and tries.

    Not so where Python or OpenSSL lies below somebody's home, or outside of what `_readable` names.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            confine(uid, home)
            for module in modules:
                import_module(module)
            code = 0
        finally:
            os._exit(code)  # whatever was raised: the parent will meet it too, and can say so
    return os.waitpid(child, 0)[1] == 0


def _readable() -> list[Path]:
    package = Path(__file__).resolve().parents[1]
    system = [Path(p) for p in ("/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev", "/run/systemd/resolve")]
    return [*system, Path(sys.prefix), Path(sys.base_prefix), package]


def folder(path: Path) -> Path:
    """Make a folder that only its owner can enter; the ones above it can be passed through. Raises `PartError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
        path.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise PartError(f"{path} cannot be made: {error.strerror}; --data names another place") from None
    return path


def hold(home: Path, wait_s: float = 0.0) -> BinaryIO:
    """Take a part's home for this process alone, until what is returned is closed. Raises `PartError`.

    The lock is the open file's: however the process ends, the kernel gives it back. `wait_s` is for how long to wait
    for who has it and may be ending.
    """
    path = home / "lock"
    try:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
    except OSError as error:
        raise PartError(f"{path} cannot be opened: {error.strerror}; --data names another place") from None
    until_s = time.monotonic() + wait_s
    try:
        while not _locked(file):
            who = os.pread(file.fileno(), 20, 0).decode("ascii", "replace").strip() or "unknown"
            if time.monotonic() >= until_s:
                file.close()
                raise PartError(f"{home} is in use by another {home.name}, process {who}: stop that one, "
                                "or name another place with --data")  # fmt: skip
            if wait_s:
                log.warning("%s: process %s still has %s; waiting for it to end, at most %g s",
                            home.name, who, home, wait_s)  # fmt: skip
                wait_s = 0.0
            time.sleep(_HOLD_AGAIN_S)
        file.truncate()
        file.write(b"%d\n" % os.getpid())
    except OSError as error:
        file.close()
        raise PartError(f"{path} cannot be locked: {error.strerror}; --data names another place") from None
    return file


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_seed(data: Path) -> bytes:
    """Return the installation's seed, drawn when it is first asked for."""
    path = data / "sensor" / "seed"
    try:
        seed = path.read_bytes()
    except FileNotFoundError:
        seed = os.urandom(SEED_BYTES)
        new = path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(seed)
            file.flush()
            os.fsync(file.fileno())
        new.chmod(0o600)
        new.rename(path)
    return seed


def configure_logging(general: GeneralSettings) -> None:
    """Log to standard error: text for people, or one JSON object a line."""
    handler = logging.StreamHandler()
    if general.log_format == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(general.log_level.upper())
    # The web server's own notes of its coming and going say what ours say already.
    logging.getLogger("uvicorn").setLevel(max(root.level, logging.WARNING))


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        values = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            values["error"] = self.formatException(record.exc_info)
        return json.dumps(values)
