"""MongoDB: what clients ask first, what ransom's bots do, files that come as documents, and logins that tell little."""

from __future__ import annotations

import struct

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._base import Claim
from eudaemon.protocols.mongodb import MongoDb
from eudaemon.protocols.mongodb.bson import (
    DEPTH_MAX,
    ELEMENTS_MAX,
    Date,
    Document,
    Long,
    ObjectId,
    Raw,
    document_at,
    encode,
)
from eudaemon.protocols.mongodb.collections import COLLECTIONS_MAX, DOCUMENTS_MAX, KEPT_MAX, TEXT_CHARS_MAX
from eudaemon.protocols.mongodb.commands import CURSORS_MAX
from eudaemon.protocols.mongodb.messages import MESSAGE_BYTES_MAX
from eudaemon.protocols.mongodb.server import STARTS_MAX, server_of
from eudaemon.testing.script import Table, visit
from eudaemon.wire import PeerError, Purse
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed
from payload.servers import SIZES, content
from protocols.mongo_client import Client, answers, head, msg, query

HOST = Host.from_seed(Seed(b"test"))
OWN = {"admin", "config", "local"}


def client(bytes_max: int = 24 << 20, memory: Memory | None = None) -> Client:
    return Client(Table(MongoDb(visit(host=HOST, port=27017, purse=Purse(bytes_max), memory=memory))).open())


def exploits(table: Table) -> list[tuple[str, str]]:
    return [(fact.name, fact.command) for fact in table.facts if isinstance(fact, ExploitRecognised)]


def names(c: Client) -> list[str]:
    return [one["name"] for one in c.do("listDatabases")["databases"]]


@pytest.mark.parametrize("split", [0, 1])
def test_what_clients_ask_first(split: int) -> None:
    c = client()
    (hello,) = answers(c.table.say(query("admin.$cmd", {"isMaster": 1, "helloOk": True}), split))
    assert (hello["ismaster"], hello["ok"], hello["maxBsonObjectSize"]) == (True, 1.0, 16_777_216)
    (hello,) = answers(c.table.say(msg({"hello": 1}), split))
    assert hello["isWritablePrimary"]
    assert not [fact for fact in c.table.facts if isinstance(fact, CommandEntered)]
    who = {"driver": {"name": "PyMongo", "version": "4.6"}}
    (hello,) = answers(c.table.say(msg({"hello": 1, "client": who}), split))
    assert CommandEntered("admin: {hello: 1, client: {driver: {name: 'PyMongo', version: '4.6'}}}") in c.table.facts
    assert hello["maxWireVersion"] == server_of(HOST).wire
    (build,) = answers(c.table.say(msg({"buildInfo": 1}), split))
    assert build["version"] == server_of(HOST).version == ".".join(map(str, build["versionArray"][:3]))
    assert c.do("ping") == {"ok": 1.0}
    assert c.do("whatsmyuri")["you"] == "198.51.100.7:40226"
    assert c.do("nosuch") == {
        "ok": 0.0,
        "errmsg": "no such command: 'nosuch'",
        "code": 59,
        "codeName": "CommandNotFound",
    }
    for asked in ({"getParameter": 1, "featureCompatibilityVersion": 1}, {"getParameter": "*"}):
        (answer,) = c.send(msg(asked))
        assert answer["featureCompatibilityVersion"] == {"version": server_of(HOST).version[:3]}
    (answer,) = c.send(msg({"getParameter": "foo"}))  # mongosh's question
    assert (answer["ok"], answer["errmsg"], answer["code"]) == (0.0, "no option found to get", 72)
    assert "Access control is not enabled" in c.do("getLog", "startupWarnings")["log"][0]
    assert c.send(msg({"ping": 1}, flags=2)) == [], "nothing is said to who wants no answer"
    assert CommandEntered("admin: {buildInfo: 1}") in c.table.facts


def test_what_is_there_is_drawn_and_stays() -> None:
    c = client()
    database = next(name for name in names(c) if name not in OWN)
    assert names(c) == names(client())
    listed = [one["name"] for one in c.do("listCollections", 1, database)["cursor"]["firstBatch"]]
    assert len(listed) >= 3
    found = c.documents(listed[0], database, batchSize=5)
    assert len(found) == c.do("count", listed[0], database)["n"] >= 12
    assert all(isinstance(one["_id"], ObjectId) for one in found)
    grouped = c.do("aggregate", listed[0], database, pipeline=[{"$group": {"_id": None, "n": {"$sum": 1}}}], cursor={})
    assert grouped["cursor"]["firstBatch"][0]["n"] == len(found)
    (one,) = c.documents(listed[0], database, filter={"_id": found[3]["_id"]})
    assert one == found[3]
    servers = [server_of(Host.from_seed(Seed(b"%d" % number))) for number in range(24)]
    assert len({server.version for server in servers}) > 4


def test_the_log_of_its_starts() -> None:
    c = client()
    found = c.documents("startup_log", "local")
    assert 1 <= len(found) <= STARTS_MAX
    last, status = found[-1], c.do("serverStatus")
    age_ms = status["localTime"].ms - last["startTime"].ms
    assert 0 <= age_ms - status["uptimeMillis"] < 2000, "the last one is that of which the uptime is counted"
    assert last["_id"].startswith(status["host"] + "-")
    assert last["buildinfo"]["version"] == status["version"]
    assert last["cmdLine"] == c.do("getCmdLineOpts")["parsed"]
    times = [one["startTime"].ms for one in found]
    assert times == sorted(set(times))
    assert times[0] > HOST.built_s * 1000
    lengths = {len(HOST.starts_s(c.table.at_s + days * 86_400, STARTS_MAX)) for days in range(0, 4000, 100)}
    assert max(lengths) == STARTS_MAX, "of a host that was built long ago"


def test_ransom_is_stated_its_note_kept_and_there_for_who_looks_again() -> None:
    memory = Memory()
    c = client(memory=memory)
    note = "All your data is backed up. You must pay 0.01 BTC to bc1qexample. Contact: x@onionmail.org"
    c.do("insert", "notes", "shop", documents=[{"text": note}])
    assert not exploits(c.table), "nothing was dropped"
    for name in names(c):
        if name not in OWN:
            assert c.do("dropDatabase", 1, name) == {"dropped": name, "ok": 1.0}
    c.do("insert", "README", "READ__ME_TO_RECOVER_YOUR_DATA", documents=[{"content": note}])
    assert [row[0] for row in exploits(c.table)] == ["mongodb-ransom"]
    assert note in exploits(c.table)[0][1]
    assert [(keep.data.decode(), keep.name) for keep in c.table.kept] == [
        (note, "READ__ME_TO_RECOVER_YOUR_DATA.README")
    ]
    again = client(memory=memory)
    assert names(again) == sorted([*OWN, "READ__ME_TO_RECOVER_YOUR_DATA"])
    assert again.documents("README", "READ__ME_TO_RECOVER_YOUR_DATA")[0]["content"] == note
    again.do("drop", "README", "READ__ME_TO_RECOVER_YOUR_DATA")
    assert not client(memory=memory).documents("README", "READ__ME_TO_RECOVER_YOUR_DATA")
    c = client()
    database = next(name for name in names(c) if name not in OWN)
    collection = c.do("listCollections", 1, database)["cursor"]["firstBatch"][0]["name"]
    count = c.do("count", collection, database)["n"]
    assert c.do("delete", collection, database, deletes=[{"q": {}, "limit": 0}]) == {"n": count, "ok": 1.0}
    c.do("insert", "warning", database, documents=[{"info": "how to get it back: see the site"}])
    assert [row[0] for row in exploits(c.table)] == ["mongodb-ransom"]


def test_documents_are_found_changed_and_removed() -> None:
    c = client()
    assert c.do("insert", "t", "d", documents=[{"_id": at, "a": at, "s": "x"} for at in range(5)])["n"] == 5
    where: Document
    for where, count in (({"a": {"$gt": 2}}, 2), ({"a": {"$in": [0, 9]}}, 1), ({"$or": [{"a": 1}, {"a": 2}]}, 2),
    ({"b": None}, 5),
                         ({"b": {"$exists": True}}, 0),
                         ({"$and": [{"a": {"$lte": 3}}, {"a": {"$ne": 3}}]}, 3)):  # fmt: skip
        assert c.do("count", "t", "d", query=where)["n"] == count, where
    assert (
        c.do("update", "t", "d", updates=[{"q": {"a": 1}, "u": {"$set": {"s": "y"}, "$inc": {"a": 9}}}])["nModified"]
        == 1
    )
    assert c.documents("t", "d", filter={"s": "y"}) == [{"_id": 1, "a": 10, "s": "y"}]
    assert c.do("update", "t", "d", updates=[{"q": {"_id": 9}, "u": {"z": 1}, "upsert": True}])["upserted"] == [
        {"index": 0, "_id": 9}
    ]
    assert c.do("findAndModify", "t", "d", query={"_id": 9}, remove=True)["value"] == {"_id": 9, "z": 1}
    assert c.do("distinct", "t", "d", key="s")["values"] == ["x", "y"]
    assert c.do("drop", "t", "d")["ok"] == 1.0
    assert c.do("drop", "t", "d")["codeName"] == "NamespaceNotFound"


def test_messages_of_before() -> None:
    c = client()
    insert = head(2002, struct.pack("<i", 0) + b"d.t\0" + encode({"_id": 1, "a": 1}) + encode({"_id": 2, "a": 2}))
    assert c.send(insert) == []
    assert c.send(query("d.t", {"$query": {"a": 2}}, 0)) == [{"_id": 2, "a": 2}]
    assert c.send(head(2006, struct.pack("<i", 0) + b"d.t\0" + struct.pack("<i", 0) + encode({"a": 2}))) == []
    assert c.send(query("d.t", {}, 0)) == [{"_id": 1, "a": 1}]
    c.table.say(head(2012, struct.pack("<iiB", 2013, 100, 1) + b"x"))
    assert c.table.fault == "compressed, though that was not agreed on"
    c = client()
    assert b"It looks like you are trying to access MongoDB over HTTP" in c.table.say(b"GET / HTTP/1.0\r\n\r\n", 1)
    assert c.table.over


@pytest.mark.parametrize("size", SIZES)
def test_a_file_in_pieces_arrives_byte_for_byte(size: int) -> None:
    """GridFS: pieces of 255 KiB, in any order, then the entry that names them."""
    c, data, step = client(), content(size), 255 * 1024
    pieces = [{"files_id": 7, "n": at // step, "data": data[at : at + step]} for at in range(0, size, step)]
    for piece in reversed(pieces):
        assert c.send(msg({"insert": "fs.chunks"}, "d", beside={"documents": [piece]}))[0]["n"] == 1
    c.do("insert", "fs.files", "d", documents=[{"_id": 7, "filename": "xmrig.elf", "length": Long(size)}])
    assert [(keep.data, keep.name) for keep in c.table.kept] == [(data, "xmrig.elf")]
    c.table.end()
    assert len(c.table.kept) == 1


@pytest.mark.parametrize("size", SIZES)
def test_a_value_arrives_byte_for_byte(size: int) -> None:
    c, data = client(), content(size)
    c.do("insert", "t", "d", documents=[{"payload": data}])
    c.table.end()
    assert [(keep.data, keep.name) for keep in c.table.kept] == ([(data, "d.t")] if size else [])


def test_of_values_programs_and_long_texts_are_kept_and_what_an_event_tells_is_not() -> None:
    c = client()
    uuid = Raw(0x05, struct.pack("<iB", 16, 4) + bytes(16))
    listed = ["#!/bin/sh\nid", "f0VMRgIBAQ", "x" * (TEXT_CHARS_MAX + 1), b"\1", "#!/bin/sh\nid"]
    documents = [{"a": {"b": listed}}, {"note": "pay 0.01 BTC " * 15, "t": "x" * TEXT_CHARS_MAX, "id": uuid, "e": b""}]
    c.do("insert", "t", "d", documents=documents)
    c.table.end()
    assert [keep.data for keep in c.table.kept] == [
        b"#!/bin/sh\nid", b"f0VMRgIBAQ", b"x" * (TEXT_CHARS_MAX + 1), b"\1"]  # fmt: skip


def test_of_payloads_so_many_are_kept() -> None:
    for past in (0, 1):
        c = client()
        c.do("insert", "t", "d", documents=[{"a": bytes((number,))} for number in range(KEPT_MAX + past)])
        c.table.end()
        assert len(c.table.kept) == KEPT_MAX


def test_logins() -> None:
    c = client()
    answer = c.do("saslStart", 1, mechanism="SCRAM-SHA-256", payload=b"n,,n=ad=2Cmin,r=fyko")
    first = answer["payload"].decode()
    assert first.startswith("r=fyko")
    assert first.endswith(",i=15000")
    assert (
        c.do("saslContinue", 1, conversationId=1, payload=b"c=biws,r=x,p=cHJvb2Y=")["codeName"]
        == "AuthenticationFailed"
    )
    assert [(fact.user, fact.accepted) for fact in c.table.facts if isinstance(fact, LoginTried)] == [("ad,min", False)]
    (tried,) = (fact for fact in c.table.facts if isinstance(fact, LoginTried))
    assert tried.password == f"SCRAM-SHA-256 n=ad=2Cmin,r=fyko | {first} | c=biws,r=x,p=cHJvb2Y="
    c.do("saslStart", 1, "$external", mechanism="PLAIN", payload=b"\0me\0secret")
    assert c.table.facts[-1] == LoginTried("me", "secret", accepted=False)
    c.do("authenticate", 1, user="old", nonce="0a", key="0b")
    assert c.table.facts[-1] == LoginTried("old", "MONGODB-CR 0a 0b", accepted=False)
    assert c.do("saslContinue", 1, payload=b"")["codeName"] == "ProtocolError"
    assert c.do("saslStart", 1, mechanism="GSSAPI", payload=b"")["codeName"] == "MechanismUnavailable"


def test_every_kind_of_value() -> None:
    code = Raw(0x0D, struct.pack("<i", 4) + b"f()\0")
    document = {"d": 1.5, "s": "ä", "o": {"a": [1, "x", None]}, "b": b"\0\1", "u": Raw(5, b"\2\0\0\0\4ab"),
    "i": ObjectId(bytes(12)),
                "t": True, "f": False, "at": Date(-5), "n": None, "r": Raw(0x0B, b"a\0i\0"), "c": code, "w": 1 << 40,
                "l": Long(3), "ts": Raw(0x11, bytes(8)), "dec": Raw(0x13, bytes(16)),
                "min": Raw(0xFF, b"")}  # fmt: skip
    data = encode(document)
    assert document_at(data, 0) == (document, len(data))
    for end in range(len(data)):
        with pytest.raises(PeerError):
            document_at(data[:end], 0)


def deep(levels: int) -> Document:
    document: Document = {}
    for _ in range(levels):
        document = {"a": document}
    return document


def test_limits() -> None:
    for past in (0, 1):
        for document in (deep(DEPTH_MAX + past), {"a": [1] * (ELEMENTS_MAX - 1 + past)}):
            data = encode(document)
            if past:
                with pytest.raises(PeerError):
                    document_at(data, 0)
            else:
                assert document_at(data, 0)[0] == document
        c = client()
        c.table.say(struct.pack("<iiii", MESSAGE_BYTES_MAX + past, 1, 0, 2013))
        assert bool(c.table.fault) == bool(past)
        c = client()
        c.do("create", "t", "d")
        several = [{"_id": at} for at in range(DOCUMENTS_MAX + past)]
        (answer,) = c.send(msg({"insert": "t"}, "d", beside={"documents": several}))
        assert answer.get("codeName", "") == ("OutOfDiskSpace" if past else "")
        c = client()
        for number in range(COLLECTIONS_MAX + past):
            answer = c.do("create", f"c{number}", "d")
        assert answer["ok"] == (0.0 if past else 1.0)
    c = client()
    c.do("insert", "t", "d", documents=[{"_id": 1}, {"_id": 2}])
    cursors = [c.do("find", "t", "d", batchSize=1)["cursor"]["id"] for _ in range(CURSORS_MAX + 1)]
    assert [bool(cursor) for cursor in cursors] == [True] * CURSORS_MAX + [False]
    assert c.do("getMore", Long(99), "d", collection="t")["codeName"] == "CursorNotFound"
    c = client()
    c.table.say(msg({"ping": 1}, flags=2) * MongoDb.messages_max)
    assert not c.table.fault
    c.table.say(msg({"ping": 1}, flags=2))
    assert c.table.fault == f"more than {MongoDb.messages_max} messages in one session"
    c = client(bytes_max=8700)
    assert c.do("insert", "t", "d", documents=[{"a": "x" * 4000}])["ok"] == 1.0
    assert c.do("insert", "t", "d", documents=[{"a": "x" * 4000}])["codeName"] == "OutOfDiskSpace"


def test_whose_conversation_it_is() -> None:
    assert MongoDb.claim(msg({"ping": 1})) is Claim.YES
    assert MongoDb.claim(msg({"ping": 1})[:9]) is Claim.UNSURE
    assert MongoDb.claim(b"GET / HTTP/1.0\r\n") is Claim.NO
