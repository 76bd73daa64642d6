"""Reads VBScript and JScript, as loaders write them, for what they fetch, write and start. Runs no loop, no condition.

A script is taken line by line, every line once: names are remembered with the texts that are assigned to them, texts
are put together, and the few calls that matter become `Deed`s in order.

    x.Open "GET", u & "/a", 0     y.SaveToFile "a.exe", 2     s.Run "cmd /c a.exe"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from eudaemon.world.shell.budget import Budget

TEXT_CHARS_MAX = 64 * 1024  # of one value
STATEMENTS_MAX = 4096
_NAMES_MAX = 512
_NESTED_MAX = 16
_TOKEN = re.compile(
    r"""\s*(?:("(?:[^"\n]|"")*"?|'(?:[^'\\\n]|\\.)*'?)|(&[hH][0-9a-fA-F]+|0[xX][0-9a-fA-F]+|\d+)"""
    r"""|([A-Za-z_$][\w$]*(?:\s*\.\s*[A-Za-z_$][\w$]*)*|\.\s*[A-Za-z_$][\w$]*)|(.))"""
)
_OPENS = frozenset(("set", "var", "let", "const", "call", "if", "then", "dim", "return", "while", "do", "else", "try",
                    "function"))  # fmt: skip
_ELEMENT = re.compile(r"<script\b([^>]{0,256})>(.*?)(?:</script>|\Z)", re.IGNORECASE | re.DOTALL)
_LANGUAGE_MARK = "/*jscript*/"
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"', "/": "/"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)")


@dataclass(frozen=True, slots=True)
class Deed:
    """`what` is one of: `fetch` (a URL), `load` (one whose content is read as a script), `save` (a path for what was
    fetched, or is written), `run` (a command line), `read` (a script), `write` (text, to what was saved to last).
    """

    what: str
    text: str


def deeds(text: str, arguments: tuple[str, ...], budget: Budget) -> Iterator[Deed]:
    """Yield what a script does, in order. `arguments` are those it was called with."""
    text = _inside(text)
    javascript = _is_javascript(text)
    reader = _Reader(arguments, javascript=javascript)
    for number, statement in enumerate(_statements(text, javascript=javascript)):
        if number >= STATEMENTS_MAX:
            return
        budget.step()
        budget.work(16 * len(statement))
        yield from reader.take(statement)


def _inside(text: str) -> str:
    """Return what stands in the `<script>` elements of a page or job; all of a text without."""
    found = _ELEMENT.findall(text)
    return "\n".join(f"{_LANGUAGE_MARK if 'jscript' in head.lower() else ''}{body}" for head, body in found) or text


def _is_javascript(text: str) -> bool:
    if _LANGUAGE_MARK in text:
        return True
    lower = text.lower()
    signs = ("var ", "new activexobject", "function(", "eval(", "};", "try{", "language=\"jscript", "language='jscript",
             "javascript")  # fmt: skip
    basic = ("createobject(", "dim ", "on error resume", "end sub", "end function", "vbscript", "set ")
    return sum(sign in lower for sign in signs) > sum(sign in lower for sign in basic)


def _statements(text: str, *, javascript: bool) -> Iterator[str]:
    """Split at line ends, and where one line holds several; not within texts."""
    if (cdata := text.find("<![CDATA[")) >= 0:
        text = text[cdata + 9 :].partition("]]>")[0]
    parts = ";\n{}" if javascript else ":\n"
    start, at, quote, depth = 0, 0, "", 0
    text = text.replace(" _\r\n", " ").replace(" _\n", " ").replace("\r", "\n")
    while at < len(text):
        char = text[at]
        if quote:
            if javascript and char == "\\":
                at += 1
            elif char == quote or char == "\n":
                quote = ""
        elif char == '"' or (char == "'" and javascript):
            quote = char
        elif char == "'" and not javascript:
            end = text.find("\n", at)
            yield text[start:at]
            start = at = len(text) if end < 0 else end
            continue
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth = max(0, depth - 1)
        if not quote and char in parts and (depth == 0 or char == "\n"):
            depth = 0
            yield text[start:at]
            start = at + 1
        at += 1
    yield text[start:]


class _Reader:
    """Reads one script's statements."""

    def __init__(self, arguments: tuple[str, ...], *, javascript: bool) -> None:
        self._arguments = arguments
        self._javascript = javascript
        self._names: dict[str, str] = {}
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        self._nested = 0

    def take(self, statement: str) -> Iterator[Deed]:
        """Read a statement, and yield what it does."""
        self._tokens = [_token(found) for found in _TOKEN.finditer(statement) if found[0].strip()]
        self._at = 0
        while self._word() in _OPENS:
            self._at += 1
        if self._peek(1) in (("op", "="), ("op", "+")) and self._kind() == "name":
            yield from self._assignment()
        else:
            yield from self._expression_statement()

    def _assignment(self) -> Iterator[Deed]:
        name = self._word()
        self._at += 1
        adds = self._tokens[self._at][1] == "+"
        if adds and self._peek(1) != ("op", "="):
            return
        self._at += 2 if adds else 1
        found: list[Deed] = []
        value = self._sum(found)
        if len(self._names) < _NAMES_MAX or name in self._names:
            self._names[name] = ((self._names.get(name, "") if adds else "") + (value or ""))[:TEXT_CHARS_MAX]
        yield from found

    def _expression_statement(self) -> Iterator[Deed]:
        found: list[Deed] = []
        while self._at < len(self._tokens):
            before = self._at
            self._sum(found, statement=True)
            self._at = max(self._at, before + 1)
        yield from found

    # --- expressions ---------------------------------------------------------------------------------

    def _sum(self, found: list[Deed], *, statement: bool = False) -> str | None:
        """Read values with `&` or `+` between them; what is not known counts for nothing."""
        value = self._value(found, statement=statement)
        while self._kind() == "op" and self._tokens[self._at][1] in "&+" and self._at + 1 < len(self._tokens):
            self._at += 1
            more = self._value(found)
            value = ((value or "") + (more or ""))[:TEXT_CHARS_MAX]
        return value

    def _value(self, found: list[Deed], *, statement: bool = False) -> str | None:
        kind, text = self._peek(0)
        self._at += 1
        if kind in ("text", "number"):
            return text
        if (kind, text) == ("op", "("):
            return self._inner(found)
        if kind != "name":
            return None
        if text.lower() == "new":
            return self._value(found, statement=statement)
        arguments: list[str | None] = []
        called = self._peek(0) == ("op", "(")
        if called:
            arguments = self._list(found, closing=")")
        elif statement and not self._javascript and self._kind() in ("text", "number", "name"):
            arguments = self._list(found, closing="")
        result = self._call(text, arguments, found, called=called or bool(arguments))
        while self._kind() == "name" and self._peek(0)[1].startswith("."):
            method = self._peek(0)[1]
            self._at += 1
            inner = self._list(found, closing=")") if self._peek(0) == ("op", "(") else (
                self._list(found, closing="") if statement and not self._javascript else [])  # fmt: skip
            result = self._call(f"x{method}", inner, found, called=True) or result
        return result

    def _inner(self, found: list[Deed]) -> str | None:
        if self._nested >= _NESTED_MAX:
            return None
        self._nested += 1
        value = self._sum(found)
        self._nested -= 1
        if self._peek(0) == ("op", ")"):
            self._at += 1
        return value

    def _list(self, found: list[Deed], *, closing: str) -> list[str | None]:
        values: list[str | None] = []
        if self._nested >= _NESTED_MAX:
            return values
        self._nested += 1
        if closing:
            self._at += 1
        while self._at < len(self._tokens) and len(values) < 64:
            if closing and self._peek(0) == ("op", closing):
                break
            before = self._at
            values.append(self._sum(found))
            if self._peek(0) == ("op", ","):
                self._at += 1
            elif not closing:
                break
            self._at = max(self._at, before + 1)
        if closing and self._peek(0) == ("op", closing):
            self._at += 1
        self._nested -= 1
        return values

    def _call(self, name: str, arguments: list[str | None], found: list[Deed], *, called: bool) -> str | None:
        """Return what a name, or a call, gives; note what it does."""
        key = name.replace(" ", "").lower()
        method = key.rpartition(".")[2]
        first = arguments[0] if arguments else None
        if key in self._names and not called:
            return self._names[key]
        if (method in ("item", "arguments") and called and "arguments" in key) or key == "wscript.arguments":
            return self._argument(first)
        if "." in key and called:
            found += _DEEDS[method](arguments) if method in _DEEDS and first else ()
            return _given(method, arguments)
        return self._function(method, arguments, found)

    def _function(self, name: str, arguments: list[str | None], found: list[Deed]) -> str | None:
        first = arguments[0] if arguments else None
        match name:
            case "chr" | "chrw":
                return _character(first)
            case "strreverse":
                return (first or "")[::-1]
            case "replace" if len(arguments) > 2 and first and arguments[1]:
                if first.count(arguments[1]) * len(arguments[2] or "") > TEXT_CHARS_MAX:
                    return first
                return first.replace(arguments[1], arguments[2] or "")
            case "lcase" | "ucase" | "cstr" | "trim" | "unescape" | "decodeuri" | "decodeuricomponent" if first:
                return _unescaped(first) if name[0] in "ud" and name != "ucase" else first
            case "getobject" if first and first.lower().startswith("script:"):
                found.append(Deed("load", first[len("script:") :]))
            case "execute" | "executeglobal" | "eval" if first:
                found.append(Deed("read", first))
            case "shell" if first:
                found.append(Deed("run", first))
            case "vbcrlf":
                return "\r\n"
            case "vbtab":
                return "\t"
        return None

    def _argument(self, number: str | None) -> str | None:
        if number is not None and number.isdecimal() and int(number[:3]) < len(self._arguments):
            return self._arguments[int(number[:3])]
        return None

    # --- tokens --------------------------------------------------------------------------------------

    def _peek(self, ahead: int) -> tuple[str, str]:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ("", "")

    def _kind(self) -> str:
        return self._peek(0)[0]

    def _word(self) -> str:
        kind, text = self._peek(0)
        return text.replace(" ", "").lower() if kind == "name" else ""


def _opened(arguments: list[str | None]) -> list[Deed]:
    """`x.Open "GET", url` of a request; of a stream it says nothing."""
    return [Deed("fetch", arguments[1])] if len(arguments) > 1 and arguments[1] else []


def _brought(arguments: list[str | None]) -> list[Deed]:
    return [Deed("fetch", arguments[0] or ""), *([Deed("save", arguments[1] or "")] if arguments[1:] else [])]


def _one(what: str, ending: str = "") -> Callable[[list[str | None]], list[Deed]]:
    return lambda arguments: [Deed(what, (arguments[0] or "") + ending)]


# Methods, in small letters, and what they do; each is called with a first argument that is known.
_DEEDS: dict[str, Callable[[list[str | None]], list[Deed]]] = {
    "open": _opened, "savetofile": _one("save"), "createtextfile": _one("save"), "opentextfile": _one("save"),
    "write": _one("write"), "writetext": _one("write"), "writeline": _one("write", "\r\n"), "run": _one("run"),
    "exec": _one("run"), "create": _one("run"), "downloadfile": _brought, "downloadstring": _one("fetch"),
    "downloaddata": _one("fetch"),
    "shellexecute": lambda arguments: [Deed("run", " ".join(filter(None, arguments[:2])))],
}  # fmt: skip
_SPECIAL = {"0": "C:\\Windows", "1": "C:\\Windows\\System32"}


def _given(method: str, arguments: list[str | None]) -> str | None:
    """Return what a method gives, as far as it is a text that is known."""
    first = arguments[0] if arguments else None
    match method:
        case "specialfolders":
            return "%USERPROFILE%\\" + (first or "")
        case "getspecialfolder":
            return _SPECIAL.get(first or "", "%TEMP%")
        case "fromcharcode":
            return "".join(_character(code) for code in arguments)
        case "expandenvironmentstrings" | "join" | "tostring" | "trim":
            return first
    return None


def _token(found: re.Match[str]) -> tuple[str, str]:
    if found[1] is not None:
        quote, inner = found[1][0], found[1][1:].removesuffix(found[1][0])
        return "text", (inner.replace('""', '"') if quote == '"' and "\\" not in inner else _unescaped_text(inner))
    if found[2] is not None:
        number = found[2].lower()
        value = int(number[2:18], 16) if number[:2] in ("&h", "0x") else int(number[:18])
        return "number", str(value)
    if found[3] is not None:
        return "name", found[3]
    return "op", found[4]


def _unescaped_text(text: str) -> str:
    r"""Undo JScript's escapes; `C:\Users` in VBScript is none of them, and stays."""

    def one(found: re.Match[str]) -> str:
        code = found[1]
        if code[0] in "xu" and len(code) > 1:
            return chr(int(code[1:], 16))
        return _ESCAPES.get(code, found[0]) if code in ("\\", "'", '"', "/") else found[0]

    return _ESCAPE.sub(one, text)


def _unescaped(text: str) -> str:
    return re.sub(r"%u([0-9a-fA-F]{4})|%([0-9a-fA-F]{2})", lambda found: chr(int(found[1] or found[2], 16)), text)


def _character(code: str | None) -> str:
    return chr(int(code[:7])) if code and code.isdecimal() and int(code[:7]) < 0x110000 else ""
