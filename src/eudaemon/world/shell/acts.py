"""What a running line wants done, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from eudaemon.world.outside import Download


@dataclass(frozen=True, slots=True)
class Print:
    """Show these bytes, with bare LF at the line ends: a terminal makes CR LF of them."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that the attacker made is finished. `origin` is `upload` or `script`; `partial` if more was to come."""

    path: str
    data: bytes
    origin: str
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Go on when this time has passed, if somebody watches: then he would see that it has not."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Listen:
    """Go on when more of what a command reads has come (`streams.Typed`), or has ended.

    `stated` if it is worth an event as a line is, `hidden` if it is a secret that no terminal shows.
    """

    stated: bool = False
    hidden: bool = False


Act: TypeAlias = Print | Download | Kept | Pause | Listen
