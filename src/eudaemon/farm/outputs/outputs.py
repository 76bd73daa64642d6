"""All outputs of a farm: made from the settings, fed from one journal, and what there is to say of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eudaemon.farm.outputs import settings as kinds
from eudaemon.farm.outputs.batch import Format
from eudaemon.farm.outputs.feeder import Bytes, Events, Feeder, Own
from eudaemon.farm.outputs.formats import FORMATS
from eudaemon.farm.outputs.formats.channels import published
from eudaemon.farm.outputs.formats.lookups import lookups
from eudaemon.farm.outputs.formats.misp import make_with_sightings
from eudaemon.farm.outputs.formats.reports import REPORTS
from eudaemon.farm.outputs.journal import Journal, State
from eudaemon.farm.outputs.peers import Peer
from eudaemon.farm.outputs.peers.collectors import elasticsearch, splunk, taxii, webhook
from eudaemon.farm.outputs.peers.hpfeeds import Broker
from eudaemon.farm.outputs.peers.lookups import CapeSandbox, VirusTotalService
from eudaemon.farm.outputs.peers.mail import MailServer
from eudaemon.farm.outputs.peers.places import Folder, Objects, remove_half_written
from eudaemon.farm.outputs.peers.redis import RedisServer
from eudaemon.farm.outputs.peers.services import (
    AbuseIpdbService,
    BazaarService,
    DshieldService,
    MispServer,
    UrlhausService,
)  # fmt: skip
from eudaemon.farm.outputs.peers.syslog import Server
from eudaemon.farm.outputs.peers.web import Poster
from eudaemon.farm.settings import StoreSettings
from eudaemon.farm.store import Block


class OutputError(Exception):
    """An output that cannot be made as it is set. The message says which, and why."""


# Kind of settings -> how its format and its peer are made, out of its name, its settings, and the farm's directory.
_MADE: dict[type[Any], Callable[[str, Any, Path, StoreSettings], tuple[Format, Peer]]] = {
    kinds.Directory: lambda name, s, home, store: (
        FORMATS[s.format], Folder(place(name, s, home), FORMATS[s.format], store.disk_free_bytes_min)),
    kinds.Bucket: lambda name, s, *_: (FORMATS[s.format], Objects(s, FORMATS[s.format], name)),
    kinds.Post: lambda _, s, *__: (FORMATS[s.format], Poster(s, FORMATS[s.format])),
    kinds.Hpfeeds: lambda _, s, *__: (published(s.channels), Broker(s)),
    kinds.Syslog: lambda _, s, *__: (FORMATS[s.format], Server(s)),
    kinds.Misp: lambda _, s, *__: (Format(make_with_sightings, "application/json", whole=True), MispServer(s)),
    kinds.Taxii: lambda _, s, *__: (FORMATS["stix"], taxii(s)),
    kinds.Splunk: lambda _, s, *__: (FORMATS[s.format], splunk(s)),
    kinds.Elasticsearch: lambda _, s, *__: (FORMATS[s.format], elasticsearch(s)),
    kinds.Redis: lambda _, s, *__: (FORMATS[s.format], RedisServer(s)),
    kinds.Webhook: lambda _, s, *__: (replace(FORMATS["notices"], gather_s=s.every_s), webhook(s)),
    kinds.Mail: lambda _, s, *__: (replace(FORMATS["notices"], gather_s=s.every_s), MailServer(s)),
    kinds.VirusTotal: lambda _, s, *__: (lookups(submit=s.submit), VirusTotalService(s)),
    kinds.Cape: lambda _, s, *__: (lookups(submit=s.submit), CapeSandbox(s)),
    kinds.Urlhaus: lambda _, s, *__: (REPORTS["urlhaus"], UrlhausService(s)),
    kinds.MalwareBazaar: lambda _, s, *__: (REPORTS["malwarebazaar"], BazaarService(s)),
    kinds.AbuseIpdb: lambda _, s, *__: (REPORTS["abuseipdb"], AbuseIpdbService(s)),
    kinds.Dshield: lambda _, s, *__: (REPORTS["dshield"], DshieldService(s)),
}  # fmt: skip


def make(name: str, settings: Any, home: Path, store: StoreSettings) -> tuple[Format, Peer]:
    """Return an output's format and peer; certificates are read, and a directory is made. Raises `OutputError`."""
    try:
        if isinstance(settings, kinds.Directory):
            place(name, settings, home).mkdir(mode=0o750, parents=True, exist_ok=True)
        return _MADE[type(settings)](name, settings, home, store)
    except OSError as error:
        what = getattr(settings, "ca_file", "") or getattr(settings, "path", "")
        raise OutputError(f"output {name}: {what}: {error.strerror or error}") from None


def place(name: str, settings: kinds.Directory, home: Path) -> Path:
    """Return the directory of an output to files."""
    return Path(settings.path) if settings.path else home / "outputs" / name


def directories(outputs: Mapping[str, Any], home: Path) -> list[Path]:
    """Return the directories that outputs write to."""
    return [place(name, s, home) for name, s in outputs.items() if isinstance(s, kinds.Directory)]


class Outputs:
    """The outputs of the farm in the directory `home`. Raises `OutputError`."""

    def __init__(self, settings: Mapping[str, Any], home: Path, store: StoreSettings) -> None:
        self._settings, self._home, self._store = settings, home, store
        self.directories = directories(settings, home)
        self._made = {name: make(name, one, home, store) for name, one in settings.items()}
        self._journal: Journal | None = None

    def open(self) -> None:
        """Open the journal, if there is any output, and remove files that a crash left half written."""
        for directory in self.directories:
            remove_half_written(directory)
        path = journal_path(self._home)
        if self._settings or path.exists():
            self._journal = Journal(path, self._store.outgoing_bytes_max)
            self._journal.begin(list(self._settings))

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    def take(self, block: Block) -> None:
        """Enter a block that is in the store."""
        if self._journal is not None and self._settings:
            self._journal.take(block.number, block.lines, again=block.again)

    def run(self, store: Events, samples: Bytes, own: Own) -> Iterator[asyncio.Task[None]]:
        """Start the outputs; yield their tasks, which end when they are cancelled."""
        if (journal := self._journal) is not None:
            for name, (format_, peer) in self._made.items():
                secrets = kinds.secrets_of(self._settings[name])
                yield asyncio.create_task(Feeder(name, format_, peer, journal, store, samples, own, secrets).run())

    def states(self) -> Sequence[State]:
        """Return how far each has come."""
        return self._journal.states() if self._journal is not None else ()


def journal_path(home: Path) -> Path:
    """Return where the journal of the farm in `home` is."""
    return home / "outgoing.sqlite"


def complaints(states: Sequence[State]) -> Iterator[str]:
    """Yield what about outputs somebody should look at."""
    for state in states:
        if state.trouble:
            lost = f" {state.dropped:,} were dropped, because too many waited." if state.dropped else ""
            yield f"The output {state.name} has {state.waiting:,} events to tell, and waits:{lost} {state.trouble}"
