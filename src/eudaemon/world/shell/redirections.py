"""Redirections: what stands behind `<`, `>`, `>>`, `<<`, `2>&1`, and bash's /dev/tcp. POSIX.1 XCU 2.7."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, TypeAlias

from eudaemon.world.files import Device, Directory, FileError, Fixed, Written
from eudaemon.world.outside import Download, Downloaded
from eudaemon.world.shell.acts import Act
from eudaemon.world.shell.call import text
from eudaemon.world.shell.streams import Buffered, Output, Stream, content
from eudaemon.world.shell.syntax import Redirect

if TYPE_CHECKING:
    from eudaemon.world.shell.evaluator import Evaluator
    from eudaemon.world.shell.scope import Scope

Streams: TypeAlias = dict[int, Stream]


class RedirectError(Exception):
    """A redirection cannot be set up; the message is BusyBox's."""


def redirected(
    evaluator: Evaluator, redirects: list[Redirect], scope: Scope, streams: Streams
) -> Generator[Act, Downloaded | None, Streams]:
    """Return the streams after the redirections. Raises `RedirectError`."""
    streams = dict(streams)
    for redirect in redirects:
        if redirect.op in (b"<<", b"<<<"):
            body = yield from evaluator.expander.text(redirect.target, scope)
            streams[redirect.fd] = Buffered(body + b"\n" if redirect.op == b"<<<" else body)
            continue
        fields = yield from evaluator.expander.fields(redirect.target, scope)
        target = fields[0] if len(fields) == 1 else b""
        try:
            if redirect.op in (b">&", b"<&") and (target == b"-" or target.isdigit()):
                _duplicate(streams, redirect.fd, target)
            elif target.startswith((b"/dev/tcp/", b"/dev/udp/")):
                streams[redirect.fd] = yield from _connection(target)
            elif redirect.op in (b"<", b"<&"):
                streams[redirect.fd] = _open(evaluator, target, scope)
            else:
                streams[redirect.fd] = yield from _create(evaluator, redirect.op, target, scope)
                if redirect.op in (b"&>", b"&>>") or (redirect.op == b">&" and redirect.fd == 1):
                    streams[2] = streams[redirect.fd]
        except FileError as error:
            reading = redirect.op in (b"<", b"<&")
            reason = str(error)
            if reason == "No such file or directory":
                reason = "no such file" if reading else "nonexistent directory"
            raise RedirectError(f"can't {'open' if reading else 'create'} {text(target)}: {reason}") from None
    return streams


def _open(evaluator: Evaluator, path: bytes, scope: Scope) -> Stream:
    node = evaluator.shell.files.get(path, scope.cwd)
    if isinstance(node, Directory):
        return Stream()
    if isinstance(node, Device):
        return evaluator.shell.device(node)
    data = content(node, evaluator.shell.at_s) if isinstance(node, Fixed | Written) else b""
    evaluator.shell.budget.work(len(data))
    return Buffered(data)


def _create(evaluator: Evaluator, op: bytes, path: bytes, scope: Scope) -> Generator[Act, Downloaded | None, Stream]:
    shell = evaluator.shell
    resolved = shell.files.resolve(path, scope.cwd)
    node = shell.files.find(resolved)
    if isinstance(node, Device):
        return shell.device(node)
    appends = op in (b">>", b"<>", b"&>>")
    if isinstance(node, Written) and not appends:
        yield from shell.keep(resolved, node)
        shell.files.truncate(node)
    file = shell.create(resolved)
    if node is not file and not appends:
        shell.files.truncate(file)
    return Output(shell.files, file, shell.at_s, shell.budget)


def _connection(target: bytes) -> Generator[Act, Downloaded | None, Stream]:
    parts = text(target).split("/")
    if len(parts) != 5 or not parts[3] or not parts[4].isdecimal():
        raise FileError("No such file or directory")
    host = f"[{parts[3]}]" if ":" in parts[3] else parts[3]
    answer = yield Download(f"tcp://{host}:{parts[4]}/", tool="/dev/tcp")
    return Buffered(answer.head if answer is not None else b"")


def _duplicate(streams: Streams, fd: int, target: bytes) -> None:
    if target == b"-":
        streams.pop(fd, None)
    elif (number := int(target[:6])) in streams:
        streams[fd] = streams[number]
    else:
        raise FileError("Bad file descriptor")
