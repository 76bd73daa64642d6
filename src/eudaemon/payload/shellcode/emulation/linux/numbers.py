"""System calls by their number, for each way of calling, as data; what each takes.

Numbers from the kernel's `arch/*/kernel/syscalls/*.tbl` and `include/uapi/asm-generic/unistd.h`. An argument is a
letter as in `windows/functions`; `v` is a list of texts that ends with NULL.
"""

from __future__ import annotations

ARGUMENTS = {
    "exit": "i", "exit_group": "i", "fork": "", "vfork": "", "clone": "ippii", "read": "hpi", "write": "hpi",
    "open": "sii", "openat": "hsii", "creat": "si", "close": "h", "execve": "svv", "execveat": "hsvvi", "chdir": "s",
    "chmod": "si", "fchmodat": "hsi", "unlink": "s", "unlinkat": "hsi", "link": "ss", "rename": "ss", "mkdir": "si",
    "rmdir": "s", "dup": "h", "dup2": "hh", "dup3": "hhi", "pipe": "p", "pipe2": "pi", "fcntl": "hii", "ioctl": "hii",
    "setuid": "i", "setgid": "i", "setreuid": "ii", "setregid": "ii", "setresuid": "iii", "setresgid": "iii",
    "setsid": "", "getuid": "", "geteuid": "", "getgid": "", "getpid": "", "getppid": "", "kill": "ii", "chroot": "s",
    "reboot": "iiii", "symlink": "ss", "setdomainname": "si", "swapon": "si", "swapoff": "s",
    "pwrite64": "hpii", "mkdirat": "hsi", "faccessat": "hsi", "mmap": "piiihi", "mmap2": "piiihi", "old_mmap": "p",
    "mprotect": "pii", "munmap": "pi",
    "nanosleep": "pp", "time": "p", "alarm": "i", "signal": "ip", "rt_sigaction": "ippi", "sigaction": "ipp",
    "wait4": "ipip", "waitpid": "ipi", "poll": "pii", "select": "ipppp", "access": "si", "umask": "i", "pause": "",
    "socketcall": "ip", "socket": "iii", "bind": "hai", "connect": "hai", "listen": "hi", "accept": "hpp",
    "accept4": "hppi", "getsockname": "hpp", "getpeername": "hpp", "send": "hpii", "recv": "hpii",
    "sendto": "hpiiai", "recvfrom": "hpiipp", "shutdown": "hi", "setsockopt": "hiipi", "socketpair": "iiip",
    "sendfile": "hhpi", "ptrace": "iipp", "memfd_create": "si", "prctl": "iiiii", "lseek": "hii", "sync": "",
    "mount": "sssip", "umount2": "si", "chown": "sii", "lchown": "sii", "fchown": "hii", "fchownat": "hsiii",
    "fchmod": "hi",
    "truncate": "si", "ftruncate": "hi", "utime": "sp", "getcwd": "pi", "fchdir": "h", "uname": "p", "iopl": "i",
    "setgroups": "ip", "stat": "sp", "fstat": "hp", "lstat": "sp", "stat64": "sp", "lstat64": "sp", "fstat64": "hp",
    "readlink": "spi", "settimeofday": "pp", "mknod": "sii", "init_module": "pis", "delete_module": "si", "brk": "p",
    "sethostname": "si",
}  # fmt: skip

_OLD = {
    1: "exit", 2: "fork", 3: "read", 4: "write", 5: "open", 6: "close", 8: "creat", 9: "link", 10: "unlink",
    11: "execve", 12: "chdir", 13: "time", 14: "mknod", 15: "chmod", 16: "lchown", 19: "lseek", 20: "getpid",
    21: "mount", 23: "setuid",
    24: "getuid", 26: "ptrace", 27: "alarm", 29: "pause", 30: "utime", 33: "access", 36: "sync", 37: "kill",
    38: "rename",
    39: "mkdir", 40: "rmdir", 41: "dup", 42: "pipe", 45: "brk", 46: "setgid", 47: "getgid", 48: "signal",
    49: "geteuid", 52: "umount2", 54: "ioctl", 55: "fcntl", 60: "umask", 61: "chroot", 63: "dup2", 64: "getppid",
    66: "setsid",
    83: "symlink", 87: "swapon", 115: "swapoff", 121: "setdomainname", 67: "sigaction", 70: "setreuid", 71:
    "setregid", 74: "sethostname", 79: "settimeofday", 81: "setgroups", 85: "readlink", 92: "truncate", 93: "ftruncate",
    94: "fchmod", 95: "fchown", 106: "stat", 107: "lstat", 108: "fstat", 122: "uname", 133: "fchdir", 88: "reboot",
    90: "old_mmap",
    91: "munmap", 114: "wait4", 120: "clone", 125: "mprotect", 128: "init_module", 129: "delete_module",
}  # fmt: skip

_I386 = {
    **_OLD, 7: "waitpid", 102: "socketcall", 110: "iopl", 142: "select", 162: "nanosleep", 164: "setresuid",
    168: "poll",
    170: "setresgid", 172: "prctl", 174: "rt_sigaction", 181: "pwrite64", 182: "chown", 183: "getcwd", 195: "stat64",
    196: "lstat64", 197: "fstat64", 198: "lchown", 206: "setgroups", 207: "fchown", 212: "chown", 298: "fchownat",
    187: "sendfile",
    190: "vfork", 192: "mmap2", 203: "setreuid", 204: "setregid", 208: "setresuid", 210: "setresgid", 213: "setuid",
    214: "setgid", 252: "exit_group",
    295: "openat", 301: "unlinkat", 306: "fchmodat", 330: "dup3", 331: "pipe2", 356: "memfd_create", 358: "execveat",
    359: "socket", 360: "socketpair", 361: "bind", 362: "connect", 363: "listen", 364: "accept4", 366: "setsockopt",
    367: "getsockname", 368: "getpeername", 369: "sendto", 371: "recvfrom", 373: "shutdown",
}  # fmt: skip
_X64 = {
    0: "read", 1: "write", 2: "open", 3: "close", 4: "stat", 5: "fstat", 6: "lstat", 7: "poll", 8: "lseek", 9: "mmap",
    10: "mprotect", 11: "munmap",
    12: "brk", 13: "rt_sigaction", 16: "ioctl", 18: "pwrite64", 21: "access", 22: "pipe", 23: "select", 32: "dup",
    33: "dup2",
    34: "pause", 35: "nanosleep", 37: "alarm", 39: "getpid", 40: "sendfile", 41: "socket", 42: "connect",
    43: "accept", 44: "sendto", 45: "recvfrom", 48: "shutdown", 49: "bind", 50: "listen", 51: "getsockname",
    52: "getpeername", 53: "socketpair", 54: "setsockopt", 56: "clone", 57: "fork", 58: "vfork", 59: "execve",
    60: "exit", 61: "wait4", 62: "kill", 63: "uname", 72: "fcntl", 76: "truncate", 77: "ftruncate", 79: "getcwd",
    80: "chdir", 81: "fchdir", 82: "rename", 83: "mkdir", 84: "rmdir",
    85: "creat", 86: "link", 87: "unlink",
    88: "symlink", 89: "readlink", 90: "chmod", 91: "fchmod", 92: "chown", 93: "fchown", 94: "lchown", 95: "umask",
    101: "ptrace", 102: "getuid", 104: "getgid",
    105: "setuid", 106: "setgid", 107: "geteuid", 110: "getppid", 112: "setsid", 113: "setreuid", 114: "setregid",
    116: "setgroups", 117: "setresuid", 119: "setresgid", 132: "utime", 133: "mknod", 157: "prctl", 161: "chroot",
    162: "sync", 165: "mount", 166: "umount2",
    164: "settimeofday", 169: "reboot", 170: "sethostname", 172: "iopl", 175: "init_module", 176: "delete_module",
    201: "time", 231: "exit_group",
    257: "openat", 260: "fchownat", 263: "unlinkat", 268: "fchmodat", 288: "accept4", 292: "dup3", 293: "pipe2",
    319: "memfd_create",
    322: "execveat",
}  # fmt: skip
_ARM = {
    **_OLD, 102: "socketcall", 142: "select", 162: "nanosleep", 164: "setresuid", 168: "poll", 170: "setresgid",
    182: "chown", 183: "getcwd", 195: "stat64", 196: "lstat64", 197: "fstat64", 198: "lchown", 206: "setgroups",
    207: "fchown", 212: "chown", 325: "fchownat",
    172: "prctl", 174: "rt_sigaction", 187: "sendfile", 190: "vfork", 192: "mmap2", 203: "setreuid", 204: "setregid",
    208: "setresuid", 210: "setresgid", 213: "setuid", 214: "setgid", 248: "exit_group", 281: "socket", 282: "bind",
    283: "connect", 284: "listen", 285: "accept", 286: "getsockname", 287: "getpeername", 288: "socketpair",
    289: "send", 290: "sendto", 291: "recv", 292: "recvfrom", 293: "shutdown", 294: "setsockopt", 322: "openat",
    328: "unlinkat", 333: "fchmodat", 358: "dup3", 359: "pipe2", 366: "accept4", 385: "memfd_create", 387: "execveat",
}  # fmt: skip
_ARM64 = {
    17: "getcwd", 24: "dup3", 25: "fcntl", 29: "ioctl", 34: "mkdirat", 35: "unlinkat", 40: "mount", 45: "truncate",
    46: "ftruncate", 48: "faccessat", 49: "chdir", 50: "fchdir",
    51: "chroot", 52: "fchmod", 53: "fchmodat", 54: "fchownat", 55: "fchown", 56: "openat", 57: "close", 59: "pipe2",
    62: "lseek", 63: "read", 64: "write",
    68: "pwrite64", 71: "sendfile", 93: "exit", 94: "exit_group", 101: "nanosleep", 117: "ptrace", 129: "kill",
    134: "rt_sigaction", 142: "reboot", 143: "setregid", 144: "setgid", 145: "setreuid", 146: "setuid",
    147: "setresuid", 149: "setresgid", 157: "setsid", 159: "setgroups", 160: "uname", 161: "sethostname",
    162: "setdomainname", 166: "umask",
    167: "prctl", 172: "getpid", 173: "getppid", 174: "getuid", 175: "geteuid", 176: "getgid", 198: "socket",
    199: "socketpair", 200: "bind", 201: "listen", 202: "accept", 203: "connect", 204: "getsockname",
    205: "getpeername", 206: "sendto", 207: "recvfrom", 208: "setsockopt", 210: "shutdown", 214: "brk", 215: "munmap",
    220: "clone", 221: "execve", 222: "mmap", 226: "mprotect", 242: "accept4", 260: "wait4", 279: "memfd_create",
    281: "execveat",
}  # fmt: skip
_MIPS = {
    4000 + number: name
    for number, name in {
        **_OLD, 7: "waitpid", 90: "mmap", 102: "socketcall", 142: "select", 166: "nanosleep", 168: "accept",
        169: "bind", 170: "connect", 171: "getpeername", 172: "getsockname", 174: "listen", 175: "recv",
        176: "recvfrom", 178: "send", 180: "sendto", 181: "setsockopt", 182: "shutdown", 183: "socket",
        184: "socketpair", 185: "setresuid", 188: "poll", 190: "setresgid", 192: "prctl", 194: "rt_sigaction",
        207: "sendfile", 210: "mmap2", 202: "chown", 203: "getcwd", 213: "stat64", 214: "lstat64", 215: "fstat64",
        246: "exit_group", 288: "openat",
        291: "fchownat", 294: "unlinkat", 299: "fchmodat",
        327: "dup3", 328: "pipe2", 334: "accept4", 354: "memfd_create", 356: "execveat",
    }.items()
}  # fmt: skip
NUMBERS = {"x86": _I386, "x86-64": _X64, "arm": _ARM, "aarch64": _ARM64, "mips": _MIPS, "mipsel": _MIPS}
OABI = 0x90_0000  # what ARM's old way adds to a number, which then stands in the instruction
# What socketcall(2) multiplexes: linux/net.h.
SOCKETCALLS = {1: "socket", 2: "bind", 3: "connect", 4: "listen", 5: "accept", 6: "getsockname", 7: "getpeername",
               8: "socketpair", 9: "send", 10: "recv", 11: "sendto", 12: "recvfrom", 13: "shutdown",
               14: "setsockopt", 18: "accept4"}  # fmt: skip
