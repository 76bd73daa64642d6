"""Events on disk: a durable queue in front, an analytical engine behind, one schema for both."""

from eudaemon.farm.store.queue import Accepted, Block, DiskFullError, QueueFullError
from eudaemon.farm.store.schema import Row, RowError, row_of
from eudaemon.farm.store.store import Store

__all__ = ["Accepted", "Block", "DiskFullError", "QueueFullError", "Row", "RowError", "Store", "row_of"]
