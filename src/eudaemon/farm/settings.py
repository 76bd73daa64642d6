"""The farm's settings: page, intake, store, samples, fleet."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from eudaemon.farm.s3 import check_place
from eudaemon.options import option

KIB, MIB, GIB = 1024, 1024**2, 1024**3


def _address(value: str) -> None:
    ipaddress.ip_address(value)


def _addresses(values: tuple[str, ...]) -> None:
    if not values:
        raise ValueError("at least one address is needed")
    for value in values:
        _address(value)


@dataclass(frozen=True, slots=True)
class Page:
    """The web page and its API."""

    address: str = option("127.0.0.1", "Where the page listens; over TLS unless it is loopback.", check=_address)
    port: int = option(8600, "The port of the page.", low=0, high=65535)
    hosts: tuple[str, ...] = option((), "Names, besides localhost and plain addresses, that the page is served under.")


@dataclass(frozen=True, slots=True)
class Intake:
    """Where sensors deliver. Always TLS."""

    addresses: tuple[str, ...] = option(("0.0.0.0", "::"), "Where the intake listens.", check=_addresses)
    port: int = option(8601, "The port of the intake.", low=0, high=65535)
    batch_bytes_max: int = option(8 * MIB, "Largest batch of events.", low=64 * KIB, high=256 * MIB)
    batch_events_max: int = option(10_000, "Most events in a batch.", low=1, high=1_000_000)
    line_bytes_max: int = option(256 * KIB, "Largest single event.", low=4 * KIB, high=16 * MIB)
    artefact_bytes_max: int = option(64 * MIB, "Largest artefact.", low=1 * KIB, high=4 * GIB)
    body_s_max: float = option(300.0, "Longest time that an upload may take, seconds.", low=1.0)
    in_flight_bytes_max: int = option(64 * MIB, "Most that batches on their way in may take together.", low=MIB)
    concurrent_max: int = option(64, "Most uploads at a time; further ones wait at the sensor.", low=1, high=10_000)
    failed_logins_max: int = option(20, "Wrong credentials from an address within a minute, then it waits.", low=1)


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Events: the queue on disk and the engine behind it."""

    queue_bytes_max: int = option(256 * MIB, "Most that waits for the engine; then sensors are told to wait.", low=MIB)
    outgoing_bytes_max: int = option(
        256 * MIB, "Most that waits for outputs; then the oldest is dropped, and counted.", low=MIB
    )
    load_every_s: float = option(1.0, "How often waiting events move into the engine, seconds.", low=0.01, high=60.0)
    block_events_max: int = option(20_000, "Most events that move at a time.", low=100, high=1_000_000)
    query_s_max: float = option(10.0, "Longest a query of the page may run, seconds.", low=0.1)
    query_rows_max: int = option(100_000, "Most rows that a query may return.", low=1_000)
    query_bytes_max: int = option(2 * GIB, "Most memory that a query may take.", low=64 * MIB)
    days_max: int = option(365, "How long events are kept, days; whole weeks are removed.", low=7, high=36_500)
    bytes_max: int = option(50 * GIB, "Most that events may take on disk; the oldest weeks go first.", low=100 * MIB)
    disk_free_bytes_min: int = option(512 * MIB, "Nothing is taken in while less is free on the disk.", low=MIB)


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """Where artefacts lie."""

    url: str = option("", "An S3-compatible s3://bucket/prefix; empty is a local directory.", check=check_place)
    endpoint: str = option("", "URL of an S3-compatible server other than Amazon's.")
    region: str = option("us-east-1", "The region of the S3 bucket.")
    access_key_id: str = option("", "S3 access key id; empty takes it from the environment.")
    secret_access_key: str = option("", "S3 secret access key; empty takes it from the environment.", secret=True)
    conversation_days_max: int = option(90, "How long recorded conversations are kept, days. Samples stay.", low=1)


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """When a sensor's health calls for a look."""

    silent_s: float = option(60.0, "A sensor that was not heard of for so long counts as silent, seconds.", low=5.0)
    quiet_s: float = option(
        86_400.0, "Connected without one session for so long is worth a warning, seconds.", low=60.0
    )
    clock_off_s: float = option(120.0, "A clock that is off by more is worth a warning, seconds.", low=1.0)


@dataclass(frozen=True, slots=True)
class FarmSettings:
    """The centre."""

    page: Page = option(Page, "The web page.")
    intake: Intake = option(Intake, "Where sensors deliver.")
    store: StoreSettings = option(StoreSettings, "Events.")
    samples: SampleSettings = option(SampleSettings, "Artefacts.")
    fleet: FleetSettings = option(FleetSettings, "Sensors' health.")
