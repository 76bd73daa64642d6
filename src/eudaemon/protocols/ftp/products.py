"""Which FTP servers there are, and what each says where they differ. One is drawn for an installation."""

from __future__ import annotations

from dataclasses import dataclass

from eudaemon.world.host import Host


@dataclass(frozen=True, slots=True)
class Product:
    """An FTP server. `{version}`, `{ip}`, `{name}`, `{time}` and `{port}` are filled in; `|` parts lines."""

    name: str
    versions: tuple[str, ...]
    banner: str
    password: str
    inside: str
    refused: str
    first: str  # before somebody is logged in
    unknown: str
    bye: str
    system: str = "215 UNIX Type: L8"


_VSFTPD = Product(
    "vsftpd", ("2.0.5", "2.2.2", "2.3.2", "2.3.5", "3.0.2", "3.0.3"),
    "220 (vsFTPd {version})", "331 Please specify the password.", "230 Login successful.", "530 Login incorrect.",
    "530 Please login with USER and PASS.", "500 Unknown command.", "221 Goodbye.",
)  # fmt: skip
_PROFTPD = Product(
    "proftpd", ("1.3.3a", "1.3.4a", "1.3.5", "1.3.5rc3"),
    "220 ProFTPD {version} Server ({name}) [{ip}]", "331 Password required for {user}", "230 User {user} logged in",
    "530 Login incorrect.", "530 Please login with USER and PASS", "500 {verb} not understood", "221 Goodbye.",
)  # fmt: skip
_PURE = Product(
    "pure-ftpd", ("",),
    "220---------- Welcome to Pure-FTPd [privsep] [TLS] ----------|220-You are user number {n} of 50 allowed.|"
    "220-Local time is now {time}. Server port: {port}.|220-IPv6 connections are also welcome on this server.|"
    "220 You will be disconnected after 15 minutes of inactivity.",
    "331 User {user} OK. Password required", "230 OK. Current directory is /", "530 Login authentication failed",
    "530 You aren't logged in", "500 Unknown command", "221 Logout.",
)  # fmt: skip
_BUSYBOX = Product(
    "busybox", ("",),
    "220 Operation successful", "331 Specify password", "230 Operation successful", "530 Login failed",
    "530 Login with USER and PASS first", "500 Unknown command", "221 Operation successful",
)  # fmt: skip
_ALL = (_VSFTPD, _VSFTPD, _PROFTPD, _PURE, _BUSYBOX)


class Server:
    """The FTP server of a pretended host."""

    __slots__ = ("_words", "product")

    def __init__(self, host: Host, ip: str) -> None:
        seed = host.seed.child("ftp")
        self.product = seed.choice("product", _ALL)
        mapped = ip if ":" in ip else f"::ffff:{ip}"
        self._words = {"version": seed.choice("version", self.product.versions), "name": host.name, "ip": mapped,
                       "n": str(1 + seed.number("users", 4))}  # fmt: skip

    def said(self, text: str, **words: str) -> bytes:
        """Return one of the product's texts as it goes out."""
        return (text.format(**self._words, **words).replace("|", "\r\n") + "\r\n").encode("latin-1", "replace")
