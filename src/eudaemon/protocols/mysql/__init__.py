"""MySQL 5.5 to 8.0 whose root has a weak password or none: libraries written as files, functions out of them, ransom.

`packets` is the protocol, `secrets` the logins, `server` who answers, `statements` and `shows` what can be said,
`session` what it works on, `dialogue` the commands, `prepared` the statements among them that wait for their values,
`room` the connection.
"""

from eudaemon.protocols.mysql.room import MySql

__all__ = ["MySql"]
