"""Addresses that a request wants the server to fetch, where nothing else is wrong with it: server-side requests.

A device of ours has no page that takes one. Whoever sends one hopes for a product that fetches it; so the address is
wished for, within the policy for downloads, and is called no exploit. Left out is what browsers send by themselves:
where they came from, where they want to be sent after a login, and the server's own address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from eudaemon.protocols._places import Look

URLS_MAX = 2  # of a request
_URL = re.compile(rb"(?:jar:)?((?:https?|ftp)://([^\s/?#\"'<>\\]{3,255})[^\s\"'<>\\!]{0,1000})", re.IGNORECASE)
_OF_BROWSERS = re.compile(
    rb"ref|redir|return|next|continue|back|goto|utm|origin|from|success|cancel|login|callback", re.IGNORECASE
)


def asked_for(look: Look, own_ip: str) -> Iterator[str]:
    """Yield the addresses that are whole values of parameters, of JSON or of XML."""
    own = {own_ip.encode(), look.request.header(b"host").partition(b":")[0].lower()}
    left = URLS_MAX
    for name, value in (*look.parameters, *look.fields):
        found = _URL.match(value)
        if not found or not name or _OF_BROWSERS.search(name) or left == 0:
            continue
        host = found[2].rpartition(b"@")[2].partition(b":")[0].lower()
        if host not in own and b"." in host:
            left -= 1
            yield found[1].decode("ascii", "replace")
