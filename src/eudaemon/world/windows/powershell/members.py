"""Members and methods of .NET, as far as loaders use them: by the kind of the value, in tables."""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from eudaemon.wire import decode
from eudaemon.world.files import FileError
from eudaemon.world.windows.call import BROUGHT
from eudaemon.world.windows.limits import POWERSHELL_TEXT_CHARS_MAX
from eudaemon.world.windows.powershell import operators
from eudaemon.world.windows.powershell.syntax import Block
from eudaemon.world.windows.powershell.values import (
    Thing,
    bounded,
    items,
    listed,
    number,
    octets,
    text,
    unwrapped,
    whole,
)

if TYPE_CHECKING:
    from eudaemon.world.windows.powershell.evaluator import Evaluator, Value

_URL_CHARS_MAX = 4096
_ENCODINGS = {"ascii": "latin-1", "utf8": "utf-8", "unicode": "utf-16-le", "bigendianunicode": "utf-16-be",
              "default": "latin-1", "utf7": "latin-1", "utf32": "utf-32-le"}  # fmt: skip
_FOLDERS = {"startup": "%APPDATA%\\Microsoft\\Windows\\Start Menu\\Programs\\Startup",
            "desktop": "%USERPROFILE%\\Desktop",
            "applicationdata": "%APPDATA%", "localapplicationdata": "%LOCALAPPDATA%", "system": "C:\\Windows\\system32",
            "commonapplicationdata": "C:\\ProgramData", "mydocuments": "%USERPROFILE%\\Documents",
            "windows": "C:\\Windows"}  # fmt: skip


def made(kind: str, arguments: list[Any]) -> Any:  # noqa: C901 - one row a type
    """Return a new object of a type, given in small letters without `System.`."""
    first = arguments[0] if arguments else None
    short = kind.removeprefix("system.")
    match short:
        case "net.webclient":
            return Thing("webclient")
        case "io.memorystream":
            return Thing("stream", octets(first) if first is not None else bytearray())
        case "io.compression.gzipstream" | "io.compression.deflatestream":
            data, _ = decode.inflated(bytes(octets(first)), POWERSHELL_TEXT_CHARS_MAX)
            return Thing("stream", bytearray(data))
        case "io.streamreader" | "io.streamwriter" | "io.binaryreader" | "io.bufferedstream":
            return first if isinstance(first, Thing) else Thing("stream", octets(first))
        case "net.sockets.tcpclient":
            return Thing("tcp", f"tcp://{text(first)}:{whole([*arguments, 0, 0][1])}/")
        case "msxml2.xmlhttp" | "microsoft.xmlhttp" | "winhttp.winhttprequest.5.1" | "msxml2.serverxmlhttp":
            return Thing("request", "")
        case "text.utf8encoding" | "text.asciiencoding" | "text.unicodeencoding":
            return Thing("encoding", short[5:].removesuffix("encoding"))
        case "string":
            if isinstance(first, str) and len(arguments) > 1:
                return bounded(first * min(whole(arguments[1]), POWERSHELL_TEXT_CHARS_MAX))
            return operators.joined(first, "")
        case "byte[]":
            return bytearray(min(max(0, whole(first)), POWERSHELL_TEXT_CHARS_MAX))
        case "uri" | "io.fileinfo" | "text.stringbuilder":
            return text(first)
        case "random":
            return Thing("random")
    if short.endswith("arraylist") or short.startswith("collections.generic.list"):
        return []
    return Thing(short)


def member(evaluator: Evaluator, target: Any, name: str) -> Any:
    """Return a member that is no call."""
    if isinstance(target, dict):
        if name in ("keys", "values"):
            return list(target) if name == "keys" else list(target.values())
        return operators.index(target, name)
    if isinstance(target, str | list | bytearray) and name in ("length", "count", "longlength"):
        return len(target)
    if isinstance(target, Thing):
        if name in target.more:
            return target.more[name]
        if (target.kind, name) in _OF_THINGS:
            return Thing("method", (target, name))
        if target.kind == "type":
            return _static(evaluator, text(target.data), name)
        if target.kind in ("response", "stream", "request") and name in (
            "content", "responsetext", "responsebody", "rawcontent", "responsestream", "basestream"):  # fmt: skip
            data = target.more.get("body", target.data)
            return data if name == "responsebody" or not isinstance(data, bytearray) else data.decode("latin-1")
        if target.kind == "context":
            return target
        return Thing(f"{target.kind}.{name}") if target.kind != "webclient" else Thing("headers")
    if isinstance(target, str) and name in ("path", "name", "fullname", "value", "definition", "absoluteuri"):
        return target
    return 1 if name in ("count", "length") and target is not None else None


def _static(evaluator: Evaluator, kind: str, name: str) -> Any:
    """Return what stands at a type: `[Text.Encoding]::UTF8`."""
    if kind == "text.encoding":
        return Thing("encoding", name)
    if kind == "environment":
        variables = {"machinename": "COMPUTERNAME", "username": "USERNAME", "userdomainname": "USERDOMAIN"}
        if name in variables:
            return evaluator.call.scope.get(variables[name])
        return {"newline": "\r\n", "is64bitprocess": True, "is64bitoperatingsystem": True}.get(name)
    if kind == "intptr":
        return {"size": 8, "zero": 0}.get(name)
    if kind == "string" and name == "empty":
        return ""
    return Thing(f"{kind}.{name}", name)


def call_member(evaluator: Evaluator, target: Any, name: str, arguments: list[Any]) -> Value:
    """Call a method."""
    if isinstance(target, Thing):
        if target.kind == "method":
            held, method_name = target.data
            return (yield from call_member(evaluator, held, method_name, arguments))
        if target.kind == "type":
            return (yield from _call_static(evaluator, text(target.data), name, arguments))
        method = _OF_THINGS.get((target.kind, name))
        if method is not None:
            return (yield from method(evaluator, target, arguments))
        return (yield from _call_thing(evaluator, target, name, arguments))
    if isinstance(target, Block):
        if name in ("invoke", "invokereturnasis"):
            return unwrapped((yield from evaluator.invoke(target, arguments)))
        return target
    if isinstance(target, str):
        return _of_text(target, name, arguments)
    return _of_list(target, name, arguments)


# --- texts and lists ---------------------------------------------------------------------------------


def _of_text(value: str, name: str, arguments: list[Any]) -> Any:  # noqa: C901 - one row a method
    first, second = [*arguments, None, None][:2]
    method = _TEXT_METHODS.get(name)
    if method is not None:
        return method(value)
    match name:
        case "replace":
            if value.count(text(first)) * len(text(second)) > POWERSHELL_TEXT_CHARS_MAX or not text(first):
                return value
            return bounded(value.replace(text(first), text(second)))
        case "substring":
            start = max(0, whole(first))
            return value[start:] if second is None else value[start : start + max(0, whole(second))]
        case "split":
            marks = "".join(text(item) for item in items(first)) or " "
            return listed(re.split(f"[{re.escape(marks)}]", value))
        case "trim" | "trimstart" | "trimend":
            around = text(first) or None
            return {"trim": value.strip, "trimstart": value.lstrip, "trimend": value.rstrip}[name](around)
        case "startswith" | "endswith" | "contains":
            wanted = text(first)
            return {"startswith": value.startswith(wanted), "endswith": value.endswith(wanted),
                    "contains": wanted in value}[name]  # fmt: skip
        case "indexof" | "lastindexof":
            return value.find(text(first)) if name == "indexof" else value.rfind(text(first))
        case "insert":
            return bounded(value[: whole(first)] + text(second) + value[whole(first) :])
        case "remove":
            end = len(value) if second is None else whole(first) + whole(second)
            return value[: whole(first)] + value[end:]
        case "padleft" | "padright":
            width = min(max(0, whole(first)), POWERSHELL_TEXT_CHARS_MAX)
            fill = text(second)[:1] or " "
            return value.rjust(width, fill) if name == "padleft" else value.ljust(width, fill)
        case "append" | "appendline":
            return bounded(value + text(first))
        case "chars" | "get_chars":
            return operators.index(value, first)
    return value if name in ("tostring", "normalize", "clone") else None


_TEXT_METHODS: dict[str, Any] = {
    "tochararray": lambda value: listed(list(value)), "tolower": str.lower, "toupper": str.upper,
    "tolowerinvariant": str.lower, "toupperinvariant": str.upper, "getenumerator": list, "get_length": len,
}  # fmt: skip


def _of_list(target: Any, name: str, arguments: list[Any]) -> Any:
    match name:
        case "add" | "addrange" if isinstance(target, list):
            target += items(arguments[0]) if arguments and name == "addrange" else arguments[:1]
            listed(target)
            return None
        case "toarray" | "clone" | "getenumerator" | "getvalue":
            return target
        case "tostring":
            form = text(arguments[0]) if arguments else ""
            return operators.formatted(f"{{0:{form}}}", [target]) if form else text(target)
        case "contains":
            return any(text(item) == text(arguments[0]) for item in items(target)) if arguments else False
        case "reverse" if isinstance(target, list | bytearray):
            target.reverse()
    return None


# --- types -------------------------------------------------------------------------------------------


def _call_static(  # noqa: C901 - one row a method
    evaluator: Evaluator, kind: str, name: str, arguments: list[Any]
) -> Value:
    first, second = [*arguments, None, None][:2]
    if name == "new":
        return made(kind, arguments)
    method = _STATIC.get((kind, name))
    if method is not None:
        return method(first, second, arguments)
    match kind, name:
        case ("io.file", "writeallbytes" | "writealltext" | "writealllines"):
            data = bytes(octets(second)) if name == "writeallbytes" else text(second).encode("utf-8", "replace")
            yield from write(evaluator, text(first), data)
            return None
        case ("io.file", "appendalltext"):
            append(evaluator, text(first), text(second).encode("utf-8", "replace"))
            return None
        case ("io.file", "readallbytes" | "readalltext" | "readalllines"):
            data = read(evaluator, text(first))
            return bytearray(data) if name == "readallbytes" else data.decode("latin-1")
        case ("io.file" | "io.directory", "exists"):
            return evaluator.call.shell.drives.find(text(first), evaluator.call.scope.cwd) is not None
        case ("io.path", "gettemppath"):
            return f"{evaluator.call.scope.get('TEMP')}\\"
        case ("io.path", "getrandomfilename" | "gettempfilename"):
            return f"tmp{evaluator.call.shell.random(65536):04X}.tmp"
        case ("environment", "getfolderpath"):
            return expanded(evaluator, _FOLDERS.get(text(first).lower(), "%USERPROFILE%"))
        case ("environment", "getenvironmentvariable"):
            return evaluator.call.shell.lookup(evaluator.call.scope)(text(first))
        case ("environment", "expandenvironmentvariables"):
            return expanded(evaluator, text(first))
        case ("reflection.assembly", "load"):
            yield from keep(evaluator, bytes(octets(first)), "assembly.dll")
            return Thing("assembly")
        case ("runtime.interopservices.marshal", "copy"):
            yield from keep(evaluator, bytes(octets(first)), "shellcode.bin")
            return None
        case ("net.webrequest" | "net.httpwebrequest", "create" | "createhttp"):
            return Thing("request", text(first))
        case ("scriptblock", "create"):
            return Thing("scriptblock", text(first))
        case ("diagnostics.process", "start"):
            info = first.more if isinstance(first, Thing) else {"filename": first, "arguments": second}
            yield from launch(evaluator, text(info.get("filename")), text(info.get("arguments")))
            return None
        case ("regex", "replace") if len(arguments) > 2:
            return operators.replaced(text(first), text(second), text(arguments[2]), evaluator.call.shell.budget)
        case ("regex", "split"):
            return operators.split(text(first), text(second), evaluator.call.shell.budget)
        case ("activator", "createinstance"):
            return made(text(first.data if isinstance(first, Thing) else first).lower(), arguments[1:])
        case ("type", "gettypefromprogid" | "gettype"):
            return Thing("type", text(first).lower())
    return None


def _reversed(first: Any, _second: Any, _all: list[Any]) -> None:
    if isinstance(first, list | bytearray):
        first.reverse()


def _from_base64(first: Any, _second: Any, _all: list[Any]) -> bytearray:
    return bytearray(decode.base64_text(text(first).encode("latin-1", "replace")) or b"")


def _with_base(first: Any, second: Any, _all: list[Any]) -> int:
    try:
        return int(text(first)[:64], whole(second)) if second is not None else whole(first)
    except ValueError:
        return 0


_STATIC: dict[tuple[str, str], Any] = {
    ("convert", "frombase64string"): _from_base64,
    ("convert", "tobase64string"): lambda a, *_: base64.b64encode(octets(a)).decode("ascii"),
    ("convert", "toint32"): _with_base, ("convert", "toint16"): _with_base, ("convert", "toint64"): _with_base,
    ("convert", "tobyte"): lambda a, b, c: _with_base(a, b, c) & 0xFF,
    ("convert", "tochar"): lambda a, *_: operators.cast("char", a),
    ("convert", "tostring"): lambda a, *_: text(a),
    ("string", "join"): lambda a, b, c: operators.joined(b if len(c) == 2 else c[1:], text(a)),
    ("string", "concat"): lambda _a, _b, c: operators.joined([text(i) for x in c for i in items(x)], ""),
    ("string", "format"): lambda a, b, c: operators.formatted(text(a), items(b) if len(c) == 2 else c[1:]),
    ("string", "isnullorempty"): lambda a, *_: not text(a),
    ("string", "new"): lambda a, *_: operators.joined(a, ""),
    ("array", "reverse"): _reversed,
    ("io.path", "combine"): lambda _a, _b, c: "\\".join(text(i).strip("\\") for i in c),
    ("regex", "unescape"): lambda a, *_: text(a), ("regex", "escape"): lambda a, *_: text(a),
    ("char", "convertfromutf32"): lambda a, *_: operators.cast("char", a),
    ("math", "abs"): lambda a, *_: abs(number(a)), ("math", "floor"): lambda a, *_: whole(a),
    ("math", "round"): lambda a, *_: round(number(a)), ("guid", "newguid"): lambda *_: "0",
    ("text.encoding", "getencoding"): lambda a, *_: Thing("encoding", text(a).lower().replace("-", "")),
    ("web.httputility", "urldecode"): lambda a, *_: text(a),
}  # fmt: skip


# --- objects -----------------------------------------------------------------------------------------


def _download_text(evaluator: Evaluator, thing: Thing, arguments: list[Any]) -> Value:  # noqa: ARG001
    return (yield from fetched(evaluator, text(arguments[0]) if arguments else "")).decode("latin-1")


def _download_data(evaluator: Evaluator, thing: Thing, arguments: list[Any]) -> Value:  # noqa: ARG001
    return (yield from fetched(evaluator, text(arguments[0]) if arguments else ""))


def _download_stream(evaluator: Evaluator, thing: Thing, arguments: list[Any]) -> Value:
    return Thing("stream", (yield from _download_data(evaluator, thing, arguments)))


def _download_file(evaluator: Evaluator, thing: Thing, arguments: list[Any]) -> Value:  # noqa: ARG001
    url, path = [text(argument) for argument in [*arguments, "", ""][:2]]
    yield from fetched_into(evaluator, url, path)


def _request_open(evaluator: Evaluator, thing: Thing, arguments: list[Any]) -> Value:  # noqa: ARG001
    thing.data = text(arguments[1]) if len(arguments) > 1 else ""
    yield from ()


def _request_send(evaluator: Evaluator, thing: Thing, arguments: list[Any]) -> Value:  # noqa: ARG001
    thing.more["body"] = yield from fetched(evaluator, text(thing.data))
    return Thing("stream", thing.more["body"])


def _tcp_stream(evaluator: Evaluator, thing: Thing, arguments: list[Any]) -> Value:  # noqa: ARG001
    got = yield from evaluator.call.shell.download(text(thing.data), "powershell", b"")
    return Thing("stream", bytearray(got.head))


def _run(evaluator: Evaluator, thing: Thing, arguments: list[Any]) -> Value:  # noqa: ARG001
    yield from start(evaluator, " ".join(text(argument) for argument in arguments[:2] if isinstance(argument, str)))


_OF_THINGS: dict[tuple[str, str], Any] = {
    ("webclient", "downloadstring"): _download_text, ("webclient", "downloadfile"): _download_file,
    ("webclient", "downloaddata"): _download_data, ("webclient", "openread"): _download_stream,
    ("webclient", "downloadstringtaskasync"): _download_text, ("webclient", "downloadfileasync"): _download_file,
    ("request", "open"): _request_open, ("request", "send"): _request_send, ("request", "getresponse"): _request_send,
    ("tcp", "getstream"): _tcp_stream, ("wscript.shell", "run"): _run, ("wscript.shell", "exec"): _run,
    ("shell.application", "shellexecute"): _run,
}  # fmt: skip


def _call_thing(  # noqa: C901 - one row a method
    evaluator: Evaluator, thing: Thing, name: str, arguments: list[Any]
) -> Value:
    first = arguments[0] if arguments else None
    match thing.kind, name:
        case "encoding", "getstring":
            return bytes(octets(first)).decode(_ENCODINGS.get(text(thing.data), "latin-1"), "replace")
        case "encoding", "getbytes":
            return bytearray(text(first).encode(_ENCODINGS.get(text(thing.data), "latin-1"), "replace"))
        case "stream", ("readtoend" | "readline"):
            return octets(thing).decode("utf-8", "replace")
        case "stream", "toarray":
            return octets(thing)
        case "stream", "copyto" if isinstance(first, Thing):
            first.data = octets(first) + octets(thing)
            evaluator.call.shell.budget.work(len(first.data))
        case "stream", "write" if arguments:
            thing.data = octets(thing) + octets(first)
            evaluator.call.shell.budget.work(len(thing.data))
        case "stream", ("read" | "readbyte"):
            return 0 if name == "read" else -1
        case "stream", ("getresponsestream" | "getstream"):
            return thing
        case "random", "next":
            return evaluator.call.shell.random(max(1, whole(arguments[-1]) if arguments else 2**31))
        case _, ("invokescript" | "newscriptblock"):
            return unwrapped((yield from _run_text(evaluator, text(first))))
        case "scriptblock", ("invoke" | "invokereturnasis"):
            return unwrapped((yield from _run_text(evaluator, text(thing.data))))
        case _, "gettype":
            return Thing("type", thing.kind)
    yield from ()
    return None


def _run_text(evaluator: Evaluator, script: str) -> Value:
    from eudaemon.world.windows.powershell.cmdlets import run_text

    return (yield from run_text(evaluator, script))


# --- what has effects --------------------------------------------------------------------------------


def fetched(evaluator: Evaluator, url: str) -> Value:
    """Wish a download, and return what it brought, as far as it is here."""
    url = url.strip()[:_URL_CHARS_MAX]
    if "://" not in url:
        return bytearray()
    got = yield from evaluator.call.shell.download(url, "powershell", b"")
    evaluator.call.shell.budget.work(len(got.head))
    return bytearray(got.head if got.outcome in BROUGHT else b"")


def fetched_into(evaluator: Evaluator, url: str, path: str) -> Value:
    """Wish a download into a file; say whether it came."""
    url = url.strip()[:_URL_CHARS_MAX]
    if "://" not in url:
        return False
    got = yield from evaluator.call.fetch(url, "powershell", path.encode("latin-1", "replace").decode("latin-1"))
    return got.outcome in BROUGHT


def write(evaluator: Evaluator, path: str, data: bytes) -> Value:
    """Write a file; what cannot be written is not."""
    try:
        yield from evaluator.call.write(path.encode("latin-1", "replace").decode("latin-1"), data)
    except FileError:
        return False
    return True


def append(evaluator: Evaluator, path: str, data: bytes) -> None:
    """Add to a file; what cannot be written is not."""
    with suppress(FileError):
        evaluator.call.append(path.encode("latin-1", "replace").decode("latin-1"), data)


def read(evaluator: Evaluator, path: str) -> bytes:
    """Return a file's content, nothing if there is none."""
    try:
        return evaluator.call.use(evaluator.call.read(path.encode("latin-1", "replace").decode("latin-1")))
    except FileError:
        return b""


def keep(evaluator: Evaluator, data: bytes, name: str) -> Value:
    """Keep what is loaded without ever being a file."""
    yield from evaluator.call.shell.keep_bytes(data, name, "payload")


def start(evaluator: Evaluator, line: str) -> Value:
    """Start a program."""
    call = evaluator.call
    yield from call.shell.apart(line.encode("latin-1", "replace").decode("latin-1"), call.scope.copy(), {})


def launch(evaluator: Evaluator, program: str, arguments: str) -> Value:
    """Start a program with its arguments."""
    call = evaluator.call
    program, arguments = (part.encode("latin-1", "replace").decode("latin-1") for part in (program, arguments))
    yield from call.shell.launch(program, arguments, call.scope.copy())


def expanded(evaluator: Evaluator, value: str) -> str:
    """Return a text with `%TEMP%` and its like in it expanded."""
    from eudaemon.world.windows.expansion import percent

    return percent(value, evaluator.call.shell.lookup(evaluator.call.scope), None)
