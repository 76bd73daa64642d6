"""How a node tells of itself and its indices: tables for people, and JSON as Jackson prints it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from eudaemon.protocols.elasticsearch.cluster import SHARDS, Cluster, Indices

Told: TypeAlias = Callable[[Indices, float], Any]
_BYTES_A_DOCUMENT = 217


def pretty(value: Any, indent: str = "") -> str:
    """Return JSON as Jackson's printer lays it out: `"name" : value`, lists on their line."""
    if isinstance(value, dict):
        if not value:
            return "{ }"
        inner = indent + "  "
        lines = [f"{inner}{json.dumps(name)} : {pretty(item, inner)}" for name, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list):
        return f"[ {', '.join(pretty(item, indent) for item in value)} ]" if value else "[ ]"
    return json.dumps(value, ensure_ascii=False)


def first_page(cluster: Cluster) -> dict[str, Any]:
    """GET /."""
    release = cluster.release
    named = {"cluster_name": "elasticsearch"} if release.names_cluster else {}
    return {"status": 200, "name": cluster.name, **named,
            "version": {"number": release.number, "build_hash": release.build, "build_timestamp": release.built,
                        "build_snapshot": False, "lucene_version": release.lucene},
            "tagline": "You Know, for Search"}  # fmt: skip


def shards(count: int) -> dict[str, int]:
    """Return what every answer says of the shards it asked."""
    return {"total": SHARDS * count, "successful": SHARDS * count, "failed": 0}


def health(indices: Indices, _at_s: float) -> dict[str, Any]:
    """GET /_cluster/health: yellow, for there is no second node to take replicas."""
    count = SHARDS * len(indices.names)
    return {"cluster_name": "elasticsearch", "status": "yellow" if count else "green", "timed_out": False,
            "number_of_nodes": 1, "number_of_data_nodes": 1, "active_primary_shards": count, "active_shards": count,
            "relocating_shards": 0, "initializing_shards": 0, "unassigned_shards": count}  # fmt: skip


def nodes(indices: Indices, at_s: float) -> dict[str, Any]:
    """GET /_nodes."""
    cluster = indices.cluster
    host = cluster.inside
    seed = host.seed.child("jvm")
    release, jvm = cluster.release, seed.choice("version", ("1.7.0_55", "1.7.0_65", "1.7.0_75", "1.8.0_25"))
    heap = seed.choice("heap", (518_979_584, 1_037_959_168, 2_112_618_496))
    return {"cluster_name": "elasticsearch", "nodes": {cluster.node: {
        "name": cluster.name, "transport_address": f"inet[/{host.address}:9300]", "host": host.name,
        "ip": host.address, "version": release.number, "build": release.build[:7],
        "http_address": f"inet[/{host.address}:9200]",
        "settings": {"path": {"home": "/usr/share/elasticsearch", "logs": "/usr/share/elasticsearch/logs"},
                     "cluster": {"name": "elasticsearch"}, "name": cluster.name},
        "os": {"refresh_interval_in_millis": 1000, "available_processors": 2,
               "mem": {"total_in_bytes": host.memory_kb * 1024}},
        "process": {"id": 1, "max_file_descriptors": 65535, "mlockall": False},
        "jvm": {"pid": 1, "version": jvm, "vm_name": "OpenJDK 64-Bit Server VM",
                "start_time_in_millis": int((at_s - host.uptime_s(at_s)) * 1000),
                "mem": {"heap_init_in_bytes": heap, "heap_max_in_bytes": heap}},
        "plugins": [{"name": "head", "version": "NA", "url": "/_plugin/head/", "jvm": False, "site": True}],
    }}}  # fmt: skip


def stats(indices: Indices, _at_s: float) -> dict[str, Any]:
    """GET /_stats."""

    def of(count: int) -> dict[str, Any]:
        both = {"docs": {"count": count, "deleted": 0}, "store": {"size_in_bytes": count * _BYTES_A_DOCUMENT}}
        return {"primaries": both, "total": both}

    counts = {name: indices.count(name) for name in indices.names}
    return {"_shards": shards(len(counts)), "_all": of(sum(counts.values())),
            "indices": {name: of(count) for name, count in counts.items()}}  # fmt: skip


def aliases(indices: Indices, _at_s: float) -> dict[str, Any]:
    """GET /_aliases."""
    return {name: {"aliases": {}} for name in indices.names}


def mapping(indices: Indices, _at_s: float) -> dict[str, Any]:
    """GET /_mapping."""
    return {name: {"mappings": {
        kind: {"properties": {field: {"type": "string" if isinstance(value, str) else "long"}
                              for field, value in source.items()}}
        for kind, source in indices.kinds(name).items()}} for name in indices.names}  # fmt: skip


def state(indices: Indices, at_s: float) -> dict[str, Any]:
    """GET /_cluster/state."""
    found = mapping(indices, at_s)
    return {"cluster_name": "elasticsearch", "master_node": indices.cluster.node, "blocks": {},
            "nodes": {indices.cluster.node: {"name": indices.cluster.name, "attributes": {}}},
            "metadata": {"templates": {}, "indices": {name: {"state": "open", **one} for name, one in found.items()}},
            }  # fmt: skip


def cluster_settings(_indices: Indices, _at_s: float) -> dict[str, Any]:
    """GET /_cluster/settings: nothing was ever set."""
    return {"persistent": {}, "transient": {}}


def pending_tasks(_indices: Indices, _at_s: float) -> dict[str, Any]:
    """GET /_cluster/pending_tasks."""
    return {"tasks": []}


ASKED: dict[str, Told] = {
    "_cluster/settings": cluster_settings, "_cluster/pending_tasks": pending_tasks,
    "_cluster/health": health, "_cluster/state": state, "_nodes": nodes, "_cluster/nodes": nodes, "_stats": stats,
    "_nodes/_all": nodes, "_status": stats, "_aliases": aliases, "_alias": aliases, "_mapping": mapping,
    "_mappings": mapping, "_settings": aliases,
}  # fmt: skip


def _indices_table(indices: Indices) -> list[list[str]]:
    rows = [["health", "status", "index", "pri", "rep", "docs.count", "docs.deleted", "store.size", "pri.store.size"]]
    for name in indices.names:
        size = _shown(indices.count(name) * _BYTES_A_DOCUMENT)
        rows.append(["yellow", "open", name, str(SHARDS), "1", str(indices.count(name)), "0", size, size])
    return rows


def _nodes_table(indices: Indices) -> list[list[str]]:
    cluster = indices.cluster
    return [["host", "ip", "heap.percent", "ram.percent", "load", "node.role", "master", "name"],
            [cluster.inside.name, cluster.inside.address, "21", "58", "0.04", "d", "*", cluster.name]]  # fmt: skip


def _count_table(indices: Indices) -> list[list[str]]:
    return [["count"], [str(sum(map(indices.count, indices.names)))]]


TABLES: dict[str, Callable[[Indices], list[list[str]]]] = {
    "indices": _indices_table,
    "nodes": _nodes_table,
    "count": _count_table,
}


def table(rows: list[list[str]], *, headed: bool) -> str:
    """Return rows in columns; the first is their heads, shown if they are asked for."""
    shown = rows if headed else rows[1:]
    if not shown:
        return ""
    widths = [max(len(row[column]) for row in shown) for column in range(len(rows[0]))]
    return "".join(" ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " \n"
                   for row in shown)  # fmt: skip


def _shown(size: int) -> str:
    for unit, name in ((1 << 20, "mb"), (1 << 10, "kb")):
        if size >= unit:
            return f"{size / unit:.1f}{name}"
    return f"{size}b"
