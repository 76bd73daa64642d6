"""Which printer the pretended host has, at every door that leads to it."""

from __future__ import annotations

from eudaemon.world.host import Host

_MODELS = (
    "HP LaserJet 4250", "hp LaserJet 4200", "HP LaserJet P3005", "HP LaserJet P3010 Series", "HP LaserJet P4014",
    "HP LaserJet 600 M601", "HP LaserJet M4345 MFP", "HP Color LaserJet 4700", "HP Color LaserJet CP3525",
    "HP Color LaserJet CM3530 MFP", "hp LaserJet 9050", "HP LaserJet 2420",
)  # fmt: skip


def model_of(host: Host) -> str:
    """Return what the printer calls itself."""
    return host.seed.child("printer").choice("model", _MODELS)
