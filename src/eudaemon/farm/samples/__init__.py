"""What attackers brought: the bytes, the catalogue of them, and finding out what each is."""

from eudaemon.farm.samples.samples import SHA256, HashError, SampleStore

__all__ = ["SHA256", "HashError", "SampleStore"]
