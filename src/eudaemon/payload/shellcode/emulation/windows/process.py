"""kernel32, ntdll and msvcrt: modules, memory, text, processes, threads, and how a code ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from eudaemon.payload.shellcode.behaviour import Touches
from eudaemon.payload.shellcode.emulation.windows.functions import ORDINALS

if TYPE_CHECKING:
    from eudaemon.payload.shellcode.emulation.windows.system import Invocation

_CURRENT = -1
_USE_STD_HANDLES = 0x100
_INFINITE = 0xFFFF_FFFF
_THREAD, _PROCESS, _OTHER = 0x2C4, 0x2C8, 0x2CC  # handles that nobody asks about again
_PATHS = {"GetSystemDirectory": "C:\\WINDOWS\\system32", "GetWindowsDirectory": "C:\\WINDOWS"}
_VARIABLES = {"systemroot": "C:\\WINDOWS", "windir": "C:\\WINDOWS", "comspec": "C:\\WINDOWS\\system32\\cmd.exe",
              "temp": "C:\\WINDOWS\\TEMP", "tmp": "C:\\WINDOWS\\TEMP",
              "appdata": "C:\\Documents and Settings\\All Users", "public": "C:\\Users\\Public"}  # fmt: skip


def _load_library(call: Invocation) -> int:
    return call.system.module(call.text(0))


def _get_proc_address(call: Invocation) -> int:
    base, name = call.arguments
    text = ORDINALS.get(name, "") if name <= 0xFFFF else call.machine.text(name)
    return call.system.function(base, text)


def _ldr_load_dll(call: Invocation) -> int:
    _, _, name, out = call.arguments
    text = call.machine.wide_text(call.machine.word(name + call.machine.cpu.word_bytes))
    call.machine.put_word(out, call.system.module(text))
    return 0


def _ldr_get_procedure(call: Invocation) -> int:
    base, name, _, out = call.arguments
    text = call.machine.text(call.machine.word(name + call.machine.cpu.word_bytes))
    call.machine.put_word(out, call.system.function(base, text))
    return 0


def _path(call: Invocation) -> int:
    return call.give_text(call.arguments[0], _PATHS[call.function.plain])


def _temp_path(call: Invocation) -> int:
    return call.give_text(call.arguments[1], "C:\\WINDOWS\\TEMP\\")


def _temp_file_name(call: Invocation) -> int:
    folder = call.text(0).rstrip("\\")
    call.give_text(call.arguments[3], f"{folder}\\{call.text(1)[:3]}1A2B.tmp")
    return 0x1A2B


def _module_file_name(call: Invocation) -> int:
    return call.give_text(call.arguments[1], "C:\\WINDOWS\\system32\\services.exe")


def _environment_variable(call: Invocation) -> int:
    value = _VARIABLES.get(call.text(0).lower(), "")
    return call.give_text(call.arguments[1], value) if value else 0


def _expanded(call: Invocation) -> int:
    text = call.text(0)
    for name, value in _VARIABLES.items():
        at = text.lower().find(f"%{name}%")
        if at >= 0:
            text = text[:at] + value + text[at + len(name) + 2 :]
    return call.give_text(call.arguments[1], text[: max(call.arguments[2] - 1, 0)]) + 1


def _allocate(size: int, near: int = -1) -> Callable[[Invocation], int]:
    def handle(call: Invocation) -> int:
        return call.machine.allocate(call.arguments[size], call.arguments[near] if near >= 0 else 0)

    return handle


def _nt_allocate(call: Invocation) -> int:
    _, base, _, size, *_ = call.arguments
    call.machine.put_word(base, call.machine.allocate(call.machine.word(size), call.machine.word(base)))
    return 0


def _virtual_protect(call: Invocation) -> int:
    call.machine.write(call.arguments[-1], (0x40).to_bytes(4, "little"))
    return 1


def _write_memory(call: Invocation) -> int:
    process, to, source, count, written = call.arguments
    call.machine.write(to, call.machine.read(source, count))
    call.machine.put_word(written, count)
    if process not in (0xFFFF_FFFF, (1 << 64) - 1):
        call.note(Touches("writes into", "another process's memory"))
    return 1


def _copy(call: Invocation) -> int:
    to, source, count = call.arguments
    call.machine.write(to, call.machine.read(source, count))
    return to


def _fill(call: Invocation) -> int:
    to, value, count = call.arguments
    if call.function.name == "RtlFillMemory":
        value, count = count, value
    call.machine.write(to, bytes([value & 0xFF]) * min(count, call.machine.limits.allocation_bytes_max))
    return to


def _zero(call: Invocation) -> int:
    to, count = call.arguments
    call.machine.write(to, bytes(min(count, call.machine.limits.allocation_bytes_max)))
    return 1


def _length(call: Invocation) -> int:
    return len(call.text(0))


def _string_copy(call: Invocation) -> int:
    call.give_text(call.arguments[0], call.text(1))
    return call.arguments[0]


def _append(call: Invocation) -> int:
    wide = call.function.arguments[1] == "w"
    machine, to = call.machine, call.arguments[0]
    already = len(machine.wide_text(to)) * 2 if wide else len(machine.text(to))
    call.give_text(to + already, call.text(1))
    return to


def _compare(call: Invocation) -> int:
    first, second = call.text(0), call.text(1)
    if call.function.plain == "lstrcmpi":
        first, second = first.lower(), second.lower()
    return 0 if first == second else 1


def _print_into(call: Invocation) -> int:
    """Format as `sprintf` does, with %s, %d, %u, %x and %c alone: what URLs and commands are made with."""
    at = 2 if call.function.name == "_snprintf" else 1
    form, used = call.machine.text(call.more(at)), at
    parts = form.split("%")
    out = parts[0]
    for part in parts[1:]:
        kind = part[:1]
        if kind not in ("s", "d", "u", "x", "c"):
            out += "%" + part
            continue
        used += 1
        value = call.more(used)
        out += {"s": call.machine.text(value) if kind == "s" else "", "x": f"{value:x}", "c": chr(value & 0xFF)}.get(
            kind, str(value)
        ) + part[1:]
    return call.give_text(call.arguments[0], out)


def _win_exec(call: Invocation) -> int:
    call.deeds.executes(call.text(0))
    return 33


def _system(call: Invocation) -> int:
    call.deeds.executes(call.text(0))
    return 0


def _create_process(call: Invocation) -> int:
    shift = 1 if "Internal" in call.function.name else 0
    application, line = call.text(shift), call.text(shift + 1)
    startup, information = call.arguments[shift + 8], call.arguments[shift + 9]
    machine, word = call.machine, call.machine.cpu.word_bytes
    # STARTUPINFO: dwFlags, then behind two short fields and one pointer the three standard handles.
    flags_at, handles_at = (0x2C, 0x38) if word == 4 else (0x3C, 0x50)
    flags = int.from_bytes(machine.read(startup + flags_at, 4), "little")
    handles = [machine.word(startup + handles_at + word * index) for index in range(3)]
    call.deeds.executes(line or application, *(handles if flags & _USE_STD_HANDLES else ()))
    machine.put_word(information, _PROCESS)
    machine.put_word(information + word, _THREAD)
    machine.write(information + 2 * word, (0x7D0).to_bytes(4, "little") + (0x7D4).to_bytes(4, "little"))
    return 1


def _shell_execute(call: Invocation) -> int:
    call.deeds.executes(" ".join(filter(None, (call.text(2), call.text(3)))))
    return 33


def _shell_execute_ex(call: Invocation) -> int:
    # SHELLEXECUTEINFO: lpVerb, lpFile and lpParameters stand behind three words and a window.
    machine, word = call.machine, call.machine.cpu.word_bytes
    at = call.arguments[0] + (16 if word == 4 else 24)
    read = machine.wide_text if call.function.name.endswith("W") else machine.text
    call.deeds.executes(" ".join(filter(None, (read(machine.word(at)), read(machine.word(at + word))))))
    return 1


def _create_service(call: Invocation) -> int:
    call.deeds.executes(call.text(7))
    return _OTHER


def _thread(start: int) -> Callable[[Invocation], int]:
    def handle(call: Invocation) -> int:
        remote = call.function.name == "CreateRemoteThread"
        if remote and call.arguments[0] not in (0xFFFF_FFFF, (1 << 64) - 1):
            call.note(Touches("starts a thread in", "another process"))
        if len(call.system.threads) < call.machine.limits.threads_max:
            call.system.threads.append((call.arguments[start], call.arguments[start + 1]))
        return _THREAD

    return handle


def _end(call: Invocation) -> int:
    call.machine.stop(f"exits ({call.function.name})")
    return 0


def _terminate(call: Invocation) -> int:
    if call.arguments[0] in (0, 0xFFFF_FFFF, (1 << 64) - 1, 0xFFFF_FFFE):
        call.machine.stop(f"exits ({call.function.name})")
    return 1


def _wait(call: Invocation) -> int:
    if call.system.threads and call.arguments[-1] == _INFINITE:
        call.machine.stop("waits for its threads")
    return 0


def _sleep(call: Invocation) -> int:
    if call.arguments[0] >= 0x7FFF_FFFF:
        call.machine.stop("sleeps for ever")
    return 0


def _constant(value: int) -> Callable[[Invocation], int]:
    return lambda _: value


def _version(call: Invocation) -> int:
    # OSVERSIONINFO: size, major, minor, build, platform: Windows XP.
    call.machine.write(call.arguments[0] + 4, b"".join(n.to_bytes(4, "little") for n in (5, 1, 2600, 2)))
    return 1


def _registry(call: Invocation) -> int:
    if call.function.plain in ("RegOpenKeyEx", "RegOpenKey", "RegCreateKey", "RegCreateKeyEx"):
        call.note(Touches("opens the registry key", call.text(1)))
        call.machine.put_word(call.arguments[-1 if call.function.plain != "RegCreateKeyEx" else 7], _OTHER)
    else:
        call.note(Touches("changes the registry value", call.text(1)))
    return 0


def _add_user(call: Invocation) -> int:
    # USER_INFO_1 and LOCALGROUP_MEMBERS_INFO_3 begin with the name.
    name = call.machine.wide_text(call.machine.word(call.arguments[-2 if call.function.name == "NetUserAdd" else 3]))
    call.note(Touches("adds the user", name))
    return 0


HANDLERS = {
    "LoadLibrary": _load_library, "LoadLibraryEx": _load_library, "GetModuleHandle": _load_library,
    "GetProcAddress": _get_proc_address, "LdrLoadDll": _ldr_load_dll, "LdrGetProcedureAddress": _ldr_get_procedure,
    "GetSystemDirectory": _path, "GetWindowsDirectory": _path, "GetTempPath": _temp_path,
    "GetTempFileName": _temp_file_name, "GetModuleFileName": _module_file_name,
    "GetEnvironmentVariable": _environment_variable, "ExpandEnvironmentStrings": _expanded,
    "VirtualAlloc": _allocate(1, 0), "VirtualAllocEx": _allocate(2, 1), "GlobalAlloc": _allocate(1),
    "LocalAlloc": _allocate(1), "HeapAlloc": _allocate(2), "RtlAllocateHeap": _allocate(2), "malloc": _allocate(0),
    "HeapReAlloc": _allocate(3), "realloc": _allocate(1), "calloc": _allocate(1),
    "NtAllocateVirtualMemory": _nt_allocate, "ZwAllocateVirtualMemory": _nt_allocate,
    "VirtualProtect": _virtual_protect, "VirtualProtectEx": _virtual_protect,
    "NtProtectVirtualMemory": _constant(0), "ZwProtectVirtualMemory": _constant(0),
    "WriteProcessMemory": _write_memory, "NtWriteVirtualMemory": _write_memory,
    "RtlMoveMemory": _copy, "memcpy": _copy, "memmove": _copy, "memset": _fill, "RtlFillMemory": _fill,
    "RtlZeroMemory": _zero, "lstrlen": _length, "strlen": _length, "lstrcpy": _string_copy, "strcpy": _string_copy,
    "lstrcpyn": _string_copy, "strncpy": _string_copy, "lstrcat": _append, "strcat": _append,
    "lstrcmp": _compare, "lstrcmpi": _compare, "strcmp": _compare,
    "sprintf": _print_into, "wsprintf": _print_into, "_snprintf": _print_into,
    "WinExec": _win_exec, "LoadModule": _win_exec, "system": _system, "_execv": _system,
    "CreateProcess": _create_process, "CreateProcessInternal": _create_process,
    "ShellExecute": _shell_execute, "ShellExecuteEx": _shell_execute_ex, "CreateService": _create_service,
    "CreateThread": _thread(2), "CreateRemoteThread": _thread(3),
    "ExitProcess": _end, "ExitThread": _end, "exit": _end, "_exit": _end, "FatalAppExit": _end,
    "RtlExitUserProcess": _end, "RtlExitUserThread": _end, "LdrShutdownThread": _end, "NtTerminateThread": _end,
    "FreeLibraryAndExitThread": _end, "UnhandledExceptionFilter": _end,
    "TerminateProcess": _terminate, "NtTerminateProcess": _terminate, "ZwTerminateProcess": _terminate,
    "TerminateThread": _terminate, "ExitWindowsEx": _end,
    "WaitForSingleObject": _wait, "WaitForMultipleObjects": _constant(0), "Sleep": _sleep, "SleepEx": _sleep,
    "GetCurrentProcess": _constant(_CURRENT), "GetCurrentThread": _constant(-2),
    "GetCurrentProcessId": _constant(0x5A4), "GetCurrentThreadId": _constant(0x5A8),
    "GetTickCount": _constant(0x1C3B9A),
    "GetVersion": _constant(0x0A28_0105), "GetVersionEx": _version, "GetLastError": _constant(0),
    "IsDebuggerPresent": _constant(0), "GetProcessHeap": _constant(0x0014_0000), "HeapCreate": _constant(0x0014_0000),
    "IsBadReadPtr": _constant(0), "OpenProcess": _constant(_PROCESS), "OpenThread": _constant(_THREAD),
    "CreateMutex": _constant(_OTHER), "CreateEvent": _constant(_OTHER), "FindWindow": _constant(_OTHER),
    "SetUnhandledExceptionFilter": _constant(0), "CreateToolhelp32Snapshot": _constant(_OTHER),
    "Process32Next": _constant(0), "OpenSCManager": _constant(_OTHER), "OpenService": _constant(_OTHER),
    "RegOpenKey": _registry, "RegOpenKeyEx": _registry, "RegCreateKey": _registry, "RegCreateKeyEx": _registry,
    "RegSetValueEx": _registry, "RegSetValue": _registry, "RegDeleteValue": _registry, "RegDeleteKey": _registry,
    "RegCloseKey": _constant(0), "RegQueryValueEx": _constant(2),
    "NetUserAdd": _add_user, "NetLocalGroupAddMembers": _add_user, "CoInitialize": _constant(0),
    "CoInitializeEx": _constant(0), "rand": _constant(0x2A7C), "time": _constant(0x4630_0000),
}  # fmt: skip
