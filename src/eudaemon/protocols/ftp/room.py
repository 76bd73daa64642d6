"""The dialogue on the control connection. While a transfer is under way, commands wait for its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from typing import ClassVar, TypeAlias

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, FileRequested, LoginTried
from eudaemon.protocols import _uploads
from eudaemon.protocols._accounts import admits
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
from eudaemon.protocols.ftp import carrying, directories, listing
from eudaemon.protocols.ftp.products import Server
from eudaemon.protocols.ftp.transfer import Transfers
from eudaemon.wire import PeerError, printable
from eudaemon.world.files import FileError, Files

LOGINS_MAX = 20  # tried in one session
WAITING_BYTES_MAX = 64 * 1024  # of commands that wait for the end of a transfer
_CHARS_MAX = 256
_ANONYMOUS = (b"anonymous", b"ftp")
_FEATURES = ("AUTH TLS", "EPRT", "EPSV", "MDTM", "MLST type*;size*;modify*;UNIX.mode*;", "PASV", "PBSZ", "PROT",
             "REST STREAM", "SIZE", "TVFS", "UTF8")  # fmt: skip


class Ftp(LineRoom):
    """One client's control connection."""

    name: ClassVar[str] = "ftp"
    speaks_first: ClassVar[bool] = True
    line_bytes_max: ClassVar[int] = 4096

    __slots__ = ("_files", "_leaving", "_logins", "_server", "_transfers", "_user", "copied", "here", "is_in",
                 "passive", "renamed", "starts_at", "stored")  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._server: Server | None = None
        self._files: Files | None = None
        self._transfers: Transfers | None = None
        self._user = b""
        self.is_in = False
        self._logins = 0
        self.here = b"/"
        self.starts_at = 0  # where the next transfer begins
        self.renamed = b""  # what is to be renamed
        self.copied = b""  # what ProFTPD is to copy
        self.passive = b""  # how passive mode was asked for, until the port is known
        self.stored = 0
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
            self._files = _uploads.files_of(self.visit, "device", host.tree, host.writable | {b"/"})
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
            case Opened(at_s):
                time = datetime.fromtimestamp(at_s, UTC).strftime("%H:%M")
                port = str(self.visit.local.port)
                yield Send(self.server.said(self.server.product.banner, time=time, port=port))
            case Received(at_s, data):
                yield from self.hear(data, at_s)
            case SideAwaited() | SideOpened() | SideReceived() | SideClosed() | Drained():
                yield from self._beside(occasion)
                if isinstance(occasion, SideClosed):
                    self.files.leave()
                yield from self._go_on(occasion.at_s)
            case Secured():
                self.is_in, self._user = False, b""
            case HalfClosed():
                self._leaving = True
                yield from self._go_on(occasion.at_s)
            case Ended():
                if self._transfers is not None:
                    yield from self._transfers.ended()
                if self._files is not None:
                    self._files.leave()

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
        if not self.passive and (self._transfers is None or not self._transfers.busy):
            return None
        if len(unread) > WAITING_BYTES_MAX:
            raise PeerError(f"over {WAITING_BYTES_MAX} bytes of commands during a transfer")
        abort = re.search(rb"(?i)abor\r?\n", unread)
        if abort is None or self.passive:
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
            yield self.say(self.server.product.unknown, verb=printable(verb, 32))
        elif step[0] and not self.is_in:
            yield self.say(self.server.product.first)
        else:
            try:
                yield from step[1](self, verb, rest, at_s)
            except FileError as error:
                yield Send(f"550 {error}.\r\n".encode())
            if self._files is not None:
                self._files.leave()

    def say(self, text: str, **words: str) -> Send:
        """Return the order to say one of the product's texts."""
        return Send(self.server.said(text, **words))

    def path(self, text: bytes, *, follow: bool = True) -> bytes:
        """Return the resolved path that a client means. Raises `FileError`."""
        return self.files.resolve(text or b".", self.here, follow=follow)

    def saw(self, action: str, path: bytes, detail: str = "", *, done: bool = True) -> Saw:
        """Return the statement that a file was asked for."""
        return Saw(FileRequested(action, printable(path, _uploads.PATH_CHARS_MAX), detail, done))

    # --- getting in ----------------------------------------------------------------------------------

    def user(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """USER name."""
        if not rest and self.server.product.name == "proftpd":
            yield Send(b"500 USER: command requires a parameter\r\n")
            return
        self._user, self.is_in = rest, False
        if rest.endswith(b":)") and self.server.product.name == "vsftpd":
            yield Saw(ExploitRecognised("vsftpd-backdoor", "CVE-2011-2523", printable(rest, _CHARS_MAX)))
        yield self.say(self.server.product.password, user=printable(rest, _CHARS_MAX))

    def password(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """PASS password."""
        if not self._user or self.is_in:
            yield Send(b"503 Login with USER first.\r\n")
            return
        self._logins += 1
        if self._logins > LOGINS_MAX:
            raise PeerError(f"more than {LOGINS_MAX} logins tried")
        right = self.visit.host.accepts(self._user, rest)
        self.is_in = self._user.lower() in _ANONYMOUS or admits(self.visit, self._user, rest, right=right)
        shown = printable(self._user, _CHARS_MAX)
        yield Saw(LoginTried(shown, printable(rest, _CHARS_MAX), self.is_in))
        product = self.server.product
        yield self.say(product.inside if self.is_in else product.refused, user=shown)
        if not self.is_in:
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
        yield self.say(self.server.product.bye)
        yield from self.hang_up()

    # --- what it is ----------------------------------------------------------------------------------

    def system(self, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """SYST."""
        yield self.say(self.server.product.system)

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
            told = listing.shown(self.files, self.path(carrying.without_options(rest)), b"LIST", at_s)
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

    def _passive_at(self, port: int) -> Iterator[Order]:
        verb, self.passive = self.passive, b""
        if not port:
            yield Send(b"425 Failed to enter passive mode.\r\n")
        elif verb == b"EPSV":
            yield Send(b"229 Entering Extended Passive Mode (|||%d|).\r\n" % port)
        elif verb:
            ip = self.visit.local.ip.replace(".", ",").encode()
            yield Send(b"227 Entering Passive Mode (%s,%d,%d).\r\n" % (ip, port >> 8, port & 255))


Step: TypeAlias = Callable[[Ftp, bytes, bytes, float], Iterator[Order]]
# Verb: whether one must be logged in, and what it does.
STEPS: dict[bytes, tuple[bool, Step]] = {
    b"USER": (False, Ftp.user), b"PASS": (False, Ftp.password), b"AUTH": (False, Ftp.secure),
    b"PBSZ": (False, Ftp.protect), b"PROT": (False, Ftp.protect), b"QUIT": (False, Ftp.quit),
    b"SYST": (False, Ftp.system), b"FEAT": (False, Ftp.features), b"HELP": (False, Ftp.help), b"NOOP": (False, Ftp.ok),
    b"OPTS": (False, Ftp.ok), b"CLNT": (False, Ftp.ok), b"STAT": (True, Ftp.status), b"TYPE": (True, Ftp.ok),
    b"MODE": (True, Ftp.ok), b"STRU": (True, Ftp.ok), b"ALLO": (True, Ftp.ok), **directories.STEPS, **carrying.STEPS,
}  # fmt: skip
