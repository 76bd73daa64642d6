"""Where an address lies: country and network, from data that comes with a package. Nothing is asked of anybody.

The data is that of geoip2fast: country, ASN and AS name for IPv4 and IPv6. It is loaded once, when it is first asked,
and never changes while the farm runs.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

DATA_FILE = "geoip2fast-asn-ipv6.dat.gz"
REMEMBERED_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address lies. What is not known is empty, or 0."""

    country: str = ""  # ISO 3166-1, two letters
    asn: int = 0
    as_name: str = ""


NOWHERE = Place()


class Locator:
    """Looks addresses up. One serves many threads; a look-up takes some microseconds."""

    def __init__(self) -> None:
        import geoip2fast

        data = Path(geoip2fast.__file__).with_name(DATA_FILE)
        self._table = geoip2fast.GeoIP2Fast(geoip2fast_data_file=str(data))
        self.locate = lru_cache(maxsize=REMEMBERED_MAX)(self._locate)

    def _locate(self, ip: str) -> Place:
        try:
            address = ipaddress.ip_address(ip.partition("%")[0])
        except ValueError:
            return NOWHERE
        if not address.is_global or address.is_multicast:
            return NOWHERE
        found = self._table.lookup(str(address))
        country = found.country_code or ""
        return Place(
            country if len(country) == 2 and country.isalpha() else "",
            int(getattr(found, "asn", 0) or 0),
            found.asn_name or "",
        )
