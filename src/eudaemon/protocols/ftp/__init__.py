"""The room that pretends to be an FTP server (RFC 959, RFC 2428, RFC 3659, RFC 4217).

Owns logins, the session's view of the host's files, which anybody may write to, and transfers over a side connection.
Refuses to open one to anybody but the client itself: no bounce (RFC 2577).
"""

from eudaemon.protocols.ftp.room import Ftp

__all__ = ["Ftp"]
