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
    "java": ("User-Agent: Java/{version}", "Host: {host}",
             "Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "Connection: keep-alive"),
}  # fmt: skip
_VERSIONS = {
    "gnu wget": ("1.20.3", "1.21", "1.21.2", "1.21.3"),
    "curl": ("7.64.0", "7.68.0", "7.74.0", "7.81.0", "7.88.1"),
    "python": ("2.7", "3.8", "3.10"),
    "java": ("1.8.0_161", "1.8.0_181", "1.8.0_242"),
}
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
    """Return the whole GET request that this tool would send."""
    agent = agent_of(tool)
    version = seed.choice(f"fetch.{agent}", _VERSIONS[agent]) if agent in _VERSIONS else ""
    lines = [line.format(host=url.authority, version=version) for line in _HEADERS[agent]]
    if url.user:
        login = f"{url.user}:{url.password}".encode("latin-1")
        lines.insert(1, f"Authorization: Basic {b64encode(login).decode('ascii')}")
    return "\r\n".join((f"GET {url.path} HTTP/1.1", *lines, "", "")).encode("ascii")


def mail_address(seed: Seed, tool: str) -> str:
    """Return the password that this tool gives with an anonymous FTP login."""
    return (
        "ftp@example.com" if agent_of(tool) == "curl" else seed.choice("fetch.ftp", ("busybox@", "busybox", "-wget@"))
    )
