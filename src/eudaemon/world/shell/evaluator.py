"""Walks the syntax tree. Executes nothing: a command is a row of the applet table, a file is bytes to keep.

Everything is a generator, because anything may wish a download in the middle: `$(wget -O- …)`. The acts pass
outwards through `yield from`, the answers inwards. Jumps (`break`, `return`, `exit`) are exceptions.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from eudaemon.world.files import FileError
from eudaemon.world.outside import Downloaded
from eudaemon.world.shell import patterns, programs, redirections
from eudaemon.world.shell.acts import Act
from eudaemon.world.shell.budget import LimitError
from eudaemon.world.shell.call import Call, text
from eudaemon.world.shell.expansion import Expander, ExpansionError
from eudaemon.world.shell.limits import WORDS_MAX
from eudaemon.world.shell.streams import Pipe, PipeFullError, Stream
from eudaemon.world.shell.syntax import AndOr, Assignment, Case, Command, For, Function, Group, If, Simple, While, Word

if TYPE_CHECKING:
    from eudaemon.world.shell.engine import Shell
    from eudaemon.world.shell.scope import Scope

_ITEM_COSTS = 16  # what copying an item of an array costs, against copying a byte
Steps: TypeAlias = Generator[Act, Downloaded | None, None]
Streams: TypeAlias = dict[int, Stream]


class Break(Exception):  # noqa: N818 - a jump, no error
    """`break n`."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels


class Continue(Break):
    """`continue n`."""


class Return(Exception):  # noqa: N818
    """`return`; the status is set."""


class Exit(Exception):  # noqa: N818
    """`exit`; the status is set."""


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
            self.complain(child, child.streams, str(error))
            child.status = 2
        yield from self.at_exit(child)

    def at_exit(self, scope: Scope) -> Steps:
        """Run what `trap` has to be run when this shell ends."""
        if scope.at_exit:
            command, scope.at_exit, status = scope.at_exit, b"", scope.status
            yield from self.shell.evaluate(command, scope, scope.name)
            scope.status = status

    def subshell_line(self, commands: tuple[AndOr, ...], scope: Scope) -> Steps:
        """Evaluate one line of a script: a jump that leads nowhere ends the line, `exit` the script."""
        try:
            yield from self.commands(commands, scope, scope.streams)
        except (Break, Return):
            pass
        except ExpansionError as error:
            self.complain(scope, scope.streams, str(error))
            scope.status = 2

    def _background(self, and_or: AndOr, scope: Scope, streams: Streams) -> Steps:
        child = scope.copy()
        child.streams = {**streams, 0: Stream()}
        self.shell.unwatched += 1
        try:
            yield from self.subshell((AndOr(and_or.pipelines, background=False),), child)
        except LimitError:
            # What runs for ever in the background runs for ever: nobody waits for it.
            self.shell.count_exhausted()
            self.shell.budget.renew(share=10)
        finally:
            self.shell.unwatched -= 1
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
        pipes = [Pipe(self.shell.budget, self.shell.purse) for _ in commands[1:]]
        try:
            for index, command in enumerate(commands):
                child = scope.copy()
                child.streams = {**streams, 0: source}
                if index < len(pipes):
                    source = child.streams[1] = pipes[index]
                try:
                    yield from self.subshell((_alone(command),), child)
                except PipeFullError:
                    child.status = 141
                scope.status = child.status
                if index:
                    pipes[index - 1].release()
        finally:
            for pipe in pipes:
                pipe.release()

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
            if command.redirects:
                streams = yield from redirections.redirected(self, command.redirects, scope, streams)
            walk = self._WALK[type(command)]
            yield from walk(self, command, scope, streams)
        except redirections.RedirectError as error:
            self.complain(scope, streams, str(error))
            scope.status = 1
        finally:
            budget.leave()

    def _group(self, group: Group, scope: Scope, streams: Streams) -> Steps:
        if not group.subshell:
            yield from self.commands(group.body, scope, streams)
            return
        child = scope.copy()
        child.streams = dict(streams)
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
        if node.counts is not None:
            yield from self._count(node, node.counts, scope, streams)
            return
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

    def _count(self, node: For, counts: tuple[Word, Word, Word], scope: Scope, streams: Streams) -> Steps:
        first, goes_on, step = counts
        self.expander.arithmetic((yield from self.expander.text(first, scope)), scope)
        scope.status = 0
        while self.expander.arithmetic((yield from self.expander.text(goes_on, scope)), scope) != b"0":
            if not (yield from self._turn(node.body, scope, streams)):
                break
            self.expander.arithmetic((yield from self.expander.text(step, scope)), scope)

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
                if patterns.matches(pattern, value, self.shell.budget):
                    yield from self.commands(body, scope, streams)
                    return

    def _function(self, node: Function, scope: Scope, streams: Streams) -> Steps:  # noqa: ARG002
        scope.define(node)
        scope.status = 0
        yield from ()

    _WALK: ClassVar[dict[type, Callable[..., Steps]]] = {
        Group: _group, If: _if, For: _for, While: _while, Case: _case, Function: _function,
    }  # fmt: skip

    # --- simple commands ---------------------------------------------------------------------------

    def _simple(self, node: Simple, scope: Scope, streams: Streams) -> Steps:
        self.shell.budget.step()
        before, offered = streams, self.shell.offered
        argv = yield from self._arguments(node.words, scope)
        if not argv:
            scope.status = 0
        values = yield from self._assigned(node.assignments, scope, at_once=not argv)
        try:
            if node.redirects:
                streams = yield from redirections.redirected(self, node.redirects, scope, streams)
        except redirections.RedirectError as error:
            self.complain(scope, streams, str(error))
            scope.status = 1
            return
        if not argv:
            return
        if argv == [b"exec"] and before is not streams:
            scope.streams = streams
            before.clear()  # what stands behind it in the same line has them, too
            before.update(streams)
        if values:
            yield from self._with_assignments(values, argv, scope, streams)
        else:
            scope.status = yield from self.call(argv, scope, streams)
        self.shell.withdraw(offered)

    def _arguments(self, words: list[Word], scope: Scope) -> Generator[Act, Downloaded | None, list[bytes]]:
        argv: list[bytes] = []
        is_condition = bool(words) and words[0].literal == b"[["
        for word in words:
            if is_condition:  # neither split nor taken for paths; what is compared with is a pattern
                compared = argv[-1:] in ([b"=="], [b"="], [b"!="])
                argv.append((yield from (self.expander.pattern if compared else self.expander.text)(word, scope)))
            elif word.plain is not None:
                argv.append(word.plain)
            else:
                argv += yield from self.expander.fields(word, scope)
                if len(argv) > WORDS_MAX:
                    raise LimitError("words")
        return argv

    def _assigned(
        self, assignments: list[Assignment], scope: Scope, *, at_once: bool
    ) -> Generator[Act, Downloaded | None, list[tuple[bytes, bytes]]]:
        """Return names and values; set them, too, if they are for the shell itself and not for one command."""
        values: list[tuple[bytes, bytes]] = []
        for given in assignments:
            if isinstance(given.value, list) or given.subscript:
                yield from self._assign_items(given, scope)
                continue
            value = yield from self.expander.text(given.value, scope)
            if given.appends:
                value = (self.expander.value_of(given.name, scope) or b"") + value
            values.append((given.name, value))
            if at_once:
                scope.set(given.name, value)
        return values

    def _assign_items(self, given: Assignment, scope: Scope) -> Steps:
        """`name=(one two)`, `name+=(three)`, `name[key]=value`."""
        items = dict((scope.arrays or {}).get(given.name, {}))
        self.shell.budget.work(_ITEM_COSTS * len(items))
        if isinstance(given.value, list):
            items = items if given.appends else {}
            following = max((int(key) for key in items if key.isdigit() and len(key) < 19), default=-1) + 1
            for word in given.value:
                values = yield from self.expander.fields(word, scope)
                for value in values:
                    key, equals, said = value[1:].partition(b"]=")
                    if value[:1] == b"[" and equals:
                        items[key] = said
                    else:
                        items[b"%d" % following] = value
                        following += 1
                    self.shell.budget.step()
        else:
            key = self.expander.key(given.subscript, scope)
            value = yield from self.expander.text(given.value, scope)
            items[key] = (items.get(key, b"") if given.appends else b"") + value
        scope.set_items(given.name, items)

    def _with_assignments(
        self, values: list[tuple[bytes, bytes]], argv: list[bytes], scope: Scope, streams: Streams
    ) -> Steps:
        """`name=value command`: the assignments are exported to the command, and undone after it."""
        before = {name: scope.variables.get(name) for name, _ in values}
        exported = scope.exported
        for name, value in values:
            scope.set(name, value)
            scope.export(name)
        try:
            scope.status = yield from self.call(argv, scope, streams)
        finally:
            scope.exported = exported
            for name, old in before.items():
                if old is None:
                    scope.unset(name)
                else:
                    scope.set(name, old)

    def call(self, argv: list[bytes], scope: Scope, streams: Streams) -> Generator[Act, Downloaded | None, int]:
        """Run a function, an applet or a file; return its status."""
        name = argv[0]
        if scope.functions and (function := scope.functions.get(name)) is not None:
            return (yield from self._call_function(function.body, argv, scope, streams))
        shell = self.shell
        applet = shell.applet(name)
        if applet is not None:
            return (yield from self.call_applet(text(name), argv, scope, streams))
        path = shell.program_path(name, scope)
        if path is None:
            self.complain(scope, streams, f"{text(name)}: not found")
            return 127
        return (yield from programs.execute(self, path, argv, scope, streams))

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
            if isinstance(result, int):
                return result
            # What may call others is a level of its own: `busybox busybox busybox …` has an end.
            self.shell.budget.enter()
            try:
                return (yield from result)
            finally:
                self.shell.budget.leave()
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

    def complain(self, scope: Scope, streams: Streams, message: str) -> None:
        where = f"line {scope.script_line}: " if scope.script_line else ""
        try:
            streams.get(2, Stream()).write(f"{text(scope.name)}: {where}{message}\n".encode("latin-1", "replace"))
        except FileError:
            return


def _alone(command: Command) -> AndOr:
    from eudaemon.world.shell.syntax import Pipeline

    return AndOr([(b"", Pipeline([command], negated=False))], background=False)
