"""The pretended Windows: which release, its name, accounts, addresses, processes; all drawn from the sensor's seed.

It stands behind the same address as the device at the other ports, and shares its seed with nothing else. A persona
that is Windows itself gives it its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from eudaemon.world.personas import WINDOWS
from eudaemon.world.seed import Seed

if TYPE_CHECKING:
    from eudaemon.world.files import Directory
    from eudaemon.world.host import Host


@dataclass(frozen=True, slots=True)
class Release:
    """One Windows. `version` is what `ver` says; `patch` whether it tells the update too, drawn from the range."""

    name: str
    version: str
    patch: tuple[int, int]
    copyright: str
    powershell: str
    service_pack: str
    server: bool
    dotnet: str

    @property
    def build(self) -> str:
        """The build: `7601`."""
        return self.version.split(".")[2]


_OLD_COPYRIGHT = "Copyright (c) 2009 Microsoft Corporation.  All rights reserved."
RELEASES = (
    Release("Windows 7 Professional", "6.1.7601", (0, 0), _OLD_COPYRIGHT, "2.0", "Service Pack 1", False, "2.0.50727"),
    Release("Windows Server 2008 R2 Standard", "6.1.7601", (0, 0), _OLD_COPYRIGHT, "2.0", "Service Pack 1", True,
            "2.0.50727"),
    Release("Windows Server 2012 R2 Standard", "6.3.9600", (0, 0),
            "(c) 2013 Microsoft Corporation. All rights reserved.", "4.0", "", True, "4.0.30319"),
    Release("Windows Server 2016 Standard", "10.0.14393", (0, 0),
            "(c) 2016 Microsoft Corporation. All rights reserved.", "5.1.14393.5127", "", True, "4.0.30319"),
    Release("Windows 10 Pro", "10.0.19045", (2006, 4529), "(c) Microsoft Corporation. All rights reserved.",
            "5.1.19041.4522", "", False, "4.0.30319"),
)  # fmt: skip
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_WORDS = ("SQL", "FILE", "APP", "WEB", "DC", "PRINT", "ERP", "BACKUP", "TS", "POS")
_PEOPLE = ("admin", "backup", "scanner", "sqladmin", "support", "office", "reception", "veeam", "accounting", "it")
_OWNERS = ("Windows User", "admin", "IT", "office", "User")
_CPUS = (
    ("Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz", "Intel64 Family 6 Model 63 Stepping 2 GenuineIntel ~2397 Mhz"),
    ("Intel(R) Xeon(R) CPU E3-1220 v5 @ 3.00GHz", "Intel64 Family 6 Model 94 Stepping 3 GenuineIntel ~3000 Mhz"),
    ("Intel(R) Core(TM) i5-6500 CPU @ 3.20GHz", "Intel64 Family 6 Model 94 Stepping 3 GenuineIntel ~3192 Mhz"),
    ("Intel(R) Core(TM) i3-4130 CPU @ 3.40GHz", "Intel64 Family 6 Model 60 Stepping 3 GenuineIntel ~3400 Mhz"),
)
_MODELS = (
    ("Dell Inc.", "PowerEdge R430"), ("HP", "ProLiant ML110 Gen9"), ("VMware, Inc.", "VMware Virtual Platform"),
    ("Microsoft Corporation", "Virtual Machine"), ("FUJITSU", "PRIMERGY TX1310 M1"), ("LENOVO", "10M7000QGE"),
)  # fmt: skip
_OUIS = ("00-15-5D", "00-50-56", "00-0C-29", "18-66-DA", "3C-D9-2B", "90-1B-0E", "48-4D-7E")
_INSTALLED_S = 1_483_228_800  # 2017-01-01: all of RELEASES but the newest are out
_NEWEST_INSTALLED_S = 1_672_531_200  # 2023-01-01

# What runs on every Windows: name, session's name, session.
_RUNS = ("smss.exe", "csrss.exe", "wininit.exe", "csrss.exe*", "winlogon.exe*", "services.exe", "lsass.exe",
         *("svchost.exe",) * 9, "spoolsv.exe", "taskhost.exe*", "dwm.exe*", "explorer.exe*", "msdtc.exe",
         "WmiPrvSE.exe", "conhost.exe", "SearchIndexer.exe", "TrustedInstaller.exe")  # fmt: skip
_ALSO_RUNS = ("sqlservr.exe", "sqlwriter.exe", "vmtoolsd.exe", "MsMpEng.exe", "inetinfo.exe", "w3wp.exe",
              "TeamViewer_Service.exe", "java.exe", "httpd.exe", "mysqld.exe", "AnyDesk.exe")  # fmt: skip
SERVICES = {
    "AppHostSvc": "Application Host Helper Service", "BITS": "Background Intelligent Transfer Service",
    "BFE": "Base Filtering Engine", "CryptSvc": "Cryptographic Services", "DcomLaunch": "DCOM Server Process Launcher",
    "Dhcp": "DHCP Client", "Dnscache": "DNS Client", "EventLog": "Windows Event Log",
    "EventSystem": "COM+ Event System", "LanmanServer": "Server", "LanmanWorkstation": "Workstation",
    "lmhosts": "TCP/IP NetBIOS Helper", "MpsSvc": "Windows Firewall", "MSDTC": "Distributed Transaction Coordinator",
    "Netlogon": "Netlogon", "nsi": "Network Store Interface Service", "PlugPlay": "Plug and Play",
    "Power": "Power", "ProfSvc": "User Profile Service", "RemoteRegistry": "Remote Registry",
    "RpcEptMapper": "RPC Endpoint Mapper",
    "RpcSs": "Remote Procedure Call (RPC)", "SamSs": "Security Accounts Manager", "Schedule": "Task Scheduler",
    "SENS": "System Event Notification Service", "Spooler": "Print Spooler", "TermService": "Remote Desktop Services",
    "Themes": "Themes", "TrkWks": "Distributed Link Tracking Client", "W32Time": "Windows Time",
    "WinDefend": "Windows Defender", "Winmgmt": "Windows Management Instrumentation",
    "WinRM": "Windows Remote Management (WS-Management)", "wuauserv": "Windows Update",
}  # fmt: skip
_STOPPED = frozenset(("BITS", "TrkWks", "Netlogon", "wuauserv", "AppHostSvc", "WinRM"))


class Windows:
    """One installation's Windows. `name` is its NetBIOS name, in capitals, at every door."""

    def __init__(self, seed: Seed, *, name: str = "", downloads: bool = True, server: bool = False) -> None:
        self.seed = seed
        self.downloads = downloads
        self.release: Release = seed.choice("release", [one for one in RELEASES if one.server or not server])
        self.name = name or _name(seed, self.release)
        self.workgroup: str = seed.choice("workgroup", ("WORKGROUP", "WORKGROUP", "OFFICE", "MSHOME", "HOME"))
        self.owner: str = seed.choice("owner", _OWNERS)
        self.manufacturer, self.model = seed.choice("model", _MODELS)
        self.cpu, self.cpu_family = seed.choice("cpu", _CPUS)
        self.memory_mb: int = seed.choice("memory", (4095, 8191, 16_383, 32_767)) - seed.number("memory reserved", 90)
        network = seed.choice("network", ("192.168.0", "192.168.1", "192.168.10", "10.0.0", "10.10.1", "172.16.0"))
        self.gateway = f"{network}.1"
        self.address = f"{network}.{2 + seed.number('address', 250)}"
        octets = seed.bytes("mac", 3)
        self.mac: str = seed.choice("oui", _OUIS) + "".join(f"-{octet:02X}" for octet in octets)
        serial = seed.bytes("volume serial", 4).hex().upper()
        self.volume_serial = f"{serial[:4]}-{serial[4:]}"
        newest = self.release.version.startswith("10.0.19")
        installed_s = _NEWEST_INSTALLED_S if newest else _INSTALLED_S
        self.installed_s = float(installed_s + seed.number("installed", 300 * 86_400))
        first, last = self.release.patch
        patch = f".{first + seed.number('patch', last - first)}" if last else ""
        self.version = self.release.version + patch
        self.product_id = "-".join(f"{seed.number(f'product {part}', 99_999):05d}" for part in range(3)) + "-" + (
            "OEM-" if seed.number("oem", 2) else "AA"
        ) + f"{seed.number('product last', 999):03d}"  # fmt: skip
        self.administrator = "Administrator"
        names = dict.fromkeys(seed.choice(f"person {number}", _PEOPLE) for number in range(2))
        self.users: tuple[str, ...] = (self.administrator, "Guest", *names)

    @property
    def profiles(self) -> tuple[str, ...]:
        """Who has a folder below C:\\Users."""
        return (self.administrator, *self.users[2:])

    # --- time ----------------------------------------------------------------------------------------

    @cached_property
    def zone_hours(self) -> int:
        """How far its clock is from UTC, in hours."""
        return self.seed.choice("zone", (-8, -6, -5, -3, 0, 1, 2, 3, 8, 9))

    def uptime_s(self, at_s: float) -> float:
        """Return the seconds since the pretended start, which lies in the last 10 to 60 days."""
        period_s = (10 + self.seed.number("boot period", 50)) * 86_400
        return (at_s - self.seed.number("boot", period_s)) % period_s + 240.0

    def local(self, at_s: float) -> datetime:
        """Return the time as its clock shows it."""
        return datetime.fromtimestamp(at_s, UTC) + timedelta(hours=self.zone_hours)

    # --- text ----------------------------------------------------------------------------------------

    @property
    def banner(self) -> str:
        """What `ver` says."""
        return f"Microsoft Windows [Version {self.version}]"

    @property
    def greeting(self) -> str:
        """What cmd.exe says when it begins, up to the first prompt."""
        return f"{self.banner}\r\n{self.release.copyright}\r\n\r\n"

    @property
    def caption(self) -> str:
        """What `wmic os get caption` says."""
        return f"Microsoft {self.release.name}"

    @cached_property
    def hotfixes(self) -> tuple[str, ...]:
        """The updates that it has."""
        count = 3 + self.seed.number("hotfixes", 9)
        return tuple(sorted({f"KB{2_500_000 + self.seed.number(f'hotfix {n}', 2_000_000)}" for n in range(count)}))

    @cached_property
    def sid(self) -> str:
        """The machine's security identifier, to which the accounts' numbers are added."""
        parts = (str(int.from_bytes(self.seed.bytes(f"sid {n}", 4), "big")) for n in range(3))
        return "S-1-5-21-" + "-".join(parts)

    # --- what runs -----------------------------------------------------------------------------------

    @cached_property
    def processes(self) -> tuple[tuple[str, int, str, int], ...]:
        """What `tasklist` lists: image, process id, session's name, kilobytes."""
        also = tuple(name for name in _ALSO_RUNS if self.seed.number(f"runs {name}", 4) == 0)
        found, number = [("System Idle Process", 0, "Services", 24), ("System", 4, "Services", 300)], 200
        for index, entry in enumerate((*_RUNS, *also)):
            number += 4 * (4 + self.seed.number(f"process {index}", 60))
            kilobytes = 1_500 + self.seed.number(f"size {index}", 30_000)
            found.append((entry.rstrip("*"), number, "Console" if entry.endswith("*") else "Services", kilobytes))
        return tuple(found)

    def is_running(self, service: str) -> bool:
        """Say whether a service of `SERVICES` is started."""
        return self.release.server if service == "RemoteRegistry" else service not in _STOPPED

    # --- places --------------------------------------------------------------------------------------

    @cached_property
    def tree(self) -> Directory:
        """The root of its file tree; the drives stand in it as directories of one letter."""
        from eudaemon.world.windows import tree

        return tree.build(self)


def _name(seed: Seed, release: Release) -> str:
    """Return a name as setup gives it, or as an administrator does."""
    drawn = "".join(_ALPHABET[byte % 36] for byte in seed.bytes("name", 11))
    if seed.number("named by hand", 3) == 0:
        word = seed.choice("word", _WORDS)
        number = 1 + seed.number("name number", 12)
        return f"SRV-{word}{number:02d}" if release.server else f"{word}-PC{number}"
    if release.name.startswith("Windows 10"):
        return f"DESKTOP-{drawn[:7]}"
    return f"WIN-{drawn}"


@lru_cache(maxsize=8)
def windows_of(host: Host) -> Windows:
    """Return the Windows that stands beside this host, or that it is."""
    is_windows = host.persona.name == WINDOWS
    return Windows(host.seed.child("windows"), name=host.name if is_windows else "", downloads=host.downloads,
                   server=is_windows)  # fmt: skip
