"""Whom policies mean, and which sockets there are: read from `/proc`, so that nothing is asked of the process itself.

A connection is in the kernel's table from its first packet, before the handshake is complete: a round trip before the
server can read from it (unless the kernel answers with SYN cookies).
"""

from __future__ import annotations

import fnmatch
import ipaddress
import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from eudaemon.possession.eve import Address, End
from eudaemon.possession.policies import Policy

TABLE_BYTES_MAX = 16 * 1024 * 1024  # of the kernel's table of sockets; what is beyond is not seen
LISTENING = "0A"
LIVING = ("01", "03", "08")  # established, begun, closed by the peer alone
_UNBOUND = "07"  # a UDP socket without a peer


@dataclass(frozen=True, slots=True)
class Row:
    """A socket: the kernel's text of both ends, and its inode (0 until it is accepted, and when it is over)."""

    local: str
    peer: str
    state: str
    inode: str

    @property
    def ends(self) -> tuple[str, str]:
        """Both ends, ours first, as the kernel writes them."""
        return self.local, self.peer

    @property
    def port(self) -> str:
        """Our port, hexadecimal, as the kernel writes it."""
        return self.local.rpartition(":")[2]

    @property
    def local_end(self) -> End:
        """Our address and port."""
        return _end(self.local)

    @property
    def peer_end(self) -> End:
        """The peer's address and port."""
        return _end(self.peer)

    def serves(self, address: Address) -> bool:
        """Whether it takes what anybody sends to this address."""
        ours = self.local_end[0]
        return self.state in (LISTENING, _UNBOUND) and (ours == address or int(ours) == 0)


def _end(text: str) -> End:
    """Return address and port; an IPv4 address also where the socket is of IPv6."""
    address, _, port = text.partition(":")
    raw = bytes.fromhex(address)
    words = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))  # each in the CPU's order
    found = ipaddress.ip_address(words)
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found, int(port, 16)


@dataclass(frozen=True, slots=True)
class Target:
    """A process that a policy means, the network it lives in, and the ports on which it listens there."""

    pid: int
    started: str
    network: str
    ports: frozenset[str]


def rows(pid: int, transport: str = "tcp") -> Iterator[Row]:
    """Yield the sockets of a process's network, of `tcp` or `udp`."""
    for name in (transport, f"{transport}6"):
        with suppress(OSError), Path(f"/proc/{pid}/net/{name}").open("rb") as table:
            for line in table.read(TABLE_BYTES_MAX).decode("ascii", "replace").splitlines()[1:]:
                words = line.split()
                if len(words) > 9:
                    yield Row(words[1], words[2], words[3], words[9])


def sockets(pid: int) -> frozenset[str]:
    """Return the inodes of the sockets that a process holds; none if it has ended."""
    inodes = set()
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                named = str(descriptor.readlink())
                if named.startswith("socket:["):
                    inodes.add(named[8:-1])
    return frozenset(inodes)


def targets(policy: Policy) -> Iterator[Target]:
    """Yield the processes that a policy means. We ourselves and what we have forked are never among them."""
    own = os.getpid()
    for pid in _candidates(policy):
        with suppress(OSError, ValueError, KeyError):  # it has ended, or there is no such user
            if pid != own and _fits(pid, policy) and int(_stat(pid)[1]) != own:
                yield _target(pid)


def _stat(pid: int) -> list[str]:
    """Return the fields of `/proc/PID/stat` behind the name: the state, the parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _candidates(policy: Policy) -> list[int]:
    if policy.pid_file:
        with suppress(OSError, ValueError):
            return [int(Path(policy.pid_file).read_text().split()[0])]
        return []
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208


def _fits(pid: int, policy: Policy) -> bool:
    folder = Path(f"/proc/{pid}")
    if policy.exe and not fnmatch.fnmatchcase(str((folder / "exe").readlink()).removesuffix(" (deleted)"), policy.exe):
        return False
    if policy.user:
        uid = int(policy.user) if policy.user.isdecimal() else pwd.getpwnam(policy.user).pw_uid
        if folder.stat().st_uid != uid:
            return False
    if policy.command:
        line = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
        if not fnmatch.fnmatchcase(line, policy.command):
            return False
    if policy.unit:
        groups = {line.split(":", 2)[-1] for line in (folder / "cgroup").read_text().splitlines()}  # one a hierarchy
        return any(fnmatch.fnmatchcase(group, policy.unit) or policy.unit in group.split("/") for group in groups)
    return True


def _target(pid: int) -> Target:
    folder = Path(f"/proc/{pid}")
    inodes = sockets(pid)
    ports = frozenset(row.port for row in rows(pid) if row.state == LISTENING and row.inode in inodes)
    return Target(pid, _stat(pid)[19], str((folder / "ns/net").readlink()), ports)
