"""Eudaemon: a honeynet in one package."""

# A constant, not importlib.metadata: routers do not have it.
__version__ = "0.1.0"
