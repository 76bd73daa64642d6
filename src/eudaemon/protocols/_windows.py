"""The pretended Windows behind SMB and RPC: which edition, what it is called, who gets in. All drawn from the seed.

The editions are those that the worms of 2017 and after look for: SMB 1 and 2.1, and never patched.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from eudaemon.world.host import Host
from eudaemon.world.personas import words
from eudaemon.world.seed import Seed

Edition: TypeAlias = tuple[str, str, int, bool]  # native OS, native LAN manager, build, whether it is a server

EDITIONS: tuple[Edition, ...] = (
    ("Windows 7 Professional 7601 Service Pack 1", "Windows 7 Professional 6.1", 7601, False),
    ("Windows 7 Ultimate 7601 Service Pack 1", "Windows 7 Ultimate 6.1", 7601, False),
    ("Windows 7 Enterprise 7601 Service Pack 1", "Windows 7 Enterprise 6.1", 7601, False),
    ("Windows 7 Professional 7600", "Windows 7 Professional 6.1", 7600, False),
    ("Windows Server 2008 R2 Standard 7601 Service Pack 1", "Windows Server 2008 R2 Standard 6.1", 7601, True),
    ("Windows Server 2008 R2 Enterprise 7601 Service Pack 1", "Windows Server 2008 R2 Enterprise 6.1", 7601, True),
)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_WORDS_OF_CLIENTS = ("USER-PC", "ADMIN-PC", "OFFICE-PC", "PC{n}", "RECEPTION{n}", "DESKTOP{n}", "ACC-PC{n}", "LAB{n}")
_WORDS_OF_SERVERS = ("SRV{n}", "SERVER{n}", "FILESRV{n}", "DC{n}", "APP{n}", "SQL{n}", "BACKUP{n}", "TS{n}")
_GROUPS = ("WORKGROUP", "WORKGROUP", "WORKGROUP", "OFFICE", "MSHOME", "HOME", "CORP{n}")
_SHARES = ("Users", "Public", "Share", "Data", "Scans", "Backup", "Transfer", "Docs")

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
_USERS = ("user", "test", "scan", "backup", "support", "office", "ftp", "owner")
_SURE = frozenset(("123456", "admin", "password", "P@ssw0rd", "Aa123456", "1qaz2wsx", "12345678", "admin123"))
_OTHERS_ONE_IN = 6  # of the other passwords in the list


@dataclass(frozen=True, slots=True)
class Windows:
    """One installation's Windows."""

    seed: Seed
    name: str  # its NetBIOS name
    workgroup: str
    system: str  # as SMB 1 says it
    lan_manager: str
    build: int
    is_server: bool
    share: str  # the one that people use
    users: tuple[str, ...]  # lower case, administrators first

    def accepts(self, user: str, password: str) -> bool:
        """Say whether this user gets in with this password. The same pair always gets the same answer."""
        user = user.lower()
        if user == "guest":
            return not password
        if user not in self.users or not password:
            return False
        if user in _ADMINISTRATORS and password in _SURE:
            return True
        return password in PASSWORDS and self.seed.number(f"login {user} {password}", _OTHERS_ONE_IN) == 0

    def administers(self, user: str) -> bool:
        """Say whether this user may use the administrative shares and services."""
        return user.lower() in _ADMINISTRATORS


@lru_cache(maxsize=16)
def windows_of(host: Host) -> Windows:
    """Return the Windows that stands behind the same address as this host."""
    seed = host.seed.child("windows")
    system, lan_manager, build, is_server = seed.choice("edition", EDITIONS)
    default = "WIN-" + "".join(_LETTERS[byte % len(_LETTERS)] for byte in seed.bytes("name", 11))
    names = _WORDS_OF_SERVERS if is_server else _WORDS_OF_CLIENTS
    number = seed.number("name number", 90)
    name = default if seed.number("is default name", 2) else seed.choice("word", names).format(n=10 + number)
    return Windows(
        seed=seed,
        name=name,
        workgroup=seed.choice("group", _GROUPS).format(n=1 + number),
        system=system,
        lan_manager=lan_manager,
        build=build,
        is_server=is_server,
        share=seed.choice("share", _SHARES),
        users=("administrator", *(name for name in ("admin", *_USERS) if seed.number(f"user {name}", 3) == 0)),
    )
