"""Hadoop's ResourceManager on TCP 8088, without a password: its REST interface runs a command on the cluster.

    POST …/apps/new-application   -->   an id        POST …/apps with it and a command   -->   202

Owns the two requests of every worm that looks for it, and what one may ask about the cluster and its applications
(hadoop.apache.org, ResourceManager REST API's). What an address has submitted is remembered for its next connection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from eudaemon.protocols._api import body_of, compact
from eudaemon.protocols._base import Order
from eudaemon.protocols._http import Request, http_date
from eudaemon.protocols._pages import PageRoom, silently
from eudaemon.wire import decode
from eudaemon.world.container import container_of
from eudaemon.world.host import Host

APPS_MAX = 16  # of one address that are remembered
RESOURCES_MAX = 8  # files of one application that are fetched
_TEXT_CHARS_MAX = 256  # of a name in one of them
_MEMORY = "yarn"
_JETTY = (("2.6.0", "6.1.26"), ("2.7.3", "6.1.26"), ("2.7.7", "6.1.26"), ("2.8.5", "6.1.26"), ("2.9.2", "6.1.26"),
          ("3.0.3", "9.3.19.v20170502"), ("3.1.1", "9.3.19.v20170502"), ("3.1.4", "9.4.20.v20190813"),
          ("3.2.1", "9.3.24.v20180605"), ("3.2.2", "9.4.20.v20190813"))  # fmt: skip
_APP = re.compile(rb"/ws/v1/cluster/apps/(application_\d{1,16}_\d{1,8})(/state)?")
_COMMAND = re.compile(rb"<command>([^<]{1,65536})</command>")
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One sensor's cluster."""

    version: str
    jetty: str
    first: int  # the number of the next application that anybody submits
    cores: int
    memory_mb: int


class Yarn(PageRoom):
    """One connection to the ResourceManager."""

    name: ClassVar[str] = "yarn"
    paths: ClassVar[re.Pattern[bytes]] = re.compile(rb"[A-Z]+ /(?:ws/v1/cluster|cluster[/ ])")
    order: ClassVar[tuple[str, ...]] = ("*", "Content-Type", "Content-Length", "Connection", "Server")
    error: ClassVar[str] = (
        '<html>\n<head>\n<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-1"/>\n'
        "<title>Error {status} {reason}</title>\n</head>\n<body><h2>HTTP ERROR {status}</h2>\n<p>Problem "
        "accessing {path}. Reason:\n<pre>    {reason}</pre></p><hr /><i><small>Powered by Jetty://</small></i><br/>\n</body>\n</html>\n"
    )
    error_type: ClassVar[str] = "text/html; charset=iso-8859-1"

    __slots__ = ()

    @property
    def cluster(self) -> Cluster:
        """Who answers."""
        return _cluster_of(self.visit.host)

    def started_ms(self, at_s: float) -> int:
        """Return when the cluster was started, which is its name: with the host, and so the same for weeks."""
        host = self.visit.host
        return round(at_s - host.uptime_s(at_s)) * 1000 + host.seed.child("yarn").number("started ms", 1000)

    @property
    def server(self) -> str:
        """See `PageRoom`."""
        return f"Jetty({self.cluster.jetty})"

    @property
    def inside(self) -> Host:
        """See `PageRoom`: the container in which the cluster's nodes run what they are given."""
        return _inside(self.visit.host)

    def handle(self, request: Request, at_s: float) -> Iterator[Order]:
        """See `ApiRoom`."""
        path = decode.percent(request.path).rstrip(b"/") or b"/"
        app = _APP.fullmatch(path)
        if request.method == "POST" and path == b"/ws/v1/cluster/apps/new-application":
            yield from self._new(request, at_s)
        elif request.method == "POST" and path == b"/ws/v1/cluster/apps":
            yield from self._submitted(request, at_s)
        elif app:
            yield from self._app(request, app, at_s)
        elif request.method not in ("GET", "HEAD"):
            yield from self.refused(request, at_s, 405)
        elif path == b"/":
            where = request.header(b"host").decode("latin-1") or f"{self.visit.local.ip}:{self.visit.local.port}"
            yield from self.answer(request, at_s, 302, b"", "", (("Location", f"http://{where}/cluster"),))
        elif path.startswith(b"/cluster"):
            yield from self.answer(request, at_s, 200, self._page(at_s), "text/html; charset=utf-8", _uncached(at_s))
        elif path in _ASKED:
            yield from self._json(request, at_s, _ASKED[path](self, at_s))
        else:
            yield from self.refused(request, at_s, 404)

    def _json(self, request: Request, at_s: float, value: Any, status: int = 200) -> Iterator[Order]:
        yield from self.answer(request, at_s, status, compact(value), _JSON, _uncached(at_s))

    # --- applications --------------------------------------------------------------------------------

    def _new(self, request: Request, at_s: float) -> Iterator[Order]:
        apps, cluster = self._remembered(), self.cluster
        number = apps["next"] if isinstance(apps.get("next"), int) else cluster.first
        self._remember({**apps, "next": number + 1})
        name = f"application_{self.started_ms(at_s)}_{number:04d}"
        limits = {"memory": cluster.memory_mb, "vCores": cluster.cores}
        yield from self._json(request, at_s, {"application-id": name, "maximum-resource-capability": limits})

    def _submitted(self, request: Request, at_s: float) -> Iterator[Order]:
        wanted = body_of(request)
        spec = wanted.get("am-container-spec")
        spec = spec if isinstance(spec, dict) else {}
        commands = spec.get("commands")
        command = commands.get("command") if isinstance(commands, dict) else None
        line = command.encode("utf-8", "replace") if isinstance(command, str) else b""
        if not line and (found := _COMMAND.search(request.body)):
            line = decode.html_entities(found[1]).strip()
        if line:
            yield from self.attacked("hadoop-yarn", "EDB-45025", line)
            yield from self.obey(line, silently, at_s, holds=False)
        for url in _resources(spec):
            yield from self.fetch(url, "yarn")
        name = wanted.get("application-id")
        if not isinstance(name, str) or not _APP.fullmatch(f"/ws/v1/cluster/apps/{name}".encode("utf-8", "replace")):
            text = "Could not parse application id" if name else "ApplicationId cannot be null"
            yield from self._json(request, at_s, _exception("BadRequestException", text), 400)
            return
        apps = self._remembered()
        title = wanted.get("application-name")
        kept = {**_list(apps), name: [title[:_TEXT_CHARS_MAX] if isinstance(title, str) else "", int(at_s * 1000)]}
        self._remember({**apps, "apps": dict(list(kept.items())[-APPS_MAX:])})
        where = request.header(b"host").decode("latin-1") or f"{self.visit.local.ip}:{self.visit.local.port}"
        location = ("Location", f"http://{where}/ws/v1/cluster/apps/{name}")
        yield from self.answer(request, at_s, 202, b"", "", (*_uncached(at_s), location))

    def _app(self, request: Request, asked: re.Match[bytes], at_s: float) -> Iterator[Order]:
        name = asked[1].decode()
        known = _list(self._remembered()).get(name)
        if known is None:
            text = f"app with id: {name} not found"
            yield from self._json(request, at_s, _exception("NotFoundException", text), 404)
        elif asked[2]:
            yield from self._json(request, at_s, {"state": "KILLED" if request.method == "PUT" else "FINISHED"})
        else:
            yield from self._json(request, at_s, {"app": self.told_app(name, known, at_s)})

    def told_app(self, name: str, known: list[Any], at_s: float) -> dict[str, Any]:
        """Return what the cluster says of an application: that it went well, and was short."""
        return {"id": name, "user": "dr.who", "name": known[0], "queue": "default", "state": "FINISHED",
                "finalStatus": "SUCCEEDED", "progress": 100.0, "applicationType": "YARN", "startedTime": known[1],
                "finishedTime": known[1] + 4000, "clusterId": self.started_ms(at_s)}  # fmt: skip

    def apps(self, at_s: float) -> dict[str, Any]:
        """GET …/apps."""
        known = _list(self._remembered())
        return {"apps": {"app": [self.told_app(*one, at_s) for one in known.items()]} if known else None}

    def _remembered(self) -> dict[str, Any]:
        try:
            found = json.loads(self.visit.memory.recall(_MEMORY, self.visit.attacker.ip) or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _remember(self, apps: dict[str, Any]) -> None:
        self.visit.memory.remember(_MEMORY, self.visit.attacker.ip, json.dumps(apps).encode())

    # --- the cluster ---------------------------------------------------------------------------------

    def info(self, at_s: float) -> dict[str, Any]:
        """GET …/info."""
        cluster, started_ms = self.cluster, self.started_ms(at_s)
        return {"clusterInfo": {"id": started_ms, "startedOn": started_ms, "state": "STARTED",
                                "haState": "ACTIVE", "resourceManagerVersion": cluster.version,
                                "hadoopVersion": cluster.version,
                                "haZooKeeperConnectionState": "ResourceManager HA is not enabled."}}  # fmt: skip

    def metrics(self, _at_s: float) -> dict[str, Any]:
        """GET …/metrics."""
        cluster, done = self.cluster, len(_list(self._remembered()))
        return {"clusterMetrics": {"appsSubmitted": cluster.first - 1 + done, "appsCompleted": cluster.first - 1 + done,
                                   "appsRunning": 0, "totalMB": cluster.memory_mb, "availableMB": cluster.memory_mb,
                                   "totalVirtualCores": cluster.cores, "activeNodes": 1, "lostNodes": 0}}  # fmt: skip

    def _page(self, _at_s: float) -> bytes:
        cluster = self.cluster
        return (
            '<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">\n<html>\n'
            "<title>All Applications</title>\n<body>\n<h1>All Applications</h1>\n<table><tr><td>Apps Submitted</td>"
            f"<td>{cluster.first - 1}</td></tr><tr><td>Memory Total</td><td>{cluster.memory_mb} MB</td></tr>"
            f"<tr><td>VCores Total</td><td>{cluster.cores}</td></tr></table>\n"
            f"<p>ResourceManager version: {cluster.version}</p></body></html>\n"
        ).encode()


_ASKED: dict[bytes, Any] = {
    b"/ws/v1/cluster": Yarn.info, b"/ws/v1/cluster/info": Yarn.info, b"/ws/v1/cluster/metrics": Yarn.metrics,
    b"/ws/v1/cluster/apps": Yarn.apps,
}  # fmt: skip


@lru_cache(maxsize=8)
def _cluster_of(host: Host) -> Cluster:
    seed = host.seed.child("yarn")
    version, jetty = seed.choice("version", _JETTY)
    cores = seed.choice("cores", (8, 16, 32))
    return Cluster(version, jetty, 1 + seed.number("apps", 900), cores, cores * 1024)


@lru_cache(maxsize=8)
def _inside(host: Host) -> Host:
    return container_of(host, "yarn", "java")


def _list(apps: dict[str, Any]) -> dict[str, list[Any]]:
    found = apps.get("apps")
    return found if isinstance(found, dict) else {}


def _resources(spec: dict[str, Any]) -> list[str]:
    """Return the URLs of the files that an application has laid beside its command."""
    resources = spec.get("local-resources")
    entries = resources.get("entry") if isinstance(resources, dict) else None
    found: list[str] = []
    for entry in entries[:RESOURCES_MAX] if isinstance(entries, list) else ():
        value = entry.get("value") if isinstance(entry, dict) else None
        url = value.get("resource") if isinstance(value, dict) else None
        if isinstance(url, str) and url.lower().startswith(("http://", "https://", "ftp://")):
            found.append(url)
    return found


def _exception(name: str, text: str) -> dict[str, Any]:
    return {"RemoteException": {"exception": name, "message": f"java.lang.Exception: {text}",
                                "javaClassName": f"org.apache.hadoop.yarn.webapp.{name}"}}  # fmt: skip


def _uncached(at_s: float) -> tuple[tuple[str, str], ...]:
    now = http_date(at_s)
    return ("Cache-Control", "no-cache"), ("Expires", now), ("Date", now), ("Pragma", "no-cache")
