r"""The pretended registry: what a Windows of this release says of itself, and what a client has changed in it.

    Registry.find("HKEY_LOCAL_MACHINE\\Software\\Microsoft") --> the key, as it is written; None if there is none
    Registry.keys(key), Registry.values(key)                 --> what is in it

A value is a number for its type (MS-RRP 3.1.1.5) and its bytes. Names are found without regard to capitals.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TypeAlias

from eudaemon.wire import Purse
from eudaemon.world.windows.machine import SERVICES, Windows

SZ, EXPAND_SZ, BINARY, DWORD, MULTI_SZ, QWORD = 1, 2, 3, 4, 7, 11
TYPES = {0: "REG_NONE", SZ: "REG_SZ", EXPAND_SZ: "REG_EXPAND_SZ", BINARY: "REG_BINARY", DWORD: "REG_DWORD",
         5: "REG_DWORD_BIG_ENDIAN", 6: "REG_LINK", MULTI_SZ: "REG_MULTI_SZ", QWORD: "REG_QWORD"}  # fmt: skip
CHANGES_MAX = 256  # keys and values of one client
CHANGE_BYTES_MAX = 16 * 1024  # of one value
NAME_CHARS_MAX = 255
_ENTRY_BYTES = 128  # what a change costs besides
# What is run from a value: when somebody logs in, or when another program is started.
RUN_AT = ("\\currentversion\\run", "\\currentversion\\runonce", "\\winlogon", "\\image file execution options")
Value: TypeAlias = "tuple[int, bytes]"
Values: TypeAlias = "dict[str, Value]"
_Said: TypeAlias = "str | int | bytes | tuple[str, ...]"

_NT = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"
_WINDOWS = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion"
_CONTROL = "HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Control"
_SERVICES = "HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services"
_HARDWARE = "HKEY_LOCAL_MACHINE\\HARDWARE\\DESCRIPTION\\System"
_SHELL_FOLDERS = {"Desktop": "Desktop", "Personal": "Documents", "AppData": "AppData\\Roaming",
                  "Startup": "AppData\\Roaming\\Microsoft\\Windows\\Start Menu\\Programs\\Startup"}  # fmt: skip
_BOOT_KEY = ("JD", "Skew1", "GBG", "Data")
LOCAL_MACHINE, USERS, CLASSES = "HKEY_LOCAL_MACHINE", "HKEY_USERS", "HKEY_CLASSES_ROOT"
DENIED = ("hkey_local_machine\\sam\\sam", "hkey_local_machine\\security")  # but to the system itself


def value(said: _Said) -> Value:
    """Return a value of the type that belongs to what is said: text that names a variable expands."""
    match said:
        case int():
            return DWORD, struct.pack("<I", said)
        case bytes():
            return BINARY, said
        case tuple():
            return MULTI_SZ, "".join(f"{text}\0" for text in (*said, "")).encode("utf-16-le")
        case _:
            return EXPAND_SZ if "%" in said else SZ, f"{said}\0".encode("utf-16-le")


def shown(held: Value) -> str:
    """Return a value as reg.exe prints it."""
    kind, data = held
    if kind in (SZ, EXPAND_SZ):
        return data.decode("utf-16-le", "replace").rstrip("\0")
    if kind == MULTI_SZ:
        return data.decode("utf-16-le", "replace").rstrip("\0").replace("\0", "\\0")
    if kind in (DWORD, QWORD):
        return f"0x{int.from_bytes(data, 'little'):x}"
    return data.hex().upper()


class Registry:
    """One client's view. What it changes is taken from `purse`."""

    __slots__ = ("_changed", "_keys", "_machine", "_purse")

    def __init__(self, machine: Windows, purse: Purse) -> None:
        self._machine = machine
        self._keys = _built(machine)
        self._purse = purse
        self._changed: dict[str, tuple[str, Values] | None] = {}  # by the key in small letters; None is gone

    def _at(self, key: str) -> tuple[str, Values] | None:
        low = key.lower()
        return self._changed[low] if low in self._changed else self._keys.get(low)

    def find(self, key: str) -> str | None:
        """Return a key as it is written, None if there is none."""
        found = self._at(key)
        return found[0] if found is not None else None

    def keys(self, key: str) -> list[str]:
        """Return the names of the keys in a key."""
        start = key.lower() + "\\"
        names = {
            low: row[0][len(start) :]
            for low, row in (*self._keys.items(), *self._changed.items())
            if row is not None and low.startswith(start) and "\\" not in low[len(start) :]
        }
        return [name for low, name in sorted(names.items()) if self._at(low) is not None]

    def values(self, key: str) -> Values:
        """Return the values in a key."""
        found = self._at(key)
        return found[1] if found is not None else {}

    def value(self, key: str, name: str) -> Value | None:
        """Return a value, None if there is none."""
        return next((held for there, held in self.values(key).items() if there.lower() == name.lower()), None)

    def class_of(self, key: str) -> str:
        """Return a key's class: empty but for the four in whose classes the boot key is hidden."""
        place, _, name = key.lower().rpartition("\\")
        if place != f"{_CONTROL}\\Lsa".lower() or name not in (one.lower() for one in _BOOT_KEY):
            return ""
        return self._machine.seed.bytes(f"class {name}", 4).hex()

    def create(self, key: str) -> bool:
        """Make a key, and those above it; say whether there was room for it."""
        if self._at(key) is not None:
            return True
        above = key.rpartition("\\")[0]
        if above and not self.create(above):
            return False
        return self._pay(len(key)) and self._change(key, (key, {}))

    def put(self, key: str, name: str, held: Value) -> bool:
        """Write a value; say whether there was room for it."""
        if len(held[1]) > CHANGE_BYTES_MAX or not self.create(key) or not self._pay(len(name) + len(held[1])):
            return False
        values = {there: one for there, one in self.values(key).items() if there.lower() != name.lower()}
        return self._change(key, (self.find(key) or key, {**values, name: held}))

    def remove_value(self, key: str, name: str) -> bool:
        """Remove a value; say whether it was there."""
        if self.value(key, name) is None:
            return False
        values = {there: one for there, one in self.values(key).items() if there.lower() != name.lower()}
        return self._change(key, (self.find(key) or key, values))

    def remove(self, key: str) -> bool:
        """Remove a key without keys in it; say whether that was done."""
        return self._at(key) is not None and not self.keys(key) and self._change(key, None)

    def _change(self, key: str, row: tuple[str, Values] | None) -> bool:
        low = key.lower()
        if low not in self._changed and (len(self._changed) >= CHANGES_MAX or not self._pay(len(key))):
            return False
        self._changed[low] = row
        return True

    def _pay(self, count: int) -> bool:
        return self._purse.take(_ENTRY_BYTES + 2 * count)


@lru_cache(maxsize=4)
def _built(machine: Windows) -> dict[str, tuple[str, Values]]:
    """Return all keys, by their names in small letters."""
    found: dict[str, tuple[str, Values]] = {}
    for key, values in _said(machine).items():
        for end in (at for at in range(len(key) + 1) if key[at : at + 1] in ("\\", "")):
            found.setdefault(key[:end].lower(), (key[:end], {}))
        found[key.lower()] = (key, {name: value(said) for name, said in values.items()})
    return found


def _said(machine: Windows) -> dict[str, dict[str, _Said]]:
    release, users = machine.release, f"{USERS}\\{machine.sid}-500"
    is_old = release.version.startswith("6.1")
    run: dict[str, _Said] = {}
    if machine.manufacturer.startswith("VMware"):
        run["VMware User Process"] = '"C:\\Program Files\\VMware\\VMware Tools\\vmtoolsd.exe" -n vmusr'
    return {
        "HKEY_LOCAL_MACHINE\\SAM\\SAM": {}, "HKEY_LOCAL_MACHINE\\SECURITY": {}, "HKEY_LOCAL_MACHINE\\BCD00000000": {},
        "HKEY_LOCAL_MACHINE\\SOFTWARE\\Classes": {}, "HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\Windows": {},
        "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\PowerShell\\1": {"Install": 1},
        _NT: {
            "CurrentVersion": "6.1" if is_old else "6.3", "CurrentBuild": release.build,
            "CurrentBuildNumber": release.build, "CurrentType": "Multiprocessor Free", "SoftwareType": "System",
            "InstallDate": int(machine.installed_s), "InstallationType": "Server" if release.server else "Client",
            "EditionID": "ServerStandard" if release.server else "Professional", "PathName": "C:\\Windows",
            "ProductName": release.name, "ProductId": machine.product_id, "RegisteredOwner": machine.owner,
            "RegisteredOrganization": "", "SystemRoot": "C:\\Windows",
            **({"CSDVersion": release.service_pack} if release.service_pack else {}),
            **({} if is_old or release.version.startswith("6.3") else {
                "CurrentMajorVersionNumber": 10, "CurrentMinorVersionNumber": 0}),
        },
        f"{_NT}\\Winlogon": {
            "AutoAdminLogon": "0", "DefaultDomainName": "", "DefaultUserName": machine.administrator,
            "LegalNoticeCaption": "", "LegalNoticeText": "", "Shell": "explorer.exe", "ShutdownWithoutLogon": "0",
            "Userinit": "C:\\Windows\\system32\\userinit.exe,",
        },
        f"{_NT}\\Image File Execution Options": {}, f"{_NT}\\ProfileList": {
            "Default": "%SystemDrive%\\Users\\Default", "ProfilesDirectory": "%SystemDrive%\\Users",
            "Public": "%SystemDrive%\\Users\\Public"},
        f"{_NT}\\ProfileList\\{machine.sid}-500": {"ProfileImagePath": f"C:\\Users\\{machine.administrator}"},
        _WINDOWS: {
            "CommonFilesDir": "C:\\Program Files\\Common Files", "DevicePath": "%SystemRoot%\\inf",
            "ProgramFilesDir": "C:\\Program Files", "ProgramFilesDir (x86)": "C:\\Program Files (x86)",
            "ProgramFilesPath": "%ProgramFiles%",
        },
        f"{_WINDOWS}\\Run": run, f"{_WINDOWS}\\RunOnce": {}, f"{_WINDOWS}\\Uninstall": {},
        f"{_WINDOWS}\\Policies\\System": {
            "ConsentPromptBehaviorAdmin": 5, "EnableLUA": 1, "FilterAdministratorToken": 0,
            "LocalAccountTokenFilterPolicy": 1, "PromptOnSecureDesktop": 1,
        },
        "HKEY_LOCAL_MACHINE\\SYSTEM\\Select": {"Current": 1, "Default": 1, "Failed": 0, "LastKnownGood": 2},
        f"{_CONTROL}\\ComputerName\\ActiveComputerName": {"ComputerName": machine.name},
        f"{_CONTROL}\\ComputerName\\ComputerName": {"ComputerName": machine.name},
        f"{_CONTROL}\\Lsa": {
            "Authentication Packages": ("msv1_0",), "auditbasedirectories": 0, "auditbaseobjects": 0,
            "crashonauditfail": 0, "disabledomaincreds": 0, "everyoneincludesanonymous": 0, "forceguest": 0,
            "LimitBlankPasswordUse": 1, "NoLmHash": 1, "Notification Packages": ("scecli",), "restrictanonymous": 0,
            "restrictanonymoussam": 1, "SecureBoot": 1,
            "Security Packages": ("kerberos", "msv1_0", "schannel", "wdigest", "tspkg", "pku2u"),
        },
        **{f"{_CONTROL}\\Lsa\\{name}": {} for name in _BOOT_KEY},
        f"{_CONTROL}\\SecurityProviders\\WDigest": {"Debuglevel": 0, "Negotiate": 0, "UTF8HTTP": 1, "UTF8SASL": 1},
        f"{_CONTROL}\\Session Manager\\Environment": {
            "ComSpec": "%SystemRoot%\\system32\\cmd.exe", "OS": "Windows_NT", "PROCESSOR_ARCHITECTURE": "AMD64",
            "NUMBER_OF_PROCESSORS": str(2 << machine.seed.number("processors", 3)),
            "Path": "%SystemRoot%\\system32;%SystemRoot%;%SystemRoot%\\System32\\Wbem;"
                    "%SYSTEMROOT%\\System32\\WindowsPowerShell\\v1.0\\",
            "PATHEXT": ".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC", "TEMP": "%SystemRoot%\\TEMP",
            "TMP": "%SystemRoot%\\TEMP", "USERNAME": "SYSTEM", "windir": "%SystemRoot%",
        },
        f"{_CONTROL}\\Terminal Server": {
            "DeleteTempDirsOnExit": 1, "fDenyTSConnections": 0, "fSingleSessionPerUser": 1, "TSUserEnabled": 0},
        f"{_CONTROL}\\Terminal Server\\WinStations\\RDP-Tcp": {
            "PortNumber": 3389, "SecurityLayer": 1, "UserAuthentication": 0, "fEnableWinStation": 1},
        f"{_CONTROL}\\Windows": {"Directory": "%SystemRoot%", "SystemDirectory": "%SystemRoot%\\system32"},
        **{f"{_SERVICES}\\{name}": _service(machine, name, title) for name, title in SERVICES.items()},
        f"{_SERVICES}\\LanmanServer\\Parameters": {
            "EnableAuthenticateUserSharing": 0, "autodisconnect": 15, "enableforcedlogoff": 1,
            "enablesecuritysignature": 0, "NullSessionPipes": ("",), "requiresecuritysignature": 0,
            "restrictnullsessaccess": 1, "ServiceDll": "%SystemRoot%\\system32\\srvsvc.dll",
        },
        f"{_SERVICES}\\Tcpip\\Parameters": {
            "DataBasePath": "%SystemRoot%\\System32\\drivers\\etc", "Domain": "", "Hostname": machine.name,
            "IPEnableRouter": 0, "NV Domain": "", "NV Hostname": machine.name, "SearchList": "",
        },
        f"{_HARDWARE}\\BIOS": {"SystemManufacturer": machine.manufacturer, "SystemProductName": machine.model},
        f"{_HARDWARE}\\CentralProcessor\\0": {
            "Identifier": machine.cpu_family.partition(" ~")[0].replace(" GenuineIntel", ""),
            "ProcessorNameString": machine.cpu, "VendorIdentifier": "GenuineIntel",
            "~MHz": int(machine.cpu_family.partition(" ~")[2].split()[0]),
        },
        **{f"{USERS}\\{name}\\Environment": {"TEMP": "%USERPROFILE%\\AppData\\Local\\Temp"}
           for name in (".DEFAULT", "S-1-5-18", "S-1-5-19", "S-1-5-20")},
        f"{users}\\Environment": {"TEMP": "%USERPROFILE%\\AppData\\Local\\Temp"},
        f"{users}\\Software\\Microsoft\\Windows\\CurrentVersion\\Run": {},
        f"{users}\\Software\\Microsoft\\Windows\\CurrentVersion\\Explorer\\Shell Folders": {
            name: f"C:\\Users\\{machine.administrator}\\{place}" for name, place in _SHELL_FOLDERS.items()},
        f"{USERS}\\{machine.sid}-500_Classes": {},
        f"{CLASSES}\\.exe": {"": "exefile", "Content Type": "application/x-msdownload"},
        f"{CLASSES}\\exefile\\shell\\open\\command": {"": '"%1" %*'}, f"{CLASSES}\\.bat": {"": "batfile"},
        f"{CLASSES}\\ms-settings": {"": "URL:ms-settings"},
    }  # fmt: skip


def _service(machine: Windows, name: str, title: str) -> dict[str, _Said]:
    return {
        "DisplayName": title, "ErrorControl": 1, "ImagePath": path_of(name), "ObjectName": "LocalSystem",
        "Start": start_of(machine, name), "Type": 0x10 if name == "Spooler" else 0x20,
    }  # fmt: skip


def path_of(service: str) -> str:
    """Return the command line of one of Windows' own services."""
    return {
        "Spooler": "%SystemRoot%\\System32\\spoolsv.exe", "SamSs": "%SystemRoot%\\system32\\lsass.exe",
        "Netlogon": "%systemroot%\\system32\\lsass.exe", "MSDTC": "%SystemRoot%\\System32\\msdtc.exe",
        "RemoteRegistry": "%SystemRoot%\\system32\\svchost.exe -k regsvc",
    }.get(service, "%SystemRoot%\\system32\\svchost.exe -k netsvcs")  # fmt: skip


def start_of(machine: Windows, service: str) -> int:
    """Return how one of Windows' own services is started (MS-SCMR 2.2.15): 2 by itself, 3 on demand, 4 not at all."""
    if machine.is_running(service):
        return 2
    return 4 if service == "RemoteRegistry" and machine.release.version.startswith("10.0.19") else 3
