"""Where in a text a command may stand, and the URLs that stand in it. Looks only; decodes and runs nothing.

A payload seldom is a command: it holds one, in a query, an XML tag, a JSON text, a class file. A word that only
commands use (`wget`) is looked for, and the text around it, up to the marks that enclose it, is a fragment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from eudaemon.payload.url import URL_CHARS_MAX
from eudaemon.wire import decode

FRAGMENTS_MAX = 32  # of one text
URLS_MAX = 128  # of one text
LINE_BYTES_MAX = 16 * 1024  # of a line that is looked at
_HINT = re.compile(
    rb"(?<![\w.-])(?:wget|curl|tftp|ftpget|lwp-download|aria2c|axel|nc|ncat|netcat|scp|sftp|base64|openssl|xxd|eval)(?![\w.-])"
    rb"|/dev/(?:tcp|udp)/",
)
_PLUSSED = re.compile(rb"(?<![\w.-])(?:wget|curl|tftp|ftpget|lwp-download|aria2c|axel)\+")
_WORD = re.compile(rb"\S+")
_BESIDE_BYTES = 256  # before a URL
_REQUEST = re.compile(
    rb"\A(?:GET|POST|PUT|HEAD|DELETE|OPTIONS|PATCH|PROPFIND|SEARCH) ([^\r\n]*?)(?: HTTP/\d\.\d)?[ \t]*(?:[\r\n]|\Z)"
)
_TEXT_RUN = re.compile(rb"[\t\x20-\x7e\x80-\xff]{8,}")
_PARTNERS = {
    ord('"'): b'"',
    ord("'"): b"'",
    ord("`"): b"`",
    ord("("): b")",
    ord(">"): b"<",
    ord("="): b"&",
    ord("["): b"]",
}
_ENDS = re.compile(rb"[;|&\s]")
_URL = re.compile(
    rb"(?i)(?<![a-z0-9])(?:https?|s?ftp|tftp|ldaps?|rmi|dns|iiop|nc|tcp|smb)://[^\s\x00-\x20\"'<>`|;(){}\\^*,$\x7f-\xff]{1,2048}"
)
_UNFINISHED = re.compile(rb"[$`](?!\{?IFS)")  # behind a URL: the shell makes the rest of it, and knows what that is
_DEV_TCP = re.compile(rb"/dev/tcp/([\w.:-]{1,253})/(\d{1,5})")
# `\\\\host\\share\\file`: the host with a dot, or every escaped backslash would be one.
_UNC = re.compile(rb"(?<!\\)\\\\((?:[\w-]{1,63}\.){1,8}[\w-]{1,63})((?:\\[^\\\s\x00-\x1f\"'<>|;:*?&,)]{1,255}){2,16})")
# `rcp [-option] [user@]host:file`, and the same of scp.
_COPY = re.compile(
    rb"(?<![\w./-])(rcp|scp)(?:\.exe)?\s+(?:-[A-Za-z]+\s+)*(?:([\w.-]{1,64})@)?([\w.-]{1,253}):([^\s;|&'\"<>]{1,1024})"
)
# Headers that name pages which the client saw or made up; a JNDI lookup in them is meant, a web page is not.
_TALK = re.compile(rb"(?im)^(?:user-agent|referer|origin|soapaction):[^\r\n]*")
# Names of formats, not places: they stand in every SOAP, XML and XHTML request.
_NAMESPACE_HOSTS = (b"www.w3.org", b"schemas.", b"purenetworks.com", b"xml.apache.org", b"www.oasis-open.org",
                    b"docs.oasis-open.org", b"java.sun.com", b"xmlns.", b"www.springframework.org", b"tempuri.org",
                    )  # fmt: skip
_TOOLS = ((b"certutil", "certutil"), (b"powershell", "powershell"), (b"webclient", "powershell"),
          (b"invoke-webrequest", "powershell"), (b"bitsadmin", "powershell"), (b"jndi:", "class loading"),
          (b"python", "python"))  # fmt: skip


def is_script(text: bytes) -> bool:
    """Say whether the text as a whole is to be read as shell: text of lines, and a word that only commands use."""
    return b"\0" not in text and not _REQUEST.match(text) and (text[:2] == b"#!" or _HINT.search(text) is not None)


def has_command(text: bytes) -> bool:
    """Say whether a word that only commands use, or a URL, stands in the text."""
    return _HINT.search(text) is not None or _URL.search(text) is not None


def fragments(text: bytes) -> Iterator[bytes]:
    """Yield the pieces that may be commands, at most `FRAGMENTS_MAX`, none twice."""
    seen: set[bytes] = set()
    for piece in _pieces(text):
        piece = piece.strip().lstrip(b";|& \t")  # what ended the command that it was put behind
        if piece and piece not in seen:
            seen.add(piece)
            yield piece
            if len(seen) == FRAGMENTS_MAX:
                return


def urls(text: bytes) -> Iterator[tuple[str, str]]:
    """Yield the URLs that stand in the text, each with the tool that seems to be meant; at most `URLS_MAX`.

    The tool is `url` where nothing shows that one is meant at all.
    """
    is_binary = b"\0" in text
    whole_tool = "url" if is_binary else _tool(text)
    text = _unplussed(text)
    plain = _TALK.sub(lambda found: found[0] if b"jndi:" in found[0] else b"", text)
    count = 0
    for found in _URL.finditer(plain):
        url = found[0].rstrip(b".,:!?]&#=")
        host = url.partition(b"://")[2]
        if not host or host.startswith(_NAMESPACE_HOSTS) or len(url) > URL_CHARS_MAX:
            continue
        if _UNFINISHED.match(plain, found.end()):
            continue
        # What stands anywhere in a script tells what its URLs are for; in a program only what stands beside one does.
        beside = text[max(0, found.start() - _BESIDE_BYTES) : found.start()].rpartition(b"\0")[2]
        yield url.decode("latin-1"), _tool(beside) if is_binary else whole_tool
        count += 1
        if count == URLS_MAX:
            return
    for found in _DEV_TCP.finditer(plain):
        yield f"tcp://{found[1].decode('ascii', 'replace')}:{int(found[2])}/", "/dev/tcp"
    for found in _UNC.finditer(plain):
        yield f"smb://{found[1].decode('latin-1')}{found[2].decode('latin-1')}".replace("\\", "/"), "smb"
    for found in _COPY.finditer(plain):
        tool, who = found[1].decode("ascii"), (found[2] + b"@" if found[2] else b"").decode("latin-1")
        yield f"{tool}://{who}{found[3].decode('latin-1')}/{found[4].decode('latin-1')}", tool


def _tool(text: bytes) -> str:
    lower = text.lower()
    return next((tool for mark, tool in _TOOLS if mark in lower), "url")


def _unplussed(text: bytes) -> bytes:
    """Return the text with `+` as the blank that it is where a command stands in a query: `wget+http://h/a+-O+b`."""
    if not _PLUSSED.search(text):
        return text
    return _WORD.sub(lambda found: found[0].replace(b"+", b" ") if _PLUSSED.search(found[0]) else found[0], text)


def _pieces(text: bytes) -> Iterator[bytes]:
    request = _REQUEST.match(text)
    if request:
        yield from _values(request[1].partition(b"?")[2])
        yield from _around(request[1])
    for run in _TEXT_RUN.finditer(text, request.end(1) if request else 0):
        line = run[0][:LINE_BYTES_MAX]
        if line.lstrip().startswith(b"#"):
            continue
        if b" " not in line and (b"=" in line or _PLUSSED.search(line)):
            yield from _values(line)
        yield from _around(line)


def _values(query: bytes) -> Iterator[bytes]:
    """Yield the values of a query or form that may be commands."""
    for pair in query[:LINE_BYTES_MAX].split(b"&")[:FRAGMENTS_MAX]:
        value = decode.percent(pair.partition(b"=")[2] or pair, plus=True)
        if _HINT.search(value):
            yield value


def _around(line: bytes) -> Iterator[bytes]:
    for found, _ in zip(_HINT.finditer(line), range(FRAGMENTS_MAX), strict=False):
        start = found.start()
        while start and line[start - 1] not in _PARTNERS:
            start -= 1
        if start and line[start - 1] == ord("=") and _ENDS.search(line, start, found.start()):
            start = 0  # an assignment that stands before the command
        partner = _PARTNERS[line[start - 1]] if start else b""
        end = line.find(partner, found.end()) if partner else -1
        yield line[start : end if end >= 0 else len(line)]
    if _HINT.search(line):
        yield line
