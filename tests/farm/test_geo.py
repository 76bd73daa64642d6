"""The table of places: addresses that have been where they are for decades, and those that are nowhere."""

from __future__ import annotations

from itertools import pairwise

import pytest

from eudaemon.farm.geo import NOWHERE, Locator


@pytest.fixture(scope="module")
def locator() -> Locator:
    return Locator()


@pytest.mark.parametrize(
    ("ip", "country", "asn", "name"),
    [
        ("8.8.8.8", "US", 15169, "Google LLC"),
        ("1.1.1.1", "AU", 13335, "Cloudflare, Inc."),
        ("193.0.6.139", "NL", 3333, "RIPE"),
        ("141.76.1.1", "DE", 680, "Verein"),
        ("2606:4700:4700::1111", "US", 13335, "Cloudflare, Inc."),
        ("2001:67c:2e8:22::c100:68b", "NL", 3333, "RIPE"),
    ],
)
def test_it_knows_the_well_known(locator: Locator, ip: str, country: str, asn: int, name: str) -> None:
    place = locator.locate(ip)
    assert (place.country, place.asn) == (country, asn)
    assert name in place.as_name


@pytest.mark.parametrize(
    "ip",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "169.254.1.1", "203.0.113.9", "224.0.0.1", "255.255.255.255",
     "0.0.0.0", "::1", "::", "fe80::1%eth0", "fd00::1", "2001:db8::1", "ff02::1", "", "x", "1.2.3", "1.2.3.4.5"],
)  # fmt: skip
def test_what_is_no_public_address_is_nowhere(locator: Locator, ip: str) -> None:
    assert locator.locate(ip) == NOWHERE


def test_every_range_leads_to_a_place_that_reads(locator: Locator) -> None:
    known = len(locator._asns)
    assert len(locator._countries) == 2 * known
    assert len(locator._name_starts) == known + 1
    for starts, which in (locator._v4, locator._v6):
        assert starts[0] == 0
        assert all(a < b for a, b in pairwise(starts))
        assert max(which) < known
    for number in (0, 1, known // 2, known - 1):
        place = locator._place(number)
        assert place.country == "" or (len(place.country) == 2 and place.country.isupper())
    assert locator._place(0) == NOWHERE
    assert locator.date >= "20260101"
