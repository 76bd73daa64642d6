"""Requests as the command line that they stand for: what is stated of them, so that a person can read a session."""

from __future__ import annotations

from typing import Any

from eudaemon.protocols._api import command_line
from eudaemon.protocols.docker.containers import Made
from eudaemon.wire import printable

_BINDS_MAX = 16
_CHARS_MAX = 4096
HOST_MOUNTS = ("/", "/etc", "/root", "/var", "/var/run", "/var/run/docker.sock", "/var/spool/cron", "/proc", "/home")


def run(made: Made, settings: dict[str, Any]) -> str:
    """Return `docker run …` for a container."""
    words = ["docker", "run"]
    words += ["--privileged"] if made.privileged else []
    for option, key in (("--net", "NetworkMode"), ("--pid", "PidMode"), ("--ipc", "IpcMode")):
        value = settings.get(key)
        if isinstance(value, str) and value not in ("", "default", "bridge", "private"):
            words += [f"{option}={value[:64]}"]
    for bind in made.binds:
        words += ["-v", bind]
    return said(*words, made.image, *made.words)


def said(*words: str) -> str:
    """Return a command line as text."""
    return printable(command_line(list(words)), _CHARS_MAX)


def binds(settings: dict[str, Any]) -> list[str]:
    """Return what of the host a container mounts, as `host:container`: HostConfig's Binds and Mounts."""
    found = [bind for bind in _list(settings.get("Binds")) if isinstance(bind, str)]
    pairs = [
        (mount.get("Source"), mount.get("Target")) for mount in _list(settings.get("Mounts")) if isinstance(mount, dict)
    ]
    found += [f"{source}:{target}" for source, target in pairs if isinstance(source, str) and isinstance(target, str)]
    return [bind[:256] for bind in found[:_BINDS_MAX]]


def escapes(made: Made) -> bool:
    """Say whether a container is made to reach its host."""
    return made.privileged or any(bind.partition(":")[0].rstrip("/") in {*HOST_MOUNTS, ""} for bind in made.binds)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
