"""The pretended host: one per sensor, shared by all sessions, never changed by any.

All that a scanner could key on is drawn from the seed: which device it is, its name, kernel, addresses, uptime,
which users it lets in. What is large (the file tree, the BusyBox image) is built when it is first asked for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from typing import ClassVar

from eudaemon.world import rootfs
from eudaemon.world.files import Directory
from eudaemon.world.machines import MACHINES, Machine, program
from eudaemon.world.personas import (
    APPLETS,
    BY_NAME,
    DOWNLOADERS,
    DOWNLOADING_PROGRAMS,
    DRAWN,
    PERSONAS,
    PROGRAMS,
    Persona,
)
from eudaemon.world.seed import Seed
from eudaemon.world.users import accepts, users

_EPOCH_S = 1_464_739_200  # 2016-06-01: after the newest kernel among the personas
BUSYBOX_BYTES_MIN = 80 * 1024  # enough to look like a program, little enough to be shown in a loop


class Host:
    """Who the sensor pretends to be.

    `name` is its model and its host name, the same at every door; `title` is what its pages call it. `downloads` says
    whether it has wget, tftp, curl and their like: without them a loader uploads what it brings through the session.
    """

    shell_name: ClassVar[bytes] = b"-sh"  # how its shell names itself when it complains
    starts_in: ClassVar[bytes] = b"/root"
    identity: str = "uid=0(root) gid=0(root)"
    ports: ClassVar[tuple[int, ...]] = (80, 23)  # on which it says that it listens
    first_process: str = "init"
    threads: ClassVar[tuple[str, ...]] = (
        "kthreadd", "ksoftirqd/0", "kworker/0:0", "khelper", "sync_supers", "bdi-default", "kblockd", "kswapd0",
        "mtdblockd",
    )  # fmt: skip
    environment: ClassVar[dict[bytes, bytes]] = {
        b"HOME": b"/root", b"PATH": b"/bin:/sbin:/usr/bin:/usr/sbin", b"SHELL": b"/bin/sh", b"TERM": b"vt102",
    }  # fmt: skip

    def __init__(self, seed: Seed, persona: Persona, *, downloads: bool = True) -> None:
        self.seed = seed
        self.persona = persona
        self.downloads = downloads
        self.machine: Machine = MACHINES[persona.machine]
        title, models = seed.choice("make", persona.makes)
        model: str = seed.choice("model", models)
        self.name = model.format(
            n=1000 + seed.number("model four digits", 9000), m=10 + seed.number("model digits", 90)
        )
        self.title: str = title.format(self.name)
        self.kernel, self.compiler = seed.choice("kernel", persona.kernels)
        self.memory_kb: int = seed.choice("memory", persona.memory_kb) - 4 * seed.number("memory reserved", 64)
        self.busybox_version: str = seed.choice("busybox", persona.busybox)
        self.built_s = float(_EPOCH_S + seed.number("built", 900 * 86_400))
        self.zone: str = seed.choice("zone", ("CST", "CST", "UTC"))
        octets = seed.bytes("mac", 3)
        self.mac: str = seed.choice("oui", persona.ouis) + "".join(f":{octet:02x}" for octet in octets)
        network = seed.choice("network", ("192.168.0", "192.168.1", "192.168.2", "10.0.0", "192.168.100"))
        self.gateway = f"{network}.1"
        self.address = f"{network}.{2 + seed.number('address', 250)}"
        self.bogomips = f"{180 + seed.number('bogomips', 800)}.{seed.number('bogomips fraction', 100):02d}"
        self.serial = seed.bytes("serial", 8).hex()
        name = self.name.encode()
        # What a login of uid 0 reads; none shows the directory, for it would have to follow `cd`.
        self.prompt: bytes = seed.choice("prompt", (b"# ", b"%s# " % name, b"[root@%s]# " % name, b"root@%s:# " % name))

    @classmethod
    def from_seed(cls, seed: Seed, *, downloads: bool = True, persona: str = "") -> Host:
        """Return the host that this seed gives; `persona` names one of `PERSONAS` instead of drawing it.

        Raises `KeyError` for a persona that is not there.
        """
        chosen = BY_NAME[persona] if persona else seed.choice("persona", PERSONAS[:DRAWN])
        return cls.of(seed, chosen, downloads=downloads)

    @classmethod
    def of(cls, seed: Seed, persona: Persona, *, downloads: bool = True) -> Host:
        """Return the host that this seed makes of a persona."""
        if not persona.host:
            return cls(seed, persona, downloads=downloads)
        module, _, name = persona.host.partition(":")
        kind: type[Host] = getattr(import_module(f"eudaemon.world.{module}"), name)
        return kind(seed, persona, downloads=downloads)

    def prompt_in(self, directory: bytes) -> bytes:  # noqa: ARG002
        """Return the prompt that stands before a line that is typed in this directory."""
        return self.prompt

    # --- time --------------------------------------------------------------------------------------

    @cached_property
    def booted_s(self) -> int:
        """When it was started: at a fixed moment of each period of some weeks, so that a restart changes nothing."""
        return self.seed.number("boot", self._period_s)

    @cached_property
    def _period_s(self) -> int:
        low, high = self.persona.uptime_days
        return (low + self.seed.number("boot period", high - low)) * 86_400

    def uptime_s(self, at_s: float) -> float:
        """Return the seconds since the pretended start."""
        return (at_s - self.booted_s) % self._period_s + 60.0

    def starts_s(self, at_s: float, count: int) -> list[float]:
        """Return when it was started the last times, the newest first: since it was built, and no more than `count`."""
        newest_s = at_s - self.uptime_s(at_s)
        times_s = [newest_s - number * self._period_s for number in range(count)]
        return [time_s for time_s in times_s if time_s > self.built_s] or times_s[:1]

    def pid_at(self, at_s: float) -> int:
        """Return a process id that a shell started now would have; ids grow with the uptime."""
        return 400 + int(self.uptime_s(at_s) // 13) % 31_000

    # --- text --------------------------------------------------------------------------------------

    @cached_property
    def build_line(self) -> str:
        """The part of the kernel's version that tells when it was built."""
        built = datetime.fromtimestamp(self.built_s, UTC)
        serial = 1 + self.seed.number("kernel build", 40)
        return f"#{serial} {built:%a %b} {built.day:>2} {built:%H:%M:%S} {self.zone} {built.year}"

    @cached_property
    def version_line(self) -> str:
        """The first line of /proc/version."""
        builder = self.seed.choice(
            "builder", ("root@localhost.localdomain", "build@ubuntu", "jenkins@build01", "root@vm")
        )
        return f"Linux version {self.kernel} ({builder}) (gcc version {self.compiler} ) {self.build_line}"

    @cached_property
    def busybox_line(self) -> str:
        """How its BusyBox names itself."""
        built = datetime.fromtimestamp(self.built_s + 3_000, UTC)
        return f"BusyBox v{self.busybox_version} ({built:%Y-%m-%d %H:%M:%S} {self.zone})"

    @cached_property
    def mounts(self) -> tuple[str, ...]:
        """The lines of /proc/mounts."""
        shared = (
            "proc /proc proc rw,relatime 0 0",
            "sysfs /sys sysfs rw,relatime 0 0",
            "tmpfs /dev tmpfs rw,relatime,size=512k,mode=755 0 0",
            "devpts /dev/pts devpts rw,relatime,mode=600 0 0",
            "tmpfs /dev/shm tmpfs rw,relatime 0 0",
            "tmpfs /tmp tmpfs rw,relatime 0 0",
            "tmpfs /var tmpfs rw,relatime 0 0",
            "tmpfs /var/run tmpfs rw,nosuid,nodev 0 0",
            "tmpfs /root tmpfs rw,relatime 0 0",
        )
        root = self.seed.choice("root", ("rootfs / rootfs rw 0 0", "/dev/root / squashfs ro,relatime 0 0"))
        first = (root,) if root.startswith("/dev") else (root, "/dev/root / squashfs ro,relatime 0 0")
        return (*first, *shared, *self.persona.storage)

    @cached_property
    def writable(self) -> frozenset[bytes]:
        """The mount points that are mounted rw, and are no view of the kernel."""
        rows = [line.split(" ") for line in self.mounts]
        return frozenset(
            row[1].encode()
            for row in rows
            if row[3].startswith("rw") and row[2] not in ("proc", "sysfs", "devpts", "rootfs")
        )

    @property
    def daemons(self) -> tuple[str, ...]:
        """The command lines of what runs on it all the time, besides the kernel's threads."""
        return ("/sbin/syslogd -n", "/sbin/klogd -n", *self.persona.services, "telnetd")

    # --- programs ----------------------------------------------------------------------------------

    @cached_property
    def applets(self) -> frozenset[str]:
        """The applets of its BusyBox."""
        return frozenset(APPLETS + (DOWNLOADERS if self.downloads else ()))

    @cached_property
    def programs(self) -> frozenset[str]:
        """The programs that are none of BusyBox's applets."""
        return frozenset(PROGRAMS + (DOWNLOADING_PROGRAMS[:3] if self.downloads else ()))

    def path_of(self, program: str) -> str:
        """Return where a program of that name stands, as `which` says it."""
        return rootfs.path_of(program)

    @cached_property
    def busybox(self) -> bytes:
        """The content of /bin/busybox: an ELF header that is right, and bytes that run nowhere."""
        seed = self.seed.child("busybox image")
        size = BUSYBOX_BYTES_MIN + 16 * seed.number("size", 3000)
        names = b"\0".join(applet.encode() for applet in sorted(self.applets))
        return program(self.machine, size, seed, self.busybox_line.encode() + b"\0multi-call binary\0" + names + b"\0")

    @cached_property
    def tree(self) -> Directory:
        """The root of its file tree."""
        return rootfs.placed(rootfs.build(self), self)

    # --- people ------------------------------------------------------------------------------------

    @cached_property
    def users(self) -> tuple[bytes, ...]:
        """Who may log in, root first; all have uid 0."""
        others = (account.partition(":")[0].encode() for account in self.persona.accounts)
        return tuple(dict.fromkeys((*users(self.seed), *others)))

    def accepts(self, user: bytes, password: bytes) -> bool:
        """Say whether this user gets in with this password. The same pair always gets the same answer."""
        if f"{user.decode('latin-1')}:{password.decode('latin-1')}" in self.persona.accounts:
            return True
        return user in self.users and accepts(self.seed, user, password)
