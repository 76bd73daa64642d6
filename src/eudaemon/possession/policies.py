"""The settings of `eudaemon watch`: which processes are possessed, when, and until when. Values alone."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from eudaemon.options import option
from eudaemon.possession.eve import SEVERITY_MAX
from eudaemon.possession.taint import VERDICTS, Taint

WHEN = ("connection", "suricata", "idle", "always")


def _taint(text: str) -> None:
    Taint.of(text)


def _networks(texts: tuple[str, ...]) -> None:
    for text in texts:
        ipaddress.ip_network(text)


@dataclass(frozen=True, slots=True)
class Policy:
    """Processes that fit all of `exe`, `command`, `unit`, `user` and `pid_file` that are set."""

    name: str = option("policy", "What the policy is called in what is said of it.")
    exe: str = option("", "Processes whose program's path fits this pattern, as `/usr/sbin/nginx` or `*/nginx`.")
    command: str = option("", "Processes whose command line (words with blanks between) fits this pattern.")
    unit: str = option("", "Processes of a systemd unit, or whose control group fits this pattern.")
    user: str = option("", "Processes of this user, by name or number.")
    pid_file: str = option("", "The process whose number stands in this file.")
    when: str = option("connection", "When they are possessed.", among=WHEN)
    addresses: tuple[str, ...] = option((), "Only peers of these networks count; empty: all.", check=_networks)
    seen_hours: float = option(
        0.0, "Only peers count that this machine's sensor has met within so many hours; 0: all.", low=0, high=8760
    )
    every: int = option(1, "Only each so-many-th connection or alert counts.", low=1, high=1_000_000)
    signature: str = option("", "With `suricata`: only signatures whose words fit this pattern, or of this number.")
    severity_max: int = option(
        SEVERITY_MAX, "With `suricata`: only alerts of this severity and graver ones; 1 is the gravest.",
        low=1, high=SEVERITY_MAX,
    )  # fmt: skip
    idle_load: float = option(0.5, "With `idle`: while the load of a minute is below this.", low=0.01, high=1000)
    linger_s: float = option(2.0, "How long they stay possessed when the reason has gone, seconds.", low=0, high=86_400)
    stay_s_max: float = option(
        0.0, "How long they stay possessed at a stretch, seconds; 0: as long as the reason lasts.",
        low=0, high=31_536_000,
    )  # fmt: skip
    taint: str = option("inet", "Whose input is followed, as in `possess --taint`.", check=_taint)
    on_alert: str = option("contain", "What happens when it takes control.", among=VERDICTS)
    pause_s: float = option(
        0.0, "How long it is let go after an alert or `stay_s_max`, seconds; 0: not at all.", low=0, high=86_400
    )

    def __post_init__(self) -> None:
        if not (self.exe or self.command or self.unit or self.user or self.pid_file):
            raise ValueError("says of no process: set exe, command, unit, user or pid_file")


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """What is watched on this machine."""

    possessed_max: int = option(16, "Most processes that are possessed by it at once.", low=1, high=1000)
    possessions_minute_max: int = option(120, "Most possessions in a minute.", low=1, high=100_000)
    poll_ms: int = option(3, "How often it is looked for new connections, milliseconds.", low=1, high=1000)
    eve: str = option("/var/log/suricata/eve.json", "Suricata's log of events, for policies with `suricata`.")
    policies: tuple[Policy, ...] = option((), "The policies, each a table of its own.")
