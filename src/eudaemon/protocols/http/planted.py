"""Scripts that an address brought to the web server, and what calling them does.

    POST /upload.php  …filename="x.php"  <?php system($_GET['c']);?>      --plant-->  x.php runs `c`
    GET /uploads/x.php?c=id                                              --called-->  Loot(command=b"id")

Whoever uploads a script calls it next, often to see whether it prints what it should. What is remembered of one is
what matters of it, by its name alone: in which folder the product would have put it only its attacker knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from eudaemon.protocols import _carried as carried
from eudaemon.protocols import _loot as loot
from eudaemon.protocols._base import Visit
from eudaemon.protocols._loot import Loot
from eudaemon.protocols._places import LOOKED_BYTES_MAX, Look
from eudaemon.protocols._remembered import Remembered
from eudaemon.wire import decode

SCRIPTS_MAX = 8  # of one request, counted by their names
NAME_BYTES_MIN = 3  # of a file that commands have written
SHOWN_BYTES_MAX = 300
_NAME = re.compile(
    rb"([\w.()-]{1,96}\.(?:php\d?|phtml|phar|pht|jspx?|jspf|aspx?|ashx|asmx|cfm|cgi|pl|txt|html?|svg))\Z", re.IGNORECASE
)
_WITHIN = re.compile(rb"([\w.()-]{1,96}\.(?:php\d?|phtml|jspx?|aspx?))(?![\w.])", re.IGNORECASE)
_SCRIPT = re.compile(rb"<\?(?:php|=)|<%|<jsp:|<script\s+runat", re.IGNORECASE)
_PARAMETER = re.compile(
    rb"\$_(?:GET|POST|REQUEST|COOKIE)\s*\[\s*[\"']?([\w-]{1,32})|getParameter\s*\(\s*\"([\w-]{1,32})|"
    rb"\bRequest(?:\.Item|\.Form|\.QueryString)?\s*[\[(]\s*[\"']([\w-]{1,32})",
    re.IGNORECASE,
)
_CODE = re.compile(rb"\b(?:eval|assert|create_function|Execute)\s*\(|\beval\s+", re.IGNORECASE)
_STARTS = re.compile(
    rb"\b(?:system|passthru|shell_exec|exec|popen|proc_open|Start)\s*\(|`|ProcessBuilder", re.IGNORECASE
)
_PRINTS = re.compile(rb"\b(?:out\.print(?:ln)?|Response\.Write|print|echo)\s*\(?\s*\"([^\"]{1,300})\"", re.IGNORECASE)
_SUM = re.compile(
    rb"(?:<%=|out\.print(?:ln)?\s*\(|\b(?:echo|print)\s*\(?)\s*(\d{1,9})\s*([*+])\s*(\d{1,9})\s*[;)%]", re.IGNORECASE
)


def plant(visit: Visit, look: Look) -> None:
    """Remember the scripts in a request by the names that it gives them."""
    if look.request.method not in ("POST", "PUT", "MOVE", "PATCH") and b"<" not in look.query:
        return
    pages = Remembered(visit, "http planted")
    for name, content in islice(_brought(look), SCRIPTS_MAX):
        for kind, value in _what_it_does(content[:LOOKED_BYTES_MAX]):
            pages.add(b"page", name, kind, value)


def _brought(look: Look) -> Iterator[tuple[bytes, bytes]]:
    """Yield scripts by each of their names: a form's files have one, a value may be meant for any that is mentioned."""
    for part in look.parts:
        name = _NAME.search(part.filename or b"")
        if name:
            yield name[1].lower(), part.content
    if look.request.method == "PUT" and (name := _NAME.search(look.path.rstrip(b"/. "))):
        yield name[1].lower(), look.body
    if look.scripts:
        yield from ((name, script) for name in _names(look) for script in look.scripts)


def called(visit: Visit, look: Look) -> Loot | None:
    """Return what the script that is asked for does, None if none was brought by this name."""
    name = look.path.rpartition(b"/")[2].lower()
    if not name or b"." not in name:
        return None
    pages = Remembered(visit, "http planted").each(b"page")
    return _outcome(((kind, value) for named, kind, value in pages if named == name), look)


def performed(content: bytes, look: Look) -> Loot | None:
    """Return what calling a script does that has this content; of another file it is what stands there."""
    if not _SCRIPT.search(content):
        return Loot(shows=content)
    return _outcome(_what_it_does(content), look)


def _outcome(deeds: Iterable[tuple[bytes, bytes]], look: Look) -> Loot | None:
    shows: bytes | None = None
    for kind, value in deeds:
        if kind == b"shows":
            shows = value
            continue
        given = next(look.values_of(value), b"").strip()
        if given:
            return loot.whole(given) if kind == b"runs" else carried.php(given) or loot.program(given)
        shows = shows or b""
    return Loot(shows=shows) if shows is not None else None


def _names(look: Look) -> list[bytes]:
    found: dict[bytes, None] = {}
    for text in look.values:
        name = _NAME.search(text.replace(b"\\", b"/").rstrip(b"/. \0")) if len(text) < 1024 else None
        within = _WITHIN.search(text) if not name and len(text) < 8192 else None
        hit = name or within
        if hit:
            found[hit[1].lower()] = None
    return list(found)


def _what_it_does(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    content = decode.html_entities(content) if b"&lt;" in content else content
    if not _SCRIPT.search(content):
        if content.isascii() and b"\0" not in content:
            yield b"shows", content.strip()[:SHOWN_BYTES_MAX]
        return
    parameter = _PARAMETER.search(content)
    if parameter and (_CODE.search(content) or _STARTS.search(content)):
        yield (b"code" if _CODE.search(content) else b"runs"), next(name for name in parameter.groups() if name)
        return
    result, prints = _SUM.search(content), _PRINTS.search(content)
    php = loot.php(content) if b"<?" in content else None
    if php and php.shows:
        yield b"shows", php.shows[:SHOWN_BYTES_MAX]
    elif result:
        left, right = int(result[1]), int(result[3])
        yield b"shows", b"%d" % (left * right if result[2] == b"*" else left + right)
    elif prints:
        yield b"shows", prints[1]
    else:
        yield b"shows", b"\n"
