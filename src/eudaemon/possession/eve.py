"""Alerts of Suricata, as its EVE log has them: an object of JSON a line, of which those of type `alert` matter.

Source: Suricata's user guide, "Eve JSON Format". Which end of the flow is ours is not said: an alert may be of either
direction.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eudaemon.possession.tail import Tail

SEVERITY_MAX = 255  # the mildest; 1 is the gravest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
End = tuple[Address, int]


@dataclass(frozen=True, slots=True)
class EveAlert:
    """One alert: what was recognised, and both ends of the flow in which it was."""

    signature: str
    number: int
    severity: int
    transport: str  # tcp or udp
    ends: tuple[End, End]

    def fits(self, pattern: str, severity_max: int) -> bool:
        """Whether a policy means it: `pattern` is of the signature's words, or its number; empty: all."""
        is_meant = not pattern or pattern == str(self.number) or fnmatch.fnmatchcase(self.signature, pattern)
        return is_meant and self.severity <= severity_max


class Eve:
    """Follows Suricata's log."""

    def __init__(self, path: Path) -> None:
        self.damaged = 0  # lines that are none of Suricata's
        self._tail = Tail(path)

    @property
    def is_there(self) -> bool:
        """Whether there is such a log."""
        return self._tail.is_open

    @property
    def left_out(self) -> int:
        """How many lines could not be used."""
        return self.damaged + self._tail.long_lines

    def alerts(self) -> Iterator[EveAlert]:
        """Yield the alerts of TCP and UDP since the last time."""
        for line in self._tail.lines():
            if b'"alert"' not in line:  # most lines are of flows
                continue
            try:
                found = _read(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                self.damaged += 1
                continue
            if found is not None:
                yield found

    def close(self) -> None:
        """Close the log."""
        self._tail.close()


def _read(event: object) -> EveAlert | None:
    """Return the alert that an event is. Raises `ValueError`, `KeyError`, `TypeError` for what is no event."""
    if not isinstance(event, dict):
        raise TypeError("an event is an object")
    transport = str(event.get("proto", "")).lower()
    if event["event_type"] != "alert" or transport not in ("tcp", "udp"):
        return None
    alert = event["alert"]
    if not isinstance(alert, dict):
        raise TypeError("an alert is an object")
    ends = _end(event["src_ip"], event["src_port"]), _end(event["dest_ip"], event["dest_port"])
    severity = int(alert.get("severity", SEVERITY_MAX))
    return EveAlert(str(alert["signature"]), int(alert.get("signature_id", 0)), severity, transport, ends)


def _end(address: object, port: object) -> End:
    if not isinstance(address, str) or not isinstance(port, int):
        raise TypeError("an end is an address and a port")
    found = ipaddress.ip_address(address)
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found, port
