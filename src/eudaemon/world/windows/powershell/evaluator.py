"""Follows a script of PowerShell. Executes nothing; what it fetches, writes and starts are acts, as in cmd.exe.

Everything is a generator, because anything may wish a download in the middle: `iex (iwr http://…)`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeAlias

from eudaemon.world.outside import Downloaded
from eudaemon.world.shell.acts import Act
from eudaemon.world.shell.budget import LimitError
from eudaemon.world.shell.limits import VARIABLES_MAX
from eudaemon.world.windows.powershell import operators
from eudaemon.world.windows.powershell.syntax import (
    Assign,
    Binary,
    Block,
    Command,
    Condition,
    Constant,
    Expandable,
    ForEach,
    Function,
    Index,
    Jump,
    Listed,
    Loop,
    Member,
    Node,
    Pipeline,
    Table,
    Try,
    TypeName,
    Unary,
    Variable,
)
from eudaemon.world.windows.powershell.values import (
    Thing,
    bounded,
    items,
    listed,
    octets,
    text,
    truth,
    unwrapped,
    whole,
)

if TYPE_CHECKING:
    from eudaemon.world.windows.call import Call

Value: TypeAlias = Generator[Act, Downloaded | None, Any]
_NODE_COSTS = 128  # against copying a byte
_MATCHED = "matches"


class Leave(Exception):  # noqa: N818 - jumps, no errors
    """`break`, `continue`, `return` or `exit`, with a value."""

    def __init__(self, kind: str, value: Any = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.value = value


class Thrown(Exception):  # noqa: N818
    """`throw`."""


class Evaluator:
    """One PowerShell, with its variables and functions. `call` is how it was called: its streams, files and shell."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.variables: dict[str, Any] = {}
        self.functions: dict[str, Block] = {}
        self.aliases: dict[str, str] = {}

    # --- statements ----------------------------------------------------------------------------------

    def run(self, block: Block) -> Generator[Act, Downloaded | None, None]:
        """Run a script, and print what its statements give."""
        from eudaemon.world.windows.powershell.cmdlets import printed

        try:
            for statement in block.body:
                values = yield from self.statement(statement)
                for line in printed(values):
                    self.call.out(f"{line}\r\n".encode("utf-8", "replace"))
        except Leave:
            pass

    def statement(  # noqa: C901 - one row a kind of statement
        self, node: Node
    ) -> Generator[Act, Downloaded | None, list[Any]]:
        """Run one statement; return what it puts into the pipeline."""
        self.call.shell.budget.step()
        match node:
            case Condition():
                for condition, body in node.arms:
                    if truth((yield from self.value(condition))):
                        return (yield from self.body(body))
                return []
            case Loop():
                return (yield from self._loop(node))
            case ForEach():
                return (yield from self._each(node))
            case Function():
                if len(self.functions) < VARIABLES_MAX:
                    self.functions[node.name] = node.block
                return []
            case Try():
                return (yield from self._try(node))
            case Jump():
                return (yield from self._jump(node))
            case Assign():
                yield from self._assign(node)
                return []
            case Pipeline() | Command():
                return (yield from self.pipeline(node))
            case Listed() if node.flat:
                return items((yield from self.value(node)))
        value = yield from self.value(node)
        return [] if value is None else list(value) if isinstance(value, list) else [value]

    def body(self, statements: tuple[Node, ...]) -> Generator[Act, Downloaded | None, list[Any]]:
        """Run statements; return all that they put into the pipeline."""
        budget = self.call.shell.budget
        budget.enter()
        out: list[Any] = []
        try:
            for statement in statements:
                out += yield from self.statement(statement)
                listed(out)
        finally:
            budget.leave()
        return out

    def _loop(self, node: Loop) -> Generator[Act, Downloaded | None, list[Any]]:
        out: list[Any] = []
        if node.first is not None:
            yield from self.statement(node.first)
        while True:
            if not node.tested_last and not (yield from self._goes_on(node)):
                break
            try:
                out += yield from self.body(node.body)
            except Leave as jump:
                if jump.kind == "break":
                    break
                if jump.kind != "continue":
                    raise
            listed(out)
            if node.step is not None:
                yield from self.statement(node.step)
            if node.tested_last and (yield from self._goes_on(node)) == node.until:
                break
        return out

    def _goes_on(self, node: Loop) -> Generator[Act, Downloaded | None, bool]:
        self.call.shell.budget.step()
        return node.condition is None or truth((yield from self.value(node.condition)))

    def _each(self, node: ForEach) -> Generator[Act, Downloaded | None, list[Any]]:
        out: list[Any] = []
        for item in items((yield from self.value(node.items))):
            self.set(node.variable, item)
            try:
                out += yield from self.body(node.body)
            except Leave as jump:
                if jump.kind == "break":
                    break
                if jump.kind != "continue":
                    raise
            listed(out)
        return out

    def _try(self, node: Try) -> Generator[Act, Downloaded | None, list[Any]]:
        try:
            out = yield from self.body(node.body)
        except Thrown:
            out = yield from self.body(node.caught)
        out += yield from self.body(node.last)
        return out

    def _jump(self, node: Jump) -> Generator[Act, Downloaded | None, list[Any]]:
        value = None if node.value is None else (yield from self.value(node.value))
        if node.kind == "throw":
            raise Thrown
        raise Leave(node.kind, value)

    # --- variables -----------------------------------------------------------------------------------

    def set(self, name: str, value: Any) -> None:
        """Set a variable. Raises `LimitError` if there are too many."""
        if name.startswith("env:"):
            self.call.scope.set(name[4:], text(value).encode("latin-1", "replace").decode("latin-1"))
            return
        if name not in self.variables and len(self.variables) >= VARIABLES_MAX:
            raise LimitError("variables")
        self.variables[name] = value

    def get(self, name: str) -> Any:
        """Return a variable's value."""
        if name.startswith("env:"):
            return self.call.shell.lookup(self.call.scope)(name[4:])
        if name in self.variables:
            return self.variables[name]
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        profile = self.call.scope.get("USERPROFILE") or ""
        match name:
            case "home":
                return profile
            case "pwd":
                return self.call.shell.lookup(self.call.scope)("CD")
            case "psversiontable":
                return {"PSVersion": self.call.machine.release.powershell}
        return None

    def _assign(self, node: Assign) -> Value:
        if isinstance(node.value, Pipeline | Command | Condition | Loop | ForEach | Try):
            value = unwrapped((yield from self.statement(node.value)))
        else:
            value = yield from self.value(node.value)
        if node.op:
            value = self._operated(node.op, (yield from self.value(node.target)), value)
        yield from self._put(node.target, value)
        return value

    def _put(self, target: Node, value: Any) -> Value:
        match target:
            case Variable():
                self.set(target.name, value)
            case Unary() if target.op[:1] == "[":
                yield from self._put(target.operand, operators.cast(target.op[1:-1], value))
            case Listed():
                values = items(value)
                for index, part in enumerate(target.parts):
                    yield from self._put(part, values[index] if index < len(values) else None)
            case Index():
                held = yield from self.value(target.target)
                at = yield from self.value(target.at)
                if isinstance(held, bytearray) and -len(held) <= whole(at) < len(held):
                    held[whole(at)] = whole(value) & 0xFF
                elif isinstance(held, list) and -len(held) <= whole(at) < len(held):
                    held[whole(at)] = value
                elif isinstance(held, dict) and len(held) < VARIABLES_MAX:
                    held[text(at)] = value
            case Member():
                held = yield from self.value(target.target)
                name = text((yield from self.value(target.name))).lower()
                if isinstance(held, dict) and len(held) < VARIABLES_MAX:
                    held[name] = value
                elif isinstance(held, Thing) and len(held.more) < 32:
                    held.more[name] = value

    # --- pipelines -----------------------------------------------------------------------------------

    def pipeline(self, node: Node) -> Generator[Act, Downloaded | None, list[Any]]:
        """Run commands one after the other, each with what the one before gave."""
        from eudaemon.world.windows.powershell.cmdlets import called

        values: list[Any] | None = None
        for part in node.parts if isinstance(node, Pipeline) else (node,):
            if isinstance(part, Command):
                values = yield from called(self, part, values)
            else:
                values = yield from self.statement(part)
        return values or []

    def invoke(
        self, block: Block, arguments: list[Any], named: dict[str, Any] | None = None
    ) -> Generator[Act, Downloaded | None, list[Any]]:
        """Run a block with arguments, in order or by their names."""
        before = {name: self.variables.get(name) for name in ("args", *(name for name, _ in block.parameters))}
        rest = list(arguments)
        for name, default in block.parameters:
            if named and name in named:
                value = named[name]
            elif rest:
                value = rest.pop(0)
            else:
                value = None if default is None else (yield from self.value(default))
            self.set(name, value)
        self.set("args", rest)
        try:
            return (yield from self.body(block.body))
        except Leave as jump:
            if jump.kind != "return":
                raise
            return items(jump.value)
        finally:
            self.variables.update(before)

    # --- expressions ---------------------------------------------------------------------------------

    def value(self, node: Node) -> Value:  # noqa: C901 - one row a kind of expression
        """Return what an expression gives."""
        self.call.shell.budget.work(_NODE_COSTS)
        match node:
            case Constant():
                return node.value
            case Variable():
                return self.get(node.name)
            case Expandable():
                made = ""
                for part in node.parts:
                    made = bounded(made + text((yield from self.value(part))))
                return self._worked(made)
            case Binary():
                return (yield from self._binary(node))
            case Unary():
                return (yield from self._unary(node))
            case Listed():
                return (yield from self._listed(node))
            case Member():
                return (yield from self._member(node))
            case Index():
                held = yield from self.value(node.target)
                return self._worked(operators.index(held, (yield from self.value(node.at))))
            case TypeName():
                return Thing("type", node.name)
            case Assign():
                return (yield from self._assign(node))
            case Table():
                return (yield from self._table(node))
            case Block():
                return node
        return unwrapped((yield from self.statement(node)))

    def _binary(self, node: Binary) -> Value:
        left = yield from self.value(node.left)
        if node.op in ("and", "or") and truth(left) == (node.op == "or"):
            return node.op == "or"
        return self._operated(node.op, left, (yield from self.value(node.right)))

    def _operated(self, op: str, left: Any, right: Any) -> Any:
        result, matches = operators.binary(op, left, right, self.call.shell.budget)
        if matches is not None:
            self.variables[_MATCHED] = matches
        return self._worked(result)

    def _unary(self, node: Unary) -> Value:
        value = yield from self.value(node.operand)
        return self._worked(operators.unary(node.op, value))

    def _listed(self, node: Listed) -> Value:
        if not node.flat:
            return self._worked(listed((yield from self._values(node.parts))))
        if node.single and len(node.parts) == 1 and not isinstance(node.parts[0], Pipeline | Command | Assign):
            value = yield from self.value(node.parts[0])
            return value
        if node.single and len(node.parts) == 1 and isinstance(node.parts[0], Assign):
            return (yield from self._assign(node.parts[0]))
        out: list[Any] = []
        for part in node.parts:
            out += yield from self.statement(part)
        return unwrapped(out) if node.single else listed(out)

    def _table(self, node: Table) -> Value:
        found: dict[str, Any] = {}
        for key, value in node.rows:
            name = text((yield from self.value(key)))
            found[name] = yield from self.value(value)
        return found

    def _member(self, node: Member) -> Value:
        from eudaemon.world.windows.powershell.members import call_member, member

        target = yield from self.value(node.target)
        name = text((yield from self.value(node.name))).lower()
        if node.arguments is None:
            return self._worked(member(self, target, name))
        arguments = yield from self._values(node.arguments)
        return self._worked((yield from call_member(self, target, name, arguments)))

    def _values(self, nodes: tuple[Node, ...]) -> Generator[Act, Downloaded | None, list[Any]]:
        found: list[Any] = []
        for node in nodes:
            found += [(yield from self.value(node))]
        return found

    def _worked(self, value: Any) -> Any:
        """Return a value, and count what it cost to make."""
        if isinstance(value, str | bytearray):
            self.call.shell.budget.work(len(value))
        elif isinstance(value, list):
            self.call.shell.budget.work(16 * len(value))
        return value

    def bytes_of(self, value: Any) -> bytes:
        """Return a value as bytes."""
        return bytes(octets(value))


_CONSTANTS: dict[str, Any] = {
    "true": True, "false": False, "null": None, "pshome": "C:\\Windows\\System32\\WindowsPowerShell\\v1.0",
    "shellid": "Microsoft.PowerShell", "verbosepreference": "SilentlyContinue", "executioncontext": Thing("context"),
    "errorview": "NormalView", "?": True, "maximumdrivecount": 4096,
}  # fmt: skip
