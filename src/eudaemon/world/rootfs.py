"""The pretended host's file tree, built once from what the host says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eudaemon.world import kernel
from eudaemon.world.files import Device, Directory, Fixed, Link, Node
from eudaemon.world.personas import words

if TYPE_CHECKING:
    from eudaemon.world.host import Host

_SBIN = frozenset(
    words(
        "arp crond fdisk getty halt hwclock ifconfig init insmod ip iptables klogd logread lsmod modprobe pivot_root "
        "poweroff reboot rmmod route sysctl syslogd udhcpc udhcpd watchdog"
    )
)
_USR_BIN = frozenset(
    words(
        "[ [[ awk base64 basename bunzip2 bzcat chpasswd clear cmp crontab cut diff dirname du env expr find free "
        "ftpget ftpput fuser head hexdump id killall less logger md5sum mkfifo nc nohup nproc nslookup od passwd "
        "printf readlink realpath renice reset seq sha1sum sha256sum sort stat strings tail tee telnet test tftp time "
        "timeout top tr traceroute tty uniq unzip uptime uuencode w wc wget which who whoami xargs xxd yes curl ftp "
        "sudo"
    )
)
_USR_SBIN = frozenset(("chroot", "telnetd", "dropbear", "nvram"))


def path_of(applet: str) -> str:
    """Return where a program of that name stands, as `which` says it."""
    if applet in _SBIN:
        return f"/sbin/{applet}"
    if applet in _USR_SBIN:
        return f"/usr/sbin/{applet}"
    return f"/usr/bin/{applet}" if applet in _USR_BIN else f"/bin/{applet}"


def build(host: Host) -> Directory:
    """Return the root of the host's tree."""
    tree = Tree(host.built_s)
    _directories(host, tree)
    _programs(host, tree)
    devices(tree)
    for path, text in etc(host).items():
        mode = 0o600 if path == "/etc/shadow" else 0o755 if "init.d" in path else 0o644
        tree.put(path, Fixed(text.encode(), mode, host.built_s))
    for path, content in kernel.files(host).items():
        tree.put(path, Fixed(content, 0o444))
    processes(host, tree)
    mounts = ("\n".join(host.mounts) + "\n").encode()
    tree.put("/proc/mounts", Fixed(mounts, 0o444))
    tree.put("/proc/self/mounts", Fixed(mounts, 0o444))
    tree.put("/proc/self/exe", Link(b"/bin/busybox"))
    tree.put("/var/run/utmp", Fixed(b"", 0o644, host.built_s))
    tree.put("/var/log/messages", Fixed(b"", 0o644, host.built_s))
    return tree.root


class Tree:
    """A tree that grows by paths."""

    def __init__(self, made_s: float) -> None:
        self.made_s = made_s
        self.root = Directory(mtime_s=made_s)

    def put(self, path: str, node: Node) -> None:
        """Put a node at a path; directories above it are made."""
        at = self.root
        *above, name = path.strip("/").encode("latin-1").split(b"/")
        for part in above:
            below = at.names.get(part)
            if not isinstance(below, Directory):
                below = at.names[part] = Directory(mtime_s=self.made_s)
            at = below
        at.names[name] = node


def placed(root: Directory, host: Host) -> Directory:
    """Return a tree with the files in it that the persona has besides what all have."""
    if host.persona.texts:
        tree = Tree(host.built_s)
        tree.root = root
        for path, text in host.persona.texts:
            tree.put(path, Fixed(text.encode(), 0o755 if text.startswith("#!") else 0o644, host.built_s))
    return root


_STICKY = frozenset(words("/tmp /var/tmp /dev/shm"))  # noqa: S108 - pretended ones
_DIRECTORIES = words(
    "/bin /dev/pts /etc/init.d /home /lib/modules /mnt /proc/net /proc/self /proc/sys/kernel /root /sbin "
    "/sys/class/net "
    "/usr/bin /usr/lib /usr/sbin /usr/share /var/lock /var/log /var/run /var/spool/cron/crontabs"
)


def _directories(host: Host, tree: Tree) -> None:
    for path in (*_DIRECTORIES, *sorted(_STICKY)):
        tree.put(path, Directory(0o1777 if path in _STICKY else 0o755, host.built_s))
    for mount in host.mounts:
        place = mount.split(" ")[1]
        if place.startswith(("/mnt", "/data")):
            tree.put(place, Directory(mtime_s=host.built_s))


def _programs(host: Host, tree: Tree) -> None:
    made_s = host.built_s
    tree.put("/bin/busybox", Fixed(host.busybox, 0o755, made_s))
    for applet in host.applets:
        path = path_of(applet)
        tree.put(path, Link(b"../../bin/busybox" if path.startswith("/usr") else b"/bin/busybox", made_s))
    for program in host.programs:
        tree.put(path_of(program), Fixed(host.busybox, 0o755, made_s))
    tree.put("/lib/libc.so.0", Link(b"libuClibc-0.9.33.2.so", made_s))
    tree.put("/lib/libuClibc-0.9.33.2.so", Fixed(host.busybox[:4096], 0o755, made_s))
    tree.put("/lib/ld-uClibc.so.0", Link(b"libuClibc-0.9.33.2.so", made_s))


def processes(host: Host, tree: Tree) -> None:
    """What `ps` lists, in /proc; and the programs that it names, on disk."""
    for pid, size_kb, state, command in kernel.residents(host):
        for name, content in kernel.process_files(pid, size_kb, state, command).items():
            tree.put(f"/proc/{pid}/{name}", Fixed(content, 0o444))
        if command.startswith("["):
            continue
        program = command.split(" ")[0]
        if program.rpartition("/")[2] in host.applets:
            tree.put(f"/proc/{pid}/exe", Link(b"/bin/busybox"))
        elif program.startswith("/"):
            tree.put(program, Fixed(host.busybox, 0o755, host.built_s))
            tree.put(f"/proc/{pid}/exe", Link(program.encode()))


_DEVICES = {"null": 0o666, "zero": 0o666, "random": 0o666, "urandom": 0o666, "tty": 0o666, "console": 0o600,
            "ptmx": 0o666, "watchdog": 0o600, "mem": 0o640, "full": 0o666}  # fmt: skip


def devices(tree: Tree, *, flash: bool = True) -> None:
    """Put the devices that all have, and those of flash memory."""
    for name, mode in _DEVICES.items():
        tree.put(f"/dev/{name}", Device(b"random" if name == "urandom" else name.encode(), mode, mtime_s=tree.made_s))
    for number in range(6 if flash else 0):
        tree.put(f"/dev/mtdblock{number}", Device(b"mtd", 0o640, block=True, mtime_s=tree.made_s))


def _digest(host: Host, user: str) -> str:
    """Return what looks like crypt's MD5 form: salt and digest, both drawn."""
    letters = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    drawn = "".join(letters[byte % 64] for byte in host.seed.bytes(f"shadow {user}", 30))
    return f"$1${drawn[:8]}${drawn[8:]}"


def etc(host: Host) -> dict[str, str]:
    """Return the text files of /etc by their paths."""
    # All live in the one place that can be written: what a loader brings without `cd` is to arrive.
    people = [user.decode() for user in host.users]
    system = "bin:x:1:1:bin:/bin:/bin/false\ndaemon:x:2:2:daemon:/sbin:/bin/false\nnobody:x:99:99:nobody:/:/bin/false\n"
    return {
        "/etc/passwd": "".join(f"{user}:x:0:0:{user}:/root:/bin/sh\n" for user in people) + system,
        "/etc/shadow": "".join(f"{user}:{_digest(host, user)}:15874:0:99999:7:::\n" for user in people)
        + "".join(f"{line.partition(':')[0]}:*:15874:0:99999:7:::\n" for line in system.splitlines()),
        "/etc/group": "root:x:0:\nbin:x:1:\ndaemon:x:2:\nnogroup:x:99:\n",
        "/etc/hosts": f"127.0.0.1\tlocalhost\n{host.address}\t{host.name}\n",
        "/etc/hostname": f"{host.name}\n",
        "/etc/resolv.conf": f"nameserver {host.gateway}\n",
        "/etc/shells": "/bin/sh\n/bin/ash\n",
        "/etc/inittab": "::sysinit:/etc/init.d/rcS\n::respawn:/sbin/getty -L console 115200 "
        "vt100\n::ctrlaltdel:/sbin/reboot\n",
        "/etc/init.d/rcS": "#!/bin/sh\nmount -a\nmkdir -p /var/run /var/log\n/sbin/ifconfig lo 127.0.0.1 up\ntelnetd\n",
        "/etc/fstab": "proc /proc proc defaults 0 0\ntmpfs /tmp tmpfs defaults 0 0\n",
        "/etc/profile": "export PATH=/bin:/sbin:/usr/bin:/usr/sbin\numask 022\n",
        "/etc/issue": host.persona.banner,
        "/etc/TZ": "GMT0\n",
    }
