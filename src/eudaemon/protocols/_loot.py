"""How a command is taken out of the value that carries it: one function for each language of injections.

Each takes a decoded value and returns its `Loot`, or None if the value carries nothing. Nothing is executed; what PHP
or Java would have made of a text is read off its literals. Linear in the value's length, which its reader bounds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from eudaemon.protocols import _commands
from eudaemon.protocols._http import Request
from eudaemon.wire import decode


@dataclass(frozen=True, slots=True)
class Loot:
    """What a value carries."""

    command: bytes = b""  # for the shell
    script: bytes = b""  # a program in another language, kept as it is
    shows: bytes = b""  # what the product would have shown, where that is no shell's output
    urls: tuple[str, ...] = ()  # what it would have fetched by itself
    reads: bytes = b""  # the path of a file of the host that it would have shown


Taker: TypeAlias = Callable[[bytes], Loot | None]

URLS_MAX = 4  # of one request
_LOGGED_BYTES_MAX = 64 * 1024
_MAY_LOOK_UP = re.compile(rb"(?:\$|%24|\\u0024)(?:\{|%7b|\\u007b)", re.IGNORECASE)
_CALLS_MAX = 16  # of Java methods looked at
_CALL_BYTES_MAX = 64 * 1024
_QUOTE = re.compile(rb"[\"']")
_LITERAL = re.compile(rb"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'", re.DOTALL)
_PHP_CALL = re.compile(rb"\b(?:system|shell_exec|passthru|exec|popen|proc_open)\s*\(\s*", re.IGNORECASE)
_PHP_BASE64 = re.compile(rb"base64_decode\s*\(\s*", re.IGNORECASE)
_PHP_MD5 = re.compile(rb"\bmd5\s*\(\s*['\"]?([\w. -]{1,100})['\"]?\s*\)", re.IGNORECASE)
_PHP_ECHO = re.compile(rb"\b(?:echo|print|die)\b[\s(]*['\"]([^'\"]{1,200})['\"]", re.IGNORECASE)
_JAVA_CALL = re.compile(rb"(?:\bexec|\bProcessBuilder|\bcommand)\s*\(")
_JAVA_OVERLOAD = re.compile(rb"\[[\"']\(java\.lang\.String(?:\[\])?\)[\"']\]")  # JavaScript's way to name a constructor
_BASE64_CALL = re.compile(rb"ase64")
_VARIABLE = re.compile(rb"\s*([A-Za-z_]\w{0,63})\s*[,)]")
_JAVA_CONTEXT = re.compile(rb"ApplicationContext\(\s*[\"'](https?://[^\s\"'<>]{1,1000})[\"']")
_OGNL_CMD = re.compile(rb"#(?:cmd|command|a|s|q|x)\s*=\s*")
_NODE_CALL = re.compile(rb"\b(?:exec|spawn)(?:File)?(?:Sync)?\s*\(")
_PYTHON_CALL = re.compile(
    rb"\b(?:system|popen|Popen|run|call|check_call|check_output|getoutput|getstatusoutput)\b\W{0,8}\("
)
_FREEMARKER_CALL = re.compile(rb"\?new\(\s*\)\s*\(")
_REFERENCE = re.compile(rb"\bURI\s*=\s*[\"']([^\"']{1,4096})[\"']")
_SESSION_FILE = re.compile(rb"\bSESSID=[^;]{0,64}\.\./")
_GROOVY_CALL = re.compile(rb"[\"'\])]\s*\.\s*execute\s*\(")
_JNDI_COMMAND = re.compile(r"/Base64/([A-Za-z0-9+/=_%-]{8,})", re.IGNORECASE)
_FUNCTION = re.compile(rb"\(\s*\)\s*\{.*?\}\s*;?\s*(.+)", re.DOTALL)
_SHELLS = (b"sh", b"bash", b"ash", b"cmd", b"cmd.exe", b"powershell", b"powershell.exe")


def whole(value: bytes) -> Loot | None:
    """The value is the command, quoted or not."""
    command = value.strip()
    if len(command) > 2 and command[:1] == command[-1:] and command[:1] in (b"'", b'"') and b" " in command:
        command = command[1:-1].strip()
    return Loot(command) if command else None


def injected(value: bytes) -> Loot | None:
    """The value is put into a command line: what stands in backticks or `$(…)`, or after `;`, `|`, `&`, a line end."""
    return next((Loot(command) for command in _commands.injections(value)), None)


def anything(value: bytes) -> Loot | None:
    """The value is the command, or has one injected into it."""
    return injected(value) if value[:1] in (b"`", b"$", b";", b"|", b"&") else whole(value)


def plausible(value: bytes) -> Loot | None:
    """Like `injected`, where nothing but the command itself tells an attack from an odd text."""
    command = _commands.meant(value)
    return Loot(command) if command else None


def program(value: bytes) -> Loot | None:
    """The value is a program in another language."""
    return Loot(script=value) if value.strip() else None


def argument(value: bytes) -> Loot | None:
    """The value is what follows the shell's name: `-c 'command'`."""
    option, _, command = value.strip().partition(b" ")
    return whole(command.strip().strip(b"'\"")) if option == b"-c" else None


def spelt_out(value: bytes) -> Loot | None:
    """The value is a whole command line, where its name tells as much: it begins with a command."""
    return Loot(value.strip()) if _commands.begins_with_one(value) else None


def unmistakable(value: bytes) -> Loot | None:
    """The value is a whole command line, where nothing else tells: a command, and what follows only those."""
    command = _commands.unmistakable(value)
    return Loot(command) if command else None


def base64ed(value: bytes) -> Loot | None:
    """The value is base64 of the command."""
    return whole(decode.base64_text(value.replace(b" ", b"+")) or b"")  # `+` became a blank on its way


def php(value: bytes) -> Loot | None:
    """The value is PHP: `system('…')` and its sisters, with `base64_decode` around the text; else the script itself."""
    if b"<?" not in value and not _PHP_CALL.search(value):
        return None
    script = value.strip()
    for call in _PHP_CALL.finditer(value):
        at, unwrap = call.end(), _PHP_BASE64.match(value, call.end())
        literal = _LITERAL.match(value, unwrap.end() if unwrap else at)
        if literal:
            text = _text_of(literal)
            return Loot((decode.base64_text(text) or b"") if unwrap else text, script)
    ticks = _commands.BACKTICKS.search(value)
    if ticks:
        return Loot(ticks[1], script)
    hashed, said = _PHP_MD5.search(value), _PHP_ECHO.search(value)
    if hashed:  # the usual probe: does it answer with the hash of a word?
        return Loot(script=script, shows=_md5(hashed[1]))
    return Loot(script=script, shows=said[1] if said else b"")


def php_command(value: bytes) -> Loot | None:
    """Like `php`, where nothing but the command itself tells an attack."""
    loot = php(value)
    return loot if loot and loot.command else None


def php_call(value: bytes) -> Loot | None:
    """The value is a PHP function's name and its argument, with `(` between them and nothing after."""
    name, _, argument = value.partition(b"(")
    name = name.strip().lower()
    if name in (b"system", b"shell_exec", b"passthru", b"exec", b"popen"):
        return whole(argument)
    if name == b"md5":
        return Loot(shows=_md5(argument))
    if name == b"phpinfo":
        return Loot(shows=b'<h1 class="p">PHP Version 5.6.40</h1><h2>PHP Credits</h2>')
    return php(argument) if name in (b"assert", b"eval", b"file_put_contents") else None


def java(value: bytes) -> Loot | None:
    """The value is Java, OGNL, SpEL or MVEL: the literals of `exec(…)`, `ProcessBuilder(…)` or `#cmd=…`."""
    value = _JAVA_OVERLOAD.sub(b"", value)
    for place, arguments in ((_OGNL_CMD, _first_literal), (_JAVA_CALL, _arguments)):
        for call in islice(place.finditer(value), _CALLS_MAX):
            command = _command_line(arguments(value, call.end(), call.end() + _CALL_BYTES_MAX))
            if command and _BASE64_CALL.search(value, call.end(), call.end() + 512):
                command = decode.base64_text(command) or command
            command = command or _of_variable(value, call.end())
            if command:
                return Loot(command)
    context = _JAVA_CONTEXT.search(value)  # Spring's, whose beans are made as they are read
    return Loot(urls=(context[1].decode("ascii", "replace"),)) if context else None


def java_command(value: bytes) -> Loot | None:
    """Like `java`, where nothing but the classes named tell an attack."""
    return (
        java(value) if any(name in value for name in (b"Runtime", b"ProcessBuilder", b"ApplicationContext")) else None
    )


def groovy(value: bytes) -> Loot | None:
    """The value is Groovy: `"…".execute()`, `["sh","-c","…"].execute()`, or Java."""
    value = decode.backslashes(value) if b"\\u" in value else value
    call = _GROOVY_CALL.search(value)
    if call:
        before = value[max(0, call.start() - _CALL_BYTES_MAX) : call.start() + 1]
        bracket = before.rfind(b"[") if before.endswith(b"]") else -1
        words = [text for text, _, _ in _literals(before, max(bracket, 0), len(before))]
        return whole(_command_line(words if bracket >= 0 else words[-1:]))
    return java(value) or (Loot(script=value.strip()) if value.strip() else None)


def node(value: bytes) -> Loot | None:
    """The value is JavaScript for Node.js: `execSync('…')` and its sisters, or `spawnSync('sh',['-c','…'])`."""
    return _called(_NODE_CALL, value) if b"child_process" in value else None


def python(value: bytes) -> Loot | None:
    """The value is Python: `os.system('…')`, `subprocess.check_output(['…'])` and their like."""
    return _called(_PYTHON_CALL, value)


def of_a_session(value: bytes) -> Loot | None:
    """The value is a cookie in which PAN-OS looks for a session's file, by a path with a command in it."""
    return injected(value) if _SESSION_FILE.search(value) else None


def noted(value: bytes) -> Loot | None:
    """The request itself is the attack; the value carries nothing that would run."""
    return Loot() if value else None


def valueless(value: bytes) -> Loot | None:
    """The value is a form whose field has no value, where the product reads on behind it."""
    return Loot() if value.strip() and b"=" not in value else None


def climbing(value: bytes) -> Loot | None:
    """The value is a path out of where it should stay."""
    return Loot() if b"../" in value else None


def in_reference(value: bytes) -> Loot | None:
    """The value is XML, and the command injected into an address that it refers to."""
    found = _REFERENCE.search(value)
    return injected(decode.percent(decode.html_entities(found[1]))) if found else None


def freemarker(value: bytes) -> Loot | None:
    """The value is a FreeMarker template: `…utility.Execute"?new()("…")`, or has such an object's `exec` called."""
    if b"freemarker.template.utility.Execute" not in value:
        return None
    return _called(_FREEMARKER_CALL, value) or java(value)


def ognl(value: bytes) -> Loot | None:
    """The value is an expression of OGNL, where others are texts."""
    return freemarker(value) or java(value) if value.lstrip().startswith((b"%{", b"${")) else None


def _called(call: re.Pattern[bytes], value: bytes) -> Loot | None:
    for found in islice(call.finditer(value), _CALLS_MAX):
        command = arguments_of(value, found.end())
        if command:
            return Loot(command)
    return None


def arguments_of(value: bytes, at: int) -> bytes:
    """Return the command line that the quoted arguments of a call are, which begin here."""
    return _command_line(_arguments(value, at, at + _CALL_BYTES_MAX))


def xml_strings(value: bytes) -> Loot | None:
    """The value is a `ProcessBuilder` in XML: its words stand in `<string>` elements (XMLDecoder), or in Spring's
    `<value>` elements.
    """
    if not value.lstrip().startswith(b"<") or (b"ProcessBuilder" not in value and b"Runtime" not in value):
        return None
    for tag in (b"string", b"value"):
        elements = (part.partition(b"</%s>" % tag) for part in value.split(b"<%s>" % tag)[1:])
        words = [_xml_text(text) for text, end, _ in elements if end]
        if words:
            return whole(_command_line(words))
    return java(value)


def _xml_text(text: bytes) -> bytes:
    text = text.strip()
    if text.startswith(b"<![CDATA[") and text.endswith(b"]]>"):
        return text[9:-3].strip()
    return decode.html_entities(text).strip()


def bash_function(value: bytes) -> Loot | None:
    """Shellshock: what follows `() { :; };` in an environment variable."""
    if not value.lstrip().startswith(b"("):
        return None
    found = _FUNCTION.match(value.lstrip())
    return whole(found[1]) if found else None


def jndi(value: bytes) -> Loot | None:
    """Log4j lookups, resolved to what they hide: `${${lower:j}ndi:${::-l}dap://…}`. Gives the URLs asked for."""
    if b"${" not in value:
        return None
    _, urls = decode.lookups(value)
    if not urls:
        return None
    # Exploit servers of the day take the command in the URL: /Basic/Command/Base64/…
    command = _JNDI_COMMAND.search(urls[0])
    text = decode.base64_text(decode.percent(command[1].encode())) if command else None
    return Loot(text or b"", urls=urls)


def asked_of_jndi(request: Request) -> tuple[str, ...]:
    """Return what a server in Java would ask JNDI for that logs this request, whatever of it."""
    texts = (request.target, *(value for _, value in request.headers), request.body[:_LOGGED_BYTES_MAX])
    found: dict[str, None] = {}
    for text in texts:
        if _MAY_LOOK_UP.search(text):
            for made in (text, decode.backslashes(decode.percent(text))):
                found.update(dict.fromkeys(decode.lookups(made)[1]))
    return tuple(found)[:URLS_MAX]


def _literals(text: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the quoted texts and where they begin and end; a quote that is never closed ends it."""
    while (quote := _QUOTE.search(text, start, end)) and (found := _LITERAL.match(text, quote.start(), end)):
        yield _text_of(found), found.start(), found.end()
        start = found.end()


def _arguments(text: bytes, start: int, end: int) -> list[bytes]:
    """Return the quoted texts up to the parenthesis that closes the call."""
    words: list[bytes] = []
    for word, begins, ends in _literals(text, start, end):
        if (words and b")" in text[start:begins]) or (not words and _closes(text[start : min(begins, start + 512)])):
            break
        words.append(word)
        start = ends
    return words


def _closes(text: bytes) -> bool:
    """Say whether a call ends in this text, which begins behind its parenthesis."""
    depth = 1
    for byte in text:
        depth += (byte == ord("(")) - (byte == ord(")"))
        if not depth:
            return True
    return False


def _first_literal(text: bytes, start: int, end: int) -> list[bytes]:
    """Return the quoted text that stands right here, if one does."""
    return [word for word, begins, _ in islice(_literals(text, start, end), 1) if not text[start:begins].strip(b"{( ")]


def _command_line(words: list[bytes]) -> bytes:
    """Return the command line that a list of arguments is; of `sh -c X` it is X."""
    if len(words) >= 3 and words[0].rpartition(b"/")[2] in _SHELLS and words[1].lower() in (b"-c", b"/c", b"-lc"):
        return words[2]
    line = b" ".join(words)
    for shell in (b"/bin/bash -c ", b"/bin/sh -c ", b"bash -c ", b"sh -c ", b"cmd /c ", b"cmd.exe /c "):
        if line.startswith(shell):
            return decode.braces(line[len(shell) :])
    return decode.braces(line)


def _of_variable(text: bytes, at: int) -> bytes:
    """Return the command line that was put into the variable which is the argument here."""
    name = _VARIABLE.match(text, at)
    given = re.search(rb"\b%b\s*=\s*(?:new\s+String\s*\[\]\s*)?[{\[]?\s*(?=[\"'])" % name[1], text) if name else None
    if not given:
        return b""
    end = text.find(b";", given.end())
    return _command_line([word for word, _, _ in _literals(text, given.end(), end if end >= 0 else len(text))])


def _text_of(literal: re.Match[bytes]) -> bytes:
    return decode.backslashes(literal[1] if literal[1] is not None else literal[2])


def _md5(text: bytes) -> bytes:
    return hashlib.md5(text, usedforsecurity=False).hexdigest().encode()
