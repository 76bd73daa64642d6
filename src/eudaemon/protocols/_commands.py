"""Whether a text is a command for a shell, and where in another one a command begins. Nothing else is known of it.

Words of ordinary languages are commands, too: what follows them has to tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from eudaemon.wire import decode

BACKTICKS = re.compile(rb"`([^`]+)`")
_SUBSTITUTIONS = (BACKTICKS, re.compile(rb"\$\(((?:[^()]|\([^()]*\))+)(?:\)|\Z)"))
_SEPARATOR = re.compile(rb"\|\||&&|[;|&\n]")
_OF_ADDRESS = re.compile(rb"[;|\n]")  # that do not belong to a URL
_NAME_ENDS = re.compile(rb"[;|&<>)]")
# What an attacker's line begins with; a text in which one of these follows a separator is a command and no accident.
_COMMANDS = frozenset(
    b"wget curl tftp ftpget ftp nc ncat busybox cd sh bash ash chmod rm cat echo printf id uname whoami ls ps ping "
    b"sleep mkdir mount kill killall pkill export python python3 perl php telnetd nohup cp mv touch reboot "
    b"iptables cmd powershell certutil bitsadmin set env ifconfig nslookup dd head base64 openssl sudo ulimit "
    b"dig host expr pwd hostname netstat ipconfig systeminfo type dir find tee ruby node exec eval timeout "
    b"mkfifo mail telnet xterm su awk sed grep tail more less sort socat service systemctl crontab arp route "
    b"net reg wmic rundll32 mshta msiexec bitsadmin regsvr32 lua rmdir unlink true ln which stat".split()
)
# Those that are words, too: what follows must not be.
_WORDS = frozenset(
    b"cat cd echo exec eval export find head host kill mount nice ping set sleep sudo timeout touch type "
    b"dir dig php perl python ruby node env hostname expr reboot mail tail more less sort service route net "
    b"true which stat telnet id su".split()
)
_ALONE = frozenset(
    b"id whoami ls ps pwd uname env ifconfig ipconfig netstat hostname reboot systeminfo dir sh bash".split()
)
_PROSE = re.compile(rb"[A-Za-z,.!?' -]+")
_SPELT = re.compile(rb"[a-z]{3}")
_ARGUMENT = re.compile(rb"\A\S+\s+(?:\S+\s+)*?(?:-[a-zA-Z]|/(?:c\b|[a-z]+/|\Z)|[a-z]+://|\S+\.\S+\.\S+)")
_OPTION_C = re.compile(rb"\A\s*(?:(?:cmd|cmd\.exe|sh|bash|/bin/sh|/bin/bash)\s+)?[/-]c\s+[\"']?", re.IGNORECASE)
_ADDRESS = re.compile(rb"[a-z][a-z0-9+.-]{1,12}://\S*")


def meant(value: bytes) -> bytes:
    """Return the command that was injected into a text, nothing if it may be an odd text."""
    is_address = _ADDRESS.match(value) is not None  # in which `&` is at home
    before = _SEPARATOR.split(value, maxsplit=1)[0]
    is_prose = before.endswith(b" ") and _is_prose(before)  # `tom & id`, unless the rest is none
    for command in injections(value, is_address=is_address):
        if _is_meant(command) and (not is_prose or unmistakable(command)):
            return command
    return b""


def begins_with_one(value: bytes) -> bool:
    """Say whether a text is a command line, where there is reason to think so."""
    line = decode.ifs(value.strip())
    return not _is_substitution(line) and _is_meant(line)


def unmistakable(value: bytes) -> bytes:
    """Return the command line that a text is by itself, for what follows its name; nothing if it may be another."""
    option = _OPTION_C.match(value)
    value = value[option.end() :] if option else value
    line = decode.ifs(value.strip(b" \t\r\n()"))
    if _is_substitution(line) or not _is_command(line):
        return b""
    return value.strip() if option or _ARGUMENT.search(line) else b""


def injections(value: bytes, *, is_address: bool = False) -> Iterator[bytes]:
    """Yield what may be commands, the one that begins first first; one that stands within another comes after it."""
    value = decode.ifs(value)
    found = [hit for each in _SUBSTITUTIONS if (hit := each.search(value)) and hit[1].strip()]
    cut = (_SEPARATOR if not is_address else _OF_ADDRESS).search(value)
    outer = [hit for hit in found if not any(o.start() < hit.start() and hit.end() <= o.end() for o in found)]
    for hit in found:
        command = _tail(value[cut.end() :]) if cut and cut.end() <= hit.start() else b""
        if _is_command(command) and not command.startswith((b"`", b"$")):  # the substitution is an argument of this
            yield command
        if hit in outer:
            yield hit[1].strip()
    for hit in found:
        yield hit[1].strip()
    if cut:
        command = _tail(value[cut.end() :])
        if command:
            yield command


def _tail(text: bytes) -> bytes:
    """Return the command that stands behind a separator, without what belongs to the product's own line."""
    command = text.strip(b" \t\r\n;|&").rstrip(b"$#")  # `#` hides the rest of that line
    for quote in (b"'", b'"'):
        if command.count(quote) % 2 and not command.startswith(quote):  # what opened it stood before
            command = command.rpartition(quote)[0]
        elif command.count(quote) == 2 and command.startswith(quote) and command.endswith(quote):
            command = command[1:-1]
    if command.count(b"`") % 2:
        command = command.strip(b"`")
    return command.strip(b" \t\r\n;|&")


def _is_command(text: bytes) -> bool:
    words = text.split(None, 1)
    word = words[0].strip(b"'\"($`") if words else b""
    name = _NAME_ENDS.split(word, maxsplit=1)[0].rpartition(b"/")[2]
    return name in _COMMANDS or word.startswith((b"./", b"/bin/", b"/tmp/", b"/usr/", b"/var/"))


def _is_meant(text: bytes) -> bool:
    """Say whether a text is a command, and not words of which the first happens to be one: `cat food`."""
    if not _is_command(text):
        return False
    name, _, rest = text.strip(b"'\"($` ").partition(b" ")
    if not rest.strip():
        name = _NAME_ENDS.split(name, maxsplit=1)[0].strip(b"'\"")
        return name not in _WORDS or name in _ALONE
    rest = rest.strip().partition(b"\n")[0]
    return name not in _WORDS or (name == b"echo" and b" " not in rest) or not _is_prose(rest)


def _is_substitution(text: bytes) -> bool:
    return text.lstrip(b"'\"( ").startswith((b"`", b"$"))


def _is_prose(text: bytes) -> bool:
    return _PROSE.fullmatch(text) is not None and _SPELT.search(text) is not None
