"""An Android box with its debug bridge open to the network: what stands behind port 5555.

It shares the sensor's seed with the device at the other ports, and nothing else: another box behind the same address.
Makers sell such boxes with adbd running as root (`ro.secure=0`) and with a BusyBox in /system/xbin.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import ClassVar

from eudaemon.world import kernel
from eudaemon.world.files import Directory, Fixed, Link
from eudaemon.world.host import Host
from eudaemon.world.personas import APPLETS, DOWNLOADERS, DOWNLOADING_PROGRAMS, PERSONAS, Persona, words
from eudaemon.world.rootfs import Tree, devices, placed, processes
from eudaemon.world.seed import Seed


@dataclass(frozen=True, slots=True)
class Release:
    """One Android, and what its adbd says of itself (AOSP system/core/adb, adb.h of that release)."""

    version: str
    sdk: int
    build: str
    protocol: int
    payload_bytes_max: int
    features: str


_OLD, _NEW = 0x01000000, 0x01000001
RELEASES = (
    Release("5.1.1", 22, "LMY49F", _OLD, 4096, ""),
    Release("6.0.1", 23, "MHC19J", _OLD, 4096, ""),
    Release("7.1.2", 25, "NHG47L", _OLD, 256 * 1024, "cmd,shell_v2"),
    Release("9", 28, "PPR1.180610.011", _NEW, 1024 * 1024, "cmd,stat_v2,shell_v2"),
)
# The kernels that boxes with those releases have; the compiler is Linaro's or Google's.
_KERNELS = {
    "5.1.1": ("3.10.33", "4.9.x-google 20140827 (prerelease) (GCC)"),
    "6.0.1": ("3.14.29", "4.9.x-google 20140827 (prerelease) (GCC)"),
    "7.1.2": ("3.14.79", "4.9.2 20140904 (prerelease) (crosstool-NG linaro-1.13.1-4.9-2014.09 - Linaro GCC)"),
    "9": ("4.9.113", "6.3.1 20170109 (Linaro GCC 6.3-2017.02)"),
}
_SERVICES = (
    "/sbin/ueventd", "/system/bin/logd", "/sbin/healthd", "/system/bin/lmkd", "/system/bin/servicemanager",
    "/system/bin/vold", "/system/bin/surfaceflinger", "/system/bin/netd", "/system/bin/debuggerd",
    "/system/bin/mediaserver", "/system/bin/installd", "/system/bin/keystore /data/misc/keystore", "zygote",
    "/sbin/adbd --root_seclabel=u:r:su:s0", "system_server", "com.android.systemui", "com.android.launcher3",
    "com.google.android.gms.persistent", "android.process.media", "com.droidlogic.mediacenter",
)  # fmt: skip
_BOXES = (("{0}", ("MBOX", "TX{m}mini", "H96_Max", "T95Z", "MXQ-4K", "X96mini", "TV-BOX", "S9{m}X", "A{m}X")),)
_OUIS = ("00:15:18", "80:0a:80", "c4:4e:ac", "10:a4:be")
_BUSYBOX = ("1.22.1", "1.23.2", "1.26.2")
_HARDWARE = {"aarch64": "Amlogic", "arm7": "Rockchip RK322x"}  # as /proc/cpuinfo names it


def _box(name: str, machine: str) -> Persona:
    like = next(persona for persona in PERSONAS if persona.machine == machine)
    cpu = re.sub(r"(Hardware\t: ).*", rf"\g<1>{_HARDWARE[machine]}", like.cpuinfo)
    return Persona(name, machine, _BOXES, tuple(_KERNELS.values()), _BUSYBOX, cpu,
                   (868_352, 1_832_764, 2_050_320), _OUIS, (), _SERVICES)  # fmt: skip


BOXES = (_box("android box", "aarch64"), _box("android box, 32 bits", "arm7"))
_DEVICES = {"aarch64": ("p212", "p281", "q201", "ampere", "galilei"), "arm7": ("rk322x_box", "rk3229", "p201", "n200")}
_BRANDS = ("Amlogic", "MBX", "Android", "rockchip")
# What toybox and Android itself bring; all else is BusyBox's, in /system/xbin.
_OWN = words(
    "am app_process cmd dumpsys getprop ime input logcat monkey pm screencap service setprop settings svc toybox wm"
)
_IN_BIN = frozenset(
    words(
        "sh cat chmod chown cp date dd df dmesg du echo env grep head hostname id ifconfig insmod kill ln ls lsmod "
        "mkdir mknod mount mv netstat nohup ping printenv ps pwd reboot rm rmdir rmmod route sed sleep stat sync tail "
        "top touch uname uptime wc which whoami xargs"
    )
)
_LACKS = frozenset(words("awk ash chpasswd fuser getty halt init login logread passwd poweroff udhcpd vi w who"))


class Android(Host):
    """One installation's Android box."""

    shell_name: ClassVar[bytes] = b"/system/bin/sh"
    starts_in: ClassVar[bytes] = b"/"
    identity: str = (
        "uid=0(root) gid=0(root) groups=0(root),1004(input),1007(log),1011(adb),1015(sdcard_rw),1028(sdcard_r),"
        "3001(net_bt_admin),3002(net_bt),3003(inet),3006(net_bw_stats) context=u:r:su:s0"
    )
    ports: ClassVar[tuple[int, ...]] = (5555,)
    environment: ClassVar[dict[bytes, bytes]] = {
        b"HOME": b"/data", b"PATH": b"/sbin:/vendor/bin:/system/sbin:/system/bin:/system/xbin",
        b"SHELL": b"/system/bin/sh", b"TERM": b"dumb", b"ANDROID_DATA": b"/data", b"ANDROID_ROOT": b"/system",
        b"EXTERNAL_STORAGE": b"/sdcard", b"TMPDIR": b"/data/local/tmp",
    }  # fmt: skip

    def __init__(self, seed: Seed, given: Persona | None = None, *, downloads: bool = True) -> None:
        persona: Persona = seed.choice("box", BOXES)
        if given is not None:  # a persona says what is one's own; which box it is, is drawn
            persona = replace(persona, name=given.name, listen=given.listen, accounts=given.accounts,
                              uptime_days=given.uptime_days, texts=given.texts)  # fmt: skip
        super().__init__(seed, persona, downloads=downloads)
        self.release: Release = seed.choice("android", RELEASES)
        self.kernel, self.compiler = _KERNELS[self.release.version]
        self.model = self.name.replace("_", " ")
        self.device: str = seed.choice("device", _DEVICES[persona.machine])
        self.brand: str = seed.choice("brand", _BRANDS)
        self.name = "localhost"  # all Androids are called so

    def prompt_in(self, directory: bytes) -> bytes:
        """See `Host`; mksh's prompt on Android tells the directory."""
        return f"{'root@' if self.release.sdk < 24 else ''}{self.device}:".encode() + directory + b" # "

    @property
    def daemons(self) -> tuple[str, ...]:
        """See `Host`."""
        return self.persona.services

    @cached_property
    def properties(self) -> dict[str, str]:
        """What `getprop` lists."""
        built = datetime.fromtimestamp(self.built_s, UTC)
        release, device = self.release, self.device
        number = f"{built:%Y%m%d}.{self.seed.number('build number', 240_000):06d}"
        wide = self.machine.bits == 64
        description = f"{device}-user {release.version} {release.build} {number} test-keys"
        return {
            "dalvik.vm.heapsize": "384m",
            "dhcp.eth0.ipaddress": self.address,
            "gsm.operator.numeric": "",
            "init.svc.adbd": "running",
            "net.dns1": self.gateway,
            "persist.sys.timezone": self.seed.choice("timezone", ("Asia/Shanghai", "America/New_York", "Etc/GMT")),
            "ro.adb.secure": "0",
            "ro.board.platform": device,
            "ro.build.date.utc": str(int(self.built_s)),
            "ro.build.description": description,
            "ro.build.display.id": description,
            "ro.build.fingerprint": f"{self.brand}/{device}/{device}:{release.version}/{release.build}/{number}:"
            "user/test-keys",
            "ro.build.id": release.build,
            "ro.build.tags": "test-keys",
            "ro.build.type": "user",
            "ro.build.version.incremental": number,
            "ro.build.version.release": release.version,
            "ro.build.version.sdk": str(release.sdk),
            "ro.debuggable": "1",
            "ro.hardware": "amlogic" if wide else "rk30board",
            "ro.product.brand": self.brand,
            "ro.product.cpu.abi": "arm64-v8a" if wide else "armeabi-v7a",
            "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a,armeabi" if wide else "armeabi-v7a,armeabi",
            "ro.product.device": device,
            "ro.product.manufacturer": self.brand,
            "ro.product.model": self.model,
            "ro.product.name": device,
            "ro.secure": "0",
            "ro.serialno": self.serial,
            "service.adb.tcp.port": "5555",
            "sys.boot_completed": "1",
        }

    @cached_property
    def packages(self) -> tuple[str, ...]:
        """What `pm list packages` lists."""
        fixed = words("android com.android.settings com.android.shell com.android.systemui com.android.vending "
                      "com.android.providers.media com.android.packageinstaller com.android.webview")  # fmt: skip
        drawn = words("com.google.android.youtube.tv org.xbmc.kodi com.netflix.mediaclient com.droidlogic.tvinput "
                      "com.google.android.gms com.android.chrome com.mxtech.videoplayer.ad com.rockchip.wfd "
                      "com.droidlogic.miracast com.adobe.flashplayer com.happycast.sdk")  # fmt: skip
        return (*fixed, *(name for name in drawn if self.seed.number(f"package {name}", 2)))

    @cached_property
    def mounts(self) -> tuple[str, ...]:
        """See `Host`."""
        return (
            "rootfs / rootfs ro,seclabel 0 0",
            "tmpfs /dev tmpfs rw,seclabel,nosuid,relatime,mode=755 0 0",
            "devpts /dev/pts devpts rw,seclabel,relatime,mode=600 0 0",
            "proc /proc proc rw,relatime 0 0",
            "sysfs /sys sysfs rw,seclabel,relatime 0 0",
            "/dev/block/system /system ext4 ro,seclabel,noatime,nodiratime,noauto_da_alloc,data=ordered 0 0",
            "/dev/block/data /data ext4 rw,seclabel,nosuid,nodev,noatime,noauto_da_alloc,data=ordered 0 0",
            "/dev/block/cache /cache ext4 rw,seclabel,nosuid,nodev,noatime,noauto_da_alloc,data=ordered 0 0",
            "tmpfs /storage tmpfs rw,seclabel,relatime,mode=755,gid=1000 0 0",
            "/dev/fuse /storage/emulated fuse rw,nosuid,nodev,noexec,noatime,user_id=1023,group_id=1023 0 0",
        )

    @cached_property
    def applets(self) -> frozenset[str]:
        """See `Host`."""
        return frozenset(APPLETS + (DOWNLOADERS if self.downloads else ())) - _LACKS

    @cached_property
    def programs(self) -> frozenset[str]:
        """See `Host`."""
        return frozenset(_OWN + (DOWNLOADING_PROGRAMS[:1] if self.downloads else ()))

    def path_of(self, program: str) -> str:
        """See `Host`."""
        return f"/system/{'bin' if program in _IN_BIN or program in _OWN else 'xbin'}/{program}"

    @cached_property
    def tree(self) -> Directory:
        """See `Host`."""
        tree = Tree(self.built_s)
        for path in words("/acct /cache /config /data/app /data/data /data/misc /dev/pts /mnt /proc/net /proc/self "
                          "/proc/sys/kernel /root /sbin /storage/emulated/0/Android /storage/emulated/0/DCIM "
                          "/storage/emulated/0/Download /sys/class/net /system/app /system/etc /system/lib "
                          "/system/priv-app /vendor"):  # fmt: skip
            tree.put(path, Directory(0o771 if path.startswith("/data") else 0o755, self.built_s))
        tree.put("/data/local/tmp", Directory(0o777, self.built_s))
        tree.put("/sdcard", Link(b"/storage/emulated/0", self.built_s))
        tree.put("/etc", Link(b"/system/etc", self.built_s))
        tree.put("/system/xbin/busybox", Fixed(self.busybox, 0o755, self.built_s))
        tree.put("/system/bin/toybox", Fixed(self.busybox, 0o755, self.built_s))
        for program in sorted(self.applets | (self.programs - {"toybox"})):
            path = self.path_of(program)
            target = b"toybox" if path.startswith("/system/bin") else b"busybox"
            tree.put(path, Link(target, self.built_s))
        devices(tree)
        for path, content in kernel.files(self).items():
            if path != "/proc/mtd":
                tree.put(path, Fixed(content, 0o444))
        processes(self, tree)
        mounts = ("\n".join(self.mounts) + "\n").encode()
        tree.put("/proc/mounts", Fixed(mounts, 0o444))
        tree.put("/proc/cmdline", Fixed(b"rootfstype=ramfs init=/init console=ttyS0,115200 androidboot.hardware=%s "
                                        b"androidboot.selinux=permissive\n" % self.properties["ro.hardware"].encode(),
                                        0o444))  # fmt: skip
        listed = "".join(f"{name}={value}\n" for name, value in self.properties.items() if name.startswith("ro."))
        tree.put("/system/build.prop", Fixed(listed.encode(), 0o644, self.built_s))
        tree.put("/system/etc/hosts", Fixed(b"127.0.0.1       localhost\n::1             ip6-localhost\n", 0o644))
        return placed(tree.root, self)


@lru_cache(maxsize=8)
def android_of(host: Host) -> Android:
    """Return the box that stands beside this host, or that it is."""
    if isinstance(host, Android):
        return host
    return Android(host.seed.child("android"), downloads=host.downloads)
