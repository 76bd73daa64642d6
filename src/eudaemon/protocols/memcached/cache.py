"""What one session keeps in the pretended cache, and the figures of the server, drawn from the installation's seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from eudaemon.wire import Purse
from eudaemon.world.container import container_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

ITEM_BYTES_MAX = 1024 * 1024  # memcached's own
ITEMS_MAX = 10_000  # of one session
_ITEM_BYTES = 128  # what an item costs besides its key and value
VERSIONS = ("1.4.15", "1.4.22", "1.4.25", "1.4.33", "1.4.39", "1.5.0", "1.5.2", "1.5.5")


@dataclass(frozen=True, slots=True)
class Item:
    """One value. `unique` is what `gets` tells and `cas` must name."""

    flags: int
    value: bytes
    unique: int


class Cache:
    """The items. What they hold is taken from the purse."""

    __slots__ = ("_items", "_last", "_purse")

    def __init__(self, purse: Purse) -> None:
        self._items: dict[bytes, Item] = {}
        self._purse = purse
        self._last = 0

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: bytes) -> Item | None:
        """Return an item, None if it is not there."""
        return self._items.get(key)

    def put(self, key: bytes, flags: int, value: bytes) -> bool:
        """Store an item; false if there is no room."""
        self.drop(key)
        if len(self._items) >= ITEMS_MAX or not self._purse.take(_ITEM_BYTES + len(key) + len(value)):
            return False
        self._last += 1
        self._items[key] = Item(flags, value, self._last)
        return True

    def drop(self, key: bytes) -> bool:
        """Remove an item; say whether it was there."""
        item = self._items.pop(key, None)
        if item is not None:
            self._purse.give_back(_ITEM_BYTES + len(key) + len(item.value))
        return item is not None

    def empty(self) -> None:
        """Remove all."""
        for key in list(self._items):
            self.drop(key)

    def listed(self, count: int) -> list[tuple[bytes, Item]]:
        """Return the first so many items."""
        return list(self._items.items())[:count]


@dataclass(frozen=True, slots=True)
class Server:
    """One sensor's memcached."""

    seed: Seed
    host: Host
    version: str
    megabytes: int

    def stats(self, at_s: float, items: int) -> list[tuple[str, object]]:
        """Return what `stats` lists."""
        draw, uptime_s = self.seed.number, int(self.host.uptime_s(at_s))
        sets = uptime_s // 11 + draw("sets", 9000)
        hits = sets * (3 + draw("hits", 9))
        return [
            ("pid", 1 + draw("pid", 30_000)), ("uptime", uptime_s), ("time", int(at_s)), ("version", self.version),
            ("libevent", self.seed.choice("libevent", ("2.0.21-stable", "2.0.22-stable", "2.1.8-stable"))),
            ("pointer_size", 64), ("rusage_user", f"{uptime_s * 0.00021:.6f}"),
            ("rusage_system", f"{uptime_s * 0.00034:.6f}"), ("curr_connections", 5 + draw("connections", 20)),
            ("total_connections", sets // 4), ("connection_structures", 12 + draw("structures", 30)),
            ("reserved_fds", 20), ("cmd_get", hits + hits // 5), ("cmd_set", sets), ("cmd_flush", 0), ("cmd_touch", 0),
            ("get_hits", hits), ("get_misses", hits // 5), ("delete_misses", 0), ("delete_hits", 0),
            ("incr_misses", 0), ("incr_hits", 0), ("decr_misses", 0), ("decr_hits", 0), ("cas_misses", 0),
            ("cas_hits", 0), ("cas_badval", 0), ("touch_hits", 0), ("touch_misses", 0), ("auth_cmds", 0),
            ("auth_errors", 0), ("bytes_read", sets * 417), ("bytes_written", hits * 389),
            ("limit_maxbytes", self.megabytes << 20), ("accepting_conns", 1), ("listen_disabled_num", 0),
            ("threads", 4), ("conn_yields", 0), ("hash_power_level", 16), ("hash_bytes", 524_288),
            ("hash_is_expanding", 0), ("malloc_fails", 0), ("bytes", items * 96), ("curr_items", items),
            ("total_items", sets), ("evictions", 0), ("reclaimed", sets // 3),
        ]  # fmt: skip

    def settings(self, port: int) -> list[tuple[str, object]]:
        """Return what `stats settings` lists."""
        return [
            ("maxbytes", self.megabytes << 20), ("maxconns", 1024), ("tcpport", port), ("udpport", port),
            ("inter", "0.0.0.0"), ("verbosity", 0), ("oldest", 0), ("evictions", "on"), ("domain_socket", "NULL"),
            ("umask", 700), ("growth_factor", "1.25"), ("chunk_size", 48), ("num_threads", 4),
            ("num_threads_per_udp", 4), ("stat_key_prefix", ":"), ("detail_enabled", "no"), ("reqs_per_event", 20),
            ("cas_enabled", "yes"), ("tcp_backlog", 1024), ("binding_protocol", "auto-negotiate"),
            ("auth_enabled_sasl", "no"), ("item_size_max", ITEM_BYTES_MAX), ("maxconns_fast", "no"),
        ]  # fmt: skip


@lru_cache(maxsize=8)
def server_of(host: Host) -> Server:
    """Return the memcached of this host."""
    seed = host.seed.child("memcached")
    return Server(seed, container_of(host, "memcached", "memcached"), seed.choice("version", VERSIONS),
                  seed.choice("megabytes", (64, 64, 128, 256, 512)))  # fmt: skip
