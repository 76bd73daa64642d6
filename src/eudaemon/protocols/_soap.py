"""SOAP 1.1 as devices hear it: the action, its arguments, and the answers (UPnP Device Architecture 1.1, section 3).

Reads leniently, by tags and not as XML: so do the devices, and what is injected is seldom well-formed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from eudaemon.protocols import _loot as loot
from eudaemon.protocols._http import Request
from eudaemon.wire import decode, printable

BODY_BYTES_MAX = 64 * 1024  # that are looked at
ARGUMENTS_MAX = 64
_ELEMENT = re.compile(rb"<([A-Za-z][\w.-]{0,63})(?:\s[^<>]*)?>([^<]{0,65536})</")
_ACTION = re.compile(rb"<(?:u|m|\w{1,16}):(\w{1,64})[\s>]")
_HEADER = re.compile(rb"[\"']?([\w:.-]{0,200})#([A-Za-z_]\w{0,63})")
_ENVELOPE = (
    '<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>{}</s:Body></s:Envelope>\r\n'
)


@dataclass(frozen=True, slots=True)
class Call:
    """An action and its arguments, in the order in which they came."""

    service: str  # its type: `urn:…:service:WANIPConnection:1`
    action: str
    arguments: tuple[tuple[str, bytes], ...]

    def value(self, name: str) -> str:
        """Return an argument as text, empty if it is not there."""
        return next((printable(value, 256) for known, value in self.arguments if known == name), "")

    def line(self) -> str:
        """Return the call as a line of text, for a fact."""
        return " ".join((self.action, *(f"{name}={printable(value, 1024)}" for name, value in self.arguments)))

    def injected(self) -> Iterator[bytes]:
        """Yield the commands that stand in arguments."""
        for _, value in self.arguments:
            found = loot.injected(value)
            if found:
                yield found.command


def call_of(request: Request) -> Call | None:
    """Return what a request calls, None if it is no SOAP at all."""
    text = request.body[:BODY_BYTES_MAX]
    named = _HEADER.match(request.header(b"soapaction"))
    if named:
        service, action = named[1].decode("ascii", "replace"), named[2].decode("ascii")
    else:
        inside = _ACTION.search(text, max(0, text.find(b"Body")))
        if not inside:
            return None
        service, action = "", inside[1].decode("ascii", "replace")
    found = (
        (name.decode("ascii"), decode.html_entities(value)) for name, value in _ELEMENT.findall(text)[:ARGUMENTS_MAX]
    )
    return Call(service, action, tuple(found))


def answer(call: Call, **values: str) -> bytes:
    """Return the answer to a call."""
    inside = "".join(f"<{name}>{_escaped(value)}</{name}>" for name, value in values.items())
    service = _escaped(call.service) or "urn:schemas-upnp-org:service:WANIPConnection:1"
    return _ENVELOPE.format(f'<u:{call.action}Response xmlns:u="{service}">{inside}</u:{call.action}Response>').encode()


def fault(code: int, words: str) -> bytes:
    """Return a fault, with an error code of UPnP's."""
    return _ENVELOPE.format(
        "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
        '<UPnPError xmlns="urn:schemas-upnp-org:control-1-0">'
        f"<errorCode>{code}</errorCode><errorDescription>{words}</errorDescription></UPnPError></detail></s:Fault>"
    ).encode()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
