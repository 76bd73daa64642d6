"""Walks the syntax tree of cmd.exe. Executes nothing: a command is a row of a table, a file is bytes to keep."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from eudaemon.world.files import Directory, FileError, Fixed, Written
from eudaemon.world.outside import Downloaded
from eudaemon.world.shell.acts import Act
from eudaemon.world.shell.streams import Buffered, Output, Pipe, PipeFullError, Stream, content
from eudaemon.world.windows import expansion, loops
from eudaemon.world.windows.batch import Batch, Exit, Goto, Leave
from eudaemon.world.windows.call import Call, Run
from eudaemon.world.windows.parser import Parser
from eudaemon.world.windows.paths import device, shown, words_of
from eudaemon.world.windows.programs import execute
from eudaemon.world.windows.syntax import Chain, CommandError, For, Group, If, Node, Redirect, Simple

if TYPE_CHECKING:
    from eudaemon.world.windows.engine import CommandShell
    from eudaemon.world.windows.scope import Scope

Streams: TypeAlias = dict[int, Stream]
Steps: TypeAlias = Generator[Act, Downloaded | None, int]
_INTERNAL = re.compile(r"[A-Za-z]+")
_ENDS_NAME = frozenset(' \t,;=./\\:+[]"(')
_FIRST = re.compile(r'"[^"]*"?[^\s,;=&|<>"]*|[^\s,;="]+')
_COMPARE = {
    "EQU": lambda a, b: a == b, "NEQ": lambda a, b: a != b, "LSS": lambda a, b: a < b, "LEQ": lambda a, b: a <= b,
    "GTR": lambda a, b: a > b, "GEQ": lambda a, b: a >= b,
}  # fmt: skip


class Evaluator:
    """Evaluates commands for one session."""

    __slots__ = ("shell",)

    def __init__(self, shell: CommandShell) -> None:
        self.shell = shell

    def run(self, node: Node, scope: Scope, streams: Streams) -> Steps:
        """Run a tree; return its exit code."""
        self.shell.budget.step()
        match node:
            case Simple():
                return (yield from self._simple(node, scope, streams))
            case Chain("|"):
                return (yield from self._pipeline(node.parts, scope, streams))
            case Chain():
                return (yield from self._chain(node, scope, streams))
        self.shell.budget.enter()
        try:
            match node:
                case Group():
                    return (yield from self._group(node, scope, streams))
                case If():
                    return (yield from self._if(node, scope, streams))
                case For():
                    return (yield from loops.run(self, node, scope, streams))
        finally:
            self.shell.budget.leave()

    def text(self, text: str, scope: Scope, streams: Streams) -> Steps:
        """Run text as a line that is typed: what `cmd /c` and `call` do. Raises `CommandError`."""
        self.shell.budget.work(32 * len(text))
        line = expansion.percent(text, self.shell.lookup(scope), None)
        return (yield from self.run(Parser(line).parse(), scope, streams))

    # --- chains --------------------------------------------------------------------------------------

    def _chain(self, node: Chain, scope: Scope, streams: Streams) -> Steps:
        status = 0
        for index, part in enumerate(node.parts):
            if index and ((node.op == "&&" and status) or (node.op == "||" and not status)):
                continue
            status = yield from self.run(part, scope, streams)
        return status

    def _pipeline(self, parts: tuple[Node, ...], scope: Scope, streams: Streams) -> Steps:
        shell, status = self.shell, 0
        before: Pipe | None = None
        pipes: list[Pipe] = []
        try:
            for index, part in enumerate(parts):
                mine = dict(streams)
                if before is not None:
                    mine[0] = Buffered(before.data)
                if index + 1 < len(parts):
                    before = Pipe(shell.budget, shell.purse)
                    pipes.append(before)
                    mine[1] = before
                try:
                    status = yield from self.run(part, scope.copy(), mine)
                except (PipeFullError, Exit, Leave):
                    status = 1
        finally:
            for pipe in pipes:
                pipe.release()
        scope.status = status
        return status

    def _group(self, node: Group, scope: Scope, streams: Streams) -> Steps:
        inner = yield from self._redirected(node.redirects, scope, streams)
        if inner is None:
            return 1
        return (yield from self.run(node.body, scope, inner))

    def _if(self, node: If, scope: Scope, streams: Streams) -> Steps:
        if self._holds(node, scope) != node.negated:
            return (yield from self.run(node.then, scope, streams))
        if node.otherwise is not None:
            return (yield from self.run(node.otherwise, scope, streams))
        return 0

    def _holds(self, node: If, scope: Scope) -> bool:
        left, right = self.expanded(node.left, scope), self.expanded(node.right, scope)
        match node.test:
            case "exist":
                return self._exists(left, scope)
            case "defined":
                return self.shell.lookup(scope)(left) is not None
            case "errorlevel":
                return scope.status >= _number(left, 0)
            case "cmdextversion":
                return _number(left, 0) <= 2
            case "==":
                return left.lower() == right.lower() if node.ignores_case else left == right
        if (first := _whole(left)) is not None and (second := _whole(right)) is not None:
            return bool(_COMPARE[node.test](first, second))
        if node.ignores_case:
            left, right = left.lower(), right.lower()
        return bool(_COMPARE[node.test](left, right))

    def _exists(self, path: str, scope: Scope) -> bool:
        if device(path):
            return True
        if "*" in path or "?" in path:
            return any(True for _ in self.shell.matching(path, scope.cwd))
        return self.shell.drives.find(path, scope.cwd) is not None

    def expanded(self, text: str, scope: Scope) -> str:
        """Return text with the variables that are expanded when a command runs."""
        text = expansion.loop(text, scope.loop)
        return expansion.delayed(text, self.shell.lookup(scope)) if scope.delayed else text

    # --- simple commands -----------------------------------------------------------------------------

    def _simple(self, node: Simple, scope: Scope, streams: Streams) -> Steps:
        inner = yield from self._redirected(node.redirects, scope, streams)
        if inner is None:
            scope.status = 1
            return 1
        name, tail, is_internal = self._split(self.expanded(node.text, scope))
        if not name:
            return 0
        try:
            if is_internal:
                status = yield from self.command(name, tail, scope, inner)
            else:
                status = yield from execute(self, name, tail, scope, inner)
        except FileError as error:
            inner.get(2, Stream()).write(f"{words_of(error)}\r\n".encode("latin-1", "replace"))
            status = 1
        if status or not is_internal or name not in self._LEAVES_STATUS:
            scope.status = status
        return status

    # What succeeds without saying so: the status stays what it was.
    _LEAVES_STATUS: ClassVar = frozenset(("echo", "rem", "set", "title", "if", "for", "pause", "setlocal", "call",
                                          "endlocal", "exit", "goto", "color", "prompt"))  # fmt: skip

    def _split(self, text: str) -> tuple[str, str, bool]:
        """Return a command's name, what follows it, and whether it is one of cmd.exe's own."""
        text = text.lstrip(" \t,;=@")
        word = _INTERNAL.match(text)
        if word is not None:
            name, rest = word[0].lower(), text[word.end() :]
            # `echo.exe` is a program, `echo.` is none.
            is_file = rest[:1] == "." and rest[1:4].lower() in ("exe", "com", "bat", "cmd")
            if name in self.shell.internal and (not rest or rest[0] in _ENDS_NAME) and not is_file:
                return name, rest, True
        first = _FIRST.match(text)
        if first is None:
            return "", "", False
        name = first[0]
        if not name.startswith('"') and (slash := re.search(r"(?<=\w)/(?=[a-zA-Z?])", name)):
            # `ipconfig/all`: an option begins where no path can.
            return name[: slash.start()], name[slash.start() :] + text[first.end() :], False
        return name.replace('"', ""), text[first.end() :], False

    def command(self, name: str, tail: str, scope: Scope, streams: Streams) -> Run:
        """Call a command of the table."""
        result = self.shell.command(name)(Call(self.shell, scope, streams, name, tail))
        if isinstance(result, int):
            return result
        return (yield from result)

    # --- redirections --------------------------------------------------------------------------------

    def _redirected(
        self, redirects: tuple[Redirect, ...], scope: Scope, streams: Streams
    ) -> Generator[Act, Downloaded | None, Streams | None]:
        """Return the streams after the redirections, None where one cannot be set up, which is said."""
        if not redirects:
            return streams
        streams = dict(streams)
        for redirect in redirects:
            if redirect.op in (">&", "<&"):
                streams[redirect.fd] = streams.get(int(redirect.target), Stream())
                continue
            target = self.expanded(redirect.target, scope)
            try:
                if device(target):
                    streams[redirect.fd] = Stream()
                elif redirect.op == "<":
                    streams[redirect.fd] = self._opened(target, scope)
                else:
                    streams[redirect.fd] = yield from self._created(redirect.op, target, scope)
            except FileError as error:
                streams.get(2, Stream()).write(f"{words_of(error)}\r\n".encode("latin-1", "replace"))
                return None
        return streams

    def _opened(self, path: str, scope: Scope) -> Stream:
        node = self.shell.drives.get(path, scope.cwd)
        if isinstance(node, Directory):
            raise FileError("Access is denied.")
        data = content(node, self.shell.at_s) if isinstance(node, Fixed | Written) else b""
        self.shell.budget.work(len(data))
        return Buffered(data)

    def _created(self, op: str, path: str, scope: Scope) -> Generator[Act, Downloaded | None, Stream]:
        shell = self.shell
        resolved = shell.drives.locate(path, scope.cwd)
        if op == ">":
            yield from shell.keep_before(resolved)
        file = shell.create(resolved)
        if op == ">":
            shell.files.truncate(file)
        return Output(shell.files, file, shell.at_s, shell.budget)

    # --- batch files ---------------------------------------------------------------------------------

    def batch(self, batch: Batch, scope: Scope, streams: Streams) -> Steps:
        """Run a batch file, or a part of it, to its end."""
        outer, scope.batch = scope.batch, batch
        outer_loop, scope.loop = scope.loop, {}
        self.shell.budget.enter()
        try:
            while (line := batch.next_line()) is not None:
                try:
                    yield from self._batch_line(line, batch, scope, streams)
                except Goto as jump:
                    self._jump(batch, jump.label)
        except Leave:
            pass
        finally:
            self.shell.budget.leave()
            scope.batch, scope.loop = outer, outer_loop
        return scope.status

    def _jump(self, batch: Batch, label: str) -> None:
        self.shell.budget.step()
        at = len(batch.lines) if label == "eof" else batch.line_of(label)
        if at is None:
            raise CommandError(f"The system cannot find the batch label specified - {label}")
        batch.at = at

    def _batch_line(self, line: str, batch: Batch, scope: Scope, streams: Streams) -> Steps:
        shell = self.shell
        shell.budget.work(32 + 32 * len(line))
        if not line.strip() or line.lstrip(" \t,;=").startswith((":", ")")):
            return 0
        lookup = shell.lookup(scope)

        def more() -> str | None:
            following = batch.next_line()
            if following is None:
                return None
            shell.budget.work(32 + 32 * len(following))
            return expansion.percent(following, lookup, batch.arguments)

        expanded = expansion.percent(line, lookup, batch.arguments)
        if scope.echoes and not expanded.lstrip().startswith("@"):
            prompt = f"\r\n{shown(scope.cwd)}>"
            streams.get(1, Stream()).write(f"{prompt}{expanded} \r\n".encode("latin-1", "replace"))
        return (yield from self.run(Parser(expanded, more).parse(), scope, streams))


def _number(text: str, default: int) -> int:
    found = _whole(text)
    return default if found is None else found


def _whole(text: str) -> int | None:
    text = text.strip()
    if len(text) > 12:
        return None
    try:
        return int(text, 16 if text.lower().startswith(("0x", "-0x")) else 10)
    except ValueError:
        return None


def lines_of(data: bytes) -> Iterator[str]:
    """Yield a text's lines."""
    yield from data.decode("latin-1").replace("\r\n", "\n").split("\n")
