"""What the web server of the pretended host looks like: data, and draws from the host's seed.

Nothing here is the same on two sensors: product, header order, model, firmware, realm, form, colours, dates
and ETags are drawn. A product's row says what its real server sends, so that service scanners name it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from eudaemon.protocols._http import http_date
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed


@dataclass(frozen=True, slots=True)
class Product:
    """One web server program. Header names stand in the order in which it sends them; `*` is where the rest goes."""

    servers: tuple[str, ...]  # values of its Server header in the field
    headers: tuple[str, ...]
    version: str  # of its status lines
    keeps_alive: bool
    charset: str  # what it adds to text types
    error: str  # its error page: {status} {reason} {server}


_H1 = "<HTML><HEAD><TITLE>{status} {reason}</TITLE></HEAD>\n<BODY><H1>{status} {reason}</H1>\n</BODY></HTML>\n"
_ACME = (
    '<HTML>\n<HEAD><TITLE>{status} {reason}</TITLE></HEAD>\n<BODY BGCOLOR="#cc9999" TEXT="#000000" LINK="#2020ff" '
    'VLINK="#4040cc">\n<H4>{status} {reason}</H4>\n<HR>\n<ADDRESS>{server}</ADDRESS>\n</BODY>\n</HTML>\n'
)
PRODUCTS = (
    Product(
        ("Boa/0.94.13", "Boa/0.94.14rc21", "Boa/0.93.15"),
        ("Date", "Server", "*", "Connection", "Content-Type", "Content-Length"),
        "HTTP/1.0", False, "; charset=ISO-8859-1", _H1,
    ),
    Product(
        ("GoAhead-Webs", "GoAhead-http", "GoAhead-Webs PeerSec-MatrixSSL/3.4.2-OPEN"),
        ("Date", "Server", "*", "Content-Length", "Content-Type", "Connection"),
        "HTTP/1.1", True, "",
        "<html>\n<head><title>Document Error: {reason}</title></head>\n<body>\n"
        "<h2>Access Error: {status} -- {reason}</h2>\n</body>\n</html>\n",
    ),
    Product(
        ("mini_httpd/1.19 19dec2003", "mini_httpd/1.21 18oct2014", "mini_httpd/1.30 26Oct2018"),
        ("Server", "Date", "*", "Content-Type", "Content-Length", "Connection"),
        "HTTP/1.1", False, "; charset=iso-8859-1", _ACME,
    ),
    Product(
        ("micro_httpd",),  # it has no versions
        ("Server", "Date", "*", "Content-Type", "Content-Length", "Connection"),
        "HTTP/1.0", False, "", _ACME,
    ),
    Product(
        ("lighttpd/1.4.31", "lighttpd/1.4.35", "lighttpd/1.4.39", "lighttpd/1.4.45", "lighttpd/1.4.54"),
        ("*", "Content-Type", "Content-Length", "Connection", "Date", "Server"),
        "HTTP/1.1", True, "",
        '<?xml version="1.0" encoding="iso-8859-1"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"\n'
        '         "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">\n <head>\n'
        "  <title>{status} - {reason}</title>\n </head>\n <body>\n  <h1>{status} - {reason}</h1>\n </body>\n</html>\n",
    ),
    Product(
        ("RomPager/4.07 UPnP/1.0", "RomPager/4.51 UPnP/1.0", "Allegro-Software-RomPager/4.06"),
        ("*", "Content-Type", "Content-Length", "Server", "Connection", "Date"),
        "HTTP/1.1", True, "",
        "<html><head><title>{reason}</title></head><body><h1>{reason}</h1></body></html>\r\n",
    ),
    Product(
        ("thttpd/2.25b 29dec2003", "thttpd/2.25b PHP/20030920", "thttpd/2.26 ??apr2004"),
        ("Server", "Content-Type", "Date", "*", "Content-Length", "Connection"),
        "HTTP/1.1", False, "; charset=iso-8859-1", _ACME,
    ),
)  # fmt: skip

_FIELDS = (("username", "password"), ("user", "pwd"), ("loginUsername", "loginPassword"), ("uname", "passwd"),
           ("userid", "psw"), ("login_name", "login_pwd"), ("Frm_Username", "Frm_Password"))  # fmt: skip
_LOGIN_PATHS = ("/login.cgi", "/cgi-bin/login.cgi", "/goform/login", "/boaform/admin/formLogin", "/check_login.asp",
                "/cgi-bin/luci", "/userRpm/login", "/form/formLogin")  # fmt: skip
_PAGES = ("/index.html", "/login.htm", "/index.asp", "/login.asp", "/main.html", "/cgi-bin/index.cgi")
_REASONS = {
    100: "Continue", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 302: "Found",
    303: "See Other", 304: "Not Modified",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    413: "Request Entity Too Large", 414: "Request-URI Too Long", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Persona:
    """One sensor's web server. Made once, shared by all sessions."""

    product: Product
    server: str
    model: str
    title: str
    firmware: str
    realm: str
    asks_basic: bool  # 401 with Basic, or a login form
    user_field: str
    password_field: str
    login_path: str
    page_path: str
    cookie: str
    token: str  # what the cookie holds after a login
    colours: tuple[str, str]
    built_s: float  # when its files were made
    etag: str

    def response(
        self, at_s: float, status: int, content_type: str = "", body: bytes = b"", *,
        extra: tuple[tuple[str, str], ...] = (), close: bool = True, bare: bool = False,
    ) -> bytes:  # fmt: skip
        """Return a whole response; `bare` leaves the body out and its length in, as HEAD wants it."""
        if content_type.startswith("text/"):
            content_type += self.product.charset
        known = {
            "Date": http_date(at_s), "Server": self.server, "Content-Type": content_type,
            "Content-Length": "" if status in (204, 304) else str(len(body)),
            "Connection": "close" if close else "keep-alive",
        }  # fmt: skip
        lines = [f"{self.product.version} {status} {_REASONS[status]}"]
        for name in self.product.headers:
            if name == "*":
                lines += [f"{key}: {value}" for key, value in extra]
            elif known[name]:
                lines.append(f"{name}: {known[name]}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + (b"" if bare else body)

    def error_page(self, status: int) -> bytes:
        """Return the product's page for an error."""
        return self.product.error.format(status=status, reason=_REASONS[status], server=self.server).encode()

    def login_page(self, *, again: bool = False) -> bytes:
        """Return the login form; `again` after a wrong password."""
        dark, light = self.colours
        wrong = f'<p style="color:#{dark}">Login failed.</p>' if again else ""
        return (
            f"<html><head><title>{self.title}</title>"
            f'<meta http-equiv="Pragma" content="no-cache"></head>\n<body bgcolor="#{light}">\n'
            f'<form method="post" action="{self.login_path}"><h3 style="color:#{dark}">{self.model}</h3>{wrong}\n'
            f'<input type="text" name="{self.user_field}"><input type="password" name="{self.password_field}">\n'
            f'<input type="submit" value="Login"></form>\n<small>Firmware {self.firmware}</small></body></html>\n'
        ).encode()

    def status_page(self) -> bytes:
        """Return what one sees after a login."""
        dark, light = self.colours
        return (
            f'<html><head><title>{self.title}</title></head>\n<body bgcolor="#{light}">'
            f'<table><tr><td style="color:#{dark}">Model</td><td>{self.model}</td></tr>\n'
            f"<tr><td>Firmware</td><td>{self.firmware}</td></tr>\n"
            f"<tr><td>WAN</td><td>Connected</td></tr></table></body></html>\n"
        ).encode()

    def favicon(self) -> bytes:
        """Return a 16 by 16 icon in the product's colours: ICO header, directory entry, bitmap, mask."""
        dark, light = (bytes.fromhex(colour)[::-1] + b"\xff" for colour in self.colours)
        bits = int(self.etag.replace("-", "").ljust(32, "7")[:32], 16)
        rows = [b"".join(dark if bits >> (y * 8 + min(x, 15 - x)) & 1 else light for x in range(16)) for y in range(16)]
        bitmap = (
            (40).to_bytes(4, "little") + (16).to_bytes(4, "little") + (32).to_bytes(4, "little")
            + b"\x01\x00\x20\x00" + bytes(24) + b"".join(rows) + bytes(64)
        )  # fmt: skip
        head = b"\x00\x00\x01\x00\x01\x00" + b"\x10\x10\x00\x00\x01\x00\x20\x00"
        return head + len(bitmap).to_bytes(4, "little") + (22).to_bytes(4, "little") + bitmap


@lru_cache(maxsize=8)
def persona_of(host: Host) -> Persona:
    """Return the web server of this host."""
    seed = host.seed.child("http")
    product = seed.choice("product", PRODUCTS)
    model, title = host.name, host.title
    user_field, password_field = seed.choice("fields", _FIELDS)
    built_s = 1_330_000_000.0 + seed.number("built", 300_000_000)  # between 2012 and 2021
    return Persona(
        product=product,
        server=seed.choice("server", product.servers),
        model=model,
        title=title,
        firmware=f"V{seed.number('major', 6) + 1}.{seed.number('minor', 30):02d}.{seed.number('patch', 99):02d}"
        f"_{datetime.fromtimestamp(built_s, UTC):%y%m%d}",
        realm=seed.choice("realm", (model, title, f"{model} Login", "Login to the Router Web Configurator")),
        asks_basic=bool(seed.number("basic", 2)),
        user_field=user_field,
        password_field=password_field,
        login_path=seed.choice("login path", _LOGIN_PATHS),
        page_path=seed.choice("page", _PAGES),
        cookie=seed.choice("cookie", ("SESSIONID", "sid", "Authorization", "session_id", "auth", "uid")),
        token=_token(seed),
        colours=(f"{seed.number('dark', 1 << 24) & 0x7F7F7F:06x}", f"{seed.number('light', 1 << 24) | 0xC0C0C0:06x}"),
        built_s=built_s,
        etag=f"{seed.number('inode', 1 << 20):x}-{int(built_s):x}",
    )


def _token(seed: Seed) -> str:
    return seed.bytes("token", 16).hex()[: seed.choice("token length", (8, 16, 32))]
