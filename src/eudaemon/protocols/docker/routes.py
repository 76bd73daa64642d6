"""The table of what can be asked: method, path, and what comes of it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._api import body_of, chunked, command_line, compact, frame
from eudaemon.protocols._base import Keep, Order, Saw, Send
from eudaemon.protocols._http import Request
from eudaemon.protocols._services import Said
from eudaemon.protocols._shell import Captured
from eudaemon.protocols.docker import spoken
from eudaemon.protocols.docker.containers import SHELLS, Execution, Made, words_of
from eudaemon.protocols.docker.daemon import normalised
from eudaemon.wire import decode, printable
from eudaemon.wire.tar import Member, members
from eudaemon.world.files import Directory, content_size

if TYPE_CHECKING:
    from eudaemon.protocols.docker.room import Docker

UNZIPPED_BYTES_MAX = 16 * 1024 * 1024
WAIT_S_MAX = 100.0  # then whoever waits is told that it is over
STEPS_MAX = 64  # lines of one Dockerfile
Step: TypeAlias = "Callable[[Docker, Request, float, str], Iterator[Order]]"


# --- the daemon --------------------------------------------------------------------------------------


def ping(room: Docker, request: Request, at_s: float, _name: str) -> Iterator[Order]:
    """GET, HEAD /_ping."""
    extra = (("Builder-Version", ""), ("Cache-Control", "no-cache, no-store, must-revalidate"), ("Pragma", "no-cache"))
    yield from room.answer(request, at_s, 200, b"OK", "text/plain; charset=utf-8", extra)


def version(room: Docker, request: Request, at_s: float, _name: str) -> Iterator[Order]:
    """GET /version."""
    yield from room.told(request, at_s, 200, room.daemon.told_version())


def info(room: Docker, request: Request, at_s: float, _name: str) -> Iterator[Order]:
    """GET /info."""
    containers = len(room.daemon.owners(at_s)) + len(room.shelf.containers)
    images = len({*room.daemon.images, *room.shelf.images})
    yield from room.told(request, at_s, 200, room.daemon.told_info(at_s, containers=containers, images=images))


def nothing(room: Docker, request: Request, at_s: float, _name: str) -> Iterator[Order]:
    """What is an empty list."""
    yield from room.told(request, at_s, 200, [])


def volumes(room: Docker, request: Request, at_s: float, _name: str) -> Iterator[Order]:
    """GET /volumes."""
    yield from room.told(request, at_s, 200, {"Volumes": [], "Warnings": None})


def networks(room: Docker, request: Request, at_s: float, _name: str) -> Iterator[Order]:
    """GET /networks."""
    rows = [{"Name": name, "Id": room.daemon.id_of(name), "Driver": driver, "Scope": "local", "Labels": {}}
            for name, driver in (("bridge", "bridge"), ("host", "host"), ("none", "null"))]  # fmt: skip
    yield from room.told(request, at_s, 200, rows)


# --- images ------------------------------------------------------------------------------------------


def images(room: Docker, request: Request, at_s: float, _name: str) -> Iterator[Order]:
    """GET /images/json."""
    known = dict.fromkeys((*room.shelf.images, *room.daemon.images))
    yield from room.told(request, at_s, 200, [room.daemon.image(reference) for reference in known])


def pull(room: Docker, request: Request, at_s: float, _name: str) -> Iterator[Order]:
    """POST /images/create: nothing is pulled."""
    asked = _query(request)
    name, tag = asked.get("fromImage", "")[:256], asked.get("tag", "")[:128]
    yield Saw(CommandEntered(spoken.said("docker", "pull", f"{name}:{tag}" if tag else name)))
    reference = normalised(f"{name}:{tag}" if tag and ":" not in name.rpartition("/")[2] else name)
    room.shelf.add(reference)
    room.keep_shelf()
    yield Send(chunked(request, room.headers, at_s, list(room.daemon.pulled(reference))))


def image(room: Docker, request: Request, at_s: float, name: str) -> Iterator[Order]:
    """GET /images/NAME/json."""
    reference = normalised(name)
    if reference in (*room.shelf.images, *room.daemon.images):
        entry = room.daemon.image(reference)
        yield from room.told(request, at_s, 200, {**entry, "Os": "linux", "Architecture": "amd64",
                                                  "Config": {"Cmd": ["/bin/sh"], "Env": None}})  # fmt: skip
    else:
        yield from room.missing(request, at_s, f"image: {reference}")


def build(room: Docker, request: Request, at_s: float, _name: str) -> Iterator[Order]:
    """POST /build: the context is kept, and what the Dockerfile runs is run as far as anything is."""
    yield Saw(CommandEntered("docker build"))
    archive = yield from _archive(request)
    wanted = _query(request).get("dockerfile", "Dockerfile").encode()
    found = list(members(archive))
    yield from _kept(found, b"")
    recipe = next((member.data for member in found if member.name.removeprefix(b"./") == wanted), b"")
    lines = [line.strip() for line in recipe.replace(b"\\\n", b" ").splitlines()]
    lines = [line for line in lines if line and not line.startswith(b"#")][:STEPS_MAX]
    commands = [line[4:].strip() for line in lines if line[:4].upper() == b"RUN "]
    made = Made(room.new_id(), "build", "build", [], int(at_s))
    _place(room, made, found, b"/", at_s)

    def built(_: Captured, at_s: float) -> Iterator[Order]:
        said: list[Any] = []
        for number, line in enumerate(lines, 1):
            said.append({"stream": f"Step {number}/{len(lines)} : {printable(line, 512)}\n"})
            said.append({"stream": f" ---\u003e {room.daemon.id_of(printable(line, 512))[:12]}\n"})
        id_ = room.daemon.id_of(f"built {made.id}")
        said += [{"aux": {"ID": f"sha256:{id_}"}}, {"stream": f"Successfully built {id_[:12]}\n"}]
        yield Send(chunked(request, room.headers, at_s, said))

    yield from room.run(room.inside, room.files_in(made, at_s), commands, built, at_s, holds=True)


def load(room: Docker, request: Request, at_s: float, _name: str) -> Iterator[Order]:
    """POST /images/load: the image is kept whole."""
    yield Saw(CommandEntered("docker load"))
    yield Keep(request.body, "upload", "image.tar", request.cut)
    yield Send(chunked(request, room.headers, at_s, [{"stream": "Loaded image\n"}]))


# --- containers --------------------------------------------------------------------------------------


def containers(room: Docker, request: Request, at_s: float, _name: str) -> Iterator[Order]:
    """GET /containers/json."""
    rows = [
        {"Id": made.id, "Names": [f"/{made.name}"], "Image": made.image,
         "ImageID": f"sha256:{room.daemon.id_of(normalised(made.image))}", "Command": " ".join(made.words)[:512],
         "Created": made.created_s, "Ports": [], "Labels": {}, "State": "running", "Status": "Up 3 seconds",
         "HostConfig": {"NetworkMode": "default"}, "NetworkSettings": {"Networks": {}}, "Mounts": []}
        for made in reversed(room.shelf.containers)
    ]  # fmt: skip
    yield from room.told(request, at_s, 200, [*rows, *room.daemon.owners(at_s)])


def create(room: Docker, request: Request, at_s: float, _name: str) -> Iterator[Order]:
    """POST /containers/create."""
    asked = body_of(request)
    reference = asked.get("Image")
    if not isinstance(reference, str) or not reference:
        yield from room.told(request, at_s, 400, {"message": "no image specified"})
        return
    reference = reference[:256]
    settings = asked.get("HostConfig")
    if not isinstance(settings, dict):
        settings = {}
    id_ = room.new_id()
    made = Made(
        id=id_, name=_query(request).get("name", "")[:128].lstrip("/") or room.daemon.name_of(id_), image=reference,
        words=words_of(asked.get("Entrypoint")) + words_of(asked.get("Cmd")), created_s=int(at_s),
        tty=asked.get("Tty") is True, stdin=asked.get("OpenStdin") is True,
        privileged=settings.get("Privileged") is True, binds=spoken.binds(settings),
        directory=asked["WorkingDir"][:256] if isinstance(asked.get("WorkingDir"), str) else "",
    )  # fmt: skip
    line = spoken.run(made, settings)
    yield Saw(CommandEntered(line))
    if normalised(reference) not in (*room.shelf.images, *room.daemon.images):
        yield from room.missing(request, at_s, f"image: {normalised(reference)}")
        return
    yield Saw(ExploitRecognised("docker-escape" if spoken.escapes(made) else "docker-container", "", line[:2048]))
    room.shelf.add(made)
    room.keep_shelf()
    yield from room.told(request, at_s, 201, {"Id": id_, "Warnings": []})
    yield from room.start(made, at_s)


def start(room: Docker, request: Request, at_s: float, name: str) -> Iterator[Order]:
    """POST /containers/ID/start, stop, kill, restart, …: always done."""
    if room.shelf.container(name) is None and not _is_owners(room, name, at_s):
        yield from room.missing(request, at_s, f"container: {name}")
    else:
        yield from room.answer(request, at_s, 204)


def wait(room: Docker, request: Request, at_s: float, name: str) -> Iterator[Order]:
    """POST /containers/ID/wait: a moment, or as long as somebody is at its shell."""
    if room.shelf.container(name) is None:
        yield from room.missing(request, at_s, f"container: {name}")
        return
    until_s = at_s + WAIT_S_MAX

    def over(at_s: float) -> Iterator[Order] | None:
        made = room.reread().container(name)
        if made is not None and made.attached and at_s < until_s:
            return None
        return room.told(request, at_s, 200, {"Error": None, "StatusCode": made.status if made is not None else 0})

    yield from room.later(over, at_s)


def attach(room: Docker, request: Request, at_s: float, name: str) -> Iterator[Order]:
    """POST /containers/ID/attach: what it printed; or its shell, if it was made for one."""
    made = room.shelf.container(name)
    if made is None:
        yield from room.missing(request, at_s, f"container: {name}")
        return
    yield room.upgraded(request)
    is_shell = len(made.words) == 1 and made.words[0] in SHELLS
    if (is_shell or not made.words) and made.stdin:
        made.attached, room.streams = True, made.id
        room.keep_shelf()
        service = room.service(made, ["sh"], at_s, tty=made.tty, stdin=True)
    else:
        output = made.output.encode("latin-1")
        service = Said(output.replace(b"\n", b"\r\n") if made.tty else output)
    yield from room.hijack(service, framed=not made.tty, at_s=at_s)


def logs(room: Docker, request: Request, at_s: float, name: str) -> Iterator[Order]:
    """GET /containers/ID/logs."""
    made = room.shelf.container(name)
    if made is None:
        yield from room.missing(request, at_s, f"container: {name}")
        return
    output = made.output.encode("latin-1")
    body = output.replace(b"\n", b"\r\n") if made.tty else frame(output) if output else b""
    yield from room.answer(request, at_s, 200, body, "application/vnd.docker.raw-stream")


def inspect(room: Docker, request: Request, at_s: float, name: str) -> Iterator[Order]:
    """GET /containers/ID/json."""
    made = room.shelf.container(name)
    if made is None:
        yield from room.missing(request, at_s, f"container: {name}")
        return
    state = {"Status": "running", "Running": True, "Paused": False, "Restarting": False, "OOMKilled": False,
             "Dead": False, "Pid": 2000 + made.created_s % 20_000, "ExitCode": 0, "Error": ""}  # fmt: skip
    yield from room.told(request, at_s, 200, {
        "Id": made.id, "Created": "2024-01-01T00:00:00Z", "Path": made.words[0] if made.words else "", "State": state,
        "Args": made.words[1:], "Image": f"sha256:{room.daemon.id_of(normalised(made.image))}",
        "Name": f"/{made.name}", "Driver": "overlay2", "Platform": "linux", "Mounts": [], "RestartCount": 0,
        "HostConfig": {"Binds": made.binds, "Privileged": made.privileged, "NetworkMode": "default",
                       "LogConfig": {"Type": "json-file", "Config": {}}},
        "Config": {"Tty": made.tty, "OpenStdin": made.stdin, "Cmd": made.words, "Image": made.image},
        "NetworkSettings": {"Networks": {}},
    })  # fmt: skip


def upload(room: Docker, request: Request, at_s: float, name: str) -> Iterator[Order]:
    """PUT /containers/ID/archive?path=…: files in a tar archive."""
    path = _query(request).get("path", "/")[:1024].encode("utf-8", "replace")
    yield Saw(CommandEntered(spoken.said("docker", "cp", "-", f"{name}:{path.decode('utf-8', 'replace')}")))
    archive = yield from _archive(request)
    found = list(members(archive))
    yield from _kept(found, path)
    made = room.shelf.container(name)
    if made is None:
        yield from room.missing(request, at_s, f"container: {name}")
        return
    _place(room, made, found, path, at_s)
    room.keep_shelf()
    yield from room.answer(request, at_s, 200, content_type="")


def look(room: Docker, request: Request, at_s: float, name: str) -> Iterator[Order]:
    """HEAD /containers/ID/archive?path=…: what stands there."""
    made = room.shelf.container(name)
    path = _query(request).get("path", "/")[:1024].encode("utf-8", "replace")
    node = room.files_in(made, at_s).find(path) if made is not None else None
    if node is None:
        yield from room.missing(request, at_s, f"container:path: {name}:{printable(path, 256)}")
        return
    mode = node.mode | (1 << 31 if isinstance(node, Directory) else 0)  # as Go's os.FileMode has it
    told = {"name": printable(path.rstrip(b"/").rpartition(b"/")[2]) or "/", "size": content_size(node, at_s),
            "mode": mode, "mtime": "2024-01-01T00:00:00Z", "linkTarget": ""}  # fmt: skip
    extra = (("X-Docker-Container-Path-Stat", base64.b64encode(compact(told)).decode("ascii")),)
    yield from room.answer(request, at_s, 200, content_type="", extra=extra)


def execute(room: Docker, request: Request, at_s: float, name: str) -> Iterator[Order]:
    """POST /containers/ID/exec."""
    asked = body_of(request)
    words = words_of(asked.get("Cmd"))
    if room.shelf.container(name) is None and not _is_owners(room, name, at_s):
        yield from room.missing(request, at_s, f"container: {name}")
    elif not words:
        yield from room.told(request, at_s, 400, {"message": "No exec command specified"})
    else:
        made = Execution(room.new_id(), name, words, asked.get("Tty") is True, asked.get("AttachStdin") is True)
        yield Saw(CommandEntered(spoken.said("docker", "exec", name[:12], *words)))
        room.shelf.add(made)
        room.keep_shelf()
        yield from room.told(request, at_s, 201, {"Id": made.id})


def begin(room: Docker, request: Request, at_s: float, name: str) -> Iterator[Order]:
    """POST /exec/ID/start."""
    one = room.shelf.execution(name)
    if one is None:
        yield from room.missing(request, at_s, f"exec instance: {name}")
        return
    made = room.shelf.container(one.container) or Made(one.container, one.container, "", [], int(at_s))
    yield Saw(ExploitRecognised("docker-exec", "", printable(command_line(one.words), 2048)))
    if body_of(request).get("Detach") is True:
        yield from room.answer(request, at_s, 200, content_type="")
        yield from room.start(replace(made, words=one.words), at_s)
    else:
        yield room.upgraded(request)
        room.streams = one.id
        service = room.service(made, one.words, at_s, tty=one.tty, stdin=one.stdin)
        yield from room.hijack(service, framed=not one.tty, at_s=at_s)


def executed(room: Docker, request: Request, at_s: float, name: str) -> Iterator[Order]:
    """GET /exec/ID/json."""
    one = room.shelf.execution(name)
    if one is None:
        yield from room.missing(request, at_s, f"exec instance: {name}")
        return
    entry = {"entrypoint": one.words[0], "arguments": one.words[1:], "tty": one.tty, "privileged": False}
    yield from room.told(request, at_s, 200, {
        "ID": one.id, "Running": False, "ExitCode": one.status, "ProcessConfig": entry, "OpenStdin": one.stdin,
        "ContainerID": one.container, "Pid": 0,
    })  # fmt: skip


# --- helpers -----------------------------------------------------------------------------------------


def _is_owners(room: Docker, name: str, at_s: float) -> bool:
    return any(row["Id"].startswith(name) or f"/{name}" in row["Names"] for row in room.daemon.owners(at_s))


def _query(request: Request) -> dict[str, str]:
    pairs = (pair.partition(b"=") for pair in request.query.split(b"&")[:32])
    return {decode.percent(name).decode("utf-8", "replace"): decode.percent(value, plus=True).decode("utf-8", "replace")
            for name, _, value in pairs}  # fmt: skip


def _archive(request: Request) -> Generator[Order, None, bytes]:
    """Return the archive in a body, unzipped. What is more than it may be is kept as it came."""
    body = request.body
    if body[:2] == b"\x1f\x8b":
        body, whole = decode.inflated(request.body, UNZIPPED_BYTES_MAX)
        if not whole:
            yield Keep(request.body, "upload", "archive.tar.gz", request.cut)
    return body


def _kept(found: list[Member], folder: bytes) -> Iterator[Order]:
    for member in found:
        name = folder.rstrip(b"/") + b"/" + member.name.removeprefix(b"./") if folder else member.name
        yield Keep(member.data, "upload", printable(name, 1024), not member.whole)


def _place(room: Docker, made: Made, found: list[Member], folder: bytes, at_s: float) -> None:
    """Put what was kept into a container, now and for the next connection."""
    for member in found:
        path = folder.rstrip(b"/") + b"/" + member.name.removeprefix(b"./")
        room.bring(made, path, member.data, member.mode, at_s)


_ID = rb"([^/]{1,256})"
ROUTES: tuple[tuple[str, re.Pattern[bytes], Step], ...] = tuple(
    (method, re.compile(pattern), step)
    for method, pattern, step in (
        ("GET", rb"/_ping", ping), ("HEAD", rb"/_ping", ping), ("GET", rb"/version", version), ("GET", rb"/info", info),
        ("GET", rb"/volumes", volumes), ("GET", rb"/networks", networks), ("GET", rb"/plugins", nothing),
        ("GET", rb"/images/json", images), ("POST", rb"/images/create", pull), ("POST", rb"/images/load", load),
        ("GET", rb"/images/(.{1,256})/json", image), ("POST", rb"/build", build),
        ("GET", rb"/containers/json", containers), ("POST", rb"/containers/create", create),
        ("POST", rb"/containers/" + _ID + rb"/(?:start|stop|restart|kill|pause|unpause|resize|rename)", start),
        ("DELETE", rb"/containers/" + _ID, start), ("POST", rb"/containers/" + _ID + rb"/wait", wait),
        ("POST", rb"/containers/" + _ID + rb"/attach", attach), ("GET", rb"/containers/" + _ID + rb"/logs", logs),
        ("GET", rb"/containers/" + _ID + rb"/json", inspect), ("PUT", rb"/containers/" + _ID + rb"/archive", upload),
        ("HEAD", rb"/containers/" + _ID + rb"/archive", look),
        ("POST", rb"/containers/" + _ID + rb"/exec", execute), ("POST", rb"/exec/" + _ID + rb"/start", begin),
        ("GET", rb"/exec/" + _ID + rb"/json", executed), ("POST", rb"/exec/" + _ID + rb"/resize", nothing),
    )
)  # fmt: skip
