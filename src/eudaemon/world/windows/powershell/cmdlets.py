"""PowerShell's commands: cmdlets by their names and aliases, functions of the script, and cmd.exe's programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eudaemon.world.shell.streams import Buffered, Pipe
from eudaemon.world.windows.call import Call, url_in
from eudaemon.world.windows.commands import INTERNAL, PROGRAMS
from eudaemon.world.windows.commands.system import waiting
from eudaemon.world.windows.limits import POWERSHELL_LAYERS_MAX
from eudaemon.world.windows.powershell import operators
from eudaemon.world.windows.powershell.file_cmdlets import FILES
from eudaemon.world.windows.powershell.given import Cmdlet, Given, Values, printed, rows
from eudaemon.world.windows.powershell.members import (
    expanded,
    fetched,
    fetched_into,
    launch,
    made,
    member,
    start,
    write,
)
from eudaemon.world.windows.powershell.parser import Parser
from eudaemon.world.windows.powershell.syntax import Block, Command, Constant, ParseError
from eudaemon.world.windows.powershell.values import Thing, items, listed, octets, text, truth, unwrapped, whole
from eudaemon.world.windows.programs import execute

if TYPE_CHECKING:
    from eudaemon.world.windows.powershell.evaluator import Evaluator

_ARGUMENT_COSTS = 16  # bytes worked on for each character: numbers become text
_PARSING_COSTS = 24
_URLS_MAX = 4


_SWITCHES = frozenset(
    ("usebasicparsing", "useb", "force", "f", "wait", "nonewwindow", "passthru", "recurse", "asplaintext", "nologo",
     "noprofile", "nop", "asjob", "confirm", "whatif", "append", "raw", "nonewline", "asbytestream", "online")
)  # fmt: skip


def called(evaluator: Evaluator, node: Command, piped: list[Any] | None) -> Values:
    """Call a command; return what it gives."""
    evaluator.call.shell.budget.step()
    name = yield from evaluator.value(node.name)
    named: dict[str, Any] = {}
    rest: list[Any] = []
    waits = ""
    for argument in node.arguments:
        if argument.name is not None:
            named[argument.name] = True
            waits = "" if argument.name in _SWITCHES else argument.name
            if argument.value is not None:
                named[argument.name], waits = (yield from evaluator.value(argument.value)), ""
            continue
        value = yield from evaluator.value(argument.value) if argument.value is not None else evaluator.value(node.name)
        if waits:
            named[waits], waits = value, ""
        else:
            rest.append(value)
    given = Given(named, rest, piped)
    out = yield from _dispatched(evaluator, name, given, node)
    if node.target is not None:
        path = text((yield from evaluator.value(node.target)))
        yield from write(evaluator, path, "".join(f"{line}\r\n" for line in printed(out)).encode("utf-16"))
        return []
    return out


def _dispatched(evaluator: Evaluator, name: Any, given: Given, node: Command) -> Values:
    if isinstance(name, Block):
        return (yield from evaluator.invoke(name, given.rest, given.named))
    if isinstance(name, Thing):
        return (yield from run_text(evaluator, text(name.data))) if name.kind == "scriptblock" else []
    key = text(name).strip().lower()
    key = evaluator.aliases.get(key, key)
    if key in evaluator.functions:
        budget = evaluator.call.shell.budget
        budget.enter()
        try:
            if given.piped is not None:
                evaluator.set("input", given.piped)
            return (yield from evaluator.invoke(evaluator.functions[key], given.rest, given.named))
        finally:
            budget.leave()
    cmdlet = CMDLETS.get(key)
    if cmdlet is not None:
        return (yield from cmdlet(evaluator, given))
    return (yield from _program(evaluator, text(name).strip(), node, given))


def _program(evaluator: Evaluator, name: str, node: Command, given: Given) -> Values:
    """Call a program as cmd.exe would; return the lines that it prints."""
    call = evaluator.call
    parts = []
    for argument in node.arguments:
        if argument.name is not None:
            parts.append(f"-{argument.name}")
        if argument.value is not None:
            parts += [_quoted(text(item)) for item in items((yield from evaluator.value(argument.value)))]
    call.shell.budget.work(_ARGUMENT_COSTS * sum(map(len, parts)))
    stem = name.lower().replace("/", "\\").rpartition("\\")[2].removesuffix(".exe")
    if not name or (stem in INTERNAL and "\\" not in name and stem not in PROGRAMS):
        return _unknown(call, name)
    name = name.encode("latin-1", "replace").decode("latin-1")
    if "\\" not in name and "." not in name and stem not in PROGRAMS and "-" in name:
        return _unknown(call, name)  # a cmdlet that is not known here
    pipe = Pipe(call.shell.budget, call.shell.purse)
    streams = {**call.streams, 1: pipe}
    if given.piped is not None:
        streams[0] = Buffered("".join(f"{line}\r\n" for line in printed(given.piped)).encode("latin-1", "replace"))
    tail = "".join(f" {part}" for part in parts).encode("latin-1", "replace").decode("latin-1")
    try:
        yield from execute(call.shell.evaluator, name, tail, call.scope, streams)
        lines = bytes(pipe.data).decode("latin-1").replace("\r\n", "\n").removesuffix("\n")
    finally:
        pipe.release()
    return lines.split("\n") if lines else []


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value and not value.startswith('"') else value


def _unknown(call: Call, name: str) -> list[Any]:
    call.error(f"{name} : The term '{name}' is not recognized as the name of a cmdlet, function, script file, or "
               "operable\r\nprogram. Check the spelling of the name, or if a path was included, verify that the path "
               "is correct and try again.\r\nAt line:1 char:1\r\n+ " + name + "\r\n+ " + "~" * len(name) + "\r\n"
               f"    + CategoryInfo          : ObjectNotFound: ({name}:String) [], CommandNotFoundException\r\n"
               "    + FullyQualifiedErrorId : CommandNotFoundException\r\n ")  # fmt: skip
    return []


# --- running text ------------------------------------------------------------------------------------


def run_text(evaluator: Evaluator, script: str, *, keeps: bool = True) -> Values:
    """Run a text as a script, in this PowerShell. What it was decoded from is gone: it is kept as an artefact."""
    shell = evaluator.call.shell
    if shell.layers >= POWERSHELL_LAYERS_MAX or not script.strip():
        return []
    shell.layers += 1
    shell.budget.enter()
    try:
        shell.budget.work(_PARSING_COSTS * len(script))
        if keeps:
            yield from shell.keep_bytes(script.encode("utf-8", "replace"), "script.ps1", "script")
        try:
            block = Parser(script).script()
        except ParseError:
            yield from _wished_plainly(evaluator, script)
            return []
        return (yield from evaluator.body(block.body))
    finally:
        shell.budget.leave()
        shell.layers -= 1


def _wished_plainly(evaluator: Evaluator, script: str) -> Values:
    """Wish what stands in a script that is not understood."""
    for _ in range(_URLS_MAX):
        url = url_in(script)
        if not url:
            break
        yield from fetched(evaluator, url)
        script = script.partition(url)[2]
    return []


def _invoke_expression(evaluator: Evaluator, given: Given) -> Values:
    command = given.get("command", at=0)
    value = given.piped if given.piped is not None and command is None else command
    joined = value if isinstance(value, str) else "\n".join(text(item) for item in items(value))
    return (yield from run_text(evaluator, joined))


# --- what fetches and starts -------------------------------------------------------------------------


def _web_request(evaluator: Evaluator, given: Given) -> Values:
    url = text(unwrapped(items(given.get("uri", "url", at=0))) or "")
    if "://" not in url and url:
        url = f"http://{url}"
    path = given.get("outfile")
    if path is not None:
        yield from fetched_into(evaluator, url, expanded(evaluator, text(path)))
        return []
    body = yield from fetched(evaluator, url)
    response = Thing("response", body)
    return [response]


def _rest_method(evaluator: Evaluator, given: Given) -> Values:
    found = yield from _web_request(evaluator, given)
    return [octets(found[0]).decode("latin-1")] if found else []


def _bits(evaluator: Evaluator, given: Given) -> Values:
    sources, targets = items(given.get("source", at=0)), items(given.get("destination", at=1))
    for index, source in enumerate(sources[:16]):
        target = text(targets[index]) if index < len(targets) else text(source).rpartition("/")[2]
        yield from fetched_into(evaluator, text(source), target)
    return []


def _start_process(evaluator: Evaluator, given: Given) -> Values:
    path = text(given.get("filepath", at=0))
    arguments = " ".join(text(item) for item in items(given.get("argumentlist", "args", at=1)))
    yield from launch(evaluator, path, arguments)
    return []


def _new_object(evaluator: Evaluator, given: Given) -> Values:  # noqa: ARG001
    kind = text(given.get("comobject", "typename", at=0)).lower()
    arguments = given.get("argumentlist", at=1)
    if kind == "io.memorystream" or kind.endswith(".memorystream"):
        arguments = [arguments[0] if isinstance(arguments, list) and len(arguments) == 1 else arguments]
    yield from ()
    return [made(kind.removeprefix("system."), items(arguments))]


def _wmi(evaluator: Evaluator, given: Given) -> Values:
    arguments = given.get("argumentlist", at=2)
    line = text(arguments.get("CommandLine") if isinstance(arguments, dict) else unwrapped(items(arguments)))
    if line:
        yield from start(evaluator, line)
    return []


def _block(evaluator: Evaluator, given: Given) -> Values:
    """`Invoke-Command`, `Start-Job`: run the block."""
    block = given.get("scriptblock", at=0)
    if isinstance(block, Block):
        return (yield from evaluator.invoke(block, items(given.get("argumentlist"))))
    is_text = isinstance(block, str) or (isinstance(block, Thing) and block.kind == "scriptblock")
    return (yield from run_text(evaluator, text(block))) if is_text else []


# --- pipelines ---------------------------------------------------------------------------------------


def _for_each(evaluator: Evaluator, given: Given) -> Values:
    block = given.get("process", "begin", at=0)
    out: list[Any] = []
    if isinstance(block, Block) and len(block.body) == 1 and isinstance(block.body[0], Constant):
        return [block.body[0].value] * len(_flat(given.piped or []))  # `0..65535|%{0}`, a buffer of every reverse shell
    for item in _flat(given.piped or []):
        evaluator.set("_", item)
        if isinstance(block, Block):
            out += yield from evaluator.body(block.body)
        elif block is not None:
            found = member(evaluator, item, text(block).lower())
            out += [] if found is None else [found]
        listed(out)
    return out


def _where(evaluator: Evaluator, given: Given) -> Values:
    block = given.get("filterscript", at=0)
    out: list[Any] = []
    for item in _flat(given.piped or []):
        evaluator.set("_", item)
        if not isinstance(block, Block) or truth(unwrapped((yield from evaluator.body(block.body)))):
            out.append(item)
    return out


def _flat(values: list[Any]) -> list[Any]:
    return listed([inner for value in values for inner in (items(value) if isinstance(value, list) else [value])])


def _select(evaluator: Evaluator, given: Given) -> Values:
    values = _flat(given.piped or [])
    first, last, name = given.get("first"), given.get("last"), given.get("expandproperty", at=0)
    yield from ()
    values = values[: whole(first)] if first is not None else values[-whole(last) :] if last is not None else values
    return values if name is None else [member(evaluator, value, text(name).lower()) or value for value in values]


def _out(evaluator: Evaluator, given: Given) -> Values:  # noqa: ARG001
    yield from ()
    return _flat(given.input)


def _null(evaluator: Evaluator, given: Given) -> Values:  # noqa: ARG001
    yield from ()
    return []


def _host(evaluator: Evaluator, given: Given) -> Values:
    yield from ()
    value = given.get("object", at=0)
    evaluator.call.out(f"{text(value)}\r\n".encode("utf-8", "replace"))
    return []


def _string(evaluator: Evaluator, given: Given) -> Values:  # noqa: ARG001
    yield from ()
    return ["\r\n".join(printed(given.input))]


# --- the rest ----------------------------------------------------------------------------------------


def _set_variable(evaluator: Evaluator, given: Given) -> Values:
    yield from ()
    evaluator.set(text(given.get("name", at=0)).lower(), given.get("value", at=1))
    return []


def _get_variable(evaluator: Evaluator, given: Given) -> Values:
    yield from ()
    name = text(given.get("name", at=0)).lower()
    if "*" in name:
        known = ("verbosepreference", "maximumdrivecount", "executioncontext", *evaluator.variables)
        name = next((one for one in known if operators.like(one, name)), name)
    value = evaluator.get(name)
    if "value" in given.named or "valueonly" in given.named or "valueo" in given.named:
        return [value]
    found = Thing("variable", name)
    found.more = {"value": value, "name": name}
    return [found]


def _get_command(evaluator: Evaluator, given: Given) -> Values:
    yield from ()
    wanted = text(given.get("name", at=0)).lower()
    return [name for name in (*CMDLETS, *evaluator.functions) if operators.like(name, wanted)][:1]


def _wmi_object(evaluator: Evaluator, given: Given) -> Values:
    yield from ()
    machine = evaluator.call.machine
    known: dict[str, dict[str, Any]] = {
        "win32_operatingsystem": {"Caption": machine.caption, "Version": machine.release.version,
                                  "OSArchitecture": "64-bit", "CSName": machine.name},
        "win32_computersystem": {"Name": machine.name, "Manufacturer": machine.manufacturer, "Model": machine.model,
                                 "Domain": machine.workgroup},
        "win32_processor": {"Name": machine.cpu, "AddressWidth": 64},
    }  # fmt: skip
    found = known.get(text(given.get("class", "classname", at=0)).lower())
    return [] if found is None else [found]


def _processes(evaluator: Evaluator, given: Given) -> Values:
    yield from ()
    wanted = text(given.get("name", at=0)).lower()
    rows = evaluator.call.machine.processes[2:]
    return [{"Name": name.removesuffix(".exe"), "Id": number} for name, number, _, _ in rows
            if not wanted or operators.like(name.removesuffix(".exe"), wanted)]  # fmt: skip


def _set_alias(evaluator: Evaluator, given: Given) -> Values:
    yield from ()
    if len(evaluator.aliases) < 64:
        evaluator.aliases[text(given.get("name", at=0)).lower()] = text(given.get("value", at=1)).lower()
    return []


def _sleep(evaluator: Evaluator, given: Given) -> Values:
    seconds = given.get("seconds", at=0)
    milliseconds = given.get("milliseconds")
    amount = whole(milliseconds) / 1000 if milliseconds is not None else whole(seconds)
    yield from waiting(float(min(max(amount, 0), 99_999)), evaluator.call)
    return []


def _random(evaluator: Evaluator, given: Given) -> Values:
    yield from ()
    values = given.piped or items(given.get("inputobject", at=0))
    if len(values) > 1:
        return [values[evaluator.call.shell.random(len(values))]]
    return [evaluator.call.shell.random(max(1, whole(given.get("maximum") or 2**31 - 1)))]


def _date(evaluator: Evaluator, given: Given) -> Values:  # noqa: ARG001
    yield from ()
    return [f"{evaluator.call.machine.local(evaluator.call.at_s):%A, %B %d, %Y %I:%M:%S %p}"]


CMDLETS: dict[str, Cmdlet] = FILES | rows(
    ("invoke-expression iex", _invoke_expression), ("invoke-webrequest iwr wget curl", _web_request),
    ("invoke-restmethod irm", _rest_method), ("start-bitstransfer", _bits),
    ("start-process saps start", _start_process), ("invoke-item ii", _start_process), ("new-object", _new_object),
    ("invoke-wmimethod iwmi invoke-cimmethod", _wmi), ("invoke-command icm start-job sajb", _block),
    ("foreach-object foreach %", _for_each), ("where-object where ?", _where), ("select-object select", _select),
    ("write-output write echo sort-object sort format-table format-list ft fl receive-job", _out),
    ("out-null write-verbose write-debug write-progress write-warning add-type import-module set-executionpolicy "
     "add-mppreference set-mppreference set-itemproperty new-itemproperty sp remove-itemproperty set-strictmode "
     "register-scheduledtask unregister-scheduledtask stop-process kill spps stop-service spsv start-service "
     "set-service new-service new-netfirewallrule disable-netadapter wait-job clear-history clear-host cls "
     "update-typedata export-modulemember out-default get-service gsv get-itemproperty gp get-scheduledtask", _null),
    ("get-wmiobject gwmi get-ciminstance gcim", _wmi_object), ("get-process ps gps", _processes),
    ("write-host", _host), ("out-string oss", _string), ("set-variable sv new-variable nv set-item si", _set_variable),
    ("get-variable gv variable get-item gi", _get_variable), ("get-command gcm", _get_command),
    ("set-alias sal new-alias nal", _set_alias), ("start-sleep sleep", _sleep), ("get-random", _random),
    ("get-date", _date),
)  # fmt: skip
