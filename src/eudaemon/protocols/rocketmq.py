"""RocketMQ's broker on TCP 10911 and its name server on 9876: who may speak to them may set their configuration.

    size (4) | kind (1), size (3) of the header | header in JSON | body

Requests have a code, answers the flag 1 and the request's number (`opaque`). The broker puts `rocketmqHome` into a
command line (CVE-2023-33246): that goes to the shell. The name server writes its configuration to whatever file it is
told (CVE-2023-37582): that is kept. Owns no topic and no message; the binary form of headers is not understood.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols import _loot as loot
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
    Woken,
)  # fmt: skip
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.wire import PeerError, decode, printable
from eudaemon.world.host import Host

FRAME_BYTES_MAX = 16 * 1024 * 1024  # as Netty's decoder there has it
HEADER_BYTES_MAX = 64 * 1024
FRAMES_MAX = 1000  # of one session
CONFIGURATION_BYTES_MAX = 64 * 1024  # that is read and remembered
SET_MAX = 256  # entries
_JSON = 0
# RequestCode.java
_UPDATE_BROKER, _GET_BROKER, _RUNTIME, _CLUSTER = 25, 26, 28, 106
_UPDATE_NAMES, _GET_NAMES = 318, 319
_NAMES = {10: "SEND_MESSAGE", 11: "PULL_MESSAGE", 17: "UPDATE_AND_CREATE_TOPIC", 21: "GET_ALL_TOPIC_CONFIG",
          25: "UPDATE_BROKER_CONFIG", 26: "GET_BROKER_CONFIG", 28: "GET_BROKER_RUNTIME_INFO", 34: "HEART_BEAT",
          100: "PUT_KV_CONFIG", 103: "REGISTER_BROKER", 105: "GET_ROUTEINFO_BY_TOPIC", 106: "GET_BROKER_CLUSTER_INFO",
          206: "GET_ALL_TOPIC_LIST_FROM_NAMESERVER", 215: "DELETE_TOPIC_IN_BROKER", 318: "UPDATE_NAMESRV_CONFIG",
          319: "GET_NAMESRV_CONFIG"}  # fmt: skip
_SUCCESS, _NO_TOPIC = 0, 17
_VERSIONS = {"4.9.2": 395, "4.9.4": 399, "4.9.5": 401, "5.0.0": 413, "5.1.0": 435}  # the last that obey, MQVersion.java
# `sh HOME/bin/startfsrv.sh` is cut at blanks and executed: a home of `-c $@|sh . echo X` has sh read X.
_HOME = re.compile(rb"-c\s+\$@\s*\|\s*(?:/bin/)?(?:ba)?sh\s+\S+\s+echo\s+(.+)", re.DOTALL)
_PLACES = ("configStorePath", "configStorePathName", "kvConfigPath")


class RocketMq(Room):
    """One client, of the broker or of the name server: which one it takes us for, its requests say."""

    name: ClassVar[str] = "rocketmq"

    __slots__ = ("_buffer", "_frames", "_held", "_leaves", "_set", "_shell")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._buffer = bytearray()
        self._held = 0
        self._frames = 0
        self._set: dict[str, str] = {}
        self._shell: ShellDialogue | None = None
        self._leaves = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A frame whose header is an object in JSON, shorter than the frame."""
        size, header = int.from_bytes(first[:4], "big"), int.from_bytes(first[4:8], "big")
        if len(first) < 9:
            return Claim.UNSURE if first[:1] == b"\0" and first[4:5] in (b"", b"\0") else Claim.NO
        is_one = 4 <= header + 4 <= size <= FRAME_BYTES_MAX and header <= HEADER_BYTES_MAX and first[8:9] == b"{"
        return Claim.YES if is_one else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                self._buffer += data
                self._account()
                while (frame := self._frame()) is not None:
                    yield from self._request(*frame, at_s)
                self._account()
            case Answered() | Woken() if self._shell:
                yield from self._shell.go_on(occasion)
                yield from self._leave()
            case HalfClosed():
                self._leaves = True
                yield from self._leave()
            case Ended():
                yield from self._broken_off()
                if self._shell:
                    yield from self._shell.ended()

    def _leave(self) -> Iterator[Order]:
        if self._leaves and not (self._shell and self._shell.busy):
            yield HangUp()

    # --- frames --------------------------------------------------------------------------------------

    def _sizes(self) -> tuple[int, int] | None:
        """Return how many bytes the frame has behind its size, and how many of them its header."""
        if len(self._buffer) < 8:
            return None
        size, header = int.from_bytes(self._buffer[:4], "big"), int.from_bytes(self._buffer[5:8], "big")
        if self._buffer[4] != _JSON or header > HEADER_BYTES_MAX or not header + 4 <= size <= FRAME_BYTES_MAX:
            self._buffer.clear()  # nothing of it is a body
            raise PeerError("no frame of RocketMQ's, or one that is too large")
        return size, header

    def _frame(self) -> tuple[dict[str, Any], bytes] | None:
        sizes = self._sizes()
        if sizes is None or len(self._buffer) < 4 + sizes[0]:
            return None
        size, header = sizes
        self._frames += 1
        if self._frames > FRAMES_MAX:
            raise PeerError(f"more than {FRAMES_MAX} frames in one session")
        try:
            head = json.loads(bytes(self._buffer[8 : 8 + header]))
        except (ValueError, RecursionError):
            head = None
        if not isinstance(head, dict):
            raise PeerError("a header that is no object")
        body = bytes(self._buffer[8 + header : 4 + size])
        del self._buffer[: 4 + size]
        return head, body

    def _account(self) -> None:
        more = len(self._buffer) - self._held
        if more > 0 and not self.visit.purse.take(more):
            raise PeerError("the session holds too many bytes")
        if more < 0:
            self.visit.purse.give_back(-more)
        self._held = len(self._buffer)

    def _broken_off(self) -> Iterator[Order]:
        """Keep what came of a body of which more was to come."""
        if len(self._buffer) > 8 and self._buffer[4] == _JSON:
            begins = 8 + int.from_bytes(self._buffer[5:8], "big")
            if len(self._buffer) > begins:
                yield Keep(bytes(self._buffer[begins:]), "upload", partial=True)

    # --- requests ------------------------------------------------------------------------------------

    def _request(self, head: dict[str, Any], body: bytes, at_s: float) -> Iterator[Order]:
        code = head.get("code")
        code = code if isinstance(code, int) else -1
        fields = head.get("extFields")
        told = json.dumps(fields, ensure_ascii=True) if isinstance(fields, dict) and fields else ""
        yield Saw(CommandEntered(printable(f"{_NAMES.get(code, f'request {code}')} {told}".strip().encode(), 2048)))
        if body:
            yield Keep(body, "upload", self._place(body) if code in (_UPDATE_BROKER, _UPDATE_NAMES) else "")
        if code in (_UPDATE_BROKER, _UPDATE_NAMES):
            yield from self._update(code, body[:CONFIGURATION_BYTES_MAX], at_s)
        oneway = isinstance(head.get("flag"), int) and head["flag"] & 2
        if not oneway:
            yield Send(self._answer(head, code))

    def _update(self, code: int, body: bytes, at_s: float) -> Iterator[Order]:
        given = properties(body)
        for name, value in list(given.items())[:SET_MAX]:
            if name in self._set or len(self._set) < SET_MAX:
                self._put(name, value)
        home = given.get("rocketmqHome", "").encode("latin-1", "replace")
        found = _HOME.search(home)
        command = found[1].strip() if found else (loot.plausible(home) or loot.Loot()).command
        if command:
            yield Saw(ExploitRecognised("rocketmq-configuration", "CVE-2023-33246", printable(command, 2048)))
            self._shell = self._shell or ShellDialogue(self.visit, muted=True)
            yield from self._shell.enter(command, at_s)
        elif code == _UPDATE_NAMES and self._place(body):
            yield Saw(ExploitRecognised("rocketmq-file", "CVE-2023-37582", self._place(body)))

    def _put(self, name: str, value: str) -> None:
        """Remember an entry for the session, within what it may hold."""
        if not self.visit.purse.take(max(0, len(name) + len(value) - len(self._set.get(name, "")))):
            raise PeerError("the session holds too many bytes")
        self._set[name] = value

    @staticmethod
    def _place(body: bytes) -> str:
        """Return the file that a configuration is to be written to, if it says so."""
        given = properties(body[:CONFIGURATION_BYTES_MAX])
        return printable(next((given[name] for name in _PLACES if name in given), "").encode(), 512)

    def _answer(self, head: dict[str, Any], code: int) -> bytes:
        host = self.visit.host
        version, number = server_of(host)
        status, remark, body = _SUCCESS, None, b""
        if code in (_GET_BROKER, _GET_NAMES):
            entries = {**configuration(host, names=code == _GET_NAMES), **self._set}
            body = "".join(f"{name}={value}\n" for name, value in entries.items()).encode("utf-8", "replace")
        elif code == _RUNTIME:
            table = {"brokerVersionDesc": f"V{version.replace('.', '_')}", "brokerVersion": str(number)}
            body = json.dumps({"table": table}).encode()
        elif code == _CLUSTER:
            broker = broker_of(host)
            at = f'{{0:"{self.visit.local.ip}:10911"}}'  # fastjson's: a number is a name
            there = f'{{"brokerAddrs":{at},"brokerName":"{broker}","cluster":"DefaultCluster"}}'
            clusters = f'{{"DefaultCluster":["{broker}"]}}'
            body = f'{{"brokerAddrTable":{{"{broker}":{there}}},"clusterAddrTable":{clusters}}}'.encode()
        elif code == 105:
            status, remark = _NO_TOPIC, "No topic route info in name server for the topic: "
        opaque = head.get("opaque")
        said: dict[str, Any] = {"code": status, "flag": 1, "language": "JAVA",
                                "opaque": opaque if isinstance(opaque, int) and abs(opaque) < 2**31 else 0}  # fmt: skip
        if remark:
            said["remark"] = remark
        said |= {"serializeTypeCurrentRPC": "JSON", "version": number}
        header = json.dumps(said, separators=(",", ":")).encode()
        return (4 + len(header) + len(body)).to_bytes(4, "big") + len(header).to_bytes(4, "big") + header + body


def properties(body: bytes) -> dict[str, str]:
    """Return the entries of a Java properties file, its escapes read."""
    found: dict[str, str] = {}
    for line in body.decode("utf-8", "replace").splitlines():
        name, sign, value = line.strip().partition("=")
        if sign and not name.startswith(("#", "!")) and len(found) < SET_MAX:
            found[name.strip()] = _unescaped(value.strip())
    return found


def _unescaped(value: str) -> str:
    return decode.backslashes(value.encode()).decode("utf-8", "replace") if "\\" in value else value


def server_of(host: Host) -> tuple[str, int]:
    """Return the version, and its number as frames have it."""
    version = host.seed.child("rocketmq").choice("version", tuple(_VERSIONS))
    return version, _VERSIONS[version]


def broker_of(host: Host) -> str:
    """Return the broker's name."""
    seed = host.seed.child("rocketmq")
    return seed.choice("name", ("broker-a", "broker-{0}", "rmq-{0}", "broker-{0}-0")).format(seed.bytes("b", 3).hex())


def configuration(host: Host, *, names: bool) -> dict[str, str]:
    """Return what the configuration says, of the broker or of the name server."""
    home = host.seed.child("rocketmq").choice(
        "home", ("/srv/rocketmq-{0}", "/opt/rocketmq-{0}", "/usr/local/rocketmq", "/data/rocketmq-all-{0}")
    )
    own = {"rocketmqHome": home.format(server_of(host)[0]), "listenPort": "9876" if names else "10911"}
    if names:
        return {**own, "configStorePath": "/root/namesrv/namesrv.properties",
                "kvConfigPath": "/root/namesrv/kvConfig.json", "clusterTest": "false"}  # fmt: skip
    return {**own, "brokerName": broker_of(host), "brokerClusterName": "DefaultCluster", "brokerId": "0",
            "brokerIP1": host.address, "filterServerNums": "0", "brokerRole": "ASYNC_MASTER",
            "storePathRootDir": "/root/store"}  # fmt: skip
