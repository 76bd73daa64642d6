"""How the tools that attackers call introduce themselves to a server: headers in their own order and spelling.

Some servers give the sample only to the tool that the loader uses, so a download asks as that tool would. Versions
are drawn from the sensor's seed: no value is the same on all installations.
"""

from __future__ import annotations

from base64 import b64encode

from eudaemon.payload.url import Url
from eudaemon.world.seed import Seed

# The lines after the request line; {host} and {version} are filled in.
_BUSYBOX = ("Host: {host}", "User-Agent: Wget", "Connection: close")
_CURL = ("Host: {host}", "User-Agent: curl/{version}", "Accept: */*")
_HEADERS = {
    "wget": _BUSYBOX,
    "busybox wget": _BUSYBOX,
    "gnu wget": ("Host: {host}", "User-Agent: Wget/{version}", "Accept: */*", "Accept-Encoding: identity",
                 "Connection: Keep-Alive"),
    "curl": _CURL,
    "libredtail": ("Host: {host}", "User-Agent: libredtail-http", "Connection: close"),
    "python": ("Host: {host}", "User-Agent: Python-urllib/{version}", "Accept-Encoding: identity",
               "Connection: close"),
    "powershell": ("Host: {host}", "Connection: Keep-Alive"),  # .NET's WebClient says no more
    "certutil": ("Accept: */*", "User-Agent: CertUtil URL Agent", "Host: {host}", "Cache-Control: no-cache"),
    "cups-browsed": ("Content-Length: {size}", "Content-Type: application/ipp", "Host: {host}",
                     "User-Agent: CUPS/{version} (Linux) IPP/2.0"),
    "java": ("User-Agent: Java/{version}", "Host: {host}",
             "Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "Connection: keep-alive"),
}  # fmt: skip
_VERSIONS = {
    "gnu wget": ("1.20.3", "1.21", "1.21.2", "1.21.3"),
    "curl": ("7.64.0", "7.68.0", "7.74.0", "7.81.0", "7.88.1"),
    "python": ("2.7", "3.8", "3.10"),
    "cups-browsed": ("2.3.1", "2.4.1", "2.4.2", "2.4.7"),
    "java": ("1.8.0_161", "1.8.0_181", "1.8.0_242"),
}
# What is posted: Get-Printer-Attributes (RFC 8011 section 4.2.5), around the printer's address.
_POSTED = {
    "cups-browsed": (b"\2\0\0\x0b\0\0\0\1\1\x47\0\x12attributes-charset\0\5utf-8\x48\0\x1battributes-natural-language"
                     b"\0\5en-us\x45\0\x0bprinter-uri", b"\x44\0\x14requested-attributes\0\3all\3"),
}  # fmt: skip
_ALSO = {
    "class loading": "java",
    "ldap": "java",
    "rmi": "java",
    "spring": "java",
    "yarn": "java",
    "python3": "python",
    "lwp-download": "gnu wget",
}


def agent_of(tool: str) -> str:
    """Return which of the known agents a tool asks as. Tools of the BusyBox host ask as its wget."""
    tool = tool.lower()
    tool = _ALSO.get(tool, tool)
    return tool if tool in _HEADERS else "busybox wget"


def request(tool: str, url: Url, seed: Seed) -> bytes:
    """Return the whole request that this tool would send: a GET, but of who asks a printer what it is."""
    agent = agent_of(tool)
    version = seed.choice(f"fetch.{agent}", _VERSIONS[agent]) if agent in _VERSIONS else ""
    body = _posted(agent, url)
    lines = [line.format(host=url.authority, version=version, size=len(body)) for line in _HEADERS[agent]]
    if url.user:
        login = f"{url.user}:{url.password}".encode("latin-1")
        lines.insert(1, f"Authorization: Basic {b64encode(login).decode('ascii')}")
    method = "POST" if body else "GET"
    return "\r\n".join((f"{method} {url.path} HTTP/1.1", *lines, "", "")).encode("ascii") + body


def _posted(agent: str, url: Url) -> bytes:
    """Return what an agent sends along, nothing if it only asks for a file."""
    if agent not in _POSTED:
        return b""
    before, after = _POSTED[agent]
    uri = f"ipp://{url.authority}{url.path}".encode("ascii")
    return before + len(uri).to_bytes(2, "big") + uri + after


def mail_address(seed: Seed, tool: str) -> str:
    """Return the password that this tool gives with an anonymous FTP login."""
    return (
        "ftp@example.com" if agent_of(tool) == "curl" else seed.choice("fetch.ftp", ("busybox@", "busybox", "-wget@"))
    )
