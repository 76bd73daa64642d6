"""What both dialects share: who the client is, the shares it is connected to, what it has open, and what it does
there."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from eudaemon.events.catalogue import FileRequested, SmbClientIdentified
from eudaemon.protocols._base import Answered, Order, Saw, Visit, Woken
from eudaemon.protocols._dcerpc import RpcHost
from eudaemon.protocols._dcerpc.interfaces import pipes
from eudaemon.protocols._ntlm import Answer, Authentication, Identity
from eudaemon.protocols._uploads import files_of
from eudaemon.protocols._windows import DRIVE, server_of
from eudaemon.protocols.smb import status
from eudaemon.protocols.smb.commands import Commands
from eudaemon.protocols.smb.disk import Disk
from eudaemon.protocols.smb.info import Entry, fits
from eudaemon.protocols.smb.opens import PATH_CHARS_MAX, DiskOpen, Open, PipeOpen
from eudaemon.protocols.smb.remcom import NAME, STD, TERMINALS_MAX, Message, Terminal
from eudaemon.protocols.smb.service_pipes import RemComPipe, ServicePipe, StdPipe
from eudaemon.protocols.smb.status import OF_FILES, NtError
from eudaemon.wire import PeerError, printable
from eudaemon.world.files import Directory, FileError, Node, Written
from eudaemon.world.windows.tree import WRITABLE

LOGINS_MAX = 64  # tried on one connection
TREES_MAX = 64
OPENS_MAX = 256
_STD = tuple(STD)
LOOK_AGAIN_S = 0.2  # how often what comes over other connections is looked for
_WRITES = 0x5000_0116  # GENERIC_ALL, GENERIC_WRITE, and the bits for data, appending, attributes
_READS = 0x9000_0001  # GENERIC_READ, GENERIC_ALL, and the bit for data
_DELETES = 0x1001_0000  # GENERIC_ALL, DELETE
_SUPERSEDE, _OPEN, _CREATE, _OPEN_IF, _OVERWRITE, _OVERWRITE_IF = range(6)
OPENED, MADE, OVERWRITTEN = 1, 2, 3  # what came of it
_FOLDER, _NO_FOLDER, _DELETE_ON_CLOSE = 0x1, 0x40, 0x1000


@dataclass(frozen=True, slots=True)
class Tree:
    """A share to which the client is connected; `root` is its place on the disk, empty for IPC$."""

    name: str
    root: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """How something is to be opened: the words of NT_CREATE and CREATE alike (MS-SMB2 2.2.13)."""

    name: str
    access: int
    disposition: int
    options: int


class Connection:
    """See the module."""

    __slots__ = (
        "_authentication", "_disk", "_logins", "_opened", "at_s", "commands", "identities", "opens", "rpc", "terminals",
        "trees", "visit", "windows",
    )  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.windows = server_of(visit.host)
        self.commands = Commands(visit, self.windows.machine, lambda: self.disk.files)
        self.rpc = RpcHost(visit, self.windows, self.commands.run)
        self.terminals: list[Terminal] = []
        self.identities: dict[int, Identity] = {}  # by the number of the session
        self.trees: dict[int, Tree] = {}
        self.opens: dict[int, Open] = {}
        self.at_s = 0.0
        self._authentication = Authentication(visit, self.windows)
        self._logins = 0
        self._opened = 0
        self._disk: Disk | None = None

    # --- who ---------------------------------------------------------------------------------------

    @property
    def challenge(self) -> bytes:
        """What the client is to answer."""
        return self._authentication.challenge

    def identified(self, dialects: tuple[str, ...], system: str = "", software: str = "") -> Saw:
        """State which client it is."""
        told = (printable(text.encode("utf-8", "replace"), 256) for text in (system, software))
        return Saw(SmbClientIdentified(dialects, *told))

    def answer(self, token: bytes) -> Generator[Order, None, Answer]:
        """Take a login's token. Raises `PeerError` past the limit."""
        self._logins += 1
        if self._logins > LOGINS_MAX:
            raise PeerError(f"more than {LOGINS_MAX} logins tried")
        answer = yield from self._authentication.answer(token, self.at_s)
        if answer.identity is not None:  # the next login gets another challenge
            self._authentication = Authentication(self.visit, self.windows, self._logins)
        return answer

    def answer_raw(self, user: str, domain: str, lm: bytes, nt: bytes) -> Generator[Order, None, Identity]:
        """Take a login's responses. Raises `PeerError` past the limit."""
        self._logins += 1
        if self._logins > LOGINS_MAX:
            raise PeerError(f"more than {LOGINS_MAX} logins tried")
        return (yield from self._authentication.raw(user, domain, lm, nt))

    def enter(self, number: int, identity: Identity) -> None:
        """Let somebody in, under the number of a session."""
        self.identities[number] = identity
        self.rpc.identity = identity

    # --- shares ------------------------------------------------------------------------------------

    def connect(self, number: int, path: str, identity: Identity) -> Tree:
        """Connect to a share, named `\\\\HOST\\SHARE`. Raises `NtError`."""
        name = path.rstrip("\0").rpartition("\\")[2]
        roots = {
            "IPC$": b"",
            "ADMIN$": DRIVE + b"/Windows",
            "C$": DRIVE,
            self.windows.share.upper(): DRIVE + b"/" + self.windows.share_path.encode(),
        }
        root = roots.get(name.upper())
        if root is None:
            raise NtError(status.BAD_NETWORK_NAME)
        if name.endswith("$") and root and not identity.administers:
            raise NtError(status.ACCESS_DENIED)
        if len(self.trees) >= TREES_MAX:
            raise NtError(status.INSUFFICIENT_RESOURCES)
        tree = self.trees[number] = Tree(name.upper(), root)
        return tree

    # --- what is run -------------------------------------------------------------------------------

    def add_terminal(self, message: Message) -> Terminal:
        """Return a terminal for a command line. Raises `NtError` for one too many."""
        if len(self.terminals) >= TERMINALS_MAX:
            raise NtError(status.INSUFFICIENT_RESOURCES)
        terminal = Terminal(self, message, self.at_s)
        self.terminals.append(terminal)
        return terminal

    def told(self, occasion: Answered | Woken) -> Iterator[Order]:
        """Go on with what waited for a download, or for time to pass."""
        for prompt, orders in self.commands.told(occasion):
            terminal = next((one for one in self.terminals if one.prompt is prompt), None)
            yield from orders if terminal is None else terminal.heard(orders)

    def go_on(self) -> Iterator[Order]:
        """Look for what came over other connections."""
        for opened in list(self.opens.values()):
            if isinstance(opened, RemComPipe):
                yield from opened.go_on(self.at_s)
            elif isinstance(opened, StdPipe):
                yield from opened.noticed()

    @property
    def looks_again(self) -> bool:
        """Whether something may come over another connection, and is to be looked for."""
        return bool(self.terminals)

    @property
    def is_busy(self) -> bool:
        """Whether a command waits for a download, or takes its time."""
        return self.commands.is_busy

    # --- the disk ----------------------------------------------------------------------------------

    @property
    def disk(self) -> Disk:
        """The disk as this session sees it."""
        if self._disk is None:
            machine = self.windows.machine
            self._disk = Disk(files_of(self.visit, f"windows {machine.name}", machine.tree, WRITABLE))
        return self._disk

    def open(self, tree: Tree, wanted: Wanted) -> Generator[Order, None, tuple[int, Open, int]]:
        """Open something; return its number, it, and what came of it. Raises `NtError`."""
        if len(self.opens) >= OPENS_MAX:
            raise NtError(status.TOO_MANY_OPENED_FILES)
        name = wanted.name.rstrip("\0").lstrip("\\")
        if not tree.root:
            opened: Open = self._pipe(name)
            done = OPENED
        else:
            opened, done = yield from self._open_file(tree, name, wanted)
        self._opened += 1
        self.opens[self._opened] = opened
        return self._opened, opened, done

    def _pipe(self, name: str) -> PipeOpen:
        name = name.lower().removeprefix("pipe\\")
        if not self.has_pipe(name):
            raise NtError(status.OBJECT_NAME_NOT_FOUND)
        if name in pipes():
            return PipeOpen(name, self.rpc)
        if name.startswith(_STD):
            return StdPipe(name, self.rpc)
        shown = printable(name.encode("utf-8", "replace"), 256)
        return RemComPipe(shown, self) if name.startswith(NAME) else ServicePipe(shown, self.rpc)

    def has_pipe(self, name: str) -> bool:
        """Say whether there is a pipe of that name: Windows' own, or one of a program that the client brought."""
        name = name.lower()
        if name.startswith(_STD):
            return self.rpc.identity.administers and StdPipe(name, self.rpc).is_there
        if name == "winreg":
            return self.rpc.is_running("RemoteRegistry")
        return name in pipes() or bool(self.rpc.services)

    def _open_file(self, tree: Tree, name: str, wanted: Wanted) -> Generator[Order, None, tuple[DiskOpen, int]]:
        files = self.disk.files
        files.take_up()
        shown = printable(f"{tree.name}\\{name}".encode("utf-8", "replace"), PATH_CHARS_MAX)
        writes = bool(wanted.access & _WRITES) or wanted.disposition in (_SUPERSEDE, _CREATE, _OVERWRITE, _OVERWRITE_IF)
        action = "write" if writes else "read"
        try:
            path = self.disk.find(tree.root, name)
            node = files.find(path, follow=False)
            self._may_open(node, wanted)
            done = OPENED if node is not None else MADE
            if node is None and wanted.options & _FOLDER:
                files.make_directory(path, self.at_s)
                files.leave()
                action = "make"
            elif node is None or (writes and not isinstance(node, Directory)):
                if node is not None and wanted.disposition in (_SUPERSEDE, _OVERWRITE, _OVERWRITE_IF):
                    done = OVERWRITTEN
                    yield from self._kept_before(path, shown)
                file = files.create(path, self.at_s)
                if done == OVERWRITTEN:
                    files.truncate(file)
            node = files.get(path, follow=False)
        except (NtError, FileError) as error:
            yield Saw(FileRequested(action, shown, done=False))
            raise _as_status(error) from None
        if done == MADE or (not isinstance(node, Directory) and (writes or wanted.access & _READS)):
            yield Saw(FileRequested(action, shown))
        is_new = done != OPENED and isinstance(node, Written)
        deletes = bool(wanted.options & _DELETE_ON_CLOSE and wanted.access & _DELETES)
        return DiskOpen(path, shown, node, writes=writes, is_new=is_new, deletes=deletes), done

    @staticmethod
    def _may_open(node: Node | None, wanted: Wanted) -> None:
        if node is None and wanted.disposition in (_OPEN, _OVERWRITE):
            raise NtError(status.OBJECT_NAME_NOT_FOUND)
        if node is not None and wanted.disposition == _CREATE:
            raise NtError(status.OBJECT_NAME_COLLISION)
        if isinstance(node, Directory) and wanted.options & _NO_FOLDER:
            raise NtError(status.FILE_IS_A_DIRECTORY)
        if node is not None and not isinstance(node, Directory) and wanted.options & _FOLDER:
            raise NtError(status.NOT_A_DIRECTORY)
        if isinstance(node, Directory) and wanted.disposition in (_SUPERSEDE, _OVERWRITE, _OVERWRITE_IF):
            raise NtError(status.OBJECT_NAME_COLLISION)

    def _kept_before(self, path: bytes, shown: str) -> Iterator[Order]:
        node = self.disk.files.find(path, follow=False)
        if isinstance(node, Written) and not node.kept and node.data:
            yield from DiskOpen(path, shown, node, writes=True, is_new=True, deletes=False).kept()

    def get(self, number: int) -> Open:
        """Return what is open under a number. Raises `NtError`."""
        opened = self.opens.get(number)
        if opened is None:
            raise NtError(status.FILE_CLOSED)
        return opened

    def disk_open(self, number: int) -> DiskOpen:
        """Return the file or folder that is open under a number. Raises `NtError`."""
        opened = self.get(number)
        if not isinstance(opened, DiskOpen):
            raise NtError(status.INVALID_DEVICE_REQUEST)
        return opened

    def write(self, opened: DiskOpen, at: int, data: bytes) -> None:
        """Write to a file. Raises `NtError`."""
        if not isinstance(opened.node, Written) or not opened.writes:
            raise NtError(status.ACCESS_DENIED)
        opened.changed = True
        try:
            self.disk.files.write(opened.node, at, data, self.at_s)
        except FileError as error:
            raise _as_status(error) from None

    def resize(self, opened: DiskOpen, size: int) -> None:
        """Cut a file, or lengthen it with zeros. Raises `NtError`."""
        node = opened.node
        if not isinstance(node, Written) or not opened.writes:
            raise NtError(status.ACCESS_DENIED)
        if size < len(node.data):
            self.disk.files.truncate(node, size)
        elif size > len(node.data):
            self.write(opened, size - 1, b"\0")
        opened.changed = True

    def close(self, number: int) -> Iterator[Order]:
        """Close; what was written is kept. Raises `NtError`."""
        opened = self.get(number)
        del self.opens[number]
        if isinstance(opened, PipeOpen):
            yield from opened.kept()
            opened.close()
            return
        if opened.changed:
            self.disk.files.leave()
        yield from opened.kept()
        if opened.deletes:
            yield from self.remove(opened)

    def remove(self, opened: DiskOpen) -> Iterator[Order]:
        """Remove a file or an empty folder. Raises `NtError`."""
        yield from opened.kept()
        try:
            self.disk.files.remove(opened.path)
        except FileError as error:
            raise _as_status(error) from None
        self.disk.files.leave()
        yield Saw(FileRequested("remove", opened.name))

    def rename(self, opened: DiskOpen, tree: Tree, name: str, *, over: bool) -> Iterator[Order]:
        """Move a file within its share. Raises `NtError`."""
        files = self.disk.files
        path = self.disk.find(tree.root, name.rstrip("\0").lstrip("\\"))
        try:
            there = files.find(path, follow=False)
            if there is not None and path != opened.path:
                if not over or isinstance(there, Directory):
                    raise NtError(status.OBJECT_NAME_COLLISION)
                yield from self._kept_before(path, printable(path, PATH_CHARS_MAX))
                files.remove(path)
            files.place(path, files.take_away(opened.path))
        except FileError as error:
            raise _as_status(error) from None
        shown = printable(f"{tree.name}\\{name.lstrip(chr(92))}".encode("utf-8", "replace"), PATH_CHARS_MAX)
        yield Saw(FileRequested("rename", opened.name, shown))
        opened.path, opened.name = path, shown
        files.leave()

    def entries(self, opened: DiskOpen, pattern: str, *, again: bool) -> Iterator[Entry]:
        """Yield the entries of a folder that were not told yet. Raises `NtError`."""
        if not opened.is_folder:
            raise NtError(status.INVALID_PARAMETER)
        if opened.listing is None or again:
            fit = fits(pattern)
            kept = sorted(self.disk.files.names(opened.path), key=bytes.upper)  # as NTFS keeps them
            names = [name.decode("utf-8", "replace") for name in kept]
            opened.listing = (pattern, [name for name in (".", "..", *names) if fit(name)])
            opened.told = 0
        for name in opened.listing[1][opened.told :]:
            path = opened.path if name in (".", "..") else opened.path.rstrip(b"/") + b"/" + name.encode()
            node = self.disk.files.find(path, follow=False)
            if node is not None:
                yield Entry(name, node, self.number_of(path))

    @staticmethod
    def listed(opened: DiskOpen) -> Saw:
        """State that a folder was listed."""
        return Saw(FileRequested("list", opened.name, opened.listing[0] if opened.listing else ""))

    def number_of(self, path: bytes) -> int:
        """Return the number by which a file system tells this file from others."""
        return self.windows.seed.number(f"file {path.hex()}", 1 << 47) + 1

    def entry(self, opened: Open) -> Entry:
        """How it is shown."""
        return opened.entry(self.number_of(opened.path if isinstance(opened, DiskOpen) else opened.name.encode()))

    def ended(self) -> Iterator[Order]:
        """The client is gone: what it has not closed is not known to be whole."""
        for opened in self.opens.values():
            if isinstance(opened, DiskOpen):
                yield from opened.kept(partial=True)
            else:
                yield from opened.kept()
                opened.close()
        self.opens.clear()
        yield from self.rpc.ended()
        yield from self.commands.ended()
        if self._disk is not None:
            self._disk.files.leave()


def _as_status(error: NtError | FileError) -> NtError:
    return error if isinstance(error, NtError) else NtError(OF_FILES.get(str(error), status.ACCESS_DENIED))
