"""The API's routes for one address: when it was where, and its facts in all its sessions."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query

from eudaemon.farm.api import models
from eudaemon.farm.api.common import FAILURES, NOT_FOUND, Limit, PartsHere, WindowHere, event_shown
from eudaemon.farm.queries import addresses as queries

router = APIRouter(prefix="/api/addresses", tags=["addresses"], responses=FAILURES)


def address_of(ip: Annotated[str, Path(max_length=45, description="IPv4 or IPv6")]) -> str:
    """Return the address that a request asks for, as the store says it."""
    try:
        found = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        raise HTTPException(422, f"ip: {ip!r} is no address.") from None
    mapped = found.ipv4_mapped if found.version == 6 else None
    return str(mapped or found)


AddressHere = Annotated[str, Depends(address_of)]


@router.get("/{ip}", summary="When one address was where", responses=NOT_FOUND)
async def address(parts: PartsHere, window: WindowHere, ip: AddressHere) -> models.Address:
    """Return when an address was seen, and at which sensors."""
    told = await queries.address(parts.store, ip, window)
    if told is None:
        raise HTTPException(404, "There is no session of this address in this span.")
    return models.Address(ip=ip, **told)


@router.get("/{ip}/events", summary="Its facts in all sessions, the newest first")
async def events(
    parts: PartsHere,
    window: WindowHere,
    ip: AddressHere,
    limit: Limit = 100,
    before: Annotated[
        str,
        Query(
            pattern=r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z~[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$",
            description="a former `next`",
        ),
    ] = "",
) -> models.AddressEvents:
    """Return a page of an address's facts."""
    moment, _, event = before.partition("~")
    try:
        cursor = (moment, event) if before else None
        rows = await queries.address_events(parts.store, ip, window, limit=limit, before=cursor)
    except ValueError:
        raise HTTPException(422, "before: pass the `next` of a former answer as it was.") from None
    following = f"{rows[-1]['time']}~{rows[-1]['id']}" if len(rows) == limit else None
    return models.AddressEvents(events=[event_shown(row) for row in rows], next=following)
