"""The vocabulary: every fact that any part of the honeynet can state.

Owns the catalogue of facts, their envelope and the one codec. Imports nothing of ours.
Everything downstream (store, page, feeds, docs/events.md) is derived from `KINDS`.
"""

from eudaemon.events.catalogue import KINDS, Fact, Unknown, fields_of
from eudaemon.events.codec import CodecError, fact_of, from_json, to_json
from eudaemon.events.envelope import Endpoint, Event, IdSource, rfc3339

__all__ = [
    "KINDS", "CodecError", "Endpoint", "Event", "Fact", "IdSource", "Unknown",
    "fact_of", "fields_of", "from_json", "rfc3339", "to_json",
]  # fmt: skip
