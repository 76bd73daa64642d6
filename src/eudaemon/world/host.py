"""The pretended host: one per sensor, shared by all sessions, never changed by any."""

from __future__ import annotations

from dataclasses import dataclass

from eudaemon.world.seed import Seed


@dataclass(frozen=True, slots=True)
class Host:
    """Who the sensor pretends to be. All that a scanner could key on is drawn from the seed."""

    seed: Seed
    name: str  # host name

    @classmethod
    def from_seed(cls, seed: Seed) -> Host:
        """Return the host that this seed gives."""
        return cls(seed=seed, name=f"router{seed.number('host name', 10_000):04d}")
