"""The page's own files, read once at start: afterwards the process may have no right to read them."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

WEB = Path(__file__).parents[1] / "web"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, the same compressed, its type and its entity tag."""

    data: bytes
    compressed: bytes
    media_type: str
    etag: str


_DOTTED = "/addresses/"  # the one place within the page whose name may hold a dot


class Assets:
    """All files under `folder`; any other path is a place within the page and gets its one document."""

    def __init__(self, folder: Path = WEB) -> None:
        self._files = {
            f"/{path.relative_to(folder).as_posix()}": _asset(path)
            for path in sorted(folder.rglob("*"))
            if path.suffix in _TYPES
        }
        self._document = self._files["/index.html"]

    def answer(self, request: Request) -> Response:
        """Return the file that a request names."""
        path = request.url.path
        asset = self._files.get(path)
        if asset is None:
            if "." in path.rsplit("/", 1)[-1] and not path.startswith(_DOTTED):
                return Response("There is no such file.\n", 404, media_type="text/plain")
            asset = self._document
        headers = {"ETag": asset.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if asset.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(asset.compressed, headers=headers, media_type=asset.media_type)
        return Response(asset.data, headers=headers, media_type=asset.media_type)


def _asset(path: Path) -> Asset:
    data = path.read_bytes()
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return Asset(data, gzip.compress(data, 6, mtime=0), _TYPES[path.suffix], etag)
