"""memcached as it was when it still answered UDP by default: up to 1.5.5. doc/protocol.txt and doc/protocol-binary.txt.

`cache` is what is stored and who answers, `room` is the conversation: lines over TCP and in datagrams, and the binary
protocol. Nobody is flooded through it: over UDP an answer that is larger than its question is not sent.
"""

from eudaemon.protocols.memcached.room import Memcached

__all__ = ["Memcached"]
