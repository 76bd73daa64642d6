"""The connection, and the table of what can be asked (kubernetes: pkg/kubelet/server/server.go)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._api import ApiRoom, command_line
from eudaemon.protocols._base import HangUp, Order, Saw, Send, Visit
from eudaemon.protocols._http import Request
from eudaemon.protocols._services import Command, Lines, Person, Service
from eudaemon.protocols._shell import Captured
from eudaemon.protocols._websocket import accepted
from eudaemon.protocols.kubelet.channels import PROTOCOLS, Channels
from eudaemon.protocols.kubelet.node import SECRETS, Node, Pod, node_of
from eudaemon.wire import decode, printable
from eudaemon.world.files import FileError, Files

READ_ONLY_PORT = 10255  # in plain HTTP, and nothing can be run through it
WORDS_MAX = 64  # of one command
WAITING_MAX = 8  # executions of one address that wait for their stream
_COMMAND_CHARS_MAX = 4096  # of one of those
_SERVICE = "kubelet"
_TEXT = "text/plain; charset=utf-8"
_NO_TLS = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"  # net/http server.go
_NO_SNIFFING = (("X-Content-Type-Options", "nosniff"),)
_SHELLS = frozenset(("sh", "bash", "ash", "/bin/sh", "/bin/bash", "/bin/ash"))
Step: TypeAlias = "Callable[[Kubelet, Request, float, tuple[str, ...]], Iterator[Order]]"


class Kubelet(ApiRoom):
    """One connection to the kubelet."""

    name: ClassVar[str] = "kubelet"
    paths: ClassVar[re.Pattern[bytes]] = re.compile(
        rb"[A-Z]+ /(?:pods|runningpods|run/|exec/[^/]+/[^/]+/|cri/exec/|containerLogs/|stats/summary)"
    )

    __slots__ = ()

    @property
    def node(self) -> Node:
        """Who answers."""
        return node_of(self.visit.host)

    @property
    def inside(self) -> Visit:
        """The visit, in a container."""
        return replace(self.visit, host=self.node.inside)

    def handle(self, request: Request, at_s: float) -> Iterator[Order]:
        """See `ApiRoom`."""
        is_moved = self.visit.local.port % 1000 == READ_ONLY_PORT % 1000  # as all ports may be
        reads_only = is_moved and not self.visit.tls
        if not self.visit.tls and not reads_only:
            yield Send(_NO_TLS)
            yield HangUp()
            return
        path = decode.percent(request.path)
        for methods, pattern, step in ROUTES:
            if request.method in methods and (found := pattern.fullmatch(path)) and not (reads_only and found.groups()):
                yield from step(self, request, at_s, tuple(part.decode("utf-8", "replace") for part in found.groups()))
                return
        yield from self.answer(request, at_s, 404, b"404 page not found\n", _TEXT, _NO_SNIFFING)

    def files_in(self, pod: Pod, at_s: float) -> Files:
        """Return the files of a pod's container, with the token that lies in each."""
        known = self.files_of.get(pod.uid)
        if known is None:
            host = self.node.inside
            known = self.inside, Files(host.tree, host.writable, self.visit.purse)
            self.files_of[pod.uid] = known
            _lay(known[1], SECRETS.encode(), {b"token": self.node.token(), b"namespace": pod.namespace.encode()}, at_s)
        return known[1]

    def service(self, pod: Pod, words: list[str], at_s: float, *, tty: bool, stdin: bool) -> Service:
        """Return what stands at the end of a stream into a pod's container."""
        files = self.files_in(pod, at_s)
        if len(words) == 1 and words[0] in _SHELLS and (tty or stdin):
            return Person(self.inside, files) if tty else Lines(self.inside, files)
        return Command(self.inside, files, command_line(words), terminal=tty, stdin=stdin)


def _lay(files: Files, folder: bytes, texts: dict[bytes, bytes], at_s: float) -> None:
    above = b""
    try:
        for part in folder.split(b"/")[1:]:
            above += b"/" + part
            if files.find(above) is None:
                files.make_directory(above, at_s)
        for name, text in texts.items():
            file = files.create(folder + b"/" + name, at_s)
            files.append(file, text, at_s)
            file.kept = True
    except FileError:
        return


# --- what can be asked -------------------------------------------------------------------------------


def health(room: Kubelet, request: Request, at_s: float, _: tuple[str, ...]) -> Iterator[Order]:
    """GET /healthz."""
    yield from room.answer(request, at_s, 200, b"ok", _TEXT)


def pods(room: Kubelet, request: Request, at_s: float, _: tuple[str, ...]) -> Iterator[Order]:
    """GET /pods, /runningpods/."""
    yield from room.told(request, at_s, 200, room.node.told_pods(at_s))


def metrics(room: Kubelet, request: Request, at_s: float, _: tuple[str, ...]) -> Iterator[Order]:
    """GET /metrics: the two figures that scanners look at."""
    node = room.node
    labels = {"git_commit": node.id_of("commit")[:40], "git_tree_state": "clean", "git_version": node.version,
              "go_version": "go1.15.15", "major": "1", "minor": node.version.split(".")[1],
              "platform": "linux/amd64"}  # fmt: skip
    build = ",".join(f'{name}="{value}"' for name, value in labels.items())
    text = (
        "# HELP kubernetes_build_info [ALPHA] A metric with a constant '1' value labeled by major, minor, git version, "
        "git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built.\n"
        f"# TYPE kubernetes_build_info gauge\nkubernetes_build_info{{{build}}} 1\n"
        "# HELP kubelet_running_pods [ALPHA] Number of pods currently running\n"
        f"# TYPE kubelet_running_pods gauge\nkubelet_running_pods {len(node.pods)}\n"
    )
    yield from room.answer(request, at_s, 200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")


def summary(room: Kubelet, request: Request, at_s: float, _: tuple[str, ...]) -> Iterator[Order]:
    """GET /stats/summary."""
    told = {"node": {"nodeName": room.node.name}, "pods": [
        {"podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}} for pod in room.node.pods
    ]}  # fmt: skip
    yield from room.told(request, at_s, 200, told)


def run(room: Kubelet, request: Request, at_s: float, place: tuple[str, ...]) -> Iterator[Order]:
    """POST /run/NAMESPACE/POD/CONTAINER: `cmd` in the query or in a form; the answer is what it printed."""
    pod = room.node.pod(*place)
    form = _pairs(request.query) + _pairs(request.body[:65_536])
    line = next((value for name, value in form if name == "cmd"), "")
    if line:
        yield Saw(ExploitRecognised("kubelet-run", "", printable(line.encode("utf-8", "replace"), 2048)))
    if pod is None:
        yield from _missing(room, request, at_s, place)
        return

    def over(shell: Captured, at_s: float) -> Iterator[Order]:
        yield from room.answer(request, at_s, 200, shell.printed, _TEXT)

    yield from room.run(
        room.inside, room.files_in(pod, at_s), [line.encode("utf-8", "replace")], over, at_s, holds=True
    )


def execute(room: Kubelet, request: Request, at_s: float, place: tuple[str, ...]) -> Iterator[Order]:
    """/exec/NAMESPACE/POD/CONTAINER?command=…&command=…: a WebSocket, or where to find one."""
    pod = room.node.pod(*place)
    asked = _pairs(request.query)
    words = [value for name, value in asked if name == "command"][:WORDS_MAX]
    if words:
        yield Saw(ExploitRecognised("kubelet-exec", "", printable(command_line(words), 2048)))
    if pod is None:
        yield from _missing(room, request, at_s, place)
    elif not words:
        yield from room.answer(request, at_s, 400, b"you must specify at least 1 of stdin, stdout, stderr", _TEXT)
    elif request.header(b"sec-websocket-key"):
        yield from _stream(room, request, pod, words, asked, at_s)
    elif b"upgrade" in request.header(b"connection").lower():
        token = room.visit.seed.bytes(f"token {at_s} {words}", 6).hex()[:8]
        _remember(room, token, {"place": place, "words": words, "query": request.query.decode("latin-1")})
        yield from room.answer(request, at_s, 302, b"", "", (("Location", f"/cri/exec/{token}"),))
    else:
        yield from room.answer(request, at_s, 400, b"unable to upgrade: missing upgrade headers in request: "
                               b'http.Header{}\n', _TEXT)  # fmt: skip


def redeem(room: Kubelet, request: Request, at_s: float, place: tuple[str, ...]) -> Iterator[Order]:
    """/cri/exec/TOKEN: the stream of an execution that was asked for before."""
    known = _remembered(room).get(place[0])
    pod = room.node.pod(*known["place"]) if known else None
    if known is None or pod is None or not request.header(b"sec-websocket-key"):
        yield from room.answer(request, at_s, 404, b"404 page not found\n", _TEXT, _NO_SNIFFING)
        return
    yield from _stream(room, request, pod, known["words"], _pairs(known["query"].encode("latin-1")), at_s)


def logs(room: Kubelet, request: Request, at_s: float, place: tuple[str, ...]) -> Iterator[Order]:
    """GET /containerLogs/NAMESPACE/POD/CONTAINER: nothing was logged."""
    if room.node.pod(*place) is None:
        yield from _missing(room, request, at_s, place)
    else:
        yield from room.answer(request, at_s, 200, b"", _TEXT)


# --- helpers -----------------------------------------------------------------------------------------


def _missing(room: Kubelet, request: Request, at_s: float, place: tuple[str, ...]) -> Iterator[Order]:
    text = f'pod "{printable(place[1].encode("utf-8", "replace"), 256)}" does not exist\n'
    yield from room.answer(request, at_s, 404, text.encode(), _TEXT, _NO_SNIFFING)


def _stream(
    room: Kubelet, request: Request, pod: Pod, words: list[str], asked: list[tuple[str, str]], at_s: float
) -> Iterator[Order]:
    """Answer the handshake, and be a stream from now on."""
    wishes = {name for name, value in asked if value in ("1", "true")}
    offered = [wish.strip() for wish in request.header(b"sec-websocket-protocol").split(b",")]
    protocol = next((known for known in PROTOCOLS if known in offered), b"")
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    head += accepted(request.header(b"sec-websocket-key")) + b"\r\n"
    head += b"Sec-WebSocket-Protocol: " + protocol + b"\r\n" if protocol else b""
    yield Send(head + b"\r\n")
    tty, stdin = bool(wishes & {"tty"}), bool(wishes & {"stdin", "input"})
    inner = room.service(pod, words, at_s, tty=tty, stdin=stdin)
    yield from room.hijack(Channels(inner, room.visit.purse, told=protocol == PROTOCOLS[0]), framed=False, at_s=at_s)


def _remembered(room: Kubelet) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(room.visit.memory.recall(_SERVICE, room.visit.attacker.ip) or b"{}")
    return found


def _remember(room: Kubelet, token: str, what: dict[str, object]) -> None:
    known: dict[str, object] = dict(list(_remembered(room).items())[1 - WAITING_MAX :])
    if len(json.dumps(what)) <= _COMMAND_CHARS_MAX:
        known[token] = what
    room.visit.memory.remember(_SERVICE, room.visit.attacker.ip, json.dumps(known).encode())


def _pairs(text: bytes) -> list[tuple[str, str]]:
    pairs = (pair.partition(b"=") for pair in text.split(b"&")[: 2 * WORDS_MAX])
    return [(_text(name), _text(value)) for name, _, value in pairs]


def _text(value: bytes) -> str:
    return decode.percent(value, plus=True).decode("utf-8", "replace")


_PLACE = rb"/([^/]{1,128})/([^/]{1,256})(?:/[0-9a-f-]{36})?/([^/]{1,128})"
ROUTES: tuple[tuple[tuple[str, ...], re.Pattern[bytes], Step], ...] = tuple(
    (methods, re.compile(pattern), step)
    for methods, pattern, step in (
        (("GET",), rb"/healthz(?:/.*)?", health), (("GET",), rb"/(?:pods|runningpods)/?", pods),
        (("GET",), rb"/metrics(?:/.*)?", metrics), (("GET",), rb"/stats/summary/?", summary),
        (("POST", "GET"), rb"/run" + _PLACE, run), (("POST", "GET"), rb"/exec" + _PLACE, execute),
        (("POST", "GET"), rb"/cri/exec/([0-9A-Za-z_-]{1,64})", redeem), (("GET",), rb"/containerLogs" + _PLACE, logs),
    )
)  # fmt: skip
