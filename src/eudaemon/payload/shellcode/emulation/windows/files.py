"""Files, pipes and the C library's streams. Nothing is opened: handles are numbers in `Deeds`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eudaemon.payload.shellcode.behaviour import Touches
from eudaemon.payload.shellcode.emulation.deeds import Handle

if TYPE_CHECKING:
    from eudaemon.payload.shellcode.emulation.windows.system import Invocation

_INVALID = -1
_WRITE = 0x4000_0000 | 0x1000_0000 | 0x0002  # GENERIC_WRITE, GENERIC_ALL, FILE_WRITE_DATA
_FILE_BYTES = 0x2800


def _create_file(call: Invocation) -> int:
    path = call.text(0)
    call.note(Touches("opens for writing" if call.arguments[1] & _WRITE else "opens", path))
    return call.deeds.open(Handle("file", path))


def _lopen(call: Invocation) -> int:
    call.note(Touches("opens for writing" if call.function.name == "_lcreat" else "opens", call.text(0)))
    return call.deeds.open(Handle("file", call.text(0)))


def _fopen(call: Invocation) -> int:
    call.note(Touches("opens for writing" if "r" not in call.text(1) else "opens", call.text(0)))
    return call.deeds.open(Handle("file", call.text(0)))


def _write_file(call: Invocation) -> int:
    handle, buffer, count, written, _ = call.arguments
    call.deeds.writes(handle, call.machine.read(buffer, min(count, 256)))
    if written:
        call.machine.put_word(written, count)
    return 1


def _lwrite(call: Invocation) -> int:
    handle, buffer, count = call.arguments
    call.deeds.writes(handle, call.machine.read(buffer, min(count, 256)))
    return count


def _fwrite(call: Invocation) -> int:
    buffer, size, count, handle = call.arguments
    call.deeds.writes(handle, call.machine.read(buffer, min(size * count, 256)))
    return count


def _fputs(call: Invocation) -> int:
    call.deeds.writes(call.arguments[1], call.text(0).encode("latin-1", "replace"))
    return 0


def _read_file(call: Invocation) -> int:
    handle, buffer, count, done, _ = call.arguments
    data = call.deeds.brings(handle, buffer, count)
    call.machine.write(buffer, data)
    if done:
        call.machine.put_word(done, len(data))
    return 1


def _lread(call: Invocation) -> int:
    handle, buffer, count = call.arguments
    data = call.deeds.brings(handle, buffer, count)
    call.machine.write(buffer, data)
    return len(data)


def _fread(call: Invocation) -> int:
    buffer, size, count, handle = call.arguments
    data = call.deeds.brings(handle, buffer, size * count)
    call.machine.write(buffer, data)
    return len(data) // size if size else 0


def _close(call: Invocation) -> int:
    call.deeds.handles.pop(call.arguments[0], None)
    return 0 if call.function.name in ("fclose", "_lclose", "NtClose") else 1


def _delete(call: Invocation) -> int:
    call.note(Touches("deletes", call.text(0)))
    return 1


def _move(call: Invocation) -> int:
    call.note(Touches("copies to" if "Copy" in call.function.name else "moves to", call.text(1)))
    return 1


def _attributes(call: Invocation) -> int:
    call.note(Touches("changes the attributes of", call.text(0)))
    return 1


def _create_pipe(call: Invocation) -> int:
    for argument in call.arguments[:2]:
        call.machine.put_word(argument, call.deeds.open(Handle("pipe")))
    return 1


def _peek_pipe(call: Invocation) -> int:
    # Nothing waits in it: the code turns to its connection.
    for argument in call.arguments[3:5]:
        if argument:
            call.machine.write(argument, bytes(4))
    return 1


def _set_std_handle(call: Invocation) -> int:
    handle = call.deeds.handles.get(call.arguments[1])
    if handle is not None and handle.sort == "socket":
        call.deeds.standard = handle
    return 1


def _duplicate(call: Invocation) -> int:
    source, out = call.arguments[1], call.arguments[3]
    call.machine.put_word(out, source)
    return 1


HANDLERS = {
    "CreateFile": _create_file, "_lcreat": _lopen, "_lopen": _lopen, "fopen": _fopen, "WriteFile": _write_file,
    "_lwrite": _lwrite, "_hwrite": _lwrite, "fwrite": _fwrite, "fputs": _fputs, "ReadFile": _read_file,
    "_lread": _lread, "fread": _fread, "CloseHandle": _close, "_lclose": _close, "fclose": _close, "NtClose": _close,
    "DeleteFile": _delete, "remove": _delete, "MoveFile": _move, "MoveFileEx": _move, "CopyFile": _move,
    "SetFileAttributes": _attributes, "CreatePipe": _create_pipe, "PeekNamedPipe": _peek_pipe,
    "SetStdHandle": _set_std_handle, "DuplicateHandle": _duplicate,
    "SetFilePointer": lambda call: call.arguments[1], "_llseek": lambda call: call.arguments[1],
    "GetFileSize": lambda _: _FILE_BYTES, "GetFileAttributes": lambda _: 0x20, "FindFirstFile": lambda _: _INVALID,
    "GetStdHandle": lambda _: 3,
}  # fmt: skip
