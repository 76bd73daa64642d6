"""What `eudaemon replay` reads: captured packets, recorded conversations, cowrie's JSON lines, plain bytes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from eudaemon.cli._capture import MAGICS, Capture, CaptureError
from eudaemon.cli._files import UnreadableError, read
from eudaemon.cli._streams import Streams, TooManyError
from eudaemon.events import Endpoint
from eudaemon.payload.identify import identify
from eudaemon.wire import conversation
from eudaemon.world.host import Host

_OTHER_LANGUAGES = ("Python", "Perl", "PHP", "Ruby", "JavaScript", "Lua", "PowerShell", "Windows", "VBScript")
SESSIONS_MAX = 100_000  # of one log
_OPEN_DOOR = (b"root", b"root")
_REFUSED_MAX = 2  # logins that are played before the one that succeeds: a third and `login` hangs up


@dataclass(slots=True)
class Recording:
    """One conversation to be played: what the attacker said, and when, in seconds since its start."""

    name: str
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    host_spoke_first: bool = False
    urls: list[str] = field(default_factory=list)  # what whoever recorded it saw being downloaded
    room: str = ""  # the only one that it can be for, if that shows
    transport: str = "tcp"
    attacker: Endpoint | None = None
    local: Endpoint | None = None
    missing_bytes: int = 0  # that whoever recorded it did not see


def recordings(path: Path, host: Host) -> Iterator[Recording]:
    """Yield the conversations that a file holds. Raises `UnreadableError`."""
    data = read(path)
    if data.startswith(MAGICS):
        yield from _captured(path, data)
    elif data.startswith(conversation.MAGIC):
        yield _conversation(path, data)
    elif _is_cowrie(data):
        yield from _cowrie(path, data, host)
    elif data:
        yield Recording(str(path), [(0.0, data)], room=_room(data))
    else:
        raise UnreadableError(f"{path}: empty")


def _captured(path: Path, data: bytes) -> Iterator[Recording]:
    """Yield each conversation of a capture in which the attacker said something, and tell what was left out."""
    capture, streams = Capture(data), Streams()
    try:
        found = streams.read(capture.ip())
    except (CaptureError, TooManyError) as error:
        raise UnreadableError(f"{path}: {error}") from None
    left_out = capture.left_out + streams.left_out
    said = "; left out: " + ", ".join(f"{count} {why}" for why, count in left_out.most_common()) if left_out else ""
    count = len(found) + len(capture.usb)
    print(f"eudaemon: {path}: {capture.packets} packets, {count} conversations{said}", file=sys.stderr)
    for pipe, pieces in capture.usb.items():
        yield Recording(f"{path} {pipe}", [(max(0.0, at_s - pieces[0][0]), piece) for at_s, piece in pieces])
    for one in found:
        attacker, local = Endpoint(*one.attacker), Endpoint(*one.local)
        began_s = one.pieces[0][0]
        yield Recording(
            f"{path} {one.transport} {attacker.ip} port {attacker.port} to {local.ip} port {local.port}",
            [(max(0.0, at_s - began_s), piece) for at_s, piece in one.pieces],
            host_spoke_first=one.host_spoke_first,
            transport=one.transport, attacker=attacker, local=local, missing_bytes=one.missing_bytes,
        )  # fmt: skip


def _room(data: bytes) -> str:
    """Return where a script goes, which is said to no service: to the shell, or to the catch-all if it is none's."""
    identity = identify(data)
    if identity.format != "script":
        return ""
    return "catchall" if identity.description.startswith(_OTHER_LANGUAGES) else "shell"


def _conversation(path: Path, data: bytes) -> Recording:
    recording = Recording(str(path))
    try:
        for number, piece in enumerate(conversation.decode(data)):
            if piece.side == conversation.ATTACKER:
                recording.pieces.append((piece.ms / 1000, piece.data))
            elif number == 0:
                recording.host_spoke_first = True
    except ValueError as error:
        raise UnreadableError(f"{path}: {error}") from None
    return recording


def _is_cowrie(data: bytes) -> bool:
    return data[:1] == b"{" and b'"eventid"' in data.partition(b"\n")[0] and b'"cowrie.' in data.partition(b"\n")[0]


def _cowrie(path: Path, data: bytes, host: Host) -> Iterator[Recording]:
    """Yield each session of a cowrie log as a telnet one: logins tried, then commands (docs/OUTPUT.rst of cowrie)."""
    found: dict[str, _Session] = {}
    lines = data.rstrip().splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines):  # a log that is still written to, or was cut off
                print(f"eudaemon: {path}:{number}: the last line is cut off: left out", file=sys.stderr)
                break
            raise UnreadableError(f"{path}:{number}: no JSON") from None
        if not isinstance(entry, dict):
            raise UnreadableError(f"{path}:{number}: no JSON object")
        session = _text(entry, "session").decode("utf-8", "replace")
        if session not in found and len(found) == SESSIONS_MAX:
            raise UnreadableError(f"{path}:{number}: more than {SESSIONS_MAX} sessions")
        found.setdefault(session, _Session()).add(entry)
    for name, session_found in found.items():
        typed = session_found.lines(host)
        if typed:
            pieces = [(float(second), line + b"\r\n") for second, line in enumerate(typed)]
            urls = session_found.urls
            yield Recording(f"{path} session {name}", pieces, host_spoke_first=True, urls=urls)


@dataclass(slots=True)
class _Session:
    """What a cowrie log says of one session."""

    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    commands: list[bytes] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    def add(self, entry: dict[str, Any]) -> None:
        """Take in one line of the log."""
        match entry.get("eventid"):
            case "cowrie.login.success" | "cowrie.login.failed":
                self.logins.append((_text(entry, "username"), _text(entry, "password")))
            case "cowrie.command.input":
                self.commands.append(_text(entry, "input"))
            case "cowrie.session.file_download" if _text(entry, "url"):
                self.urls.append(_text(entry, "url").decode("utf-8", "replace"))

    def lines(self, host: Host) -> list[bytes]:
        """Return what the attacker would type here.

        Our host lets in whom it likes, not whom cowrie did: what was tried after its door opened is left out, and
        for commands behind a door that it would not open, one that is always open is taken.
        """
        refused = list(takewhile(lambda login: not host.accepts(*login), self.logins))
        opened = self.logins[len(refused) :][:1] or ([_OPEN_DOOR] if self.commands else [])
        return [line for login in (*refused[-_REFUSED_MAX:], *opened) for line in login] + self.commands


def _text(entry: dict[str, Any], name: str) -> bytes:
    value = entry.get(name)
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b""
