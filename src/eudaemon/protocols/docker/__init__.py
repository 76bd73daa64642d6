"""Docker's Engine API without TLS or password, as worms look for it on port 2375. docs.docker.com/reference/api/engine

`daemon` is who answers, `containers` is what an address has made there, `spoken` tells requests as the command line
that they stand for, `room` is the connection and the table of what can be asked.
"""

from eudaemon.protocols.docker.room import Docker

__all__ = ["Docker"]
