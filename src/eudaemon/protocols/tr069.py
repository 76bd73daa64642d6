"""The management port of a subscriber's router, TCP 7547: CWMP's connection requests (TR-069), and TR-064 left open.

A provider's server knocks with a GET and is let in by Digest; then the router calls back, which this one never does.
What bots do there instead is to call TR-064's actions: a time server's name with a command in it (CVE-2016-10372), and
the keys of the wireless network. Owns both; the web server is RomPager, with the cookie that its versions below 4.34
fall to (CVE-2014-9222).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, LoginTried
from eudaemon.protocols import _soap as soap
from eudaemon.protocols._base import Order, Saw
from eudaemon.protocols._http import Request
from eudaemon.protocols._pages import PageRoom, silently
from eudaemon.wire import printable

_SERVERS = ("RomPager/4.07 UPnP/1.0", "RomPager/4.03 UPnP/1.0", "RomPager/4.31 UPnP/1.0", "RomPager/4.51 UPnP/1.0")
_FIXED = "RomPager/4.51"
_COOKIE = re.compile(rb"\bC107351277=([^;]*)|\bC107373883=([^;]*)")  # what public checks and exploits write to
_DIGEST = re.compile(rb'(\w+)="?([^",]{0,256})"?')
_REALMS = ("HuaweiHomeGateway", "TR-069", "cpe@zyxel.com", "IgdAuthentication", "Client")
_XML = 'text/xml; charset="utf-8"'


class Tr069(PageRoom):
    """One connection to the management port."""

    name: ClassVar[str] = "tr069"
    paths: ClassVar[re.Pattern[bytes]] = re.compile(rb"[A-Z]+ [/*h]")  # on this port all that is HTTP is for this room
    order: ClassVar[tuple[str, ...]] = ("*", "Content-Type", "Content-Length", "Server", "Connection", "Date")
    error: ClassVar[str] = (
        "<html>\n<head>\n<title>{reason}</title></head><body>\n<h1>{reason}</h1>The requested URL '{path}' was not "
        'found on the RomPager server.\n<p>Return to <A HREF="">last page</A><p>\n</body></html>\n'
    )

    __slots__ = ()

    @property
    def server(self) -> str:
        """See `PageRoom`."""
        return self.visit.host.seed.child("tr069").choice("server", _SERVERS)

    def handle(self, request: Request, at_s: float) -> Iterator[Order]:
        """See `ApiRoom`."""
        if request.method == "POST":
            yield from self._posted(request, at_s)
            return
        cookie = _COOKIE.search(request.header(b"cookie"))
        if cookie:
            yield from self._misfortune(request, cookie[1] or cookie[2] or b"", at_s)
        elif request.method not in ("GET", "HEAD"):
            yield from self.refused(request, at_s, 501)
        elif request.header(b"authorization").lower().startswith(b"digest "):
            yield from self._knocked(request, at_s)
        elif request.path in (b"/", self._path):
            yield from self._challenge(request, at_s)
        else:
            yield from self.refused(request, at_s, 404)

    @property
    def _path(self) -> bytes:
        """Where the provider's server knocks."""
        seed = self.visit.host.seed.child("tr069")
        return b"/" + seed.choice("path", (b"tr069", b"cwmp/1", b"acs", seed.bytes("url", 8).hex().encode()))

    def _challenge(self, request: Request, at_s: float) -> Iterator[Order]:
        seed = self.visit.host.seed.child("tr069")
        nonce = self.visit.seed.bytes("nonce", 16).hex()
        challenge = f'Digest realm="{seed.choice("realm", _REALMS)}", qop="auth", nonce="{nonce}", algorithm="MD5"'
        page = self.error_page(401, request)
        yield from self.answer(request, at_s, 401, page, self.error_type, (("WWW-Authenticate", challenge),))

    def _knocked(self, request: Request, at_s: float) -> Iterator[Order]:
        """Let a connection request in, by whatever credentials: nobody is called back for it."""
        said = dict(_DIGEST.findall(request.header(b"authorization")))
        response = f"digest {printable(said.get(b'response', b''), 64)}"
        yield Saw(LoginTried(printable(said.get(b"username", b""), 256), response, accepted=True))
        yield from self.answer(request, at_s, 200)

    def _misfortune(self, request: Request, cookie: bytes, at_s: float) -> Iterator[Order]:
        """Do as a RomPager does in whose memory a cookie has overwritten the path."""
        yield from self.attacked("misfortune-cookie", "CVE-2014-9222", cookie)
        page = self.error_page(404, request)
        if not self.server.startswith(_FIXED):
            page = self.error.format(reason="Object Not Found", path=_shown(cookie)).encode()
        yield from self.answer(request, at_s, 404, page, self.error_type)

    def _posted(self, request: Request, at_s: float) -> Iterator[Order]:
        call = soap.call_of(request)
        if call is None:
            yield from self.refused(request, at_s, 404)
            return
        yield Saw(CommandEntered(printable(call.line().encode(), 4096)))
        carried = list(call.injected())
        if carried:
            is_time = call.action == "SetNTPServers"
            yield from self.attacked(*(("tr064-ntp", "CVE-2016-10372") if is_time else ("shell-injection", "CWE-78")),
                                     carried[0])  # fmt: skip
        for command in carried:
            yield from self.obey(command, silently, at_s, holds=False)
        told = self._told(call.action, at_s)
        if told is None:
            yield from self.answer(request, at_s, 500, soap.fault(401, "Invalid Action"), _XML)
        else:
            yield from self.answer(request, at_s, 200, soap.answer(call, **told), _XML)

    def _told(self, action: str, at_s: float) -> dict[str, str] | None:
        """Return what an action of TR-064 gives, None if there is none of that name."""
        host = self.visit.host
        seed = host.seed.child("tr064")
        if action == "GetInfo":
            return {"NewManufacturerName": host.title.replace(host.name, "").strip() or host.title,
                    "NewModelName": host.name, "NewSerialNumber": host.serial,
                    "NewSoftwareVersion": f"V{1 + seed.number('major', 5)}.{seed.number('minor', 40):02d}",
                    "NewUpTime": str(int(host.uptime_s(at_s)))}  # fmt: skip
        if action == "GetSecurityKeys":
            key = "".join("abcdefghjkmnpqrstuvwxyz23456789"[byte % 31] for byte in seed.bytes("key", 10))
            return {"NewWEPKey0": "", "NewPreSharedKey": "", "NewKeyPassphrase": key}
        return {} if action.startswith("Set") or action in ("Reboot", "FactoryReset") else None


def _shown(text: bytes) -> str:
    return printable(text, 256).replace("&", "&amp;").replace("<", "&lt;")
