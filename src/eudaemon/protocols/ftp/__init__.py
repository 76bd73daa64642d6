"""The room that pretends to be an FTP server (RFC 959, RFC 2428, RFC 3659, RFC 4217).

Owns logins, the session's view of the host's files, which anybody may write to, and transfers over a side connection.
Refuses to open one to anybody but the client itself: no bounce (RFC 2577). What a client left is there for its next
connection (`world.left`).

room                   the dialogue on the control connection, getting in, and what the server says of itself
directories, listing   what is done to files on that connection alone, and how they are shown
carrying, transfer     what goes over a second connection, and how far it is
products               what servers there are
"""

from eudaemon.protocols.ftp.room import Ftp

__all__ = ["Ftp"]
