"""Where an address lies: country and network, out of a table that comes with the package. Nothing is asked of anybody.

`data/places.gz` is made by packaging/geo_table.py, which names its sources. Unpacked it is one line of JSON with the
lengths of what follows, numbers little-endian:

    starts of IPv4 ranges     u32 each    a range is good until the next one starts
    their places              u32 each
    starts of IPv6 ranges     u64 each    the first 64 bits of the address
    their places              u32 each
    places: AS numbers        u32 each    0 if there is none
    places: countries         2 letters each, or --
    places: AS names          one a line, UTF-8
"""

from __future__ import annotations

import gzip
import ipaddress
import json
import sys
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

DATA = Path(__file__).parent / "data" / "places.gz"
REMEMBERED_MAX = 16_384


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address lies. What is not known is empty, or 0."""

    country: str = ""  # ISO 3166-1, two letters
    asn: int = 0
    as_name: str = ""


NOWHERE = Place()


class Locator:
    """Looks addresses up: some microseconds each, the same ones again less. One serves many threads."""

    def __init__(self, path: Path = DATA) -> None:
        with gzip.open(path) as file:
            header = json.loads(file.readline())
            sizes = header["bytes"]
            starts4, which4, starts6, which6, asns = (
                _numbers(kind, file.read(size)) for kind, size in zip("IIQII", sizes, strict=False)
            )
            countries, names = file.read(sizes[5]), file.read(sizes[6])
        self.date: str = header["date"]  # of the data: YYYYMMDD
        self._v4, self._v6 = (starts4, which4), (starts6, which6)
        self._asns, self._countries = asns, countries
        # The names stay one block of bytes: as many objects they would take ten times the memory.
        self._names, self._name_starts = names, array("I", _line_starts(names))
        self.locate = lru_cache(maxsize=REMEMBERED_MAX)(self._locate)

    def _locate(self, ip: str) -> Place:
        try:
            address = ipaddress.ip_address(ip.partition("%")[0])
        except ValueError:
            return NOWHERE
        if not address.is_global or address.is_multicast:
            return NOWHERE
        starts, which = self._v4 if address.version == 4 else self._v6
        number = int(address) if address.version == 4 else int(address) >> 64
        return self._place(which[bisect_right(starts, number) - 1])

    def _place(self, number: int) -> Place:
        country = self._countries[2 * number : 2 * number + 2].decode("ascii")
        name = self._names[self._name_starts[number] : self._name_starts[number + 1] - 1].decode("utf-8")
        return Place("" if country == "--" else country, self._asns[number], name)


def _numbers(kind: str, data: bytes) -> array[int]:
    numbers = array(kind, data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _line_starts(lines: bytes) -> Sequence[int]:
    starts, at = [0], lines.find(b"\n")
    while at >= 0:
        starts.append(at + 1)
        at = lines.find(b"\n", at + 1)
    return [*starts, len(lines) + 1]
