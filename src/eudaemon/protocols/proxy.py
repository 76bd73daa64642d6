"""A Squid, 3.3 to 5.7, on TCP 3128 and 8888: it notes whom it should reach, and says that it could not.

    no login, where it wants one   -->  407, and what is tried is stated
    CONNECT, or an absolute URL    -->  `proxy.asked`, and the page for an upstream that refuses or cannot be found

Nothing is ever relayed, or asked of anybody's name server. What a request would have brought there is kept.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import ClassVar

from eudaemon.events.catalogue import LoginTried, ProxyAsked
from eudaemon.protocols._accounts import admits
from eudaemon.protocols._base import Keep, Order, Saw
from eudaemon.protocols._http import Request, http_date
from eudaemon.protocols._pages import PageRoom
from eudaemon.protocols._proxied import asked_of_proxy
from eudaemon.wire import decode, printable
from eudaemon.world.host import Host

_VERSIONS = ("3.3.8", "3.5.12", "3.5.20", "3.5.27", "4.6", "4.10", "4.13", "5.2", "5.7")
_REALMS = ("Squid proxy-caching web server", "proxy", "Squid Basic Authentication", "Proxy Authentication Required")
# What a cloud's machines ask for their credentials; through a proxy, others ask for theirs.
_METADATA = frozenset(("169.254.169.254", "100.100.100.200", "metadata.google.internal", "fd00:ec2::254"))
_NAME = re.compile(r"[A-Za-z0-9.-]{1,253}")
_ERRNO = {111: "Connection refused", 113: "No route to host"}
# By the page's name: what is wrong, what the system says of it, and what to do.
_PAGES = {
    "ERR_CONNECT_FAIL": ("Connection to {host} failed.", "The system returned: <i>({errno}) {says}</i>",
                         "The remote host or network may be down. Please try the request again."),
    "ERR_DNS_FAIL": ("Unable to determine IP address from host name <q>{host}</q>", "The DNS server returned: "
                     "<i>Server Failure: The name server was unable to process this query.</i>",
                     "This means that the cache was not able to resolve the hostname presented in the URL. Check if "
                     "the address is correct."),
    "ERR_CACHE_ACCESS_DENIED": ("Cache Access Denied.", "Sorry, you are not currently allowed to request {url} from "
                                "this cache until you have authenticated yourself.",
                                "Please contact the cache administrator if you have difficulties authenticating "
                                "yourself."),
    "ERR_INVALID_URL": ("Invalid URL", "Some aspect of the requested URL is incorrect.",
                        "Missing or incorrect access protocol (should be <q>http://</q> or similar)"),
    "ERR_INVALID_REQ": ("Invalid Request error was encountered while trying to process the request.",
                        "Missing or unknown request method.", "Missing HTTP Identifier (HTTP/1.0)."),
    "ERR_PROTOCOL_UNKNOWN": ("Unsupported protocol", "Squid does not support some access protocols.",
                             "For example, the SSH protocol is currently not supported."),
    "ERR_TOO_BIG": ("The request or reply is too large.", "", ""),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Squid:
    """One sensor's proxy."""

    version: str
    name: str
    realm: str  # empty if it asks nobody who they are
    errno: int  # what connections fail with

    def page(self, error: str, at_s: float, asked: ProxyAsked | None = None, url: str = "") -> bytes:
        """Return its page for an error."""
        says = {"host": _escaped(asked.host if asked else ""), "url": _escaped(url), "errno": self.errno,
                "says": _ERRNO[self.errno]}  # fmt: skip
        wrong, system, advice = (text.format(**says) for text in _PAGES[error])
        year = {"3": "2016", "4": "2019"}.get(self.version[0], "2021")
        return (
            '<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">\n<html><head>\n'
            f'<meta type="copyright" content="Copyright (C) 1996-{year} The Squid Software Foundation and '
            'contributors">\n<meta http-equiv="Content-Type" content="text/html; charset=utf-8">\n'
            "<title>ERROR: The requested URL could not be retrieved</title>\n</head>"
            f'<body id={error}>\n<div id="titles">\n<h1>ERROR</h1>\n<h2>The requested URL could not be retrieved</h2>\n'
            '</div>\n<hr>\n\n<div id="content">\n<p>The following error was encountered while trying to retrieve the '
            f'URL: <a href="{says["url"]}">{says["url"]}</a></p>\n\n<blockquote id="error">\n<p><b>{wrong}</b></p>\n'
            f'</blockquote>\n\n<p id="sysmsg">{system}</p>\n\n<p>{advice}</p>\n\n<p>Your cache administrator is '
            '<a href="mailto:webmaster">webmaster</a>.</p>\n\n<br>\n</div>\n\n<hr>\n<div id="footer">\n'
            f"<p>Generated {http_date(at_s)} by {self.name} (squid/{self.version})</p>\n<!-- {error} -->\n</div>\n"
            "</body></html>\n"
        ).encode()

    def headers(self, error: str, port: int, *, tunnels: bool = False) -> tuple[tuple[str, str], ...]:
        """Return the headers that an error's answer bears, as a Squid 5.7 was seen to send them."""
        reaches = error in ("ERR_CONNECT_FAIL", "ERR_DNS_FAIL")
        number = self.errno if error == "ERR_CONNECT_FAIL" else 0
        login = (("Proxy-Authenticate", f'Basic realm="{self.realm}"'),) if error == "ERR_CACHE_ACCESS_DENIED" else ()
        cache = (
            ("X-Cache", f"MISS from {self.name}"),
            ("X-Cache-Lookup", f"{'MISS' if reaches else 'NONE'} from {self.name}:{port}"),
            ("Via", f"1.1 {self.name} (squid/{self.version})"),
        )
        return (
            ("X-Squid-Error", f"{error} {number}"), ("Vary", "Accept-Language"), ("Content-Language", "en"), *login,
            *(() if tunnels and reaches else cache),
        )  # fmt: skip


class Proxy(PageRoom):
    """One connection to the proxy."""

    name: ClassVar[str] = "proxy"
    suspects: ClassVar[bool] = False  # what goes through it is meant for others
    paths: ClassVar[re.Pattern[bytes]] = re.compile(rb"(?:CONNECT |[A-Z]+ (?:https?|ftp)://)", re.IGNORECASE)
    order: ClassVar[tuple[str, ...]] = (
        "Server", "Mime-Version: 1.0", "Date", "Content-Type", "Content-Length", "*", "Connection",
    )  # fmt: skip
    error_type: ClassVar[str] = "text/html;charset=utf-8"

    __slots__ = ()

    @property
    def squid(self) -> Squid:
        """Who answers."""
        return _squid_of(self.visit.host)

    @property
    def server(self) -> str:
        """See `PageRoom`."""
        return f"squid/{self.squid.version}"

    def handle(self, request: Request, at_s: float) -> Iterator[Order]:
        """See `ApiRoom`."""
        asked = asked_of_proxy(request)
        if asked is None:
            yield from self._failed(request, at_s, 400, "ERR_INVALID_URL")
            return
        yield Saw(asked)
        if asked.host in _METADATA:
            yield from self.attacked("proxy-to-metadata", "T1552.005", request.target)
        if request.body:
            yield Keep(request.body, "payload", printable(request.target, 512), request.cut)
        accepted = yield from self._let_in(request)
        if not accepted:
            yield from self._failed(request, at_s, 407, "ERR_CACHE_ACCESS_DENIED", asked)
        else:
            yield from self._failed(request, at_s, 503, _why(asked), asked)

    def _let_in(self, request: Request) -> Generator[Order, None, bool]:
        """State the login that is tried; say whether there is nothing against a request."""
        scheme, _, credentials = request.header(b"proxy-authorization").partition(b" ")
        if scheme.lower() != b"basic":
            return not self.squid.realm
        user, _, password = (decode.base64_text(credentials) or b"").partition(b":")
        accepted = admits(self.visit, user, password, right=self.visit.host.accepts(user, password))
        yield Saw(LoginTried(printable(user, 256), printable(password, 256), accepted))
        return accepted or not self.squid.realm

    def _failed(
        self, request: Request, at_s: float, status: int, error: str, asked: ProxyAsked | None = None
    ) -> Iterator[Order]:
        page = self.squid.page(error, at_s, asked, printable(request.target, 512))
        tunnels = request.method == "CONNECT"
        extra = self.squid.headers(error, self.visit.local.port, tunnels=tunnels)
        stays = (("Connection", "keep-alive"),) if request.keeps_alive and not tunnels else ()
        yield from self.answer(request, at_s, status, page, self.error_type, (*extra, *stays))
        self._leaves = self._leaves or tunnels  # what else comes was for whom it could not reach

    def refusal(self, status: int, at_s: float) -> bytes:
        """See `ApiRoom`."""
        rubbish = "ERR_INVALID_REQ" if self.squid.version < "4" else "ERR_PROTOCOL_UNKNOWN"
        error = "ERR_TOO_BIG" if status in (413, 414, 431) else rubbish
        page = self.squid.page(error, at_s, None, "error:invalid-request")
        extra = self.squid.headers(error, self.visit.local.port)
        return self._head(status, len(page), self.error_type, extra, at_s, closes=True) + page


def _why(asked: ProxyAsked) -> str:
    """Return what an attempt to reach somebody fails with: nobody is looked up."""
    try:
        ip_address(asked.host)
    except ValueError:
        return "ERR_DNS_FAIL" if _NAME.fullmatch(asked.host) else "ERR_INVALID_URL"
    return "ERR_CONNECT_FAIL"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


@lru_cache(maxsize=8)
def _squid_of(host: Host) -> Squid:
    seed = host.seed.child("proxy")
    realm = seed.choice("realm", _REALMS) if seed.number("login", 2) else ""
    return Squid(seed.choice("version", _VERSIONS), host.name, realm, seed.choice("errno", tuple(_ERRNO)))
