"""What Java would do that logs what a peer said: Log4j's lookups, in a user name, a password, a command (Log4Shell).

One place for every room. Those that speak HTTP see all of a request, and not only what is stated of it: they look
themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.events import Fact, fields_of
from eudaemon.events.catalogue import ExploitRecognised, RequestReceived
from eudaemon.wire import decode

_SEEN_BY_THE_ROOM = (RequestReceived, ExploitRecognised)


def lookups_in(fact: Fact) -> Iterator[str]:
    """Yield the URLs that logging this fact would ask JNDI for."""
    if isinstance(fact, _SEEN_BY_THE_ROOM):
        return
    for field in fields_of(type(fact)):
        text = getattr(fact, field.name)
        if isinstance(text, str) and "${" in text:
            yield from decode.lookups(text.encode("utf-8", "replace"))[1]
