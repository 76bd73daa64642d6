"""The dialogues: searches in datagrams, and over HTTP descriptions, calls and subscriptions.

Over UDP no answer may be larger than what was asked (the driver's rule), and an answer to a search is larger than a
search. So the answer is cut down to what fits, its needed headers first, and what a peer has asked and was not told
counts for its next search: a client sends several. Whoever is flooded through us gets no more than was sent to us.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import ClassVar, TypeAlias

from eudaemon.events import Endpoint
from eudaemon.events.catalogue import CommandEntered, RequestReceived
from eudaemon.protocols import _loot as loot
from eudaemon.protocols import _soap as soap
from eudaemon.protocols._base import Claim, HangUp, Occasion, Order, Received, Saw, Send, Visit
from eudaemon.protocols._http import Request
from eudaemon.protocols._pages import PageRoom, silently
from eudaemon.protocols.upnp.device import REALTEK_PORT, Device, device_of, interface
from eudaemon.protocols.upnp.mappings import Mappings
from eudaemon.wire import decode, printable

_EMPTY = b"\r\n\r\n"
DATAGRAMS_MAX = 64  # of one peer that are looked at
SEARCH_BYTES_MAX = 2048
ANSWERS_MAX = 8  # to one datagram that asks for everything
SSDP_PORT = 1900
_PRIVATE = re.compile(r"(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01])|169\.254)\.")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
# Where commands stand outside of a call, in D-Link's UPnP.
_ELSEWHERE = ((b"/gena.cgi", "dlink-gena", "CVE-2019-17621"), (b"/soap.cgi", "dlink-soap", "CVE-2018-6530"))
_XML = 'text/xml; charset="utf-8"'
Answers: TypeAlias = "Callable[[Upnp, soap.Call, float], dict[str, str] | tuple[int, str]]"


class Upnp(PageRoom):
    """One client: of a connection, or of datagrams."""

    name: ClassVar[str] = "upnp"
    paths: ClassVar[re.Pattern[bytes]] = re.compile(
        rb"(?:GET|POST) /(?:picsdesc|rootDesc|wanipcn|wancfg|l3f|ctrlt/|upnp/)|(?:UN)?SUBSCRIBE |M-SEARCH "
    )
    order: ClassVar[tuple[str, ...]] = ("Content-Type", "Connection", "Content-Length", "Server", "*")
    error: ClassVar[str] = "<HTML><HEAD><TITLE>{status} {reason}</TITLE></HEAD><BODY>{reason}</BODY></HTML>\r\n"
    headers: ClassVar[tuple[tuple[str, str], ...]] = (("Ext", ""),)

    __slots__ = ("_begins", "_credit_bytes", "_datagrams")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._begins: bytes | None = b""  # of the connection, while that may become an empty request
        self._datagrams = 0
        self._credit_bytes = 0  # what the peer has sent and we have not

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """See `ApiRoom`; a search is nobody else's."""
        return Claim.YES if first.startswith(b"M-SEARCH ") else super().claim(first)

    @property
    def device(self) -> Device:
        """Who answers."""
        return device_of(self.visit.host, self.visit.local.port)

    @property
    def server(self) -> str:
        """See `PageRoom`."""
        return self.device.server

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """See `ApiRoom`; a datagram is a search, whole."""
        if self.visit.transport != "udp":
            yield from self._connected(occasion)
        elif isinstance(occasion, Received):
            yield from self._datagram(occasion.data)

    def _connected(self, occasion: Occasion) -> Iterator[Order]:
        """Tell `ApiRoom`, but for one thing: an empty request is one to miniupnpd, whose answer scanners know it by."""
        if self._begins is None or not isinstance(occasion, Received):
            yield from super().tell(occasion)
            return
        self._begins += occasion.data
        if self._begins.startswith(_EMPTY):
            yield Send(self.refusal(501, occasion.at_s))
            yield HangUp()
        elif not _EMPTY.startswith(self._begins):
            data, self._begins = self._begins, None
            yield from super().tell(Received(occasion.at_s, data))

    def refusal(self, status: int, at_s: float) -> bytes:  # noqa: ARG002
        """See `ApiRoom`: miniupnpd repeats the version that was asked in, and here there was none."""
        return super().refusal(501, at_s).removeprefix(b"HTTP/1.1")

    # --- UDP -----------------------------------------------------------------------------------------

    def _datagram(self, data: bytes) -> Iterator[Order]:
        self._credit_bytes += len(data)
        self._datagrams += 1
        if self._datagrams > DATAGRAMS_MAX:
            return
        line, _, rest = data[:SEARCH_BYTES_MAX].partition(b"\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in
                   (one.partition(b":") for one in rest.split(b"\r\n"))}  # fmt: skip
        target = printable(headers.get(b"st", b""), 256)
        if not line.startswith((b"M-SEARCH ", b"NOTIFY ")):
            return
        yield Saw(RequestReceived(printable(line.split(b" ")[0], 16), target, printable(headers.get(b"host", b""), 256),
                                  printable(headers.get(b"user-agent", b""), 512)))  # fmt: skip
        if line.startswith(b"NOTIFY "):
            return
        device = device_of(self.visit.host, REALTEK_PORT)
        address = _authority(self.visit.local)
        wanted = device.types() if target == "ssdp:all" else (target,)
        known = (*device.types(), f"uuid:{device.uuid[:-1]}0")
        for one in [one for one in wanted if one in known][:ANSWERS_MAX]:
            answer = device.found(one, address, self._credit_bytes)
            if not answer:
                return
            self._credit_bytes -= len(answer)
            yield Send(answer)

    # --- HTTP ----------------------------------------------------------------------------------------

    def handle(self, request: Request, at_s: float) -> Iterator[Order]:
        """See `ApiRoom`."""
        path = decode.percent(request.path)
        call = soap.call_of(request) if request.method == "POST" else None
        carried = list(call.injected()) if call else []
        if call and carried:
            yield from self.attacked(*_exploit_of(path, call), carried[0])
        else:
            carried = _elsewhere(request)
            if carried:
                found = (row[1:] for row in _ELSEWHERE if path.startswith(row[0]))
                yield from self.attacked(*next(found, ("shell-injection", "CWE-78")), carried[0])
        for command in carried:
            yield from self.obey(command, silently, at_s, holds=False)
        if call:
            yield from self._called(request, call, at_s)
        elif request.method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            yield from self._subscribed(request, at_s)
        elif request.method not in ("GET", "HEAD", "POST"):
            yield from self.refused(request, at_s, 501)
        elif path in (self.device.description.encode(), b"/picsdesc.xml", b"/rootDesc.xml"):
            yield from self.answer(request, at_s, 200, self.device.document(), _XML)
        elif path in _INTERFACES:
            yield from self.answer(request, at_s, 200, interface(_INTERFACES[path]), _XML)
        else:
            yield from self.refused(request, at_s, 404)

    def _called(self, request: Request, call: soap.Call, at_s: float) -> Iterator[Order]:
        yield Saw(CommandEntered(printable(call.line().encode(), 4096)))
        answers = ACTIONS.get(call.action)
        if answers is None:
            yield from self.answer(request, at_s, 500, soap.fault(401, "Invalid Action"), _XML)
            return
        told = answers(self, call, at_s)
        if call.action == "AddPortMapping" and _leads_outside(call):
            yield from self.attacked("upnp-proxy", "T1090", call.line().encode())
        if isinstance(told, dict):
            yield from self.answer(request, at_s, 200, soap.answer(call, **told), _XML)
        else:
            yield from self.answer(request, at_s, 500, soap.fault(*told), _XML)

    def _subscribed(self, request: Request, at_s: float) -> Iterator[Order]:
        """Take a subscription, and never call back: the address to call may be anybody's."""
        callback = request.header(b"callback")
        if callback and self.visit.attacker.ip.encode() not in callback:
            yield from self.attacked("callstranger", "CVE-2020-12695", callback)
        number = self.visit.seed.bytes("subscription", 16).hex()
        sid = f"uuid:{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:]}"
        extra = (("Timeout", "Second-1800"), ("SID", sid)) if request.method == "SUBSCRIBE" else ()
        yield from self.answer(request, at_s, 200, b"", "", extra)


def _authority(asked: Endpoint) -> str:
    """Return where the descriptions stand: at Realtek's port, moved up as far as the one that was asked is."""
    ip = f"[{asked.ip}]" if ":" in asked.ip else asked.ip
    moved = asked.port - SSDP_PORT
    return f"{ip}:{REALTEK_PORT + (moved if 0 <= moved <= 65535 - REALTEK_PORT else 0)}"


def _exploit_of(path: bytes, call: soap.Call) -> tuple[str, str]:
    """Return name and reference of the exploit that a call with a command in it is."""
    if path.lower().startswith(b"/ctrlt/"):
        return "huawei-hg532", "CVE-2017-17215"
    return ("tr064-ntp", "CVE-2016-10372") if call.action == "SetNTPServers" else ("realtek-miniigd", "CVE-2014-8361")


def _elsewhere(request: Request) -> list[bytes]:
    """Return the first command that stands in a request's target or headers, if one does."""
    values = (decode.percent(request.target), *(value for _, value in request.headers))
    return [found.command for value in values if (found := loot.plausible(value))][:1]


def _leads_outside(call: soap.Call) -> bool:
    """Whether a port is to be forwarded to somebody on the Internet, or to one of the device's own neighbours."""
    client = call.value("NewInternalClient")
    return bool(_ADDRESS.fullmatch(client)) and not _PRIVATE.match(client)


# --- what can be called ------------------------------------------------------------------------------


def add(room: Upnp, call: soap.Call, at_s: float) -> dict[str, str] | tuple[int, str]:  # noqa: ARG001
    """AddPortMapping."""
    return {} if Mappings(room.visit).add(call) else (728, "NoPortMapsAvailable")


def delete(room: Upnp, call: soap.Call, at_s: float) -> dict[str, str] | tuple[int, str]:  # noqa: ARG001
    """DeletePortMapping."""
    return {} if Mappings(room.visit).drop(call) else (714, "NoSuchEntryInArray")


def one(room: Upnp, call: soap.Call, at_s: float) -> dict[str, str] | tuple[int, str]:  # noqa: ARG001
    """GetSpecificPortMappingEntry."""
    found = Mappings(room.visit).find(call)
    return dict(list(found.told().items())[3:]) if found else (714, "NoSuchEntryInArray")


def nth(room: Upnp, call: soap.Call, at_s: float) -> dict[str, str] | tuple[int, str]:  # noqa: ARG001
    """GetGenericPortMappingEntry."""
    index, known = call.value("NewPortMappingIndex"), list(Mappings(room.visit))
    if index.isdecimal() and len(index) < 6 and int(index) < len(known):
        return known[int(index)].told()
    return 713, "SpecifiedArrayIndexInvalid"


def address(room: Upnp, call: soap.Call, at_s: float) -> dict[str, str]:  # noqa: ARG001
    """GetExternalIPAddress."""
    return {"NewExternalIPAddress": room.device.external}


def status(room: Upnp, call: soap.Call, at_s: float) -> dict[str, str]:  # noqa: ARG001
    """GetStatusInfo."""
    uptime = str(int(room.visit.host.uptime_s(at_s)))
    return {"NewConnectionStatus": "Connected", "NewLastConnectionError": "ERROR_NONE", "NewUptime": uptime}


def kind(room: Upnp, call: soap.Call, at_s: float) -> dict[str, str]:  # noqa: ARG001
    """GetConnectionTypeInfo."""
    return {"NewConnectionType": "IP_Routed", "NewPossibleConnectionTypes": "IP_Routed"}


def link(room: Upnp, call: soap.Call, at_s: float) -> dict[str, str]:  # noqa: ARG001
    """GetCommonLinkProperties."""
    seed = room.visit.host.seed.child("upnp link")
    down = seed.choice("down", (8_000_000, 16_000_000, 50_000_000, 100_000_000))
    return {"NewWANAccessType": "DSL" if down < 50_000_000 else "Ethernet", "NewPhysicalLinkStatus": "Up",
            "NewLayer1UpstreamMaxBitRate": str(down // 4), "NewLayer1DownstreamMaxBitRate": str(down)}  # fmt: skip


def total(room: Upnp, call: soap.Call, at_s: float) -> dict[str, str]:  # noqa: ARG001
    """GetTotalBytesReceived and its sisters."""
    return {f"New{call.action[3:]}": str(room.visit.host.seed.child("upnp").number(call.action, 1 << 31))}


def nothing(room: Upnp, call: soap.Call, at_s: float) -> dict[str, str]:  # noqa: ARG001
    """What only succeeds."""
    return {}


_CONNECTION: dict[str, Answers] = {
    "SetConnectionType": nothing, "GetConnectionTypeInfo": kind, "RequestConnection": nothing,
    "ForceTermination": nothing, "GetStatusInfo": status, "GetGenericPortMappingEntry": nth,
    "GetSpecificPortMappingEntry": one, "AddPortMapping": add, "DeletePortMapping": delete,
    "GetExternalIPAddress": address,
}  # fmt: skip
_COMMON: dict[str, Answers] = {
    "GetCommonLinkProperties": link, "GetTotalBytesSent": total, "GetTotalBytesReceived": total,
    "GetTotalPacketsSent": total, "GetTotalPacketsReceived": total,
}  # fmt: skip
ACTIONS: dict[str, Answers] = {**_CONNECTION, **_COMMON, "Upgrade": nothing, "SetNTPServers": nothing}
_GIVES = {
    "GetConnectionTypeInfo": ("NewConnectionType", "NewPossibleConnectionTypes"),
    "GetStatusInfo": ("NewConnectionStatus", "NewLastConnectionError", "NewUptime"),
    "GetExternalIPAddress": ("NewExternalIPAddress",),
}
_INTERFACES: dict[bytes, dict[str, tuple[str, ...]]] = {
    b"/wanipcn.xml": {name: _GIVES.get(name, ()) for name in _CONNECTION},
    b"/wancfg.xml": dict.fromkeys(_COMMON, ()),
    b"/l3f.xml": {"SetDefaultConnectionService": (), "GetDefaultConnectionService": ("NewDefaultConnectionService",)},
}
