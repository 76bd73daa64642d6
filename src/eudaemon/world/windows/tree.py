"""The pretended Windows' file tree, built once from what the machine says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eudaemon.world.files import Directory, Fixed
from eudaemon.world.personas import words
from eudaemon.world.rootfs import Tree

if TYPE_CHECKING:
    from eudaemon.world.windows.machine import Windows

WRITABLE = frozenset((b"/",))
SYSTEM32 = "/C/Windows/System32"
_DIRECTORIES = (
    "/C/inetpub/wwwroot", "/C/PerfLogs", "/C/Program Files/Common Files", "/C/Program Files/Internet Explorer",
    "/C/Program Files (x86)/Common Files", "/C/ProgramData/Microsoft/Windows/Start Menu/Programs/Startup",
    "/C/Users/Default", "/C/Users/Public/Documents", "/C/Users/Public/Downloads", "/C/Users/Public/Music",
    "/C/Users/Public/Pictures", "/C/Windows/Temp", "/C/Windows/Tasks", "/C/Windows/Fonts", "/C/Windows/inf",
    "/C/Windows/System", "/C/Windows/SysWOW64", "/C/Windows/debug", "/C/Windows/Help", "/C/Windows/Media",
    f"{SYSTEM32}/config/systemprofile/AppData/Local/Temp", f"{SYSTEM32}/config/systemprofile/AppData/Roaming",
    f"{SYSTEM32}/drivers/etc", f"{SYSTEM32}/wbem", f"{SYSTEM32}/Tasks", f"{SYSTEM32}/WindowsPowerShell/v1.0",
)  # fmt: skip
SERVICE_PROFILE = "MSSQLSERVER"  # what services that have an account of their own have for their files
_OF_A_USER = ("AppData/Local/Temp", "AppData/Roaming/Microsoft/Windows/Start Menu/Programs/Startup", "Desktop",
              "Documents", "Downloads")  # fmt: skip
_PROGRAMS = words(
    "arp.exe at.exe attrib.exe bcdedit.exe bitsadmin.exe cacls.exe calc.exe certutil.exe chkdsk.exe cipher.exe "
    "cmd.exe cmstp.exe control.exe cscript.exe csrss.exe dllhost.exe expand.exe explorer.exe extrac32.exe fc.exe "
    "find.exe findstr.exe forfiles.exe ftp.exe fsutil.exe getmac.exe hostname.exe icacls.exe ipconfig.exe lsass.exe "
    "makecab.exe mmc.exe more.com mshta.exe msiexec.exe mstsc.exe nbtstat.exe net.exe net1.exe netsh.exe netstat.exe "
    "notepad.exe nslookup.exe odbcconf.exe ping.exe powercfg.exe quser.exe query.exe reg.exe regedt32.exe "
    "regsvr32.exe robocopy.exe route.exe rundll32.exe sc.exe schtasks.exe services.exe shutdown.exe smss.exe sort.exe "
    "spoolsv.exe svchost.exe systeminfo.exe takeown.exe taskhost.exe taskkill.exe tasklist.exe taskmgr.exe tftp.exe "
    "timeout.exe tracert.exe tree.com vssadmin.exe wbadmin.exe wevtutil.exe where.exe whoami.exe wininit.exe "
    "winlogon.exe wscript.exe xcopy.exe"
)
_LIBRARIES = words(
    "advapi32.dll crypt32.dll gdi32.dll kernel32.dll msvcrt.dll mshtml.dll ntdll.dll ole32.dll oleaut32.dll rpcrt4.dll "
    "scrobj.dll shell32.dll shlwapi.dll url.dll urlmon.dll user32.dll wininet.dll winhttp.dll ws2_32.dll zipfldr.dll "
    "comsvcs.dll"
)
_ONLY_NEW = frozenset(("curl.exe", "tar.exe"))  # since Windows 10 1803
_DOWNLOADERS = frozenset(("tftp.exe", "ftp.exe", "bitsadmin.exe", "curl.exe"))
_HOSTS = (
    b"# Copyright (c) 1993-2009 Microsoft Corp.\r\n#\r\n# This is a sample HOSTS file used by Microsoft TCP/IP for "
    b"Windows.\r\n#\r\n# localhost name resolution is handled within DNS itself.\r\n"
    b"#\t127.0.0.1       localhost\r\n#\t::1             localhost\r\n"
)
_IMAGE_BYTES_MIN = 9 * 1024


class Image(Fixed):
    """A program or library of Windows. Its content is made when somebody reads it."""

    __slots__ = ("size",)

    def __init__(self, machine: Windows, name: str, mtime_s: float) -> None:
        seed = machine.seed.child(f"image {name}")
        self.size = _IMAGE_BYTES_MIN + 512 * seed.number("size", 600)
        super().__init__(lambda _at_s: image(seed.bytes("code", self.size)), 0o755, mtime_s)


def image(code: bytes) -> bytes:
    """Return bytes that begin as a 64-bit program of Windows does, and run nowhere. PE/COFF section 2 and 3."""
    head = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8".ljust(60, b"\0") + b"\x80\0\0\0"
    head += b"\x0e\x1f\xba\x0e\0\xb4\x09\xcd\x21\xb8\x01\x4c\xcd\x21This program cannot be run in DOS mode.\r\r\n$"
    return head.ljust(128, b"\0") + b"PE\0\0\x64\x86\x05\0" + code[136:]


def has_program(machine: Windows, name: str) -> bool:
    """Say whether a program of System32, given in lower case with its ending, is there."""
    if name in _ONLY_NEW and not machine.release.version.startswith("10.0.19"):
        return False
    return machine.downloads or name not in _DOWNLOADERS


def build(machine: Windows) -> Directory:
    """Return the root of the tree."""
    made_s = machine.installed_s
    tree = Tree(made_s)
    for path in _DIRECTORIES:
        tree.put(path, Directory(mtime_s=made_s))
    for user in (*machine.profiles, SERVICE_PROFILE):
        for path in _OF_A_USER:
            tree.put(f"/C/Users/{user}/{path}", Directory(mtime_s=made_s))
    for name in (*_PROGRAMS, *_LIBRARIES, *sorted(_ONLY_NEW)):
        if has_program(machine, name):
            tree.put(f"{SYSTEM32}/{name}", Image(machine, name, made_s))
    for path in ("wbem/wmic.exe", "WindowsPowerShell/v1.0/powershell.exe"):
        tree.put(f"{SYSTEM32}/{path}", Image(machine, path, made_s))
    for name in ("explorer.exe", "notepad.exe", "regedit.exe", "hh.exe", "write.exe"):
        tree.put(f"/C/Windows/{name}", Image(machine, name, made_s))
    tree.put("/C/Program Files/Internet Explorer/iexplore.exe", Image(machine, "iexplore.exe", made_s))
    if machine.release.version.startswith("6.1"):
        tree.put(f"{SYSTEM32}/debug.exe", Image(machine, "debug.exe", made_s))
    tree.put(f"{SYSTEM32}/drivers/etc/hosts", Fixed(_HOSTS, 0o644, made_s))
    tree.put(f"{SYSTEM32}/drivers/etc/services", Fixed(b"", 0o644, made_s))
    tree.put("/C/Windows/win.ini", Fixed(b"; for 16-bit app support\r\n[fonts]\r\n[extensions]\r\n[mci extensions]\r\n"
                                         b"[files]\r\n[Mail]\r\nMAPI=1\r\n", 0o644, made_s))  # fmt: skip
    tree.put("/C/Windows/System.ini", Fixed(b"; for 16-bit app support\r\n[386Enh]\r\nwoafont=dosapp.fon\r\n", 0o644,
                                            made_s))  # fmt: skip
    return tree.root
