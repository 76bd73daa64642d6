"""The table of commands: what each gives, and what is seen in it. A step yields facts and returns the answer."""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from eudaemon.events.catalogue import ExploitRecognised, LoginTried
from eudaemon.protocols._base import Keep, Order, Saw
from eudaemon.protocols._ransom import is_note
from eudaemon.protocols.mongodb.bson import Document, Long, Raw, shown
from eudaemon.protocols.mongodb.collections import fits, updated
from eudaemon.protocols.mongodb.server import error
from eudaemon.wire import clipped, printable

if TYPE_CHECKING:
    from eudaemon.protocols.mongodb.room import MongoDb

Answer: TypeAlias = "Generator[Order, None, Document]"
Step: TypeAlias = "Callable[[MongoDb, str, Document], Answer]"
CURSORS_MAX = 16
FIRST_BATCH = 101
ITERATIONS = 15_000
_NOTE_CHARS_MAX = 4096
_OK: Document = {"ok": 1.0}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _listed(body: Document, name: str) -> list[Document]:
    """Return the documents that a command lists under a name."""
    value = body.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _number(value: Any, default: int = 0) -> int:
    return int(value) if isinstance(value, int | float) and abs(value) < 1 << 63 else default


# --- who answers -------------------------------------------------------------------------------------------


def _hello(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    found = room.server.hello(room.at_s, old="hello" not in body)
    wished = body.get("saslSupportedMechs")
    return {**found, "saslSupportedMechs": ["SCRAM-SHA-256", "SCRAM-SHA-1"]} if wished else found


def _build_info(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    return room.server.build_info()


def _status(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    return room.server.status(room.at_s)


def _host_info(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    return room.server.host_info(room.at_s)


def _whats_my_uri(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    return {"you": f"{room.visit.attacker.ip}:{room.visit.attacker.port}", "ok": 1.0}


def _options(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    return {"argv": ["mongod", "--bind_ip_all"], "parsed": {"net": {"bindIp": "*"}}, "ok": 1.0}


def _log(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    if body.get("getLog") == "*":
        return {"names": ["global", "startupWarnings"], "ok": 1.0}
    started = datetime.fromtimestamp(room.at_s - room.server.host.uptime_s(room.at_s), UTC)
    warning = ("Access control is not enabled for the database. "
               "Read and write access to data and configuration is unrestricted")  # fmt: skip
    line = (f'{{"t":{{"$date":"{started.isoformat(timespec="milliseconds")}"}},"s":"W","c":"CONTROL","id":22120,'
            f'"ctx":"initandlisten","msg":"{warning}","tags":["startupWarnings"]}}')  # fmt: skip
    return {"totalLinesWritten": 1, "log": [line], "ok": 1.0}


def _parameter(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    # Names stand beside the command, as in {getParameter: 1, featureCompatibilityVersion: 1}; '*' asks for all.
    if body.get("getParameter") != "*" and "featureCompatibilityVersion" not in body:
        return error(72, "InvalidOptions", "no option found to get")
    version = room.server.version[:3]
    return {"featureCompatibilityVersion": {"version": version}, "ok": 1.0}


def _connection(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    return {"authInfo": {"authenticatedUsers": [], "authenticatedUserRoles": []}, "ok": 1.0}


# --- what is there -----------------------------------------------------------------------------------------


def _databases(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    listed: list[Document] = []
    for name, collections in sorted(room.collections.databases.items()):
        size = 8192 + 40_960 * len(collections) + 120 * sum(map(len, collections.values()))
        listed.append({"name": name, "sizeOnDisk": Long(size), "empty": False})
    if body.get("nameOnly"):
        return {"databases": [{"name": one["name"]} for one in listed], "ok": 1.0}
    total = sum(one["sizeOnDisk"] for one in listed)
    return {"databases": listed, "totalSize": Long(total), "totalSizeMb": Long(total >> 20), "ok": 1.0}


def _collections(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    wanted = body.get("filter") if isinstance(body.get("filter"), dict) else {}
    listed: list[Document] = [{"name": name, "type": "collection", "options": {}, "info": {"readOnly": False}}
                              for name in room.collections.databases.get(database, {})]  # fmt: skip
    return room.first_batch(
        [one for one in listed if fits(one, wanted or {})], f"{database}.$cmd.listCollections", body
    )


def _indexes(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    name = _text(body.get("listIndexes"))
    return room.first_batch([{"v": 2, "key": {"_id": 1}, "name": "_id_"}], f"{database}.{name}", body)


def _find(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    name = _text(body.get("find"))
    query = body.get("filter")
    found = [
        one for one in room.collections.find(database, name) if fits(one, query if isinstance(query, dict) else {})
    ]
    found = found[max(0, _number(body.get("skip"))) :]
    limit = abs(_number(body.get("limit")))
    return room.first_batch(found[:limit] if limit else found, f"{database}.{name}", body)


def _get_more(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    number = _number(body.get("getMore"))
    batch = room.next_batch(number, _number(body.get("batchSize")) or None)
    if batch is None:
        return error(43, "CursorNotFound", f"cursor id {number} not found")
    documents, left = batch
    name = f"{database}.{_text(body.get('collection'))}"
    return {"cursor": {"nextBatch": documents, "id": Long(left), "ns": name}, "ok": 1.0}


def _aggregate(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    name = _text(body.get("aggregate"))
    found = list(room.collections.find(database, name))
    pipeline = body.get("pipeline")
    for stage in pipeline[:64] if isinstance(pipeline, list) else ():
        for operator, operand in stage.items() if isinstance(stage, dict) else ():
            if operator == "$match" and isinstance(operand, dict):
                found = [one for one in found if fits(one, operand)]
            elif operator == "$limit":
                found = found[: max(0, _number(operand))]
            elif operator == "$skip":
                found = found[max(0, _number(operand)) :]
            elif operator == "$count":
                found = [{_text(operand) or "count": len(found)}] if found else []
            elif operator == "$group" and isinstance(operand, dict):
                names = [field for field in operand if field != "_id"]
                found = [{"_id": None, **dict.fromkeys(names, len(found))}] if found else []
            elif operator == "$sample" and isinstance(operand, dict):
                found = found[: max(0, _number(operand.get("size")))]
    return room.first_batch(
        found, f"{database}.{name}", body.get("cursor") if isinstance(body.get("cursor"), dict) else body
    )


def _count(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    query = body.get("query")
    found = room.collections.find(database, _text(body.get("count")))
    return {"n": sum(fits(one, query if isinstance(query, dict) else {}) for one in found), "ok": 1.0}


def _distinct(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    key = _text(body.get("key"))
    values: list[Any] = []
    for one in room.collections.find(database, _text(body.get("distinct"))):
        if key in one and one[key] not in values[:1000]:
            values.append(one[key])
    return {"values": values[:1000], "ok": 1.0}


def _stats(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    name = _text(body.get("collStats") or body.get("collstats"))
    own = room.collections.databases.get(database, {})
    count = len(own.get(name, [])) if name else sum(map(len, own.values()))
    return {"ns": f"{database}.{name}", "db": database, "collections": len(own), "objects": count, "count": count,
            "avgObjSize": 120.0, "dataSize": 120.0 * count, "size": 120 * count, "storageSize": 36_864.0,
            "indexes": len(own),
            "indexSize": 36_864.0, "ok": 1.0}  # fmt: skip


# --- what is changed -----------------------------------------------------------------------------------------


def _insert(room: MongoDb, database: str, body: Document) -> Answer:
    name = _text(body.get("insert"))
    documents = _listed(body, "documents")
    for document in documents:
        room.collections.insert(database, name, document)
        if name.endswith(".files") and "_id" in document:
            yield from room.collections.grid_file(database, name, document)
        elif room.collections.has_dropped and _is_note(database, name, document):
            text = clipped(shown(document, _NOTE_CHARS_MAX), _NOTE_CHARS_MAX)
            yield Saw(ExploitRecognised("mongodb-ransom", "", text))
            yield Keep(_note_of(document), "upload", printable(f"{database}.{name}".encode(), 256))
            room.collections.note(database, name, document)
    return {"n": len(documents), "ok": 1.0}


def _is_note(database: str, name: str, document: Document) -> bool:
    texts = " ".join(value for value in document.values() if isinstance(value, str))
    return is_note(f"{database} {name}", texts)


def _note_of(document: Document) -> bytes:
    """Return a note's text, a line for each of its fields."""
    return "\n".join(value for value in document.values() if isinstance(value, str)).encode("utf-8", "replace")


def _update(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    name = _text(body.get("update"))
    matched, upserted = 0, []
    for at, one in enumerate(_listed(body, "updates")):
        query, change = one.get("q"), one.get("u")
        if not isinstance(query, dict) or not isinstance(change, dict):
            continue
        found = [document for document in room.collections.find(database, name) if fits(document, query)]
        for document in found if one.get("multi") else found[:1]:
            room.collections.change(database, name, document, updated(document, change))
            matched += 1
        if not found and one.get("upsert"):
            fixed = {
                key: value for key, value in query.items() if not key.startswith("$") and not isinstance(value, dict)
            }
            yield from _insert(room, database, {"insert": name, "documents": [updated(fixed, change)]})
            upserted.append({"index": at, "_id": fixed.get("_id")})
    answer: Document = {"n": matched + len(upserted), "nModified": matched, "ok": 1.0}
    return {**answer, "upserted": upserted} if upserted else answer


def _delete(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    name = _text(body.get("delete"))
    gone = 0
    for one in _listed(body, "deletes"):
        query = one.get("q")
        found = [document for document in room.collections.find(database, name)
                 if isinstance(query, dict) and fits(document, query)]  # fmt: skip
        if _number(one.get("limit")) == 1:
            found = found[:1]
        if found and not query:
            room.collections.emptied(f"{database}.{name}")
        room.collections.remove(database, name, found)
        gone += len(found)
    return {"n": gone, "ok": 1.0}


def _find_and_modify(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    name = _text(body.get("findAndModify") or body.get("findandmodify"))
    query = body.get("query") if isinstance(body.get("query"), dict) else {}
    found = next((one for one in room.collections.find(database, name) if fits(one, query or {})), None)
    if found is not None and body.get("remove"):
        room.collections.remove(database, name, [found])
    elif found is not None and isinstance(body.get("update"), dict):
        room.collections.change(database, name, found, updated(found, body["update"]))
    return {"lastErrorObject": {"n": int(found is not None)}, "value": found, "ok": 1.0}


def _drop(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    name = _text(body.get("drop"))
    if not room.collections.drop(database, name):
        return error(26, "NamespaceNotFound", "ns not found")
    return {"nIndexesWas": 1, "ns": f"{database}.{name}", "ok": 1.0}


def _drop_database(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    there = database in room.collections.databases
    room.collections.drop_database(database)
    return {"dropped": database, "ok": 1.0} if there else dict(_OK)


def _create(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    name = _text(body.get("create"))
    if not room.collections.make(database, name):
        return error(48, "NamespaceExists", f"Collection already exists. NS: {database}.{name}")
    return dict(_OK)


def _create_indexes(room: MongoDb, database: str, body: Document) -> Answer:
    yield from ()
    made = room.collections.make(database, _text(body.get("createIndexes")))
    return {"numIndexesBefore": 1, "numIndexesAfter": 2, "createdCollectionAutomatically": made, "ok": 1.0}


# --- logins --------------------------------------------------------------------------------------------------

_DENIED = error(18, "AuthenticationFailed", "Authentication failed.")


def _payload(body: Document) -> str:
    value = body.get("payload")
    raw = value.data[5:] if isinstance(value, Raw) else value if isinstance(value, bytes) else _text(value).encode()
    return raw[:4096].decode("utf-8", "backslashreplace")


def _sasl_start(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    """SCRAM (RFC 5802): a salt is sent, so that the proof can be tried against passwords. PLAIN tells its password."""
    mechanism, payload = _text(body.get("mechanism")), _payload(body)
    if mechanism == "PLAIN":
        _, _, rest = payload.partition("\0")
        user, _, password = rest.partition("\0")
        yield Saw(LoginTried(clipped(user, 256), clipped(password, 256), accepted=False))
        return dict(_DENIED)
    fields = dict(part.split("=", 1) for part in payload.removeprefix("n,,").split(",") if "=" in part)
    if mechanism not in ("SCRAM-SHA-1", "SCRAM-SHA-256") or "n" not in fields or "r" not in fields:
        return error(334, "MechanismUnavailable",
        f"Received authentication for mechanism {clipped(mechanism, 64)} which is not "
                     "enabled")  # fmt: skip
    user = fields["n"].replace("=2C", ",").replace("=3D", "=")
    salt = base64.b64encode(
        room.server.seed.bytes(f"salt {mechanism} {user}", 28 if mechanism.endswith("256") else 16)
    ).decode()
    nonce = fields["r"] + base64.b64encode(room.visit.seed.bytes("scram", 24)).decode()
    first = f"r={nonce},s={salt},i={ITERATIONS if mechanism.endswith('256') else 10_000}"
    room.login = (mechanism, user, payload.removeprefix("n,,"), first)
    yield from ()
    return {"conversationId": 1, "done": False, "payload": first.encode(), "ok": 1.0}


def _sasl_continue(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    if room.login is None:
        return error(17, "ProtocolError", "No SASL session state found")
    mechanism, user, bare, first = room.login
    room.login = None
    proof = f"{mechanism} {bare} | {first} | {_payload(body)}"
    yield Saw(LoginTried(clipped(user, 256), clipped(proof, 1024), accepted=False))
    return dict(_DENIED)


def _authenticate(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    proof = f"MONGODB-CR {_text(body.get('nonce'))} {_text(body.get('key'))}"
    yield Saw(LoginTried(clipped(_text(body.get("user")), 256), clipped(proof, 256), accepted=False))
    return dict(_DENIED)


def _nonce(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    return {"nonce": room.visit.seed.bytes("nonce", 8).hex(), "ok": 1.0}


# --- others ----------------------------------------------------------------------------------------------------


def _script(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    """$eval, mapReduce: JavaScript on the server is stated, and not run."""
    code = next(
        (
            shown(value, _NOTE_CHARS_MAX)
            for value in body.values()
            if isinstance(value, Raw) or "function" in str(value)[:4096]
        ),
        "",
    )
    yield Saw(ExploitRecognised("mongodb-javascript", "", clipped(code, _NOTE_CHARS_MAX)))
    return error(59, "CommandNotFound", f"no such command: '{next(iter(body), '')[:64]}'")


def _users(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    return {"users": [], "ok": 1.0}


def _last_error(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    return {"connectionId": 7, "n": 0, "syncMillis": 0, "writtenTo": None, "err": None, "ok": 1.0}


def _no_replicas(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    return error(76, "NoReplicationEnabled", "not running with --replSet")


def _session(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    identity = Raw(0x05, b"\x10\0\0\0\x04" + room.visit.seed.bytes("session", 16))
    return {"id": {"id": identity}, "timeoutMinutes": 30, "ok": 1.0}


def _current(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    yield from ()
    return {"inprog": [], "ok": 1.0}


def _fine(room: MongoDb, database: str, body: Document) -> Answer:  # noqa: ARG001
    """What only succeeds."""
    yield from ()
    return dict(_OK)


_SUCCEEDING = (
    "ping endSessions refreshSessions killCursors logout createUser dropUser updateUser grantRolesToUser createRole "
    "dropIndexes setParameter fsync renameCollection compact validate abortTransaction commitTransaction shutdown "
    "setFeatureCompatibilityVersion dropAllUsersFromDatabase profile killOp collMod reIndex convertToCapped"
)
COMMANDS: dict[str, Step] = {
    "hello": _hello, "ismaster": _hello, "buildinfo": _build_info, "serverstatus": _status, "hostinfo": _host_info,
    "whatsmyuri": _whats_my_uri, "getcmdlineopts": _options, "getlog": _log, "getparameter": _parameter,
    "connectionstatus": _connection, "listdatabases": _databases, "listcollections": _collections,
    "listindexes": _indexes, "find": _find, "getmore": _get_more, "aggregate": _aggregate, "count": _count,
    "distinct": _distinct, "collstats": _stats, "dbstats": _stats, "insert": _insert, "update": _update,
    "delete": _delete, "findandmodify": _find_and_modify, "drop": _drop, "dropdatabase": _drop_database,
    "create": _create, "createindexes": _create_indexes, "saslstart": _sasl_start, "saslcontinue": _sasl_continue,
    "authenticate": _authenticate, "getnonce": _nonce, "$eval": _script, "eval": _script, "mapreduce": _script,
    "usersinfo": _users, "rolesinfo": _users, "getlasterror": _last_error, "replsetgetstatus": _no_replicas,
    "startsession": _session, "currentop": _current, "top": _current,
    **dict.fromkeys(_SUCCEEDING.lower().split(), _fine),
}  # fmt: skip
# What every client sends without anybody having wished for it: no event of its own, unless it says which client it is.
UNSTATED = frozenset(
    ("hello", "ismaster", "ping", "endsessions", "getmore", "saslstart", "saslcontinue", "killcursors")
)
