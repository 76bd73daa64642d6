"""Who the sensor can pretend to be, as data: one row a device family.

What differs within a family is drawn from the seed.
Refuses to know how anything is shown; `rootfs` turns a persona into files, `host` into answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Make: TypeAlias = tuple[str, tuple[str, ...]]  # title with `{0}` for the model; models with drawn `{n}` and `{m}`


@dataclass(frozen=True, slots=True)
class Persona:
    """A family of devices. Tuples hold the plausible values of which one is drawn."""

    name: str
    machine: str  # key of MACHINES
    makes: tuple[Make, ...]
    kernels: tuple[tuple[str, str], ...]  # release, and the GCC that such a machine's maker built it with
    busybox: tuple[str, ...]
    cpuinfo: str  # `{bogomips}` and `{serial}` are drawn
    memory_kb: tuple[int, ...]
    ouis: tuple[str, ...]  # first three octets of its MAC address
    storage: tuple[str, ...]  # lines of /proc/mounts besides what all have
    services: tuple[str, ...]  # what `ps` shows besides what all have
    banner: str = ""  # before the login prompt
    listen: tuple[str, ...] = ()  # its own ports, as in `sensor.listen`; a room that is not there is a catchall
    accounts: tuple[str, ...] = ()  # `user:password`, who gets in besides whom the seed lets in
    uptime_days: tuple[int, int] = (20, 90)  # how long it runs before it is started again, from and below
    texts: tuple[tuple[str, str], ...] = ()  # files by their paths, besides what all have
    host: str = ""  # which class of `world` it is, if not `Host`


_MTD = ("/dev/mtdblock4 /etc jffs2 rw,relatime 0 0", "/dev/mtdblock5 /mnt/mtd jffs2 rw,relatime 0 0")
_UBI = ("ubi0:config /etc ubifs rw,sync,relatime 0 0", "ubi0:data /data ubifs rw,relatime 0 0")
_DISK = ("/dev/sda1 /etc ext4 rw,noatime,data=ordered 0 0", "/dev/sda2 /mnt/data ext4 rw,noatime,data=ordered 0 0")
_ROUTER = ("/usr/sbin/httpd", "/usr/sbin/dnsmasq -C /etc/dnsmasq.conf", "/usr/sbin/ntpclient -s -h pool.ntp.org",
           "/usr/sbin/upnpd ppp0 br0", "/sbin/udhcpc -i eth1 -p /var/run/udhcpc.pid",
           "/usr/sbin/igmpproxy")  # fmt: skip
_RECORDER = ("/usr/bin/dvr_app", "/usr/bin/rtsp_server", "/usr/sbin/onvifd",
             "/sbin/watchdog -t 10 /dev/watchdog", "/sbin/udhcpc -i eth0 -p /var/run/udhcpc.pid",
             "/usr/bin/cloud_client")  # fmt: skip

_AT_ROUTERS = ("telnet tcp 23", "ssh tcp 22", "http tcp 80,8080", "telnet+tr069 tcp 7547", "upnp tcp 5431,52869",
               "upnp udp 1900", "dns udp 53", "snmp udp 161")  # fmt: skip
_AT_RECORDERS = ("telnet tcp 23,2323", "http tcp 80,81,8000", "rtsp tcp 554", "catchall udp 9034")
_AT_STORAGE = ("ssh tcp 22", "ftp tcp 21", "http tcp 80,5000", "smb tcp 139,445", "mysql tcp 3306", "ipp tcp 631",
               "snmp udp 161")  # fmt: skip
_AT_SERVERS = ("ssh tcp 22", "docker tcp 2375", "redis tcp 6379", "memcached tcp 11211", "memcached udp 11211",
               "mysql tcp 3306", "postgres tcp 5432", "mongodb tcp 27017", "kubelet tcp 10250",
               "jenkins tcp 8080", "yarn tcp 8088", "elasticsearch tcp 9200", "activemq tcp 61616")  # fmt: skip
_AT_WINDOWS = ("epmap tcp 135", "smb tcp 139,445", "mssql tcp 1433", "rdp tcp 3389",
               "catchall tcp 5985,47001", "netbios udp 137,5355", "catchall udp 1434")  # fmt: skip
_AT_BOXES = ("adb tcp 5555", "http tcp 8080")

_MIPS_CPU = """system type\t\t: {system}
machine\t\t\t: Unknown
processor\t\t: 0
cpu model\t\t: {model}
BogoMIPS\t\t: {bogomips}
wait instruction\t: yes
microsecond timers\t: yes
tlb_entries\t\t: 32
extra interrupt vector\t: yes
hardware watchpoint\t: yes, count: 4, address/irw mask: [0x0ffc, 0x0ffc, 0x0ffb, 0x0ffb]
isa\t\t\t: mips1 mips2 mips32r1 mips32r2
ASEs implemented\t: mips16 dsp
shadow register sets\t: 1
kscratch registers\t: 0
package\t\t\t: 0
core\t\t\t: 0
VCED exceptions\t\t: not available
VCEI exceptions\t\t: not available

"""
_ARM_CPU = """{top}
BogoMIPS\t: {bogomips}
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: {architecture}
CPU variant\t: 0x0
CPU part\t: {part}
CPU revision\t: 5

Hardware\t: {hardware}
Revision\t: 0000
Serial\t\t: {serial}
"""
_X86_CPU = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 55
model name\t: Intel(R) Celeron(R) CPU  J1800  @ 2.41GHz
stepping\t: 8
microcode\t: 0x838
cpu MHz\t\t: 2408.000
cache size\t: 1024 KB
fpu\t\t: yes
cpuid level\t: 11
wp\t\t: yes
flags\t\t: fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 nx
bogomips\t: {bogomips}
clflush size\t: 64
address sizes\t: 36 bits physical, 48 bits virtual

"""
_PLAIN_CPU = """processor\t: 0
cpu\t\t: {model}
clock\t\t: {clock}
revision\t: 2.1
bogomips\t: {bogomips}

"""
_BUSYBOX = ("1.16.1", "1.17.4", "1.18.4", "1.19.4", "1.20.2", "1.22.1", "1.23.2")
_OPENWRT_KERNEL = ("3.3.8", "4.6.3 20120201 (prerelease) (Linaro GCC 4.6-2012.02)")
_HISILICON_KERNELS = (
    ("3.0.8", "4.4.1 (Hisilicon_v100(gcc4.4-290+uclibc_0.9.32.1+eabi+linuxpthread))"),
    ("3.4.35", "4.8.3 20131202 (prerelease) (Hisilicon_v300)"),
)
_WIRELESS = ("{0} Wireless Router", ("WR{n}N", "RT-N{m}", "AC{n}", "WAP-{n}", "BR-{n}n"))
_ADSL = ("{0} ADSL2+ Modem Router", ("DSL-{n}", "TD-{n}", "AM{n}HN", "VR-{n}"))
_FIBRE = ("{0} GPON ONT", ("HG{n}", "GN-{n}V", "F{n}", "ONT-{n}W"))
_RECORDING = ("Network Video Recorder {0}", ("NVR{n}", "XVR-{n}", "DVR{n}H", "HVR-{n}"))
_WATCHING = ("IP Camera {0}", ("IPC-{n}", "NC{n}W", "CAM{n}", "HD-{n}P"))
_STORING = ("{0} Network Storage", ("NSA{m}", "DNS-{m}0", "NAS{n}"))
_GUARDING = ("{0} Security Gateway", ("USG{m}", "SG-{n}", "FW{n}"))
_LINKING = ("{0} Access Point", ("AP-{n}", "AIR{n}", "WAP{n}"))
_SHOWING = ("{0} Set-Top Box", ("STB{n}", "HD{n}"))
_CONTROLLING = ("{0} Controller", ("MCF{n}", "EC-{n}"))
_COMPUTING = ("{0}", ("sun{n}", "ws{n}"))


def _mips(system: str, model: str) -> str:
    return _MIPS_CPU.replace("{system}", system).replace("{model}", model)


def _arm(top: str, features: str, architecture: str, part: str, hardware: str) -> str:
    text = _ARM_CPU.replace("{top}", top).replace("{features}", features).replace("{architecture}", architecture)
    return text.replace("{part}", part).replace("{hardware}", hardware)


def _plain(model: str, clock: str) -> str:
    return _PLAIN_CPU.replace("{model}", model).replace("{clock}", clock)


# The first rows are what the seed draws from; the others are for who asks for them by name.
DRAWN = 4
PERSONAS = (
    Persona("router", "mips", (_WIRELESS, _ADSL),
            (("2.6.31", "4.3.3 (GCC)"), _OPENWRT_KERNEL, ("3.10.49", "4.8.3 (OpenWrt/Linaro GCC 4.8-2014.04 r42625)")),
            _BUSYBOX,
            _mips("Atheros AR9344 rev 2", "MIPS 74Kc V4.12"), (28_148, 61_128, 124_908),
            ("c0:4a:00", "e8:94:f6", "14:cc:20", "a0:f3:c1"), _MTD, _ROUTER,
            listen=_AT_ROUTERS),
    Persona("router-le", "mipsel", (_WIRELESS, _LINKING),
            (("2.6.36", "3.4.2"), ("3.10.14", "4.6.3 (Buildroot 2012.11.1)"),
             ("3.18.29", "4.8.3 (OpenWrt/Linaro GCC 4.8-2014.04 r49389)")),
            _BUSYBOX,
            _mips("MediaTek MT7620N ver:2 eco:6", "MIPS 24KEc V5.0"), (28_660, 60_872, 125_364),
            ("00:0c:43", "78:44:76", "04:8d:38", "b0:48:7a"), _MTD, _ROUTER,
            listen=_AT_ROUTERS),
    Persona("recorder", "arm7", (_RECORDING,),
            _HISILICON_KERNELS,
            _BUSYBOX,
            _arm("Processor\t: ARMv7 Processor rev 1 (v7l)\nprocessor\t: 0",
                 "swp half thumb fastmult vfp edsp neon vfpv3 tls", "7", "0xc09", "hi3520d"),
            (58_432, 122_968, 251_904), ("00:12:16", "00:0b:3f", "bc:ad:28", "4c:11:bf"), _MTD, _RECORDER,
            listen=_AT_RECORDERS),
    Persona("camera", "arm", (_WATCHING,),
            _HISILICON_KERNELS,
            _BUSYBOX,
            _arm("Processor\t: ARM926EJ-S rev 5 (v5l)", "swp half thumb fastmult edsp java", "5TEJ", "0x926", "hi3518"),
            (37_996, 42_084, 59_108), ("00:12:17", "e0:62:90", "9c:8e:cd", "3c:ef:8c"), _MTD, _RECORDER,
            listen=_AT_RECORDERS),
    Persona("storage", "x86_64", (_STORING,),
            (("3.2.40", "4.7.3 (GCC)"), ("3.10.77", "4.7.3 (GCC)"), ("4.4.11", "5.4.0 (GCC)")),
            _BUSYBOX, _X86_CPU, (1_024_328, 2_051_884),
            ("00:11:32", "00:08:9b"), _DISK, _ROUTER, listen=_AT_STORAGE),
    Persona("firewall", "x86", (_GUARDING,),
            (("2.6.39.4", "4.6.4 (GCC)"), ("3.2.40", "4.6.4 (GCC)")),
            _BUSYBOX, _X86_CPU, (253_128, 510_212), ("00:0d:b9", "00:90:0b"), _DISK, _ROUTER,
            listen=_AT_ROUTERS),
    Persona("access-point", "ppc", (_LINKING,),
            (("2.6.35", "4.3.3 (GCC)"), ("3.2.54", "4.6.4 (GCC)")),
            _BUSYBOX,
            _plain("e500v2", "800.000000MHz"), (125_204, 254_112), ("00:1a:1e", "00:24:6c"), _UBI, _ROUTER,
            listen=_AT_ROUTERS),
    Persona("set-top-box", "sh4", (_SHOWING,),
            (("2.6.32.59_stm24", "4.5.3 (GCC)"),),
            _BUSYBOX,
            _plain("sh4, ST40-300", "450.00MHz"), (124_416, 188_928), ("00:1e:b8", "00:c0:95"), _UBI, _RECORDER,
            listen=_AT_RECORDERS),
    Persona("workstation", "sparc", (_COMPUTING,),
            (("2.6.32.71", "4.4.5 (GCC)"),),
            _BUSYBOX,
            _plain("Fujitsu MB86904", "110 MHz"), (61_440, 94_208), ("08:00:20", "00:03:ba"), _DISK, _ROUTER,
            listen=_AT_ROUTERS),
    Persona("controller", "m68k", (_CONTROLLING,),
            (("2.6.38", "4.5.2 (GCC)"),),
            _BUSYBOX,
            _plain("m68k, MCF5475", "266.0MHz"), (30_720, 62_464), ("00:cf:54", "00:40:43"), _MTD, _ROUTER,
            listen=_AT_ROUTERS),
    Persona("gateway", "aarch64", (_FIBRE,),
            (("4.1.16", "5.3.0 (Buildroot 2016.08)"), ("4.1.27", "5.3.0 (Buildroot 2016.08)"),
             ("4.4.11", "5.3.0 (Buildroot 2016.08)")),
            ("1.22.1", "1.24.1", "1.25.1"),
            _arm("processor\t: 0", "fp asimd evtstrm aes pmull sha1 sha2 crc32", "8", "0xd03", "Broadcom BCM94908"),
            (252_160, 508_416), ("18:e8:29", "a4:91:b1"), _UBI, _ROUTER,
            listen=_AT_ROUTERS),
    # What these are in detail, their classes know.
    Persona("linux-server", "x86_64", (("{0}", ("web{m}", "app{m}", "db{m}", "node-{m}", "srv{n}", "vps{n}")),),
            (("5.15.{n}-0-virt", "10.3.1 20211027"), ("6.1.{n}-0-virt", "12.2.1 20220924")),
            ("1.35.0", "1.36.1"), _X86_CPU, (1_003_252, 2_035_432, 4_030_848), ("52:54:00", "fa:16:3e", "00:16:3e"),
            (), ("/usr/sbin/nginx -c /etc/nginx/nginx.conf", "/usr/bin/redis-server 0.0.0.0:6379", "/usr/bin/dockerd"),
            listen=_AT_SERVERS, host="server:Server"),
    Persona("android-box", "aarch64", (_SHOWING,), (("4.9.113", "6.3.1 20170109 (Linaro GCC 6.3-2017.02)"),),
            _BUSYBOX, "", (868_352, 1_832_764, 2_050_320), ("00:15:18", "80:0a:80"), (), (), listen=_AT_BOXES,
            host="android:Android"),
    Persona("windows-server", "x86_64", (("{0}", ("SRV-{n}", "SRV-SQL{m}", "SRV-APP{m}", "WIN-{n}SRV{m}", "DC{m}",
                                                  "FILE-{m}")),),
            (("10.0.14393", ""),), ("1.22.1",), _X86_CPU, (4_193_000, 8_387_000, 16_776_000),
            ("00:15:5d", "00:50:56"), (), (), listen=_AT_WINDOWS, uptime_days=(10, 60)),
)  # fmt: skip
WINDOWS = "windows-server"
BY_NAME = {persona.name: persona for persona in PERSONAS}


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text."""
    return tuple(text.split())


# What every persona's BusyBox has; the downloaders come on top, unless the host is to do without.
APPLETS = words(
    "[ [[ arp ash awk base64 basename bunzip2 bzcat cat chattr chgrp chmod chown chpasswd chroot clear cmp cp crond "
    "crontab cut date dd df diff dirname dmesg du echo egrep env expr false fdisk fgrep find fold free fuser getty "
    "grep gunzip gzip halt head hexdump hostname hwclock id ifconfig init insmod ip iptables kill killall klogd less "
    "ln logger login logread ls lsattr lsmod md5sum mkdir mkfifo mknod mktemp modprobe more mount mv netstat nice "
    "nohup nl nproc nslookup od passwd paste pgrep pidof ping pkill pivot_root poweroff printf ps pwd readlink "
    "realpath reboot renice reset rev rm rmdir rmmod route sed seq setsid sh sha1sum sha256sum shuf sleep sort stat "
    "strings stty su sync sysctl syslogd tac tail tar tee telnet telnetd test time timeout top touch tr traceroute "
    "true tty udhcpc udhcpd umount uname uniq unzip uptime usleep uuencode vi w watch watchdog wc which who whoami "
    "xargs xxd yes zcat"
)
DOWNLOADERS = ("ftpget", "ftpput", "nc", "tftp", "wget")
# Programs of their own, not of BusyBox.
PROGRAMS = ("nvram", "dropbear", "sudo")
OF_SERVERS = ("openssl", "perl", "python3")  # what a machine brings along that is no device
DOWNLOADING_PROGRAMS = ("curl", "ftp", "scp", "lwp-download", "python")


def told(values: dict[str, Any]) -> Persona:
    """Return the persona that `dataclasses.asdict` took apart, also when JSON has made lists of tuples since."""
    return Persona(**{name: _tuples(value) for name, value in values.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
