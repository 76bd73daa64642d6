"""The functions that shellcodes call, as data: module, name, arguments. What is not here cannot be found by a code.

A line is `name arguments`, an argument one letter; their number is what a stdcall function takes off the stack:

    s text   w UTF-16 text   a socket address (its length follows)   p pointer   h handle   i number

From Microsoft's reference of each function. Those of msvcrt are cdecl: the caller cleans up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Function:
    """One export. `plain` is its name without the A or W that says how its texts are coded."""

    module: str
    name: str
    arguments: str
    cdecl: bool

    @property
    def plain(self) -> str:
        """Return the name under which its handler stands."""
        return self.name[:-1] if self.name[-1] in "AW" and self.name[-2].islower() else self.name


# For `NameA/W xsi` two functions stand there: s is w in the second.
_EXPORTS = {
    "kernel32.dll": """
        AllocConsole -; Beep ii; CloseHandle h; ConnectNamedPipe hp; CopyFileA/W ssi; CreateDirectoryA/W sp
        CreateEventA/W piis; CreateFileA/W siipiih; CreateFileMappingA/W hpiiis; CreateMutexA/W pis
        CreateNamedPipeA/W siiiiiip; CreatePipe ppip; CreateProcessA/W ssppiipspp
        CreateProcessInternalA/W hssppiipsppp; CreateRemoteThread hpippip
        CreateThread pippip; CreateToolhelp32Snapshot ii; DeleteFileA/W s; DuplicateHandle hhhpiii
        EnterCriticalSection p; ExitProcess i; ExitThread i; ExpandEnvironmentStringsA/W spi; FatalAppExitA is
        FindClose h
        FindFirstFileA/W sp; FindNextFileA/W hp; FindResourceA/W hpp; FlushFileBuffers h
        FlushInstructionCache hpi; FreeConsole -; FreeLibrary h; FreeLibraryAndExitThread hi; GetACP -
        GetCommandLineA/W -; GetComputerNameA/W pp; GetConsoleWindow -; GetCurrentDirectoryA/W ip; GetCurrentProcess -
        GetCurrentProcessId -; GetCurrentThread -; GetCurrentThreadId -; GetEnvironmentVariableA/W spi
        GetExitCodeProcess hp; GetFileAttributesA/W s; GetFileSize hp; GetLastError -; GetLocalTime p
        GetModuleFileNameA/W hpi; GetModuleHandleA/W s; GetProcAddress hs; GetProcessHeap -; GetStartupInfoA/W p
        GetStdHandle i; GetSystemDirectoryA/W pi; GetSystemTime p; GetTempFileNameA/W ssip; GetTempPathA/W ip
        GetThreadContext hp; GetTickCount -; GetVersion -; GetVersionExA/W p; GetWindowsDirectoryA/W pi; GlobalAlloc ii
        GlobalFree p; HeapAlloc hii; HeapCreate iii; HeapFree hip; HeapReAlloc hipi; IsBadReadPtr pi
        IsDebuggerPresent -; IsWow64Process hp; LeaveCriticalSection p; LoadLibraryA/W s; LoadLibraryExA/W shi
        LoadModule sp; LocalAlloc ii; LocalFree p; MapViewOfFile hiiii; MoveFileA/W ss; MoveFileExA/W ssi
        GetFullPathNameA/W sipp; GetLogicalDriveStringsA/W ip; GetDriveTypeA/W s; GetNativeSystemInfo p; GetSystemInfo p
        GetVolumeInformationA/W spipppsi; GetUserDefaultLangID -; GetSystemDefaultLangID -; GetSystemTimeAsFileTime p
        GetModuleHandleExA/W isp; GetConsoleMode hp; SetConsoleMode hi; CreateWaitableTimerA/W pis; GetFileTime hppp
        InitializeCriticalSection p; DeleteCriticalSection p; InterlockedExchange pi; VirtualFreeEx hpii
        CreateRemoteThreadEx hpippipp; CreateProcessAsUserA/W hssppiipspp; CreateTimerQueueTimer pppiiii
        EnumSystemLocalesA/W pi; ConvertThreadToFiber p; CreateFiber ipp; SwitchToFiber p; GetStringTypeW iwip
        MultiByteToWideChar iisipi; OpenMutexA/W iis; OpenProcess iii; OpenThread iii; OutputDebugStringA/W s
        PeekNamedPipe hpippp; Process32First hp; Process32Next hp; QueueUserAPC php; ReadFile hpipp
        ReadProcessMemory hppip; ReleaseMutex h; ResumeThread h; RtlFillMemory pii; RtlMoveMemory ppi; RtlZeroMemory pi
        SetConsoleCtrlHandler pi; SetCurrentDirectoryA/W s; SetEndOfFile h; SetErrorMode i; SetEvent h
        SetFileAttributesA/W si; SetFilePointer hipi; SetHandleInformation hii; SetLastError i; SetPriorityClass hi
        SetStdHandle ih; SetThreadContext hp; SetThreadPriority hi; SetUnhandledExceptionFilter p; Sleep i
        SleepEx ii; SuspendThread h; TerminateProcess hi; TerminateThread hi; UnhandledExceptionFilter p
        UnmapViewOfFile p; VirtualAlloc piii; VirtualAllocEx hpiii; VirtualFree pii; VirtualProtect piip
        VirtualProtectEx hpiip; VirtualQuery ppi; WaitForMultipleObjects ipii; WaitForSingleObject hi
        WideCharToMultiByte iiwipipp; WinExec si; WriteFile hpipp; WriteProcessMemory hppip; _hwrite hpi; _lclose h
        _lcreat si; _llseek hii; _lopen si; _lread hpi; _lwrite hpi; lstrcatA/W ps; lstrcmpA/W ss; lstrcmpiA/W ss
        lstrcpyA/W ps; lstrcpynA/W psi; lstrlenA/W s""",
    "ntdll.dll": """
        NtCreateThreadEx pipppiiiiip; NtDelayExecution ip; NtOpenProcess pipp; NtQueueApcThread hpppp
        NtQueryInformationProcess hipip; NtReadVirtualMemory hppip; NtResumeThread hp; NtUnmapViewOfSection hp
        RtlAdjustPrivilege iiip; RtlCreateUserThread hpiiiipppp; RtlInitUnicodeString pw; NtRaiseHardError iiipip
        LdrGetProcedureAddress hpip; LdrLoadDll pppp; LdrShutdownThread -; NtAllocateVirtualMemory hpipii; NtClose h
        NtProtectVirtualMemory hppip; NtTerminateProcess hi; NtTerminateThread hi; NtWriteVirtualMemory hppip
        RtlCreateHeap ippppp; RtlAllocateHeap hii; RtlEnterCriticalSection p; RtlExitUserProcess i; RtlExitUserThread i
        RtlFreeHeap hip; RtlGetLastWin32Error -; RtlLeaveCriticalSection p; RtlMoveMemory ppi; RtlZeroMemory pi
        ZwAllocateVirtualMemory hpipii; ZwProtectVirtualMemory hppip; ZwTerminateProcess hi; ZwYieldExecution -""",
    "ws2_32.dll": """
        WSAAccept hapii; WSACleanup -; WSAConnect haipppp; WSAEventSelect hpi; WSAGetLastError -; WSAIoctl hipipippp
        WSARecv hpipppp; WSASend hpipipp; WSASocketA/W iiipii; WSAStartup ip; __WSAFDIsSet hp; accept hpp; bind hai
        closesocket h; connect hai; freeaddrinfo p; getaddrinfo sspp; gethostbyname s; gethostname pi; getpeername hpp
        getsockname hpp; getsockopt hiipp; htonl i; htons i; inet_addr s; inet_ntoa i; ioctlsocket hip; listen hi
        ntohl i; ntohs i; recv hpii; recvfrom hpiipp; select ipppp; send hpii; sendto hpiiai; setsockopt hiipi
        shutdown hi; socket iii""",
    "urlmon.dll": """
        ObtainUserAgentString ipp; URLDownloadToCacheFileA/W pspiip; URLDownloadToFileA/W pssip
        URLOpenBlockingStreamA/W pspip""",
    "wininet.dll": """
        DeleteUrlCacheEntryA/W s; FtpGetFileA/W hssiiip; FtpPutFileA/W hssip; HttpOpenRequestA/W hssssiip
        HttpQueryInfoA/W hippp; HttpSendRequestA/W hsipi; InternetCloseHandle h; InternetConnectA/W hsissiip
        InternetGetConnectedState pi; InternetOpenA/W sissi; InternetOpenUrlA/W hssiip; InternetQueryDataAvailable hpip
        InternetQueryOptionA/W hipp; InternetReadFile hpip; InternetSetOptionA/W hipi""",
    "winhttp.dll": """
        WinHttpCloseHandle h; WinHttpConnect hwii; WinHttpOpen wiwwi; WinHttpOpenRequest hwwwwpi
        WinHttpQueryDataAvailable hp; WinHttpReadData hpip; WinHttpReceiveResponse hp; WinHttpSendRequest hwipiip
        WinHttpSetOption hipi""",
    "msvcrt.dll": """
        _exit i; _execv sp; _snprintf pis; atoi s; calloc ii; exit i; fclose h; fflush h; fopen ss; fputs sh; fread piih
        free p; fwrite piih; getenv s; malloc i; memcpy ppi; memmove ppi; memset pii; printf s; rand -; realloc pi
        remove s; sprintf pss; srand i; strcat ps; strchr si; strcmp ss; strcpy ps; strlen s; strncpy psi; strstr ss
        system s; time p""",
    "shell32.dll": """
        IsUserAnAdmin -; SHGetFolderPathA/W hihip; SHGetSpecialFolderPathA/W hpii; ShellExecuteA/W hssssi
        ShellExecuteExA/W p""",
    "advapi32.dll": """
        AdjustTokenPrivileges hipipp; CloseServiceHandle h; ControlService hip; CreateServiceA/W hssiiiississ
        DeleteService h; GetUserNameA/W pp; ImpersonateLoggedOnUser h; LookupPrivilegeValueA/W ssp
        OpenProcessToken hip; OpenSCManagerA/W ssi; OpenServiceA/W hsi; RegCloseKey h; RegCreateKeyA/W hsp
        RegCreateKeyExA/W hsisiippp; RegDeleteKeyA/W hs; RegDeleteValueA/W hs; RegOpenKeyA/W hsp
        RegOpenKeyExA/W hsiip; RegQueryValueExA/W hspppp; RegSetValueA/W hsisi; RegSetValueExA/W hsiipi
        RevertToSelf -; StartServiceA/W hip""",
    "user32.dll": """
        CallNextHookEx hipp; DispatchMessageA/W p; GetAsyncKeyState i; GetDesktopWindow -; GetKeyState i
        GetKeyboardState p; GetMessageA/W phii; GetWindowTextA/W hpi; LockWorkStation -; PeekMessageA/W phiii
        PostMessageA/W hipp; SendMessageA/W hipp; SetWindowsHookExA/W iphi; SwapMouseButton i;
        SystemParametersInfoA/W iipi
        TranslateMessage p; UnhookWindowsHookEx h; EnumWindows pp; BlockInput i; MessageBoxExA/W hssii
        ExitWindowsEx ii; FindWindowA/W ss; GetForegroundWindow -; GetWindowThreadProcessId hp; MessageBeep i
        MessageBoxA/W hssi; ShowWindow hi; wsprintfA/W pss""",
    "netapi32.dll": "NetLocalGroupAddMembers wwipi; NetUserAdd wipp",
    "ole32.dll": "CoInitialize p; CoInitializeEx pi; CoUninitialize -",
}  # fmt: skip
_CDECL = {"msvcrt.dll"}
_CDECL_TOO = {"wsprintfA", "wsprintfW"}
# Where they lay on Windows XP without its later address randomisation; codes of the time carry such addresses.
BASES = {
    "ntdll.dll": 0x7C90_0000, "kernel32.dll": 0x7C80_0000, "advapi32.dll": 0x77DD_0000, "msvcrt.dll": 0x77C1_0000,
    "user32.dll": 0x7E41_0000, "ws2_32.dll": 0x71AB_0000, "shell32.dll": 0x7C9C_0000, "wininet.dll": 0x7719_0000,
    "urlmon.dll": 0x7E20_0000, "winhttp.dll": 0x4D4F_0000, "netapi32.dll": 0x5B86_0000, "ole32.dll": 0x774E_0000,
}  # fmt: skip
# Ordinals under which WS2_32's functions are asked for; those of the others count from 1.
ORDINALS = {
    1: "accept", 2: "bind", 3: "closesocket", 4: "connect", 8: "htonl", 9: "htons", 10: "ioctlsocket",
    11: "inet_addr", 13: "listen", 16: "recv", 18: "select", 19: "send", 20: "sendto", 21: "setsockopt",
    23: "socket", 52: "gethostbyname", 57: "gethostname", 111: "WSAGetLastError", 115: "WSAStartup",
}  # fmt: skip
# Places in the import table of a module that was never relocated, through which a worm calls: SQL Server's sqlsort.dll,
# whose functions MS SQL Slammer (2003) uses.
IMPORT_SLOTS = {0x42AE_1010: "GetProcAddress", 0x42AE_1018: "LoadLibraryA", 0x42AE_101C: "GetProcAddress"}
# Where they lay on Windows XP with service packs 2 and 3, for codes that look nothing up: there is no more to know of
# such an address than which it is.
FIXED = {
    0x7C80_1D77: ("kernel32.dll", "LoadLibraryA"), 0x7C80_1D7B: ("kernel32.dll", "LoadLibraryA"),
    0x7C80_AC28: ("kernel32.dll", "GetProcAddress"), 0x7C80_AE30: ("kernel32.dll", "GetProcAddress"),
    0x7C80_AE40: ("kernel32.dll", "GetProcAddress"), 0x7C80_2442: ("kernel32.dll", "Sleep"),
    0x7C80_2446: ("kernel32.dll", "Sleep"), 0x7C83_7A8F: ("kernel32.dll", "Beep"),
    0x7C81_CAA2: ("kernel32.dll", "ExitProcess"), 0x7C81_CAFA: ("kernel32.dll", "ExitProcess"),
    0x7C81_CB12: ("kernel32.dll", "ExitProcess"), 0x7C81_CDDA: ("kernel32.dll", "ExitProcess"),
    0x7C81_CDEA: ("kernel32.dll", "ExitProcess"), 0x7C86_114D: ("kernel32.dll", "WinExec"),
    0x7C86_136D: ("kernel32.dll", "WinExec"), 0x7C86_158D: ("kernel32.dll", "WinExec"),
    0x7C86_23AD: ("kernel32.dll", "WinExec"), 0x7C86_250D: ("kernel32.dll", "WinExec"),
    0x7C86_2AED: ("kernel32.dll", "WinExec"), 0x77BF_93C7: ("msvcrt.dll", "system"),
    0x77C1_93C7: ("msvcrt.dll", "system"), 0x77C2_93C7: ("msvcrt.dll", "system"),
    0x7E45_07EA: ("user32.dll", "MessageBoxA"),
}  # fmt: skip
# Numbers in kernel32's table of addresses since Windows 7, which codes for one version alone count on.
NUMBERED = {0x24A: "GetProcAddress", 0x33F: "LoadLibraryA", 0x340: "LoadLibraryA", 0x527: "WinExec"}


@cache
def exports() -> dict[str, tuple[Function, ...]]:
    """Return every module's functions, sorted by name as the linker sorts them."""
    return {module: tuple(sorted(_read(module, text), key=lambda f: f.name)) for module, text in _EXPORTS.items()}


def _read(module: str, text: str) -> list[Function]:
    found = []
    for entry in text.replace("\n", ";").split(";"):
        if not entry.strip():
            continue
        name, arguments = entry.split()
        arguments = arguments.strip("-")
        first, both, _ = name.partition("/W")
        found.append(Function(module, first, arguments, module in _CDECL or first in _CDECL_TOO))
        if both:
            wide = first[:-1] + "W"
            found.append(Function(module, wide, arguments.replace("s", "w"), module in _CDECL or wide in _CDECL_TOO))
    return found
