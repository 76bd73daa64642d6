"""What an attacker made or brought is kept once, before it is overwritten, removed, run, or left: for every shell."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator

from eudaemon.wire import PeerError, Purse, printable
from eudaemon.world.files import FILES_MAX, Device, Files, Written
from eudaemon.world.outside import Download, Downloaded
from eudaemon.world.shell.acts import Act, Kept
from eudaemon.world.shell.budget import Budget
from eudaemon.world.shell.limits import EXHAUSTED_LINES_MAX, KEPT_MAX
from eudaemon.world.shell.notes import is_note


class Keeper:
    """The files of one session, and what of them was kept. What they hold is taken from `purse`."""

    __slots__ = ("_exhausted", "_kept", "_writing", "at_s", "budget", "files", "purse")

    def __init__(self, files: Files, purse: Purse) -> None:
        self.files = files
        self.purse = purse
        self.budget = Budget()
        self.at_s = 0.0
        self._exhausted = 0
        self._kept: set[bytes] | None = None
        self._writing: dict[int, Written] | None = None  # what the line that runs has opened for writing

    # --- what differs from system to system ----------------------------------------------------------

    def is_ours(self, data: bytearray) -> bool:  # noqa: ARG002
        """Say whether a file's content is no more than a copy of a program of the host."""
        return False

    def is_note(self, path: bytes, file: Written) -> bool:
        """Say whether a file, at its resolved path, is no more than a note: see `notes`."""
        return is_note(path, file)

    def shown_path(self, path: bytes) -> str:
        """Return a resolved path as the attacker wrote it."""
        return printable(path, 1024)

    # --- artefacts -----------------------------------------------------------------------------------

    def keep(self, path: bytes, file: Written, *, script: bool | None = None) -> Iterator[Kept]:
        """Yield a file's content, if it is the attacker's, was not kept before, and is not a mere note.

        `script` is said of a file that is being run: whether it is text.
        """
        if file.kept or file.missing or not file.data or (script is None and self.is_note(path, file)):
            return
        file.kept = True
        if self.is_ours(file.data):
            return
        if not self.note_kept(hashlib.sha256(file.data).digest()):
            return
        data = bytes(file.data)
        is_script = data[:2] == b"#!" if script is None else script
        yield Kept(self.shown_path(path), data, "script" if is_script else "upload")

    def note_kept(self, digest: bytes) -> bool:
        """Note that this content is kept; false if it was before, or if there are too many."""
        if self._kept is None:
            self._kept = set()
        if digest in self._kept or len(self._kept) >= KEPT_MAX:
            return False
        self._kept.add(digest)
        return True

    def keep_before(self, path: bytes) -> Iterator[Kept]:
        """Yield what stands at a resolved path, before it is overwritten or removed."""
        node = self.files.find(path, follow=False)
        if isinstance(node, Written):
            yield from self.keep(path, node)

    def finish(self) -> Iterator[Kept]:
        """Yield what was written and not kept yet. Call it when the session is over."""
        for path, file in list(self.files.written()):
            yield from self.keep(path, file)

    # --- downloads -----------------------------------------------------------------------------------

    def download(self, url: str, tool: str, name: bytes) -> Generator[Act, Downloaded | None, Downloaded]:
        """Wish a download, and return the answer."""
        answer = yield Download(url, tool, printable(name, 256))
        if answer is None:
            return Downloaded(url, "failed")
        if answer.head and answer.size == len(answer.head):
            self.note_kept(hashlib.sha256(answer.head).digest())
        return answer

    def open_for_writing(self, path: bytes) -> Written | None:
        """Return the emptied file at a resolved path, None if a device swallows it. Raises `FileError`.

        For programs that overwrite; what was there and is the attacker's has to be kept before, by `keep_before`.
        """
        node = self.files.find(path)
        if isinstance(node, Device):
            return None
        file = self.create(path)
        self.files.truncate(file)
        return file

    def create(self, path: bytes) -> Written:
        """Return the file at a resolved path, to be written by the line that runs. Raises `FileError`."""
        file = self.files.create(path, self.at_s)
        if self._writing is None:
            self._writing = {}
        if len(self._writing) < FILES_MAX:
            self._writing[id(file)] = file
        return file

    def note_typed(self) -> None:
        """What the line that runs writes was typed, and stands in no event: it is no note."""
        for file in (self._writing or {}).values():
            file.used = True

    def finish_writing(self) -> Iterator[Kept]:
        """Yield what the line that runs was writing when the session broke off."""
        for path, file in list(self.files.written()):
            if id(file) in (self._writing or {}):
                yield from self.keep(path, file)

    def store(self, path: bytes, got: Downloaded) -> Generator[Act, Downloaded | None, None]:
        """Put what a download brought at a resolved path. Raises `FileError`."""
        yield from self.keep_before(path)
        file = self.open_for_writing(path)
        if file is None:
            return
        self.files.append(file, got.head, self.at_s)
        file.kept = True
        file.missing = max(0, got.size - len(got.head))

    # --- patience ------------------------------------------------------------------------------------

    def count_exhausted(self) -> None:
        """Note that a line ran into a limit. Raises `PeerError` when it happens too often."""
        self._exhausted += 1
        if self._exhausted > EXHAUSTED_LINES_MAX:
            raise PeerError(f"more than {EXHAUSTED_LINES_MAX} shell lines that do not end")
