"""Files that are run: nothing of them is executed.

A script is read as a shell reads it; a program says what its loader waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eudaemon.world.droppers import wished
from eudaemon.world.files import Device, Directory, FileError, Fixed, Written
from eudaemon.world.machines import runs_on
from eudaemon.world.shell.call import Run, text
from eudaemon.world.shell.streams import Stream, content

if TYPE_CHECKING:
    from eudaemon.world.shell.engine import Shell
    from eudaemon.world.shell.evaluator import Evaluator, Streams
    from eudaemon.world.shell.scope import Scope


def execute(evaluator: Evaluator, path: bytes, argv: list[bytes], scope: Scope, streams: Streams) -> Run:
    """Pretend to run the file at a path; return its status. What the attacker made is kept first."""
    shell = evaluator.shell
    shown = text(argv[0])
    try:
        resolved = shell.files.resolve(path, scope.cwd)
        node = shell.files.get(resolved)
    except FileError as error:
        missing = str(error) == "No such file or directory"
        evaluator.complain(scope, streams, f"{shown}: {'not found' if missing else error}")
        return 127 if missing else 126
    if isinstance(node, Directory | Device) or not node.mode & 0o111:
        evaluator.complain(scope, streams, f"{shown}: Permission denied")
        return 126
    data = content(node, shell.at_s) if isinstance(node, Fixed | Written) else b""
    if data == shell.host.busybox:
        return (yield from _busybox(evaluator, path, argv, scope, streams))
    if isinstance(node, Written):
        yield from shell.keep(resolved, node, script=looks_like_script(data))
    if not data:
        # What an uploaded dropper would have filled by now.
        if shell.ran_program:
            _started(streams)
        return 0
    if data[:4] == b"\x7fELF":
        return (yield from _pretend_to_run(evaluator, data, shown, scope, streams))
    if not looks_like_script(data):
        evaluator.complain(scope, streams, f"{shown}: line 1: syntax error: unexpected word")
        return 2
    return (yield from run_script(evaluator, data, argv, scope, streams))


def _busybox(evaluator: Evaluator, path: bytes, argv: list[bytes], scope: Scope, streams: Streams) -> Run:
    name = path.rpartition(b"/")[2]
    if name != b"busybox" and evaluator.shell.applet(name) is None:
        streams.get(2, Stream()).write(name + b": applet not found\n")
        return 127
    return (yield from evaluator.call_applet(text(name), [name, *argv[1:]], scope, streams))


def _pretend_to_run(evaluator: Evaluator, data: bytes, shown: str, scope: Scope, streams: Streams) -> Run:
    """Say what the program would say, as far as a loader listens for it; fetch what a dropper would fetch."""
    shell = evaluator.shell
    if not runs_on(shell.host.machine, data):
        evaluator.complain(scope, streams, f'{shown}: line 1: syntax error: unexpected "("')
        return 2
    shell.ran_program = True
    shell.budget.work(len(data))
    url = wished(data, shell.peer)
    if url is None:
        _started(streams)
        return 0
    target = _waiting_for(data, shell)
    got = yield from shell.download(url, "dropper", target)
    if target and got.outcome in ("ok", "partial"):
        yield from shell.store(target, got)
    return 0


def _waiting_for(program: bytes, shell: Shell) -> bytes:
    """Return the path of the file that a dropper fills: empty, executable, and named in it."""
    for path, file in shell.files.written():
        if not file.data and file.mode & 0o111 and path.rpartition(b"/")[2] in program:
            return path
    return b""


def _started(streams: Streams) -> None:
    # Mirai's bot says so when it has started; its loader, and those made of it, take that for success.
    streams.get(1, Stream()).write(b"listening tun0\n")


def run_script(evaluator: Evaluator, data: bytes, argv: list[bytes], scope: Scope, streams: Streams) -> Run:
    """Run text in a shell of its own."""
    child = scope.fresh(argv[0], tuple(argv[1:]))
    child.streams = dict(streams)
    evaluator.shell.budget.enter()
    try:
        yield from evaluator.shell.evaluate(data, child, argv[0])
        yield from evaluator.at_exit(child)
    finally:
        evaluator.shell.budget.leave()
    return child.status


def looks_like_script(data: bytes) -> bool:
    """Say whether bytes are text that a shell would read."""
    head = data[:512]
    return data[:2] == b"#!" or (bool(head) and not any(byte < 7 or byte == 0x7F for byte in head)
                                 and sum(byte > 0x7E for byte in head) * 4 <= len(head))  # fmt: skip
