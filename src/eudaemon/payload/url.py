"""URLs as attackers write them: read leniently, written back strictly. Refuses what no client could ask for."""

from __future__ import annotations

from dataclasses import dataclass, replace

URL_CHARS_MAX = 4096
PORTS = {"http": 80, "https": 443, "ftp": 21, "tftp": 69, "ldap": 389, "ldaps": 636, "rmi": 1099, "redis": 6379,
         "rcp": 514, "smb": 445, "scp": 22, "sftp": 22}  # fmt: skip
_HOST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!*'()")
_HEX = frozenset("0123456789abcdefABCDEF")


@dataclass(frozen=True, slots=True)
class Url:
    """`scheme://[user[:password]@]host[:port]/path`. `path` holds the query too, begins with `/`, and is ASCII
    without blanks or controls, so that it can stand in a request line as it is. `host` is lower case, IPv6 unbracketed.
    """

    scheme: str
    host: str
    port: int
    path: str = "/"
    user: str = ""
    password: str = ""

    def __str__(self) -> str:
        who = _quoted(self.user) + (f":{_quoted(self.password)}" if self.password else "")
        who = f"{who}@" if who else ""
        return f"{self.scheme}://{who}{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """Host and port as a `Host` header has them: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if PORTS.get(self.scheme, 0) == self.port else f"{host}:{self.port}"

    def joined(self, reference: str) -> Url:
        """Return what `reference` (a `Location`) means, seen from here. Raises `ValueError` if it means nothing."""
        reference = reference.strip()
        if "://" in reference.partition("?")[0]:
            return parse(reference)
        if reference.startswith("//"):
            return parse(f"{self.scheme}:{reference}")
        if reference.startswith("/"):
            path = reference
        elif reference.startswith("?"):
            path = self.path.partition("?")[0] + reference
        else:
            path = self.path.partition("?")[0].rpartition("/")[0] + "/" + reference
        return replace(self, path=_path(path))


def parse(text: str) -> Url:
    r"""Read an absolute URL. Raises `ValueError` with what is wrong with it, in words.

    Lenient as the bots' own clients are: `http:\\h/x` and `http:/\/h/x` (CCTV exploits escape so) are `http://h/x`.
    """
    if len(text) > URL_CHARS_MAX:
        raise ValueError(f"URL over {URL_CHARS_MAX} characters")
    scheme, colon, rest = text.strip().partition(":")
    scheme = scheme.lower()
    if not colon or not scheme.isalnum() or not scheme.isascii():
        raise ValueError("no scheme")
    bare = rest.replace("\\/", "/").replace("\\", "/")
    if bare[:2] != "//" or bare[2:3] in ("", "/"):
        raise ValueError("no host")
    bare = bare[2:]
    cut = min((at for at in (bare.find(mark) for mark in "/?#") if at >= 0), default=len(bare))
    authority, path = bare[:cut], bare[cut:]
    who, at, where = authority.rpartition("@")
    user, _, password = who.partition(":") if at else ("", "", "")
    host, port = _host_and_port(where, PORTS.get(scheme, 0))
    return Url(scheme, host, port, _path(path), _bytewise(user), _bytewise(password))


def unquoted(text: str) -> str:
    """Return text with its `%NN` resolved, byte for byte (Latin-1); a `%` without two digits stands for itself."""
    if "%" not in text:
        return text
    first, *parts = text.split("%")
    return first + "".join(
        chr(int(part[:2], 16)) + part[2:] if len(part) >= 2 and _HEX.issuperset(part[:2]) else "%" + part
        for part in parts
    )


def _bytewise(text: str) -> str:
    return unquoted(text.encode("utf-8", "surrogateescape").decode("latin-1"))


def _quoted(text: str) -> str:
    return "".join(c if c in _PLAIN else f"%{ord(c):02X}" for c in text)


def _host_and_port(where: str, port: int) -> tuple[str, int]:
    if where.startswith("["):
        host, closed, rest = where[1:].partition("]")
        if not closed or not host or not _HEX.union(":.").issuperset(host) or ":" not in host:
            raise ValueError("no IPv6 address in the brackets")
        digits = rest.removeprefix(":")
    else:
        host, _, digits = where.partition(":")
        if not host or not _HOST.issuperset(host.lower()) or len(host) > 253:
            raise ValueError("no host name")
    if digits:
        if not digits.isdecimal() or not digits.isascii() or len(digits) > 5 or not 0 < int(digits) <= 65535:
            raise ValueError("no port")
        port = int(digits)
    return host.lower(), port


def _path(text: str) -> str:
    path = text.partition("#")[0]
    if not path.startswith("/"):
        path = "/" + path
    if path.isascii() and path.isprintable() and " " not in path:
        return path
    return "".join(chr(b) if 0x21 <= b <= 0x7E else f"%{b:02X}" for b in path.encode("utf-8", "surrogateescape"))
