"""The pretended Windows as its network services know it: what it calls itself, what it shares, and who gets in.

It is the Windows of all rooms if the device is a Windows server (2008 R2 to 2016, all with SMB 1 and never mended), or
if it is one for which the worms of 2017 and after are made (7 or Server 2008 R2); else an older one stands beside it,
behind the same address.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import count

from eudaemon.world.host import Host
from eudaemon.world.personas import WINDOWS, words
from eudaemon.world.seed import Seed
from eudaemon.world.windows.machine import Windows, windows_of

DRIVE = b"/C"  # where the disk stands in the file tree
_OLD = "6.1"  # Windows 7 and Server 2008 R2
# Folders that are there, one of which everybody may use: the share's name, and where it is.
_SHARES = (
    ("Users", "Users"), ("Public", "Users/Public"), ("Documents", "Users/Public/Documents"),
    ("Scans", "Users/Public/Pictures"), ("Transfer", "Users/Public/Downloads"), ("wwwroot", "inetpub/wwwroot"),
    ("Temp", "Windows/Temp"),
)  # fmt: skip

# What worms and brute force try over SMB, RDP and MSSQL, and what people use: the public lists of the field.
PASSWORDS = words(
    "123456 password admin 12345678 1234 12345 123456789 123123 admin123 P@ssw0rd Passw0rd Password1 password1 "
    "1qaz2wsx qwerty abc123 111111 000000 root test guest administrator Admin@123 admin@123 P@ssw0rd1 Password123 "
    "password123 1q2w3e4r 1q2w3e4r5t 123qwe qwe123 123qweasd 1234567 1234567890 654321 666666 888888 987654321 "
    "112233 121212 123321 159357 147258369 789456123 987654 88888888 00000000 11111111 111 123 321 1 12 a aa aaa "
    "abc asdf asdfgh qwertyuiop zxcvbn zxcvbnm qazwsx qazwsxedc 1qaz@WSX 1qaz!QAZ !QAZ2wsx !@#$%^ !@#$%^&* "
    "Aa123456 Aa123456. aa123456 a123456 a1b2c3d4 abcd1234 Abcd1234 abc@123 Abc123 iloveyou letmein master monkey "
    "dragon football baseball welcome welcome1 Welcome1 changeme secret server Server2008 Server123 backup sql sa "
    "sa123 oracle user user1 user123 pass pass123 pass@123 passwd temp temp123 test123 test1 demo love super "
    "superman shadow login office home computer internet windows Windows1 pc exchange access golden god sex zzzzz "
    "k8h3d k8d3j9SjfS7 golden123 saadmin p@ssword p@ssw0rd P@$$w0rd P@55w0rd Huawei@123 huawei 5201314 woaini "
    "yang asd123 ASDqwe123 idc123 Admin123 Admin1234 scan scanner remote support ftp web www 2008 2010 2017 2018 "
    "2019 2020 2021 2022 2023 2024"
)
_ADMINISTRATORS = ("administrator", "admin")
_SURE = frozenset(("123456", "admin", "password", "P@ssw0rd", "Aa123456", "1qaz2wsx", "12345678", "admin123"))
_OTHERS_ONE_IN = 6  # of the other passwords in the list


class FileServer:
    """One installation's Windows, as SMB and RPC show it."""

    __slots__ = ("accounts", "machine", "seed", "share", "share_path")

    def __init__(self, machine: Windows, seed: Seed) -> None:
        self.machine = machine
        self.seed = seed
        self.share, self.share_path = seed.choice("share", _SHARES)
        self.accounts = tuple(name.lower() for name in machine.users if name != "Guest")

    @property
    def name(self) -> str:
        """Its NetBIOS name."""
        return self.machine.name[:15]

    @property
    def gives_in_after(self) -> int:
        """How many unknown passwords of one address an administrator's account withstands."""
        return 20 + self.seed.number("gives in after", 60)

    @property
    def workgroup(self) -> str:
        """Its workgroup."""
        return self.machine.workgroup

    @property
    def system(self) -> str:
        """What SMB 1 tells as its operating system."""
        release = self.machine.release
        return f"{release.name} {release.build} {release.service_pack}".rstrip()

    @property
    def lan_manager(self) -> str:
        """What SMB 1 tells as its LAN manager."""
        return f"{self.machine.release.name} {_OLD if self.is_old else '6.3'}"

    @property
    def kernel(self) -> str:
        """The version of its kernel: `6.1`."""
        return ".".join(self.machine.release.version.split(".")[:2])

    @property
    def version(self) -> tuple[int, int]:
        """The same as two numbers."""
        major, minor = self.kernel.split(".")
        return int(major), int(minor)

    @property
    def is_old(self) -> bool:
        """Whether it is one for which the worms of 2017 are made."""
        return self.kernel == _OLD

    @property
    def build(self) -> int:
        """The number of its build."""
        return int(self.machine.release.build)

    @property
    def is_server(self) -> bool:
        """Whether it is a server's edition."""
        return self.machine.release.server

    def accepts(self, user: str, password: str) -> bool:
        """Say whether this user gets in with this password. The same pair always gets the same answer."""
        user = user.lower()
        if user == "guest":
            return not password
        if user not in self.accounts or not password:
            return False
        if user in _ADMINISTRATORS and password in _SURE:
            return True
        return password in PASSWORDS and self.seed.number(f"login {user} {password}", _OTHERS_ONE_IN) == 0

    def administers(self, user: str) -> bool:
        """Say whether this user may use the administrative shares and services."""
        return user.lower() in _ADMINISTRATORS


@lru_cache(maxsize=16)
def server_of(host: Host) -> FileServer:
    """Return the Windows that stands behind the same address as this host, and has not been mended."""
    seed = host.seed.child("file server")
    for machine in _machines(host, seed):
        server = FileServer(machine, seed)
        if server.is_old or host.persona.name == WINDOWS:
            return server
    raise RuntimeError("there is always another")


def _machines(host: Host, seed: Seed) -> Iterator[Windows]:
    yield windows_of(host)
    for number in count():
        yield Windows(seed.child(f"older {number}"), downloads=host.downloads)
