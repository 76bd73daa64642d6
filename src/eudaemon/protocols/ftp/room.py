"""The dialogue on the control connection. While a transfer is under way, commands wait for its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, FileRequested, LoginTried
from eudaemon.protocols import _uploads
from eudaemon.protocols._base import (
    Claim,
    Drained,
    Ended,
    HalfClosed,
    Occasion,
    Opened,
    Order,
    Received,
    Saw,
    Secured,
    Send,
    SideAwaited,
    SideClosed,
    SideOpened,
    SideReceived,
    Visit,
)  # fmt: skip
from eudaemon.protocols._lines import LineRoom
from eudaemon.protocols.ftp import listing
from eudaemon.protocols.ftp.products import Server
from eudaemon.protocols.ftp.transfer import Transfers, Upload
from eudaemon.wire import PeerError, printable
from eudaemon.world.files import Directory, FileError, Files, content_size

LOGINS_MAX = 20  # tried in one session
WAITING_BYTES_MAX = 64 * 1024  # of commands that wait for the end of a transfer
CALLED_PORT_MIN = 1024
_CHARS_MAX = 256
_ANONYMOUS = (b"anonymous", b"ftp")
_PORT = re.compile(rb"(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})$")
_EPRT = re.compile(rb"([!-~])[12]\1([0-9A-Fa-f.:]{2,45})\1(\d{1,5})\1$")
_FEATURES = ("AUTH TLS", "EPRT", "EPSV", "MDTM", "MLST type*;size*;modify*;UNIX.mode*;", "PASV", "PBSZ", "PROT",
             "REST STREAM", "SIZE", "TVFS", "UTF8")  # fmt: skip


class Ftp(LineRoom):
    """One client's control connection."""

    name: ClassVar[str] = "ftp"
    speaks_first: ClassVar[bool] = True
    line_bytes_max: ClassVar[int] = 4096

    __slots__ = ("_copied", "_files", "_from", "_here", "_in", "_leaving", "_logins", "_passive", "_rest", "_server",
                 "_stored", "_transfers", "_user")  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._server: Server | None = None
        self._files: Files | None = None
        self._transfers: Transfers | None = None
        self._user = b""
        self._in = False
        self._logins = 0
        self._here = b"/"
        self._rest = 0  # where the next transfer begins
        self._from = b""  # what is to be renamed
        self._copied = b""  # what ProFTPD is to copy
        self._passive = b""  # how passive mode was asked for, until the port is known
        self._stored = 0
        self._leaving = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """Its clients wait for the greeting; one that does not begins to log in, or asks for TLS."""
        word = first[:8].upper()
        if word in (b"AUTH TLS", b"AUTH SSL"):
            return Claim.YES
        return Claim.UNSURE if any(verb.startswith(word[: len(verb)]) for verb in (b"USER ", b"AUTH TLS")) else Claim.NO

    @property
    def server(self) -> Server:
        """Who answers."""
        if self._server is None:
            self._server = Server(self.visit.host, self.visit.local.ip)
        return self._server

    @property
    def files(self) -> Files:
        """The session's view of the host's files. What a device forbids its owner, a server left open allows."""
        if self._files is None:
            host = self.visit.host
            self._files = Files(host.tree, host.writable | {b"/"}, self.visit.purse)
        return self._files

    @property
    def transfers(self) -> Transfers:
        """The side connection."""
        if self._transfers is None:
            self._transfers = Transfers(self.files, self.visit.purse)
        return self._transfers

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Opened():
                yield Send(self.server.said(self.server.product.banner))
            case Received(at_s, data):
                yield from self.hear(data, at_s)
            case SideAwaited() | SideOpened() | SideReceived() | SideClosed() | Drained():
                yield from self._beside(occasion)
                yield from self._go_on(occasion.at_s)
            case Secured():
                self._in, self._user = False, b""
            case HalfClosed():
                self._leaving = True
                yield from self._go_on(occasion.at_s)
            case Ended():
                if self._transfers is not None:
                    yield from self._transfers.ended()

    def _beside(self, occasion: SideAwaited | SideOpened | SideReceived | SideClosed | Drained) -> Iterator[Order]:
        match occasion:
            case SideAwaited(_, port):
                yield from self._passive_at(port)
            case SideOpened():
                yield from self.transfers.opened()
            case SideReceived(at_s, data):
                yield from self.transfers.received(data, at_s)
            case SideClosed(at_s, clean):
                yield from self.transfers.closed(at_s, clean=clean)
            case Drained():
                yield from self.transfers.drained()

    def _go_on(self, at_s: float) -> Iterator[Order]:
        """Hear the commands that waited; leave, if the client has left and nothing is under way any more."""
        yield from self.hear(b"", at_s)
        if self._leaving and not self.over and (self._transfers is None or not self._transfers.busy):
            yield from self.hang_up()

    def block(self, unread: bytearray, at_s: float) -> Generator[Order, None, bool | None]:  # noqa: ARG002
        """Let commands wait while a transfer, or the port of one, is under way; but for ABOR."""
        if not self._passive and (self._transfers is None or not self._transfers.busy):
            return None
        if len(unread) > WAITING_BYTES_MAX:
            raise PeerError(f"over {WAITING_BYTES_MAX} bytes of commands during a transfer")
        abort = re.search(rb"(?i)abor\r?\n", unread)
        if abort is None or self._passive:
            return False
        del unread[: abort.end()]
        yield from self.transfers.abort()
        return True

    def line(self, line: bytes, at_s: float) -> Iterator[Order]:
        """See `LineRoom`."""
        verb, _, rest = line.lstrip(b"\xff\xf4\xf2").partition(b" ")  # telnet's signals stand before ABOR
        verb = verb.upper()
        if verb != b"PASS":
            yield Saw(CommandEntered(printable(line, 1024)))
        step = STEPS.get(verb)
        if step is None:
            yield self._say(self.server.product.unknown, verb=printable(verb, 32))
        elif step[0] and not self._in:
            yield self._say(self.server.product.first)
        else:
            try:
                yield from step[1](self, verb, rest, at_s)
            except FileError as error:
                yield Send(f"550 {error}.\r\n".encode())

    def _say(self, text: str, **words: str) -> Send:
        return Send(self.server.said(text, **words))

    def _path(self, text: bytes, *, follow: bool = True) -> bytes:
        return self.files.resolve(text or b".", self._here, follow=follow)

    def _saw(self, action: str, path: bytes, detail: str = "", *, done: bool = True) -> Saw:
        return Saw(FileRequested(action, printable(path, _uploads.PATH_CHARS_MAX), detail, done))

    # --- getting in ----------------------------------------------------------------------------------

    def user(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """USER name."""
        self._user, self._in = rest, False
        if rest.endswith(b":)") and self.server.product.name == "vsftpd":
            yield Saw(ExploitRecognised("vsftpd-backdoor", "CVE-2011-2523", printable(rest, _CHARS_MAX)))
        yield self._say(self.server.product.password, user=printable(rest, _CHARS_MAX))

    def password(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """PASS password."""
        if not self._user or self._in:
            yield Send(b"503 Login with USER first.\r\n")
            return
        self._logins += 1
        if self._logins > LOGINS_MAX:
            raise PeerError(f"more than {LOGINS_MAX} logins tried")
        self._in = self._user.lower() in _ANONYMOUS or self.visit.host.accepts(self._user, rest)
        shown = printable(self._user, _CHARS_MAX)
        yield Saw(LoginTried(shown, printable(rest, _CHARS_MAX), self._in))
        product = self.server.product
        yield self._say(product.inside if self._in else product.refused, user=shown)
        if not self._in:
            self._user = b""

    def secure(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """AUTH TLS (RFC 4217)."""
        if rest.upper() in (b"TLS", b"SSL", b"TLS-C") and self.may_start_tls:
            yield from self.start_tls(b"234 Proceed with negotiation.\r\n")
        else:
            yield Send(b"504 Unknown AUTH type.\r\n")

    def protect(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """PBSZ size, PROT level."""
        if not self.secured:
            yield Send(b"503 Bad sequence of commands.\r\n")
        elif verb == b"PROT" and rest.upper() not in (b"P", b"C"):
            yield Send(b"536 PROT not supported.\r\n")
        else:
            if verb == b"PROT":
                self.transfers.tls = rest.upper() == b"P"
            yield Send(b"200 PBSZ set to 0.\r\n" if verb == b"PBSZ" else b"200 PROT now %s.\r\n" % rest.upper())

    def quit(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """QUIT."""
        yield self._say(self.server.product.bye)
        yield from self.hang_up()

    # --- what it is ----------------------------------------------------------------------------------

    def system(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """SYST."""
        yield self._say(self.server.product.system)

    def features(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """FEAT."""
        told = [
            row for row in _FEATURES if self.visit.can_tls or self.secured or row not in ("AUTH TLS", "PBSZ", "PROT")
        ]
        yield Send(b"211-Features:\r\n" + b"".join(b" %s\r\n" % row.encode() for row in told) + b"211 End\r\n")

    def ok(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """What is taken note of, and changes nothing."""
        yield Send(b"200 %s OK.\r\n" % verb)

    def status(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """STAT [path]."""
        if rest:
            told = listing.shown(self.files, self._path(_without_options(rest)), b"LIST", at_s)
            yield Send(b"213-Status follows:\r\n%s213 End of status\r\n" % told)
        else:
            user = printable(self._user, _CHARS_MAX).encode()
            yield Send(
                b"211-FTP server status:\r\n     Logged in as %s\r\n     TYPE: BINARY\r\n211 End of status\r\n" % user
            )

    def help(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """HELP."""
        names = sorted(STEPS)
        lines = b"".join(b" %s\r\n" % b" ".join(names[at : at + 12]) for at in range(0, len(names), 12))
        yield Send(b"214-The following commands are recognized.\r\n%s214 Help OK.\r\n" % lines)

    # --- directories ---------------------------------------------------------------------------------

    def where(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """PWD."""
        yield Send(b'257 "%s" is the current directory\r\n' % self._here.replace(b'"', b'""'))

    def change(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """CWD path, CDUP."""
        path = self._path(b".." if verb in (b"CDUP", b"XCUP") else rest)
        if not isinstance(self.files.get(path), Directory):
            raise FileError("Failed to change directory")
        self._here = path
        yield Send(b"250 Directory successfully changed.\r\n")

    def make(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """MKD path."""
        path = self._path(rest)
        self.files.make_directory(path, at_s)
        yield self._saw("make", path)
        yield Send(b'257 "%s" created\r\n' % path.replace(b'"', b'""'))

    def remove(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """DELE, RMD path."""
        path = self._path(rest, follow=False)
        if isinstance(self.files.get(path, follow=False), Directory) is (verb == b"DELE"):
            raise FileError("Is a directory" if verb == b"DELE" else "Not a directory")
        yield from _uploads.keep_before(self.files, path)
        self.files.remove(path)
        yield self._saw("remove", path)
        yield Send(b"250 Delete operation successful.\r\n")

    def rename(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """RNFR, RNTO path."""
        path = self._path(rest, follow=False)
        if verb == b"RNFR":
            self.files.get(path, follow=False)
            self._from = path
            yield Send(b"350 Ready for RNTO.\r\n")
            return
        old, self._from = self._from, b""
        if not old:
            yield Send(b"503 RNFR required first.\r\n")
            return
        if old != path:
            if self.files.find(path, follow=False) is not None:
                yield from _uploads.keep_before(self.files, path)
                self.files.remove(path)
            node = self.files.take_away(old)
            try:
                self.files.place(path, node)
            except FileError:
                self.files.place(old, node)
                raise
        yield self._saw("rename", old, printable(path, _uploads.PATH_CHARS_MAX))
        yield Send(b"250 Rename successful.\r\n")

    def size(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:
        """SIZE, MDTM path."""
        node = self.files.get(self._path(rest))
        if isinstance(node, Directory):
            raise FileError("Could not get file size" if verb == b"SIZE" else "Could not get file modification time")
        said = str(content_size(node, at_s)) if verb == b"SIZE" else listing.stamp(node)
        yield Send(f"213 {said}\r\n".encode())

    def one(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """MLST path."""
        path = self._path(rest)
        yield Send(b"250-Listing\r\n " + listing.facts(path, self.files.get(path), at_s) + b"250 End\r\n")

    def site(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """SITE what …: CHMOD, and what ProFTPD's mod_copy lets everybody copy (CVE-2015-3306)."""
        words = rest.split(b" ", 2)
        what = words[0].upper()
        if what in (b"CPFR", b"CPTO") and self.server.product.name == "proftpd" and len(words) > 1:
            path = self._path(rest.split(b" ", 1)[1])
            yield Saw(ExploitRecognised("proftpd-copy", "CVE-2015-3306", printable(rest, 1024)))
            yield from self._copy(what, path, at_s)
        elif not self._in:
            yield self._say(self.server.product.first)
        elif what == b"CHMOD" and len(words) == 3:
            path = self._path(words[2])
            done = self.files.find(path) is not None
            yield self._saw("change", path, printable(words[1], 16), done=done)
            yield Send(b"200 SITE CHMOD command ok.\r\n" if done else b"550 SITE CHMOD command failed.\r\n")
        else:
            yield Send(b"500 Unknown SITE command.\r\n")

    def _copy(self, what: bytes, path: bytes, at_s: float) -> Iterator[Order]:
        if what == b"CPFR":
            self.files.get(path)
            self._copied = path
            yield Send(b"350 File or directory exists, ready for destination name\r\n")
            return
        data = _uploads.read(self.files.get(self._copied), at_s)
        yield from _uploads.open_to_write(self.files, path, at_s, 0o644, empty=True)
        self.files.append(self.files.create(path, at_s), data, at_s)
        yield self._saw("write", path)
        yield Send(b"250 Copy successful\r\n")

    # --- transfers -----------------------------------------------------------------------------------

    def passive(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """PASV, EPSV."""
        if verb == b"PASV" and ":" in self.visit.local.ip:
            yield Send(b"425 Use EPSV.\r\n")
        elif rest.upper() == b"ALL":
            yield Send(b"200 EPSV ALL OK.\r\n")
        else:
            self._passive = verb
            yield from self.transfers.wait()

    def _passive_at(self, port: int) -> Iterator[Order]:
        verb, self._passive = self._passive, b""
        if not port:
            yield Send(b"425 Failed to enter passive mode.\r\n")
        elif verb == b"EPSV":
            yield Send(b"229 Entering Extended Passive Mode (|||%d|).\r\n" % port)
        elif verb:
            ip = self.visit.local.ip.replace(".", ",").encode()
            yield Send(b"227 Entering Passive Mode (%s,%d,%d).\r\n" % (ip, port >> 8, port & 255))

    def active(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """PORT, EPRT: only to where the client itself is, and to no service there."""
        found = (_PORT if verb == b"PORT" else _EPRT).match(rest.strip())
        if found is None:
            yield Send(b"501 Syntax error in parameters.\r\n")
            return
        if verb == b"PORT":
            ip, port = b".".join(found.groups()[:4]).decode(), int(found[5]) * 256 + int(found[6])
        else:
            ip, port = found[2].decode(), int(found[3])
        if ip != self.visit.attacker.ip:
            yield Saw(ExploitRecognised("ftp-bounce", "CVE-1999-0017", printable(rest, _CHARS_MAX)))
        if ip != self.visit.attacker.ip or not CALLED_PORT_MIN <= port < 1 << 16:
            yield Send(b"500 Illegal %s command.\r\n" % verb)
            return
        yield from self.transfers.call(port)
        yield Send(b"200 %s command successful. Consider using PASV.\r\n" % verb)

    def restart(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """REST at."""
        self._rest = int(rest) if rest.isdigit() and len(rest) < 12 else 0
        yield Send(b"350 Restart position accepted (%d).\r\n" % self._rest)

    def listed(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:
        """LIST, NLST, MLSD [path]."""
        path = self._path(_without_options(rest))
        data = listing.shown(self.files, path, verb, at_s)
        yield self._saw("list", path)
        yield from self.transfers.send(data, b"150 Here comes the directory listing.\r\n")

    def retrieve(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """RETR path."""
        at, self._rest = self._rest, 0
        path = self._path(rest)
        try:
            data = _uploads.read(self.files.get(path), at_s)
        except FileError:
            yield self._saw("read", path, done=False)
            raise FileError("Failed to open file") from None
        yield self._saw("read", path)
        opening = b"150 Opening BINARY mode data connection for %s (%d bytes).\r\n" % (rest, len(data))
        yield from self.transfers.send(data[at:], opening)

    def store(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:
        """STOR, APPE path; STOU."""
        at, self._rest = self._rest, 0
        if verb == b"STOU":
            self._stored += 1
            rest = b"ftp.%s" % self.visit.seed.bytes(f"unique {self._stored}", 3).hex().encode()
        path = self._path(rest)
        yield from _uploads.open_to_write(self.files, path, at_s, 0o644, empty=verb != b"APPE" and not at)
        file = self.files.create(path, at_s)
        yield self._saw("write", path)
        upload = Upload(path, file, len(file.data) if verb == b"APPE" else at)
        yield from self.transfers.take(
            upload, b"150 FILE: %s\r\n" % rest if verb == b"STOU" else b"150 Ok to send data.\r\n"
        )

    def nothing_under_way(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """ABOR, when there is nothing to abort."""
        yield from self.transfers.abort()


def _without_options(rest: bytes) -> bytes:
    return b" ".join(word for word in rest.split(b" ") if not word.startswith(b"-"))


_Step = Callable[[Ftp, bytes, bytes, float], Iterator[Order]]
# Verb: whether one must be logged in, and what it does.
STEPS: dict[bytes, tuple[bool, _Step]] = {
    b"USER": (False, Ftp.user), b"PASS": (False, Ftp.password), b"AUTH": (False, Ftp.secure),
    b"PBSZ": (False, Ftp.protect), b"PROT": (False, Ftp.protect), b"QUIT": (False, Ftp.quit),
    b"SYST": (False, Ftp.system), b"FEAT": (False, Ftp.features), b"HELP": (False, Ftp.help), b"NOOP": (False, Ftp.ok),
    b"OPTS": (False, Ftp.ok), b"CLNT": (False, Ftp.ok), b"SITE": (False, Ftp.site), b"STAT": (True, Ftp.status),
    b"TYPE": (True, Ftp.ok), b"MODE": (True, Ftp.ok), b"STRU": (True, Ftp.ok), b"ALLO": (True, Ftp.ok),
    b"PWD": (True, Ftp.where), b"XPWD": (True, Ftp.where), b"CWD": (True, Ftp.change), b"XCWD": (True, Ftp.change),
    b"CDUP": (True, Ftp.change), b"XCUP": (True, Ftp.change), b"MKD": (True, Ftp.make), b"XMKD": (True, Ftp.make),
    b"DELE": (True, Ftp.remove), b"RMD": (True, Ftp.remove), b"XRMD": (True, Ftp.remove), b"RNFR": (True, Ftp.rename),
    b"RNTO": (True, Ftp.rename), b"SIZE": (True, Ftp.size), b"MDTM": (True, Ftp.size), b"MLST": (True, Ftp.one),
    b"PASV": (True, Ftp.passive), b"EPSV": (True, Ftp.passive), b"PORT": (True, Ftp.active),
    b"EPRT": (True, Ftp.active), b"REST": (True, Ftp.restart), b"LIST": (True, Ftp.listed),
    b"NLST": (True, Ftp.listed), b"MLSD": (True, Ftp.listed),
    b"RETR": (True, Ftp.retrieve), b"STOR": (True, Ftp.store), b"APPE": (True, Ftp.store), b"STOU": (True, Ftp.store),
    b"ABOR": (True, Ftp.nothing_under_way),
}  # fmt: skip
