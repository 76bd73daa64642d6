"""What about a sensor calls for a look, and what to do about it, from what it says of itself and what is seen of it.

Nothing here trusts a health report: any value may be missing or of the wrong type, and then says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from eudaemon.farm.settings import FleetSettings

if TYPE_CHECKING:
    from eudaemon.farm.fleet.fleet import Sensor

GROWING_CONTACTS_MIN = 8  # the spool was larger at each of so many contacts in a row
SPOOL_SHARE_WARNING, SPOOL_SHARE_SERIOUS = 0.5, 0.9
TEXT_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that somebody should look at. `severity` is `warning` or `serious`."""

    severity: str
    text: str


def judge(
    sensor: Sensor, spooled: Sequence[tuple[float, int]], now_s: float, settings: FleetSettings
) -> Iterator[Warned]:
    """Yield what is wrong with a sensor, the worst first. `spooled` are (time, events in the spool) at its contacts."""
    if sensor.contact_s is None:
        yield Warned("warning", "It has never reported. Put its settings on it and start it.")
        return
    health = sensor.health
    silent_s = now_s - sensor.contact_s
    if silent_s > settings.silent_s:
        yield Warned("serious", f"Nothing was heard of it for {span(silent_s)}. Is it on, and can it reach this farm?")
    capture = health.get("capture")
    if isinstance(capture, str) and capture not in ("ok", ""):
        yield Warned("serious", f"It keeps no samples any more: {capture[:TEXT_CHARS_MAX]}")
    if dropped := number(health, "dropped_events"):
        yield Warned("serious", f"Its spool was full: {dropped:,} events were dropped before they could be delivered.")
    yield from _spool(health, spooled)
    if abs(sensor.clock_off_s) > settings.clock_off_s:
        side = "ahead" if sensor.clock_off_s > 0 else "behind"
        yield Warned("warning", f"Its clock is {span(abs(sensor.clock_off_s))} {side}. Set up NTP on it.")
    if health.get("listening") == []:
        yield Warned("serious", "It listens nowhere. Look into its log for ports that it could not bind.")
    quiet_since_s = max(sensor.session_s or 0.0, sensor.created_s)
    if silent_s <= settings.silent_s and now_s - quiet_since_s > settings.quiet_s:
        yield Warned(
            "warning",
            f"It is connected, but has seen no session for {span(now_s - quiet_since_s)}."
            " Can it be reached from the Internet on its ports?",
        )
    if faults := number(health, "faults"):
        yield Warned(
            "warning", f"{faults:,} sessions ended by faults of ours. Please report what its log says of them."
        )


def _spool(health: Mapping[str, Any], spooled: Sequence[tuple[float, int]]) -> Iterator[Warned]:
    full = number(health, "spool_bytes") / max(1, number(health, "spool_bytes_max"))
    if full > SPOOL_SHARE_WARNING:
        severity = "serious" if full > SPOOL_SHARE_SERIOUS else "warning"
        yield Warned(
            severity, f"Its spool is {min(full, 1.0):.0%} full; the oldest events are dropped when it is full."
        )
    recent = [events for _, events in spooled[-GROWING_CONTACTS_MIN:]]
    if len(recent) == GROWING_CONTACTS_MIN and all(a < b for a, b in pairwise(recent)):
        yield Warned("warning", f"Its spool grows: {recent[-1]:,} events wait. It sees more than it can deliver.")


def number(health: Mapping[str, Any], name: str) -> int:
    """Return a number out of a health report; 0 if it is none."""
    value = health.get(name)
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**63 else 0


def span(seconds: float) -> str:
    """Return a span of time as people say it."""
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"
