"""Requests for a proxy (RFC 9112 sections 3.2.2 and 3.2.3), and whom they are to reach. Nobody relays them."""

from __future__ import annotations

from eudaemon.events.catalogue import ProxyAsked
from eudaemon.protocols._http import Request
from eudaemon.wire import printable

_HOST_CHARS_MAX = 255
_PORTS = {b"http": 80, b"https": 443, b"ftp": 21}


def asked_of_proxy(request: Request) -> ProxyAsked | None:
    """Return what a request asks of a proxy; None if it is for the server itself."""
    if request.method == "CONNECT":
        authority, port = request.target, 443
    else:
        scheme, mark, rest = request.target.partition(b"://")
        if not mark or not scheme.isalpha():
            return None
        authority, port = rest.partition(b"/")[0].partition(b"?")[0], _PORTS.get(scheme.lower(), 0)
    host = authority.rpartition(b"@")[2]
    name, colon, digits = host.rpartition(b":")
    if colon and digits.isdigit() and len(digits) <= 5:
        host, port = name, int(digits)
    return ProxyAsked("http", request.method, printable(host.strip(b"[]"), _HOST_CHARS_MAX), port)
