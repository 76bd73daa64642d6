"""HTTP: the web page of a router, recorder or camera, and of whatever else is broken into through one request."""

from eudaemon.protocols.http.room import Http

__all__ = ["Http"]
