"""Walks the syntax tree. Executes nothing: a command is a row of the applet table, a file is bytes to keep.

Everything is a generator, because anything may wish a download in the middle: `$(wget -O- …)`. The acts pass
outwards through `yield from`, the answers inwards. Jumps (`break`, `return`, `exit`) are exceptions.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, TypeAlias

from eudaemon.world.files import Device, Directory, FileError, Fixed, Written
from eudaemon.world.outside import Download, Downloaded
from eudaemon.world.shell import patterns
from eudaemon.world.shell.acts import Act
from eudaemon.world.shell.budget import Exhausted
from eudaemon.world.shell.call import Call, text
from eudaemon.world.shell.expansion import Expander, ExpansionError
from eudaemon.world.shell.limits import WORDS_MAX
from eudaemon.world.shell.streams import Buffered, Output, Pipe, PipeFull, Stream, content
from eudaemon.world.shell.syntax import AndOr, Case, Command, For, Function, Group, If, Redirect, Simple, While

if TYPE_CHECKING:
    from eudaemon.world.shell.engine import Shell
    from eudaemon.world.shell.scope import Scope

Steps: TypeAlias = Generator[Act, Downloaded | None, None]
Streams: TypeAlias = dict[int, Stream]


class Break(Exception):
    """`break n`."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels


class Continue(Break):
    """`continue n`."""


class Return(Exception):
    """`return`; the status is set."""


class Exit(Exception):
    """`exit`; the status is set."""


class RedirectError(Exception):
    """A redirection cannot be set up; the message is BusyBox's."""


class Evaluator:
    """Evaluates commands for one shell session."""

    __slots__ = ("expander", "shell")

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.expander = Expander(self)

    # --- lists -------------------------------------------------------------------------------------

    def commands(self, commands: tuple[AndOr, ...], scope: Scope, streams: Streams) -> Steps:
        """Evaluate commands one after the other; the last status is in the scope."""
        for and_or in commands:
            if and_or.background:
                yield from self._background(and_or, scope, streams)
            else:
                yield from self._and_or(and_or, scope, streams)

    def subshell(self, commands: tuple[AndOr, ...], child: Scope) -> Steps:
        """Evaluate commands in a scope of their own; jumps end there."""
        try:
            yield from self.commands(commands, child, child.streams)
        except (Break, Return, Exit):
            pass
        except ExpansionError as error:
            self._complain(child, child.streams, str(error))
            child.status = 2

    def subshell_line(self, commands: tuple[AndOr, ...], scope: Scope) -> Steps:
        """Evaluate one line of a script: a jump that leads nowhere ends the line, `exit` the script."""
        try:
            yield from self.commands(commands, scope, scope.streams)
        except (Break, Return):
            pass
        except ExpansionError as error:
            self._complain(scope, scope.streams, str(error))
            scope.status = 2

    def _background(self, and_or: AndOr, scope: Scope, streams: Streams) -> Steps:
        child = scope.copy()
        child.streams = {**streams, 0: Stream()}
        try:
            yield from self.subshell((AndOr(and_or.pipelines, background=False),), child)
        except Exhausted:
            # What runs for ever in the background runs for ever: nobody waits for it.
            self.shell.count_exhausted()
            self.shell.budget.renew(share=10)
        scope.status = 0

    def _and_or(self, and_or: AndOr, scope: Scope, streams: Streams) -> Steps:
        for joint, pipeline in and_or.pipelines:
            if (joint == b"&&" and scope.status) or (joint == b"||" and not scope.status):
                continue
            if len(pipeline.commands) == 1:
                yield from self.command(pipeline.commands[0], scope, streams)
            else:
                yield from self._pipeline(pipeline.commands, scope, streams)
            if pipeline.negated:
                scope.status = int(not scope.status)

    def _pipeline(self, commands: list[Command], scope: Scope, streams: Streams) -> Steps:
        source = streams.get(0, Stream())
        for index, command in enumerate(commands):
            child = scope.copy()
            last = index == len(commands) - 1
            pipe = Pipe(self.shell.budget)
            child.streams = {**streams, 0: source}
            if not last:
                child.streams[1] = pipe
            try:
                yield from self.subshell((_alone(command),), child)
            except PipeFull:
                child.status = 141
            source = pipe
            scope.status = child.status

    # --- commands ----------------------------------------------------------------------------------

    def command(self, command: Command, scope: Scope, streams: Streams) -> Steps:
        """Evaluate one command."""
        if isinstance(command, Simple):
            yield from self._simple(command, scope, streams)
            return
        budget = self.shell.budget
        budget.step()
        budget.enter()
        try:
            streams = (yield from self.redirected(command.redirects, scope, streams)) if command.redirects else streams
            yield from self._WALK[type(command)](self, command, scope, streams)
        except RedirectError as error:
            self._complain(scope, streams, str(error))
            scope.status = 1
        finally:
            budget.leave()

    def _group(self, group: Group, scope: Scope, streams: Streams) -> Steps:
        if not group.subshell:
            yield from self.commands(group.body, scope, streams)
            return
        child = scope.copy()
        child.streams = streams
        yield from self.subshell(group.body, child)
        scope.status = child.status

    def _if(self, node: If, scope: Scope, streams: Streams) -> Steps:
        for condition, body in node.arms:
            yield from self.commands(condition, scope, streams)
            if scope.status == 0:
                yield from self.commands(body, scope, streams)
                return
        scope.status = 0
        yield from self.commands(node.otherwise, scope, streams)

    def _for(self, node: For, scope: Scope, streams: Streams) -> Steps:
        values: list[bytes] = []
        if node.words is None:
            values = list(scope.parameters)
        for word in node.words or ():
            values += yield from self.expander.fields(word, scope)
        scope.status = 0
        for value in values:
            scope.set(node.name, value)
            if not (yield from self._turn(node.body, scope, streams)):
                break

    def _while(self, node: While, scope: Scope, streams: Streams) -> Steps:
        status = 0
        while True:
            yield from self.commands(node.condition, scope, streams)
            if (scope.status == 0) == node.until:
                break
            going_on = yield from self._turn(node.body, scope, streams)
            status = scope.status
            if not going_on:
                break
        scope.status = status

    def _turn(self, body: tuple[AndOr, ...], scope: Scope, streams: Streams) -> Generator[Act, Downloaded | None, bool]:
        """Evaluate a loop's body once; False if the loop is over."""
        self.shell.budget.step()
        try:
            yield from self.commands(body, scope, streams)
        except Break as jump:
            if jump.levels > 1:
                raise type(jump)(jump.levels - 1) from None
            scope.status = 0
            return isinstance(jump, Continue)
        return True

    def _case(self, node: Case, scope: Scope, streams: Streams) -> Steps:
        value = yield from self.expander.text(node.word, scope)
        scope.status = 0
        for alternatives, body in node.arms:
            for word in alternatives:
                pattern = yield from self.expander.pattern(word, scope)
                self.shell.budget.work(len(pattern) + len(value))
                if patterns.matches(pattern, value):
                    yield from self.commands(body, scope, streams)
                    return

    def _function(self, node: Function, scope: Scope, streams: Streams) -> Steps:  # noqa: ARG002
        scope.define(node.name, node.body)
        scope.status = 0
        yield from ()

    _WALK = {Group: _group, If: _if, For: _for, While: _while, Case: _case, Function: _function}  # noqa: RUF012

    # --- simple commands ---------------------------------------------------------------------------

    def _simple(self, node: Simple, scope: Scope, streams: Streams) -> Steps:
        self.shell.budget.step()
        argv: list[bytes] = []
        for word in node.words:
            if word.plain is not None:
                argv.append(word.plain)
            else:
                argv += yield from self.expander.fields(word, scope)
                if len(argv) > WORDS_MAX:
                    raise Exhausted("words")
        if not argv:
            scope.status = 0
        values: list[tuple[bytes, bytes]] = []
        for name, word in node.assignments:
            values.append((name, (yield from self.expander.text(word, scope))))
        try:
            if node.redirects:
                streams = yield from self.redirected(node.redirects, scope, streams)
        except RedirectError as error:
            self._complain(scope, streams, str(error))
            scope.status = 1
            return
        if not argv:
            for name, value in values:
                scope.set(name, value)
            return
        before = {name: scope.variables.get(name) for name, _ in values}
        for name, value in values:
            scope.set(name, value)
        if argv == [b"exec"]:
            scope.streams = streams
        scope.status = yield from self.call(argv, scope, streams)
        for name, old in before.items():
            if old is None:
                scope.unset(name)
            else:
                scope.set(name, old)

    def call(self, argv: list[bytes], scope: Scope, streams: Streams) -> Generator[Act, Downloaded | None, int]:
        """Run a function, an applet or a file; return its status."""
        name = argv[0]
        if scope.functions and (body := scope.functions.get(name)) is not None:
            return (yield from self._call_function(body, argv, scope, streams))
        shell = self.shell
        applet = shell.applet(name)
        if applet is not None:
            return (yield from self.call_applet(text(name), argv, scope, streams))
        path = shell.program_path(name, scope)
        if path is None:
            self._complain(scope, streams, f"{text(name)}: not found")
            return 127
        return (yield from self._execute(path, argv, scope, streams))

    def call_applet(
        self, name: str, argv: list[bytes], scope: Scope, streams: Streams
    ) -> Generator[Act, Downloaded | None, int]:
        """Run one row of the table."""
        call = Call(self.shell, scope, streams, name, argv[1:])
        applet = self.shell.applet(name.encode("latin-1"))
        if applet is None:
            raise KeyError(name)
        try:
            result = applet(call)
            return result if isinstance(result, int) else (yield from result)
        except FileError as error:
            # A write failed: the disk is full, or the device is. Complaining may fail the same way.
            try:
                return call.error(f"write error: {error}")
            except FileError:
                return 1

    def _call_function(
        self, body: Command, argv: list[bytes], scope: Scope, streams: Streams
    ) -> Generator[Act, Downloaded | None, int]:
        outer, scope.parameters = scope.parameters, tuple(argv[1:])
        self.shell.budget.enter()
        try:
            yield from self.command(body, scope, streams)
        except Return:
            pass
        finally:
            scope.parameters = outer
            self.shell.budget.leave()
        return scope.status

    # --- files that are run --------------------------------------------------------------------------

    def _execute(
        self, path: bytes, argv: list[bytes], scope: Scope, streams: Streams
    ) -> Generator[Act, Downloaded | None, int]:
        shell = self.shell
        shown = text(argv[0])
        try:
            resolved = shell.files.resolve(path, scope.cwd)
            node = shell.files.get(resolved)
        except FileError as error:
            missing = str(error) == "No such file or directory"
            self._complain(scope, streams, f"{shown}: {'not found' if missing else error}")
            return 127 if missing else 126
        if isinstance(node, Directory | Device) or not node.mode & 0o111:
            self._complain(scope, streams, f"{shown}: Permission denied")
            return 126
        data = content(node, shell.at_s) if isinstance(node, Fixed | Written) else b""
        if data == shell.host.busybox:
            return (yield from self._busybox(path, argv, scope, streams))
        if isinstance(node, Written):
            yield from shell.keep(resolved, node, script=looks_like_script(data))
        if not data:
            # What an uploaded dropper would have filled by now.
            if shell.ran_program:
                self._started(streams)
            return 0
        if data[:4] == b"\x7fELF":
            return self._pretend_to_run(data, shown, scope, streams)
        if not looks_like_script(data):
            self._complain(scope, streams, f"{shown}: line 1: syntax error: unexpected word")
            return 2
        return (yield from self.script(data, argv, scope, streams))

    def _busybox(
        self, path: bytes, argv: list[bytes], scope: Scope, streams: Streams
    ) -> Generator[Act, Downloaded | None, int]:
        name = path.rpartition(b"/")[2]
        if name != b"busybox" and self.shell.applet(name) is None:
            streams.get(2, Stream()).write(name + b": applet not found\n")
            return 127
        return (yield from self.call_applet(text(name), [name, *argv[1:]], scope, streams))

    def _pretend_to_run(self, data: bytes, shown: str, scope: Scope, streams: Streams) -> int:
        """Say what the program would say, as far as a loader listens for it."""
        from eudaemon.world.machines import runs_on

        if not runs_on(self.shell.host.machine, data):
            self._complain(scope, streams, f'{shown}: line 1: syntax error: unexpected "("')
            return 2
        self.shell.ran_program = True
        self._started(streams)
        return 0

    def _started(self, streams: Streams) -> None:
        # Mirai's bot says so when it has started; its loader, and those made of it, take that for success.
        streams.get(1, Stream()).write(b"listening tun0\n")

    def script(
        self, data: bytes, argv: list[bytes], scope: Scope, streams: Streams
    ) -> Generator[Act, Downloaded | None, int]:
        """Run text in a shell of its own."""
        child = scope.fresh(argv[0], tuple(argv[1:]))
        child.streams = dict(streams)
        self.shell.budget.enter()
        try:
            yield from self.shell.evaluate(data, child, argv[0])
        finally:
            self.shell.budget.leave()
        return child.status

    # --- redirections ------------------------------------------------------------------------------

    def redirected(
        self, redirects: list[Redirect], scope: Scope, streams: Streams
    ) -> Generator[Act, Downloaded | None, Streams]:
        """Return the streams after the redirections. Raises `RedirectError`."""
        streams = dict(streams)
        for redirect in redirects:
            if redirect.op in (b"<<", b"<<<"):
                body = yield from self.expander.text(redirect.target, scope)
                streams[redirect.fd] = Buffered(body + b"\n" if redirect.op == b"<<<" else body)
                continue
            fields = yield from self.expander.fields(redirect.target, scope)
            target = fields[0] if len(fields) == 1 else b""
            try:
                if redirect.op in (b">&", b"<&") and (target == b"-" or target.isdigit()):
                    _duplicate(streams, redirect.fd, target)
                elif target.startswith((b"/dev/tcp/", b"/dev/udp/")):
                    streams[redirect.fd] = yield from self._connection(target)
                elif redirect.op in (b"<", b"<&"):
                    streams[redirect.fd] = self._open(target, scope)
                else:
                    streams[redirect.fd] = yield from self._create(redirect.op, target, scope)
                    if redirect.op == b"&>" or (redirect.op == b">&" and redirect.fd == 1):
                        streams[2] = streams[redirect.fd]
            except FileError as error:
                reading = redirect.op in (b"<", b"<&")
                reason = str(error)
                if reason == "No such file or directory":
                    reason = "no such file" if reading else "nonexistent directory"
                raise RedirectError(f"can't {'open' if reading else 'create'} {text(target)}: {reason}") from None
        return streams

    def _open(self, path: bytes, scope: Scope) -> Stream:
        node = self.shell.files.get(path, scope.cwd)
        if isinstance(node, Directory):
            return Stream()
        if isinstance(node, Device):
            return self.shell.device(node)
        data = content(node, self.shell.at_s) if isinstance(node, Fixed | Written) else b""
        self.shell.budget.work(len(data))
        return Buffered(data)

    def _create(self, op: bytes, path: bytes, scope: Scope) -> Generator[Act, Downloaded | None, Stream]:
        shell = self.shell
        resolved = shell.files.resolve(path, scope.cwd)
        node = shell.files.find(resolved)
        if isinstance(node, Device):
            return shell.device(node)
        if isinstance(node, Written) and op not in (b">>", b"<>"):
            yield from shell.keep(resolved, node)
            shell.files.truncate(node)
        file = shell.files.create(resolved, shell.at_s)
        if node is not file and op not in (b">>", b"<>"):
            shell.files.truncate(file)
        return Output(shell.files, file, shell.at_s, shell.budget)

    def _connection(self, target: bytes) -> Generator[Act, Downloaded | None, Stream]:
        parts = text(target).split("/")
        if len(parts) != 5 or not parts[3] or not parts[4].isdigit():
            raise FileError("No such file or directory")
        host = f"[{parts[3]}]" if ":" in parts[3] else parts[3]
        answer = yield Download(f"tcp://{host}:{parts[4]}/", tool="/dev/tcp")
        return Buffered(answer.head if answer is not None else b"")

    def _complain(self, scope: Scope, streams: Streams, message: str) -> None:
        where = f"line {scope.script_line}: " if scope.script_line else ""
        try:
            streams.get(2, Stream()).write(f"{text(scope.name)}: {where}{message}\n".encode("latin-1", "replace"))
        except FileError:
            return


def _alone(command: Command) -> AndOr:
    from eudaemon.world.shell.syntax import Pipeline

    return AndOr([(b"", Pipeline([command], negated=False))], background=False)


def _duplicate(streams: Streams, fd: int, target: bytes) -> None:
    if target == b"-":
        streams.pop(fd, None)
    elif (number := int(target[:6])) in streams:
        streams[fd] = streams[number]
    else:
        raise FileError("Bad file descriptor")


def looks_like_script(data: bytes) -> bool:
    """Say whether bytes are text that a shell would read."""
    head = data[:512]
    return data[:2] == b"#!" or (bool(head) and not any(byte < 7 or byte == 0x7F for byte in head)
                                 and sum(byte > 0x7E for byte in head) * 4 <= len(head))  # fmt: skip
