"""Why a policy wants a process possessed: reasons, which begin, last and are gone.

    connection      a connection, while it lives; one that is over already: for one look
    suricata        the flow of an alert, likewise
    idle, always    one reason, while it holds

Read from the kernel's tables; nothing is asked of the process.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Collection, Iterable, Sequence

from eudaemon.possession.eve import Address, End, EveAlert
from eudaemon.possession.policies import Policy
from eudaemon.possession.watched import LISTENING, LIVING, Row, Target, rows, sockets

Reason = tuple[str, str]  # both ends of a connection, as the kernel writes them; or a word and nothing
HasMet = Callable[[Address, float], bool]  # whether the sensor has met an address within so many hours


class Tables:
    """The kernel's tables of sockets, each read once in a look, and only if somebody asks."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, str], list[Row]] = {}

    def of(self, target: Target, transport: str = "tcp") -> list[Row]:
        """Return the sockets of the network that a target lives in."""
        key = target.network, transport
        if key not in self._read:
            self._read[key] = list(rows(target.pid, transport))
        return self._read[key]


class Reasons:
    """The reasons of one policy, from look to look."""

    def __init__(self, policy: Policy, has_met: HasMet) -> None:
        self._policy = policy
        self._has_met = has_met
        self._networks = [ipaddress.ip_network(text) for text in policy.addresses]
        self._known: dict[int, set[Reason]] = {}  # connections of the last look, by process
        self._lasting: dict[int, set[Reason]] = {}  # those of them that it is possessed for
        self._count = 0

    def look(self, targets: Sequence[Target], tables: Tables, alerts: Iterable[EveAlert]) -> dict[int, set[Reason]]:
        """Return the reasons that there are now, by process."""
        match self._policy.when:
            case "connection":
                return {target.pid: self._connected(target, tables.of(target)) for target in targets}
            case "suricata":
                return self._suspected(targets, tables, alerts)
            case "idle" if os.getloadavg()[0] >= self._policy.idle_load:
                return {}
        return {target.pid: {(self._policy.when, "")} for target in targets}

    def forget(self, living: Collection[int]) -> None:
        """Forget the processes that are gone."""
        for table in (self._known, self._lasting):
            for pid in table.keys() - living:
                del table[pid]

    def _counts(self) -> bool:
        self._count += 1
        return self._count % self._policy.every == 0

    def _is_meant(self, address: Address) -> bool:
        if self._networks and not any(address in network for network in self._networks):
            return False
        return not self._policy.seen_hours or self._has_met(address, self._policy.seen_hours)

    def _connected(self, target: Target, seen: list[Row]) -> set[Reason]:
        """Connections to its ports. One that is over stays in the table for a minute where the server has closed it."""
        is_for_all = not self._networks and not self._policy.seen_hours
        there = {
            row.ends: row.state in LIVING
            for row in seen
            if row.state != LISTENING and row.port in target.ports and (is_for_all or self._is_meant(row.peer_end[0]))
        }
        # At first sight of a process those that are over are of before.
        known = self._known.get(target.pid, {ends for ends, lives in there.items() if not lives})
        self._known[target.pid] = set(there)
        begun = {ends for ends in there.keys() - known if self._counts()}
        return begun | self._lasts(target, begun, {ends for ends, lives in there.items() if lives})

    def _suspected(
        self, targets: Sequence[Target], tables: Tables, alerts: Iterable[EveAlert]
    ) -> dict[int, set[Reason]]:
        found: dict[int, set[Reason]] = {}
        for alert in alerts:
            if not alert.fits(self._policy.signature, self._policy.severity_max):
                continue
            ours = {
                pid: flow
                for local, peer in (alert.ends, alert.ends[::-1])
                if self._is_meant(peer[0])
                for pid, flow in owners(targets, tables, alert.transport, local, peer).items()
            }
            if ours and self._counts():
                for pid, flow in ours.items():
                    found.setdefault(pid, set()).add(flow)
        for target in targets:
            if target.pid in found or self._lasting.get(target.pid):
                living = {row.ends for row in tables.of(target) if row.state in LIVING}
                begun = found.setdefault(target.pid, set())
                begun |= self._lasts(target, begun, living)
        return found

    def _lasts(self, target: Target, begun: set[Reason], living: set[Reason]) -> set[Reason]:
        lasting = (self._lasting.get(target.pid, set()) | begun) & living
        self._lasting[target.pid] = lasting
        return lasting


def owners(targets: Sequence[Target], tables: Tables, transport: str, local: End, peer: End) -> dict[int, Reason]:
    """Return the targets that a flow belongs to: who holds its socket; if it has none any more, who serves its port."""
    holders: dict[int, Reason] = {}
    servants: dict[int, Reason] = {}
    port = f"{local[1]:04X}"
    flow = f"{local[0]} {local[1]}", f"{peer[0]} {peer[1]}"
    for target in targets:
        near = [row for row in tables.of(target, transport) if row.port == port]
        own = next((row for row in near if (row.local_end, row.peer_end) == (local, peer)), None)
        held = sockets(target.pid) if near else frozenset()
        if own is not None and own.inode in held:
            holders[target.pid] = own.ends
        elif own is not None and own.inode != "0":
            continue  # somebody else's
        elif any(row.serves(local[0]) and row.inode in held for row in near):
            servants[target.pid] = own.ends if own else flow  # over, not accepted yet, or of a socket without a peer
    return holders or servants
