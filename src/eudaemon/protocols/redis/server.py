"""Who answers: version, configuration and the figures of INFO, all drawn from the installation's seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from eudaemon.world.container import Container, container_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

# Those that load a module from anywhere, and take the rogue master's file for one. Not 4.0, which does as well: its
# answer to a command that is none is what detectors of honeypots look for (honeydet's signature of OpenCanary).
VERSIONS = ("5.0.0", "5.0.2", "5.0.3", "5.0.4", "5.0.5", "5.0.6", "5.0.7", "5.0.8", "5.0.9")


@dataclass(frozen=True, slots=True)
class Server:
    """One sensor's Redis."""

    seed: Seed
    host: Container
    version: str
    run_id: str
    replication_id: str
    config: dict[bytes, bytes] = field(default_factory=dict)  # as it is before anybody sets anything

    def info(self, at_s: float, *, port: int, master: str, replicas: int, keys: dict[int, int]) -> bytes:
        """Return what INFO says; `master` is `host port` or empty, `keys` the number of keys in each database."""
        draw, uptime_s = self.seed.number, int(self.host.uptime_s(at_s))
        used = 850_000 + draw("memory", 400_000)
        name, _, master_port = master.partition(" ")
        role = ["role:slave", f"master_host:{name}", f"master_port:{master_port}", "master_link_status:up",
                "master_last_io_seconds_ago:0", "master_sync_in_progress:0", "slave_repl_offset:1",
                "slave_priority:100", "slave_read_only:1"] if master else ["role:master"]  # fmt: skip
        processed = uptime_s // 7 + draw("commands", 4000)
        counted = [(number, count) for number, count in sorted(keys.items()) if count]
        sections = {
            "Server": [
                f"redis_version:{self.version}", "redis_git_sha1:00000000", "redis_git_dirty:0",
                f"redis_build_id:{self.seed.bytes('build', 8).hex()}", "redis_mode:standalone",
                f"os:Linux {self.host.kernel} x86_64", "arch_bits:64", "multiplexing_api:epoll",
                "atomicvar_api:atomic-builtin", f"gcc_version:{self.seed.choice('gcc', ('6.3.0', '8.3.0', '9.3.0'))}",
                "process_id:1", f"run_id:{self.run_id}", f"tcp_port:{port}", f"uptime_in_seconds:{uptime_s}",
                f"uptime_in_days:{uptime_s // 86_400}", "hz:10", "configured_hz:10",
                f"lru_clock:{int(at_s) & 0xFFFFFF}", "executable:/data/redis-server", "config_file:",
            ],
            "Clients": ["connected_clients:1", "client_longest_output_list:0", "client_biggest_input_buf:0",
                        "blocked_clients:0"],
            "Memory": [
                f"used_memory:{used}", f"used_memory_human:{used / 1024:.2f}K", f"used_memory_rss:{used * 4}",
                f"used_memory_rss_human:{used * 4 / 1048576:.2f}M", f"used_memory_peak:{used + 21_000}",
                f"used_memory_peak_human:{(used + 21_000) / 1024:.2f}K",
                f"total_system_memory:{self.host.memory_kb * 1024}",
                f"total_system_memory_human:{self.host.memory_kb / 1048576:.2f}G", "used_memory_lua:37888",
                "used_memory_lua_human:37.00K", "maxmemory:0", "maxmemory_human:0B", "maxmemory_policy:noeviction",
                "mem_allocator:jemalloc-5.1.0", "active_defrag_running:0", "lazyfree_pending_objects:0",
            ],
            "Persistence": [
                "loading:0", "rdb_changes_since_last_save:0", "rdb_bgsave_in_progress:0",
                f"rdb_last_save_time:{int(at_s) - uptime_s}", "rdb_last_bgsave_status:ok",
                "rdb_last_bgsave_time_sec:-1", "aof_enabled:0", "aof_rewrite_in_progress:0",
                "aof_last_bgrewrite_status:ok", "aof_last_write_status:ok",
            ],
            "Stats": [
                f"total_connections_received:{processed // 3}", f"total_commands_processed:{processed}",
                "instantaneous_ops_per_sec:0", f"total_net_input_bytes:{processed * 41}",
                f"total_net_output_bytes:{processed * 2713}", "rejected_connections:0", "expired_keys:0",
                "evicted_keys:0", "keyspace_hits:0", "keyspace_misses:0", "pubsub_channels:0", "latest_fork_usec:0",
            ],
            "Replication": [
                *role, f"connected_slaves:{replicas}", f"master_replid:{self.replication_id}",
                "master_replid2:0000000000000000000000000000000000000000", "master_repl_offset:0",
                "second_repl_offset:-1", "repl_backlog_active:0", "repl_backlog_size:1048576",
            ],
            "CPU": [f"used_cpu_sys:{uptime_s * 0.0007:.2f}", f"used_cpu_user:{uptime_s * 0.0004:.2f}",
                    "used_cpu_sys_children:0.00", "used_cpu_user_children:0.00"],
            "Cluster": ["cluster_enabled:0"],
            "Keyspace": [f"db{number}:keys={count},expires=0,avg_ttl=0" for number, count in counted],
        }  # fmt: skip
        return "\r\n".join("\r\n".join((f"# {name}", *lines, "")) for name, lines in sections.items()).encode()


@lru_cache(maxsize=8)
def server_of(host: Host) -> Server:
    """Return the Redis of this host."""
    seed = host.seed.child("redis")
    return Server(
        seed=seed,
        host=container_of(host, "redis", "redis-server *:6379"),
        version=seed.choice("version", VERSIONS),
        run_id=seed.bytes("run id", 20).hex(),
        replication_id=seed.bytes("replication id", 20).hex(),
        config={
            b"dir": b"/data", b"dbfilename": b"dump.rdb", b"requirepass": b"", b"masterauth": b"",
            b"save": b"3600 1 300 100 60 10000" if seed.number("save", 2) else b"900 1 300 10 60 10000",
            b"port": b"6379", b"bind": b"", b"protected-mode": b"no", b"appendonly": b"no", b"databases": b"16",
            b"maxmemory": b"0", b"maxmemory-policy": b"noeviction", b"rdbcompression": b"no", b"rdbchecksum": b"no",
            b"stop-writes-on-bgsave-error": b"yes", b"slave-read-only": b"yes", b"slaveof": b"", b"timeout": b"0",
            b"loglevel": b"notice", b"logfile": b"", b"daemonize": b"no", b"pidfile": b"", b"maxclients": b"10000",
            b"tcp-keepalive": b"300", b"unixsocket": b"", b"list-max-ziplist-size": b"-2", b"lua-time-limit": b"5000",
        },
    )  # fmt: skip
