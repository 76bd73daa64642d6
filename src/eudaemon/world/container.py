"""A container on somebody's server: what stands behind the services of data centres. Alpine, and so again BusyBox.

It shares the sensor's seed with the device at the other ports, and nothing else.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import ClassVar

from eudaemon.world import kernel
from eudaemon.world.files import Directory, Fixed, Link
from eudaemon.world.host import Host
from eudaemon.world.personas import APPLETS, DOWNLOADERS, DOWNLOADING_PROGRAMS, Persona, words
from eudaemon.world.rootfs import Tree, devices, etc, path_of, processes
from eudaemon.world.seed import Seed

_XEON = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 85
model name\t: {model}
stepping\t: 7
microcode\t: 0x1
cpu MHz\t\t: {mhz}
cache size\t: 36608 KB
physical id\t: 0
siblings\t: 2
core id\t\t: 0
cpu cores\t: 1
apicid\t\t: 0
fpu\t\t: yes
fpu_exception\t: yes
cpuid level\t: 22
wp\t\t: yes
flags\t\t: fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ss ht \
syscall nx pdpe1gb rdtscp lm constant_tsc rep_good nopl cpuid pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt \
aes xsave avx f16c rdrand hypervisor lahf_lm abm avx2 avx512f avx512dq avx512cd avx512bw avx512vl
bogomips\t: {bogomips}
clflush size\t: 64
cache_alignment\t: 64
address sizes\t: 46 bits physical, 48 bits virtual

"""
_MODELS = ("Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", "Intel(R) Xeon(R) CPU @ 2.20GHz",
           "Intel Xeon Processor (Cascadelake)", "Intel(R) Xeon(R) Gold 6240 CPU @ 2.60GHz")  # fmt: skip
_KERNELS = (
    ("4.15.0-{n}-generic", "7.5.0 (Ubuntu 7.5.0-3ubuntu1~18.04)"),
    ("5.4.0-{n}-generic", "9.4.0 (Ubuntu 9.4.0-1ubuntu1~20.04.1)"),
    ("5.15.0-{n}-generic", "11.3.0 (Ubuntu 11.3.0-1ubuntu1~22.04)"),
)
_SERVER = Persona(
    "container", "x86_64", (("{0}", ("{n}",)),), _KERNELS, ("1.31.1", "1.32.1", "1.33.1", "1.34.1", "1.35.0", "1.36.1"),
    _XEON, (2_035_432, 4_030_848, 8_148_236, 16_393_040), ("02:42:ac",), (), (),
)  # fmt: skip
_ALPINE = {"1.31.1": "3.12.12", "1.32.1": "3.13.12", "1.33.1": "3.14.10", "1.34.1": "3.15.11", "1.35.0": "3.17.7",
           "1.36.1": "3.18.6"}  # fmt: skip
_BUILT_S = 1_590_000_000.0  # 2020-05-20: before the oldest of those Alpines
_LACKS = frozenset(words("fdisk hwclock init insmod iptables modprobe rmmod telnetd udhcpd watchdog"))


class Container(Host):
    """One installation's container. `first_process` is what it was started for, `listens` its ports."""

    shell_name: ClassVar[bytes] = b"/bin/sh"
    starts_in: ClassVar[bytes] = b"/"
    identity: ClassVar[str] = (
        "uid=0(root) gid=0(root) groups=0(root),1(bin),2(daemon),3(sys),4(adm),6(disk),10(wheel),11(floppy),"
        "20(dialout),26(tape),27(video)"
    )
    threads: ClassVar[tuple[str, ...]] = ()
    environment: ClassVar[dict[bytes, bytes]] = {
        b"HOME": b"/root", b"PATH": b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        b"SHELL": b"/bin/sh", b"TERM": b"xterm",
    }  # fmt: skip

    def __init__(
        self, seed: Seed, persona: Persona = _SERVER, *, first_process: str = "sh", downloads: bool = True
    ) -> None:
        super().__init__(seed, persona, downloads=downloads)
        self.first_process = first_process
        self.kernel = self.kernel.format(n=20 + seed.number("kernel patch", 140))
        self.built_s = _BUILT_S + seed.number("built", 900 * 86_400)
        self.zone = "UTC"
        self.name = seed.bytes("id", 6).hex()  # the first twelve digits of the container's id
        last = 2 + seed.number("container address", 12)
        self.address, self.gateway = f"172.17.0.{last}", "172.17.0.1"
        self.mac = f"02:42:ac:11:00:{last:02x}"

    def prompt_in(self, directory: bytes) -> bytes:
        """See `Host`; Alpine's prompt tells the directory."""
        return (b"~" if directory == b"/root" else directory) + b" # "

    @property
    def daemons(self) -> tuple[str, ...]:
        """See `Host`."""
        return ()

    @cached_property
    def build_line(self) -> str:
        """See `Host`."""
        return super().build_line.replace(" ", "-Ubuntu SMP ", 1)

    @cached_property
    def mounts(self) -> tuple[str, ...]:
        """See `Host`."""
        layers = [self.seed.bytes(f"layer {number}", 13).hex().upper() for number in range(3)]
        disk = self.seed.choice("disk", ("/dev/sda1", "/dev/vda1", "/dev/nvme0n1p1"))
        upper = self.seed.bytes("upper layer", 32).hex()
        return (
            f"overlay / overlay rw,relatime,lowerdir={':'.join(f'/var/lib/docker/overlay2/l/{one}' for one in layers)},"
            f"upperdir=/var/lib/docker/overlay2/{upper}/diff,workdir=/var/lib/docker/overlay2/{upper}/work 0 0",
            "proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0",
            "tmpfs /dev tmpfs rw,nosuid,size=65536k,mode=755 0 0",
            "devpts /dev/pts devpts rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=666 0 0",
            "sysfs /sys sysfs ro,nosuid,nodev,noexec,relatime 0 0",
            "shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=65536k 0 0",
            *(f"{disk} /etc/{name} ext4 rw,relatime 0 0" for name in ("resolv.conf", "hostname", "hosts")),
        )

    @cached_property
    def applets(self) -> frozenset[str]:
        """See `Host`."""
        return frozenset(APPLETS + (DOWNLOADERS if self.downloads else ())) - _LACKS

    @cached_property
    def programs(self) -> frozenset[str]:
        """See `Host`."""
        return frozenset(DOWNLOADING_PROGRAMS[:1] if self.downloads else ())

    @cached_property
    def tree(self) -> Directory:
        """See `Host`."""
        return self._planted()

    def _planted(self) -> Directory:
        tree = Tree(self.built_s)
        for path in words("/data /etc/cron.d /etc/periodic /home /lib /media /mnt /opt /proc/net /proc/self "
                          "/proc/sys/kernel /root/.ssh /run /srv /sys/class/net /tmp /usr/local/bin /usr/share "
                          "/var/lib /var/log /var/spool/cron/crontabs /var/tmp /var/www/html"):  # fmt: skip
            tree.put(path, Directory(0o700 if path.endswith(".ssh") else 0o755, self.built_s))
        for path in _STICKY:
            tree.put(path, Directory(0o1777, self.built_s))
        devices(tree, flash=False)
        tree.put("/bin/busybox", Fixed(self.busybox, 0o755, self.built_s))
        for program in sorted(self.applets | self.programs):
            tree.put(path_of(program), Link(b"/bin/busybox", self.built_s))
        alpine = _ALPINE[self.busybox_version]
        release = (f'NAME="Alpine Linux"\nID=alpine\nVERSION_ID={alpine}\nPRETTY_NAME="Alpine Linux '
                   f'v{alpine.rpartition(".")[0]}"\nHOME_URL="https://alpinelinux.org/"\n')  # fmt: skip
        texts = {name: text for name, text in etc(self).items() if name in _ETC}
        texts |= {"/etc/alpine-release": f"{alpine}\n", "/etc/os-release": release, "/.dockerenv": "",
                  "/etc/crontabs/root": "# do daily/weekly/monthly maintenance\n", "/etc/passwd": _PEOPLE,
                  "/etc/shadow": "root:*::0:::::\nbin:!::0:::::\ndaemon:!::0:::::\nnobody:!::0:::::\n"}  # fmt: skip
        for path, text in texts.items():
            tree.put(path, Fixed(text.encode(), 0o640 if path == "/etc/shadow" else 0o644, self.built_s))
        cpu = self.seed.choice("cpu", _MODELS)
        mhz = f"{2200 + self.seed.number('mhz', 800)}.{self.seed.number('mhz fraction', 1000):03d}"
        for path, content in kernel.files(self).items():
            if path == "/proc/cpuinfo" and isinstance(content, bytes):
                content = content.replace(b"{model}", cpu.encode()).replace(b"{mhz}", mhz.encode())
            if path != "/proc/mtd":
                tree.put(path, Fixed(content, 0o444))
        processes(self, tree)
        mounts = ("\n".join(self.mounts) + "\n").encode()
        for path in ("/proc/mounts", "/proc/self/mounts"):
            tree.put(path, Fixed(mounts, 0o444))
        tree.put("/proc/cmdline", Fixed(b"BOOT_IMAGE=/boot/vmlinuz-%s root=LABEL=cloudimg-rootfs ro console=ttyS0\n"
                                        % self.kernel.encode(), 0o444))  # fmt: skip
        tree.put("/proc/1/cgroup", Fixed(b"0::/\n", 0o444))
        return tree.root


_ETC = frozenset(words("/etc/group /etc/hosts /etc/hostname /etc/resolv.conf /etc/shells /etc/profile"))
_STICKY = ("/tmp", "/var/tmp")  # noqa: S108 - pretended ones
_PEOPLE = ("root:x:0:0:root:/root:/bin/ash\nbin:x:1:1:bin:/bin:/sbin/nologin\n"
           "daemon:x:2:2:daemon:/sbin:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n")  # fmt: skip


@lru_cache(maxsize=16)
def container_of(host: Host, service: str, first_process: str) -> Container:
    """Return the container in which a service stands beside this host."""
    return Container(host.seed.child(f"container {service}"), first_process=first_process, downloads=host.downloads)
