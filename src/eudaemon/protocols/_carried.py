"""What a value carries that was written for no product that we know: code, serialised objects, paths, templates.

`_loot` reads what stands where a known exploit has it. Here nothing tells but the value itself: each function takes one
and returns its `Loot`, or None where an ordinary client might have sent it. `unwrapped` undoes what hides it before.
Linear in the value's length, which its reader bounds; nothing is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from eudaemon.protocols import _loot as loot
from eudaemon.protocols._loot import Loot
from eudaemon.wire import decode

TEXTS_MAX = 6  # that undoing the wrappings of one value gives
TEXT_BYTES_MAX = 256 * 1024
STRINGS_MAX = 512  # of a serialised object
STRING_BYTES_MAX = 4096  # of one of these
_CALLS_MAX = 16
# What a text that came out of base64 or hexadecimal must hold to be more than noise.
_MEANT = re.compile(
    rb"\xac\xed\x00\x05|<\?php|\b(?:system|exec|eval|popen|passthru|shell_exec|execSync)\s*\(|Runtime|ProcessBuilder"
    rb"|(?:\A|[;|&`\n(\x00-\x1f\"])\s*(?:wget|curl|nc|sh|bash|cat|id|ping|nslookup|echo|python3?|perl|chmod|/bin/\w+)"
    rb"(?:\b|\Z)|cmd(?:\.exe)? /c|(?:https?|ldaps?|rmi)://"
)
_PHP_PROBE = re.compile(
    rb"\b(?:echo|print|die|exit|var_dump|print_r|printf)\b[\s(@]*md5\s*\(|\bphpinfo\s*\(\s*\)|\A\s*phpinfo\s*\Z"
)
_PHP_BARE = re.compile(rb"\b(?:system|shell_exec|passthru)\s*\(\s*([a-z][\w ./-]{1,64}?)\s*\)")
_PHP_INFO = b'<h1 class="p">PHP Version 5.6.40</h1><h2>PHP Extension Build</h2><h2>PHP Credits</h2>'
_RUBY_PERCENT = re.compile(rb"%x[({\[|]([^)}\]|]{2,4096})[)}\]|]")
# Calls that start a program: JavaScript, Python, Ruby, Perl, Lua, R, Tcl, C#, PowerShell, SQL.
_CALL = re.compile(
    rb"\b(?:system|popen[23]?|Popen|execute|exec|spawn|execFile|execSync|spawnSync|execFileSync|run|call|check_call"
    rb"|check_output|getoutput|getstatusoutput|[Ss]tart|capture[23]e?|passthru|shell_exec|proc_open|pcntl_exec)[\"'\]\\]{0,4}\s*\("
)
_CALLERS = re.compile(
    rb"child_process|\bos\b|\bio\.popen|subprocess|\bProcess\b|\bIO\.|Kernel|Open3|__import__|commands\b|Sync|intern\s*=|paste\("
)
_SQL_PROGRAM = re.compile(rb"\b(?:xp_cmdshell|FROM\s+PROGRAM)\s*\(?\s*N?'((?:[^']|''){1,4096})'", re.IGNORECASE)
_SHELL_KEYS = re.compile(rb"\A[\s\S]{0,64}?\bcmd(?:\.exe)?\s+/c\s+([^\x00]{2,4096})")
_FREEMARKER_NAME = re.compile(rb"(\w{1,64})\s*=\s*[\"']freemarker\.template\.utility\.Execute[\"']\?new\(\)")
_EXPRESSION = re.compile(  # that has no other use than to get at what it should not
    rb"\bT\(\s*java\.|@java\.lang\.|#_?memberAccess|\.forName\s*\(\s*[\"']java|getClass\(\)\s*\.\s*forName|ScriptEngineManager"
)
_NAMING = re.compile(rb"\A\s*((?:ldaps?|rmi|iiop)://[\w.\[\]:-]{1,255}/?[^\s\"'<>]{0,1000})")
_RUN_SCRIPT = re.compile(rb"RUNSCRIPT\s+FROM\s+\\?'(https?://[^\s'\\]{1,1000})", re.IGNORECASE)
_LOADED = re.compile(rb"(?:!!java\.net\.URL\s*\[?\s*[\"']|URLClassLoader[^\"']{0,64}[\"'])(https?://[^\s\"']{1,1000})")
_ENTITY = re.compile(  # not the PUBLIC ones of HTML and property lists
    rb"<!(?:ENTITY\s[^>\"']{0,256}?\b(?:SYSTEM|PUBLIC\s+[\"'][^\"']{0,256}[\"'])|DOCTYPE\s[^>\"']{0,256}?\bSYSTEM)"
    rb"\s+[\"']([^\"']{1,1000})[\"']"
)
_INCLUDED = re.compile(
    rb"\A(?:https?|ftp)://[^\s\"'<>]{3,1000}(?:\.(?:txt|php\d?|phtml|sh|dtd|jspx?|aspx?|inc|cgi|pl|py|exe|elf)(?:[?#%\0]\S*)?|\?{1,2}|%00|\0)\Z",
    re.IGNORECASE,
)
_INSIDE = re.compile(
    rb"\A\s*(?:(?:gopher|dict|netdoc|jar:https?)://|https?://(?:127\.|localhost\b|0\.0\.0\.0|169\.254\.169\.254|\[::1?\]|metadata\.google))",
    re.IGNORECASE,
)
_UPLOADED = (b"<?php", b"<?=", b"<%", b"<jsp:", b"#!/")
# `..` and what servers take for a slash behind it; overlong UTF-8, and dots that a filter doubles or cuts.
_CLIMB = re.compile(
    rb"(?:(?:[a-z]:)?\.{2,4}(?:[;\r\n]{0,2}[\\/]|\xc0\xaf|\xe0\x80\xaf|0x5c|\./)+|\.[\r\n\0]\./|\.\?/)+", re.IGNORECASE
)
_ROOTS = re.compile(
    rb"(?:etc|proc|var|root|home|usr|opt|sys|tmp|mnt|bin|windows|winnt|boot\.ini|win\.ini|web-inf|users|c:)\b",
    re.IGNORECASE,
)
_SECRETS = re.compile(
    rb"(?:etc/(?:passwd|shadow|hosts)|proc/self/|win(?:dows|nt)[\\/]|win\.ini|boot\.ini|web-inf|wp-config|configuration\.php"
    rb"|web\.config|\.env\b)",
    re.IGNORECASE,
)
_PATH_ENDS = re.compile(rb"[\0?#&\"'<>;|`\r\n\s]|%00|\{\{")
_NAMED_FILE = re.compile(
    rb"\A(?:(?:file|netdoc|local_file|view-source:file|url:file):/{1,4}(?:localhost/)?|/)?(?:[a-z]:/|[a-z.]{0,20}/{2,})?"
    rb"(etc/\.?/?(?:passwd|shadow|group|hosts|issue|hostname|resolv\.conf)|proc/(?:self/environ|self/cmdline|version|cpuinfo)"
    rb"|windows/win\.ini|boot\.ini)[\0.]*\Z",
    re.IGNORECASE,
)
_FILTER = re.compile(rb"\Aphp://filter/[^\s\"']{0,256}?resource=([^\s\"'\0]{1,1024})", re.IGNORECASE)
_TEMPLATE = re.compile(
    rb"(?:\{\{|[$#%*@~]\{\{?|<%=|\[\[\$?\{?|@\(|\{)\s*\(?\s*'?(\d{1,9})'?\s*([*+-])\s*'?(\d{1,9})'?\s*\)?\s*(?:\}\}|\}\]\]|\}|%>|\]\]|\))"
)
_BRACE_ALONE = re.compile(rb"\A\{\s*\d+\s*[*+-]\s*\d+\s*\}\Z")


def unwrapped(values: Iterable[bytes]) -> Iterator[bytes]:
    """Yield each value and what undoing its wrappings gives: URL, HTML, backslashes, base64, hexadecimal."""
    for value in values:
        yield from decode.layers(value, texts_max=TEXTS_MAX, bytes_max=TEXT_BYTES_MAX, is_meant=_is_meant)


def php(value: bytes) -> Loot | None:
    """The value is PHP, or calls a function as PHP does; probes get to see what they print."""
    if b"<?php" in value or b"<?=" in value:
        found = loot.php(value)
    else:
        found = loot.php_command(value)
        if found is not None and not loot.spelt_out(found.command):
            found = None
    bare = _PHP_BARE.search(value) if not (found and found.command) else None
    if bare and loot.spelt_out(bare[1]):
        return Loot(bare[1])
    if found is None and _PHP_PROBE.search(value):
        found = loot.php(b"<?php " + value)
        found = Loot(shows=_PHP_INFO) if b"phpinfo" in value else Loot(shows=found.shows) if found else None
    return found


def php_command(value: bytes) -> Loot | None:
    """Like `php`, if it has a command run."""
    found = php(value)
    return found if found and found.command else None


def called(value: bytes) -> Loot | None:
    """The value is a program of a script language which starts another: `os.system('…')`, `execSync("…")`."""
    for call in islice(_CALL.finditer(value), _CALLS_MAX):
        command = loot.arguments_of(value, call.end())
        around = value[max(0, call.start() - 128) : call.end()]
        if command and _CALLERS.search(around) and loot.spelt_out(command):
            return Loot(command)
    program, percent = _SQL_PROGRAM.search(value), _RUBY_PERCENT.search(value)
    if program:
        return loot.whole(program[1].replace(b"''", b"'"))
    return loot.spelt_out(percent[1]) if percent else None


def java(value: bytes) -> Loot | None:
    """The value is Java or an expression of its template languages, by the classes that it names."""
    name = _FREEMARKER_NAME.search(value)
    if name:
        at = value.find(name[1] + b"(", name.end())
        command = loot.arguments_of(value, at + len(name[1]) + 1) if at >= 0 else b""
        return loot.whole(command)
    found = loot.freemarker(value) or loot.java_command(value)
    if found is None and b".execute" in value:
        groovy = loot.groovy(value)
        found = groovy if groovy and loot.spelt_out(groovy.command) else None
    return found


def expression(value: bytes) -> Loot | None:
    """The value gets at classes of Java for some other end."""
    return loot.program(value) if _EXPRESSION.search(value) else None


def named_class(value: bytes) -> Loot | None:
    """The value has a class loaded, or an object looked up, from an address: JNDI, H2's scripts, YAML's tags."""
    for place in (_NAMING, _RUN_SCRIPT, _LOADED):
        found = place.search(value)
        if found:
            return Loot(urls=(found[1].decode("ascii", "replace"),))
    return None


def entity(value: bytes) -> Loot | None:
    """The value is XML whose external entities are addresses."""
    found = [entity[1] for entity in islice(_ENTITY.finditer(value), loot.URLS_MAX)]
    urls = [each.decode("ascii", "replace") for each in found if each.startswith((b"http://", b"https://", b"ftp://"))]
    return Loot(urls=tuple(urls)) if urls else None


def entity_file(value: bytes) -> Loot | None:
    """The value is XML whose external entity is a file."""
    return next((found for each in islice(_ENTITY.finditer(value), _CALLS_MAX) if (found := file(each[1]))), None)


def serialised(value: bytes) -> Loot | None:
    """The value is an object that a program would make again: a command or an address among its strings."""
    strings = _strings(value)
    if strings is None:
        return None
    for text in islice(strings, STRINGS_MAX):
        shell = _SHELL_KEYS.match(text)
        if shell:
            return loot.whole(shell[1])
        if loot.unmistakable(text) or loot.plausible(text):
            return loot.whole(text) if loot.unmistakable(text) else loot.plausible(text)
        if _NAMING.match(text) or (text.startswith((b"http://", b"https://")) and b"java" in value[:64]):
            return Loot(urls=(text.decode("ascii", "replace").strip(),))
    return None


def _strings(value: bytes) -> Iterator[bytes] | None:
    """Return the strings of a serialised object (Java, PHP, pickle, Ruby's Marshal, .NET), None if it is none."""
    at = value.find(b"\xac\xed\x00\x05", 0, 4096)
    if at >= 0:
        return _of_java(value, at)
    if _PHP_OBJECT.search(value):
        return (found[1] for found in _PHP_STRING.finditer(value))
    head = value.lstrip()[:64]
    if head.startswith(
        (
            b"\x80\x02",
            b"\x80\x03",
            b"\x80\x04",
            b"\x04\x08",
            b"\xff\x01",
            b"\x00\x01\x00\x00\x00\xff",
            b"cos\n",
            b"cposix\n",
            b"(dp0",
        )
    ):
        return (
            text for found in _PRINTABLE.finditer(value) for text in (found[0], found[0][1:], found[0].strip(b"S'\""))
        )
    return None


_PHP_OBJECT = re.compile(rb"(?:\A|[;{:|\"'])[OC]:\+?\d{1,5}:\\?\"")
_PHP_STRING = re.compile(rb"[sS]:\d{1,6}:\\?\"([^\"]{2,4096})")
_PRINTABLE = re.compile(rb"[\x20-\x7e]{4,}")


def _of_java(value: bytes, at: int) -> Iterator[bytes]:
    """Yield what follows each `t` (TC_STRING) and its length, Java Object Serialization Specification section 6.4.2."""
    while (at := value.find(b"t", at)) >= 0:
        size = int.from_bytes(value[at + 1 : at + 3], "big")
        text = value[at + 3 : at + 3 + min(size, STRING_BYTES_MAX + 1)]
        if 2 <= size == len(text) <= STRING_BYTES_MAX and text.isascii():
            yield text
        at += 1


def included(value: bytes) -> Loot | None:
    """The value is the address of a script, for a page that includes what it is told, or one inside the network."""
    if _INSIDE.match(value):
        return Loot()
    return Loot(urls=(value.rstrip(b"\0").decode("ascii", "replace"),)) if _INCLUDED.match(value) else None


def uploaded(value: bytes) -> Loot | None:
    """The value is a file which a web server would run."""
    head = value[:1024].lstrip()
    if not head.startswith(_UPLOADED) and b"<?php" not in value[:4096] and b"<%@" not in head:
        return None
    return Loot()


def climbing(value: bytes) -> Loot | None:
    """The value is a path that leaves its folder, and where to."""
    found = _CLIMB.search(value)
    if not found:
        return None
    path = _PATH_ENDS.split(value[found.end() :], maxsplit=1)[0].lstrip(b"./\\")
    is_far = value.count(b"..", found.start(), found.end()) > 1
    return Loot(reads=_normal(path)) if _SECRETS.match(path) or (is_far and _ROOTS.match(path)) else None


def file(value: bytes) -> Loot | None:
    """The value is a file that no page has, in full: `/etc/passwd`, `file:///…`, `php://filter/…/resource=…`."""
    through = _FILTER.match(value)
    if through:
        return climbing(through[1]) or Loot(reads=_normal(through[1]))
    found = _NAMED_FILE.match(value.strip().replace(b"\\", b"/"))
    return Loot(reads=_normal(found[1])) if found else None


def file_at_end(value: bytes) -> Loot | None:
    """The value is a path of the server that ends as a file of the host's does: `//etc/passwd`."""
    value = value.replace(b"\\", b"/")
    at = max(value.rfind(b"/etc/"), value.rfind(b"/proc/"), value.lower().rfind(b"/windows/"))
    return climbing(value) or (file(value[at:]) if at >= 0 else None)


def template(value: bytes) -> Loot | None:
    """The value is a template with a sum in it, as probes have: `{{7*191}}`. It shows the value with the result."""
    found = _TEMPLATE.search(value)
    if not found or (found[0].startswith(b"{") and not found[0].startswith(b"{{") and not _BRACE_ALONE.match(value)):
        return None
    left, right = int(found[1]), int(found[3])
    result = left * right if found[2] == b"*" else left + right if found[2] == b"+" else left - right
    return Loot(shows=value[: found.start()] + b"%d" % result + value[found.end() :])


def _normal(path: bytes) -> bytes:
    path = path.replace(b"\\", b"/").replace(b"/./", b"/")
    return b"/" + path.lstrip(b"/").rstrip(b".\0")


def _is_meant(text: bytes) -> bool:
    return _MEANT.search(text[: 64 * 1024]) is not None
