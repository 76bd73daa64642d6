from __future__ import annotations

from collections.abc import Iterator

import pytest

from sensor.harness import rooms_for_tests


@pytest.fixture(autouse=True)
def _rooms() -> Iterator[None]:
    with rooms_for_tests():
        yield
