"""The API's routes for samples. Their bytes leave only as text (hexadecimal, strings) or as a file to be saved."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from eudaemon.farm.api import models
from eudaemon.farm.api.common import FAILURES, NOT_FOUND, Limit, Parts, PartsHere, Sha256Here, Text, WindowHere
from eudaemon.farm.queries import samples as queries

router = APIRouter(prefix="/api/samples", tags=["samples"], responses=FAILURES)

HEX_BYTES_MAX = 65_536
STRINGS_BYTES_MAX = 16 * 1024 * 1024  # strings are looked for in so much of a sample
STRING_CHARS_MAX = 1_000
HASHED_BYTES_MAX = 64 * 1024 * 1024
_PART_BYTES = 1024 * 1024
_UNKNOWN = {"format": "", "description": "", "rules": [], "fuzzy": "", "does": []}
_NEVER_BROUGHT: dict[str, Any] = {
    "count": 0, "size": 0, "attackers": 0, "first": None, "last": None, "names": [], "sensors": [], "countries": [],
    "origins": [],
}  # fmt: skip
_TEXTS = re.compile(rb"(?P<ascii>[\x20-\x7e\t]{4,1000})|(?P<wide>(?:[\x20-\x7e]\0){4,1000})")


@router.get("", summary="Samples that arrived in a window")
async def samples(
    parts: PartsHere,
    window: WindowHere,
    kind: Annotated[
        Literal["files", "payloads", "all"],
        Query(description="files that were uploaded or downloaded, and scripts; raw payloads; or both"),
    ] = "files",
    order: Literal["last", "first", "count", "size"] = "last",
    limit: Limit = 50,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
    contains: Text = "",
) -> models.Samples:
    """Return a page of samples. `contains` looks into names, URLs and the hash's beginning."""
    rows = await queries.samples(
        parts.store, window, kind=kind, order=order, limit=limit, offset=offset, contains=contains
    )
    following = offset + limit if len(rows) == limit else None
    return models.Samples(samples=[models.Sample(**row) for row in rows], next=following)


async def _size(parts: Parts, sha256: str) -> int:
    size = await parts.samples.size(sha256)
    if size is None:
        raise HTTPException(404, "The farm does not have the bytes of this sample.")
    return size


async def _parts(parts: Parts, sha256: str, size: int) -> AsyncIterator[bytes]:
    for offset in range(0, size, _PART_BYTES):
        yield await parts.samples.read(sha256, offset, min(_PART_BYTES, size - offset))


@router.get("/{sha256}", summary="All that is known of one sample", responses=NOT_FOUND)
async def sample(parts: PartsHere, sha256: Sha256Here) -> models.SampleDetail:
    """Return a sample's identity and what brought it."""
    known, relations, identities, judged, size = await asyncio.gather(
        queries.sample(parts.store, sha256),
        queries.sample_relations(parts.store, sha256),
        queries.identities(parts.store, [sha256]),
        queries.judgements(parts.store, sha256),
        parts.samples.size(sha256),
    )
    if known is None and size is None:
        raise HTTPException(404, "There is no such sample.")
    found = {**_NEVER_BROUGHT, **(known or {})}
    found["names"] = sorted(found["names"])
    md5, sha1 = await _hashes(parts, sha256, size)
    return models.SampleDetail(
        **{**found, **identities.get(sha256, _UNKNOWN), "size": found["size"] if size is None else size},
        sha256=sha256, kept=size is not None, md5=md5, sha1=sha1, relations=models.Relations(**relations),
        judged=[models.Judgement(**one) for one in judged],
    )  # fmt: skip


async def _hashes(parts: Parts, sha256: str, size: int | None) -> tuple[str, str]:
    """Return MD5 and SHA-1, under which others may know the sample; nothing for one that is too large."""
    if size is None or size > HASHED_BYTES_MAX:
        return "", ""
    md5, sha1 = hashlib.md5(usedforsecurity=False), hashlib.sha1(usedforsecurity=False)
    async for part in _parts(parts, sha256, size):
        md5.update(part)
        sha1.update(part)
    return md5.hexdigest(), sha1.hexdigest()


@router.get("/{sha256}/hex", summary="A part of its bytes, hexadecimal", responses=NOT_FOUND)
async def hex_page(
    parts: PartsHere,
    sha256: Sha256Here,
    offset: Annotated[int, Query(ge=0)] = 0,
    length: Annotated[int, Query(ge=1, le=HEX_BYTES_MAX)] = 1024,
) -> models.HexPage:
    """Return bytes from an offset on; none past the end."""
    size = await _size(parts, sha256)
    data = await parts.samples.read(sha256, offset, length) if offset < size else b""
    return models.HexPage(offset=offset, size=size, data=data.hex())


@router.get("/{sha256}/strings", summary="Printable texts in it", responses=NOT_FOUND)
async def strings(
    parts: PartsHere,
    sha256: Sha256Here,
    offset: Annotated[int, Query(ge=0, description="look from this byte on")] = 0,
    limit: Annotated[int, Query(ge=1, le=2_000)] = 500,
) -> models.Strings:
    """Return texts of at least four printable characters, in ASCII or UTF-16, with their places."""
    size = await _size(parts, sha256)
    length = min(size, STRINGS_BYTES_MAX) - offset
    data = await parts.samples.read(sha256, offset, length) if length > 0 else b""
    found = await run_in_threadpool(find_strings, data, limit + 1)
    following = offset + found[limit].offset if len(found) > limit else None
    shown = [models.Found(offset=offset + f.offset, encoding=f.encoding, text=f.text) for f in found[:limit]]
    return models.Strings(strings=shown, next=following)


def find_strings(data: bytes, limit: int) -> list[models.Found]:
    """Return the first `limit` texts in `data`."""
    found: list[models.Found] = []
    for match in _TEXTS.finditer(data):
        if len(found) == limit:
            break
        wide = match["wide"] is not None
        text = match[0].decode("utf-16le" if wide else "ascii")
        found.append(models.Found(offset=match.start(), encoding="utf-16le" if wide else "ascii", text=text))
    return found


@router.get(
    "/{sha256}/download",
    summary="Its bytes, as a file to be saved. This is malware.",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}}, **NOT_FOUND},
)
async def download(parts: PartsHere, sha256: Sha256Here) -> StreamingResponse:
    """Return the sample byte-exact. No browser shows or runs it: the type is opaque and the name ends in `.malware`."""
    size = await _size(parts, sha256)
    return StreamingResponse(
        _parts(parts, sha256, size),
        media_type="application/octet-stream",
        headers={
            "Content-Length": str(size),
            "Content-Disposition": f'attachment; filename="{sha256}.malware"',
            "Content-Security-Policy": "sandbox; default-src 'none'",
        },
    )
