"""A Jenkins that lets everybody administer it: its script console, its jobs, and its command line over HTTP.

`server` is who answers and its pages, `cli` the command line, `room` the connection and what can be asked.
"""

from eudaemon.protocols.jenkins.room import Jenkins

__all__ = ["Jenkins"]
