"""What the pretended kernel says: /proc, uptime, memory, processes. Figures move with the time that is handed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eudaemon.world.host import Host


def files(host: Host) -> dict[str, bytes | Callable[[float], bytes]]:
    """Return /proc and /sys as path and content."""
    cpuinfo = host.persona.cpuinfo.replace("{bogomips}", host.bogomips).replace("{serial}", host.serial)
    mac = host.mac
    traffic = host.seed.number("traffic", 3_000_000_000) + 100_000_000
    return {
        "/proc/cpuinfo": cpuinfo.encode(),
        "/proc/version": f"{host.version_line}\n".encode(),
        "/proc/uptime": lambda at_s: b"%.2f %.2f\n" % (host.uptime_s(at_s), host.uptime_s(at_s) * 0.93),
        "/proc/meminfo": lambda at_s: meminfo(host, at_s),
        "/proc/loadavg": lambda at_s: b"%s 1/%d %d\n" % (load(host, at_s), 40 + len(host.persona.services),
                                                         host.pid_at(at_s)),
        "/proc/cmdline": b"console=ttyS0,115200 root=/dev/mtdblock2 rootfstype=squashfs noinitrd\n",
        "/proc/filesystems": b"nodev\tsysfs\nnodev\trootfs\nnodev\tproc\nnodev\ttmpfs\n"
                             b"nodev\tdevpts\n\tsquashfs\n\tjffs2\n",
        "/proc/mtd": b'dev:    size   erasesize  name\nmtd0: 00040000 00010000 "boot"\nmtd1: 00180000 00010000 '
                     b'"kernel"\n'
                     b'mtd2: 00580000 00010000 "rootfs"\nmtd3: 00010000 00010000 "factory"\n'
                     b'mtd4: 00020000 00010000 "config"\nmtd5: 00080000 00010000 "user"\n',
        "/proc/self/cmdline": b"-sh\0",
        "/proc/self/status": b"Name:\tsh\nState:\tR (running)\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n",
        "/proc/self/environ": b"USER=root\0HOME=/root\0SHELL=/bin/sh\0",
        "/proc/modules": b"",
        "/proc/stat": lambda at_s: b"cpu  %d 0 %d %d 0 0 12 0\nbtime %d\n" % (
            host.uptime_s(at_s) * 2, host.uptime_s(at_s) * 4, host.uptime_s(at_s) * 93, host.booted_s),
        "/proc/net/dev": f"Inter-|   Receive                                                |  Transmit\n"
                         f" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
                         f"drop "
                         f"fifo colls carrier compressed\n"
                         f"    lo:   81204     904    0    0    0     0          0         0    81204     904    0    0"
                         f"    0     0       0          0\n"
                         f"  eth0:{traffic:>10} {traffic // 700:>7}    0    0    0     0          0         0 "
                         f"{traffic // 5:>8} {traffic // 900:>7}    0    0    0     0       0          0\n".encode(),
        "/proc/net/route": b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n",
        "/proc/net/tcp": ("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
                          "inode\n" + "".join(
                              f"{row:>4}: 00000000:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000"
                              f"     0        0 {312 + 33 * row}\n"
                              for row, port in enumerate(listening(host)))).encode(),
        "/proc/net/arp": f"IP address       HW type     Flags       HW address            Mask     Device\n"
                         f"{host.gateway:<16} 0x1         0x2         {mac[:8]}:{mac[12:]}:01     *        "
                         f"eth0\n".encode(),
        "/proc/sys/kernel/hostname": f"{host.name}\n".encode(),
        "/proc/sys/kernel/osrelease": f"{host.kernel}\n".encode(),
        "/sys/class/net/eth0/address": f"{mac}\n".encode(),
    }  # fmt: skip


def load(host: Host, at_s: float) -> bytes:
    """Return the three load averages, which wander with the minute."""
    minute = int(at_s // 60)
    now = (host.seed.number(f"load {minute}", 40) + 5) / 100
    return b"%.2f %.2f %.2f" % (now, (now + 0.14) / 2, (now + 0.3) / 3)


def memory(host: Host, at_s: float) -> tuple[int, int, int, int]:
    """Return total, free, buffers and cached, in KiB."""
    total = host.memory_kb
    free = total // 4 + host.seed.number(f"free {int(at_s // 30)}", total // 20)
    return total, free, total // 30, total // 5


def meminfo(host: Host, at_s: float) -> bytes:
    """Return /proc/meminfo."""
    total, free, buffers, cached = memory(host, at_s)
    rows = (("MemTotal", total), ("MemFree", free), ("Buffers", buffers), ("Cached", cached), ("SwapCached", 0),
            ("Active", total // 5), ("Inactive", total // 7), ("SwapTotal", 0), ("SwapFree", 0), ("Dirty", 0),
            ("AnonPages", total // 12), ("Mapped", total // 25), ("Slab", total // 9), ("PageTables", total // 200),
            ("VmallocTotal", 1048372), ("VmallocUsed", 932), ("VmallocChunk", 1041788))  # fmt: skip
    return b"".join(b"%-15s %8d kB\n" % (name.encode() + b":", value) for name, value in rows)


def listening(host: Host) -> tuple[int, ...]:
    """Return the TCP ports on which it says that it listens."""
    return (*host.ports, 554) if any("rtsp" in service for service in host.persona.services) else host.ports


def space_kb(host: Host, device: str, kind: str, flags: str) -> int:
    """Return the size of a mounted file system in KiB, as `mount`, `df` and /proc/mtd agree on it."""
    for flag in flags.split(","):
        if flag.startswith("size="):
            return int(flag[len("size=") : -1])  # all ours are in k
    if kind == "tmpfs":
        return host.memory_kb // 2
    if kind == "overlay":
        return 20_000_000 + host.seed.number("disk size", 60_000_000)
    if kind == "ext4":
        return 475_000 if device.endswith("1") else 3_800_000
    return {"/dev/root": 5632, "/dev/mtdblock4": 128, "/dev/mtdblock5": 512}.get(device, 4096)


def usage_kb(host: Host, device: str, path: str, kind: str, flags: str) -> tuple[int, int]:
    """Return how large a mounted file system is and how much of it is used, in KiB, as `df` shows it."""
    size = space_kb(host, device, kind, flags)
    if kind == "squashfs":
        return size, size
    return size, 0 if path.startswith("/dev") else host.seed.number(f"used {path}", size // 9)


def residents(host: Host) -> list[tuple[int, int, str, str]]:
    """Return the processes that run as long as the host does: pid, VSZ in KiB, state, command."""
    found = [(1, 1512, "S", host.first_process)]
    found += [(number, 0, "SW", f"[{name}]") for number, name in enumerate(host.threads, 2)]
    pid = 60 if host.threads else 1
    for command in host.daemons:
        pid += 7 + host.seed.number(f"pid {command}", 23)
        found.append((pid, 1100 + host.seed.number(f"vsz {command}", 4000), "S", command))
    return found


def processes(host: Host, shell: int, asking: str) -> list[tuple[int, int, str, str]]:
    """Return what `ps` lists: the residents, the session's shell by its pid, and the command that asks."""
    return [*residents(host), (shell, 1520, "S", host.shell_name.decode()), (shell + 3, 1516, "R", asking)]


def process_files(pid: int, size_kb: int, state: str, command: str) -> dict[str, bytes]:
    """Return the files in a resident's directory of /proc. A thread of the kernel has no command line."""
    thread = command.startswith("[")
    parent = 0 if pid <= 2 else 2 if thread else 1
    name = command.strip("[]").split(" ")[0].rpartition("/")[2][:15]
    letter, pages = state[0], size_kb // 4
    started = pid * 9  # in hundredths of a second after the start
    sizes = "" if thread else f"VmPeak:\t{size_kb:>8} kB\nVmSize:\t{size_kb:>8} kB\nVmRSS:\t{size_kb // 3:>8} kB\n"
    status = (
        f"Name:\t{name}\nState:\t{letter} (sleeping)\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t{parent}\nTracerPid:\t0\n"
        f"Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t32\nGroups:\t\n{sizes}Threads:\t1\n"
    )
    group, flags = (0, 69_238_880) if thread else (pid, 256)
    memory = f"{size_kb * 1024} {pages // 3} 4294967295"
    # proc(5): the 44 fields that a Linux before 3.3 shows.
    stat = (
        f"{pid} ({name}) {letter} {parent} {group} {group} 0 -1 {flags} 0 0 0 0 0 {pid % 7} 0 0 20 0 1 0 "
        f"{started} {memory} 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n"
    )
    cmdline = b"" if thread else command.encode().replace(b" ", b"\0") + b"\0"
    return {"cmdline": cmdline, "comm": f"{name}\n".encode(), "status": status.encode(), "stat": stat.encode()}
