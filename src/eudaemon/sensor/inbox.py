"""The sensor's inbox: facts that other programs of this machine hand in, such as alerts of possessed processes.

    home/inbox/NAME.json    {"events": ["{…}", …], "artefacts": ["hexadecimal", …]}

A file is written under a name with a dot in front and renamed when it is whole. The sensor puts its own name on the
events, which go the way of its own: spool, uplink, farm. What a session in it wishes (`download.wished`) it states and
carries out as its own rooms' wishes, by its policy, and it looks into the artefacts for more. What is no such file is
set aside, for a person to look at.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eudaemon.events import Endpoint, Event, from_json, to_json
from eudaemon.events.catalogue import ArtefactKept, DownloadWished
from eudaemon.events.codec import CodecError
from eudaemon.world.outside import Download, Downloaded

log = logging.getLogger("eudaemon.sensor")

FILE_BYTES_MAX = 8 * 1024 * 1024
FILES_MAX = 1000  # that wait; beyond that nothing more is handed in
LOOK_S = 1.0
_DAMAGED = ".damaged"


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A session that was handed in."""

    id: str
    attacker: Endpoint
    local: Endpoint


class Inbox:
    """Takes in what is there.

    `append` takes an event's line, `keep` an artefact; `commit` makes them durable; `wish` is for what a session
    wishes, `look_into` for its artefacts.
    """

    def __init__(
        self, folder: Path, name: str, append: Callable[[bytes], None], keep: Callable[[bytes], object],
        commit: Callable[[], Awaitable[None]], wish: Callable[[HandedIn, Download, Callable[[Downloaded], None]], None],
        look_into: Callable[[HandedIn, bytes], None],
    ) -> None:  # fmt: skip
        self._folder = folder
        self._name = name
        self._append = append
        self._keep = keep
        self._commit = commit
        self._wish = wish
        self._look_into = look_into

    def open(self) -> None:
        """Make the folder. Raises `OSError`."""
        self._folder.mkdir(mode=0o700, exist_ok=True)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.take()

    async def take(self) -> None:
        """Take in what is there now. A file goes when what it holds is durable."""
        taken = []
        for path in sorted(self._folder.glob("[!.]*.json")):
            try:
                events, artefacts = _read(path)
            except OSError as error:
                log.error("inbox: %s cannot be read: %s", path.name, error)
                continue
            except (ValueError, KeyError, TypeError) as error:
                log.error("inbox: %s is set aside: %s", path.name, error)
                path.rename(path.with_suffix(_DAMAGED))
                continue
            for data in artefacts:
                self._keep(data)
            session = _session_of(events)
            for event in events:
                if session and isinstance(event.fact, DownloadWished):
                    self._wish(session, Download(event.fact.url, event.fact.tool), _nobody_waits)
                else:
                    self._append(to_json(replace(event, sensor=self._name)).encode("ascii"))
            named = {event.fact.sha256 for event in events if isinstance(event.fact, ArtefactKept)}
            for data in artefacts:
                if session and hashlib.sha256(data).hexdigest() in named:  # what else there is, is no attacker's
                    self._look_into(session, data)
            taken.append(path)
        if taken:
            await self._commit()
        for path in taken:
            path.unlink(missing_ok=True)


def hand_in(folder: Path, name: str, events: Sequence[Event], artefacts: Sequence[bytes]) -> bool:
    """Hand in events of one occasion. False: no sensor of this machine has an inbox there, or it is full.

    The folder may be another user's, whom we need not trust: nothing is followed that he may have put there instead.
    Raises `OSError`.
    """
    try:
        inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if len(os.listdir(inside)) >= FILES_MAX:  # noqa: PTH208  # of a descriptor
            return False
        document = {"events": [to_json(event) for event in events], "artefacts": [data.hex() for data in artefacts]}
        new = f".{os.getpid()}-{name}.json"
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=inside)
        with os.fdopen(file, "wb") as stream:
            stream.write(json.dumps(document).encode("ascii"))
            stream.flush()
            owner = os.fstat(inside)
            if os.geteuid() == 0:
                os.fchown(file, owner.st_uid, owner.st_gid)
            os.fsync(file)
        os.rename(new, f"{name}.json", src_dir_fd=inside, dst_dir_fd=inside)
    finally:
        os.close(inside)
    return True


def _nobody_waits(_: Downloaded) -> None:
    """Nobody is to be answered: the attack is over."""


def _session_of(events: list[Event]) -> HandedIn | None:
    for event in events:
        if event.session and event.attacker and event.local:
            return HandedIn(event.session, event.attacker, event.local)
    return None


def _read(path: Path) -> tuple[list[Event], list[bytes]]:
    with path.open("rb") as file:
        raw = file.read(FILE_BYTES_MAX + 1)
    if len(raw) > FILE_BYTES_MAX:
        raise ValueError(f"over {FILE_BYTES_MAX} bytes")
    document = json.loads(raw)
    try:
        events = [from_json(line) for line in document["events"]]
    except CodecError as error:
        raise ValueError(str(error)) from None
    return events, [bytes.fromhex(text) for text in document["artefacts"]]
