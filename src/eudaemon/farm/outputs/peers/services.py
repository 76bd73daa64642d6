"""MISP, and the services that reports of abuse go to. Each knows its request, and which answers mean what."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

from eudaemon.farm.outputs.batch import Item
from eudaemon.farm.outputs.formats.misp import SIGHTING
from eudaemon.farm.outputs.peers import LaterError, RefusedError
from eudaemon.farm.outputs.peers.web import REFUSALS, Answer, Web, form, judged
from eudaemon.farm.outputs.settings import AbuseIpdb, Dshield, MalwareBazaar, Misp, Urlhaus

_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


class _Service:
    """What they have in common."""

    items_max = 1
    pause_s = 0.0

    def __init__(self, url: str, ca_file: str = "") -> None:
        self._web = Web(url, ca_file)

    def fits(self, _: Item) -> bool:
        """See `Peer`."""
        return True

    def close(self) -> None:
        """See `Peer`."""
        self._web.close()


class MispServer(_Service):
    """A MISP."""

    def __init__(self, settings: Misp) -> None:
        super().__init__(settings.url, settings.ca_file)
        self._headers = {**_JSON, "Authorization": settings.key}
        self._root = urlsplit(settings.url).path.rstrip("/")

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        (item,) = items
        what = "sightings" if item.name == SIGHTING else "events"
        answer = self._web.ask(item.data, self._headers, f"{self._root}/{what}/add")
        if "already exists" in answer.text:  # taken before, and its answer was lost
            return str(answer)
        if "Could not add" in answer.text:
            raise RefusedError(str(answer))
        return judged(answer)


class UrlhausService(_Service):
    """URLhaus."""

    items_max, pause_s = 50, 1.0

    def __init__(self, settings: Urlhaus) -> None:
        super().__init__(settings.url)
        self._key, self._anonymous = settings.key, settings.anonymous

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        report = {
            "token": self._key, "anonymous": "1" if self._anonymous else "0",
            "submission": [json.loads(item.data) for item in items],
        }  # fmt: skip
        return judged(self._web.ask(json.dumps(report).encode(), {**_JSON, "Auth-Key": self._key}))

    def probe(self) -> str:
        """Ask without reporting anything: submit an empty list."""
        return self.send([])


class BazaarService(_Service):
    """MalwareBazaar."""

    pause_s = 1.0
    _GOOD = ("inserted", "file_already_known")
    _LATER = ("unauthorized", "unknown_auth_key", "user_blacklisted", "no_api_key")

    def __init__(self, settings: MalwareBazaar) -> None:
        super().__init__(settings.url)
        self._key, self._anonymous = settings.key, settings.anonymous

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        (item,) = items
        about = {"anonymous": int(self._anonymous), **json.loads(item.name)}
        body, media = form(
            ("json_data", "", "application/json", json.dumps(about).encode("ascii")),
            ("file", item.sample, "application/octet-stream", item.data),
        )
        answer = self._web.ask(body, {"Content-Type": media, "Auth-Key": self._key})
        said = judged(answer)
        status = _query_status(answer)
        if status in self._LATER:
            raise LaterError(said)
        if status not in self._GOOD:
            raise RefusedError(said)
        return said

    def probe(self) -> str:
        """Ask for a sample that nobody has."""
        form = urlencode({"query": "get_info", "hash": hashlib.sha256(b"eudaemon output test").hexdigest()})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Auth-Key": self._key}
        return judged(self._web.ask(form.encode(), headers))


class AbuseIpdbService(_Service):
    """AbuseIPDB."""

    pause_s = 1.0

    def __init__(self, settings: AbuseIpdb) -> None:
        super().__init__(settings.url)
        self._headers = {"Key": settings.key, "Accept": "application/json"}

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        (item,) = items
        headers = {**self._headers, "Content-Type": "application/x-www-form-urlencoded"}
        # 403 is for an address that was reported a moment ago, by our key from elsewhere; a wrong key is 401.
        return judged(self._web.ask(urlencode(json.loads(item.data)).encode(), headers), REFUSALS | {403})

    def probe(self) -> str:
        """Ask what is known of an address that cannot be reported."""
        path = self._web.path.removesuffix("report") + "check?ipAddress=127.0.0.1"
        return judged(self._web.ask(None, self._headers, path, "GET"))


class DshieldService(_Service):
    """DShield."""

    items_max, pause_s = 500, 1.0

    def __init__(self, settings: Dshield) -> None:
        super().__init__(settings.url)
        self._user, self._key = settings.user, settings.key

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        proof = authorization(self._user, self._key, base64.b64encode(os.urandom(8)).decode("ascii"))
        report = {"type": "cowrie", "logs": [json.loads(item.data) for item in items], "authheader": proof}
        headers = {**_JSON, "X-ISC-Authorization": proof, "X-ISC-LogType": "cowrie"}
        answer = self._web.ask(json.dumps(report).encode(), headers)
        said = judged(answer)
        if answer.text.lstrip().startswith("ERROR"):  # with status 200
            raise LaterError(said)
        return said

    def probe(self) -> str:
        """Submit an empty list."""
        return self.send([])


def authorization(user: str, key: str, nonce: str) -> str:
    """Return DShield's header: HMAC-SHA256 of the key, keyed with nonce and user, base64."""
    digest = hmac.new((nonce + user).encode(), key.encode(), hashlib.sha256).digest()
    return f"ISC-HMAC-SHA256 Credentials={base64.b64encode(digest).decode()} Userid={user} Nonce={nonce}"


def _query_status(answer: Answer) -> str:
    try:
        said = json.loads(answer.text)
    except ValueError:
        return ""
    return str(said.get("query_status", "")) if isinstance(said, dict) else ""
