"""Who answers: version, build and figures, all drawn from the installation's seed."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

from eudaemon.protocols.mongodb.bson import Date, Document, Long, ObjectId
from eudaemon.world import records
from eudaemon.world.container import container_of
from eudaemon.world.host import Host

# Version, the newest wire version that it speaks, and the OpenSSL and Ubuntu of its image.
VERSIONS = (
    ("4.4.6", 9, "OpenSSL 1.1.1  11 Sep 2018", "ubuntu1804"),
    ("4.4.13", 9, "OpenSSL 1.1.1f  31 Mar 2020", "ubuntu2004"),
    ("4.4.18", 9, "OpenSSL 1.1.1f  31 Mar 2020", "ubuntu2004"),
    ("5.0.5", 13, "OpenSSL 1.1.1f  31 Mar 2020", "ubuntu2004"),
    ("5.0.9", 13, "OpenSSL 1.1.1f  31 Mar 2020", "ubuntu2004"),
    ("5.0.14", 13, "OpenSSL 1.1.1f  31 Mar 2020", "ubuntu2004"),
    ("6.0.2", 17, "OpenSSL 1.1.1f  31 Mar 2020", "ubuntu2004"),
    ("6.0.5", 17, "OpenSSL 3.0.2 15 Mar 2022", "ubuntu2204"),
)  # fmt: skip
STARTS_MAX = 8  # that are logged
DOCUMENT_BYTES_MAX = 16 * 1024 * 1024


class Server:
    """One sensor's MongoDB."""

    def __init__(self, host: Host) -> None:
        self.host = container_of(host, "mongodb", "mongod --bind_ip_all")
        self.seed = host.seed.child("mongodb")
        self.version, self.wire, self.openssl, self.image = self.seed.choice("version", VERSIONS)

    @property
    def numbers(self) -> list[int]:
        """The version as MongoDB lists it."""
        return [*(int(part) for part in self.version.split(".")), 0]

    @cached_property
    def databases(self) -> dict[str, dict[str, list[Document]]]:
        """What it holds before anybody changes it: the firm's databases, and its own."""
        found: dict[str, dict[str, list[Document]]] = {
            "admin": {"system.version": [{"_id": "featureCompatibilityVersion", "version": self.version[:3]}]},
            "config": {"system.sessions": []}, "local": {"startup_log": []},
        }  # fmt: skip
        for name, tables in records.databases(self.host.seed.child("records")).items():
            found[name] = {}
            for table, drawn in tables.items():
                found[name][table] = [
                    {"_id": self._id(f"{name} {table}", at),
                     **{column: cell for (column, _), cell in zip(drawn.columns, row, strict=True) if column != "id"}}
                    for at, row in enumerate(drawn.rows)
                ]  # fmt: skip
        return found

    def startup_log(self, at_s: float) -> list[Document]:
        """Return what `local.startup_log` has: each time that it was started, the oldest first."""
        about = self.build_info()
        del about["ok"]
        found: list[Document] = []
        for started_s in reversed(self.host.starts_s(at_s, STARTS_MAX)):
            ms = int(started_s * 1000)
            local = datetime.fromtimestamp(ms / 1000, UTC)
            found.append({
                "_id": f"{self.host.name}-{ms}", "hostname": self.host.name, "startTime": Date(ms // 1000 * 1000),
                "startTimeLocal": f"{local:%a %b} {local.day:>2} {local:%H:%M:%S}.{ms % 1000:03}",
                "cmdLine": {"net": {"bindIp": "*"}}, "pid": Long(1), "buildinfo": about,
            })  # fmt: skip
        return found

    def _id(self, table: str, at: int) -> ObjectId:
        made_s = int(self.host.built_s) + self.seed.number(f"since {table}", 30_000_000) + 977 * at
        count = (self.seed.number(f"counter {table}", 1 << 23) + at) & 0xFFFFFF
        return ObjectId(struct.pack(">I", made_s) + self.seed.bytes("process", 5) + count.to_bytes(3, "big"))

    def hello(self, at_s: float, *, old: bool) -> Document:
        """Return what a client is told first."""
        found: Document = {"helloOk": True, "ismaster" if old else "isWritablePrimary": True}
        process = ObjectId(struct.pack(">I", int(at_s - self.host.uptime_s(at_s))) + self.seed.bytes("topology", 8))
        return found | {
            "topologyVersion": {"processId": process, "counter": Long(0)},
            "maxBsonObjectSize": DOCUMENT_BYTES_MAX, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
            "localTime": Date(int(at_s * 1000)), "logicalSessionTimeoutMinutes": 30,
            "connectionId": 1 + int(self.host.uptime_s(at_s) // 17), "minWireVersion": 0, "maxWireVersion": self.wire,
            "readOnly": False, "ok": 1.0,
        }  # fmt: skip

    def build_info(self) -> Document:
        """Return what buildInfo says."""
        return {
            "version": self.version, "gitVersion": self.seed.bytes(f"git {self.version}", 20).hex(), "modules": [],
            "allocator": "tcmalloc", "javascriptEngine": "mozjs", "sysInfo": "deprecated", "versionArray": self.numbers,
            "openssl": {"running": self.openssl, "compiled": self.openssl},
            "buildEnvironment": {"distmod": self.image, "distarch": "x86_64", "cc": "/opt/mongodbtoolchain/v3/bin/gcc: "
                                 "gcc (GCC) 8.5.0", "cxxflags": "-Woverloaded-virtual -std=c++17",
                                 "target_arch": "x86_64",
                                 "target_os": "linux"},
            "bits": 64, "debug": False, "maxBsonObjectSize": DOCUMENT_BYTES_MAX,
            "storageEngines": ["devnull", "ephemeralForTest", "wiredTiger"], "ok": 1.0,
        }  # fmt: skip

    def status(self, at_s: float) -> Document:
        """Return what serverStatus says."""
        uptime = int(self.host.uptime_s(at_s))
        draw = self.seed.number
        return {
            "host": self.host.name, "version": self.version, "process": "mongod", "pid": Long(1),
            "uptime": float(uptime),
            "uptimeMillis": Long(uptime * 1000), "localTime": Date(int(at_s * 1000)),
            "connections": {"current": 1 + draw("current", 6), "available": 838_000, "totalCreated": uptime // 17},
            "mem": {"bits": 64, "resident": 90 + draw("resident", 80), "virtual": 1500 + draw("virtual", 300),
                    "supported": True},
            "network": {"bytesIn": Long(uptime * 31), "bytesOut": Long(uptime * 977), "numRequests": Long(uptime // 5)},
            "opcounters": {"insert": uptime // 90, "query": uptime // 11, "update": uptime // 70,
            "delete": uptime // 9000,
                           "getmore": uptime // 60, "command": uptime // 4},
            "storageEngine": {"name": "wiredTiger", "supportsCommittedReads": True, "readOnly": False,
            "persistent": True},
            "ok": 1.0,
        }  # fmt: skip

    def host_info(self, at_s: float) -> Document:
        """Return what hostInfo says."""
        return {
            "system": {"currentTime": Date(int(at_s * 1000)), "hostname": self.host.name, "cpuAddrSize": 64,
                       "memSizeMB": Long(self.host.memory_kb // 1024), "numCores": 2, "cpuArch": "x86_64",
                       "numaEnabled": False},
            "os": {"type": "Linux", "name": "Ubuntu", "version": "20.04"},
            "extra": {"versionString": self.host.version_line, "kernelVersion": self.host.kernel}, "ok": 1.0,
        }  # fmt: skip


def error(code: int, name: str, text: str, **more: Any) -> Document:
    """Return how an error is told."""
    return {"ok": 0.0, "errmsg": text, "code": code, "codeName": name, **more}


@lru_cache(maxsize=8)
def server_of(host: Host) -> Server:
    """Return the MongoDB of this host."""
    return Server(host)
