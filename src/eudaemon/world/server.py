"""Somebody's Linux server, as one rents them: Alpine on a virtual machine, and so again BusyBox."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from eudaemon.world.container import Container
from eudaemon.world.files import Directory, Fixed
from eudaemon.world.host import Host
from eudaemon.world.personas import OF_SERVERS, Persona
from eudaemon.world.rootfs import placed
from eudaemon.world.seed import Seed

_DISKS = ("vda", "sda", "xvda")


class Server(Container):
    """One installation's server. What it shares with a container is its Alpine."""

    starts_in: ClassVar[bytes] = b"/root"
    ports: ClassVar[tuple[int, ...]] = (22, 80, 6379)
    threads: ClassVar[tuple[str, ...]] = Host.threads

    def __init__(self, seed: Seed, persona: Persona, *, downloads: bool = True) -> None:
        super().__init__(seed, persona, first_process="/sbin/init", downloads=downloads)
        plain = Host(seed, persona, downloads=downloads)
        self.name, self.mac = plain.name, plain.mac
        network = seed.choice("server network", ("10.0.0", "10.0.2", "172.31.16", "192.168.122", "10.10.0"))
        self.address, self.gateway = f"{network}.{10 + seed.number('server address', 240)}", f"{network}.1"

    def prompt_in(self, directory: bytes) -> bytes:
        """See `Host`."""
        return self.name.encode() + b":" + super().prompt_in(directory)

    @property
    def daemons(self) -> tuple[str, ...]:
        """See `Host`."""
        return ("/sbin/syslogd -t -n", "/usr/sbin/crond -c /etc/crontabs -f", "/usr/sbin/sshd -D -e",
                "/sbin/udhcpc -b -R -p /var/run/udhcpc.eth0.pid -i eth0", *self.persona.services)  # fmt: skip

    @cached_property
    def mounts(self) -> tuple[str, ...]:
        """See `Host`."""
        disk = self.seed.choice("disk", _DISKS)
        return (
            f"/dev/{disk}3 / ext4 rw,relatime 0 0",
            f"/dev/{disk}1 /boot ext4 rw,relatime 0 0",
            "proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0",
            "sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0",
            "devtmpfs /dev devtmpfs rw,nosuid,relatime,size=10240k,mode=755 0 0",
            "devpts /dev/pts devpts rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=000 0 0",
            "shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime 0 0",
            "tmpfs /run tmpfs rw,nodev,relatime,size=204544k,mode=755 0 0",
        )

    @cached_property
    def users(self) -> tuple[bytes, ...]:
        """See `Host`; a server has its root, and whom its persona names."""
        others = (account.partition(":")[0].encode() for account in self.persona.accounts)
        return tuple(dict.fromkeys((b"root", *others)))

    @cached_property
    def programs(self) -> frozenset[str]:
        """See `Host`."""
        return super().programs | frozenset(OF_SERVERS)

    def _planted(self) -> Directory:
        root = super()._planted()
        root.names.pop(b".dockerenv", None)
        etc = root.names[b"etc"]
        if isinstance(etc, Directory):
            more = b"".join(b"%s:x:0:0:%s:/root:/bin/ash\n" % (user, user) for user in self.users[1:])
            passwd = etc.names[b"passwd"]
            if isinstance(passwd, Fixed) and isinstance(passwd.content, bytes):
                etc.names[b"passwd"] = Fixed(passwd.content + more, 0o644, self.built_s)
        return placed(root, self)
