"""In which language a text without `#!` is written, judged by its lines. Conservative: without evidence it is text.

A word alone proves nothing (`$5 a piece`, `set menu`, `for the record`): what counts is a line that only a program of
that language would hold. A text is a script if at least a third of its first lines are such lines.
"""

from __future__ import annotations

from collections.abc import Callable

LINES_MAX = 40  # that are looked at
_SHARE = 3  # one line in so many

_DOWNLOADERS = frozenset((b"wget", b"curl", b"tftp", b"ftpget"))
_SHELL_STARTS = (
    b"#!/", b"/bin/busybox ", b"busybox ", b"cd /", b"cd $", b"rm -", b"chmod +", b"chmod -", b"chmod 7", b"chmod 0",
    b"mkdir -", b"mkdir /", b"cat /", b"cp /", b"mv /", b"kill -", b"killall -", b"pkill -", b"nohup ./", b"nohup /",
    b"./", b"sh /", b"sh -c ", b"bash -c ", b"bash -i", b"ulimit -", b"iptables -", b"export path=", b"mount -",
    b"if [ ", b"if test ", b"while [ ", b"while true;", b"while :;", b"[ -", b"test -", b"trap '", b"crontab -",
    b"exec 3<>/dev/", b"echo -", b'echo "', b"echo '", b"echo $",
)  # fmt: skip
_SHELL_LINES = frozenset((b"fi", b"done", b"esac", b"then", b"else", b"do"))
_PHP = (b"<?php", b"<?=")
_POWERSHELL = (
    b"iex(", b"iex (", b"|iex", b"| iex", b"iex $", b"invoke-expression (", b"invoke-expression $", b".downloadstring(",
    b".downloadfile(", b".downloaddata(", b"new-object net.", b"new-object system.", b"new-object -", b"$env:",
    b"[system.", b"[convert]::", b"[text.encoding]::", b"[net.", b"powershell -", b"powershell.exe -",
    b"invoke-webrequest -", b"invoke-webrequest http", b"invoke-webrequest $", b'invoke-webrequest "',
    b"start-process -", b"start-process $", b'start-process "', b"set-executionpolicy -",
    b"set-executionpolicy bypass", b"-erroraction ", b"| out-null",
    b"add-mppreference -", b"set-mppreference -", b"start-sleep -",
)  # fmt: skip
_BATCH_STARTS = (
    b"@echo o", b"certutil -", b"certutil.exe -", b"bitsadmin /", b"if exist ", b"if not exist ", b"taskkill /",
    b"reg add hk", b"schtasks /", b"cmd /c", b"cmd.exe /c", b"net stop ", b"del /", b"attrib +", b"start /", b"goto :",
    b"set /", b"timeout /", b"ping -n ",
)  # fmt: skip
_BATCH_HOLDS = (b"%temp%", b"%~dp0", b"%appdata%", b"%systemroot%", b"%windir%")
_VBSCRIPT = (b"createobject(", b"on error resume next", b"wscript.sleep", b"wscript.shell", b"wscript.echo")
_JAVASCRIPT = (
    b"new activexobject(", b"string.fromcharcode(", b"require('child_process')", b'require("child_process")',
    b"document.write(", b"eval(function(p,a,c,k,e,", b"eval(unescape(", b"eval(atob(",
)  # fmt: skip
_PERL_STARTS = (b"use strict", b"use warnings", b"use io::", b"use socket", b"use lwp", b"use mime::", b"use http::")
_PERL_VARIABLES = (b"my $", b"my @", b"my %", b"our $", b"my ($", b"local $")
_PYTHON_MODULES = frozenset(
    b"argparse asyncio base64 binascii ctypes hashlib io itertools json os platform pty random re requests select "
    b"shutil signal socket ssl string struct subprocess sys tempfile threading time traceback urllib urllib2".split()
)
_PYTHON_STARTS = (b"if __name__", b"exec(", b"print(", b"os.system(", b"except exception", b"try:", b"subprocess.")


def language_of(lower: bytes) -> str:
    """Return the language of a text, given in lower case; empty if it is none that we know, or no script."""
    if lower.startswith(_PHP):
        return "PHP"
    lines = [line for raw in lower.split(b"\n")[:LINES_MAX] if (line := raw.strip()) and line[:1] != b"#"]
    best, most = "", 0
    for language, fits in _LANGUAGES:
        count = sum(map(fits, lines))
        if count > most:
            best, most = language, count
    return best if most and most * _SHARE >= len(lines) else ""


def _shell(line: bytes) -> bool:
    line = line.lstrip(b"(;&| ")
    if line.startswith(_SHELL_STARTS) or line.rstrip(b";") in _SHELL_LINES:
        return True
    words = line.split(None, 3)
    if len(words) < 2:
        return False
    if words[0].rpartition(b"/")[2] in _DOWNLOADERS:
        # An option, a place or a variable follows; after the word in a sentence, another word does.
        return words[1][:1] in (b"-", b"$", b"'", b'"') or any(mark in words[1] for mark in (b"/", b":", b"${", b".1"))
    return words[0] == b"for" and words[2:3] == [b"in"] and (b"; do" in line or b";do" in line)


def _powershell(line: bytes) -> bool:
    return any(mark in line for mark in _POWERSHELL) or (line[:1] == b"$" and _is_assignment(line[1:]))


def _is_assignment(line: bytes) -> bool:
    """Whether a name, and then `=`, begin the line, and something that PowerShell alone writes follows."""
    name, equals, value = line.partition(b"=")
    return bool(equals) and name.strip().isalnum() and value.strip()[:2] in (b"@(", b"@{", b"[s", b"(n", b"(g")


def _python(line: bytes) -> bool:
    if line.startswith(_PYTHON_STARTS):
        return True
    words = line.replace(b",", b" ").replace(b";", b" ; ").split() or [b""]
    if words[0] == b"from":
        return len(words) > 3 and words[2] == b"import" and words[1].replace(b".", b"").replace(b"_", b"").isalnum()
    if words[0] == b"import":
        return len(words) > 1 and words[1].partition(b".")[0] in _PYTHON_MODULES
    return words[0] == b"def" and line.endswith(b":") and b"(" in line


def _batch(line: bytes) -> bool:
    return line.startswith(_BATCH_STARTS) or line in (b"setlocal", b"endlocal") or any(m in line for m in _BATCH_HOLDS)


def _perl(line: bytes) -> bool:
    return line.startswith(_PERL_STARTS) or (line.startswith(_PERL_VARIABLES) and line.endswith((b";", b"{")))


def _javascript(line: bytes) -> bool:
    return any(mark in line for mark in _JAVASCRIPT)


def _vbscript(line: bytes) -> bool:
    return any(mark in line for mark in _VBSCRIPT)


_LANGUAGES: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("POSIX shell", _shell),
    ("PHP", lambda line: line.startswith(_PHP)),
    ("PowerShell", _powershell),
    ("Python", _python),
    ("Windows batch", _batch),
    ("Perl", _perl),
    ("JavaScript", _javascript),  # before VBScript, with which it shares the host's objects
    ("VBScript", _vbscript),
)
