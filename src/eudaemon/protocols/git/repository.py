"""What one may clone: one commit of two files, drawn for each installation and name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from eudaemon.protocols.git.pack import BLOB, COMMIT, TREE, made, named
from eudaemon.world.host import Host

# Names that are guessed; of those a drawn half is there.
NAMES = ("ansible", "app", "backup", "code", "config", "deploy", "git", "infra", "main", "project", "repo", "scripts",
         "source", "test", "web", "website", "www")  # fmt: skip
_VERSIONS = ("2.11.0", "2.17.1", "2.20.1", "2.25.1", "2.30.2", "2.34.1", "2.39.2")
_WORDS = ("shop", "portal", "invoice", "tracker", "backend", "frontend", "monitor", "crawler")
_PEOPLE = ("anna", "ben", "dev", "deploy", "jan", "lena", "marco", "root")


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository: its only commit, and the pack that has all of it."""

    head: str
    pack: bytes


def version_of(host: Host) -> str:
    """Return the version of this host's git."""
    return host.seed.child("git").choice("version", _VERSIONS)


def name_of(path: bytes) -> str:
    """Return the name of the repository that a path leads to, empty if there cannot be one."""
    name = path.rstrip(b"/").rpartition(b"/")[2].removesuffix(b".git").decode("latin-1")
    return name if name in NAMES else ""


@lru_cache(maxsize=8)
def repository_of(host: Host, name: str) -> Repository | None:
    """Return the repository of that name, None if this host has none."""
    seed = host.seed.child("git").child(name)
    if not name or not seed.number("there", 2):
        return None
    title, person = seed.choice("title", _WORDS), seed.choice("person", _PEOPLE)
    secret = seed.bytes("secret", 12).hex()
    readme = f"# {title}\n\nInternal. See config.ini for the database.\n".encode()
    config = f"[database]\nhost = 127.0.0.1\nname = {title}\nuser = {person}\npassword = {secret}\n".encode()
    tree = b"".join(
        b"100644 %s\0" % file + named(BLOB, content)
        for file, content in ((b"README.md", readme), (b"config.ini", config))
    )
    at_s = int(host.built_s) + seed.number("committed", 300 * 86_400)
    zone = f"{datetime.fromtimestamp(at_s, UTC):%z}"
    who = f"{person} <{person}@{host.name.lower()}> {at_s} {zone}"
    commit = f"tree {named(TREE, tree).hex()}\nauthor {who}\ncommitter {who}\n\nInitial commit\n".encode()
    pack = made([(COMMIT, commit), (TREE, tree), (BLOB, readme), (BLOB, config)])
    return Repository(named(COMMIT, commit).hex(), pack)
