"""What `eudaemon replay` reads: recorded conversations, cowrie's JSON lines, and an attacker's bytes as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eudaemon.cli._files import UnreadableError, read
from eudaemon.wire import conversation

_PCAP = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a")
SESSIONS_MAX = 100_000  # of one log


@dataclass(slots=True)
class Recording:
    """One conversation to be played: what the attacker said, and when, in seconds since its start."""

    name: str
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    host_spoke_first: bool = False
    urls: list[str] = field(default_factory=list)  # what whoever recorded it saw being downloaded


def recordings(path: Path) -> Iterator[Recording]:
    """Yield the conversations that a file holds. Raises `UnreadableError`."""
    data = read(path)
    if data.startswith(_PCAP):
        raise UnreadableError(f"{path}: pcap files cannot be replayed yet; give the payload's bytes or a conversation")
    if data.startswith(conversation.MAGIC):
        yield _conversation(path, data)
    elif _is_cowrie(data):
        yield from _cowrie(path, data)
    elif data:
        yield Recording(str(path), [(0.0, data)])
    else:
        raise UnreadableError(f"{path}: empty")


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


def _cowrie(path: Path, data: bytes) -> Iterator[Recording]:
    """Yield each session of a cowrie log as a telnet one: logins tried, then commands (docs/OUTPUT.rst of cowrie)."""
    found: dict[str, Recording] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise UnreadableError(f"{path}:{number}: no JSON") from None
        if not isinstance(entry, dict):
            raise UnreadableError(f"{path}:{number}: no JSON object")
        session = _text(entry, "session")
        if session not in found and len(found) == SESSIONS_MAX:
            raise UnreadableError(f"{path}:{number}: more than {SESSIONS_MAX} sessions")
        _add(found.setdefault(session, Recording(f"{path} session {session}", host_spoke_first=True)), entry)
    yield from (recording for recording in found.values() if recording.pieces)


def _add(recording: Recording, entry: dict[str, Any]) -> None:
    match _text(entry, "eventid"):
        case "cowrie.login.success" | "cowrie.login.failed":
            text = f"{_text(entry, 'username')}\r\n{_text(entry, 'password')}\r\n"
        case "cowrie.command.input":
            text = _text(entry, "input") + "\r\n"
        case "cowrie.session.file_download" if _text(entry, "url"):
            recording.urls.append(_text(entry, "url"))
            return
        case _:
            return
    recording.pieces.append((float(len(recording.pieces)), text.encode("utf-8", "surrogateescape")))


def _text(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    return value if isinstance(value, str) else ""
