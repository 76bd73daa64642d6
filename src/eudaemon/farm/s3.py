"""S3-compatible stores, reached through obstore. Samples may lie in one, and outputs may go to one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store


class Place(Protocol):
    """What settings say of a place."""

    @property
    def url(self) -> str: ...
    @property
    def endpoint(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def access_key_id(self) -> str: ...
    @property
    def secret_access_key(self) -> str: ...


def check_place(value: str) -> None:
    """Refuse what is no `s3://bucket/prefix`; empty is good. Raises `ValueError`."""
    if value and not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.!*'()/-]*)?", value):
        raise ValueError(f"{value!r} is not of the form s3://bucket/prefix")


def open_store(place: Place, *, timeout_s: float, retries_max: int = 10) -> S3Store:
    """Return the store. Nothing is asked of it yet."""
    from obstore.store import S3Store

    bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
    options: S3Config = {"region": place.region}
    if place.endpoint:
        options["endpoint"] = place.endpoint
        options["virtual_hosted_style_request"] = False
    if place.access_key_id:
        options["access_key_id"] = place.access_key_id
        options["secret_access_key"] = place.secret_access_key
    plain = place.endpoint.startswith("http://")
    return S3Store(
        bucket, prefix=prefix or None, config=options,
        client_options={"allow_http": plain, "timeout": f"{timeout_s:g}s"}, retry_config={"max_retries": retries_max},
    )  # fmt: skip
