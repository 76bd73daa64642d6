"""Fetching as Java's JNDI asks an RMI registry for an object (JRMP: Java RMI specification, section 10).

    JRMI 2 K   -->   N host port          lookup(name)   -->   Q object
    … if that is a stub of a ReferenceWrapper: the same to where the stub points, getReference()   -->   Q object

What comes of it is the serialised object as it was sent. A Reference in it names a class and its code base, which
`payload.java` reads from it.
"""

from __future__ import annotations

import asyncio
import re
import struct
from dataclasses import dataclass, replace

from eudaemon.payload import java
from eudaemon.payload.fetch.outcome import Failed, Missing
from eudaemon.payload.fetch.target import Request, Target, connect, hang_up
from eudaemon.payload.fetch.transfer import READ_BYTES, Transfer
from eudaemon.payload.url import unquoted

ANSWER_BYTES_MAX = 1024 * 1024
SILENCE_S_MAX = 2.0  # an object has no length: after so long nothing more of it is to come
_ACK, _NOT_SUPPORTED, _RETURN = 0x4E, 0x4F, 0x51
_STREAM = b"\xac\xed\x00\x05"  # Java Object Serialization, section 6.4.2: magic and version
_EXCEPTION = 2
_CALL = struct.Struct(">BB22siq")  # TC_BLOCKDATA and its size, ObjID, operation, hash
_REGISTRY = bytes(22)  # ObjID 0: ObjID.REGISTRY_ID
_LOOKUP, _REGISTRY_HASH = 2, 4905912898345647071  # sun.rmi.registry.RegistryImpl_Skel
_BY_HASH, _GET_REFERENCE_HASH = -1, 3529874867989176284  # com.sun.jndi.rmi.registry.ReferenceWrapper_Stub
# In a stub: sun.rmi.server.UnicastRef, then the endpoint's host and port, and the ObjID there.
_STUB = re.compile(rb"\x00\x0aUnicastRef\x00([\x01-\xff])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Call:
    """What is asked of which object."""

    object_id: bytes
    operation: int
    hash: int
    name: bytes | None = None


async def fetch(request: Request, transfer: Transfer) -> None:
    """Get the object that the URL names. Raises `NotFetched`, `OSError`, or `NoRoomError` from the sink."""
    target = await request.aim(request.url)
    name = unquoted(target.url.path.partition("?")[0][1:]).encode("latin-1")
    answer = await _asked(target, _Call(_REGISTRY, _LOOKUP, _REGISTRY_HASH, name), transfer)
    stub = _stub_in(answer)
    if stub and not any(java.classes(answer)):
        host, port, object_id = stub
        onward = await request.aim(replace(target.url, host=host, port=port))
        answer = await _asked(onward, _Call(object_id, _BY_HASH, _GET_REFERENCE_HASH), transfer)
    transfer.take(answer)


async def _asked(target: Target, call: _Call, transfer: Transfer) -> bytes:
    """Connect, make one call, and return what it returned, as a stream of its own."""
    reader, writer, transfer.peer = await connect(target, transfer.settings)
    try:
        writer.write(b"JRMI\x00\x02K")
        kind = (await transfer.heard(reader.readexactly(1)))[0]
        if kind != _ACK:
            raise Failed("RMI: not spoken here")
        size = await transfer.heard(reader.readexactly(2))
        await transfer.heard(reader.readexactly(int.from_bytes(size, "big") + 4))  # how the registry sees us
        writer.write(_utf(b"127.0.1.1") + bytes(4))  # how a Debian sees itself; nobody connects there
        argument = b"" if call.name is None else b"t" + _utf(call.name)
        block = _CALL.pack(0x77, _CALL.size - 2, call.object_id, call.operation, call.hash)
        writer.write(b"P" + _STREAM + block + argument)
        answer = await _returned(reader, transfer)
    finally:
        hang_up(writer)
    if answer[:1] != bytes((_RETURN,)) or not answer.startswith(_STREAM, 1):
        raise Failed("RMI: no return")
    if answer[7:8] == bytes((_EXCEPTION,)):
        raise Missing("RMI: an exception")
    return answer[1:]


async def _returned(reader: asyncio.StreamReader, transfer: Transfer) -> bytes:
    """Read what comes until nothing more does, or what is looked for is there. What is broken off is taken as it is."""
    answer = await transfer.heard(reader.read(READ_BYTES))
    while not _tells_enough(answer):
        try:
            more = await transfer.heard(reader.read(READ_BYTES), SILENCE_S_MAX)
        except Failed:
            break  # silence is how it ends
        except OSError:
            if answer[:1] == bytes((_RETURN,)):
                transfer.take(answer[1:])
            raise
        answer += more
        if len(answer) > ANSWER_BYTES_MAX:
            raise Failed(f"RMI: an answer over {ANSWER_BYTES_MAX} bytes")
        if not more:
            break
    return answer


def _tells_enough(answer: bytes) -> bool:
    return answer[7:8] == bytes((_EXCEPTION,)) or _stub_in(answer) is not None or any(java.classes(answer))


def _stub_in(answer: bytes) -> tuple[str, int, bytes] | None:
    found = _STUB.search(answer)
    if not found:
        return None
    host = answer[found.end() : found.end() + found[1][0]]
    rest = answer[found.end() + found[1][0] :]
    port, object_id = int.from_bytes(rest[:4], "big"), rest[4:26]
    if len(object_id) < len(_REGISTRY) or not 0 < port < 65536 or not re.fullmatch(rb"[\w.:-]+", host):
        return None
    return host.decode("latin-1").lower(), port, object_id


def _utf(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text
